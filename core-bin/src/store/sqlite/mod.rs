//! Durable worlds: one SQLite file, one writer with group commit, readers beside it (design §1).

mod answers;
pub mod backup;
mod batch;
mod cache;
pub mod check;
mod copy;
mod dirs;
mod events;
pub mod export;
mod history;
pub mod import;
pub mod lock;
mod moving;
mod objects;
pub mod offline;
pub mod pages;
mod prune;
mod quarantine;
pub mod raw;
mod readers;
pub mod recover;
mod reserve;
mod rows;
mod schema;
pub mod sound;
mod sweep;
#[cfg(test)]
mod tests;
mod wal;
pub mod whole;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::judge::Limits;
use super::rules::Rules;
use super::{
    At, Batch, ChainRow, Done, Driver, Entry, Fate, Head, Numbers, Object, OpKey, Refusal,
    StoreError, Usage, Verb, Write, now_us,
};
use crate::audit::keys::{AuditKey, KeyTable, Keyring};
use crate::audit::log::LogRow;
use crate::path::WorldPath;
use batch::{Stop, Transaction};
use cache::HeadCache;
use dirs::{make_dir, sync_dirs};
use objects::Objects;
use readers::Readers;
use reserve::Reserve;
use schema::StoreRow;

/// The database's name in the data directory.
pub const FILE: &str = "elastik.db";

/// The driver. Dropping it closes the database; `close` does it with a last checkpoint.
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: Readers,
    objects: Arc<Objects>,
    cache: HeadCache,
    key: AuditKey,
    keys: KeyTable,
    limits: Limits,
    /// Rows of the log up to this number were pruned.
    pruned_to: u64,
    rules: Rules,
    worlds: AtomicU64,
    bytes: AtomicU64,
    /// Pages in the WAL after the newest commit.
    wal_pages: Arc<AtomicU64>,
    /// Why nothing durable is written any more.
    stopped: OnceLock<Arc<str>>,
    /// Held from before a checkpoint until its outcome is known to `stopped`.
    checkpointing: Mutex<()>,
    file: PathBuf,
    reserve: Reserve,
    /// A copy that is served and never written.
    read_only: bool,
    _lock: Option<lock::WriterLock>,
}

struct Writer {
    db: Connection,
    row: StoreRow,
    /// Uploads that are not yet named by a write get their ids here.
    sweep: sweep::Sweep,
}

/// What a store of worlds on disk needs to know; sizes in bytes.
pub struct Options<'a> {
    pub data_dir: &'a Path,
    pub key: &'a [u8],
    /// Keys that were in force before, to verify what was written under them.
    pub older_keys: &'a [Vec<u8>],
    pub max_world: u64,
    pub quota: Option<u64>,
    pub rules: Rules,
    pub cache_bytes: usize,
    pub cache_entries: usize,
    /// Serve what is there and write nothing.
    pub read_only: bool,
    /// Told in a line each: what an import does.
    pub announce: fn(&str),
}

impl SqliteStore {
    /// Opens or lays the store; returns it with the numbers that go on above all it ever gave.
    pub fn open(options: &Options<'_>) -> Result<(Self, Numbers), String> {
        if options.read_only {
            return Self::open_copy(options);
        }
        make_dir(options.data_dir)?;
        let lock = lock::take(options.data_dir)?;
        let ring = Keyring::new(options.key, options.older_keys);
        import::on_start(options.data_dir, &ring, &options.announce)?;
        let file = options.data_dir.join(FILE);
        let key = ring.current().clone();
        let (mut db, row) = schema::open(&file, &key)?;
        // Only a checkpoint that succeeded lets the WAL go, in `close` (see `wal`).
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|e| e.to_string())?;
        let reserve = Reserve::of(options.data_dir);
        wal::truncate_or_make_room(&db, &reserve)
            .map_err(|e| format!("{}: checkpoint failed: {e}", file.display()))?;
        sync_dirs(options.data_dir).map_err(|e| format!("{}: {e}", options.data_dir.display()))?;
        let wal_pages = Arc::new(AtomicU64::new(0));
        wal::watch(&mut db, wal_pages.clone()).map_err(|e| e.to_string())?;
        let keys = KeyTable::new(schema::key_rows(&db).map_err(|e| e.to_string())?, &ring);
        let pruned = prune::newest(&db).map_err(|e| e.to_string())?;
        let numbers = Numbers::above(row.high_water);
        let store = Self {
            readers: Readers::new(&file),
            objects: Arc::default(),
            cache: HeadCache::new(options.cache_bytes, options.cache_entries),
            key,
            keys,
            pruned_to: pruned.map_or(0, |cut| cut.seq),
            rules: options.rules.clone(),
            limits: Limits { max_world: options.max_world, quota: options.quota, memory: false },
            worlds: AtomicU64::new(row.worlds),
            bytes: AtomicU64::new(row.bytes),
            wal_pages,
            stopped: OnceLock::new(),
            checkpointing: Mutex::default(),
            writer: Mutex::new(Writer { db, row, sweep: sweep::Sweep::default() }),
            reserve,
            file,
            read_only: false,
            _lock: Some(lock),
        };
        store.begin_life(&numbers)?;
        store.reserve.renew();
        Ok((store, numbers))
    }

    /// First commit of a start: moves the high-water mark and dooms what broken uploads left.
    fn begin_life(&self, numbers: &Numbers) -> Result<(), String> {
        let doom = || sweep::doom_staged(&self.writer().db);
        let full = |error: &rusqlite::Error| trouble(error) == Trouble::Full;
        match doom().or_else(|e| if full(&e) && self.reserve.give_up() { doom() } else { Err(e) }) {
            // On a disk that is full to the last byte reads go on; the next start dooms the rest.
            Err(error) if !full(&error) => return Err(error.to_string()),
            _ => {}
        }
        match self.commit(&[], numbers).fate {
            Fate::Committed => Ok(()),
            Fate::RolledBack if !self.reserve.is_held() => Ok(()),
            Fate::RolledBack => Err("the first commit was refused: is the disk full?".to_owned()),
            Fate::Unknown(why) => Err(why),
        }
    }

    /// One page of a world's chain, after the event with id `after`.
    pub fn chain(&self, world: i64, after: i64, limit: usize) -> Result<Vec<ChainRow>, StoreError> {
        self.readers.with(|db| rows::chain(db, world, after, limit))
    }

    /// One page of the log, after number `after`.
    pub fn log(&self, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.readers.with(|db| rows::log(db, after, limit))
    }

    /// The log's first number; none when it is empty.
    pub fn log_floor(&self) -> Result<Option<u64>, StoreError> {
        self.readers.with(rows::log_floor)
    }

    /// What was answered to the write with this key, if that is known still.
    pub fn answered(&self, key: &OpKey) -> Result<Option<Vec<Done>>, StoreError> {
        self.readers.with(|db| answers::answered(db, key, now_us()))
    }

    /// The world as its row has it now, whatever the cache says.
    pub fn fresh_head(&self, path: &WorldPath) -> Result<Option<Head>, StoreError> {
        let _reading = self.objects.reading();
        self.readers.with(|db| rows::world(db, &self.objects, path.as_str()))
    }

    /// Kept versions of a path, newest first, those before number `before`.
    pub fn versions(
        &self,
        path: &WorldPath,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Head>, StoreError> {
        let _reading = self.objects.reading();
        self.readers.with(|db| history::versions(db, &self.objects, path.as_str(), before, limit))
    }

    /// The kept version that was in force then; the world's row is not asked.
    pub fn version(&self, path: &WorldPath, at: At) -> Result<Option<Head>, StoreError> {
        let _reading = self.objects.reading();
        self.readers.with(|db| history::version(db, &self.objects, path.as_str(), at))
    }

    /// Worlds whose time has come: paths and numbers, at most `limit`.
    pub fn expired(&self, now_us: i64, limit: usize) -> Result<Vec<(WorldPath, u64)>, StoreError> {
        self.readers.with(|db| rows::expired(db, now_us, limit))
    }

    /// Bytes of an object from `at` to the end of a piece; none behind its end.
    pub fn piece(&self, object: &Object, at: u64) -> Result<Option<Bytes>, StoreError> {
        self.readers.with(|db| objects::read(db, object.id, at))
    }

    /// Up to which number the log was pruned; 0 when it never was.
    pub fn pruned_to(&self) -> u64 {
        self.pruned_to
    }

    /// The store's keys, as far as the keyring has them.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    pub fn cache(&self) -> (u64, u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let cache = &self.cache;
        (cache.len() as u64, read(&cache.hits), read(&cache.misses), read(&cache.evictions))
    }

    /// Why durable writes are refused, when they are.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.stopped.get().cloned()
    }

    fn stop(&self, why: String) -> String {
        let _ = self.stopped.set(format!("durable writes stopped: {why}").into());
        why
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Checkpoints the whole WAL and closes the readers.
    pub fn close(&self) -> Result<(), String> {
        self.readers.close();
        if self.refusing().is_some() {
            return Ok(());
        }
        let db = &self.writer().db;
        wal::truncate_or_make_room(db, &self.reserve)
            .and_then(|()| db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false))
            .map(|_| ())
            .map_err(|e| e.to_string())
    }

    /// Runs the writes in one transaction. A full disk, or a write that was refused half-way, fails
    /// them all: the caller tries them singly.
    fn transact(&self, writer: &mut Writer, writes: &[Write], numbers: &Numbers) -> Outcome {
        if let Err(error) = writer.db.execute_batch("BEGIN IMMEDIATE") {
            return Outcome::failed(&error, vec![]);
        }
        let cached = |path: &WorldPath| self.cache.get(path);
        let mut tx = Transaction {
            db: &writer.db,
            key: &self.key,
            objects: &self.objects,
            numbers,
            limits: &self.limits,
            rules: &self.rules,
            now_us: now_us(),
            row: writer.row.clone(),
            heads: HashMap::new(),
            taken: vec![],
            cached: &cached,
        };
        let mark = numbers.wanted_mark();
        tx.row.high_water = mark.unwrap_or(tx.row.high_water);
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            match tx.write(write) {
                Ok(done) => answers.push(Ok(done)),
                Err(Stop::Refused(refusal)) => answers.push(Err(refusal)),
                Err(Stop::Sql(error)) => {
                    let taken = std::mem::take(&mut tx.taken);
                    let _ = writer.db.execute_batch("ROLLBACK");
                    return Outcome::failed(&error, taken);
                }
                Err(Stop::Spoiled(why)) => {
                    let gaps = gaps(std::mem::take(&mut tx.taken));
                    let _ = writer.db.execute_batch("ROLLBACK");
                    return Outcome::Failed { why, singly: true, gaps };
                }
            }
        }
        let sealed = tx.seal();
        let (row, heads, taken) = (tx.row, tx.heads, tx.taken);
        if let Err(error) = sealed {
            let _ = writer.db.execute_batch("ROLLBACK");
            return Outcome::failed(&error, taken);
        }
        if let Err(error) = writer.db.execute_batch("COMMIT") {
            let certain = matches!(trouble(&error), Trouble::Full | Trouble::Busy);
            let _ = writer.db.execute_batch("ROLLBACK");
            return if certain {
                Outcome::failed(&error, taken)
            } else {
                Outcome::unknown(&error, taken)
            };
        }
        writer.row = row;
        numbers.allow(writer.row.high_water);
        self.worlds.store(writer.row.worlds, Relaxed);
        self.bytes.store(writer.row.bytes, Relaxed);
        for (path, head) in &heads {
            self.cache.replace(path, head.as_ref());
        }
        Outcome::Committed { answers, taken }
    }

    /// Only what makes room takes place; all else is refused at once.
    fn commit_on_full_disk(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        let removing: Vec<Write> =
            writes.iter().filter(|write| makes_room(write)).cloned().collect();
        let mut batch = self.commit(&removing, numbers);
        let mut removed = batch.answers.into_iter();
        let answer = |write| {
            let full = || Err(Refusal::DiskFull);
            if makes_room(write) { removed.next().unwrap_or_else(full) } else { full() }
        };
        batch.answers = writes.iter().map(answer).collect();
        batch
    }

    fn refuse_all(&self, count: usize, why: &Refusal) -> Vec<Result<Vec<Done>, Refusal>> {
        (0..count).map(|_| Err(why.clone())).collect()
    }
}

/// Whether a write leaves less on the disk than there was.
fn makes_room(write: &Write) -> bool {
    write.ops.iter().any(|op| op.verb.removes())
        && write.ops.iter().all(|op| op.verb.removes() || matches!(op.verb, Verb::Guard))
}

/// How one transaction ended.
enum Outcome {
    Committed { answers: Vec<Result<Vec<Done>, Refusal>>, taken: Taken },
    Failed { why: Refusal, singly: bool, gaps: Vec<u64> },
    Unknown { why: String, gaps: Vec<u64> },
}

type Taken = Vec<(u64, Option<super::Event>)>;

impl Outcome {
    fn failed(error: &rusqlite::Error, taken: Taken) -> Self {
        let trouble = trouble(error);
        let why = match trouble {
            Trouble::Full => Refusal::DiskFull,
            Trouble::Busy => Refusal::Busy,
            Trouble::Other => Refusal::Storage(error.to_string().into()),
        };
        Self::Failed { why, singly: trouble == Trouble::Full, gaps: gaps(taken) }
    }

    fn unknown(error: &rusqlite::Error, taken: Taken) -> Self {
        Self::Unknown { why: format!("a commit failed: {error}"), gaps: gaps(taken) }
    }
}

fn gaps(taken: Taken) -> Vec<u64> {
    taken.into_iter().map(|(seq, _)| seq).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Full,
    Busy,
    Other,
}

fn trouble(error: &rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
        _ => Trouble::Other,
    }
}

impl Driver for SqliteStore {
    fn commit(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        let mut batch = Batch { answers: vec![], numbers: vec![], fate: Fate::Committed };
        if let Some(why) = self.refusing() {
            batch.answers = self.refuse_all(writes.len(), &Refusal::Stopped(why));
            batch.fate = Fate::RolledBack;
            return batch;
        }
        if self.reserve.is_spent() && !writes.iter().all(makes_room) {
            return self.commit_on_full_disk(writes, numbers);
        }
        let mut writer = self.writer();
        let given_up = |gaps: Vec<u64>| gaps.into_iter().map(|seq| (seq, None));
        match self.transact(&mut writer, writes, numbers) {
            Outcome::Committed { answers, taken } => {
                batch.answers = answers;
                batch.numbers = taken;
            }
            // Only the write that fails again, alone, is the one that is refused.
            Outcome::Failed { singly: true, gaps, .. } if writes.len() > 1 => {
                batch.numbers.extend(given_up(gaps));
                drop(writer);
                for write in writes {
                    let single = self.commit(std::slice::from_ref(write), numbers);
                    batch.answers.extend(single.answers);
                    batch.numbers.extend(single.numbers);
                    if matches!(single.fate, Fate::Unknown(_)) {
                        batch.fate = single.fate;
                    }
                }
            }
            // What makes room may use the room that was kept back for it.
            Outcome::Failed { why: Refusal::DiskFull, gaps, .. }
                if writes.iter().all(makes_room) && self.reserve.give_up() =>
            {
                drop(writer);
                let again = self.commit(writes, numbers);
                return Batch { numbers: given_up(gaps).chain(again.numbers).collect(), ..again };
            }
            Outcome::Failed { why, gaps, .. } => {
                batch.numbers.extend(given_up(gaps));
                batch.answers = self.refuse_all(writes.len(), &why);
                batch.fate = Fate::RolledBack;
            }
            Outcome::Unknown { why, gaps } => {
                batch.numbers.extend(given_up(gaps));
                batch.answers = self.refuse_all(writes.len(), &Refusal::OutcomeUnknown);
                batch.fate = Fate::Unknown(self.stop(why));
            }
        }
        batch
    }

    fn cached(&self, path: &WorldPath) -> Option<Option<Arc<Head>>> {
        self.cache.get(path).map(Some)
    }

    fn head(&self, path: &WorldPath) -> Result<Option<Arc<Head>>, StoreError> {
        let ticket = self.cache.ticket(path);
        let head = self.fresh_head(path)?.map(Arc::new);
        if let Some(head) = &head {
            self.cache.offer(&ticket, head);
        }
        Ok(head)
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.readers.with(|db| rows::list(db, prefix, after, limit))
    }

    fn usage(&self) -> Usage {
        Usage { worlds: self.worlds.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}
