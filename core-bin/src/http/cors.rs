//! Other origins: which may ask from a browser, and which writes are not the user's own.

use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;

use super::reply::{self, Reply};

/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins that were configured, in lower case; `*` is any.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    pub fn new(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// The request's origin, when it is allowed.
    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.0.iter().any(|known| known == "*" || *known == text).then_some(origin)
    }

    /// The answer to a preflight; None when the request is none, or its origin is not allowed.
    pub fn preflight(&self, headers: &HeaderMap, methods: &'static str) -> Option<Reply> {
        headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        self.allowed(headers)?;
        let mut reply = reply::options(methods);
        let out = reply.headers_mut();
        out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        out.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(reply)
    }

    /// What an answer to this request tells the browser; a world's own headers stay.
    pub fn grant(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.allowed(headers).cloned()
    }

    /// Whether answers depend on the origin at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a browser sends this from a page of another site (with credentials of its own
    /// accord, the page's author is not the one they belong to).
    pub fn is_foreign(&self, parts: &Parts) -> bool {
        let headers = &parts.headers;
        if self.allowed(headers).is_some() {
            return false;
        }
        if let Some(site) = headers.get("sec-fetch-site") {
            return site != "same-origin" && site != "none";
        }
        let Some(origin) = headers.get(ORIGIN) else { return false };
        let host = headers.get(HOST).map(HeaderValue::as_bytes);
        let host = host.or_else(|| parts.uri.authority().map(|a| a.as_str().as_bytes()));
        let site = origin.to_str().ok().and_then(|text| text.split_once("://"));
        match (site, host) {
            (Some((_, site)), Some(host)) => !site.as_bytes().eq_ignore_ascii_case(host),
            _ => true,
        }
    }
}

/// Marks an answer for the browser that asked.
pub fn mark(reply: &mut Reply, origins: &Origins, granted: Option<HeaderValue>) {
    if origins.is_empty() {
        return;
    }
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = granted else { return };
    if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
}

pub fn foreign() -> Reply {
    let line = "forbidden: write from another site with a browser's own credentials";
    reply::error(StatusCode::FORBIDDEN, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lines: &[(&'static str, &str)]) -> Parts {
        let mut request = hyper::Request::builder().uri("/home/a").header(HOST, "disk.example:1");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn writes_of_other_sites() {
        let table: [(&[(&'static str, &str)], bool); 9] = [
            (&[], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("origin", "http://disk.example:1")], false),
            (&[("origin", "http://disk.example")], true),
            (&[("origin", "null")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://ok.example")], false),
        ];
        let origins = Origins::new(vec!["https://ok.example".into()]);
        for (lines, foreign) in table {
            assert_eq!(origins.is_foreign(&parts(lines)), foreign, "{lines:?}");
        }
    }

    #[test]
    fn a_preflight_is_answered_for_known_origins_only() {
        let origins = Origins::new(vec!["https://ok.example".into()]);
        let ask = |origin| {
            parts(&[
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "authorization"),
            ])
        };
        let reply = origins.preflight(&ask("https://OK.example").headers, "GET, PUT").unwrap();
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
        assert_eq!(reply.headers()[ACCESS_CONTROL_ALLOW_METHODS], "GET, PUT");
        assert!(origins.preflight(&ask("https://no.example").headers, "GET").is_none());
        assert!(Origins::default().preflight(&ask("https://ok.example").headers, "GET").is_none());
    }
}
