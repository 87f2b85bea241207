//! Settings: from flags, variables and secret files to one checked value.

mod banner;
mod coap;
mod given;
pub mod help;
mod table;
mod tokens;
mod values;

#[cfg(test)]
mod tests;

use crate::engine::Rules;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::Tokens;
pub use banner::coap_banner;
pub use coap::Coap;
pub use given::distance;
use given::{Asked, Given};
pub use table::{Kind, SETTINGS, Setting, setting};

/// Keys below this many bytes are taken, with a warning.
const SAFE_KEY: usize = 32;

/// What the command line asks the program to do.
pub enum Command {
    Run(Box<Config>),
    /// Print this on stdout and leave.
    Print(String),
}

/// Why the program does not start.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// A setting is wrong: exit 1.
    Setting(String),
}

/// Everything that can be set, checked.
pub struct Config {
    pub host: String,
    pub port: u16,
    pub data_dir: PathBuf,
    pub key: Vec<u8>,
    /// Keys that were in force before; they only verify.
    pub older_keys: Vec<Vec<u8>>,
    pub tokens: Tokens,
    pub max_world_bytes: u64,
    pub max_memory_bytes: u64,
    /// None: no limit.
    pub max_storage_bytes: Option<u64>,
    pub max_listen_connections: usize,
    pub rules: Rules,
    pub max_group_worlds: usize,
    pub max_group_bytes: u64,
    pub listen_replay_max: usize,
    pub heartbeat: Duration,
    pub read_cache_max_entries: usize,
    pub read_cache_bytes: usize,
    pub persist_headers: Vec<String>,
    pub deny_headers: Vec<String>,
    /// Serve a copy: nothing durable is written.
    pub read_only: bool,
    /// None: the scrub does not run.
    pub scrub_pause: Option<Duration>,
    pub shutdown_deadline: Duration,
    pub max_connections: usize,
    pub head_timeout: Option<Duration>,
    pub body_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub exit_on_eof: Option<i32>,
    /// None: no CoAP.
    pub coap: Option<Coap>,
    pub unix_socket: Option<PathBuf>,
    /// Certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub tokens_file: Option<PathBuf>,
    pub cors_origins: Vec<String>,
    /// Empty is none.
    pub content_security_policy: String,
    pub compress: bool,
    /// Bytes.
    pub min_free: Option<u64>,
    pub access_log: bool,
    /// Told in the banner; none of them stops the start.
    pub warnings: Vec<String>,
}

impl Config {
    /// The three tiers and what the tokens file holds now.
    pub fn all_tokens(&self) -> Result<Tokens, String> {
        match &self.tokens_file {
            Some(path) => Ok(self.tokens.with(tokens::read(path)?)),
            None => Ok(self.tokens.clone()),
        }
    }
}

/// Reads the arguments (without the program's name) and the environment.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Failure> {
    match given::arguments(args).map_err(Failure::Usage)? {
        Asked::Help => Ok(Command::Print(help::text())),
        Asked::HelpMarkdown => Ok(Command::Print(help::markdown())),
        Asked::Version => Ok(Command::Print(version())),
        Asked::Run(flags) => {
            let config = Reader { flags, env: &env }.config().map_err(Failure::Setting)?;
            Ok(Command::Run(Box::new(config)))
        }
    }
}

/// The version, and what this build has besides.
fn version() -> String {
    let dtls = if cfg!(feature = "dtls") { " (dtls)" } else { "" };
    format!("elastik-core {}{dtls}\n", crate::VERSION)
}

/// Settings as they were given, read one by one.
pub struct Reader<'a> {
    pub flags: HashMap<&'static str, OsString>,
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Reader<'_> {
    fn given(&self, name: &str) -> Result<Option<Given>, String> {
        let Some(setting) = table::setting(name) else {
            return Err(format!("{name} is not in the table of settings"));
        };
        given::value(setting, &self.flags, self.env)
    }

    fn text(&self, name: &str) -> Result<String, String> {
        Ok(self.given(name)?.map_or_else(String::new, |given| given.text))
    }

    fn count(&self, name: &str, default: usize) -> Result<usize, String> {
        values::count(self.given(name)?.as_ref(), default)
    }

    fn bytes(&self, name: &str, default: u64) -> Result<u64, String> {
        values::bytes(self.given(name)?.as_ref(), default)
    }

    fn timeout(&self, name: &str, default: u64) -> Result<Option<Duration>, String> {
        values::timeout(self.given(name)?.as_ref(), Duration::from_secs(default))
    }

    fn config(&self) -> Result<Config, String> {
        let mut warnings = Vec::new();
        let config = Config {
            host: self.given("host")?.map_or("127.0.0.1".into(), |given| given.text),
            port: values::port(self.given("port")?.as_ref(), 3105)?,
            data_dir: self.data_dir()?,
            key: self.key(&mut warnings)?,
            older_keys: self.older_keys()?,
            tokens: self.tokens(&mut warnings)?,
            max_world_bytes: self.bytes("max-world-bytes", 64 << 20)?,
            max_memory_bytes: self.bytes("max-memory-bytes", 256 << 20)?,
            max_storage_bytes: values::quota(self.given("max-storage-bytes")?.as_ref())?,
            max_listen_connections: self.count("max-listen-connections", 1024)?,
            rules: self.rules()?,
            max_group_worlds: self.count("max-group-worlds", 10_000)?,
            max_group_bytes: self.bytes("max-group-bytes", 64 << 20)?,
            listen_replay_max: self.count("listen-replay-max", 1024)?,
            heartbeat: self.heartbeat()?,
            read_cache_max_entries: self.count("read-cache-max-entries", 5000)?,
            read_cache_bytes: self.count("read-cache-bytes", 64 << 20)?,
            persist_headers: values::list(self.given("persist-headers")?.as_ref()),
            deny_headers: values::list(self.given("deny-headers")?.as_ref()),
            read_only: values::switch(self.given("read-only")?.as_ref())?,
            scrub_pause: self.timeout("scrub-pause", 86_400)?,
            shutdown_deadline: self.seconds("shutdown-deadline", 10)?,
            max_connections: self.count("max-connections", 4096)?,
            head_timeout: self.timeout("head-timeout", 30)?,
            body_timeout: self.timeout("body-timeout", 30)?,
            write_timeout: self.timeout("write-timeout", 60)?,
            exit_on_eof: values::descriptor(self.given("exit-on-eof")?.as_ref())?,
            coap: self.coap(&mut warnings)?,
            unix_socket: self.path("unix-socket")?,
            tls: self.tls()?,
            tokens_file: self.path("tokens-file")?,
            content_security_policy: self.policy()?,
            compress: self.switch("compress")?,
            cors_origins: values::list(self.given("cors-origins")?.as_ref()),
            min_free: Some(self.bytes("min-free", 64 << 20)?).filter(|bytes| *bytes > 0),
            access_log: self.switch("access-log")? || self.switch("trace-pipeline")?,
            warnings: Vec::new(),
        };
        Ok(Config { warnings, ..config })
    }

    /// A key from the file that an option named.
    pub fn key_file(option: &str, path: &Path) -> Result<Vec<u8>, String> {
        let setting = table::setting("key").ok_or("no such setting")?;
        given::secret_file(setting, option, path).map(|given| given.text.into_bytes())
    }

    fn rules(&self) -> Result<Rules, String> {
        let rules = Rules::parse(&self.text("history")?, &self.text("lifetime")?)?;
        let mut rules = rules.with_quotas(&self.text("quota")?)?;
        rules.max_history = values::quota(self.given("max-history-bytes")?.as_ref())?;
        rules.max_log = values::quota(self.given("max-log-rows")?.as_ref())?;
        Ok(rules)
    }

    fn seconds(&self, name: &str, default: u64) -> Result<Duration, String> {
        values::seconds(self.given(name)?.as_ref(), Duration::from_secs(default))
    }

    fn switch(&self, name: &str) -> Result<bool, String> {
        values::switch(self.given(name)?.as_ref())
    }

    /// Empty is none.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, String> {
        Ok(self
            .given(name)?
            .map(|given| given.text)
            .filter(|text| !text.is_empty())
            .map(Into::into))
    }

    fn tls(&self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        match (self.path("tls-cert")?, self.path("tls-key")?) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            _ => Err("TLS needs both --tls-cert and --tls-key".to_owned()),
        }
    }

    fn policy(&self) -> Result<String, String> {
        match self.given("content-security-policy")? {
            None => Ok(table::DEFAULT_CSP.to_owned()),
            Some(Given { text, .. }) if text.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                Ok(text)
            }
            Some(Given { source, .. }) => Err(format!("{source} must be visible ASCII")),
        }
    }

    fn heartbeat(&self) -> Result<Duration, String> {
        match self.seconds("heartbeat", 15)? {
            time if time.is_zero() => Ok(Duration::from_secs(15)),
            time => Ok(time),
        }
    }

    pub fn data_dir(&self) -> Result<PathBuf, String> {
        match self.given("data-dir")? {
            Some(given) if given.text.is_empty() => Err(format!("{} is empty", given.source)),
            given => Ok(given.map_or("data".into(), |given| given.text.into())),
        }
    }

    /// The audit key; a short one adds a warning.
    pub fn key(&self, warnings: &mut Vec<String>) -> Result<Vec<u8>, String> {
        let Some(Given { source, text }) = self.given("key")? else {
            return Err("ELASTIK_KEY is required; the audit chain has no meaning without it".into());
        };
        if text.trim().is_empty() {
            return Err(format!(
                "{source} is invalid: secret key must not be empty or all whitespace"
            ));
        }
        if text.len() < SAFE_KEY {
            warnings.push(format!(
                "{source} has only {} bytes, others may guess it; start a new data directory with \
                 {SAFE_KEY} or more, or rotate the key of this one",
                text.len()
            ));
        }
        Ok(text.into_bytes())
    }

    /// The keys of the keyring.
    pub fn older_keys(&self) -> Result<Vec<Vec<u8>>, String> {
        match self.given("keyring")? {
            Some(given) if !given.text.is_empty() => values::keyring(&given),
            _ => Ok(vec![]),
        }
    }

    fn tokens(&self, warnings: &mut Vec<String>) -> Result<Tokens, String> {
        let read = self.token("read-token", "reads public", warnings)?;
        let mut write = self.token("write-token", "only the approve token writes", warnings)?;
        if let Some(old) = (self.env)("ELASTIK_TOKEN") {
            warnings.push("ELASTIK_TOKEN is deprecated; rename it to ELASTIK_WRITE_TOKEN".into());
            let old = old.into_string().map_err(|_| "ELASTIK_TOKEN is not valid Unicode")?;
            write = write.or(Some(old).filter(|token| !token.trim().is_empty()));
        }
        let approve = self.token("approve-token", "no DELETE, no system writes", warnings)?;
        Ok(Tokens::new(read.as_deref(), write.as_deref(), approve.as_deref()))
    }

    fn token(
        &self,
        name: &str,
        effect: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Option<String>, String> {
        let Some(Given { source, text }) = self.given(name)? else { return Ok(None) };
        if text.trim().is_empty() {
            warnings.push(format!("empty {source} treated as unset ({effect})"));
            return Ok(None);
        }
        if text.trim() != text || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            warnings.push(format!("{source} can never match: HTTP trims blanks and is ASCII"));
        }
        Ok(Some(text))
    }
}
