//! A store that is worked on without a server: key rotation, pruning, compaction.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::prune::own_row;
use super::{FILE, lock, prune, schema, wal};
use crate::audit::keys::AuditKey;
use crate::audit::log::LogKind;
use crate::store::Hash;
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
        let mac = own_row(&tx, &self.row, &new, number, seq, LogKind::Key, &link).map_err(text)?;
        tx.commit().map_err(text)?;
        self.moved(seq, mac);
        (self.row.key, self.key) = (number, new);
        Ok(seq)
    }

    /// Removes the log's rows up to `seq`; the worlds and their chains stay as they are.
    pub fn prune(&mut self, seq: u64) -> Result<Option<Pruned>, String> {
        let tx = self.db.unchecked_transaction().map_err(text)?;
        let told_at = self.row.high_water + 1;
        let by = prune::By { store: &self.row, key: &self.key, told_at };
        let Some(done) = prune::prune(&tx, seq.min(self.row.seq), &by).map_err(text)? else {
            return Ok(None);
        };
        tx.commit().map_err(text)?;
        self.moved(told_at, done.mac);
        Ok(Some(Pruned { cut: done.cut, rows: done.rows, seq: told_at }))
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
