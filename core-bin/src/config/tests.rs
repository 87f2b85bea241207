//! What the settings make of flags, variables and files.

use std::ffi::OsString;
use std::io::Write;

use proptest::prelude::*;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Command, Failure> {
    let find = |name: &str| {
        let found = env.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| OsString::from(value))
    };
    load(args.iter().map(OsString::from), find)
}

fn config(args: &[&str], env: &[(&str, &str)]) -> Config {
    let mut env = env.to_vec();
    if !env.iter().any(|(name, _)| name.starts_with("ELASTIK_KEY")) {
        env.push(("ELASTIK_KEY", KEY));
    }
    match load_with(args, &env) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Print(text)) => panic!("printed {text}"),
        Err(failure) => panic!("{failure:?}"),
    }
}

fn failure(args: &[&str], env: &[(&str, &str)]) -> Failure {
    match load_with(args, env) {
        Ok(_) => panic!("{args:?} {env:?} was taken"),
        Err(failure) => failure,
    }
}

fn refused(env: &[(&str, &str)]) -> String {
    match failure(&[], env) {
        Failure::Setting(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flag_wins_over_its_variable() {
    let env = [("ELASTIK_PORT", "1"), ("ELASTIK_HOST", "::1")];
    let config = config(&["--port", "2", "--data-dir=d"], &env);
    assert_eq!((config.port, config.host.as_str()), (2, "::1"));
    assert_eq!(config.data_dir, PathBuf::from("d"));
}

#[test]
fn a_bad_number_is_refused_by_its_name() {
    let key = ("ELASTIK_KEY", KEY);
    let table = [
        ("ELASTIK_PORT", "abc", "ELASTIK_PORT must be a TCP port number; got \"abc\""),
        ("ELASTIK_PORT", "", "ELASTIK_PORT must be a TCP port number; got \"\""),
        ("ELASTIK_PORT", " 1", "ELASTIK_PORT must be a TCP port number; got \" 1\""),
        ("ELASTIK_PORT", "70000", "ELASTIK_PORT must be a TCP port number; got \"70000\""),
        (
            "ELASTIK_MAX_STORAGE_BYTES",
            "1k",
            "ELASTIK_MAX_STORAGE_BYTES must be a non-negative integer byte count; got \"1k\"",
        ),
        (
            "ELASTIK_MAX_WORLD_BYTES",
            "-1",
            "ELASTIK_MAX_WORLD_BYTES must be a non-negative integer byte count; got \"-1\"",
        ),
        (
            "ELASTIK_LISTEN_REPLAY_MAX",
            "99999999999999999999",
            "ELASTIK_LISTEN_REPLAY_MAX must be a non-negative integer count; \
             got \"99999999999999999999\"",
        ),
        ("ELASTIK_HEARTBEAT", "1e3", "ELASTIK_HEARTBEAT must be a number of seconds; got \"1e3\""),
        ("ELASTIK_DATA", "", "ELASTIK_DATA is empty"),
    ];
    for (name, value, text) in table {
        assert_eq!(refused(&[key, (name, value)]), text);
    }
}

#[test]
fn zero_and_empty_mean_what_they_meant() {
    let zero = config(
        &[],
        &[
            ("ELASTIK_MAX_WORLD_BYTES", "0"),
            ("ELASTIK_MAX_STORAGE_BYTES", "0"),
            ("ELASTIK_LISTEN_REPLAY_MAX", "0"),
            ("ELASTIK_MAX_MEMORY_BYTES", ""),
        ],
    );
    assert_eq!((zero.max_world_bytes, zero.max_storage_bytes), (0, None));
    assert_eq!((zero.listen_replay_max, zero.max_memory_bytes), (1024, 256 << 20));
}

#[test]
fn the_key_is_checked() {
    assert!(refused(&[]).starts_with("ELASTIK_KEY is required"));
    let blank = "ELASTIK_KEY is invalid: secret key must not be empty or all whitespace";
    assert_eq!(refused(&[("ELASTIK_KEY", " \n")]), blank);
    assert_eq!(config(&[], &[("ELASTIK_KEY", "short")]).warnings.len(), 1);
    assert_eq!(config(&[], &[("ELASTIK_KEY", &"é".repeat(17))]).warnings.len(), 0);
    assert_eq!(config(&[], &[("ELASTIK_KEY", " k ")]).key, b" k ");
}

#[test]
fn a_secret_file_loses_one_newline() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"secret\n\n").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(config(&["--key-file", path], &[("ELASTIK_KEY", KEY)]).key, b"secret\n");
    assert_eq!(config(&[], &[("ELASTIK_KEY_FILE", path)]).key, b"secret\n");
    let both = [("ELASTIK_KEY", KEY), ("ELASTIK_KEY_FILE", path)];
    assert_eq!(refused(&both), "ELASTIK_KEY and ELASTIK_KEY_FILE are both set; keep one");
    assert!(refused(&[("ELASTIK_KEY_FILE", "/nowhere/key")]).contains("cannot read /nowhere/key"));
}

#[test]
fn secrets_are_no_flags_and_unknown_flags_get_a_hint() {
    for flag in ["--key", "--read-token", "--write-token", "--approve-token"] {
        let Failure::Usage(text) = failure(&[flag, "x"], &[]) else { panic!() };
        assert!(text.contains("does not exist"), "{text}");
    }
    let typo = Failure::Usage("--prot is not a known option; did you mean --port?".into());
    assert_eq!(failure(&["--prot", "1"], &[]), typo);
    assert_eq!(failure(&["--port"], &[]), Failure::Usage("--port needs a value".into()));
    assert!(matches!(failure(&["data"], &[]), Failure::Usage(_)));
}

#[test]
fn the_old_token_name_still_works_with_a_warning() {
    let config = config(&[], &[("ELASTIK_TOKEN", "old")]);
    assert!(config.tokens.has_write());
    assert!(config.warnings[0].contains("ELASTIK_WRITE_TOKEN"));
}

#[test]
fn blank_tokens_are_unset() {
    let config = config(&[], &[("ELASTIK_READ_TOKEN", " "), ("ELASTIK_APPROVE_TOKEN", "")]);
    assert!(!config.tokens.has_read() && !config.tokens.has_approve());
    assert_eq!(config.warnings.len(), 2);
}

#[test]
fn help_and_markdown_name_every_setting() {
    for flag in ["--help", "--help-markdown"] {
        let Ok(Command::Print(text)) = load_with(&[flag], &[]) else { panic!() };
        for setting in SETTINGS {
            assert!(text.contains(setting.variable), "{flag} lacks {}", setting.variable);
        }
    }
}

proptest! {
    #[test]
    fn no_value_panics(at in 0..SETTINGS.len(), value in "\\PC{0,12}") {
        let _ = load_with(&[], &[("ELASTIK_KEY", KEY), (SETTINGS[at].variable, &value)]);
    }

    #[test]
    fn no_argument_panics(args in proptest::collection::vec("(--[a-z-]{0,12}|\\PC{0,8})", 0..4)) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let _ = load_with(&args, &[("ELASTIK_KEY", KEY)]);
    }
}
