//! Read connections: short transactions beside the writer, never one across a wait.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::trouble::Halt;
use crate::store::StoreError;

/// Idle connections that are kept open.
const KEPT: usize = 8;

pub struct Readers {
    file: PathBuf,
    /// Nobody writes the file: it is read as it lies.
    still: bool,
    idle: Mutex<Vec<Connection>>,
    /// Told of pages that do not hold.
    halt: Arc<Halt>,
}

impl Readers {
    pub fn new(file: &Path, halt: &Arc<Halt>) -> Self {
        Self { file: file.to_owned(), still: false, idle: Mutex::default(), halt: halt.clone() }
    }

    /// For a file that nobody writes, perhaps where nothing can be written at all.
    pub fn of_still_file(file: &Path, halt: &Arc<Halt>) -> Self {
        Self { still: true, ..Self::new(file, halt) }
    }

    /// Runs `work` on a connection of its own.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |error: rusqlite::Error| {
            self.halt.look(&error);
            StoreError(error.to_string())
        };
        let idle = self.idle().pop();
        let db = match idle {
            Some(db) => db,
            None => self.open().map_err(failed)?,
        };
        let result = work(&db).map_err(failed);
        let mut idle = self.idle();
        if result.is_ok() && idle.len() < KEPT {
            idle.push(db);
        }
        result
    }

    /// Closes all idle connections.
    pub fn close(&self) {
        self.idle().clear();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        if self.still {
            return super::pages::as_it_lies(&self.file);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.file, flags)?;
        db.busy_timeout(Duration::from_secs(2))?;
        db.pragma_update(None, "cache_size", -1024)?;
        db.set_prepared_statement_cache_capacity(16);
        Ok(db)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl super::pages::Pages for Readers {
    fn page<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.with(work)
    }
}
