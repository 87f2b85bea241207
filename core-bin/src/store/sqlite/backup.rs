//! Backups: a whole store as one file, taken beside its writer, and put back.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::import::forget;
use super::pages::{ReadOnlyStore, beside};
use super::{FILE, lock, schema};

/// What a restore raises the high-water mark by: numbers that were given after the backup was
/// taken are never given again.
const LEAP: i64 = 1 << 32;

/// Writes a consistent copy of the store to a new file, and syncs it.
pub fn to_file(store: &ReadOnlyStore, to: &Path) -> Result<u64, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", to.display());
    if to.exists() {
        return Err(failed(&"it is there already"));
    }
    // Whoever stops half-way leaves a name that nobody takes for a backup.
    let part = beside(to, ".part");
    forget(&part);
    store.copy_into(&part)?;
    let file = File::open(&part).map_err(|e| failed(&e))?;
    file.sync_all().map_err(|e| failed(&e))?;
    std::fs::rename(&part, to).map_err(|e| failed(&e))?;
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| failed(&e))?;
    file.metadata().map(|meta| meta.len()).map_err(|e| failed(&e))
}

/// Streams a consistent copy; it lies beside the store, without a name, until it is sent.
pub fn to_stream(store: &ReadOnlyStore, to: &mut dyn Write) -> Result<u64, String> {
    let part = beside(&store.file, &format!(".backup-{}", std::process::id()));
    forget(&part);
    let copied = store.copy_into(&part);
    let opened = File::open(&part);
    forget(&part);
    copied?;
    let mut file = opened.map_err(|e| format!("{}: {e}", part.display()))?;
    let sent = std::io::copy(&mut file, to).map_err(|e| e.to_string())?;
    to.flush().map_err(|e| e.to_string())?;
    Ok(sent)
}

/// Puts a backup into a data directory that has no store; returns the new high-water mark.
pub fn restore(data_dir: &Path, from: &mut dyn Read) -> Result<u64, String> {
    super::make_dir(data_dir)?;
    let _lock = lock::take(data_dir)?;
    let file = data_dir.join(FILE);
    if file.exists() {
        return Err(format!("{} holds {FILE} already: move it away first", data_dir.display()));
    }
    let part: PathBuf = data_dir.join(format!("{FILE}.restoring"));
    forget(&part);
    let mark = receive(&part, from).inspect_err(|_| forget(&part))?;
    let failed = |e: std::io::Error| format!("{}: {e}", part.display());
    File::open(&part).and_then(|part| part.sync_all()).map_err(failed)?;
    std::fs::rename(&part, &file).map_err(failed)?;
    super::sync_dirs(data_dir).map_err(failed)?;
    Ok(mark)
}

fn receive(part: &Path, from: &mut dyn Read) -> Result<u64, String> {
    let mut file = File::create_new(part).map_err(|e| format!("{}: {e}", part.display()))?;
    std::io::copy(from, &mut file).map_err(|e| format!("the backup cannot be read: {e}"))?;
    drop(file);
    let db = Connection::open(part).map_err(|e| e.to_string())?;
    schema::check_marks(&db, part)?;
    let sound: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| format!("the backup is damaged: {e}"))?;
    if sound != "ok" {
        return Err(format!("the backup is damaged: {sound}"));
    }
    leap(&db).map_err(|e| e.to_string())
}

/// Raises the high-water mark so that no number is given twice.
pub fn leap(db: &Connection) -> rusqlite::Result<u64> {
    db.execute("UPDATE store SET high_water = high_water + ?1", [LEAP])?;
    let mark: i64 = db.query_row("SELECT high_water FROM store", [], |row| row.get(0))?;
    Ok(mark.max(0) as u64)
}
