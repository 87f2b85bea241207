//! What a store driver is, and the values that pass between it and the engine.

pub mod judge;
pub mod memory;
pub mod numbers;
pub mod rules;
pub mod sqlite;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::Sha256;

use crate::path::{PathError, WorldPath};
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

/// The bytes of a write, hashed as they came in.
#[derive(Clone)]
pub struct NewBody {
    pub size: u64,
    /// SHA-256 over all the bytes, not finished.
    pub hash: Sha256,
    pub bytes: NewBytes,
}

/// The bytes themselves: in hand, or already staged in the store.
#[derive(Clone)]
pub enum NewBytes {
    Chunks(Vec<Bytes>),
    /// Pieces of this object, unreferenced until the write that names it.
    Staged(Arc<Object>),
}

impl NewBody {
    /// A body that is in hand as one block.
    pub fn whole(bytes: Bytes) -> Self {
        use sha2::Digest;
        Self {
            size: bytes.len() as u64,
            hash: Sha256::new_with_prefix(&bytes),
            bytes: NewBytes::Chunks(if bytes.is_empty() { vec![] } else { vec![bytes] }),
        }
    }
}

/// A set of entity tags in a conditional request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// `*`
    pub any: bool,
    pub strong: Vec<Tag>,
    pub weak: Vec<Tag>,
}

impl Tags {
    /// Strong comparison (RFC 9110 §8.8.3.2), as If-Match needs it.
    pub fn matches(&self, tag: &Tag) -> bool {
        self.any || self.strong.contains(tag)
    }

    /// Weak comparison, as If-None-Match needs it.
    pub fn matches_weakly(&self, tag: &Tag) -> bool {
        self.matches(tag) || self.weak.contains(tag)
    }
}

/// What must hold for an op to take place.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub if_match: Option<Tags>,
    pub if_none_match: Option<Tags>,
    /// The world must not have changed since this second (RFC 9110 §13.1.4).
    pub unmodified_since: Option<i64>,
    /// Append only: the body must end at this byte.
    pub offset: Option<u64>,
    /// The newest event must be this one: how the engine reads, computes and writes.
    pub seq: Option<u64>,
}

/// One change to one world.
#[derive(Clone)]
pub struct Op {
    pub path: WorldPath,
    pub verb: Verb,
    pub conditions: Conditions,
    /// The other end of a COPY or MOVE, told to listeners.
    pub link: Option<Link>,
}

#[derive(Clone)]
pub enum Verb {
    Put {
        body: NewBody,
        content_type: Arc<str>,
        headers: Headers,
    },
    Append {
        body: NewBody,
    },
    Delete,
    /// A delete that also forgets every kept version.
    Purge,
    /// The two ledger rows for a memory world that is being deleted; the hash is of its last body.
    Bury {
        body_sha256: Hash,
    },
    /// Changes nothing: its conditions must hold for the whole write.
    Guard,
}

/// Why an event is more than its verb says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    From(WorldPath),
    To(WorldPath),
    /// A delete that nobody asked for: the world's time had come.
    Expired,
}

impl Link {
    /// As the log keeps it and listeners see it.
    pub fn to_text(&self) -> String {
        match self {
            Self::From(path) => format!("from:{path}"),
            Self::To(path) => format!("to:{path}"),
            Self::Expired => "reason:expired".to_owned(),
        }
    }

    pub fn from_text(text: &str) -> Option<Self> {
        if text == "reason:expired" {
            return Some(Self::Expired);
        }
        if let Some(path) = text.strip_prefix("from:") {
            return Some(Self::From(WorldPath::trusted(path)));
        }
        text.strip_prefix("to:").map(|path| Self::To(WorldPath::trusted(path)))
    }
}

/// Ops that take place together or not at all.
#[derive(Clone, Default)]
pub struct Write {
    pub ops: Vec<Op>,
    /// Who asked: the name of a scoped token.
    pub writer: Option<Arc<str>>,
    /// The same key again gives the first answer and writes nothing.
    pub key: Option<OpKey>,
    /// Outcomes of ops that lie in memory, each with its place among all: the durable driver
    /// keeps them with its own under the key.
    pub known: Vec<(usize, Done)>,
}

/// Names one attempt to write, so that a repeated one is recognised.
pub type OpKey = [u8; 16];

/// What one op did.
#[derive(Clone, Debug)]
pub struct Done {
    pub created: bool,
    pub seq: u64,
    /// The world's tag afterwards; none after a delete.
    pub tag: Option<Tag>,
}

/// Why an op did not take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound,
    /// If-Match or a like condition on a world that is not there.
    NothingToMatch,
    /// The world changed, or never was what the caller thought.
    Mismatch,
    /// If-None-Match named what is there.
    AlreadyThere,
    /// The body does not end where the append expected it to; the real size.
    WrongOffset(u64),
    /// The body would be larger than a world may be, in bytes.
    TooLarge {
        max: u64,
    },
    MemoryFull {
        quota: u64,
    },
    StorageFull {
        used: u64,
        quota: u64,
        needed: u64,
    },
    DiskFull,
    /// Another process holds the database.
    Busy,
    /// The queue of the writer stayed full.
    Overloaded,
    /// The commit failed in a way that does not tell whether it took place.
    OutcomeUnknown,
    /// The store takes no more durable writes, for the reason given.
    Stopped(Arc<str>),
    /// The delete ledger cannot be deleted.
    Protected,
    /// The world's rows do not hold.
    Quarantined(Arc<str>),
    /// A row or a page could not be read.
    Storage(Arc<str>),
    /// A group is larger than one commit may be: worlds it has, worlds and bytes allowed.
    TooMany {
        count: usize,
        max: usize,
        max_bytes: u64,
    },
    /// The path that something should be copied or moved to.
    BadPath(PathError),
    /// A patch, or what it should change, is not what it must be.
    Unprocessable(Arc<str>),
    /// A patch's own test did not hold.
    Conflict(Arc<str>),
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
