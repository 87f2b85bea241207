//! The write-ahead log's size: checkpoints beside the writer, and by it when that is not enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::{Connection, OpenFlags};

use super::SqliteStore;
use super::reserve::Reserve;
use crate::store::sqlite::Trouble;

const PAGE: u64 = 4096;

/// From here on a thread beside the writer checkpoints, in bytes.
const BESIDE: u64 = 8 << 20;

/// From here on the writer itself finishes the rest between two batches.
const BY_WRITER: u64 = 32 << 20;

/// Has SQLite tell the WAL's length after each commit.
pub fn watch(db: &mut Connection, pages: Arc<AtomicU64>) -> rusqlite::Result<()> {
    db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
        pages.store(count.max(0) as u64, Relaxed);
        Ok(())
    }))
}

/// Copies all of the WAL into the database and empties it; an error is one of the disk's.
pub fn truncate(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The same on a disk that may be full: the reserve makes room. What still does not fit stays in
/// the WAL, which is as durable; it is copied when there is room.
pub fn truncate_or_make_room(db: &Connection, reserve: &Reserve) -> rusqlite::Result<()> {
    let full = |error: &rusqlite::Error| super::trouble(error) == Trouble::Full;
    match truncate(db) {
        Err(error) if full(&error) => {
            reserve.give_up();
            truncate(db).or_else(|error| if full(&error) { Ok(()) } else { Err(error) })
        }
        outcome => outcome,
    }
}

fn passive(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

impl SqliteStore {
    /// Whether the WAL is long enough for `checkpoint` to be worth a turn.
    pub fn wants_checkpoint(&self) -> bool {
        // What the WAL holds must fit into the room that is kept back, should the disk be full.
        self.wal_pages.load(Relaxed) * PAGE >= BESIDE.min(self.reserve.size() / 2)
    }

    /// A checkpoint beside the writer, on a connection of its own. Blocking.
    pub fn checkpoint(&self) -> Result<(), String> {
        self.one_checkpoint(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(&self.file, flags).and_then(|db| passive(&db))
        })
    }

    /// Between two batches, when the WAL grew faster than the thread beside could copy it.
    pub fn checkpoint_by_writer(&self) -> Result<(), String> {
        if self.wal_pages.load(Relaxed) * PAGE < BY_WRITER {
            return Ok(());
        }
        self.one_checkpoint(|| passive(&self.writer().db))
    }

    /// One at a time, and none after one that failed: pages that earlier ones copied without a sync
    /// went with the failed sync, yet SQLite counts them as copied. The next checkpoint that
    /// succeeds would let the WAL, the only place where they still are, be written over.
    fn one_checkpoint(&self, run: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), String> {
        let Ok(_one) = self.checkpointing.try_lock() else { return Ok(()) };
        if self.stopped().is_some() {
            return Ok(());
        }
        self.judge_checkpoint(run())
    }

    /// A disk that fails a checkpoint's sync may have lost what was acknowledged: no more writes.
    fn judge_checkpoint(&self, result: rusqlite::Result<()>) -> Result<(), String> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if super::trouble(&error) != Trouble::Other => {
                if super::trouble(&error) == Trouble::Full {
                    self.reserve.give_up();
                }
                Ok(())
            }
            Err(error) => Err(self.stop(format!("a checkpoint failed: {error}"))),
        }
    }
}
