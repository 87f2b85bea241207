//! Whether an answer may and should be gzipped (RFC 9110 §8.4, §12.5.3).

use hyper::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, HeaderMap, HeaderValue};

/// Less than this does not shrink by what it costs.
pub const LEAST: u64 = 256;

/// Types besides text that shrink; the others are packed already, or unknown.
const SHRINKING: &[&str] = &[
    "application/javascript",
    "application/json",
    "application/jsonl",
    "application/toml",
    "application/wasm",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
];

/// Headers of a world whose value speaks of its bytes as they are.
const OF_THE_BYTES: &[&str] = &["content-digest", "content-md5", "digest", "repr-digest"];

/// Whether these headers of an answer leave a choice; `names` are those kept with a world.
pub fn may_shrink(content_type: &str, size: Option<u64>) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = essence.starts_with("text/") && essence != "text/event-stream";
    let structured = essence.ends_with("+json") || essence.ends_with("+xml");
    let shrinks = text || structured || SHRINKING.contains(&essence.as_str());
    shrinks && size.is_none_or(|size| size >= LEAST)
}

/// Whether a kept header says that the bytes must stay as they are.
pub fn forbids(name: &str, value: &str) -> bool {
    let transforms = || value.to_ascii_lowercase().contains("no-transform");
    name == CONTENT_ENCODING
        || (name == CACHE_CONTROL && transforms())
        || OF_THE_BYTES.contains(&name)
}

/// Whether a client takes gzip, and likes it as much as the bytes themselves.
pub fn wants_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING).iter().filter_map(text) {
        for item in value.split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let Some(weight) = weight(parameters) else { continue };
            let name = name.trim();
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                gzip = Some(weight);
            } else if name.eq_ignore_ascii_case("identity") {
                identity = Some(weight);
            } else if name == "*" {
                any = Some(weight);
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    // What is not named is acceptable, but nobody asked for it.
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Thousandths (§12.4.2); None when it is no weight.
fn weight(parameters: &str) -> Option<u16> {
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("q") {
            return thousandths(value.trim());
        }
    }
    Some(1000)
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wants(text: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_str(text).unwrap());
        wants_gzip(&headers)
    }

    #[test]
    fn the_table_of_accept_encoding() {
        let table = [
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("br, gzip", true),
            ("*", true),
            ("gzip;q=0.001", true),
            ("gzip ; q=0.5", true),
            ("identity;q=0, gzip", true),
            ("identity;q=0.5, gzip;q=0.5", true),
            ("identity;q=0, *", true),
            ("*;q=0, gzip", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("identity;q=0", false),
            ("gzip;q=2", false),
            ("gzip;q=x", false),
            ("gzip;q=0.1234", false),
            ("gzipped", false),
        ];
        for (text, expected) in table {
            assert_eq!(wants(text), expected, "{text:?}");
        }
        assert!(!wants_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_shrinks() {
        let large = Some(LEAST);
        for kind in ["text/plain; charset=utf-8", "Text/HTML", "application/problem+json"] {
            assert!(may_shrink(kind, large) && may_shrink(kind, None), "{kind}");
            assert!(!may_shrink(kind, Some(LEAST - 1)), "{kind}");
        }
        for kind in ["text/event-stream", "image/png", "application/octet-stream", "garbage", ""] {
            assert!(!may_shrink(kind, large), "{kind}");
        }
        assert!(forbids("content-encoding", "gzip") && forbids("content-md5", "x"));
        assert!(forbids("cache-control", "max-age=1, No-Transform"));
        assert!(!forbids("cache-control", "no-store") && !forbids("content-language", "en"));
    }

    proptest! {
        #[test]
        fn no_value_panics(text in "[ -~]{0,40}") {
            let _ = (wants(&text), may_shrink(&text, None));
        }

        #[test]
        fn the_larger_weight_wins(gzip in 0..=1000u16, identity in 0..=1000u16) {
            let weight = |w: u16| format!("{}.{:03}", w / 1000, w % 1000);
            let text = format!("identity;q={}, gzip;q={}", weight(identity), weight(gzip));
            prop_assert_eq!(wants(&text), gzip > 0 && gzip >= identity);
        }
    }
}
