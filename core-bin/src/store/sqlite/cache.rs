//! Heads and small bodies in memory, within bounds, never older than the newest commit.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use lru::LruCache;
use std::hash::{BuildHasher, RandomState};

use crate::path::WorldPath;
use crate::store::{Body, Head};

const SHARDS: usize = 16;

/// What a head costs beside its texts and body, in bytes: maps, counts, allocations.
const OVERHEAD: usize = 512;

/// A sharded LRU of heads. A reader inserts what it read only if no commit touched the shard since
/// before its read: so a head that lies here is always that of the newest commit.
pub struct HeadCache {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    bytes_each: usize,
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub evictions: AtomicU64,
}

struct Shard {
    heads: LruCache<WorldPath, Arc<Head>>,
    bytes: usize,
    /// Goes up with every commit that touches this shard.
    version: u64,
}

/// A shard as it was before a read.
pub struct Ticket {
    shard: usize,
    version: u64,
}

impl HeadCache {
    pub fn new(bytes: usize, entries: usize) -> Self {
        let entries = NonZeroUsize::new(entries.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(Shard { heads: LruCache::new(entries), bytes: 0, version: 0 });
        Self {
            shards: std::array::from_fn(|_| shard()),
            hasher: RandomState::new(),
            bytes_each: bytes / SHARDS,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    pub fn get(&self, path: &WorldPath) -> Option<Arc<Head>> {
        let found = self.shard(self.index(path)).heads.get(path).cloned();
        if found.is_some() { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
        found
    }

    /// Taken before a row is read.
    pub fn ticket(&self, path: &WorldPath) -> Ticket {
        let shard = self.index(path);
        Ticket { shard, version: self.shard(shard).version }
    }

    /// Keeps what a reader read, unless a commit came in between.
    pub fn offer(&self, ticket: &Ticket, head: &Arc<Head>) {
        let mut shard = self.shard(ticket.shard);
        if shard.version == ticket.version {
            self.insert(&mut shard, head.clone());
        }
    }

    /// After a commit, before its answers: the heads as they are now; none for a deleted world.
    pub fn replace(&self, path: &WorldPath, head: Option<&Arc<Head>>) {
        let mut shard = self.shard(self.index(path));
        shard.version += 1;
        match head {
            Some(head) => self.insert(&mut shard, head.clone()),
            None => {
                if let Some(old) = shard.heads.pop(path) {
                    shard.bytes -= cost(&old);
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        (0..SHARDS).map(|at| self.shard(at).heads.len()).sum()
    }

    fn insert(&self, shard: &mut Shard, head: Arc<Head>) {
        shard.bytes += cost(&head);
        if let Some((_, old)) = shard.heads.push(head.path.clone(), head) {
            shard.bytes -= cost(&old);
        }
        while shard.bytes > self.bytes_each {
            let Some((_, old)) = shard.heads.pop_lru() else { break };
            shard.bytes -= cost(&old);
            self.evictions.fetch_add(1, Relaxed);
        }
    }

    fn index(&self, path: &WorldPath) -> usize {
        self.hasher.hash_one(path.as_str()) as usize % SHARDS
    }

    fn shard(&self, at: usize) -> MutexGuard<'_, Shard> {
        self.shards[at].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn cost(head: &Head) -> usize {
    let headers: usize =
        head.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
    let body = match &head.body {
        Body::Inline(bytes) => bytes.len(),
        Body::Chunks(_) | Body::Object(_) => 0,
    };
    OVERHEAD + 2 * head.path.as_str().len() + head.content_type.len() + headers + body
}
