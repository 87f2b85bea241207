//! Pre-shared keys of boards: who they are, and what each may do.

use std::path::Path;
use std::sync::Arc;

use crate::access::{Identity, Tier};
use crate::pattern::Pattern;

/// The keys that a file names, one on a line: `identity tier key [pattern]`.
#[derive(Clone, Default)]
pub struct Keys(Vec<Known>);

#[derive(Clone)]
struct Known {
    name: String,
    key: Vec<u8>,
    identity: Arc<Identity>,
}

impl Keys {
    pub fn load(path: &Path) -> Result<Arc<Self>, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("keys in {}: {error}", path.display()))?;
        let keys = Self::parse(&text);
        keys.map(Arc::new).map_err(|why| format!("keys in {}: {why}", path.display()))
    }

    /// `key` is text, or bytes as `hex:…`; `#` begins a comment; the pattern is the scope.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys =
            lines(text).map(|(at, line)| known(line).map_err(|why| format!("line {at}: {why}")));
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The key of an identity and what it may do. Nothing of a key is ever printed.
    pub fn find(&self, name: &[u8]) -> Option<(&[u8], &Arc<Identity>)> {
        let found = self.0.iter().find(|known| known.name.as_bytes() == name)?;
        Some((&found.key, &found.identity))
    }
}

/// The lines that say something, with their numbers.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

pub fn tier(word: &str) -> Result<Tier, String> {
    match word {
        "read" => Ok(Tier::Read),
        "write" => Ok(Tier::Write),
        "approve" => Ok(Tier::Approve),
        _ => Err("the tier is read, write or approve".to_owned()),
    }
}

/// Bytes as text, or in hexadecimal behind `hex:`.
pub fn value(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("hex:") {
        Some(digits) => bytes(digits),
        None => Some(text.as_bytes().to_vec()),
    }
}

pub fn pattern(text: &str) -> Result<Arc<Pattern>, String> {
    Pattern::parse(text).map(Arc::new).map_err(|why| format!("the pattern: {}", why.text()))
}

fn known(line: &str) -> Result<Known, String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(tier), Some(key)) = (words.next(), words.next(), words.next()) else {
        return Err("expected: identity tier key [pattern]".to_owned());
    };
    let tier = self::tier(tier)?;
    let key = value(key).ok_or("the key is not hexadecimal")?;
    let scope = words.next().map(pattern).transpose()?;
    let identity = Identity { tier, name: Some(name.into()), scope, ..Identity::default() };
    Ok(Known { name: name.to_owned(), key, identity: Arc::new(identity) })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_who_may_what() {
        let keys = "# boards\n\nb1 write secret home/b1/*\nb2 approve hex:00ff\n";
        let keys = Keys::parse(keys).unwrap();
        let (key, identity) = keys.find(b"b1").unwrap();
        assert_eq!((key, identity.tier), (&b"secret"[..], Tier::Write));
        assert!(identity.scope.is_some() && identity.name.as_deref() == Some("b1"));
        assert_eq!(keys.find(b"b2").unwrap().0, b"\0\xff");
        assert!(keys.find(b"b3").is_none());
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        let table = ["b1", "b1 write", "b1 root k", "b1 read hex:0", "b1 read hex:zz"];
        for text in table {
            let error = Keys::parse(&format!("# x\n{text}")).err().unwrap();
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }
}
