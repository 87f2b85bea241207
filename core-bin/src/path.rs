//! World paths: namespaces, the canonical form, its wire encodings.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// First segments that are namespaces; any other first segment means `home/…`.
pub const NAMESPACES: [&str; 10] =
    ["home", "tmp", "dev", "sys", "proc", "etc", "lib", "boot", "usr", "var"];

/// The world that holds two rows for each DELETE of anything.
pub const LEDGER: &str = "var/log/deletes";

/// Longest percent-encoded name of a durable world, in bytes: 8.3's directory name limit, kept so
/// that every world can go back to that layout.
pub const MAX_DURABLE_NAME: usize = 255;

/// A canonical path such as `home/sensor/temp`: valid, with its namespace, without leading slash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorldPath(Arc<str>);

/// Why a text is not a world path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    Empty,
    NamespaceRoot,
    EmptySegment,
    DotSegment,
    ControlBytes,
    Backslash,
    NotUtf8,
    TooLong,
}

impl PathError {
    /// 8.3's words for it (core.md §2.5).
    pub fn text(self) -> &'static str {
        match self {
            Self::Empty => "world path is empty",
            Self::NamespaceRoot => "world path is a reserved namespace root",
            Self::EmptySegment => "world path has empty segment",
            Self::DotSegment => "world path contains dot or encoded-dot segment",
            Self::ControlBytes => "world path contains control bytes",
            Self::Backslash => "world path contains backslash",
            Self::NotUtf8 => "world path is not UTF-8",
            Self::TooLong => "durable world name is longer than 255 encoded bytes",
        }
    }
}

impl WorldPath {
    /// From decoded text (`/home/a`, `home/a` and `a` are the same world).
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let bare = text.trim_start_matches('/');
        if bare.is_empty() {
            return Err(PathError::Empty);
        }
        let canonical = with_namespace(bare);
        check(&canonical)?;
        let path = Self(canonical.into());
        if path.is_durable() && encoded_name_length(&path.0) > MAX_DURABLE_NAME {
            return Err(PathError::TooLong);
        }
        Ok(path)
    }

    /// From the path part of a request target, percent-decoded once (core.md §2.5).
    pub fn from_target(target: &str) -> Result<Self, PathError> {
        let bytes = percent_decode(target);
        let text = std::str::from_utf8(&bytes).map_err(|_| PathError::NotUtf8)?;
        Self::parse(text)
    }

    /// The ledger's own path.
    pub fn ledger() -> Self {
        Self(LEDGER.into())
    }

    /// From a path that this core has stored, which was checked when it was written.
    pub fn trusted(stored: &str) -> Self {
        Self(stored.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn namespace(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// Kept in the store and audited; the others live in memory only.
    pub fn is_durable(&self) -> bool {
        is_durable_namespace(self.namespace())
    }

    /// Writing needs the approve tier (core.md §2.4).
    pub fn is_system(&self) -> bool {
        matches!(self.namespace(), "etc" | "lib" | "boot" | "usr") || self.0.starts_with("var/log/")
    }

    pub fn is_ledger(&self) -> bool {
        &*self.0 == LEDGER
    }

    /// `/` + path, percent-encoded for `Location` and `Link`.
    pub fn location(&self) -> String {
        let mut out = String::with_capacity(self.0.len() + 1);
        out.push('/');
        percent_encode(&self.0, &mut out, |b| {
            b.is_ascii_alphanumeric() || b"!$&'()*+,-./:;=@_~".contains(&b)
        });
        out
    }
}

impl fmt::Display for WorldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Borrow<str> for WorldPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// True for namespaces whose worlds are kept on disk.
pub fn is_durable_namespace(namespace: &str) -> bool {
    matches!(namespace, "home" | "etc" | "lib" | "boot" | "usr" | "var")
}

fn with_namespace(bare: &str) -> String {
    let first = bare.split('/').next().unwrap_or_default();
    if NAMESPACES.contains(&first) { bare.to_owned() } else { format!("home/{bare}") }
}

fn check(path: &str) -> Result<(), PathError> {
    if NAMESPACES.contains(&path) || path == "var/log" || path.starts_with("proc/") {
        return Err(PathError::NamespaceRoot);
    }
    for segment in path.split('/') {
        if segment.is_empty() {
            return Err(PathError::EmptySegment);
        }
        if is_dots(segment) {
            return Err(PathError::DotSegment);
        }
    }
    if path.chars().any(char::is_control) {
        return Err(PathError::ControlBytes);
    }
    if path.contains('\\') {
        return Err(PathError::Backslash);
    }
    Ok(())
}

/// `.` or `..`, also where a dot is still written `%2e`.
fn is_dots(segment: &str) -> bool {
    if segment.len() > 6 {
        return false;
    }
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

/// Decodes `%XX` once; a malformed escape stays as it is, `+` too.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1).and_then(hex), bytes.get(at + 2).and_then(hex)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn hex(byte: &u8) -> Option<u8> {
    (*byte as char).to_digit(16).map(|digit| digit as u8)
}

/// A file's name inside an SQLite URI.
pub fn uri(file: &str) -> String {
    let mut out = String::with_capacity(file.len() + 8);
    percent_encode(file, &mut out, |b| b.is_ascii_alphanumeric() || b"/._-~".contains(&b));
    out
}

fn percent_encode(text: &str, out: &mut String, keep: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if keep(byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push(DIGITS[(byte >> 4) as usize] as char);
            out.push(DIGITS[(byte & 15) as usize] as char);
        }
    }
}

/// 8.3's directory name of a durable world (core.md §4.2).
pub fn encode_disk_name(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    percent_encode(path, &mut out, kept_in_disk_name);
    out
}

/// The path that an 8.3 directory name stands for; `None` when it is not UTF-8.
pub fn decode_disk_name(name: &str) -> Option<String> {
    String::from_utf8(percent_decode(name)).ok()
}

fn kept_in_disk_name(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte) && !b"\"%*./:<>?|\\".contains(&byte)
}

fn encoded_name_length(path: &str) -> usize {
    path.bytes().map(|byte| if kept_in_disk_name(byte) { 1 } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_without_namespace_live_under_home() {
        for text in ["note", "/note", "//note", "home/note", "/home/note"] {
            assert_eq!(WorldPath::parse(text).unwrap().as_str(), "home/note");
        }
        assert_eq!(WorldPath::parse("Home/x").unwrap().as_str(), "home/Home/x");
    }

    #[test]
    fn what_is_no_path_is_told_apart() {
        let table = [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("home", PathError::NamespaceRoot),
            ("var/log", PathError::NamespaceRoot),
            ("proc/x", PathError::NamespaceRoot),
            ("a//b", PathError::EmptySegment),
            ("a/", PathError::EmptySegment),
            ("a/../b", PathError::DotSegment),
            ("a/%2E%2e", PathError::DotSegment),
            (".%2e/a", PathError::DotSegment),
            ("a\u{85}", PathError::ControlBytes),
            ("a\n", PathError::ControlBytes),
            ("a\\b", PathError::Backslash),
        ];
        for (text, error) in table {
            assert_eq!(WorldPath::parse(text), Err(error), "{text:?}");
        }
        for text in ["...", "..a", "a.", "a b*?#:;+%\"", "日本/ファイル"] {
            assert!(WorldPath::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn a_durable_name_ends_at_255_encoded_bytes() {
        assert!(WorldPath::parse(&format!("home/{}", "a".repeat(248))).is_ok());
        let long = format!("home/{}", "a".repeat(249));
        assert_eq!(WorldPath::parse(&long), Err(PathError::TooLong));
        assert!(WorldPath::parse(&format!("tmp/{}", "a".repeat(9000))).is_ok());
    }

    #[test]
    fn disk_names_escape_as_8_3_does() {
        assert_eq!(encode_disk_name("home/a b*c%d:+;e"), "home%2Fa%20b%2Ac%25d%3A+;e");
        assert_eq!(encode_disk_name("home/note.txt"), "home%2Fnote%2Etxt");
    }

    proptest! {
        #[test]
        fn no_target_panics_and_what_parses_is_stable(target in "\\PC{0,40}") {
            if let Ok(path) = WorldPath::from_target(&target) {
                prop_assert_eq!(&WorldPath::parse(path.as_str()).unwrap(), &path);
                prop_assert_eq!(&WorldPath::from_target(&path.location()).unwrap(), &path);
            }
        }

        #[test]
        fn disk_names_round_trip(path in "\\PC{1,40}") {
            prop_assert_eq!(decode_disk_name(&encode_disk_name(&path)), Some(path));
        }
    }
}
