//! The check of a whole store: pages in, findings out; the rules are pure functions in `audit`.
//!
//! It may run beside a writer: what came after its first look at the log is left to the next
//! check, and a world that seems broken but changed meanwhile is looked at again.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::kept::{Logged, Versions};
use super::pages::Pages;
use super::{chains, prune, rows, schema};
use crate::audit::anchor::Anchor;
use crate::audit::finding::{Finding, Problem};
use crate::audit::keys::KeyTable;
use crate::audit::walk::{LogWalk, Newest, Start};
use crate::audit::world::{WorldRow, WorldWalk};
use crate::store::{Hash, PIECE, StoreError};

/// Rows, worlds and pieces that are read in one short transaction.
const ROWS: usize = 1000;
const WORLDS: usize = 64;
const PIECES: usize = 16;

/// What is to be checked.
pub struct Asked<'a> {
    pub keys: &'a KeyTable,
    pub anchors: &'a [Anchor],
    /// Only these worlds, though the log as a whole; empty is all.
    pub only: &'a [String],
}

/// How much was checked.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub worlds: u64,
    pub events: u64,
    pub log_rows: u64,
    /// Kept versions.
    pub versions: u64,
    pub body_bytes: u64,
    pub findings: u64,
    /// The log's newest row, when it could be read.
    pub head: Option<Anchor>,
}

impl Tally {
    /// One object: the last line of a check.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "valid": self.findings == 0, "worlds": self.worlds, "events": self.events,
            "log_rows": self.log_rows, "versions": self.versions, "bytes": self.body_bytes, "problems": self.findings,
            "anchor": self.head.as_ref().map(ToString::to_string),
        })
    }
}

/// What a world's own check found.
pub struct WorldReport {
    pub path: String,
    pub id: i64,
    pub seq: u64,
    pub fault: Option<String>,
    pub findings: Vec<Finding>,
    pub events: u64,
    pub genesis: String,
    pub latest: String,
    /// The first event whose key is not in the keyring, with that key's number.
    pub unkeyed: Option<(u64, i64)>,
}

/// Told of each world that was checked, and of findings that are no world's.
pub enum Told<'a> {
    World(&'a WorldReport),
    Store(&'a Finding),
}

/// Checks everything that is asked for; an `Err` is about reading, not about what was read.
pub fn run<P: Pages>(
    pages: &P,
    asked: &Asked<'_>,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Tally, StoreError> {
    let mut check = Check { pages, asked, tell, tally: Tally::default(), newest: HashMap::new() };
    let (horizon, pruned) = check.log()?;
    check.worlds(horizon, pruned)?;
    Ok(check.tally)
}

/// Checks one world against its own chain and the log's rows for it.
pub fn world<P: Pages>(
    pages: &P,
    keys: &KeyTable,
    id: i64,
) -> Result<Option<WorldReport>, StoreError> {
    let pruned = pages.page(|db| Ok(prune::newest(db)?.map_or(0, |cut| cut.seq)))?;
    let Some(row) = pages.page(|db| rows::world_with_id(db, id))? else { return Ok(None) };
    settled(pages, keys, pruned, row, &mut 0)
}

struct Check<'a, P> {
    pages: &'a P,
    asked: &'a Asked<'a>,
    tell: &'a mut dyn FnMut(Told<'_>),
    tally: Tally,
    /// Worlds that must be there, by the log; each is taken out when it is met.
    newest: HashMap<String, Newest>,
}

impl<P: Pages> Check<'_, P> {
    /// Walks the log up to where it ends now; returns that number, and below which it was pruned.
    fn log(&mut self) -> Result<(u64, u64), StoreError> {
        let (store_id, row) =
            self.pages.page(|db| Ok((schema::store_id(db)?, schema::read_row(db)?)))?;
        let cut = self.pages.page(prune::newest)?;
        let pruned = cut.as_ref().map_or(0, |cut| cut.seq);
        let start = match cut {
            None => Start::birth(&store_id, 1),
            Some(cut) => {
                let (start, finding) = self.pages.page(|db| prune::start(db, &cut))?;
                finding.iter().for_each(|finding| self.found(finding));
                start
            }
        };
        let mut walk = LogWalk::new(&store_id, self.asked.keys, start, self.asked.anchors);
        let mut versions = Versions::default();
        while self.version(&mut versions, pruned, None)? {}
        let whole = loop {
            let after = walk.seq;
            let read = match self.pages.page(|db| rows::log(db, after, ROWS)) {
                Ok(read) => read,
                Err(error) => {
                    let found = Finding::of_store(Problem::Unreadable, "the log", &error.0);
                    self.found(&found.at_seq(after));
                    break false;
                }
            };
            for row in read.iter().filter(|r| r.seq <= row.seq) {
                let before = walk.before(row);
                let logged = |row| Some(Logged { row, before, keys: self.asked.keys });
                while self.version(&mut versions, row.seq - 1, logged(None))? {}
                self.version(&mut versions, row.seq, logged(Some(row)))?;
                walk.row(row);
            }
            std::mem::take(&mut walk.findings).iter().for_each(|finding| self.found(finding));
            if read.len() < ROWS || read.last().is_some_and(|last| last.seq >= row.seq) {
                let beyond = read.iter().find(|r| r.seq > row.seq);
                break beyond.is_none() || self.grew(row.seq)?;
            }
        };
        if whole {
            let keys = self.asked.keys;
            let unlogged = || Some(Logged { row: None, before: None, keys });
            while self.version(&mut versions, row.seq, unlogged())? {}
            self.check_later_versions(&mut versions)?;
            walk.end(row.seq, &row.mac);
        }
        self.tally.body_bytes += versions.bytes;
        std::mem::take(&mut walk.findings).iter().for_each(|finding| self.found(finding));
        self.tally.log_rows = walk.rows;
        let key_id = self.asked.keys.key(row.key).map_or([0; 16], |key| key.id);
        self.tally.head = Some(Anchor::new(store_id, row.seq, row.mac, walk.time_us, key_id));
        self.newest = walk.worlds;
        Ok((row.seq, pruned))
    }

    /// Versions of later events are left to the next check; no event is later than the store.
    fn check_later_versions(&mut self, versions: &mut Versions) -> Result<(), StoreError> {
        while let Some(version) = versions.next(self.pages, u64::MAX)? {
            if version.seq > self.pages.page(schema::read_row)?.seq {
                let expected = format!("log {}", version.seq);
                self.found(&version.finding(Problem::VersionNotLogged, expected, "no such row"));
            }
        }
        Ok(())
    }

    /// Checks the next kept version up to number `upto`; false when there is none.
    fn version(
        &mut self,
        versions: &mut Versions,
        upto: u64,
        logged: Option<Logged<'_>>,
    ) -> Result<bool, StoreError> {
        let next = versions.next(self.pages, upto).unwrap_or_else(|error| {
            self.found(&Finding::of_store(Problem::Unreadable, "kept versions", &error.0));
            None
        });
        let Some(version) = next else { return Ok(false) };
        if self.asked.only.is_empty() || self.asked.only.contains(&version.path) {
            self.tally.versions += 1;
            let found = versions.check(self.pages, &version, logged)?;
            found.iter().for_each(|finding| self.found(finding));
        }
        Ok(true)
    }

    /// Rows beyond the store's newest number are only right when the store went on meanwhile.
    fn grew(&mut self, seq: u64) -> Result<bool, StoreError> {
        let now = self.pages.page(schema::read_row)?;
        if now.seq == seq {
            let (expected, actual) = (format!("log {seq}"), "rows after it");
            self.found(&Finding::of_store(Problem::LogTail, expected, actual).at_seq(seq));
        }
        Ok(true)
    }

    fn worlds(&mut self, horizon: u64, pruned: u64) -> Result<(), StoreError> {
        let (mut worlds, mut bytes, mut after) = (0_u64, 0_i64, 0);
        let counters = self.pages.page(schema::read_row)?;
        loop {
            let page = match self.pages.page(|db| rows::worlds(db, after, WORLDS)) {
                Ok(page) => page,
                Err(error) => {
                    self.found(&Finding::of_store(Problem::Unreadable, "worlds", &error.0));
                    return Ok(());
                }
            };
            let Some(last) = page.last() else { break };
            after = last.id;
            for row in page {
                worlds += u64::from(row.path != crate::path::LEDGER);
                bytes += row.size;
                self.world(row, horizon, pruned)?;
            }
        }
        self.removed(horizon)?;
        let now = self.pages.page(schema::read_row)?;
        let counted = (counters.worlds, counters.bytes as i64);
        if now.seq == horizon && counted != (worlds, bytes) {
            let expected = format!("{} worlds, {} bytes", counted.0, counted.1);
            let actual = format!("{worlds} worlds, {bytes} bytes");
            self.found(&Finding::of_store(Problem::Counters, expected, actual));
        }
        Ok(())
    }

    fn world(&mut self, row: WorldRow, horizon: u64, pruned: u64) -> Result<(), StoreError> {
        let newest = self.newest.remove(&row.path);
        if !self.asked.only.is_empty() && !self.asked.only.contains(&row.path) {
            return Ok(());
        }
        let bytes = &mut self.tally.body_bytes;
        let Some(mut report) = settled(self.pages, self.asked.keys, pruned, row, bytes)? else {
            return Ok(());
        };
        if report.seq <= horizon {
            let held = |problem, expected: String, actual: String| {
                Finding::of_world(problem, &report.path, expected, actual).at_seq(report.seq)
            };
            let found = match &newest {
                None => {
                    Some(held(Problem::WorldNotLogged, "a row of the log".into(), "none".into()))
                }
                Some(newest) if newest.seq > report.seq => Some(held(
                    Problem::WorldRolledBack,
                    format!("log {} hmac-{}", newest.seq, newest.hmac),
                    format!("log {}", report.seq),
                )),
                Some(newest) if newest.seq < report.seq => Some(held(
                    Problem::WorldHead,
                    format!("log {}", newest.seq),
                    format!("log {}", report.seq),
                )),
                Some(_) => None,
            };
            report.findings.extend(found);
        }
        self.tally.worlds += 1;
        self.tally.events += report.events;
        self.tally.findings += report.findings.len() as u64;
        (self.tell)(Told::World(&report));
        Ok(())
    }

    /// Worlds that the log knows and nobody met: gone by a delete after the horizon, or removed.
    fn removed(&mut self, horizon: u64) -> Result<(), StoreError> {
        let mut left: Vec<_> = std::mem::take(&mut self.newest).into_iter().collect();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, newest) in left {
            if !self.asked.only.is_empty() && !self.asked.only.contains(&path) {
                continue;
            }
            if !self.pages.page(|db| went_on(db, &path, horizon))? {
                let expected = format!("log {} hmac-{}", newest.seq, newest.hmac);
                let found = Finding::of_world(Problem::WorldRemoved, &path, expected, "no world");
                self.found(&found.at_seq(newest.seq));
            }
        }
        Ok(())
    }

    fn found(&mut self, finding: &Finding) {
        self.tally.findings += 1;
        (self.tell)(Told::Store(finding));
    }
}

fn went_on(db: &Connection, path: &str, horizon: u64) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT EXISTS(SELECT 1 FROM log WHERE seq > ?1 AND path = ?2)",
        params![horizon as i64, path],
        |row| row.get(0),
    )
}

/// A world's report, looked at again as long as it changes under the check.
fn settled<P: Pages>(
    pages: &P,
    keys: &KeyTable,
    pruned: u64,
    mut row: WorldRow,
    bytes: &mut u64,
) -> Result<Option<WorldReport>, StoreError> {
    loop {
        let report = look(pages, keys, pruned, &row, bytes)?;
        if report.findings.is_empty() {
            return Ok(Some(report));
        }
        let id = row.id;
        match pages.page(|db| rows::world_with_id(db, id))? {
            None => return Ok(None),
            Some(now) if now.seq == row.seq => return Ok(Some(report)),
            Some(now) => row = now,
        }
    }
}

fn look<P: Pages>(
    pages: &P,
    keys: &KeyTable,
    pruned: u64,
    row: &WorldRow,
    bytes: &mut u64,
) -> Result<WorldReport, StoreError> {
    let mut walk = WorldWalk::new(&row.path, keys, pruned);
    let mut findings = Vec::new();
    if let Some(reason) = &row.fault {
        findings.push(Finding::of_world(Problem::SetAside, &row.path, "rows that hold", reason));
    }
    let broken = chain(pages, row, &mut walk).err();
    if let Some(broken) = broken {
        findings.push(broken);
    } else {
        walk.row(row, &mut findings);
        match body(pages, row, bytes) {
            Ok(hash) => findings.extend(walk.body(row, &hash)),
            Err(error) => {
                let expected = format!("body-sha256-{}", walk.body_sha256());
                let found = Finding::of_world(Problem::WorldBody, &row.path, expected, error.0);
                findings.push(found.at_seq(row.seq));
            }
        }
    }
    Ok(WorldReport {
        path: row.path.clone(),
        id: row.id,
        seq: row.seq,
        fault: row.fault.clone(),
        findings,
        events: walk.events(),
        genesis: walk.genesis().to_owned(),
        latest: walk.latest().to_owned(),
        unkeyed: walk.unkeyed,
    })
}

fn chain<P: Pages>(pages: &P, world: &WorldRow, walk: &mut WorldWalk<'_>) -> Result<(), Finding> {
    let part = |after| chains::Part { world: world.id, after, limit: ROWS };
    let mut after = i64::MIN;
    loop {
        let page = pages.page(|db| chains::logged(db, part(after))).map_err(|e| {
            Finding::of_world(Problem::Unreadable, &world.path, "events", e.0)
                .at_event(walk.events())
        })?;
        let full = page.len() == ROWS;
        for (row, logged) in page {
            // What came after the world's row was read belongs to a later look.
            if row.seq > world.seq {
                return Ok(());
            }
            after = row.id;
            walk.event(row, logged.as_ref())?;
        }
        if !full {
            return Ok(());
        }
    }
}

/// The hash over a body's bytes; an error when pieces of it are missing.
fn body<P: Pages>(pages: &P, world: &WorldRow, read: &mut u64) -> Result<Hash, StoreError> {
    let mut hash = Sha256::new();
    let Some(object) = world.object else {
        let bytes = world.body.as_deref().unwrap_or_default();
        *read += bytes.len() as u64;
        hash.update(bytes);
        return Ok(hash.finalize().into());
    };
    let (size, mut at) = (world.size.max(0) as u64, 0_u64);
    while at < size {
        let before = at;
        pages.page(|db| pieces(db, object, size, &mut at, &mut hash))?;
        if at == before {
            return Err(StoreError(format!("the body ends at byte {at}")));
        }
        *read += at - before;
    }
    Ok(hash.finalize().into())
}

/// Hashes some pieces from byte `at` on, without a copy of them.
pub(super) fn pieces(
    db: &Connection,
    object: i64,
    size: u64,
    at: &mut u64,
    hash: &mut Sha256,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "SELECT s.at, p.bytes FROM span s JOIN piece p ON p.id = s.piece \
         WHERE s.object = ?1 AND s.at >= ?2 ORDER BY s.at LIMIT ?3",
    )?;
    let mut rows = statement.query(params![object, *at as i64, PIECES as i64])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob()?;
        if row.get::<_, i64>(0)? != *at as i64 || bytes.len() > PIECE || *at >= size {
            break;
        }
        let take = bytes.len().min((size - *at) as usize);
        hash.update(&bytes[..take]);
        *at += take as u64;
    }
    Ok(())
}

/// The id of the world at `path`.
pub fn world_id(db: &Connection, path: &str) -> rusqlite::Result<Option<i64>> {
    db.query_row("SELECT id FROM world WHERE path = ?1", [path], |row| row.get(0)).optional()
}
