//! Writes a world in the 8.x layout, byte for byte as 8.3 would have it, and checks it.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, params};

use super::read::OldWorld;
use super::{FILE, Place};
use crate::audit::chain::{Covered, Replay, event_hmac, meta_sha256};
use crate::audit::keys::AuditKey;
use crate::path::encode_disk_name;
use crate::store::sqlite::raw::RawEvent;
use crate::store::{ChainRow, Headers, hex};
use crate::time;

const TABLES: &str = "
CREATE TABLE stage_meta(
  id INTEGER PRIMARY KEY CHECK(id=1), body BLOB DEFAULT x'',
  content_type TEXT DEFAULT 'application/octet-stream');
CREATE TABLE meta_headers(name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(name));
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, event_type TEXT NOT NULL,
  target TEXT DEFAULT '', body_sha256 TEXT DEFAULT '', size INTEGER DEFAULT 0,
  content_type TEXT DEFAULT '', meta_sha256 TEXT DEFAULT '', hmac TEXT NOT NULL,
  prev_hmac TEXT DEFAULT '');
CREATE TABLE event_headers(event_id INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
";

/// A world that is being written.
pub struct NewWorld {
    db: Connection,
    place: Place,
    /// The key of a chain that is made anew, and its newest hmac.
    rechain: Option<(AuditKey, String)>,
}

impl NewWorld {
    /// Makes the world's directory in `to`. With a key, all HMACs are made anew under it.
    pub fn create(to: &Path, path: &str, rechain: Option<AuditKey>) -> Result<Self, String> {
        let disk_name = encode_disk_name(path);
        let dir = to.join(&disk_name);
        std::fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let file = dir.join(FILE);
        let db = begin(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let place = Place { disk_name, dir, file, bytes: 0 };
        Ok(Self { db, place, rechain: rechain.map(|key| (key, String::new())) })
    }

    /// The next event; `raw` is its copy from an import, when it has one.
    pub fn event(&mut self, row: &ChainRow, raw: Option<RawEvent>) -> rusqlite::Result<()> {
        let mut event = raw.unwrap_or_else(|| columns(row));
        if let Some((key, last)) = &mut self.rechain {
            anew(&mut event, key, last);
        }
        let [time, kind, target, body, size, content_type, meta, hmac, prev] = &event.columns;
        self.db
            .prepare_cached("INSERT INTO events VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                row.id,
                time,
                kind,
                target,
                body,
                size,
                content_type,
                meta,
                hmac,
                prev
            ])?;
        for (name, value) in &event.headers {
            self.db
                .prepare_cached("INSERT INTO event_headers VALUES(?1, ?2, ?3)")?
                .execute(params![row.id, name, value])?;
        }
        Ok(())
    }

    /// The world as it stands; then the file is synced and its chain read back and checked.
    pub fn finish(
        self,
        body: &[u8],
        content_type: &str,
        headers: &Headers,
        key: &AuditKey,
    ) -> Result<u64, String> {
        let Self { db, place, .. } = self;
        let failed = |e: rusqlite::Error| format!("{}: {e}", place.file.display());
        let body = ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Blob(body));
        db.execute("INSERT INTO stage_meta VALUES(1, ?1, ?2)", params![body, content_type])
            .map_err(failed)?;
        for (name, value) in headers.iter() {
            db.execute("INSERT INTO meta_headers VALUES(?1, ?2)", params![name, value])
                .map_err(failed)?;
        }
        db.execute_batch("COMMIT").map_err(failed)?;
        // The last connection's end takes the WAL with it.
        db.close().map_err(|(_, error)| failed(error))?;
        check(&place, key)
    }
}

fn begin(file: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(file)?;
    db.pragma_update(None, "page_size", 4096)?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch(TABLES)?;
    db.execute_batch("BEGIN")?;
    Ok(db)
}

/// An event of ours in the columns of 8.x.
fn columns(row: &ChainRow) -> RawEvent {
    let text = |text: &str| Value::Text(text.to_owned());
    let stamp = row.time_text.clone().unwrap_or_else(|| time::sql(row.time_us));
    RawEvent {
        columns: [
            Value::Text(stamp),
            text(&row.kind),
            text(&row.target),
            text(&row.body_sha256),
            Value::Integer(row.size),
            text(&row.content_type),
            text(&row.meta_sha256),
            text(&row.hmac),
            text(&row.prev_hmac),
        ],
        headers: row.headers.to_vec(),
    }
}

/// The same event with its HMAC under another key, after `last`.
fn anew(event: &mut RawEvent, key: &AuditKey, last: &mut String) {
    let hmac = event_hmac(
        key,
        &Covered {
            prev: last,
            kind: &event.text(1),
            target: &event.text(2),
            body_sha256: &event.text(3),
            size: &event.text(4),
            content_type: &event.text(5),
            meta_sha256: &event.text(6),
        },
    );
    event.columns[8] = Value::Text(std::mem::replace(last, hex(&hmac)));
    event.columns[7] = Value::Text(last.clone());
}

/// Reads the written world back: every event must hold (core.md §4.4), and the body its hash.
fn check(place: &Place, key: &AuditKey) -> Result<u64, String> {
    let old = OldWorld::open(place)?;
    let failed = |text: String| format!("{}: {text}", place.file.display());
    let (mut replay, mut broken) = (Replay::default(), None);
    old.each_event(&mut |id, event| {
        let row = crate::store::sqlite::raw::restore(
            &event.pack(),
            ChainRow { id, ..ChainRow::default() },
        );
        let meta = hex(&meta_sha256(&row.content_type, &row.headers));
        if broken.is_none() && (meta != row.meta_sha256 || replay.row(Some(key), &row).is_err()) {
            broken = Some(format!("event {id} does not hold after it was written"));
        }
        Ok(())
    })
    .map_err(|e| failed(e.to_string()))?;
    match broken {
        Some(text) => Err(failed(text)),
        None if replay.rows == 0 => Err(failed("no events were written".to_owned())),
        None => Ok(replay.rows),
    }
}
