//! Outcomes of keyed writes, kept for a while so that a repeated one gives the first answer.

use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{Step, Transaction};
use crate::store::{Done, OpKey, Tag, Write};

/// How long the outcome of a keyed write is kept, in microseconds: ten minutes (design §1).
const ANSWER_KEPT_US: i64 = 600_000_000;

/// What was answered to the write with this key, if that is known still.
pub fn answered(db: &Connection, key: &OpKey, now_us: i64) -> rusqlite::Result<Option<Vec<Done>>> {
    let found: Option<Vec<u8>> = db
        .prepare_cached("SELECT outcome FROM answered WHERE key = ?1 AND expires_us > ?2")?
        .query_row(params![&key[..], now_us], |row| row.get(0))
        .optional()?;
    Ok(found.map(|outcome| outcome.chunks_exact(DONE_BYTES).map(unpack_done).collect()))
}

impl Transaction<'_> {
    pub(super) fn answered(&self, write: &Write) -> Step<Option<Vec<Done>>> {
        let Some(key) = &write.key else { return Ok(None) };
        Ok(answered(self.db, key, self.now_us)?)
    }

    pub(super) fn remember(&self, write: &Write, done: &[Done]) -> Step<()> {
        let Some(key) = write.key else { return Ok(()) };
        let outcome: Vec<u8> = done.iter().flat_map(pack_done).collect();
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO answered(key, expires_us, outcome) VALUES(?1, ?2, ?3)",
            )?
            .execute(params![&key[..], self.now_us + ANSWER_KEPT_US, outcome])?;
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
