//! Security contexts (RFC 8613 §3) as a file names them: who they are, and what each may do.

use std::path::Path;
use std::sync::Arc;

use super::cose::{Iv, Key, MAX_ID, Master};
use crate::access::Identity;
use crate::coap::keys;
use crate::pattern::Pattern;

/// A secret that is shorter can be guessed.
const SHORTEST: usize = 16;

/// What this core shares with one client.
#[derive(Clone)]
pub struct Context {
    /// The id that the client sends with, and ours.
    pub client: Vec<u8>,
    pub server: Vec<u8>,
    pub id_context: Option<Vec<u8>>,
    pub client_key: Key,
    pub server_key: Key,
    pub common_iv: Iv,
    pub identity: Arc<Identity>,
}

pub fn load(path: &Path) -> Result<Vec<Context>, String> {
    let failed = |why: String| format!("contexts in {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    parse(&text).map_err(failed)
}

/// One on a line: `name tier client=… server=… secret=…`, and perhaps `salt=…`, `context=…` and
/// `worlds=PATTERN`. Nothing of a secret is ever printed.
pub fn parse(text: &str) -> Result<Vec<Context>, String> {
    let mut contexts: Vec<Context> = Vec::new();
    for (at, line) in keys::lines(text) {
        let failed = |why: String| format!("line {at}: {why}");
        let context = context(line).map_err(failed)?;
        let same = |other: &Context| {
            (&other.client, &other.id_context) == (&context.client, &context.id_context)
        };
        if contexts.iter().any(same) {
            return Err(failed("another line has the same client and context".to_owned()));
        }
        contexts.push(context);
    }
    Ok(contexts)
}

#[derive(Default)]
struct Given {
    client: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
    context: Option<Vec<u8>>,
    worlds: Option<Arc<Pattern>>,
}

fn context(line: &str) -> Result<Context, String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(tier)) = (words.next(), words.next()) else {
        return Err("expected: name tier client=ID server=ID secret=KEY".to_owned());
    };
    let tier = keys::tier(tier)?;
    let mut given = Given::default();
    for word in words {
        let (field, text) = word.split_once('=').ok_or("expected field=value after the tier")?;
        let value = || keys::value(text).ok_or(format!("{field} is not hexadecimal"));
        match field {
            "client" => given.client = Some(value()?),
            "server" => given.server = Some(value()?),
            "secret" => given.secret = Some(value()?),
            "salt" => given.salt = Some(value()?),
            "context" => given.context = Some(value()?),
            "worlds" => given.worlds = Some(keys::pattern(text)?),
            // Its text may be a secret that was put in the wrong place.
            _ => {
                return Err(
                    "a field is none of client, server, secret, salt, context, worlds".into()
                );
            }
        }
    }
    let (Some(client), Some(server), Some(secret)) = (given.client, given.server, given.secret)
    else {
        return Err("client, server and secret are needed".to_owned());
    };
    if client.len() > MAX_ID || server.len() > MAX_ID || client == server {
        return Err(format!("client and server have at most {MAX_ID} bytes, and differ"));
    }
    if given.context.as_ref().is_some_and(|context| context.len() > usize::from(u8::MAX)) {
        return Err("the context has at most 255 bytes".to_owned());
    }
    if secret.len() < SHORTEST {
        return Err(format!("the secret has at least {SHORTEST} bytes"));
    }
    let salt = given.salt.unwrap_or_default();
    let master = Master { secret: &secret, salt: &salt, id_context: given.context.as_deref() };
    let identity =
        Identity { tier, name: Some(name.into()), scope: given.worlds, ..Identity::default() };
    Ok(Context {
        client_key: master.key(&client),
        server_key: master.key(&server),
        common_iv: master.common_iv(),
        identity: Arc::new(identity),
        id_context: given.context,
        client,
        server,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Tier;

    const SECRET: &str = "secret=hex:0102030405060708090a0b0c0d0e0f10";

    #[test]
    fn lines_name_who_may_what() {
        let text = format!(
            "# boards\n\nb1 write client= server=hex:01 {SECRET} worlds=home/b1/*\n\
             b2 read client=hex:00 server=srv {SECRET} salt=salt context=hex:37cb\n"
        );
        let contexts = parse(&text).unwrap();
        let [first, second] = &contexts[..] else { panic!("{}", contexts.len()) };
        assert_eq!((&first.client[..], &first.server[..]), (&b""[..], &b"\x01"[..]));
        assert_eq!(
            (first.identity.tier, first.identity.name.as_deref()),
            (Tier::Write, Some("b1"))
        );
        assert!(first.identity.scope.is_some() && second.identity.scope.is_none());
        assert_eq!(second.id_context.as_deref(), Some(&b"\x37\xcb"[..]));
        assert_ne!(first.client_key, second.client_key);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line_and_no_secret_is_shown() {
        let good = format!("a read client=1 server=2 {SECRET}");
        let table = [
            "a".to_owned(),
            "a root client=1 server=2".to_owned(),
            "a read client=1 server=2".to_owned(),
            format!("a read client=1 server=1 {SECRET}"),
            format!("a read client=12345678 server=1 {SECRET}"),
            "a read client=1 server=2 secret=topsecret".to_owned(),
            "a read client=1 server=2 secret=hex:topsecret".to_owned(),
            "a read client=1 server=2 topsecret".to_owned(),
            "a read client=1 server=2 topsecret=1".to_owned(),
            format!("a read client=1 server=2 {SECRET} worlds=%ff"),
            format!("{good}\n{good}"),
        ];
        for text in table {
            let Some(error) = parse(&format!("# x\n{text}")).err() else { panic!("{text}") };
            assert!(error.starts_with("line 2: ") || error.starts_with("line 3: "), "{error}");
            assert!(!error.contains("topsecret"), "{error}");
        }
    }
}
