//! What a store driver is, and the values that pass between it and the engine.

pub mod change;
pub mod judge;
pub mod memory;
pub mod numbers;
pub mod quota;
pub mod rules;
pub mod sqlite;
pub mod v8;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::Sha256;

use crate::path::WorldPath;
pub use change::{
    Behind, Conditions, Done, Link, NewBody, NewBytes, Op, OpKey, Refusal, Tags, Verb, Write,
};
pub use numbers::Numbers;

/// Bodies up to this many bytes lie in their world's row; larger ones are objects.
pub const INLINE_MAX: usize = 4096;

/// Size of a full piece of an object, in bytes.
pub const PIECE: usize = 64 * 1024;

pub type Hash = [u8; 32];
pub type ObjectId = i64;

/// Persisted headers: lower-case names, sorted by name, each once.
pub type Headers = Arc<[(String, String)]>;

/// What names one version of a world; without the quotes it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Durable: the hmac of the newest event.
    Hmac(Hash),
    /// Memory: the hash of the body.
    Sha256(Hash),
}

impl Tag {
    /// Reads `hmac-<64 hex>` or `sha256-<64 hex>`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(hex) = text.strip_prefix("hmac-") {
            return unhex(hex).map(Self::Hmac);
        }
        text.strip_prefix("sha256-").and_then(unhex).map(Self::Sha256)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hmac(hash) => write!(f, "hmac-{}", hex(hash)),
            Self::Sha256(hash) => write!(f, "sha256-{}", hex(hash)),
        }
    }
}

/// A world as it stands: all but the bytes of a large body.
#[derive(Clone, Debug)]
pub struct Head {
    pub path: WorldPath,
    /// Number of the newest event: the one thing that names a version inside the core.
    pub seq: u64,
    /// Events in the world's chain (memory worlds: writes since it was made).
    pub events: u64,
    /// Bytes of the body.
    pub size: u64,
    pub content_type: Arc<str>,
    pub headers: Headers,
    pub tag: Tag,
    pub body_sha256: Hash,
    /// Microseconds since 1970 of the newest event.
    pub modified_us: i64,
    pub body: Body,
    /// Running hash of a body that lies in pieces or chunks, for appends.
    pub hash_state: Option<Sha256>,
    /// The store's own numbers for it; zero for memory worlds.
    pub row: Row,
    /// Why the world is set aside, when it is.
    pub fault: Option<Arc<str>>,
    /// When it goes away by itself, in microseconds since 1970.
    pub expires_us: Option<i64>,
}

impl Head {
    /// Its time has come: it is absent for everybody, although its rows are still there.
    pub fn has_expired(&self, now_us: i64) -> bool {
        self.expires_us.is_some_and(|end| end <= now_us)
    }
}

/// Which of a world's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The one that this event of the chain made (its id, from 1).
    Event(i64),
    /// The one in force at this time, in microseconds since 1970.
    Time(i64),
}

/// What a driver needs to find a world's rows again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub id: i64,
    /// The chain's own id of its newest event.
    pub event_id: i64,
    /// Short pieces at the end of the body's object.
    pub tail: i64,
}

/// Where a body's bytes are.
#[derive(Clone, Debug)]
pub enum Body {
    Inline(Bytes),
    Chunks(Arc<Vec<Bytes>>),
    /// As long as anybody holds it, the object's pieces stay.
    Object(Arc<Object>),
}

/// A body's identity in the store: its bytes never change, only grow behind the known length.
#[derive(Debug)]
pub struct Object {
    pub id: ObjectId,
}

/// A world's line in a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    pub path: WorldPath,
    pub seq: u64,
    pub events: u64,
    pub size: u64,
    pub content_type: Arc<str>,
    pub tag: Tag,
    pub modified_us: i64,
}

impl From<&Head> for Entry {
    fn from(head: &Head) -> Self {
        Self {
            path: head.path.clone(),
            seq: head.seq,
            events: head.events,
            size: head.size,
            content_type: head.content_type.clone(),
            tag: head.tag,
            modified_us: head.modified_us,
        }
    }
}

/// What a change was, as listeners are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Replace,
    Append,
    Delete,
}

/// One event, as the hub carries it.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: u64,
    pub kind: Kind,
    pub path: WorldPath,
    /// None for a delete.
    pub tag: Option<Tag>,
    pub size: u64,
    pub content_type: Arc<str>,
    pub time_us: i64,
    pub writer: Option<Arc<str>>,
    pub link: Option<Link>,
}

impl Event {
    /// The event of a world that is gone.
    pub fn delete(seq: u64, op: &Op, time_us: i64) -> Self {
        Self {
            seq,
            kind: Kind::Delete,
            path: op.path.clone(),
            tag: None,
            size: 0,
            content_type: "".into(),
            time_us,
            writer: None,
            link: op.link.clone(),
        }
    }
}

/// How a batch of writes ended; one answer each, in order.
pub struct Batch {
    pub answers: Vec<Result<Vec<Done>, Refusal>>,
    /// Every number the batch took, with its event when there is one to tell.
    pub numbers: Vec<(u64, Option<Event>)>,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    /// Nothing took place, and that is certain.
    RolledBack,
    /// It may or may not be on disk: no more durable writes until a restart.
    Unknown(String),
}

/// One row of a world's chain (core.md §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainRow {
    pub id: i64,
    pub seq: u64,
    pub time_us: i64,
    /// The text an imported row came with, when it is not the normal form of `time_us`.
    pub time_text: Option<String>,
    pub kind: String,
    pub target: String,
    pub body_sha256: String,
    pub size: i64,
    pub content_type: String,
    pub headers: Headers,
    pub meta_sha256: String,
    pub hmac: String,
    pub prev_hmac: String,
    pub key: i64,
}

impl Verb {
    /// The world is gone afterwards.
    pub fn removes(&self) -> bool {
        matches!(self, Self::Delete | Self::Purge)
    }
}

/// What a store has and holds, in bytes and worlds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub worlds: u64,
    pub bytes: u64,
}

/// A failure of the store itself, for the log and for a 500.
#[derive(Clone, Debug)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.0.into())
    }
}

/// What the engine asks of a place that keeps worlds.
pub trait Driver: Send + Sync + 'static {
    /// Judges and applies the writes in order, all in one commit.
    fn commit(&self, writes: &[Write], numbers: &Numbers) -> Batch;

    /// The world as it stands, if that is known without waiting for a disk.
    fn cached(&self, path: &WorldPath) -> Option<Option<Arc<Head>>>;

    fn head(&self, path: &WorldPath) -> Result<Option<Arc<Head>>, StoreError>;

    /// Worlds in path order, at most `limit`, with paths that start with `prefix` and lie after `after`.
    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Entry>, StoreError>;

    fn usage(&self) -> Usage;
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[(byte >> 4) as usize] as char);
        out.push(DIGITS[(byte & 15) as usize] as char);
    }
    out
}

/// Exactly 64 lower-case hex digits.
pub fn unhex(text: &str) -> Option<Hash> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    for (at, pair) in bytes.chunks_exact(2).enumerate() {
        out[at] = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
