//! Holds a world's chain against the log, and the world as it stands against its newest event.

use sha2::{Digest, Sha256};

use super::chain::{Replay, meta_sha256};
use super::finding::{Finding, Problem};
use super::keys::KeyTable;
use super::log::{LogKind, LogRow};
use crate::path::LEDGER;
use crate::store::{ChainRow, Hash, Headers, hex};

/// A world's row as the file has it, whatever was done to it.
#[derive(Clone, Debug)]
pub struct WorldRow {
    pub id: i64,
    pub path: String,
    pub seq: u64,
    pub event_id: i64,
    pub events: u64,
    /// In hex, as are the hashes of a chain's row.
    pub hmac: String,
    pub body_sha256: String,
    pub size: i64,
    pub content_type: String,
    pub headers: Headers,
    pub modified_us: i64,
    /// The body when it lies in the row.
    pub body: Option<Vec<u8>>,
    pub object: Option<i64>,
    pub fault: Option<String>,
}

/// The walk along one world's chain.
pub struct WorldWalk<'a> {
    path: &'a str,
    keys: &'a KeyTable,
    /// Rows of the log up to this number were pruned.
    pruned: u64,
    replay: Replay,
    last: Option<ChainRow>,
    /// The newest event about the world itself: in the ledger the others are about deletes.
    own: Option<ChainRow>,
    times: Times,
    import: Option<Import>,
    /// The first event whose key is not in the keyring, with that key's number.
    pub unkeyed: Option<(u64, i64)>,
}

/// The log's row of an import, and how far the walk came with it.
struct Import {
    link: String,
    hmac: String,
    tip: String,
}

impl<'a> WorldWalk<'a> {
    pub fn new(path: &'a str, keys: &'a KeyTable, pruned: u64) -> Self {
        let (replay, times) = (Replay::default(), Times::default());
        Self {
            path,
            keys,
            pruned,
            replay,
            last: None,
            own: None,
            times,
            import: None,
            unkeyed: None,
        }
    }

    pub fn events(&self) -> u64 {
        self.replay.rows
    }

    pub fn genesis(&self) -> &str {
        &self.replay.first
    }

    pub fn latest(&self) -> &str {
        &self.replay.last
    }

    /// The next event, with the row of the log that has its number.
    pub fn event(&mut self, row: ChainRow, logged: Option<&LogRow>) -> Result<(), Finding> {
        self.target(&row, logged)?;
        let key = self.keys.key(row.key);
        let at = self.replay.rows;
        if key.is_none() {
            self.unkeyed.get_or_insert((at, row.key));
        }
        if let Err(found) = self.replay.row(key, &row) {
            let finding = Finding::of_world(found.problem, self.path, found.expected, found.actual);
            return Err(finding.at_event(at).at_seq(row.seq));
        }
        match logged {
            None if row.seq <= self.pruned => {}
            None => {
                let (expected, actual) = (format!("log {}", row.seq), "no such row");
                let finding =
                    Finding::of_world(Problem::EventNotLogged, self.path, expected, actual);
                return Err(finding.at_event(at).at_seq(row.seq));
            }
            Some(logged) if logged.kind == LogKind::Import => {
                self.times.add(&row);
                let import = self.import.get_or_insert_with(|| Import {
                    link: logged.link.clone(),
                    hmac: logged.hmac.clone(),
                    tip: String::new(),
                });
                import.tip.clone_from(&row.hmac);
            }
            Some(logged) => {
                if let Some((expected, actual)) = differs(&row, logged) {
                    let finding = Finding::of_world(Problem::EventLog, self.path, expected, actual);
                    return Err(finding.at_event(at).at_seq(row.seq));
                }
            }
        }
        if self.path != LEDGER || !row.kind.starts_with("delete") {
            self.own = Some(row.clone());
        }
        self.last = Some(row);
        Ok(())
    }

    /// An event is about its own world; in the ledger, about the one that was deleted.
    fn target(&self, row: &ChainRow, logged: Option<&LogRow>) -> Result<(), Finding> {
        let of_ledger = self.path == LEDGER && row.kind.starts_with("delete");
        let written = match logged {
            Some(logged) if logged.kind != LogKind::Import || !of_ledger => &logged.path,
            _ => &row.target,
        };
        if *written == row.target && (of_ledger || row.target == self.path) {
            return Ok(());
        }
        let actual = if row.target == *written { self.path } else { &row.target };
        let finding = Finding::of_world(Problem::WorldRenamed, self.path, written, actual);
        Err(finding.at_event(self.replay.rows).at_seq(row.seq))
    }

    /// The world's row against its newest event; the body is asked for by `body`.
    pub fn row(&self, world: &WorldRow, findings: &mut Vec<Finding>) {
        let mut found = |problem, expected: String, actual: String| {
            let at = self.replay.rows.saturating_sub(1);
            let finding = Finding::of_world(problem, self.path, expected, actual);
            findings.push(finding.at_event(at).at_seq(world.seq));
        };
        let Some(last) = &self.last else {
            return found(
                Problem::NoEvents,
                "at-least-one-event".to_owned(),
                "no-events".to_owned(),
            );
        };
        let names = |hmac: &str, events: u64, id: i64, seq: u64| {
            format!("hmac-{hmac} events-{events} id-{id} log-{seq}")
        };
        let expected = names(&last.hmac, self.replay.rows, last.id, last.seq);
        let actual = names(&world.hmac, world.events, world.event_id, world.seq);
        if expected != actual {
            found(Problem::WorldHead, expected, actual);
        }
        if world.modified_us != last.time_us {
            let (expected, actual) = (last.time_us.to_string(), world.modified_us.to_string());
            found(Problem::WorldTime, expected, actual);
        }
        let size = self.own.as_ref().map_or(0, |own| own.size);
        if world.size != size {
            found(Problem::WorldSize, size.to_string(), world.size.to_string());
        }
        let meta = |content_type: &str, headers: &Headers| {
            format!("{content_type} meta-sha256-{}", hex(&meta_sha256(content_type, headers)))
        };
        let expected = match &self.own {
            Some(own) => meta(&own.content_type, &own.headers),
            None => meta("application/octet-stream", &[].into()),
        };
        let actual = meta(&world.content_type, &world.headers);
        if expected != actual {
            found(Problem::WorldType, expected, actual);
        }
        let expected = self.body_sha256();
        if world.body_sha256 != expected {
            let (expected, actual) =
                (format!("body-sha256-{expected}"), format!("body-sha256-{}", world.body_sha256));
            found(Problem::WorldHead, expected, actual);
        }
        if let Some(import) = &self.import {
            if import.hmac != import.tip {
                let (expected, actual) =
                    (format!("hmac-{}", import.hmac), format!("hmac-{}", import.tip));
                found(Problem::EventLog, expected, actual);
            }
            let times = self.times.link();
            if import.link != times {
                found(Problem::ImportTimes, import.link.clone(), times);
            }
        }
    }

    /// What the body must hash to, in hex.
    pub fn body_sha256(&self) -> String {
        match &self.own {
            Some(own) => own.body_sha256.clone(),
            None => hex(&super::sha256(b"")),
        }
    }

    pub fn body(&self, world: &WorldRow, found: &Hash) -> Option<Finding> {
        let (expected, actual) = (self.body_sha256(), hex(found));
        (expected != actual).then(|| {
            let (expected, actual) =
                (format!("body-sha256-{expected}"), format!("body-sha256-{actual}"));
            Finding::of_world(Problem::WorldBody, self.path, expected, actual).at_seq(world.seq)
        })
    }
}

/// The first thing in which an event is not what the log recorded.
fn differs(row: &ChainRow, logged: &LogRow) -> Option<(String, String)> {
    let kind = match logged.kind {
        LogKind::Create | LogKind::Replace => "put",
        LogKind::Append => "append",
        LogKind::DeleteIntent => "delete_intent",
        LogKind::Delete => "delete_commit",
        _ => "no event",
    };
    let differ = |name: &str, logged: &str, row: &str| {
        (logged != row).then(|| (format!("{name}-{logged}"), format!("{name}-{row}")))
    };
    differ("hmac", &logged.hmac, &row.hmac)
        .or_else(|| differ("type", kind, &row.kind))
        .or_else(|| differ("content-type", &logged.content_type, &row.content_type))
        .or_else(|| differ("size", &logged.size.to_string(), &row.size.to_string()))
        .or_else(|| differ("time", &logged.time_us.to_string(), &row.time_us.to_string()))
        .or_else(|| differ("key", &logged.key.to_string(), &row.key.to_string()))
}

/// The timestamps of imported events, which their HMACs do not cover.
#[derive(Default)]
pub struct Times {
    events: u64,
    hash: Sha256,
}

impl Times {
    pub fn add(&mut self, row: &ChainRow) {
        self.events += 1;
        let text = row.time_text.as_deref().unwrap_or_default();
        self.hash.update(format!("{}\0{}\0{text}\0", row.id, row.time_us));
    }

    /// What the log's row of the import says of them.
    pub fn link(&self) -> String {
        format!("events {} times {}", self.events, hex(&self.hash.clone().finalize()))
    }
}
