//! A store that is worked on without a server: key rotation, pruning, compaction.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::{FILE, lock, prune, schema, wal};
use crate::audit::keys::AuditKey;
use crate::audit::log::{self, LogKind, LogRow};
use crate::store::{Hash, now_us};
use schema::StoreRow;

/// The one writer of a data directory, as a core would be, until it is dropped.
pub struct OfflineStore {
    db: Connection,
    row: StoreRow,
    key: AuditKey,
    pub file: PathBuf,
    _lock: lock::WriterLock,
}

/// What a pruning did.
#[derive(Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The newest row that went.
    pub cut: u64,
    pub rows: usize,
    /// The row that says so.
    pub seq: u64,
}

impl OfflineStore {
    /// Takes the writer's lock and opens the store that is there.
    pub fn open(data_dir: &Path, key: &[u8]) -> Result<Self, String> {
        let file = data_dir.join(FILE);
        if !file.is_file() {
            return Err(format!("{}: no store is here", data_dir.display()));
        }
        let lock = lock::take(data_dir)?;
        let key = AuditKey::new(key);
        let (db, row) = schema::open(&file, &key)?;
        wal::truncate(&db).map_err(|e| format!("{}: checkpoint failed: {e}", file.display()))?;
        Ok(Self { db, row, key, file, _lock: lock })
    }

    /// Lets a new key take over: one row of the log, under the new key over the old head.
    pub fn rotate(&mut self, new: &[u8]) -> Result<u64, String> {
        let new = AuditKey::new(new);
        let known = schema::key_rows(&self.db).map_err(text)?;
        if known.iter().any(|(_, id)| *id == new.id) {
            return Err("the new key is one this store was written under before".to_owned());
        }
        let number = known.iter().map(|(n, _)| *n).max().unwrap_or(0) + 1;
        let tx = self.db.unchecked_transaction().map_err(text)?;
        let seq = self.row.high_water + 1;
        tx.execute(
            "INSERT INTO key(n, key_id, since_seq) VALUES(?1, ?2, ?3)",
            params![number, &new.id[..], seq as i64],
        )
        .map_err(text)?;
        let link = format!("key {}", crate::store::hex(&new.id));
        let mac = own_row(&tx, &self.row, &new, number, LogKind::Key, &link).map_err(text)?;
        tx.commit().map_err(text)?;
        self.moved(seq, mac);
        (self.row.key, self.key) = (number, new);
        Ok(seq)
    }

    /// Removes the log's rows up to `seq`; the worlds and their chains stay as they are.
    pub fn prune(&mut self, seq: u64) -> Result<Option<Pruned>, String> {
        let tx = self.db.unchecked_transaction().map_err(text)?;
        let newest: Option<(i64, Hash, i64)> = tx
            .query_row(
                "SELECT seq, mac, key FROM log WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
                [seq.min(self.row.seq) as i64],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()
            .map_err(text)?;
        let Some((cut_seq, mac, key)) = newest else { return Ok(None) };
        let told_at = self.row.high_water + 1;
        let digest = prune::list_worlds(&tx).map_err(text)?;
        let cut = prune::Cut { seq: cut_seq as u64, mac, key, digest, told_at };
        let mac = own_row(&tx, &self.row, &self.key, self.row.key, LogKind::Prune, &cut.link())
            .map_err(text)?;
        let rows = prune::remove(&tx, &cut).map_err(text)?;
        tx.commit().map_err(text)?;
        self.moved(told_at, mac);
        Ok(Some(Pruned { cut: cut.seq, rows, seq: told_at }))
    }

    /// The newest row of the log that is older than `time_us`.
    pub fn before(&self, time_us: i64) -> Result<Option<u64>, String> {
        let sql = "SELECT max(seq) FROM log WHERE time_us < ?1";
        let found: Option<i64> =
            self.db.query_row(sql, [time_us], |row| row.get(0)).map_err(text)?;
        Ok(found.map(|seq| seq as u64))
    }

    /// Writes the file anew without free pages; needs as much room again while it runs.
    pub fn compact(&mut self) -> Result<(), String> {
        self.db.execute_batch("VACUUM").map_err(text)?;
        wal::truncate(&self.db).map_err(text)
    }

    fn moved(&mut self, seq: u64, mac: Hash) {
        (self.row.seq, self.row.high_water, self.row.mac) = (seq, seq, mac);
    }
}

impl Drop for OfflineStore {
    fn drop(&mut self) {
        // What is committed is safe without it; the WAL is only shorter with it.
        let _ = wal::truncate(&self.db);
    }
}

fn text(error: rusqlite::Error) -> String {
    error.to_string()
}

/// Adds a row of the store itself to the log, above every number that was ever given.
fn own_row(
    db: &Connection,
    store: &StoreRow,
    key: &AuditKey,
    number: i64,
    kind: LogKind,
    link: &str,
) -> rusqlite::Result<Hash> {
    let mut row = LogRow {
        seq: store.high_water + 1,
        time_us: now_us(),
        kind,
        link: link.to_owned(),
        key: number,
        prev_mac: store.mac,
        ..LogRow::default()
    };
    row.mac = log::mac(key, &row);
    super::rows::insert_log(db, &row)?;
    db.execute(
        "UPDATE store SET key = ?1, seq = ?2, mac = ?3, high_water = ?2",
        params![number, row.seq as i64, &row.mac[..]],
    )?;
    Ok(row.mac)
}
