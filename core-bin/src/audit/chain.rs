//! A world's own chain: byte for byte that of 8.3 (core.md §4.4), and its check (§5).

use sha2::{Digest, Sha256};

use super::finding::Problem;
use super::keys::AuditKey;
use crate::store::{ChainRow, Hash, hex};

/// SHA-256 over the content type and the headers, sorted by name, then value.
pub fn meta_sha256(content_type: &str, headers: &[(String, String)]) -> Hash {
    let mut hash = Sha256::new();
    field(&mut hash, "content-type", content_type);
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        field(&mut hash, name, value);
    }
    hash.finalize().into()
}

fn field(hash: &mut Sha256, name: &str, value: &str) {
    for part in [name.as_bytes(), b"\0", value.as_bytes(), b"\0"] {
        hash.update(part);
    }
}

/// What an event's HMAC covers; all values as the row stores them.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    pub prev: &'a str,
    pub kind: &'a str,
    pub target: &'a str,
    pub body_sha256: &'a str,
    pub size: &'a str,
    pub content_type: &'a str,
    pub meta_sha256: &'a str,
}

/// The HMAC of one event.
pub fn event_hmac(key: &AuditKey, event: &Covered<'_>) -> Hash {
    key.event(&[
        ("prev", event.prev),
        ("type", event.kind),
        ("target", event.target),
        ("body-sha256", event.body_sha256),
        ("size", event.size),
        ("content-type", event.content_type),
        ("meta-sha256", event.meta_sha256),
    ])
}

/// Where a chain breaks, in the words of 8.3's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    pub problem: Problem,
    /// Position of the row, from 0.
    pub at: u64,
    pub expected: String,
    pub actual: String,
}

/// Replays a chain row by row.
#[derive(Default)]
pub struct Replay {
    pub rows: u64,
    pub first: String,
    pub last: String,
}

impl Replay {
    /// Checks the next row: its link, its headers' hash, its HMAC, in that order. Without a key
    /// the HMAC is taken as it is.
    pub fn row(&mut self, key: Option<&AuditKey>, row: &ChainRow) -> Result<(), Break> {
        let at = self.rows;
        let fail = |problem, expected: String, actual: String| {
            Err(Break { problem, at, expected, actual })
        };
        if row.prev_hmac != self.last {
            let (expected, actual) =
                (format!("hmac-{}", self.last), format!("hmac-{}", row.prev_hmac));
            return fail(Problem::ChainLink, expected, actual);
        }
        let meta = hex(&meta_sha256(&row.content_type, &row.headers));
        if row.meta_sha256 != meta {
            let (expected, actual) =
                (format!("meta-sha256-{meta}"), format!("meta-sha256-{}", row.meta_sha256));
            return fail(Problem::ChainMeta, expected, actual);
        }
        if let Some(key) = key {
            let hmac = hex(&row.hmac_under(key));
            if row.hmac != hmac {
                let (expected, actual) = (format!("hmac-{hmac}"), format!("hmac-{}", row.hmac));
                return fail(Problem::ChainMac, expected, actual);
            }
        }
        if at == 0 {
            self.first.clone_from(&row.hmac);
        }
        self.last.clone_from(&row.hmac);
        self.rows += 1;
        Ok(())
    }
}

impl ChainRow {
    /// What the row's HMAC must be.
    pub fn hmac_under(&self, key: &AuditKey) -> Hash {
        event_hmac(
            key,
            &Covered {
                prev: &self.prev_hmac,
                kind: &self.kind,
                target: &self.target,
                body_sha256: &self.body_sha256,
                size: &self.size.to_string(),
                content_type: &self.content_type,
                meta_sha256: &self.meta_sha256,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sha256;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn hmac(kind: &str, body: &[u8], content_type: &str, prev: &str) -> String {
        let meta = hex(&meta_sha256(content_type, &[]));
        let event = Covered {
            prev,
            kind,
            target: "home/zz",
            body_sha256: &hex(&sha256(body)),
            size: &body.len().to_string(),
            content_type,
            meta_sha256: &meta,
        };
        hex(&event_hmac(&AuditKey::new(KEY), &event))
    }

    #[test]
    fn the_worked_vectors_of_the_published_core_hold() {
        let first = hmac("put", b"1", "application/octet-stream", "");
        assert_eq!(first, "1933fb4ef5af8f7e6059220b23ec037976c8e70300947db4d9b5db3d93c1bf91");
        let second = hmac("put", b"1", "text/plain", &first);
        assert_eq!(second, "bd13fdc9eafa75940ee455ecc0cc9925ee418aa0604eecc7efb960d58baf27b0");
    }

    #[test]
    fn the_headers_hash_is_that_of_the_published_core() {
        let headers = [
            ("x-meta-project", "demo"),
            ("cache-control", "max-age=60"),
            ("content-disposition", "attachment; filename=\"a b.html\""),
            ("content-language", "en"),
            ("x-meta-author", "me"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            hex(&meta_sha256("text/html", &headers)),
            "a7064a72c9bac408a37926519583774f67ca282c4ca0136f52c0dc2cccbf5d6c"
        );
    }
}
