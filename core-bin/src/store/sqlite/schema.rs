//! The file: its tables, its marks, and what may be opened (design §1).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use rusqlite::{Connection, params};

use super::{bounds, vfs, wal};
use crate::audit::keys::AuditKey;
use crate::audit::log::genesis;
use crate::store::now_us;
use crate::store::quota::Shares;

/// "Elst" in the file's header: SQLite's application_id.
const APPLICATION_ID: i64 = 0x456c_7374;

/// The layout below. A newer file is refused by name; an older one, from the first release on, is
/// migrated.
const USER_VERSION: i64 = 2;

/// SQLite before this has a bug in the WAL's reset (design §1).
const OLDEST_SQLITE: i32 = 3_051_003;

/// One row that every commit updates: counters, the newest MAC, the high-water mark.
pub const TABLES: &str = "
CREATE TABLE store(
  id INTEGER PRIMARY KEY CHECK(id = 1),
  store_id BLOB NOT NULL, created_us INTEGER NOT NULL,
  key INTEGER NOT NULL,
  high_water INTEGER NOT NULL,
  seq INTEGER NOT NULL, mac BLOB NOT NULL,
  worlds INTEGER NOT NULL, bytes INTEGER NOT NULL,
  next_row INTEGER NOT NULL,
  log_rows INTEGER NOT NULL, history_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE key(
  n INTEGER PRIMARY KEY, key_id BLOB NOT NULL UNIQUE, since_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE world(
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE,
  seq INTEGER NOT NULL, event_id INTEGER NOT NULL, events INTEGER NOT NULL,
  hmac BLOB NOT NULL, body_sha256 BLOB NOT NULL, size INTEGER NOT NULL,
  content_type TEXT NOT NULL, headers TEXT NOT NULL, modified_us INTEGER NOT NULL,
  body BLOB, object INTEGER, tail INTEGER NOT NULL DEFAULT 0, hash_state BLOB,
  expires_us INTEGER, fault TEXT
) STRICT;
CREATE INDEX world_expiry ON world(expires_us) WHERE expires_us IS NOT NULL;
CREATE INDEX world_object ON world(object) WHERE object IS NOT NULL;
CREATE INDEX world_fault ON world(fault) WHERE fault IS NOT NULL;

-- n is seq, but for imported events: those share the seq of their import, and the last one's n is it.
CREATE TABLE event(
  n INTEGER PRIMARY KEY, world INTEGER NOT NULL, id INTEGER NOT NULL, prev INTEGER,
  seq INTEGER NOT NULL,
  time_us INTEGER NOT NULL, time_text TEXT,
  type TEXT NOT NULL, target TEXT,
  body_sha256 BLOB NOT NULL, size INTEGER NOT NULL, content_type TEXT NOT NULL,
  headers TEXT NOT NULL, meta_sha256 BLOB NOT NULL,
  hmac BLOB NOT NULL, prev_hmac BLOB NOT NULL, key INTEGER NOT NULL, raw BLOB
) STRICT;

CREATE TABLE mark(
  world INTEGER NOT NULL, id INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(world, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE log(
  seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, kind INTEGER NOT NULL, path TEXT NOT NULL,
  hmac BLOB NOT NULL, content_type TEXT NOT NULL, size INTEGER NOT NULL,
  writer TEXT NOT NULL, link TEXT NOT NULL, key INTEGER NOT NULL,
  prev_mac BLOB NOT NULL, mac BLOB NOT NULL
) STRICT;

CREATE TABLE piece(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE span(
  object INTEGER NOT NULL, at INTEGER NOT NULL, piece INTEGER NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY(object, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE staged(object INTEGER PRIMARY KEY) STRICT;
CREATE TABLE trash(kind INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(kind, id)) STRICT, WITHOUT ROWID;

CREATE TABLE version(
  seq INTEGER PRIMARY KEY, path TEXT NOT NULL, event INTEGER NOT NULL,
  time_us INTEGER NOT NULL, until_us INTEGER NOT NULL, expires_us INTEGER,
  size INTEGER NOT NULL, content_type TEXT NOT NULL, headers TEXT NOT NULL,
  body_sha256 BLOB NOT NULL, hmac BLOB NOT NULL, body BLOB, object INTEGER
) STRICT;
CREATE INDEX version_path ON version(path, seq);
CREATE INDEX version_object ON version(object) WHERE object IS NOT NULL;
CREATE INDEX version_expiry ON version(expires_us) WHERE expires_us IS NOT NULL;

CREATE TABLE pruned(
  path TEXT PRIMARY KEY, seq INTEGER NOT NULL, hmac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE answered(
  n INTEGER PRIMARY KEY, key BLOB NOT NULL, expires_us INTEGER NOT NULL, outcome BLOB NOT NULL
) STRICT;
";

/// Ids for worlds and objects. A rollback leaves a gap; each commit writes the next one down.
#[derive(Clone, Debug)]
pub struct Ids(Arc<AtomicI64>);

impl Ids {
    fn from(next: i64) -> Self {
        Self(Arc::new(AtomicI64::new(next)))
    }

    /// A new one; nobody waits for the writer.
    pub fn take(&self) -> i64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// What the next one will be.
    pub fn next(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// What the one row of the store said at the start.
#[derive(Clone, Debug)]
pub struct StoreRow {
    pub key: i64,
    pub high_water: u64,
    pub seq: u64,
    pub mac: [u8; 32],
    pub worlds: u64,
    pub bytes: u64,
    pub ids: Ids,
    /// What is used of each quota: counted at the start, not written.
    pub shares: Shares,
}

/// Opens the database for its writer; lays it when it is new.
pub fn open(file: &Path, key: &AuditKey) -> Result<(Connection, StoreRow), String> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(format!("SQLite {} has a WAL-reset bug", rusqlite::version()));
    }
    wal::write_again(file).map_err(|e| format!("{}-wal: {e}", file.display()))?;
    let db = vfs::connect(file).map_err(|e| describe(file, &e))?;
    prepare(&db, file, key).map(|row| (db, row))
}

fn describe(file: &Path, error: &rusqlite::Error) -> String {
    format!("{}: {error}", file.display())
}

fn prepare(db: &Connection, file: &Path, key: &AuditKey) -> Result<StoreRow, String> {
    let failed = |e: rusqlite::Error| describe(file, &e);
    db.busy_timeout(std::time::Duration::from_secs(2)).map_err(failed)?;
    let empty: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(failed)?;
    if empty == 0 {
        lay(db, key).map_err(failed)?;
    } else {
        check_marks(db, file)?;
    }
    tune(db).map_err(failed)?;
    if empty != 0 {
        let row = read_row(db).map_err(failed)?;
        check_key(db, &row, key)?;
    }
    let row = read_row(db).map_err(failed)?;
    check_key(db, &row, key)?;
    Ok(row)
}

/// What holds for each connection of the writer. Checkpoints are ours (design §1).
fn tune(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "fullfsync", true)?;
    db.pragma_update(None, "checkpoint_fullfsync", true)?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "secure_delete", "FAST")?;
    db.pragma_update(None, "cache_size", -8192)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn lay(db: &Connection, key: &AuditKey) -> rusqlite::Result<()> {
    db.pragma_update(None, "page_size", 4096)?;
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let store_id = random_id();
    // One transaction: a crash leaves an empty file, which is laid again, or a whole one.
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(bounds::TRIGGERS)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", USER_VERSION)?;
    tx.execute("INSERT INTO key(n, key_id, since_seq) VALUES(1, ?1, 0)", [&key.id[..]])?;
    tx.execute(
        "INSERT INTO store VALUES(1, ?1, ?2, 1, 0, 0, ?3, 0, 0, 1, 0, 0)",
        params![&store_id[..], now_us(), &genesis(&store_id)[..]],
    )?;
    tx.commit()
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    if getrandom::fill(&mut id).is_err() {
        // No entropy source: time and process still tell stores of one machine apart.
        id[..8].copy_from_slice(&now_us().to_be_bytes());
        id[8..12].copy_from_slice(&std::process::id().to_be_bytes());
    }
    id
}

pub fn check_marks(db: &Connection, file: &Path) -> Result<(), String> {
    let pragma = |name| db.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    let (app, version) = (pragma("application_id"), pragma("user_version"));
    let (app, version) =
        (app.map_err(|e| describe(file, &e))?, version.map_err(|e| describe(file, &e))?);
    if app != APPLICATION_ID {
        return Err(format!("{} is not an elastik store (application_id {app})", file.display()));
    }
    if version > USER_VERSION {
        return Err(format!(
            "{} has layout {version}, this core knows layouts up to {USER_VERSION}: a newer elastik wrote it",
            file.display()
        ));
    }
    if version < USER_VERSION {
        return Err(format!(
            "{} has layout {version}, of a core that was never released: let that core export it \
             (elastik data export), and import it here",
            file.display()
        ));
    }
    Ok(())
}

pub fn read_row(db: &Connection) -> rusqlite::Result<StoreRow> {
    db.query_row("SELECT key, high_water, seq, mac, worlds, bytes, next_row FROM store", [], |r| {
        Ok(StoreRow {
            key: r.get(0)?,
            high_water: r.get::<_, i64>(1)? as u64,
            seq: r.get::<_, i64>(2)? as u64,
            mac: r.get(3)?,
            worlds: r.get::<_, i64>(4)? as u64,
            bytes: r.get::<_, i64>(5)? as u64,
            ids: Ids::from(r.get(6)?),
            shares: Shares::default(),
        })
    })
}

/// The keys that the store was ever written under: number and id.
pub fn key_rows(db: &Connection) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    db.prepare("SELECT n, key_id FROM key ORDER BY n")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The store's own id.
pub fn store_id(db: &Connection) -> rusqlite::Result<[u8; 16]> {
    db.query_row("SELECT store_id FROM store", [], |row| row.get(0))
}

/// A wrong key is found before anything is read or changed.
pub fn check_key(db: &Connection, row: &StoreRow, key: &AuditKey) -> Result<(), String> {
    let rows = key_rows(db).map_err(|e| e.to_string())?;
    match rows.iter().find(|(_, id)| *id == key.id) {
        Some((n, _)) if *n == row.key => Ok(()),
        Some(_) => Err("wrong key: it was replaced by another one in this data directory; start \
                        with the new key and keep this one in the keyring; nothing was changed"
            .to_owned()),
        None => Err("wrong key: this data directory was written under another ELASTIK_KEY; \
                     nothing was changed"
            .to_owned()),
    }
}
