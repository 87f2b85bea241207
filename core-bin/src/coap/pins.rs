//! Versions that somebody is reading in blocks: a download never mixes two of them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;

use super::reply::ETag;
use crate::engine::Head;

/// Downloads at a time; the one that was silent longest loses its pin, and its reader sees the
/// ETag change if the world did.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Bytes of bodies that may be held in memory by nothing but their pins.
const MOST_BYTES: u64 = 64 << 20;
const IDLE: Duration = Duration::from_secs(120);

/// Something whose bytes stay the same for as long as it is held.
#[derive(Clone)]
pub struct Version {
    pub body: Content,
    pub etag: Option<ETag>,
    pub format: Option<u16>,
    pub max_age: Option<u32>,
}

#[derive(Clone)]
pub enum Content {
    World(Arc<Head>),
    /// A text of the door's own, as the list of resources.
    Text(Bytes),
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Self::World(head) => head.size,
            Self::Text(text) => text.len() as u64,
        }
    }

    /// Bytes that this holds in memory: a large durable body stays on disk.
    fn held(&self) -> u64 {
        match self {
            Self::World(head) if head.path.is_durable() && head.size > 4096 => 0,
            other => other.size(),
        }
    }
}

/// Who reads what: the endpoint, and path and query as they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    pub peer: SocketAddr,
    pub target: String,
}

struct Pin {
    version: Version,
    /// Bytes of the body around the last block, and where they begin: one read serves many blocks.
    ahead: (u64, Bytes),
    used: Instant,
}

pub struct Pins {
    pins: LruCache<Reader, Pin>,
    held: u64,
}

impl Default for Pins {
    fn default() -> Self {
        Self { pins: LruCache::new(MOST), held: 0 }
    }
}

impl Pins {
    /// The version that this reader has begun to read, and what was read ahead of it.
    pub fn get(&mut self, reader: &Reader, now: Instant) -> Option<(Version, (u64, Bytes))> {
        self.give_up(now);
        let pin = self.pins.get_mut(reader)?;
        pin.used = now;
        Some((pin.version.clone(), pin.ahead.clone()))
    }

    pub fn put(&mut self, reader: Reader, version: Version, ahead: (u64, Bytes), now: Instant) {
        self.held += version.body.held();
        if let Some((_, old)) = self.pins.push(reader, Pin { version, ahead, used: now }) {
            self.held -= old.version.body.held();
        }
        while self.held > MOST_BYTES && self.pins.len() > 1 {
            self.drop_oldest();
        }
    }

    pub fn remove(&mut self, reader: &Reader) {
        if let Some(pin) = self.pins.pop(reader) {
            self.held -= pin.version.body.held();
        }
    }

    /// Drops what was silent too long.
    pub fn give_up(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.pins.peek_lru()
            && now.duration_since(oldest.used) > IDLE
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, pin)) = self.pins.pop_lru() {
            self.held -= pin.version.body.held();
        }
    }
}
