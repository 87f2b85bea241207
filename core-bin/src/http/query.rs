//! Values in the query of a request target.

use super::reply::{self, Reply};
use crate::path::percent_decode;

/// The values of `name` as they stand, still encoded.
pub fn raw<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The first value of `name`, percent-decoded.
pub fn text(query: Option<&str>, name: &str) -> Result<Option<String>, Reply> {
    let Some(value) = raw(query, name).next() else { return Ok(None) };
    let text = String::from_utf8(percent_decode(value));
    text.map(Some).map_err(|_| reply::bad_request(format_args!("{name} is not UTF-8")))
}

/// The first value of `name` as a number.
pub fn number(query: Option<&str>, name: &str) -> Result<Option<u64>, Reply> {
    let Some(value) = raw(query, name).next() else { return Ok(None) };
    let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if plain => Ok(Some(number)),
        _ => Err(reply::bad_request(format_args!("{name} must be a number; got {value:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_by_their_name() {
        let query = Some("limit=5&after=home/a%20b&x&limitless=1&pattern=a&pattern=b*");
        assert_eq!(number(query, "limit").ok(), Some(Some(5)));
        assert_eq!(number(query, "depth").ok(), Some(None));
        assert_eq!(text(query, "after").ok(), Some(Some("home/a b".to_owned())));
        assert_eq!(raw(query, "pattern").collect::<Vec<_>>(), ["a", "b*"]);
        for bad in ["limit=", "limit=-1", "limit=x", "limit=99999999999999999999"] {
            assert!(number(Some(bad), "limit").is_err(), "{bad}");
        }
        assert!(text(Some("after=%FF"), "after").is_err());
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "\\PC{0,40}") {
            let _ = (number(Some(&query), "limit"), text(Some(&query), "after"));
        }
    }
}
