//! Holds a kept version against the log's row of the event that made it.

use super::chain::{Covered, event_hmac, meta_sha256};
use super::finding::{Finding, Problem};
use super::keys::KeyTable;
use super::log::{LogKind, LogRow};
use crate::store::{Hash, Headers, hex};

/// A kept version's row as the file has it, whatever was done to it; hashes in hex.
#[derive(Clone, Debug)]
pub struct VersionRow {
    pub seq: u64,
    pub path: String,
    /// The id of its event in the world's chain, from 1: what `get --at` names it by.
    pub event: i64,
    pub time_us: i64,
    pub size: i64,
    pub content_type: String,
    pub headers: Headers,
    pub body_sha256: String,
    pub hmac: String,
    pub body: Option<Vec<u8>>,
    pub object: Option<i64>,
    /// What the world's chain says of the body, while it is there.
    pub chained: Option<String>,
}

impl VersionRow {
    pub fn finding(
        &self,
        problem: Problem,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Finding {
        let event = u64::try_from(self.event - 1).unwrap_or(0);
        Finding::of_world(problem, &self.path, expected, actual).at_event(event).at_seq(self.seq)
    }

    /// Its row against the log's; `prev` is the HMAC of the world's event before,
    /// where that is known.
    pub fn logged(
        &self,
        logged: Option<&LogRow>,
        prev: Option<&str>,
        keys: &KeyTable,
    ) -> Option<Finding> {
        let Some(logged) = logged else {
            let expected = format!("log {}", self.seq);
            return Some(self.finding(Problem::VersionNotLogged, expected, "no such row"));
        };
        if let Some((expected, actual)) = self.differs(logged) {
            return Some(self.finding(Problem::VersionRow, expected, actual));
        }
        self.chained().or_else(|| self.recomputed(logged, prev, keys))
    }

    /// Its body's hash against the one in the world's chain.
    pub fn chained(&self) -> Option<Finding> {
        let expected = self.chained.as_ref().filter(|hash| **hash != self.body_sha256)?;
        let (expected, actual) =
            (format!("body-sha256-{expected}"), format!("body-sha256-{}", self.body_sha256));
        Some(self.finding(Problem::VersionRow, expected, actual))
    }

    fn differs(&self, logged: &LogRow) -> Option<(String, String)> {
        let differ = |name: &str, logged: &str, row: &str| {
            (logged != row).then(|| (format!("{name}-{logged}"), format!("{name}-{row}")))
        };
        let import = logged.kind == LogKind::Import;
        differ("path", &logged.path, &self.path)
            .or_else(|| differ("hmac", &logged.hmac, &self.hmac))
            .or_else(|| differ("size", &logged.size.to_string(), &self.size.to_string()))
            .or_else(|| differ("content-type", &logged.content_type, &self.content_type))
            .or_else(|| {
                let (expected, actual) = (logged.time_us.to_string(), self.time_us.to_string());
                differ("time", &expected, &actual).filter(|_| !import)
            })
    }

    /// The event's HMAC made anew: it covers the body's hash and the headers, also where the chain
    /// went with its world.
    fn recomputed(&self, logged: &LogRow, prev: Option<&str>, keys: &KeyTable) -> Option<Finding> {
        let (kind, prev) = match logged.kind {
            LogKind::Create => ("put", ""),
            LogKind::Replace => ("put", prev?),
            LogKind::Append => ("append", prev?),
            _ => return None,
        };
        let covered = Covered {
            prev,
            kind,
            target: &self.path,
            body_sha256: &self.body_sha256,
            size: &self.size.to_string(),
            content_type: &self.content_type,
            meta_sha256: &hex(&meta_sha256(&self.content_type, &self.headers)),
        };
        let expected = hex(&event_hmac(keys.key(logged.key)?, &covered));
        (expected != self.hmac).then(|| {
            let (expected, actual) = (format!("hmac-{expected}"), format!("hmac-{}", self.hmac));
            self.finding(Problem::VersionRow, expected, actual)
        })
    }

    /// Its bytes against its own hash.
    pub fn body(&self, found: Result<Hash, String>) -> Option<Finding> {
        let expected = format!("body-sha256-{}", self.body_sha256);
        let actual = found.map_or_else(|why| why, |hash| format!("body-sha256-{}", hex(&hash)));
        (expected != actual).then(|| self.finding(Problem::VersionBody, expected, actual))
    }
}
