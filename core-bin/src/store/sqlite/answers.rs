//! Outcomes of keyed writes, kept for a while so that a repeated one gives the first answer.
//!
//! They lie in the order they came: a key is random, and an index of them in the file would cost
//! each write a page of its own. Where each lies is known in memory, and read again at a start.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{Step, Transaction};
use crate::store::{Done, OpKey, Tag, Write, now_us};

/// How long the outcome of a keyed write is kept, in microseconds: ten minutes (design §1).
const ANSWER_KEPT_US: i64 = 600_000_000;

/// How many are kept at the most: 40 MiB of memory, and 1,700 keyed writes a second for ten minutes.
const KEPT: usize = 1 << 20;

/// Where the outcome of each key lies, by the key's first eight bytes; keys are hashes.
#[derive(Default)]
pub struct Known(Mutex<HashMap<u64, i64>>);

impl Known {
    /// What the file has, newest first; the rest is of no use any more.
    pub fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut found = HashMap::new();
        let mut statement = db.prepare(
            "SELECT key, n FROM answered WHERE expires_us > ?1 ORDER BY n DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![now_us(), KEPT as i64])?;
        while let Some(row) = rows.next()? {
            found.entry(short(&row.get(0)?)).or_insert(row.get(1)?);
        }
        Ok(Self(Mutex::new(found)))
    }

    pub fn has(&self, key: &OpKey) -> bool {
        self.map().contains_key(&short(key))
    }

    /// What was answered to the write with this key, if that is known still.
    pub fn answered(&self, db: &Connection, key: &OpKey) -> rusqlite::Result<Option<Vec<Done>>> {
        let place = self.map().get(&short(key)).copied();
        place.map_or(Ok(None), |n| answer_at(db, n, key))
    }

    /// The keys of a commit, now that it took place.
    pub fn add(&self, keys: HashMap<OpKey, i64>) {
        if !keys.is_empty() {
            self.map().extend(keys.into_iter().map(|(key, n)| (short(&key), n)));
        }
    }

    /// Removes what is too old or too much, oldest first, at most `limit`; true when there is more.
    pub fn forget(&self, db: &Connection, limit: usize) -> rusqlite::Result<bool> {
        let mut oldest =
            db.prepare_cached("SELECT n, key, expires_us FROM answered ORDER BY n LIMIT ?1")?;
        let mut rows = oldest.query([limit as i64])?;
        let (mut gone, mut last, now) = (0, 0, now_us());
        let mut known = self.map();
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(2)? > now && known.len() <= KEPT {
                break;
            }
            (gone, last) = (gone + 1, row.get(0)?);
            let key = short(&row.get(1)?);
            // The same key may have been used again since.
            if known.get(&key) == Some(&last) {
                known.remove(&key);
            }
        }
        drop(rows);
        if gone > 0 {
            db.prepare_cached("DELETE FROM answered WHERE n <= ?1")?.execute([last])?;
        }
        Ok(gone == limit)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<u64, i64>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Whether the oldest outcome has had its time.
pub fn is_due(db: &Connection, now_us: i64) -> rusqlite::Result<bool> {
    let oldest: Option<i64> = db
        .prepare_cached("SELECT expires_us FROM answered ORDER BY n LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(oldest.is_some_and(|expires_us| expires_us <= now_us))
}

fn answer_at(db: &Connection, n: i64, key: &OpKey) -> rusqlite::Result<Option<Vec<Done>>> {
    let found: Option<Vec<u8>> = db
        .prepare_cached(
            "SELECT outcome FROM answered WHERE n = ?1 AND key = ?2 AND expires_us > ?3",
        )?
        .query_row(params![n, &key[..], now_us()], |row| row.get(0))
        .optional()?;
    Ok(found.map(|outcome| outcome.chunks_exact(DONE_BYTES).map(unpack_done).collect()))
}

fn short(key: &OpKey) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&key[..8]);
    u64::from_be_bytes(bytes)
}

impl Transaction<'_> {
    pub(super) fn answered(&self, write: &Write) -> Step<Option<Vec<Done>>> {
        let Some(key) = &write.key else { return Ok(None) };
        Ok(match self.keyed.get(key) {
            Some(n) => answer_at(self.db, *n, key)?,
            None => self.known.answered(self.db, key)?,
        })
    }

    pub(super) fn remember(&mut self, write: &Write, done: &[Done]) -> Step<()> {
        let Some(key) = write.key else { return Ok(()) };
        let outcome: Vec<u8> = done.iter().flat_map(pack_done).collect();
        let n = self
            .db
            .prepare_cached("INSERT INTO answered(key, expires_us, outcome) VALUES(?1, ?2, ?3)")?
            .insert(params![&key[..], self.now_us + ANSWER_KEPT_US, outcome])?;
        self.keyed.insert(key, n);
        Ok(())
    }
}

/// created, number, kind of tag, tag.
const DONE_BYTES: usize = 1 + 8 + 1 + 32;

fn pack_done(done: &Done) -> [u8; DONE_BYTES] {
    let mut out = [0; DONE_BYTES];
    out[0] = u8::from(done.created);
    out[1..9].copy_from_slice(&done.seq.to_be_bytes());
    let (kind, hash) = match done.tag {
        None => (0, [0; 32]),
        Some(Tag::Hmac(hash)) => (1, hash),
        Some(Tag::Sha256(hash)) => (2, hash),
    };
    out[9] = kind;
    out[10..].copy_from_slice(&hash);
    out
}

fn unpack_done(bytes: &[u8]) -> Done {
    let (mut seq, mut hash) = ([0; 8], [0; 32]);
    seq.copy_from_slice(&bytes[1..9]);
    hash.copy_from_slice(&bytes[10..DONE_BYTES]);
    Done {
        created: bytes[0] == 1,
        seq: u64::from_be_bytes(seq),
        tag: match bytes[9] {
            1 => Some(Tag::Hmac(hash)),
            2 => Some(Tag::Sha256(hash)),
            _ => None,
        },
    }
}
