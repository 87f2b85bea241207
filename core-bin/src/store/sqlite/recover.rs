//! Rebuilds a store from what is readable of a damaged file: row by row where pages fail.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::import::{forget, said};
use super::pages::{self, Pages, ReadOnlyStore};
use super::{FILE, backup, bounds, chains, check, lock, schema};
use crate::audit::finding::Problem;
use crate::audit::keys::Keyring;
use crate::store::now_us;
use crate::time;

/// Rows that are copied at a time while nothing fails.
const TOGETHER: i64 = 100;

/// Tables with one number as their key.
const BY_NUMBER: &[(&str, &str)] = &[
    ("key", "n"),
    ("store", "id"),
    ("world", "id"),
    ("log", "seq"),
    ("event", "n"),
    ("piece", "id"),
    ("version", "seq"),
];

/// What was saved.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Table, rows that were copied, stretches of keys that could not be read.
    pub tables: Vec<(String, u64, u64)>,
    /// Worlds that do not hold any more, with the reason.
    pub set_aside: Vec<(String, String)>,
    /// Where the damaged file is now.
    pub damaged: PathBuf,
}

/// Rebuilds `<dir>/elastik.db`; the damaged file is kept beside it under another name.
pub fn recover(data_dir: &Path, ring: &Keyring) -> Result<Recovered, String> {
    let _lock = lock::take(data_dir)?;
    let file = data_dir.join(FILE);
    let part = data_dir.join(format!("{FILE}.recovering"));
    forget(&part);
    let mut done = Recovered::default();
    rebuild(&file, &part, ring, &mut done).inspect_err(|_| forget(&part))?;
    set_aside(&part, ring, &mut done)?;
    let failed = |e: std::io::Error| format!("{}: {e}", file.display());
    std::fs::File::open(&part).and_then(|part| part.sync_all()).map_err(failed)?;
    let stamp = time::sql(now_us()).replace(' ', "T").replace([':', '-'], "");
    done.damaged = data_dir.join(format!("{FILE}.damaged-{stamp}Z"));
    for suffix in ["-wal", "-shm", ""] {
        let from = super::pages::beside(&file, suffix);
        if from.exists() {
            let to = super::pages::beside(&done.damaged, suffix);
            std::fs::rename(&from, to).map_err(failed)?;
        }
    }
    std::fs::rename(&part, &file).map_err(failed)?;
    super::sync_dirs(data_dir).map_err(failed)?;
    Ok(done)
}

fn rebuild(from: &Path, to: &Path, ring: &Keyring, done: &mut Recovered) -> Result<(), String> {
    let failed = |e: rusqlite::Error| e.to_string();
    let (new, _) = schema::open(to, ring.current())?;
    new.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    // Two connections: an error in the one must not spoil what the other writes.
    let (old, _) = pages::reading(from)?;
    new.execute_batch("BEGIN; DELETE FROM key; DELETE FROM store").map_err(failed)?;
    for (table, key) in BY_NUMBER {
        let salvage = Salvage { old: &old, new: &new, table, key, within: String::new() };
        let (rows, lost) = salvage.all().map_err(failed)?;
        done.tables.push(((*table).to_owned(), rows, lost));
    }
    chains::link_again(&new).map_err(failed)?;
    done.tables.push(spans(&old, &new).map_err(failed)?);
    pruned(&old, &new).map_err(failed)?;
    let stores: i64 =
        new.query_row("SELECT count(*) FROM store", [], |row| row.get(0)).map_err(failed)?;
    if stores != 1 {
        return Err("the store's own row cannot be read: nothing can be rebuilt from this file; \
                    restore a backup"
            .to_owned());
    }
    // Pieces whose place in a body was lost are nobody's.
    new.execute_batch("DELETE FROM piece WHERE id NOT IN (SELECT piece FROM span)")
        .map_err(failed)?;
    new.execute(
        "UPDATE store SET worlds = (SELECT count(*) FROM world WHERE path <> ?1), \
         bytes = (SELECT coalesce(sum(size), 0) FROM world)",
        [crate::path::LEDGER],
    )
    .map_err(failed)?;
    bounds::recount(&new).map_err(failed)?;
    backup::leap(&new).map_err(failed)?;
    new.execute_batch("COMMIT").map_err(failed)?;
    super::wal::truncate(&new).map_err(failed)
}

/// The list of a pruning is small and of use only as a whole.
fn pruned(old: &Connection, new: &Connection) -> rusqlite::Result<()> {
    let read = || -> rusqlite::Result<Vec<(String, i64, Vec<u8>)>> {
        let mut statement = old.prepare("SELECT path, seq, hmac FROM pruned")?;
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect()
    };
    for (path, seq, hmac) in read().unwrap_or_default() {
        new.execute("INSERT INTO pruned VALUES(?1, ?2, ?3)", params![path, seq, hmac])?;
    }
    Ok(())
}

/// Where the pieces of each body lie: one body after the other.
fn spans(old: &Connection, new: &Connection) -> rusqlite::Result<(String, u64, u64)> {
    let bodies = "SELECT object FROM world WHERE object IS NOT NULL UNION \
                  SELECT object FROM version WHERE object IS NOT NULL";
    let ids: Vec<i64> =
        new.prepare(bodies)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let (mut rows, mut lost) = (0, 0);
    for id in ids {
        let within = format!("object = {id} AND ");
        let salvage = Salvage { old, new, table: "span", key: "at", within };
        let (more, gaps) = salvage.all()?;
        (rows, lost) = (rows + more, lost + gaps);
    }
    Ok(("span".to_owned(), rows, lost))
}

/// Copies a table's rows in the order of a key, around what cannot be read.
struct Salvage<'a> {
    old: &'a Connection,
    new: &'a Connection,
    table: &'a str,
    key: &'a str,
    within: String,
}

impl Salvage<'_> {
    /// Rows that were copied, and stretches that were lost.
    fn all(&self) -> rusqlite::Result<(u64, u64)> {
        let (mut after, mut limit, mut rows, mut lost) = (-1_i64, TOGETHER, 0, 0);
        loop {
            match self.read(after, limit) {
                Ok(found) if found.is_empty() => return Ok((rows, lost)),
                Ok(found) => {
                    for row in &found {
                        self.write(row)?;
                        after = number(&row[0]);
                    }
                    rows += found.len() as u64;
                    limit = TOGETHER;
                }
                Err(_) if limit > 1 => limit = 1,
                Err(_) => {
                    lost += 1;
                    match self.beyond(after) {
                        Some(next) => after = next - 1,
                        None => return Ok((rows, lost)),
                    }
                }
            }
        }
    }

    /// Some rows behind a key, each with that key before its columns; or an error for all.
    fn read(&self, after: i64, limit: i64) -> rusqlite::Result<Vec<Vec<Value>>> {
        let Self { table, key, within, .. } = self;
        let sql = format!(
            "SELECT {key} AS k, t.* FROM {table} t WHERE {within}{key} > ?1 ORDER BY {key} LIMIT ?2"
        );
        let mut statement = self.old.prepare_cached(&sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map(params![after, limit], |row| {
            (0..columns).map(|at| row.get::<_, Value>(at)).collect()
        })?;
        rows.collect()
    }

    fn write(&self, row: &[Value]) -> rusqlite::Result<()> {
        let marks = vec!["?"; row.len() - 1].join(", ");
        let sql = format!("INSERT OR IGNORE INTO {} VALUES({marks})", self.table);
        self.new.prepare_cached(&sql)?.execute(params_from_iter(&row[1..]))?;
        Ok(())
    }

    /// The next key that can be reached behind one that cannot, with ever longer steps.
    fn beyond(&self, after: i64) -> Option<i64> {
        let mut step = 1_i64;
        while step < 1 << 48 {
            let from = after.checked_add(step)?;
            match self.read(from, 1) {
                Ok(found) => return found.first().map(|row| number(&row[0])),
                Err(_) => step += if step < 1 << 20 { step.clamp(1, 64) } else { step },
            }
        }
        None
    }
}

fn number(value: &Value) -> i64 {
    if let Value::Integer(number) = value { *number } else { i64::MAX }
}

/// Worlds that lost something are set aside; the rest goes on.
fn set_aside(file: &Path, ring: &Keyring, done: &mut Recovered) -> Result<(), String> {
    let store = ReadOnlyStore::open(file)?;
    let keys = store.keys(ring)?;
    let ids: Vec<i64> = store
        .page(|db| db.prepare("SELECT id FROM world")?.query_map([], |r| r.get(0))?.collect())
        .map_err(|e| e.0)?;
    let mut faults = vec![];
    for id in ids {
        let Some(report) = check::world(&store, &keys, id).map_err(|e| e.0)? else { continue };
        if let Some(finding) = report.findings.iter().find(|f| f.problem != Problem::SetAside) {
            faults.push((id, report.path.clone(), said(finding)));
        }
    }
    drop(store);
    let db = Connection::open(file).map_err(|e| e.to_string())?;
    for (id, path, reason) in faults {
        db.execute("UPDATE world SET fault = ?2 WHERE id = ?1", params![id, reason])
            .map_err(|e| e.to_string())?;
        done.set_aside.push((path, reason));
    }
    super::wal::truncate(&db).map_err(|e| e.to_string())
}
