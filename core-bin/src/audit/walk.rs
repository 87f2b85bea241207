//! Walks the log from its first row: links, MACs, keys, anchors, and what it says of each world.

use std::collections::HashMap;

use super::anchor::Anchor;
use super::finding::{Finding, Problem};
use super::keys::KeyTable;
use super::log::{LogKind, LogRow, genesis, mac};
use crate::path::LEDGER;
use crate::store::{Hash, hex};

/// What the log says last of a world that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub seq: u64,
    pub hmac: String,
}

/// Where a walk begins: at the store's birth, or where the log was pruned.
#[derive(Clone, Debug)]
pub struct Start {
    pub seq: u64,
    pub mac: Hash,
    pub key: i64,
    /// Number of the row that recorded the pruning; it tells of every world that was there then.
    pub told_at: u64,
    pub worlds: HashMap<String, Newest>,
}

impl Start {
    pub fn birth(store_id: &[u8], first_key: i64) -> Self {
        let (mac, worlds) = (genesis(store_id), HashMap::new());
        Self { seq: 0, mac, key: first_key, told_at: 0, worlds }
    }
}

/// The walk so far.
pub struct LogWalk<'a> {
    keys: &'a KeyTable,
    start: Start,
    pub rows: u64,
    pub seq: u64,
    pub mac: Hash,
    pub time_us: i64,
    /// Number of the key in force.
    pub key: i64,
    /// Worlds that are there, as far as the log knows.
    pub worlds: HashMap<String, Newest>,
    /// Rows whose key is not in the keyring, by its number.
    pub unknown: HashMap<i64, u64>,
    anchors: Vec<Anchor>,
    pub findings: Vec<Finding>,
}

impl<'a> LogWalk<'a> {
    pub fn new(store_id: &[u8], keys: &'a KeyTable, mut start: Start, anchors: &[Anchor]) -> Self {
        let mut walk = Self {
            keys,
            rows: 0,
            seq: start.seq,
            mac: start.mac,
            time_us: 0,
            key: start.key,
            worlds: std::mem::take(&mut start.worlds),
            start,
            unknown: HashMap::new(),
            anchors: vec![],
            findings: vec![],
        };
        let (own, others): (Vec<_>, Vec<_>) =
            anchors.iter().cloned().partition(|anchor| anchor.store_id == *store_id);
        walk.anchors = own;
        walk.anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.seq));
        for anchor in others {
            let (expected, actual) = (hex(&anchor.store_id), hex(store_id));
            let (expected, actual) = (format!("store-{expected}"), format!("store-{actual}"));
            walk.found(Finding::of_store(Problem::Anchor, expected, actual).at_seq(anchor.seq));
        }
        walk.look_at_anchors();
        walk
    }

    /// The HMAC of the world's event before this row; none where the log was pruned around it.
    pub fn before(&self, row: &LogRow) -> Option<&str> {
        let before = self.worlds.get(&row.path).map_or("", |newest| &newest.hmac);
        Some(before).filter(|_| row.seq > self.start.told_at)
    }

    /// The next row.
    pub fn row(&mut self, row: &LogRow) {
        if row.prev_mac != self.mac || row.seq <= self.seq {
            let (expected, actual) = (mac_text(&self.mac), mac_text(&row.prev_mac));
            self.found(
                Finding::of_world(Problem::LogLink, &row.path, expected, actual).at_seq(row.seq),
            );
        }
        self.key_of(row);
        match self.keys.key(row.key) {
            None => *self.unknown.entry(row.key).or_default() += 1,
            Some(key) => {
                let expected = mac(key, row);
                if expected != row.mac {
                    let (expected, actual) = (mac_text(&expected), mac_text(&row.mac));
                    let found = Finding::of_world(Problem::LogMac, &row.path, expected, actual);
                    self.found(found.at_seq(row.seq));
                }
            }
        }
        (self.seq, self.mac, self.time_us) = (row.seq, row.mac, row.time_us);
        self.rows += 1;
        self.look_at_anchors();
        if row.seq > self.start.told_at {
            self.tell(row);
        }
    }

    /// A row must be under the key in force; the row of a rotation is under the new one.
    fn key_of(&mut self, row: &LogRow) {
        if row.kind == LogKind::Key {
            let expected = format!("key {}", self.keys.id(row.key));
            if row.link != expected || row.key <= self.key {
                let found = Finding::of_store(Problem::LogKey, expected, &row.link);
                self.found(found.at_seq(row.seq));
            }
            self.key = row.key;
        } else if row.key != self.key {
            let (expected, actual) = (self.keys.name(self.key), self.keys.name(row.key));
            self.found(
                Finding::of_world(Problem::LogKey, &row.path, expected, actual).at_seq(row.seq),
            );
        }
    }

    fn tell(&mut self, row: &LogRow) {
        match row.kind {
            LogKind::Create | LogKind::Import => {
                if self.worlds.contains_key(&row.path) && row.path != LEDGER {
                    let (expected, actual) = ("a delete before it is made again", "none");
                    let found =
                        Finding::of_world(Problem::WorldRemoved, &row.path, expected, actual);
                    self.found(found.at_seq(row.seq));
                }
                self.newest(&row.path, row);
            }
            LogKind::Replace | LogKind::Append => self.newest(&row.path, row),
            LogKind::DeleteIntent => self.newest(LEDGER, row),
            LogKind::Delete => {
                self.worlds.remove(&row.path);
                self.newest(LEDGER, row);
            }
            LogKind::Key | LogKind::Prune | LogKind::Unknown => {}
        }
    }

    fn newest(&mut self, path: &str, row: &LogRow) {
        if let Some(newest) = self.worlds.get_mut(path) {
            newest.seq = row.seq;
            newest.hmac.clone_from(&row.hmac);
        } else {
            self.worlds.insert(path.to_owned(), Newest { seq: row.seq, hmac: row.hmac.clone() });
        }
    }

    /// Anchors up to where the walk stands now; those before a pruned log's start say nothing.
    fn look_at_anchors(&mut self) {
        while let Some(anchor) = self.anchors.last().filter(|anchor| anchor.seq <= self.seq) {
            let (seq, expected) = (anchor.seq, anchor.mac);
            self.anchors.pop();
            if seq < self.start.seq {
                continue;
            }
            let actual =
                if seq == self.seq { mac_text(&self.mac) } else { "no such row".to_owned() };
            if seq != self.seq || expected != self.mac {
                let found = Finding::of_store(Problem::Anchor, mac_text(&expected), actual);
                self.found(found.at_seq(seq));
            }
        }
    }

    /// After the last row: the store's own word for the log's end, and anchors beyond it.
    pub fn end(&mut self, stored_seq: u64, stored_mac: &Hash) {
        if self.seq != stored_seq || self.mac != *stored_mac {
            let expected = format!("log {stored_seq} {}", mac_text(stored_mac));
            let actual = format!("log {} {}", self.seq, mac_text(&self.mac));
            self.found(Finding::of_store(Problem::LogTail, expected, actual).at_seq(self.seq));
        }
        for anchor in std::mem::take(&mut self.anchors) {
            let actual = format!("the log ends at {}", self.seq);
            let found = Finding::of_store(Problem::Anchor, mac_text(&anchor.mac), actual);
            self.found(found.at_seq(anchor.seq));
        }
        let mut unknown: Vec<_> = std::mem::take(&mut self.unknown).into_iter().collect();
        unknown.sort_unstable();
        for (key, rows) in unknown {
            let actual = format!("{rows} rows unchecked");
            self.found(Finding::of_store(Problem::KeyUnknown, self.keys.name(key), actual));
        }
    }

    fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

fn mac_text(mac: &Hash) -> String {
    format!("mac-{}", hex(mac))
}
