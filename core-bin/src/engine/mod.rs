//! The engine: verbs over worlds, whatever the door they came through.

mod behind;
mod body;
mod chores;
mod commit;
pub mod hub;
mod patch;
mod queue;
mod reservation;
mod scrub;
#[cfg(test)]
mod tests;
mod upload;
mod verbs;
mod verify;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

pub use crate::audit::anchor::Anchor;
pub use crate::audit::finding::Finding;
use crate::path::WorldPath;
use crate::store::memory::MemoryStore;
pub use crate::store::rules::{LIFETIME_HEADER, Rules};
use crate::store::sqlite::{Options, SqliteStore};
pub use crate::store::{
    At, ChainRow, Conditions, Done, Entry, Event, Head, Headers, Kind, Link, NewBody, NewBytes, Op,
    OpKey, Refusal, Tag, Tags, Usage, Verb, Write, hex, now_us, unhex,
};
use crate::store::{Driver, Numbers, StoreError};
pub use body::BodyReader;
pub use hub::{Filter, Signal, Subscription};
pub use patch::Patch;
pub use scrub::Line;
pub use upload::Upload;
pub use verbs::{Caller, Transfer};
pub use verify::Verdict;

/// What the engine needs to know; all sizes in bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// The audit key, byte for byte.
    pub key: Vec<u8>,
    /// Keys that were in force before.
    pub older_keys: Vec<Vec<u8>>,
    pub max_world_bytes: u64,
    pub max_memory_bytes: u64,
    /// None: no limit.
    pub max_storage_bytes: Option<u64>,
    /// What is kept of old bodies, and how long worlds live.
    pub rules: Rules,
    /// What one atomic change of many worlds may hold.
    pub max_group_worlds: usize,
    pub max_group_bytes: u64,
    /// Events kept in memory for listeners.
    pub ring_events: usize,
    /// Heads and small bodies kept in memory.
    pub cache_bytes: usize,
    pub cache_entries: usize,
    /// Serve what is there and write nothing durable.
    pub read_only: bool,
    /// How long the scrub rests between two passes; none: it does not run.
    pub scrub_pause: Option<Duration>,
    /// Told in a line each: what a start has to say before the doors open.
    pub announce: fn(&str),
}

/// Why the engine cannot start; one sentence for a person.
#[derive(Debug)]
pub struct StartError(pub String);

/// A handle to the one engine; cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    settings: Settings,
    store: Arc<SqliteStore>,
    memory: Arc<MemoryStore>,
    numbers: Arc<Numbers>,
    hub: Arc<hub::Hub>,
    queue: Arc<queue::Queue>,
    /// Bytes of uploads to memory worlds that are on their way.
    coming: Arc<AtomicU64>,
    /// The same for the disk, quota by quota.
    reserved: Arc<reservation::Coming>,
    verifying: Mutex<HashMap<WorldPath, Arc<OnceCell<Verified>>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    scrub: Arc<scrub::Scrub>,
}

type Verified = Result<Option<Verdict>, StoreError>;

/// A number for `/proc/pool` and `/proc/metrics`.
pub struct Counter {
    pub name: &'static str,
    pub value: u64,
    /// `snapshot` (goes up and down) or `counter` (only up).
    pub kind: &'static str,
}

impl Engine {
    /// Opens or lays the data directory and starts the writer. Blocking.
    pub fn open(settings: Settings) -> Result<Self, StartError> {
        let options = Options {
            data_dir: &settings.data_dir,
            key: &settings.key,
            older_keys: &settings.older_keys,
            max_world: settings.max_world_bytes,
            quota: settings.max_storage_bytes,
            rules: settings.rules.clone(),
            cache_bytes: settings.cache_bytes,
            cache_entries: settings.cache_entries,
            read_only: settings.read_only,
            announce: settings.announce,
        };
        let (store, numbers) = SqliteStore::open(&options).map_err(StartError)?;
        let rules = settings.rules.clone();
        let memory = MemoryStore::new(settings.max_world_bytes, settings.max_memory_bytes, rules);
        let inner = Inner {
            hub: hub::Hub::new(numbers.next(), settings.ring_events),
            store: Arc::new(store),
            memory: Arc::new(memory),
            numbers: Arc::new(numbers),
            queue: queue::Queue::new(),
            coming: Arc::default(),
            reserved: reservation::Coming::new(&settings.rules.quotas),
            verifying: Mutex::default(),
            threads: Mutex::default(),
            scrub: Arc::default(),
            settings,
        };
        let engine = Self(Arc::new(inner));
        engine.start_threads().map_err(|e| StartError(e.to_string()))?;
        Ok(engine)
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let inner = &self.0;
        let works = commit::Works {
            queue: inner.queue.clone(),
            store: inner.store.clone(),
            memory: inner.memory.clone(),
            numbers: inner.numbers.clone(),
            hub: inner.hub.clone(),
        };
        let checkpoints = commit::Checkpoints::new(inner.store.clone());
        let waker = checkpoints.waker();
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let beside = spawn("checkpoint").spawn(move || checkpoints.run())?;
        let writer = spawn("writer").spawn(move || works.run(waker))?;
        self.threads().extend([writer, beside]);
        let pause = inner.settings.scrub_pause.filter(|_| !inner.settings.read_only);
        if let Some(pause) = pause {
            let (scrub, store) = (inner.scrub.clone(), inner.store.clone());
            let announce = inner.settings.announce;
            let thread = spawn("scrub").spawn(move || scrub.run(&store, pause, announce))?;
            self.threads().push(thread);
        }
        Ok(())
    }

    /// The world as it stands, without the bytes of a large body.
    pub async fn head(&self, path: &WorldPath) -> Result<Option<Arc<Head>>, Refusal> {
        let known =
            if path.is_durable() { self.0.store.cached(path) } else { self.0.memory.cached(path) };
        let head = match known {
            Some(head) => head,
            None => {
                let path = path.clone();
                self.blocking(move |inner| inner.store.head(&path)).await?
            }
        };
        // The clock is asked only where a lifetime was given.
        Ok(head.filter(|head| head.expires_us.is_none() || !head.has_expired(now_us())))
    }

    /// The version that was in force then, if it is kept; the newest one is its world's own.
    pub async fn version(&self, path: &WorldPath, at: At) -> Result<Option<Arc<Head>>, Refusal> {
        let current = self.head(path).await?;
        let is_it = |head: &Arc<Head>| match at {
            At::Event(id) => head.row.event_id == id,
            At::Time(time_us) => head.modified_us <= time_us,
        };
        if let Some(head) = current.filter(is_it) {
            return Ok(Some(head));
        }
        let path = path.clone();
        let kept = self.blocking(move |inner| inner.store.version(&path, at)).await?;
        Ok(kept.map(Arc::new))
    }

    /// Kept versions, newest first, those before number `before`; the world's own is not one.
    pub async fn versions(
        &self,
        path: &WorldPath,
        before: u64,
        limit: usize,
    ) -> Result<Vec<Head>, Refusal> {
        let path = path.clone();
        self.blocking(move |inner| inner.store.versions(&path, before, limit)).await
    }

    /// One page of a world's chain, after the event with id `after`; none when there is no world.
    pub async fn chain(
        &self,
        path: &WorldPath,
        after: i64,
        limit: usize,
    ) -> Result<Option<Vec<ChainRow>>, Refusal> {
        let Some(head) = self.head(path).await?.filter(|head| head.row.id != 0) else {
            return Ok(None);
        };
        let row = head.row.id;
        self.blocking(move |inner| inner.store.chain(row, after, limit)).await.map(Some)
    }

    /// Reads bytes `from..to` of the version that `head` names, whatever happens to it meanwhile.
    pub fn read(&self, head: &Head, from: u64, to: u64) -> BodyReader {
        BodyReader::new(&self.0.store, head, from, to)
    }

    /// Begins to take in a body for `path`.
    pub fn upload(&self, path: &WorldPath) -> Upload {
        let inner = &self.0;
        let target = if path.is_durable() {
            upload::Target::Disk {
                path: path.clone(),
                store: inner.store.clone(),
                queue: inner.queue.clone(),
                reserved: inner.reserved.clone(),
            }
        } else {
            upload::Target::Memory {
                store: inner.memory.clone(),
                coming: inner.coming.clone(),
                quota: inner.settings.max_memory_bytes,
            }
        };
        Upload::new(target, inner.settings.max_world_bytes)
    }

    /// Ops that take place together or not at all, through the one commit path.
    pub async fn write(&self, write: Write) -> Result<Vec<Done>, Refusal> {
        let inner = &self.0;
        if commit::memory_only(&write) {
            let writes = [write];
            let mut batch = inner.memory.commit(&writes, &inner.numbers);
            inner.hub.settle(batch.numbers);
            match batch.answers.pop() {
                // A write over memory and disk holds the path: this one queues up behind it.
                Some(Err(Refusal::Busy | Refusal::Overloaded)) | None => {}
                Some(answer) => return answer,
            }
            let [write] = writes;
            return inner.queue.write(write).await;
        }
        inner.queue.write(self.hashed(write).await?).await
    }

    /// One page of worlds in byte order: paths that start with `prefix` and lie after `after`.
    pub async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Entry>, Refusal> {
        let mut found = self.0.memory.list(prefix, after, limit)?;
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let durable = self.blocking(move |inner| inner.store.list(&prefix, &after, limit)).await?;
        found.extend(durable);
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.truncate(limit);
        Ok(found)
    }

    /// Replays the world's chain; none when there is no such world. Equal requests share one run.
    pub async fn verify(&self, path: &WorldPath) -> Result<Option<Verdict>, Refusal> {
        if !path.is_durable() {
            return Ok(self.0.memory.head(path)?.map(|_| Verdict::NotAudited));
        }
        let cell = self.verifying().entry(path.clone()).or_default().clone();
        let run = async || {
            let path = path.clone();
            let work = move |inner: &Inner| verify::verify(&inner.store, &path);
            self.blocking(work).await.map_err(|refusal| StoreError(format!("{refusal:?}")))
        };
        let verdict = cell.get_or_init(run).await.clone();
        self.verifying().remove(path);
        Ok(verdict?)
    }

    /// Events that `filter` wants: after number `after` when it is given, then live ones.
    pub fn listen(&self, filter: Arc<dyn Filter>, after: Option<u64>) -> Subscription {
        Subscription::new(self.0.hub.clone(), self.0.store.clone(), filter, after)
    }

    pub fn durable_usage(&self) -> Usage {
        self.0.store.usage()
    }

    pub fn memory_usage(&self) -> Usage {
        self.0.memory.usage()
    }

    /// Bytes of kept versions, and rows of the log.
    pub async fn kept(&self) -> Result<(u64, u64), Refusal> {
        self.blocking(|inner| inner.store.kept()).await
    }

    /// Each quota per prefix: the prefix, what is used of it, and its bytes.
    pub fn quotas(&self) -> Vec<(String, u64, u64)> {
        let (durable, memory) = (self.0.store.shares(), self.0.memory.shares());
        let used = durable.0.into_iter().zip(memory.0).map(|(disk, memory)| disk + memory);
        let quotas = self.0.settings.rules.quotas.iter();
        quotas.zip(used).map(|(quota, used)| (quota.prefix.clone(), used, quota.bytes)).collect()
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn counters(&self) -> Vec<Counter> {
        let (entries, hits, misses, evictions) = self.0.store.cache();
        let counter = |name, value, kind| Counter { name, value, kind };
        let mut all = vec![
            counter("read_cache_entries", entries, "snapshot"),
            counter("read_cache_hits", hits, "counter"),
            counter("read_cache_misses", misses, "counter"),
            counter("read_cache_evictions", evictions, "counter"),
            counter("read_cache_max_entries", self.0.settings.cache_entries as u64, "snapshot"),
            counter("writer_queue_ops", self.0.queue.depth() as u64, "snapshot"),
            counter("listeners", self.0.hub.listeners() as u64, "snapshot"),
            counter("newest_event", self.0.hub.newest(), "counter"),
        ];
        all.extend(self.scrub_counters());
        all
    }

    /// Why durable writes are refused, when they are.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.0.store.stopped()
    }

    /// Whether that is because the file is damaged: another start would not mend it.
    pub fn is_damaged(&self) -> bool {
        self.0.store.is_damaged()
    }

    /// Ends subscriptions, drains the writer, checkpoints and closes. Blocking, at most `deadline`.
    pub fn close(&self, deadline: Duration) -> Result<(), String> {
        let end = Instant::now() + deadline;
        self.0.hub.close();
        self.0.scrub.stop();
        self.0.queue.close();
        for thread in self.threads().drain(..) {
            while !thread.is_finished() {
                if Instant::now() >= end {
                    return Err("the writer did not finish in time".to_owned());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.0.store.close()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let inner = self.0.clone();
        let run = tokio::task::spawn_blocking(move || work(&inner)).await;
        Ok(run.map_err(|e| StoreError(e.to_string()))??)
    }

    fn verifying(&self) -> MutexGuard<'_, HashMap<WorldPath, Arc<OnceCell<Verified>>>> {
        self.0.verifying.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.threads.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
