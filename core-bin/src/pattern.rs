//! Patterns over world paths: one matcher for listeners and for tokens.
//!
//! `*` alone is everything; a final `*` is any suffix, slashes too; any other `*` stays within its
//! segment. `%2A` is a star that is meant. Without a namespace a pattern means `home/…`, unless the
//! text before its first `*` could still become a namespace (`h*`, `*/temp`).

use crate::path::{NAMESPACES, PathError, WorldPath, is_durable_namespace, percent_decode};

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Glob>,
    /// Ends with `*`: the last segment may go on, and further ones may follow.
    open: bool,
}

/// One segment: the texts between its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<String>);

impl Pattern {
    /// Everything.
    pub fn all() -> Self {
        Self { segments: vec![Glob(vec![String::new()])], open: true }
    }

    /// From its form in a request target, percent-encoded.
    pub fn parse(encoded: &str) -> Result<Self, PathError> {
        // Split at stars first: `%2A` must not become one.
        let parts: Result<Vec<String>, _> =
            encoded.split('*').map(|part| String::from_utf8(percent_decode(part))).collect();
        let mut parts = parts.map_err(|_| PathError::NotUtf8)?;
        let bare = parts[0].trim_start_matches('/').to_owned();
        parts[0] = if needs_home(&bare, parts.len() > 1) { format!("home/{bare}") } else { bare };
        if parts.len() == 1 && parts[0].is_empty() {
            return Err(PathError::EmptySegment);
        }
        check(&parts)?;
        let open = parts.len() > 1 && parts.last().is_some_and(String::is_empty);
        if open {
            parts.pop();
        }
        Ok(Self { segments: segments(parts), open })
    }

    pub fn matches(&self, path: &WorldPath) -> bool {
        let mut rest = path.as_str().split('/');
        let Some((last, firsts)) = self.segments.split_last() else { return false };
        for glob in firsts {
            if !rest.next().is_some_and(|segment| glob.matches(segment, false)) {
                return false;
            }
        }
        let Some(segment) = rest.next() else { return false };
        last.matches(segment, self.open) && (self.open || rest.next().is_none())
    }

    /// Whether everything below a path matches, also what is not there yet.
    pub fn covers(&self, path: &WorldPath) -> bool {
        let Some((last, firsts)) = self.segments.split_last().filter(|_| self.open) else {
            return false;
        };
        let mut rest = path.as_str().split('/');
        for glob in firsts {
            if !rest.next().is_some_and(|segment| glob.matches(segment, false)) {
                return false;
            }
        }
        // Either the path itself matches, or the last segment is a star alone.
        rest.next().map_or(last.is_empty(), |segment| last.matches(segment, true))
    }

    /// The text that all matches begin with, when that is all the pattern says.
    pub fn prefix(&self) -> Option<String> {
        let text = |Glob(texts): &Glob| (texts.len() == 1).then(|| texts[0].clone());
        let texts: Option<Vec<String>> = self.segments.iter().map(text).collect();
        texts.filter(|_| self.open).map(|texts| texts.join("/"))
    }

    /// Whether a world that lives in memory could match.
    pub fn may_match_memory(&self) -> bool {
        let only = self.segments.len() == 1;
        let Some(first) = self.segments.first() else { return false };
        NAMESPACES.iter().any(|namespace| {
            !is_durable_namespace(namespace)
                && *namespace != "proc"
                && first.matches(namespace, self.open && only)
        })
    }
}

impl Glob {
    fn is_empty(&self) -> bool {
        self.0.iter().all(String::is_empty)
    }

    /// With `open`, the end of the segment may be anything.
    fn matches(&self, segment: &str, open: bool) -> bool {
        let Some((first, others)) = self.0.split_first() else { return false };
        let Some(mut rest) = segment.strip_prefix(first.as_str()) else { return false };
        let Some((last, inner)) = others.split_last() else { return open || rest.is_empty() };
        // Between stars the leftmost find is as good as any other.
        for text in inner {
            let Some(at) = rest.find(text.as_str()) else { return false };
            rest = &rest[at + text.len()..];
        }
        if open { rest.contains(last.as_str()) } else { rest.ends_with(last.as_str()) }
    }
}

/// Whether a pattern with this text before its first star lives under `home/`.
fn needs_home(text: &str, has_star: bool) -> bool {
    match text.split_once('/') {
        Some((first, _)) => !NAMESPACES.contains(&first),
        None if has_star => !NAMESPACES.iter().any(|namespace| namespace.starts_with(text)),
        None => !text.is_empty() && !NAMESPACES.contains(&text),
    }
}

/// Refuses what no world's path can match.
fn check(parts: &[String]) -> Result<(), PathError> {
    let text = parts.join("*");
    if text.split('/').any(str::is_empty) {
        return Err(PathError::EmptySegment);
    }
    if text.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(PathError::DotSegment);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::ControlBytes);
    }
    if text.contains('\\') {
        return Err(PathError::Backslash);
    }
    Ok(())
}

/// Cuts the texts between stars at slashes.
fn segments(parts: Vec<String>) -> Vec<Glob> {
    let mut out = vec![Glob(Vec::new())];
    for part in parts {
        for (at, piece) in part.split('/').enumerate() {
            if at > 0 {
                out.push(Glob(Vec::new()));
            }
            if let Some(Glob(texts)) = out.last_mut() {
                texts.push(piece.to_owned());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pattern, paths it matches, paths it does not.
    const CASES: &[(&str, &[&str], &[&str])] = &[
        ("*", &["home/a", "tmp/x/y", "var/log/deletes"], &[]),
        ("home/a", &["home/a"], &["home/ab", "home/a/b", "tmp/a"]),
        ("/home/a", &["home/a"], &["home/ab"]),
        ("//home/a", &["home/a"], &[]),
        ("a", &["home/a"], &["home/ab", "tmp/a"]),
        ("a/*", &["home/a/b", "home/a/b/c"], &["home/a", "home/ab"]),
        ("home/a*", &["home/a", "home/ab", "home/a/b/c"], &["home/b"]),
        ("home/*", &["home/a", "home/a/b"], &["tmp/a"]),
        ("home/**", &["home/a", "home/a/b"], &["tmp/a"]),
        ("h*", &["home/a", "home/a/b"], &["tmp/a"]),
        ("home*", &["home/a"], &["tmp/a"]),
        ("t*", &["tmp/a"], &["home/t"]),
        ("sensor*", &["home/sensor", "home/sensors/a"], &["home/a"]),
        ("home/*/temp", &["home/a/temp"], &["home/temp", "home/a/b/temp", "home/a/temp/x"]),
        ("*/temp", &["home/temp", "tmp/temp"], &["home/a/temp"]),
        ("*/temp/*", &["home/temp/x", "tmp/temp/x/y"], &["home/temp"]),
        ("sensor/*/temp", &["home/sensor/1/temp"], &["home/sensor/1/2/temp"]),
        ("home/b*d/x", &["home/bd/x", "home/bcd/x"], &["home/bc/x", "home/b/d/x"]),
        ("home/a*a", &["home/aa", "home/aba"], &["home/a", "home/aab"]),
        ("home/a*b*c*", &["home/abc", "home/axbxc/y", "home/abcd"], &["home/acb", "home/ab/c"]),
        ("home/a%2Ab", &["home/a*b"], &["home/acb"]),
        ("home/a%2A", &["home/a*"], &["home/ab"]),
        ("home/%E6%97%A5*", &["home/日", "home/日本/x"], &["home/本"]),
        ("Home/a", &["home/Home/a"], &["home/a"]),
        ("home", &[], &["home/a", "home/home"]),
        ("proc/version", &[], &["home/proc/version"]),
    ];

    #[test]
    fn the_table_of_cases() {
        for (text, yes, no) in CASES {
            let pattern = Pattern::parse(text).unwrap();
            for path in *yes {
                assert!(pattern.matches(&WorldPath::parse(path).unwrap()), "{text} {path}");
            }
            for path in *no {
                assert!(!pattern.matches(&WorldPath::parse(path).unwrap()), "{text} {path}");
            }
        }
    }

    #[test]
    fn what_can_never_match_is_refused() {
        let table = [
            ("", PathError::EmptySegment),
            ("/", PathError::EmptySegment),
            ("a/", PathError::EmptySegment),
            ("a//*", PathError::EmptySegment),
            ("home/../x", PathError::DotSegment),
            ("a%00", PathError::ControlBytes),
            ("a%5Cb", PathError::Backslash),
            ("%FF", PathError::NotUtf8),
        ];
        for (text, error) in table {
            assert_eq!(Pattern::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn what_covers_all_below_a_path() {
        let table = [
            ("*", true),
            ("home/*", true),
            ("home/a/*", true),
            ("home/a*", true),
            ("home/*/*", true),
            ("home/a", false),
            ("home/a/b*", false),
            ("home/a/*/c", false),
            ("home/ab/*", false),
            ("tmp/*", false),
        ];
        let path = WorldPath::parse("home/a").unwrap();
        for (text, covers) in table {
            assert_eq!(Pattern::parse(text).unwrap().covers(&path), covers, "{text}");
        }
    }

    #[test]
    fn memory_is_told_from_durable() {
        for (text, memory) in
            [("*", true), ("t*", true), ("tmp/a", true), ("*/x", true), ("d*", true)]
                .into_iter()
                .chain([("home/*", false), ("a*", false), ("h*", false), ("p*", false)])
        {
            assert_eq!(Pattern::parse(text).unwrap().may_match_memory(), memory, "{text}");
        }
        assert!(Pattern::all().may_match_memory());
    }

    proptest! {
        #[test]
        fn no_pattern_panics(text in "\\PC{0,20}", path in "[a-z*/%]{1,20}") {
            if let (Ok(pattern), Ok(path)) = (Pattern::parse(&text), WorldPath::parse(&path)) {
                let _ = (pattern.matches(&path), pattern.may_match_memory());
            }
        }

        #[test]
        fn a_path_matches_itself_and_its_prefixes(path in "[a-z*%]{1,8}(/[a-z*%]{1,8}){0,3}") {
            // A namespace alone is no world.
            let Ok(path) = WorldPath::parse(&path) else { return Ok(()) };
            let text = path.as_str().replace('%', "%25").replace('*', "%2A");
            prop_assert!(Pattern::parse(&text).unwrap().matches(&path));
            for cut in 0..=text.len() {
                // An escape that is cut in two is another text.
                if !text[..cut].contains('%') {
                    let prefix = format!("{}*", &text[..cut]);
                    let known = NAMESPACES.iter().any(|n| prefix.starts_with(n)) || cut < 3;
                    prop_assert!(!known || Pattern::parse(&prefix).unwrap().matches(&path));
                }
            }
        }

        #[test]
        fn segments_match_as_a_plain_search_does(glob in "[ab*]{1,8}", text in "[ab]{1,8}") {
            let pattern = Pattern::parse(&format!("home/{glob}")).unwrap();
            let path = WorldPath::parse(&format!("home/{text}")).unwrap();
            prop_assert_eq!(pattern.matches(&path), slow(glob.as_bytes(), text.as_bytes()));
        }
    }

    fn slow(glob: &[u8], text: &[u8]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), None) => slow(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => slow(rest, text) || slow(glob, tail),
            (Some((x, rest)), Some((y, tail))) => x == y && slow(rest, tail),
            (Some(_), None) => false,
        }
    }
}
