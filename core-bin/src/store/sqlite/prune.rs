//! Pruning the log: the row that says so, and the worlds that were there then.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::schema::StoreRow;
use super::{bounds, rows};
use crate::audit::finding::{Finding, Problem};
use crate::audit::keys::AuditKey;
use crate::audit::log::{self, LogKind, LogRow};
use crate::audit::walk::{Newest, Start};
use crate::store::{Hash, hex, now_us, unhex};

/// What the row of a pruning says: rows up to `seq` are gone, the last of them had `mac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub seq: u64,
    pub mac: Hash,
    /// The key in force at the cut.
    pub key: i64,
    /// Over (path, newest hmac, sequence) of every world there was when it was pruned.
    pub digest: Hash,
    /// Number of the row itself.
    pub told_at: u64,
}

impl Cut {
    /// As the row's link has it.
    pub fn link(&self) -> String {
        let (mac, digest) = (hex(&self.mac), hex(&self.digest));
        format!("cut {} mac {mac} key {} worlds {digest}", self.seq, self.key)
    }

    fn from_link(link: &str, told_at: u64) -> Option<Self> {
        let words: Vec<&str> = link.split(' ').collect();
        let ["cut", seq, "mac", mac, "key", key, "worlds", digest] = words[..] else { return None };
        Some(Self {
            seq: seq.parse().ok()?,
            mac: unhex(mac)?,
            key: key.parse().ok()?,
            digest: unhex(digest)?,
            told_at,
        })
    }
}

/// The newest pruning, when the log begins with one.
pub fn newest(db: &Connection) -> rusqlite::Result<Option<Cut>> {
    // A store that was never pruned has no list: most are not searched for the row at all.
    let pruned: bool = db.query_row("SELECT EXISTS(SELECT 1 FROM pruned)", [], |row| row.get(0))?;
    if !pruned {
        return Ok(None);
    }
    let found: Option<(i64, String)> = db
        .query_row(
            "SELECT seq, link FROM log WHERE kind = ?1 ORDER BY seq DESC LIMIT 1",
            [LogKind::Prune as i64],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(found.and_then(|(seq, link)| Cut::from_link(&link, seq.max(0) as u64)))
}

/// On whose behalf a pruning is recorded.
pub struct By<'a> {
    pub store: &'a StoreRow,
    pub key: &'a AuditKey,
    /// The number of the row that will say so.
    pub told_at: u64,
}

/// What a pruning did.
pub struct Done {
    /// The newest row that went.
    pub cut: u64,
    pub rows: usize,
    /// Of the row that says so: the log's newest.
    pub mac: Hash,
}

/// Records a pruning up to row `seq`, then removes these rows; for an open transaction.
pub fn prune(db: &Connection, seq: u64, by: &By<'_>) -> rusqlite::Result<Option<Done>> {
    let newest: Option<(i64, Hash, i64)> = db
        .query_row(
            "SELECT seq, mac, key FROM log WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
            [seq as i64],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let Some((cut, mac, key)) = newest else { return Ok(None) };
    let (told_at, digest) = (by.told_at, list_worlds(db)?);
    let cut = Cut { seq: cut.max(0) as u64, mac, key, digest, told_at };
    let number = by.store.key;
    let mac = own_row(db, by.store, by.key, number, told_at, LogKind::Prune, &cut.link())?;
    let rows = db.execute("DELETE FROM log WHERE seq <= ?1", params![cut.seq as i64])?;
    Ok(Some(Done { cut: cut.seq, rows, mac }))
}

/// Adds a row of the store itself to the log, with a number that nobody else has.
pub fn own_row(
    db: &Connection,
    store: &StoreRow,
    key: &AuditKey,
    number: i64,
    seq: u64,
    kind: LogKind,
    link: &str,
) -> rusqlite::Result<Hash> {
    let mut row = LogRow {
        seq,
        time_us: now_us(),
        kind,
        link: link.to_owned(),
        key: number,
        prev_mac: store.mac,
        ..LogRow::default()
    };
    row.mac = log::mac(key, &row);
    rows::insert_log(db, &row)?;
    bounds::logged(db)?;
    db.execute(
        "UPDATE store SET key = ?1, seq = ?2, mac = ?3, high_water = max(high_water, ?2)",
        params![number, row.seq as i64, &row.mac[..]],
    )?;
    Ok(row.mac)
}

/// Where a walk of the pruned log begins; a finding when the kept list is not the one recorded.
pub fn start(db: &Connection, cut: &Cut) -> rusqlite::Result<(Start, Option<Finding>)> {
    let mut statement = db.prepare("SELECT path, seq, hmac FROM pruned ORDER BY path")?;
    let listed = statement.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    let (mut digest, mut worlds) = (Sha256::new(), HashMap::new());
    for row in listed {
        let (path, seq, hmac) = row?;
        add(&mut digest, &path, seq, &hmac);
        if path != NOBODY {
            worlds.insert(path, Newest { seq: seq.max(0) as u64, hmac: hex(&hmac) });
        }
    }
    let digest: Hash = digest.finalize().into();
    let finding = (digest != cut.digest).then(|| {
        let (expected, actual) = (hex(&cut.digest), hex(&digest));
        Finding::of_store(Problem::Pruned, expected, actual).at_seq(cut.told_at)
    });
    let start = Start { seq: cut.seq, mac: cut.mac, key: cut.key, told_at: cut.told_at, worlds };
    Ok((start, finding))
}

/// A row that keeps the list from being empty; no world has this name.
const NOBODY: &str = "";

fn add(digest: &mut Sha256, path: &str, seq: i64, hmac: &[u8]) {
    digest.update(format!("{path}\0{seq}\0{}\0", hex(hmac)));
}

/// Lists the worlds that are there now, in place of an older list; returns their digest.
fn list_worlds(db: &Connection) -> rusqlite::Result<Hash> {
    db.execute("DELETE FROM pruned", [])?;
    db.execute("INSERT INTO pruned(path, seq, hmac) VALUES(?1, 0, x'')", [NOBODY])?;
    db.execute("INSERT INTO pruned SELECT path, seq, hmac FROM world", [])?;
    let mut digest = Sha256::new();
    let mut statement = db.prepare("SELECT path, seq, hmac FROM pruned ORDER BY path")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        add(&mut digest, row.get_ref(0)?.as_str()?, row.get(1)?, row.get_ref(2)?.as_blob()?);
    }
    Ok(digest.finalize().into())
}
