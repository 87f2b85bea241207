//! Conditional requests (RFC 9110 §13): entity-tag lists, dates, and what they decide.

use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};

use super::range::{self, Ranges};
use crate::engine::{Conditions, Head, Tag, Tags};

/// What the conditions of a GET or HEAD come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    NotModified,
    /// 412, with the reason.
    Failed(&'static str),
}

/// The conditions of a write; the store judges them.
pub fn of_write(headers: &HeaderMap) -> Conditions {
    let if_match = tags(headers, IF_MATCH);
    // §13.1.4: the date counts only without If-Match.
    let unmodified_since =
        if if_match.is_some() { None } else { date(headers, IF_UNMODIFIED_SINCE) };
    let if_none_match = tags(headers, IF_NONE_MATCH);
    Conditions { if_match, if_none_match, unmodified_since, ..Conditions::default() }
}

/// Judges the conditions of a read in the order of §13.2.2; `gzip` says how it would be sent.
pub fn of_read(headers: &HeaderMap, head: &Head, gzip: bool) -> Verdict {
    let tag = tag_of(head);
    let modified = modified(head);
    if let Some(tags) = tags(headers, IF_MATCH) {
        if !tags.any && !tag.is_some_and(|tag| tags.matches(&tag)) {
            return Verdict::Failed("If-Match did not match current ETag");
        }
    } else if date(headers, IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Verdict::Failed("world was modified since If-Unmodified-Since");
    }
    // What the client holds is up to date if it is what would be sent, in the same coding.
    let form = if gzip { Form::Gzip } else { Form::Plain };
    if let Some(tags) = tags_in(headers, IF_NONE_MATCH, form) {
        if tags.any || tag.is_some_and(|tag| tags.matches_weakly(&tag)) {
            return Verdict::NotModified;
        }
    } else if date(headers, IF_MODIFIED_SINCE).is_some_and(|since| modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Which bytes a GET or HEAD gets, `If-Range` considered (§13.1.5).
pub fn ranges(headers: &HeaderMap, head: &Head) -> Ranges {
    let Some(value) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else {
        return Ranges::Whole;
    };
    let holds = match headers.get(IF_RANGE) {
        None => true,
        Some(validator) => validator.to_str().is_ok_and(|text| validates(text.trim(), head)),
    };
    if holds { range::parse(value, head.size) } else { Ranges::Whole }
}

/// Whether an `If-Range` names exactly this version: a strong tag or a date that cannot be weak.
fn validates(text: &str, head: &Head) -> bool {
    if text.starts_with('"') {
        // Ranges are of the bytes as they are.
        let (strong, _) = list(text, Form::Plain);
        return tag_of(head).is_some_and(|tag| strong == [tag]);
    }
    let Some(date) = parse_date(text) else { return false };
    // Within the second of the last change a date tells no versions apart (§8.8.2.2).
    date == modified(head) && now() > date + 1
}

/// The tag a world shows; one that does not hold shows none.
pub fn tag_of(head: &Head) -> Option<Tag> {
    head.fault.is_none().then_some(head.tag)
}

/// Second of the newest event.
pub fn modified(head: &Head) -> i64 {
    head.modified_us.div_euclid(1_000_000)
}

/// `Last-Modified` and the like: an IMF-fixdate.
pub fn http_date(seconds: i64) -> String {
    // Years beyond 9999 have no such form.
    let seconds = u64::try_from(seconds).unwrap_or(0).min(253_402_300_799);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn now() -> i64 {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    parse_date(headers.get(name)?.to_str().ok()?.trim())
}

fn parse_date(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// The end of a tag whose version was sent gzipped: other bytes, so another tag (§8.8.3).
pub const GZIP: &str = "-gzip";

/// Which forms of a version a tag may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Gzip,
    /// The version, in whatever form its reader got it.
    Any,
}

/// The versions that a list of tags names; a header without any text is as good as none.
pub fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Tags> {
    tags_in(headers, name, Form::Any)
}

/// All lines of a tag list as one.
fn tags_in(headers: &HeaderMap, name: HeaderName, form: Form) -> Option<Tags> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(String::from_utf8_lossy(value.as_bytes()));
    }
    let text = lines.join(",");
    match text.trim_matches([' ', '\t', ',']) {
        "" => None,
        "*" => Some(Tags { any: true, ..Tags::default() }),
        text => {
            let (strong, weak) = list(text, form);
            Some(Tags { any: false, strong, weak })
        }
    }
}

/// The strong and weak tags of a list; what is none of ours, or malformed, matches nothing.
fn list(text: &str, form: Form) -> (Vec<Tag>, Vec<Tag>) {
    let (mut strong, mut weak) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (strong, weak);
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let opaque = quoted.strip_prefix('"').and_then(|text| text.split_once('"'));
        let Some((opaque, tail)) = opaque else {
            rest = rest.split_once(',').map_or("", |(_, tail)| tail);
            continue;
        };
        rest = tail;
        let (opaque, wanted) = match opaque.strip_suffix(GZIP) {
            Some(opaque) => (opaque, form != Form::Plain),
            None => (opaque, form != Form::Gzip),
        };
        if let Some(tag) = Tag::parse(opaque).filter(|_| wanted) {
            if is_weak { weak.push(tag) } else { strong.push(tag) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn tag(digit: char) -> String {
        format!("sha256-{}", digit.to_string().repeat(64))
    }

    fn read(text: &str) -> Option<Tags> {
        let mut headers = HeaderMap::new();
        headers.append(IF_MATCH, HeaderValue::from_str(text).unwrap());
        tags(&headers, IF_MATCH)
    }

    #[test]
    fn lists_of_tags() {
        let (a, b) = (tag('a'), tag('b'));
        let (ta, tb) = (Tag::parse(&a).unwrap(), Tag::parse(&b).unwrap());
        let of = |strong: &[Tag], weak: &[Tag]| {
            Some(Tags { any: false, strong: strong.to_vec(), weak: weak.to_vec() })
        };
        let table = [
            (String::new(), None),
            (" , ".into(), None),
            ("*".into(), Some(Tags { any: true, ..Tags::default() })),
            (format!("\"{a}\""), of(&[ta], &[])),
            (format!("W/\"{a}\", \"{b}\""), of(&[tb], &[ta])),
            (format!("\"x,y\",,\"{b}\""), of(&[tb], &[])),
            (format!("{a}, \"{b}\""), of(&[tb], &[])),
            (format!("\"{a}"), of(&[], &[])),
            (format!("w/\"{a}\""), of(&[], &[])),
        ];
        for (text, expected) in table {
            assert_eq!(read(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_names_a_version_in_one_form() {
        let a = tag('a');
        let version = Tag::parse(&a).unwrap();
        let both = format!("\"{a}\", W/\"{a}-gzip\"");
        assert_eq!(list(&both, Form::Any), (vec![version], vec![version]));
        assert_eq!(list(&both, Form::Plain), (vec![version], vec![]));
        assert_eq!(list(&both, Form::Gzip), (vec![], vec![version]));
    }

    #[test]
    fn dates_in_their_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_date("yesterday"), None);
        assert_eq!(http_date(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        let _ = http_date(i64::MAX);
    }

    proptest! {
        #[test]
        fn no_list_panics(text in "[\"W/*, a-f0-9\\PC]{0,60}") {
            let _ = (list(&text, Form::Any), parse_date(&text));
        }

        #[test]
        fn every_tag_of_a_list_is_found(digits in "[0-9a-f]{1,6}", weak in any::<bool>()) {
            let texts: Vec<String> = digits.chars().map(tag).collect();
            let mark = if weak { "W/" } else { "" };
            let line: Vec<String> = texts.iter().map(|t| format!("{mark}\"{t}\"")).collect();
            let found = read(&line.join(", ")).unwrap();
            let found = if weak { found.weak } else { found.strong };
            let expected: Vec<Tag> = texts.iter().filter_map(|t| Tag::parse(t)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
