//! Pages of rows from a store: of the running core, or of a file that is only read.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{FILE, schema};
use crate::audit::keys::{KeyTable, Keyring};
use crate::path;
use crate::store::StoreError;

/// Where pages come from. Each call is one short read transaction.
pub trait Pages {
    fn page<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError>;
}

/// A store that is read and never written, whether a core runs on it or not.
pub struct ReadOnlyStore {
    db: Mutex<Connection>,
    pub file: PathBuf,
    /// The file as it was, when nothing tells us of writers.
    still: Option<Metadata>,
}

impl ReadOnlyStore {
    /// Opens `<dir>/elastik.db`, or the file itself when a file is named.
    pub fn open(place: &Path) -> Result<Self, String> {
        let file = if place.is_file() { place.to_owned() } else { place.join(FILE) };
        let (db, still) = reading(&file)?;
        schema::check_marks(&db, &file)?;
        Ok(Self { db: Mutex::new(db), file, still })
    }

    /// Whether what was read may be trusted to be one state: no core came meanwhile.
    pub fn undisturbed(&self) -> Result<(), String> {
        let Some(before) = &self.still else { return Ok(()) };
        let now = std::fs::metadata(&self.file).map_err(|e| e.to_string())?;
        let same = now.len() == before.len() && now.modified().ok() == before.modified().ok();
        if same && std::fs::metadata(beside(&self.file, "-wal")).is_err() {
            return Ok(());
        }
        Err(format!("{}: a core opened it meanwhile; run this again", self.file.display()))
    }

    /// Writes a copy of the whole store, as it is at one moment, without free pages.
    pub fn copy_into(&self, to: &Path) -> Result<(), String> {
        let name = to.to_str().ok_or("the file's name is no UTF-8")?;
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        db.execute("VACUUM INTO ?1", [name]).map(|_| ()).map_err(|e| format!("{name}: {e}"))
    }

    /// The store's keys, as far as the keyring has them; a ring with none of them is refused.
    pub fn keys(&self, ring: &Keyring) -> Result<KeyTable, String> {
        let rows = self.page(schema::key_rows).map_err(|e| e.0)?;
        if !rows.iter().any(|(_, id)| ring.find(id).is_some()) {
            return Err("wrong key: this store was written under another ELASTIK_KEY".to_owned());
        }
        Ok(KeyTable::new(rows, ring))
    }
}

impl Pages for ReadOnlyStore {
    fn page<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |e: rusqlite::Error| StoreError(e.to_string());
        let tx = db.unchecked_transaction().map_err(failed)?;
        let found = work(&db).map_err(failed)?;
        tx.finish().map_err(failed)?;
        Ok(found)
    }
}

/// Opens a store's file for reading; with how it was, when nothing would tell us of writers.
pub fn reading(file: &Path) -> Result<(Connection, Option<Metadata>), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let still = || std::fs::metadata(file).map_err(|e| failed(&e));
    still()?;
    // Without a WAL nobody has it open: it is read as it lies, and nothing is put beside it.
    let Ok(wal) = std::fs::metadata(beside(file, "-wal")) else {
        return Ok((as_it_lies(file).map_err(|e| failed(&e))?, Some(still()?)));
    };
    match shared(file) {
        Ok(db) => Ok((db, None)),
        Err(error) if wal.len() > 0 => Err(format!(
            "{}: {error}; its -wal holds changes and cannot be read here: copy the directory to a \
             place that can be written",
            file.display()
        )),
        Err(_) => Ok((as_it_lies(file).map_err(|e| failed(&e))?, Some(still()?))),
    }
}

/// `<file><suffix>`, as SQLite names what lies beside a database.
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads beside other processes.
fn shared(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, flags)?;
    prepared(db)
}

/// Reads a file that nobody has open: no locks, nothing made beside it.
pub fn as_it_lies(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let Some(text) = file.to_str() else {
        return Err(rusqlite::Error::InvalidPath(file.to_owned()));
    };
    let db = Connection::open_with_flags(format!("file:{}?immutable=1", path::uri(text)), flags)?;
    prepared(db)
}

fn prepared(db: Connection) -> rusqlite::Result<Connection> {
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "cache_size", -16_384)?;
    db.set_prepared_statement_cache_capacity(32);
    // The first read tells whether it can be read at all.
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(db)
}
