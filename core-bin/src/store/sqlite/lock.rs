//! One writer per data directory: 8.3's lock, held for life, so that 8.3 and ours exclude each other.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

/// The open transaction of the lock file (core.md §1.4); dropping it lets go.
pub struct WriterLock {
    // In a mutex only because a connection cannot be shared; nobody uses it again.
    _db: Mutex<Connection>,
}

/// Takes the lock of `data_dir`, or says who holds it.
pub fn take(data_dir: &Path) -> Result<WriterLock, String> {
    let file = data_dir.join(".elastik-writer-lock.sqlite3");
    let db = Connection::open(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    match hold(&db) {
        Ok(()) => Ok(WriterLock { _db: Mutex::new(db) }),
        Err(error) if is_busy(&error) => {
            let holder =
                holder(&db).map_or(String::new(), |pid| format!(" (last writer: PID {pid})"));
            Err(format!("data root writer lock is held{holder}: {}", data_dir.display()))
        }
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn hold(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(Duration::from_millis(200))?;
    db.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS writer_lock(
           id INTEGER PRIMARY KEY CHECK(id=1), holder TEXT NOT NULL DEFAULT '');
         INSERT OR IGNORE INTO writer_lock(id) VALUES(1);",
    )?;
    let named = db.execute(
        "UPDATE writer_lock SET holder = ?1 WHERE id = 1",
        [std::process::id().to_string()],
    );
    // On a full disk the name of the last holder stays; the lock itself needs no room.
    if let Err(error) = named
        && error.sqlite_error_code() != Some(ErrorCode::DiskFull)
    {
        return Err(error);
    }
    // From here to the end of the process: RESERVED, which readers may pass and writers may not.
    db.execute_batch("BEGIN IMMEDIATE")
}

fn holder(db: &Connection) -> Option<String> {
    db.query_row("SELECT holder FROM writer_lock WHERE id = 1", [], |row| row.get(0))
        .optional()
        .ok()
        .flatten()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
