//! Durable worlds: one SQLite file, one writer with group commit, readers beside it (design §1).

mod answers;
pub mod backup;
mod batch;
mod bounds;
mod cache;
mod chains;
pub mod check;
mod commit;
mod copy;
mod dirs;
mod events;
pub mod export;
mod history;
pub mod import;
mod kept;
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
mod trouble;
mod vfs;
mod wal;
pub mod whole;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::judge::Limits;
use super::quota::{Quotas, Shares};
use super::rules::Rules;
use super::{
    At, Batch, ChainRow, Done, Driver, Entry, Fate, Head, Numbers, Object, OpKey, StoreError,
    Usage, Write,
};
use crate::audit::keys::{AuditKey, KeyTable, Keyring};
use crate::audit::log::LogRow;
use crate::path::WorldPath;
use answers::Known;
use cache::HeadCache;
use dirs::{make_dir, sync_dirs};
use objects::Objects;
use readers::Readers;
use reserve::Reserve;
use schema::{Ids, StoreRow};
use trouble::{Halt, Trouble, trouble};

/// The database's name in the data directory.
pub const FILE: &str = "elastik.db";

/// The driver. Dropping it closes the database; `close` does it with a last checkpoint.
pub struct SqliteStore {
    writer: Mutex<Writer>,
    readers: Readers,
    objects: Arc<Objects>,
    ids: Ids,
    cache: HeadCache,
    known: Known,
    key: AuditKey,
    keys: KeyTable,
    limits: Limits,
    /// Rows of the log up to this number were pruned.
    pruned_to: AtomicU64,
    rules: Rules,
    worlds: AtomicU64,
    bytes: AtomicU64,
    shares: Mutex<Shares>,
    wal: Arc<wal::Length>,
    halt: Arc<Halt>,
    /// Held from before a checkpoint until its outcome is known to `halt`.
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
        let (mut db, mut row) = schema::open(&file, &key)?;
        row.shares = rows::shares(&db, &options.rules.quotas)
            .map_err(|e| format!("{}: {e}", file.display()))?;
        // Only a checkpoint that succeeded lets the WAL go, in `close` (see `wal`).
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .map_err(|e| e.to_string())?;
        let reserve = Reserve::of(options.data_dir);
        wal::truncate_or_make_room(&db, &file, &reserve)
            .map_err(|e| format!("{}: checkpoint failed: {e}", file.display()))?;
        sync_dirs(options.data_dir).map_err(|e| format!("{}: {e}", options.data_dir.display()))?;
        let wal = Arc::<wal::Length>::default();
        wal::watch(&mut db, wal.clone()).map_err(|e| e.to_string())?;
        let keys = KeyTable::new(schema::key_rows(&db).map_err(|e| e.to_string())?, &ring);
        let pruned = prune::newest(&db).map_err(|e| e.to_string())?;
        let numbers = Numbers::above(row.high_water);
        let halt = Arc::<Halt>::default();
        let store = Self {
            readers: Readers::new(&file, &halt),
            objects: Arc::default(),
            ids: row.ids.clone(),
            cache: HeadCache::new(options.cache_bytes, options.cache_entries),
            known: Known::read(&db).map_err(|e| e.to_string())?,
            key,
            keys,
            pruned_to: AtomicU64::new(pruned.map_or(0, |cut| cut.seq)),
            rules: options.rules.clone(),
            limits: Limits { max_world: options.max_world, quota: options.quota, memory: false },
            worlds: AtomicU64::new(row.worlds),
            bytes: AtomicU64::new(row.bytes),
            shares: Mutex::new(row.shares.clone()),
            wal,
            halt,
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
        self.readers.with(|db| chains::page(db, chains::Part { world, after, limit }))
    }

    /// One page of the log, after number `after`.
    pub fn log(&self, after: u64, limit: usize) -> Result<Vec<LogRow>, StoreError> {
        self.readers.with(|db| rows::log(db, after, limit))
    }

    /// The log's first number; none when it is empty.
    pub fn log_floor(&self) -> Result<Option<u64>, StoreError> {
        self.readers.with(rows::log_floor)
    }

    /// Whether something may have been answered to a write with this key; asks no disk.
    pub fn has_answer(&self, key: &OpKey) -> bool {
        self.known.has(key)
    }

    /// What was answered to the write with this key, if that is known still.
    pub fn answered(&self, key: &OpKey) -> Result<Option<Vec<Done>>, StoreError> {
        self.readers.with(|db| self.known.answered(db, key))
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

    /// The kept version that was in force then, with its fault if it does not hold; the world's row
    /// is not asked.
    pub fn version(&self, path: &WorldPath, at: At) -> Result<Option<Head>, StoreError> {
        let _reading = self.objects.reading();
        self.readers.with(|db| {
            let mut found = history::version(db, &self.objects, path.as_str(), at)?;
            if let Some(head) = &mut found {
                let fault = kept::fault(db, &self.keys, head.seq, self.pruned_to())?;
                head.fault = fault.map(|finding| finding.to_string().into());
            }
            Ok(found)
        })
    }

    /// Worlds whose time has come: paths and numbers, at most `limit`.
    pub fn expired(&self, now_us: i64, limit: usize) -> Result<Vec<(WorldPath, u64)>, StoreError> {
        self.readers.with(|db| rows::expired(db, now_us, limit))
    }

    /// Bytes of an object from `at` to the end of a piece; none behind its end.
    pub fn piece(&self, object: &Object, at: u64) -> Result<Option<Bytes>, StoreError> {
        self.readers.with(|db| objects::read(db, object.id, at))
    }

    /// The quota of the whole disk, and those per prefix.
    pub fn quotas(&self) -> (Option<u64>, &Quotas) {
        (self.limits.quota, &self.rules.quotas)
    }

    /// What is used of each quota.
    pub fn shares(&self) -> Shares {
        self.shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Up to which number the log was pruned; 0 when it never was.
    pub fn pruned_to(&self) -> u64 {
        self.pruned_to.load(Relaxed)
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
        self.halt.why()
    }

    /// Whether that is because the file is damaged, which another start does not mend.
    pub fn is_damaged(&self) -> bool {
        self.halt.is_damage()
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
        wal::truncate_or_make_room(db, &self.file, &self.reserve)
            .and_then(|()| db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false))
            .map(|_| ())
            .map_err(|e| e.to_string())
    }
}

impl Driver for SqliteStore {
    fn commit(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        self.commit_all(writes, numbers)
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
