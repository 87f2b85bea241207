//! Bodies larger than a row: objects made of pieces, and who still reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, Weak};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Object, ObjectId, PIECE};

/// Short pieces at an object's end before they are joined into full ones.
const TAIL_MAX: i64 = 64;

/// Which objects somebody holds; those are never freed.
#[derive(Default)]
pub struct Objects {
    held: Mutex<HashMap<ObjectId, Weak<Object>>>,
    /// Readers pass while they look up a row and hold its object; freeing waits for them once.
    gate: RwLock<()>,
}

impl Objects {
    /// The one handle of an object, as long as anybody has it.
    pub fn hold(&self, id: ObjectId) -> Arc<Object> {
        let mut held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(object) = held.get(&id).and_then(Weak::upgrade) {
            return object;
        }
        // Dead entries are swept when the map has doubled since it was last clean.
        if held.len() >= 1024 && held.len().is_power_of_two() {
            held.retain(|_, object| object.strong_count() > 0);
        }
        let object = Arc::new(Object { id });
        held.insert(id, Arc::downgrade(&object));
        object
    }

    /// Held while a row is read and its object taken in hand.
    pub fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether nobody can come to read this object any more; asked after it left its row.
    pub fn is_free(&self, id: ObjectId) -> bool {
        drop(self.gate.write());
        let held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        held.get(&id).is_none_or(|object| object.strong_count() == 0)
    }
}

/// Writes `chunks` behind byte `at` of an object, in pieces of at most `PIECE` bytes.
/// Returns how many of them are short.
pub fn write(
    db: &Connection,
    object: ObjectId,
    mut at: u64,
    chunks: &[Bytes],
) -> rusqlite::Result<i64> {
    let mut short = 0;
    for piece in repacked(chunks) {
        insert(db, object, at, &piece)?;
        at += piece.len() as u64;
        short += i64::from(piece.len() < PIECE);
    }
    Ok(short)
}

/// The same bytes in blocks of exactly `PIECE`, but for the last.
fn repacked(chunks: &[Bytes]) -> Vec<Bytes> {
    if chunks.len() == 1 && chunks[0].len() <= PIECE {
        return chunks.to_vec();
    }
    let mut out = Vec::new();
    let mut block = Vec::with_capacity(PIECE);
    for mut chunk in chunks.iter().cloned() {
        while !chunk.is_empty() {
            let take = chunk.len().min(PIECE - block.len());
            block.extend_from_slice(&chunk.split_to(take));
            if block.len() == PIECE {
                out.push(std::mem::replace(&mut block, Vec::with_capacity(PIECE)).into());
            }
        }
    }
    if !block.is_empty() {
        out.push(block.into());
    }
    out
}

fn insert(db: &Connection, object: ObjectId, at: u64, bytes: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO piece(bytes) VALUES(?1)")?.execute([bytes])?;
    db.prepare_cached("INSERT INTO span(object, at, piece, size) VALUES(?1, ?2, ?3, ?4)")?
        .execute(params![object, at as i64, db.last_insert_rowid(), bytes.len() as i64])?;
    Ok(())
}

/// Joins the short pieces at the end when there are many, so that reading stays cheap and each
/// byte is rewritten at most once per `TAIL_MAX` appends. Returns how many short ones remain.
pub fn tidy(db: &Connection, object: ObjectId, tail: i64) -> rusqlite::Result<i64> {
    if tail < TAIL_MAX {
        return Ok(tail);
    }
    let spans = last_spans(db, object, tail)?;
    let Some(&(start, ..)) = spans.last() else { return Ok(0) };
    let mut chunks = Vec::with_capacity(spans.len());
    for (_, piece, _) in spans.iter().rev() {
        chunks.push(bytes_of(db, *piece)?);
    }
    for (at, piece, _) in &spans {
        db.prepare_cached("DELETE FROM piece WHERE id = ?1")?.execute([piece])?;
        db.prepare_cached("DELETE FROM span WHERE object = ?1 AND at = ?2")?
            .execute(params![object, at])?;
    }
    write(db, object, start as u64, &chunks)
}

/// The newest `limit` spans, last first: where each begins, its piece, its size.
fn last_spans(
    db: &Connection,
    object: ObjectId,
    limit: i64,
) -> rusqlite::Result<Vec<(i64, i64, i64)>> {
    db.prepare_cached(
        "SELECT at, piece, size FROM span WHERE object = ?1 ORDER BY at DESC LIMIT ?2",
    )?
    .query_map(params![object, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
    .collect()
}

fn bytes_of(db: &Connection, piece: i64) -> rusqlite::Result<Bytes> {
    db.prepare_cached("SELECT bytes FROM piece WHERE id = ?1")?
        .query_row([piece], |row| row.get::<_, Vec<u8>>(0).map(Bytes::from))
}

/// The bytes from `at` to the end of the piece that holds it; none behind the object's end.
pub fn read(db: &Connection, object: ObjectId, at: u64) -> rusqlite::Result<Option<Bytes>> {
    let found = db
        .prepare_cached(
            "SELECT s.at, p.bytes FROM span s JOIN piece p ON p.id = s.piece \
             WHERE s.object = ?1 AND s.at <= ?2 ORDER BY s.at DESC LIMIT 1",
        )?
        .query_row(params![object, at as i64], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    Ok(found.and_then(|(start, bytes)| {
        let skip = usize::try_from(at - start).ok()?;
        (skip < bytes.len()).then(|| Bytes::from(bytes).slice(skip..))
    }))
}

/// Puts a staged object's pieces behind byte `at` of another: only the short span rows move.
pub fn adopt(
    db: &Connection,
    staged: ObjectId,
    object: ObjectId,
    at: u64,
) -> rusqlite::Result<i64> {
    let short = db
        .prepare_cached("SELECT count(*) FROM span WHERE object = ?1 AND size < ?2")?
        .query_row(params![staged, PIECE as i64], |row| row.get(0))?;
    db.prepare_cached("UPDATE span SET object = ?2, at = at + ?3 WHERE object = ?1")?
        .execute(params![staged, object, at as i64])?;
    Ok(short)
}

/// Frees at most `limit` pieces of an object that nobody reads; true when it is all gone.
pub fn free(db: &Connection, object: ObjectId, limit: i64) -> rusqlite::Result<bool> {
    let spans = last_spans(db, object, limit)?;
    for (at, piece, _) in &spans {
        db.prepare_cached("DELETE FROM piece WHERE id = ?1")?.execute([piece])?;
        db.prepare_cached("DELETE FROM span WHERE object = ?1 AND at = ?2")?
            .execute(params![object, at])?;
    }
    Ok((spans.len() as i64) < limit)
}
