//! The tokens file: TOML, one `[[token]]` table for each scoped token.
//!
//! ```toml
//! [[token]]
//! name = "board-1"
//! sha256 = "…64 hex digits of the token's SHA-256…"
//! tier = "write"
//! prefix = "/home/sensor/b1/*"
//! expires = 2027-01-01T00:00:00Z   # optional
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::Datetime;
use toml::{Table, Value};

use crate::access::{Identity, Tier};
use crate::pattern::Pattern;
use crate::time;

/// Reads the file; the error names it and what is wrong.
pub fn read(path: &Path) -> Result<Vec<Identity>, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("tokens file {shown}: cannot read it: {error}"))?;
    parse(&text).map_err(|error| format!("tokens file {shown}: {error}"))
}

fn parse(text: &str) -> Result<Vec<Identity>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        // Its long form shows lines of the file.
        error.message().to_owned()
    })?;
    let mut tokens = Vec::new();
    for (name, value) in &table {
        let Value::Array(list) = value else { return Err(unknown(name)) };
        if name != "token" {
            return Err(unknown(name));
        }
        for (at, entry) in list.iter().enumerate() {
            let token = entry.as_table().ok_or("is no table".to_owned()).and_then(token);
            tokens.push(token.map_err(|error| format!("token {}: {error}", at + 1))?);
        }
    }
    Ok(tokens)
}

fn unknown(name: &str) -> String {
    format!("{name} is not known here; tokens are [[token]] tables")
}

fn token(entry: &Table) -> Result<Identity, String> {
    for name in entry.keys() {
        if !["name", "sha256", "tier", "prefix", "expires"].contains(&name.as_str()) {
            return Err(format!("{name} is not known"));
        }
    }
    let name = text(entry, "name")?;
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("name must be visible text".to_owned());
    }
    let digest = crate::engine::unhex(&text(entry, "sha256")?.to_ascii_lowercase())
        .ok_or("sha256 must be 64 hex digits")?;
    let tier = match text(entry, "tier")? {
        "read" => Tier::Read,
        "write" => Tier::Write,
        "approve" => Tier::Approve,
        other => return Err(format!("tier must be read, write or approve; got {other:?}")),
    };
    let prefix = text(entry, "prefix")?;
    let scope = Pattern::parse(prefix).map_err(|error| format!("prefix: {}", error.text()))?;
    let expires = match entry.get("expires") {
        None => None,
        Some(Value::Datetime(time)) => Some(moment(time)?),
        Some(_) => return Err("expires must be a date and time".to_owned()),
    };
    let (name, scope) = (Some(name.into()), Some(Arc::new(scope)));
    Ok(Identity { tier, name, scope, expires, digest, ambient: false })
}

fn text<'a>(entry: &'a Table, name: &str) -> Result<&'a str, String> {
    match entry.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("{name} must be text")),
        None => Err(format!("{name} is missing")),
    }
}

/// An instant needs its offset from UTC.
fn moment(time: &Datetime) -> Result<SystemTime, String> {
    let micros = time::micros(time).ok_or("expires needs a date, a time and Z or an offset")?;
    Ok(UNIX_EPOCH + Duration::from_micros(micros.max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn entry(more: &str) -> String {
        format!("[[token]]\nname = \"b1\"\nsha256 = \"{DIGEST}\"\n{more}\n")
    }

    #[test]
    fn a_token_with_everything() {
        let more = "tier = \"write\"\nprefix = \"/home/b1/*\"\nexpires = 2000-02-29T01:00:00+01:00";
        let found = parse(&entry(more)).unwrap();
        assert_eq!((found.len(), found[0].tier, found[0].digest[0]), (1, Tier::Write, 0x9f));
        assert_eq!(found[0].expires, Some(UNIX_EPOCH + Duration::from_secs(951_782_400)));
        assert_eq!(found[0].name.as_deref(), Some("b1"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fine = "tier = \"read\"\nprefix = \"*\"";
        let table = [
            ("x = 1".to_owned(), "x is not known here"),
            ("token = 1".to_owned(), "token is not known here"),
            (entry("prefix = \"*\""), "token 1: tier is missing"),
            (entry("tier = \"root\"\nprefix = \"*\""), "tier must be read, write or approve"),
            (entry("tier = \"read\"\nprefix = \"a//b\""), "prefix: world path has empty segment"),
            (entry(&format!("{fine}\nexpires = 2000-01-01")), "expires needs a date, a time"),
            (entry(&format!("{fine}\nexpires = 1")), "expires must be a date and time"),
            (entry(&format!("{fine}\nscope = \"x\"")), "scope is not known"),
            ("[[token]]\nname = 1".to_owned(), "name must be text"),
        ];
        for (text, part) in table {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "\\PC{0,60}", more in "\\PC{0,30}") {
            let _ = (parse(&text), parse(&entry(&more)));
        }
    }
}
