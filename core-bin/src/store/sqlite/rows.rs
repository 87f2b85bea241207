//! Rows of the file to values and back.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};

use super::objects::Objects;
use crate::audit::log::{LogKind, LogRow};
use crate::audit::world::WorldRow;
use crate::path::WorldPath;
use crate::store::quota::{Quota, Quotas, Shares};
use crate::store::{Body, Entry, Hash, Head, Headers, Row, Tag, hex, now_us, unhex};

const WORLD: &str = "id, path, seq, event_id, events, hmac, body_sha256, size, content_type, \
                     headers, modified_us, body, object, tail, hash_state, fault, expires_us";

/// First byte of a kept hash state: which serialisation follows (sha2's may change).
const STATE_FORMAT: u8 = 1;

/// The world at `path`, if there is one.
pub fn world(db: &Connection, objects: &Objects, path: &str) -> rusqlite::Result<Option<Head>> {
    db.prepare_cached(&format!("SELECT {WORLD} FROM world WHERE path = ?1"))?
        .query_row([path], |row| head(row, objects))
        .optional()
}

fn head(row: &SqlRow<'_>, objects: &Objects) -> rusqlite::Result<Head> {
    let hmac: Hash = row.get(5)?;
    let body_sha256: Hash = row.get(6)?;
    let body = match row.get::<_, Option<i64>>(12)? {
        Some(id) => Body::Object(objects.hold(id)),
        None => Body::Inline(row.get::<_, Option<Vec<u8>>>(11)?.unwrap_or_default().into()),
    };
    Ok(Head {
        path: WorldPath::trusted(row.get_ref(1)?.as_str()?),
        seq: unsigned(row, 2)?,
        events: unsigned(row, 4)?,
        size: unsigned(row, 7)?,
        content_type: row.get_ref(8)?.as_str()?.into(),
        headers: decode_headers(row.get_ref(9)?.as_str()?),
        tag: Tag::Hmac(hmac),
        body_sha256,
        modified_us: row.get(10)?,
        body,
        hash_state: row.get_ref(14)?.as_blob_or_null()?.and_then(|s| unpack(s, &body_sha256)),
        row: Row { id: row.get(0)?, event_id: row.get(3)?, tail: row.get(13)? },
        fault: row.get_ref(15)?.as_str_or_null()?.map(Arc::from),
        expires_us: row.get(16)?,
    })
}

pub fn unsigned(row: &SqlRow<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|n| n.max(0) as u64)
}

/// A running hash as it is kept in the row.
pub fn pack(state: &Sha256) -> Vec<u8> {
    let mut out = vec![STATE_FORMAT];
    out.extend_from_slice(&state.serialize());
    out
}

/// A kept running hash, only if it ends in the hash that the newest event has.
fn unpack(bytes: &[u8], body_sha256: &Hash) -> Option<Sha256> {
    let (format, state) = bytes.split_first()?;
    if *format != STATE_FORMAT {
        return None;
    }
    let hash = Sha256::deserialize(state.try_into().ok()?).ok()?;
    let finished: Hash = hash.clone().finalize().into();
    (finished == *body_sha256).then_some(hash)
}

/// Headers as one text: `name NUL value NUL …`; neither can hold a NUL.
pub fn encode_headers(headers: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in headers {
        for part in [name, value] {
            out.push_str(part);
            out.push('\0');
        }
    }
    out
}

pub fn decode_headers(text: &str) -> Headers {
    let parts: Vec<&str> = text.split_terminator('\0').collect();
    parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// What the bodies of all worlds under each quota's prefix take.
pub fn shares(db: &Connection, quotas: &Quotas) -> rusqlite::Result<Shares> {
    let sql = "SELECT coalesce(sum(size), 0) FROM world WHERE path >= ?1 AND path < ?2";
    let used = |quota: &Quota| {
        let end = format!("{}\u{10ffff}", quota.prefix);
        db.query_row(sql, [&quota.prefix, &end], |row| unsigned(row, 0))
    };
    quotas.iter().map(used).collect::<Result<_, _>>().map(Shares)
}

/// One page of worlds.
pub fn list(
    db: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    // The empty string sorts before every path; a prefix itself may be a world.
    let (op, from) =
        if after >= prefix && !after.is_empty() { (">", after) } else { (">=", prefix) };
    let sql = format!(
        "SELECT path, seq, events, size, content_type, hmac, modified_us FROM world \
         WHERE path {op} ?1 AND (expires_us IS NULL OR expires_us > ?3) ORDER BY path LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![from, limit as i64, now_us()], |row| {
        Ok(Entry {
            path: WorldPath::trusted(row.get_ref(0)?.as_str()?),
            seq: unsigned(row, 1)?,
            events: unsigned(row, 2)?,
            size: unsigned(row, 3)?,
            content_type: row.get_ref(4)?.as_str()?.into(),
            tag: Tag::Hmac(row.get(5)?),
            modified_us: row.get(6)?,
        })
    })?;
    let inside = |row: &rusqlite::Result<Entry>| {
        row.as_ref().map_or(true, |entry| entry.path.as_str().starts_with(prefix))
    };
    rows.take_while(inside).collect()
}

/// Worlds whose time has come, those that waited longest first.
pub fn expired(
    db: &Connection,
    now_us: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(WorldPath, u64)>> {
    db.prepare_cached(
        "SELECT path, seq FROM world WHERE expires_us <= ?1 ORDER BY expires_us LIMIT ?2",
    )?
    .query_map(params![now_us, limit as i64], |row| {
        Ok((WorldPath::trusted(row.get_ref(0)?.as_str()?), unsigned(row, 1)?))
    })?
    .collect()
}

/// The columns that a check compares; its MACs are checked where the log is walked.
pub fn joined_log_row(row: &SqlRow<'_>, at: usize) -> rusqlite::Result<Option<LogRow>> {
    if row.get_ref(at)? == rusqlite::types::ValueRef::Null {
        return Ok(None);
    }
    Ok(Some(LogRow {
        seq: unsigned(row, at)?,
        time_us: row.get(at + 1)?,
        kind: LogKind::from_number(row.get(at + 2)?).unwrap_or(LogKind::Unknown),
        path: row.get(at + 3)?,
        hmac: hex(row.get_ref(at + 4)?.as_blob()?),
        content_type: row.get(at + 5)?,
        size: unsigned(row, at + 6)?,
        key: row.get(at + 7)?,
        link: row.get(at + 8)?,
        ..LogRow::default()
    }))
}

/// One page of worlds as the file has them, by their ids.
pub fn worlds(db: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<WorldRow>> {
    let sql = format!("SELECT {WORLD} FROM world WHERE id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, limit as i64], world_row)?;
    rows.collect()
}

/// One world as the file has it.
pub fn world_with_id(db: &Connection, id: i64) -> rusqlite::Result<Option<WorldRow>> {
    db.prepare_cached(&format!("SELECT {WORLD} FROM world WHERE id = ?1"))?
        .query_row([id], world_row)
        .optional()
}

fn world_row(row: &SqlRow<'_>) -> rusqlite::Result<WorldRow> {
    Ok(WorldRow {
        id: row.get(0)?,
        path: row.get(1)?,
        seq: unsigned(row, 2)?,
        event_id: row.get(3)?,
        events: unsigned(row, 4)?,
        hmac: hex(row.get_ref(5)?.as_blob()?),
        body_sha256: hex(row.get_ref(6)?.as_blob()?),
        size: row.get(7)?,
        content_type: row.get(8)?,
        headers: decode_headers(row.get_ref(9)?.as_str()?),
        modified_us: row.get(10)?,
        body: row.get(11)?,
        object: row.get(12)?,
        fault: row.get(15)?,
    })
}

/// One page of the log, after number `after`. What cannot be a MAC is all zeros, which is none.
pub fn log(db: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<LogRow>> {
    let sql = "SELECT seq, time_us, kind, path, hmac, content_type, size, writer, link, key, \
               prev_mac, mac FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![after as i64, limit as i64], |row| {
        Ok(LogRow {
            seq: unsigned(row, 0)?,
            time_us: row.get(1)?,
            kind: LogKind::from_number(row.get(2)?).unwrap_or(LogKind::Unknown),
            path: row.get(3)?,
            hmac: hex(row.get_ref(4)?.as_blob()?),
            content_type: row.get(5)?,
            size: unsigned(row, 6)?,
            writer: row.get(7)?,
            link: row.get(8)?,
            key: row.get(9)?,
            prev_mac: hash_or_zeros(row, 10)?,
            mac: hash_or_zeros(row, 11)?,
        })
    })?;
    rows.collect()
}

/// Adds a row to the log.
pub fn insert_log(db: &Connection, row: &LogRow) -> rusqlite::Result<()> {
    let hmac = unhex(&row.hmac);
    db.prepare_cached(
        "INSERT INTO log(seq, time_us, kind, path, hmac, content_type, size, writer, link, key, \
         prev_mac, mac) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        row.seq as i64,
        row.time_us,
        row.kind as i64,
        row.path,
        hmac.as_ref().map_or(&[][..], |hmac| hmac),
        row.content_type,
        row.size as i64,
        row.writer,
        row.link,
        row.key,
        &row.prev_mac[..],
        &row.mac[..],
    ])?;
    Ok(())
}

fn hash_or_zeros(row: &SqlRow<'_>, at: usize) -> rusqlite::Result<Hash> {
    Ok(row.get_ref(at)?.as_blob()?.try_into().unwrap_or([0; 32]))
}

/// The log's first number; none when it is empty.
pub fn log_floor(db: &Connection) -> rusqlite::Result<Option<u64>> {
    let first: Option<i64> = db.query_row("SELECT min(seq) FROM log", [], |row| row.get(0))?;
    Ok(first.map(|seq| seq.max(0) as u64))
}
