//! The write-ahead log's size: checkpoints beside the writer, and by it when that is not enough.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::{Connection, OpenFlags};

use super::SqliteStore;
use super::reserve::Reserve;
use super::trouble::{Trouble, trouble};
use super::vfs::HEADER;

const PAGE: u64 = 4096;
/// A page with its header, as the WAL has it.
const FRAME: u64 = PAGE + HEADER as u64;

/// When so many bytes wait to be copied, a thread beside the writer checkpoints. Of a page written
/// many times only the newest state is copied, so many small turns are more work; a large one is a
/// burst that the writer's own syncs wait behind.
const BESIDE: u64 = 2 << 20;

/// From here on the thread does not wait, so that the rest becomes short.
const LONG: u64 = 32 << 20;

/// A rest that the writer itself copies between two batches, so that the WAL begins anew.
const SHORT: u64 = 1 << 20;

/// From here on writes wait until all is copied and the WAL begins anew, whoever reads meanwhile;
/// readers are short. It stays below 128 MiB so.
const AT_MOST: u64 = 64 << 20;

/// The WAL's file grows by so many zeros at a time, before a commit needs them: a write inside a
/// file is synced in half the time of one that makes it longer, which has an inode to sync too.
const AHEAD: u64 = 256 << 10;

/// What one commit writes beside its bodies at the most, in bytes: rows, indexes, housekeeping.
const MARGIN: u64 = 256 << 10;

/// The WAL's length after the newest commit and how much of it lies in the database, in pages.
#[derive(Default)]
pub struct Length {
    written: AtomicU64,
    copied: AtomicU64,
    /// What the newest commit added, in pages.
    added: AtomicU64,
    /// How long the file is at least, in bytes, as far as `lay_ahead` knows.
    laid: AtomicU64,
}

impl Length {
    /// Bytes in the WAL.
    fn bytes(&self) -> u64 {
        self.written.load(Relaxed) * PAGE
    }

    /// Bytes that no checkpoint has copied. More copied than written: the WAL began anew since.
    fn rest(&self) -> u64 {
        let (written, copied) = (self.written.load(Relaxed), self.copied.load(Relaxed));
        if copied > written { written * PAGE } else { (written - copied) * PAGE }
    }
}

/// Has SQLite tell the WAL's length after each commit.
pub fn watch(db: &mut Connection, length: Arc<Length>) -> rusqlite::Result<()> {
    db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
        let pages = count.max(0) as u64;
        let before = length.written.swap(pages, Relaxed);
        length.added.store(pages.saturating_sub(before), Relaxed);
        if pages < before {
            length.copied.store(0, Relaxed);
        }
        Ok(())
    }))
}

/// Writes the WAL that an earlier life left once more, as it is, and syncs it; before anybody has
/// the database open. After a failed fsync the kernel takes the pages that it lost for clean: no
/// later sync would write them, a checkpoint would copy from a WAL that the disk does not have, and
/// a power cut in the middle of it would leave half a commit in the file.
pub fn write_again(file: &Path) -> std::io::Result<()> {
    let open = OpenOptions::new().read(true).write(true).open(super::pages::beside(file, "-wal"));
    let wal = match open {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        wal => wal?,
    };
    let (mut block, mut at) = (vec![0; 1 << 20], 0);
    loop {
        let read = wal.read_at(&mut block, at)?;
        if read == 0 {
            break;
        }
        match wal.write_all_at(&block[..read], at) {
            // Where even the same bytes need new room, a full disk leaves it as it lies.
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            outcome => outcome?,
        }
        at += read as u64;
    }
    if at > 0 { wal.sync_all() } else { Ok(()) }
}

/// Lays zeros behind the end of a file that is shorter than this; how long it is then. SQLite has no
/// lock on its WAL that the file's closing here could release.
fn longer(file: &Path, than: u64) -> std::io::Result<u64> {
    let file = OpenOptions::new().write(true).open(file)?;
    let length = file.metadata()?.len();
    if length >= than {
        return Ok(length);
    }
    file.write_all_at(&vec![0; AHEAD as usize], length)?;
    Ok(length + AHEAD)
}

/// Copies all of the WAL into the database and empties it; an error is one of the disk's.
pub fn truncate(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The same on a disk that may be full: the reserve makes room. What still does not fit stays in
/// the WAL, which is as durable; it is copied when there is room. Half a copy would only use up
/// what a DELETE needs.
pub fn truncate_or_make_room(
    db: &Connection,
    file: &Path,
    reserve: &Reserve,
) -> rusqlite::Result<()> {
    let fits = || Ok::<_, rusqlite::Error>(growth(db, file)? <= reserve.free());
    let fits = fits()? || (reserve.give_up() && fits()?);
    let done = if fits { truncate(db) } else { Ok(()) };
    done.or_else(|error| if trouble(&error) == Trouble::Full { Ok(()) } else { Err(error) })
}

/// By how many bytes a checkpoint makes the file longer at the most; within a transaction, one
/// after its commit.
fn growth(db: &Connection, file: &Path) -> rusqlite::Result<u64> {
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let now = std::fs::metadata(file).map_or(0, |file| file.len());
    Ok((pages.max(0) as u64 * PAGE).saturating_sub(now))
}

/// Copies what nobody keeps it from; the pages of the WAL that are copied now.
fn passive(db: &Connection) -> rusqlite::Result<u64> {
    copy(db, "PASSIVE")
}

/// Waits for readers, and has the next commit begin the WAL anew.
fn restart(db: &Connection) -> rusqlite::Result<u64> {
    copy(db, "RESTART")
}

fn copy(db: &Connection, mode: &str) -> rusqlite::Result<u64> {
    let pragma = format!("PRAGMA wal_checkpoint({mode})");
    db.query_row(&pragma, [], |row| row.get(2)).map(|pages: i64| pages.max(0) as u64)
}

impl SqliteStore {
    /// Whether a turn of `checkpoint` is worth it.
    pub fn wants_checkpoint(&self) -> bool {
        // What the WAL holds must fit into the room that is kept back, should the disk be full.
        let enough = BESIDE.min(self.reserve.size() / 2);
        self.wal.rest() >= enough || self.wal.bytes() >= LONG
    }

    /// Makes room in the WAL's file for the commits that come; by the writer, between two batches.
    /// Zeros are no frame. Where they find no room nothing is lost, and what is larger than they
    /// are makes the file longer by itself.
    pub fn lay_ahead(&self) {
        let end = self.wal.written.load(Relaxed) * FRAME + AHEAD / 2;
        let large = self.wal.added.load(Relaxed) * PAGE >= AHEAD / 2;
        let wanted = end > self.wal.laid.load(Relaxed) && !large;
        if !wanted || self.refusing().is_some() || self.reserve.free() < AT_MOST {
            return;
        }
        let file = super::pages::beside(&self.file, "-wal");
        self.wal.laid.store(longer(&file, end).unwrap_or(end), Relaxed);
    }

    /// A checkpoint beside the writer, on a connection of its own. Blocking.
    pub fn checkpoint(&self) -> Result<(), String> {
        self.one_checkpoint(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(&self.file, flags)?;
            // Without room for all of it the writer decides: only it gives the reserve up.
            if self.fits(&db)? { self.count(passive(&db)) } else { Ok(()) }
        })
    }

    /// Between two batches: when the thread beside has left a short rest of a long WAL, or cannot
    /// keep up, or the disk is so full that there might not be room later.
    pub fn checkpoint_by_writer(&self) -> Result<(), String> {
        let (long, rest) = (self.wal.bytes(), self.wal.rest());
        if long >= AT_MOST {
            let _alone = self.checkpointing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            return self.checkpoint_alone(|| self.with_room(restart));
        }
        let ends = long >= LONG && rest <= SHORT;
        if ends || long + MARGIN > self.reserve.free() {
            return self.one_checkpoint(|| self.with_room(passive));
        }
        Ok(())
    }

    fn count(&self, copied: rusqlite::Result<u64>) -> rusqlite::Result<()> {
        copied.map(|pages| self.wal.copied.store(pages, Relaxed))
    }

    fn with_room(
        &self,
        checkpoint: impl FnOnce(&Connection) -> rusqlite::Result<u64>,
    ) -> rusqlite::Result<()> {
        let db = &self.writer().db;
        let fits = self.fits(db)? || (self.reserve.give_up() && self.fits(db)?);
        if fits { self.count(checkpoint(db)) } else { Ok(()) }
    }

    /// On a full disk the WAL is brought back to nothing, so that what was freed goes back to it.
    pub(super) fn give_room_back(&self) {
        if self.reserve.is_tight() {
            let _ = self.one_checkpoint(|| {
                let db = &self.writer().db;
                self.wal.laid.store(0, Relaxed);
                if self.fits(db)? { truncate(db) } else { Ok(()) }
            });
        }
    }

    fn fits(&self, db: &Connection) -> rusqlite::Result<bool> {
        Ok(growth(db, &self.file)? <= self.reserve.free())
    }

    /// Whether an open transaction that grows the store may be committed. Its checkpoint must find
    /// room without the reserve, which is for deletes and checkpoints (design §1); only the writer
    /// gives that up, so what is seen here holds for the commit.
    pub(super) fn has_room(&self, db: &Connection, incoming: u64) -> bool {
        let (free, need) = (self.reserve.free(), incoming + MARGIN);
        let most = self.wal.bytes() + 2 * need;
        let enough = || growth(db, &self.file).is_ok_and(|growth| free >= growth + need);
        let has_room = !self.reserve.was_given_up() && (free >= most || enough());
        if !has_room {
            self.reserve.set_tight(true);
        }
        has_room
    }

    /// One at a time, and none after one that failed: pages that earlier ones copied without a sync
    /// went with the failed sync, yet SQLite counts them as copied. The next checkpoint that
    /// succeeds would let the WAL, the only place where they still are, be written over.
    fn one_checkpoint(&self, run: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), String> {
        let Ok(_alone) = self.checkpointing.try_lock() else { return Ok(()) };
        self.checkpoint_alone(run)
    }

    fn checkpoint_alone(&self, run: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), String> {
        if self.stopped().is_some() { Ok(()) } else { self.judge_checkpoint(run()) }
    }

    /// A disk that fails a checkpoint's sync may have lost what was acknowledged: no more writes.
    fn judge_checkpoint(&self, result: rusqlite::Result<()>) -> Result<(), String> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => match trouble(&error) {
                Trouble::Full | Trouble::Busy => Ok(()),
                Trouble::Damaged => Err(self.halt.by(&error).to_string()),
                Trouble::Disk | Trouble::Row => {
                    Err(self.halt.stop(&format!("a checkpoint failed: {error}")).to_string())
                }
            },
        }
    }
}
