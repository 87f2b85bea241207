//! What an error of the database means, and whether durable writes go on after it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use rusqlite::{ErrorCode, ffi};

/// Whose affair an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Full,
    Busy,
    /// A page that does not hold, or cannot be read.
    Damaged,
    /// The disk failed in another way.
    Disk,
    /// One row, one statement.
    Row,
}

pub fn trouble(error: &rusqlite::Error) -> Trouble {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return Trouble::Row };
    match failure.code {
        ErrorCode::DiskFull => Trouble::Full,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Trouble::Busy,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Trouble::Damaged,
        ErrorCode::SystemIoFailure if is_of_reading(failure.extended_code) => Trouble::Damaged,
        ErrorCode::SystemIoFailure => Trouble::Disk,
        _ => Trouble::Row,
    }
}

fn is_of_reading(code: i32) -> bool {
    const OF_READING: [i32; 4] = [
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_IOERR_CORRUPTFS,
        ffi::SQLITE_IOERR_DATA,
    ];
    OF_READING.contains(&code)
}

/// Why nothing durable is written any more; the writer and its readers share it.
#[derive(Debug, Default)]
pub struct Halt {
    why: OnceLock<Arc<str>>,
    damaged: AtomicBool,
}

impl Halt {
    pub fn why(&self) -> Option<Arc<str>> {
        self.why.get().cloned()
    }

    /// Whether it is the file that does not hold: another start would not mend it.
    pub fn is_damage(&self) -> bool {
        self.damaged.load(SeqCst)
    }

    /// Stops durable writes for good; the first reason stays.
    pub fn stop(&self, why: &str) -> Arc<str> {
        self.why.get_or_init(|| why.into()).clone()
    }

    /// Stops durable writes when the file turns out to be damaged (design §2). For readers.
    pub fn look(&self, error: &rusqlite::Error) {
        if trouble(error) == Trouble::Damaged {
            self.damage(error);
        }
    }

    /// Stops them for an error that came inside a statement of the writer's.
    pub fn by(&self, error: &rusqlite::Error) -> Arc<str> {
        match trouble(error) {
            Trouble::Damaged => self.damage(error),
            _ => self.stop(&format!("the disk failed: {error}")),
        }
    }

    fn damage(&self, error: &rusqlite::Error) -> Arc<str> {
        self.damaged.fetch_or(self.why.get().is_none(), SeqCst);
        self.stop(&format!(
            "a page of the store's file does not hold ({error}); reads go on as far as they can, \
             `elastik data recover` rebuilds what is readable"
        ))
    }
}
