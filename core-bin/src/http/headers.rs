//! Which request headers stay with a world (core.md §3.5), and its content type.

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::engine::Headers;

/// Never kept, whatever is configured: they are about one request, one connection or one client.
#[rustfmt::skip]
const DENIED: &[&str] = &[
    "accept", "accept-ch", "accept-charset", "accept-encoding", "accept-language", "accept-ranges",
    "age", "allow", "alt-svc", "alt-used", "attribution-reporting-eligible", "authorization",
    "available-dictionary", "b3", "baggage", "clear-site-data", "client-ip", "connection",
    "content-length", "content-range", "content-type", "cookie", "critical-ch", "date", "depth",
    "destination", "device-memory", "dictionary-id", "dnt", "downlink", "dpr", "early-data", "ect",
    "etag", "expect", "forwarded", "from", "host", "http2-settings", "http3-settings",
    "idempotency-key", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "keep-alive", "link", "location", "max-forwards", "origin", "overwrite",
    "pragma", "prefer", "preference-applied", "priority", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "range", "referer", "referrer", "retry-after", "rtt",
    "save-data", "server", "server-timing", "service-worker", "service-worker-navigation-preload",
    "set-cookie", "te", "traceparent", "tracestate", "trailer", "transfer-encoding",
    "true-client-ip", "upgrade", "upgrade-insecure-requests", "user-agent", "vary", "via",
    "viewport-width", "width", "www-authenticate", "x-append-offset", "x-content-type-options",
    "x-destination-if-match", "x-destination-if-none-match", "x-elapsed-ms", "x-elapsed-us",
    "x-elastik-purge", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-powered-by",
    "x-real-ip", "x-request-id",
];

const DENIED_PREFIXES: &[&str] =
    &["sec-", "want-", "access-control-request-", "x-b3-", "x-amzn-", "cf-", ":"];

/// Kept without being asked for: what describes the bytes or rules their use.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "access-control-allow-credentials", "access-control-allow-headers",
    "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers",
    "access-control-max-age", "cache-control", "content-disposition", "content-encoding",
    "content-language", "content-md5", "content-security-policy",
    "content-security-policy-report-only", "cross-origin-embedder-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "expires", "permissions-policy",
    "referrer-policy", "x-elastik-ttl", "x-frame-options", "x-observed-at", "x-robots-tag",
];

/// The configured layers of the decision.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    allow: Vec<Name>,
    deny: Vec<Name>,
}

#[derive(Clone, Debug)]
enum Name {
    Exact(String),
    Prefix(String),
}

impl Name {
    /// A bare `*` and an inner one match nothing.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some(prefix) if prefix.is_empty() || prefix.contains('*') => None,
            Some(prefix) => Some(Self::Prefix(prefix.to_owned())),
            None if text.contains('*') => None,
            None => Some(Self::Exact(text.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => text == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

impl Policy {
    /// From names in lower case, a final `*` for any suffix.
    pub fn new(allow: &[String], deny: &[String]) -> Self {
        let parse = |names: &[String]| names.iter().filter_map(|name| Name::parse(name)).collect();
        Self { allow: parse(allow), deny: parse(deny) }
    }

    fn keeps(&self, name: &str) -> bool {
        let denied = DENIED.contains(&name)
            || DENIED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || self.deny.iter().any(|rule| rule.matches(name));
        !denied && (ALLOWED.contains(&name) || self.allow.iter().any(|rule| rule.matches(name)))
    }

    /// The headers to keep, sorted by name; of a repeated one the last value.
    pub fn kept(&self, headers: &HeaderMap) -> Headers {
        let mut kept: Vec<(String, String)> = Vec::new();
        for name in headers.keys().filter(|name| self.keeps(name.as_str())) {
            let last = headers.get_all(name).iter().filter_map(visible).next_back();
            if let Some(value) = last {
                kept.push((name.as_str().to_owned(), value.to_owned()));
            }
        }
        kept.sort_unstable();
        kept.into()
    }
}

/// The value as text, if it is visible ASCII, blanks and tabs.
fn visible(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// The request's content type, word for word; octets when it has none.
pub fn content_type(headers: &HeaderMap) -> &str {
    let given = headers.get(CONTENT_TYPE).and_then(visible).unwrap_or_default();
    if given.is_empty() { "application/octet-stream" } else { given }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn map(lines: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Policy::new(&own(allow), &own(deny))
    }

    #[test]
    fn the_four_layers_in_their_order() {
        let policy =
            policy(&["x-meta-*", "cookie", "*", "a*b", "sec-x"], &["x-meta-no", "expires"]);
        let table = [
            ("cookie", false),
            ("sec-x", false),
            ("x-meta-no", false),
            ("expires", false),
            ("cache-control", true),
            ("x-observed-at", true),
            ("x-meta-a", true),
            ("x-meta-", true),
            ("x-other", false),
            ("aab", false),
            ("content-type", false),
        ];
        for (name, kept) in table {
            assert_eq!(policy.keeps(name), kept, "{name}");
        }
    }

    #[test]
    fn the_last_value_stays_and_names_are_sorted() {
        let policy = policy(&["x-*"], &[]);
        let headers = policy.kept(&map(&[
            ("x-b", b"1"),
            ("X-A", b"one"),
            ("x-a", b"two"),
            ("x-bad", b"\xff"),
            ("x-empty", b""),
        ]));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(*headers, [pair("x-a", "two"), pair("x-b", "1"), pair("x-empty", "")]);
    }

    #[test]
    fn content_type_is_kept_word_for_word() {
        assert_eq!(content_type(&map(&[("content-type", b"Garbage")])), "Garbage");
        for lines in [&[][..], &[("content-type", &b""[..])], &[("content-type", b"\xff")]] {
            assert_eq!(content_type(&map(lines)), "application/octet-stream");
        }
        let two: &[(&str, &[u8])] = &[("content-type", b"a/b"), ("content-type", b"c/d")];
        assert_eq!(content_type(&map(two)), "a/b");
    }

    #[test]
    fn the_lists_are_in_order() {
        assert!(DENIED.is_sorted() && ALLOWED.is_sorted());
    }

    proptest! {
        #[test]
        fn only_headers_that_may_be_sent_again_are_kept(
            lines in vec(("[a-z-]{1,20}", "[ -~\t\u{80}-\u{ff}]{0,12}"), 0..6),
            denied in any::<prop::sample::Index>(),
            rule in "[a-z*-]{0,6}",
        ) {
            let denied = DENIED[denied.index(DENIED.len())];
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static("x-first"), HeaderValue::from_static("1"));
            for (name, value) in lines.iter().map(|(n, v)| (n.as_str(), v)).chain([(denied, &rule)]) {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                if let Ok(value) = HeaderValue::from_str(value.trim()) {
                    headers.append(name, value);
                }
            }
            let kept = policy(&["x-*", &rule], &[]).kept(&headers);
            prop_assert!(kept.iter().all(|(name, _)| name != denied));
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for (name, value) in &*kept {
                prop_assert!(headers.contains_key(name) && HeaderValue::from_str(value).is_ok());
            }
        }
    }
}
