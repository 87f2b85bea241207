//! The check of kept versions: each against the log's row of its event, and its bytes.

use std::collections::{HashMap, VecDeque};

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::check::pieces;
use super::pages::Pages;
use super::rows;
use crate::audit::finding::Finding;
use crate::audit::keys::KeyTable;
use crate::audit::log::LogRow;
use crate::audit::version::VersionRow;
use crate::store::{Hash, StoreError, hex};

/// Versions that are read in one short transaction: 4 KiB of body each at the most.
const ROWS: i64 = 64;

/// Objects whose running hash is kept, for versions that share one: each went on where the one
/// before it ended.
const RUNNING: usize = 256;

/// What the log says of a version.
pub struct Logged<'a> {
    pub row: Option<&'a LogRow>,
    /// The HMAC of the world's event before.
    pub before: Option<&'a str>,
    pub keys: &'a KeyTable,
}

/// The walk over all kept versions, in the order of their numbers.
#[derive(Default)]
pub struct Versions {
    read: VecDeque<VersionRow>,
    after: u64,
    ended: bool,
    running: HashMap<i64, (u64, Sha256)>,
    pub bytes: u64,
}

impl Versions {
    /// The next version, if its number is not above `upto`.
    pub fn next<P: Pages>(
        &mut self,
        pages: &P,
        upto: u64,
    ) -> Result<Option<VersionRow>, StoreError> {
        if self.read.is_empty() && !self.ended {
            let after = self.after as i64;
            // What cannot be read ends the walk.
            self.ended = true;
            self.read = pages.page(|db| page(db, after, ROWS))?.into();
            self.ended = self.read.is_empty();
            self.after = self.read.back().map_or(self.after, |last| last.seq);
        }
        let due = self.read.front().is_some_and(|row| row.seq <= upto);
        Ok(if due { self.read.pop_front() } else { None })
    }

    /// What does not hold of a version; `logged` is none where the log was pruned.
    pub fn check<P: Pages>(
        &mut self,
        pages: &P,
        version: &VersionRow,
        logged: Option<Logged<'_>>,
    ) -> Result<Option<Finding>, StoreError> {
        let found = match logged {
            Some(Logged { row, before, keys }) => version.logged(row, before, keys),
            None => version.chained(),
        };
        let found = match found {
            Some(found) => Some(found),
            None => version.body(self.body(pages, version).map_err(|error| error.0)),
        };
        // A version may be trimmed while it is looked at.
        match found {
            Some(found) if pages.page(|db| exists(db, version.seq))? => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    /// The hash over a version's bytes.
    fn body<P: Pages>(&mut self, pages: &P, version: &VersionRow) -> Result<Hash, StoreError> {
        let size = version.size.max(0) as u64;
        let Some(object) = version.object else {
            let body = version.body.as_deref().unwrap_or_default();
            self.bytes += body.len() as u64;
            return Ok(Sha256::digest(body).into());
        };
        let (mut at, mut hash) = match self.running.remove(&object) {
            Some((at, hash)) if at <= size => (at, hash),
            _ => (0, Sha256::new()),
        };
        while at < size {
            let before = at;
            pages.page(|db| pieces(db, object, size, &mut at, &mut hash))?;
            if at == before {
                return Err(StoreError(format!("the body ends at byte {at}")));
            }
            self.bytes += at - before;
        }
        if self.running.len() >= RUNNING {
            self.running.clear();
        }
        // Only where a piece ends can another read begin.
        if pages.page(|db| ends_at(db, object, at))? {
            self.running.insert(object, (at, hash.clone()));
        }
        Ok(hash.finalize().into())
    }
}

/// What does not hold of the version with this number, as far as its rows and a small body tell;
/// its pieces are left to the checks. The log has no rows up to `pruned`.
pub fn fault(
    db: &Connection,
    keys: &KeyTable,
    seq: u64,
    pruned: u64,
) -> rusqlite::Result<Option<Finding>> {
    let from = seq.saturating_sub(1) as i64;
    let Some(version) = page(db, from, 1)?.pop().filter(|row| row.seq == seq) else {
        return Ok(None);
    };
    let found = if seq <= pruned {
        version.chained()
    } else {
        let logged = rows::log(db, seq - 1, 1)?.pop().filter(|row| row.seq == seq);
        version.logged(logged.as_ref(), before(db, &version)?.as_deref(), keys)
    };
    let body = version.body.as_deref().filter(|_| version.object.is_none());
    Ok(found.or_else(|| version.body(Ok(Sha256::digest(body?).into()))))
}

/// The HMAC before a version's event: of its world's chain or, when that is gone, of the version
/// before it, if that is kept.
fn before(db: &Connection, version: &VersionRow) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT coalesce(\
               (SELECT e.prev_hmac FROM event e JOIN world w ON w.id = e.world \
                WHERE w.path = ?1 AND e.id = ?2 AND e.n = ?3), \
               (SELECT hmac FROM version WHERE path = ?1 AND event = ?2 - 1 AND seq < ?3 \
                ORDER BY seq DESC LIMIT 1))";
    let place = params![version.path, version.event, version.seq as i64];
    let found: Option<Vec<u8>> = db.prepare_cached(sql)?.query_row(place, |row| row.get(0))?;
    Ok(found.map(|hash| hex(&hash)))
}

fn page(db: &Connection, after: i64, limit: i64) -> rusqlite::Result<Vec<VersionRow>> {
    let sql = "SELECT v.seq, v.path, v.event, v.time_us, v.size, v.content_type, v.headers, \
               v.body_sha256, v.hmac, v.body, v.object, \
               (SELECT e.body_sha256 FROM event e JOIN world w ON w.id = e.world \
                WHERE w.path = v.path AND e.id = v.event AND e.n = v.seq) \
               FROM version v WHERE v.seq > ?1 ORDER BY v.seq LIMIT ?2";
    db.prepare_cached(sql)?
        .query_map(params![after, limit], |row| {
            Ok(VersionRow {
                seq: row.get::<_, i64>(0)?.max(0) as u64,
                path: row.get(1)?,
                event: row.get(2)?,
                time_us: row.get(3)?,
                size: row.get(4)?,
                content_type: row.get(5)?,
                headers: rows::decode_headers(row.get_ref(6)?.as_str()?),
                body_sha256: hex(row.get_ref(7)?.as_blob()?),
                hmac: hex(row.get_ref(8)?.as_blob()?),
                body: row.get(9)?,
                object: row.get(10)?,
                chained: row.get::<_, Option<Vec<u8>>>(11)?.map(|hash| hex(&hash)),
            })
        })?
        .collect()
}

fn exists(db: &Connection, seq: u64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM version WHERE seq = ?1")?.exists([seq as i64])
}

fn ends_at(db: &Connection, object: i64, at: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM span WHERE object = ?1 AND at = ?2";
    db.prepare_cached(sql)?.exists(params![object, at as i64])
}
