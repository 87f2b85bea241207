//! Old bodies, where a rule keeps them, and the erasure of what nobody is to read again.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::batch::{Step, TRASH_ERASED, TRASH_OBJECT, Transaction};
use super::objects::Objects;
use super::rows;
use crate::path::WorldPath;
use crate::store::{At, Body, Head, Row, Tag};

/// Versions that one write removes at the most; more go with later writes and in idle turns.
const TRIMMED: i64 = 100;

const COLUMNS: &str = "seq, path, event, time_us, size, content_type, headers, body_sha256, hmac, \
                       body, object";

impl Transaction<'_> {
    /// Keeps the body that a write replaces, if a rule says so; else its object may go.
    pub(super) fn supersede(&mut self, old: &Head, object_lives_on: bool) -> Step<()> {
        let Some(keep) = self.rules.history(&old.path).filter(|_| old.fault.is_none()) else {
            return if object_lives_on { Ok(()) } else { self.drop_body(&old.body) };
        };
        let (body, object) = match &old.body {
            Body::Inline(bytes) => (Some(&bytes[..]), None),
            Body::Object(object) => (None, Some(object.id)),
            Body::Chunks(_) => unreachable!("durable worlds have no chunks"),
        };
        let Tag::Hmac(hmac) = old.tag else { unreachable!("durable tags are hmacs") };
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO version(seq, path, event, time_us, size, content_type, \
                 headers, body_sha256, hmac, body, object, until_us, expires_us) \
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                old.seq as i64,
                old.path.as_str(),
                old.row.event_id,
                old.modified_us,
                old.size as i64,
                &*old.content_type,
                rows::encode_headers(&old.headers),
                &old.body_sha256[..],
                &hmac[..],
                body,
                object,
                self.now_us,
                keep.age_us.map(|age| self.now_us.saturating_add(age)),
            ])?;
        self.litter |= self.rules.max_history.is_some();
        // The version that has just been replaced is still the world's row: its object is in use.
        let in_use = object.filter(|_| object_lives_on);
        for (seq, object) in surplus(self.db, old.path.as_str(), &keep)? {
            self.litter = true;
            remove_version(self.db, seq, object.filter(|id| Some(*id) != in_use))?;
        }
        Ok(())
    }

    /// Forgets every kept version of a path, and has its bytes overwritten.
    pub(super) fn purge_versions(&mut self, path: &WorldPath) -> Step<()> {
        let found: Vec<(i64, Option<i64>)> = self
            .db
            .prepare_cached("SELECT seq, object FROM version WHERE path = ?1")?
            .query_map([path.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (seq, object) in found {
            blank(self.db, "version", "seq", seq)?;
            remove_version(self.db, seq, None)?;
            if let Some(object) = object {
                self.discard(TRASH_ERASED, object)?;
            }
        }
        Ok(())
    }

    /// The body of a world that goes with all its versions.
    pub(super) fn erase_body(&mut self, body: &Body) -> Step<()> {
        match body {
            Body::Object(object) => self.discard(TRASH_ERASED, object.id),
            _ => Ok(()),
        }
    }

    /// A body that no row names any more, unless a kept version does.
    pub(super) fn drop_body(&mut self, body: &Body) -> Step<()> {
        if let Body::Object(object) = body
            && !is_kept(self.db, object.id)?
        {
            self.discard(TRASH_OBJECT, object.id)?;
        }
        Ok(())
    }

    /// Overwrites an inline body where it lies, before its row is deleted.
    pub(super) fn blank_world(&self, id: i64) -> Step<()> {
        Ok(blank(self.db, "world", "id", id)?)
    }
}

fn blank(db: &Connection, table: &str, key: &str, id: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE {table} SET body = zeroblob(length(body)) WHERE {key} = ?1 AND body IS NOT NULL"
    );
    db.prepare_cached(&sql)?.execute([id])?;
    Ok(())
}

/// Versions beyond what is to be kept, oldest of no interest: number and object.
fn surplus(
    db: &Connection,
    path: &str,
    keep: &crate::store::rules::Keep,
) -> rusqlite::Result<Vec<(i64, Option<i64>)>> {
    let mut found = Vec::new();
    if let Some(count) = keep.versions {
        let sql =
            "SELECT seq, object FROM version WHERE path = ?1 ORDER BY seq DESC LIMIT ?2 OFFSET ?3";
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map(params![path, TRIMMED, count as i64], pair)?;
        found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    if let Some(bytes) = keep.bytes {
        let sql = "SELECT seq, object FROM (SELECT seq, object, \
                   sum(size) OVER (ORDER BY seq DESC) AS total FROM version WHERE path = ?1) \
                   WHERE total > ?2 LIMIT ?3";
        let mut statement = db.prepare_cached(sql)?;
        let rows = statement.query_map(params![path, bytes as i64, TRIMMED], pair)?;
        found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn pair(row: &SqlRow<'_>) -> rusqlite::Result<(i64, Option<i64>)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn remove_version(db: &Connection, seq: i64, object: Option<i64>) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM version WHERE seq = ?1")?.execute([seq])?;
    let Some(object) = object else { return Ok(()) };
    if is_kept(db, object)? || is_current(db, object)? {
        return Ok(());
    }
    db.prepare_cached("INSERT OR IGNORE INTO trash(kind, id) VALUES(?1, ?2)")?
        .execute([TRASH_OBJECT, object])?;
    Ok(())
}

fn is_kept(db: &Connection, object: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM version WHERE object = ?1 LIMIT 1")?.exists([object])
}

fn is_current(db: &Connection, object: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM world WHERE object = ?1 LIMIT 1")?.exists([object])
}

/// Whether a version's age has come.
pub fn is_due(db: &Connection, now_us: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM version WHERE expires_us <= ?1 LIMIT 1")?.exists([now_us])
}

/// Removes versions whose age has come; true when there may be more.
pub fn forget_old(db: &Connection, now_us: i64) -> rusqlite::Result<bool> {
    let found: Vec<_> = db
        .prepare_cached(
            "SELECT seq, object FROM version WHERE expires_us <= ?1 ORDER BY expires_us LIMIT ?2",
        )?
        .query_map(params![now_us, TRIMMED], pair)?
        .collect::<Result<_, _>>()?;
    for (seq, object) in &found {
        remove_version(db, *seq, *object)?;
    }
    Ok(found.len() as i64 == TRIMMED)
}

/// Removes the oldest versions until they gave `surplus` bytes; true when there may be more.
pub fn forget_oldest(db: &Connection, surplus: u64) -> rusqlite::Result<bool> {
    let mut gone = 0;
    if surplus > 0 {
        let found: Vec<(i64, Option<i64>, i64)> = db
            .prepare_cached("SELECT seq, object, size FROM version ORDER BY seq LIMIT ?1")?
            .query_map([TRIMMED], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (seq, object, size) in found {
            if gone >= surplus {
                break;
            }
            remove_version(db, seq, object)?;
            gone += size.max(0) as u64;
        }
    }
    Ok(gone > 0 && gone < surplus)
}

/// Kept versions of a path, newest first, those before number `before`.
pub fn versions(
    db: &Connection,
    objects: &Objects,
    path: &str,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Head>> {
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {COLUMNS} FROM version WHERE path = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
    );
    db.prepare_cached(&sql)?
        .query_map(params![path, before, limit as i64], |row| head(row, objects))?
        .collect()
}

/// The version that was in force: at an event of the chain, or at a time.
pub fn version(
    db: &Connection,
    objects: &Objects,
    path: &str,
    at: At,
) -> rusqlite::Result<Option<Head>> {
    let (condition, value) = match at {
        At::Event(id) => ("event = ?2", id),
        At::Time(time_us) => ("time_us <= ?2 AND until_us > ?2", time_us),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM version WHERE path = ?1 AND {condition} ORDER BY seq DESC LIMIT 1"
    );
    db.prepare_cached(&sql)?.query_row(params![path, value], |row| head(row, objects)).optional()
}

fn head(row: &SqlRow<'_>, objects: &Objects) -> rusqlite::Result<Head> {
    let body = match row.get::<_, Option<i64>>(10)? {
        Some(id) => Body::Object(objects.hold(id)),
        None => Body::Inline(row.get::<_, Option<Vec<u8>>>(9)?.unwrap_or_default().into()),
    };
    let event_id: i64 = row.get(2)?;
    Ok(Head {
        path: WorldPath::trusted(row.get_ref(1)?.as_str()?),
        seq: row.get::<_, i64>(0)?.max(0) as u64,
        events: event_id.max(0) as u64,
        size: row.get::<_, i64>(4)?.max(0) as u64,
        content_type: Arc::from(row.get_ref(5)?.as_str()?),
        headers: rows::decode_headers(row.get_ref(6)?.as_str()?),
        tag: Tag::Hmac(row.get(8)?),
        body_sha256: row.get(7)?,
        modified_us: row.get(3)?,
        body,
        hash_state: None,
        row: Row { event_id, ..Row::default() },
        fault: None,
        expires_us: None,
    })
}
