//! `Idempotency-Key`: the same request sent again gets the first answer and writes nothing.

use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::reply::{self, Reply};
use crate::access::Identity;
use crate::engine::Caller;

/// Longest key a client may choose, in bytes.
const MAX_KEY: usize = 255;

/// Who writes, and the key under which a repetition is known: it holds for one token, method,
/// path and destination.
pub fn caller(parts: &Parts, who: &Identity) -> Result<Caller, Reply> {
    let writer = who.name.clone();
    let Some(key) = parts.headers.get("idempotency-key") else {
        return Ok(Caller { writer, key: None });
    };
    if key.is_empty() || key.len() > MAX_KEY {
        let why = format_args!("idempotency-key must have 1 to {MAX_KEY} bytes").to_string();
        return Err(reply::bad_request(why));
    }
    let destination = parts.headers.get("destination").map_or(&b""[..], |value| value.as_bytes());
    let (method, path) = (parts.method.as_str().as_bytes(), parts.uri.path().as_bytes());
    let mut hash = Sha256::new();
    for part in [&who.digest[..], method, path, destination, key.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    Ok(Caller { writer, key: Some(short) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(method: &str, path: &str, key: &str, digest: [u8; 32]) -> Option<[u8; 16]> {
        let request = hyper::Request::builder().method(method).uri(path);
        let request = request.header("idempotency-key", key).body(()).unwrap();
        let who = Identity { digest, ..Identity::default() };
        caller(&request.into_parts().0, &who).unwrap().key
    }

    #[test]
    fn a_key_is_one_tokens_and_one_requests() {
        let first = key("POST", "/home/a", "k", [1; 32]);
        assert_eq!(first, key("POST", "/home/a", "k", [1; 32]));
        for other in [
            key("PATCH", "/home/a", "k", [1; 32]),
            key("POST", "/home/b", "k", [1; 32]),
            key("POST", "/home/a", "l", [1; 32]),
            key("POST", "/home/a", "k", [2; 32]),
        ] {
            assert_ne!(first, other);
        }
    }
}
