//! A copy or a backup that is served and never written, perhaps by several cores at a time.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::cache::HeadCache;
use super::readers::Readers;
use super::reserve::Reserve;
use super::trouble::Halt;
use super::{FILE, Options, SqliteStore, Writer, pages, prune, rows, schema, sweep};
use crate::audit::keys::{KeyTable, Keyring};
use crate::store::Numbers;
use crate::store::judge::Limits;

/// Numbers that memory worlds may take above the mark; none of them is ever written.
const AHEAD: u64 = 1 << 40;

/// What is said of every durable write.
const ONLY_READS: &str = "this core only reads (--read-only)";

impl SqliteStore {
    pub(super) fn open_copy(options: &Options<'_>) -> Result<(Self, Numbers), String> {
        let file = options.data_dir.join(FILE);
        let (db, still) = pages::reading(&file)?;
        schema::check_marks(&db, &file)?;
        let failed = |e: rusqlite::Error| format!("{}: {e}", file.display());
        let mut row = schema::read_row(&db).map_err(failed)?;
        row.shares = rows::shares(&db, &options.rules.quotas).map_err(failed)?;
        let ring = Keyring::new(options.key, options.older_keys);
        schema::check_key(&db, &row, ring.current())?;
        let keys = KeyTable::new(schema::key_rows(&db).map_err(failed)?, &ring);
        let pruned = prune::newest(&db).map_err(failed)?;
        let numbers = Numbers::above(row.high_water);
        numbers.allow(row.high_water + AHEAD);
        let halt = Arc::<Halt>::default();
        let readers = match still {
            Some(_) => Readers::of_still_file(&file, &halt),
            None => Readers::new(&file, &halt),
        };
        let store = Self {
            readers,
            objects: Arc::default(),
            ids: row.ids.clone(),
            cache: HeadCache::new(options.cache_bytes, options.cache_entries),
            known: Default::default(),
            key: ring.current().clone(),
            keys,
            pruned_to: AtomicU64::new(pruned.map_or(0, |cut| cut.seq)),
            rules: options.rules.clone(),
            limits: Limits { max_world: options.max_world, quota: options.quota, memory: false },
            worlds: AtomicU64::new(row.worlds),
            bytes: AtomicU64::new(row.bytes),
            shares: Mutex::new(row.shares.clone()),
            wal: Arc::default(),
            checkpointing: Default::default(),
            halt,
            writer: Mutex::new(Writer { db, row, sweep: sweep::Sweep::default() }),
            reserve: Reserve::of(options.data_dir),
            file,
            read_only: true,
            _lock: None,
        };
        Ok((store, numbers))
    }

    /// Why nothing is written: because something failed, or because this is a copy.
    pub(super) fn refusing(&self) -> Option<Arc<str>> {
        if self.read_only { Some(ONLY_READS.into()) } else { self.stopped() }
    }
}
