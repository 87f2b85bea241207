//! Work in bounded turns between batches: staging uploads, freeing what nothing names any more.

use bytes::Bytes;
use rusqlite::{Connection, ffi, params};

use super::batch::{TRASH_CHAIN, TRASH_ERASED, TRASH_OBJECT};
use super::trouble::{Trouble, trouble};
use super::{SqliteStore, answers, bounds, chains, history, objects};
use crate::store::{Refusal, now_us};

/// Pieces that an idle turn frees, 1 MiB, and rows that any turn does.
const IDLE_TURN: usize = 16;
const TURN_ROWS: i64 = 1000;

/// Free pages that the file keeps for what comes next: 1 MiB.
const SPARE: i64 = 256;

/// Whether anything may wait in the trash.
#[derive(Debug)]
pub struct Sweep {
    /// Something was thrown away since the last turn.
    pub(super) pending: bool,
    /// The last turn left objects that somebody still reads.
    held: bool,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { pending: true, held: false }
    }
}

/// What an interrupted upload left is garbage from the next start on.
pub fn doom_staged(db: &Connection) -> rusqlite::Result<()> {
    let tx = db.unchecked_transaction()?;
    tx.execute("INSERT OR IGNORE INTO trash SELECT ?1, object FROM staged", [TRASH_OBJECT])?;
    tx.execute("DELETE FROM staged", [])?;
    tx.commit()
}

impl SqliteStore {
    /// An id for a new upload.
    pub fn new_object(&self) -> std::sync::Arc<crate::store::Object> {
        self.objects.hold(self.ids.take())
    }

    /// Writes one block of an upload, at most 1 MiB. Not synced: the write that names it is.
    pub fn stage(&self, object: i64, at: u64, chunks: &[Bytes]) -> Result<(), Refusal> {
        if let Some(why) = self.refusing() {
            return Err(Refusal::Stopped(why));
        }
        if self.reserve.is_spent() {
            return Err(Refusal::DiskFull);
        }
        let incoming = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.turn(|db| {
            db.prepare_cached("INSERT OR IGNORE INTO staged(object) VALUES(?1)")?
                .execute([object])?;
            objects::write(db, object, at, chunks)?;
            if self.has_room(db, incoming) { Ok(()) } else { Err(full()) }
        })
    }

    /// An upload that will not be used.
    pub fn abandon(&self, object: i64) {
        let _ = self.turn(|db| {
            db.execute(
                "INSERT OR IGNORE INTO trash VALUES(?1, ?2)",
                params![TRASH_OBJECT, object],
            )?;
            db.execute("DELETE FROM staged WHERE object = ?1", [object]).map(|_| ())
        });
        self.writer().sweep.pending = true;
    }

    /// Has the next turn free what is too old to be kept, and uploads whose write never came true.
    pub fn look_for_old(&self) {
        self.doom_forsaken();
        let mut writer = self.writer();
        let (db, now) = (&writer.db, now_us());
        let due = answers::is_due(db, now).and_then(|due| Ok(due || history::is_due(db, now)?));
        writer.sweep.pending |= due.unwrap_or_default();
    }

    /// What was staged for a write that was refused, or whose client went away before it was asked
    /// for: nobody has the object in hand any more, and no world names it.
    fn doom_forsaken(&self) {
        let staged = staged(&self.writer().db).unwrap_or_default();
        for object in staged.into_iter().filter(|id| self.objects.is_free(*id)) {
            self.abandon(object);
        }
    }

    /// While nobody waits for the writer: looks once more at objects that were still being read, and
    /// gives free pages back to the disk.
    pub fn sweep_idly(&self) -> bool {
        if self.read_only {
            return false;
        }
        self.give_room_back();
        self.reserve.renew();
        let mut writer = self.writer();
        let spare = free_pages(&writer.db).is_ok_and(|pages| pages > SPARE);
        writer.sweep.pending |= std::mem::take(&mut writer.sweep.held) || spare;
        drop(writer);
        self.free_some(IDLE_TURN, true)
    }

    /// Between two batches: frees as many pieces as a turn stages, so that what uploads replace does
    /// not pile up. Free pages are left for what comes next: moving the last pages of the file into
    /// them would only make it shrink and grow.
    pub fn sweep(&self, pieces: usize) -> bool {
        self.free_some(pieces, false)
    }

    /// Frees one turn's worth; false when nothing that could be freed is left.
    fn free_some(&self, pieces: usize, idle: bool) -> bool {
        let full = self.reserve.is_tight();
        let pending = std::mem::take(&mut self.writer().sweep.pending) || full;
        if self.refusing().is_some() || !pending {
            return false;
        }
        let (mut more, mut left) = (false, 0_i64);
        let objects = &self.objects;
        let done = self.turn(|db| {
            more = free_chain(db)?
                | free_object(db, objects, pieces as i64)?
                | self.known.forget(db, TURN_ROWS as usize)?
                | history::forget_old(db, now_us())?
                | bounds::forget_surplus(db, self.rules.max_history)?;
            left =
                db.prepare_cached("SELECT count(*) FROM trash")?.query_row([], |row| row.get(0))?;
            if idle || full {
                db.execute_batch("PRAGMA incremental_vacuum(64)")?;
                // On a full disk every free page goes back to it; else some are worth keeping.
                more |= free_pages(db)? > if full { 0 } else { SPARE };
            }
            Ok(())
        });
        if done == Err(Refusal::DiskFull) {
            self.reserve.give_up();
        }
        self.give_room_back();
        self.reserve.set_tight(more);
        let mut writer = self.writer();
        writer.sweep.pending |= more && done.is_ok();
        writer.sweep.held = left > 0 || done.is_err();
        writer.sweep.pending
    }

    /// A small transaction of the store's own housekeeping.
    pub(super) fn turn(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), Refusal> {
        if let Some(why) = self.refusing() {
            return Err(Refusal::Stopped(why));
        }
        let writer = self.writer();
        if let Some(why) = self.stopped() {
            return Err(Refusal::Stopped(why));
        }
        let db = &writer.db;
        let run = || {
            db.pragma_update(None, "synchronous", "NORMAL")?;
            db.execute_batch("BEGIN IMMEDIATE")?;
            work(db)?;
            db.execute("UPDATE store SET next_row = ?1", [self.ids.next()])?;
            db.execute_batch("COMMIT")
        };
        let result = run();
        if result.is_err() && !db.is_autocommit() {
            let _ = db.execute_batch("ROLLBACK");
        }
        let restored = db.pragma_update(None, "synchronous", "FULL");
        match result.and(restored) {
            Ok(()) => Ok(()),
            // Not synced, it is not known how much of it took place.
            Err(error) if trouble(&error) == Trouble::Row => {
                Err(Refusal::Stopped(self.halt.stop(&error.to_string())))
            }
            Err(error) => Err(self.refusal(&error)),
        }
    }
}

/// Objects that uploads are writing, or have written.
fn staged(db: &Connection) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT object FROM staged")?.query_map([], |row| row.get(0))?.collect()
}

fn free_pages(db: &Connection) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, "freelist_count", |row| row.get(0))
}

/// What SQLite would say a moment later.
fn full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None)
}

fn next_trash(db: &Connection, kind: i64) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT id FROM trash WHERE kind = ?1 ORDER BY id LIMIT 32")?
        .query_map([kind], |row| row.get(0))?
        .collect()
}

fn drop_trash(db: &Connection, kind: i64, id: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM trash WHERE kind = ?1 AND id = ?2")?.execute([kind, id])?;
    Ok(())
}

fn free_chain(db: &Connection) -> rusqlite::Result<bool> {
    let Some(&world) = next_trash(db, TRASH_CHAIN)?.first() else { return Ok(false) };
    if !chains::free(db, world)? {
        drop_trash(db, TRASH_CHAIN, world)?;
    }
    Ok(true)
}

fn free_object(db: &Connection, held: &objects::Objects, pieces: i64) -> rusqlite::Result<bool> {
    for kind in [TRASH_ERASED, TRASH_OBJECT] {
        let mut waiting = next_trash(db, kind)?.into_iter();
        let Some(object) = waiting.find(|id| held.is_free(*id)) else { continue };
        let mode = if kind == TRASH_ERASED { "ON" } else { "FAST" };
        db.pragma_update(None, "secure_delete", mode)?;
        if objects::free(db, object, pieces)? {
            drop_trash(db, kind, object)?;
        }
        db.pragma_update(None, "secure_delete", "FAST")?;
        return Ok(true);
    }
    Ok(false)
}
