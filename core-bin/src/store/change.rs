//! What is asked of the store: ops, their conditions, their outcomes and refusals.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Hash, Headers, Object, Tag};
use crate::path::{PathError, WorldPath};

/// The bytes of a write, hashed as they came in.
#[derive(Clone)]
pub struct NewBody {
    pub size: u64,
    /// SHA-256 over all the bytes, not finished.
    pub hash: Sha256,
    pub bytes: NewBytes,
    /// For an append: the hash over the world's body and these bytes, when that is known.
    pub behind: Option<Behind>,
}

/// A hash that was made outside the writer, and the version of the world it was made for.
#[derive(Clone)]
pub struct Behind {
    pub seq: u64,
    pub hash: Sha256,
}

/// The bytes themselves: in hand, or already staged in the store.
#[derive(Clone)]
pub enum NewBytes {
    Chunks(Vec<Bytes>),
    /// Pieces of this object, unreferenced until the write that names it.
    Staged(Arc<Object>),
}

impl NewBody {
    fn is_staged(&self) -> bool {
        matches!(self.bytes, NewBytes::Staged(_))
    }

    pub fn sha256(&self) -> Hash {
        self.hash.clone().finalize().into()
    }

    /// A body that is in hand as one block.
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            size: bytes.len() as u64,
            hash: Sha256::new_with_prefix(&bytes),
            bytes: NewBytes::Chunks(if bytes.is_empty() { vec![] } else { vec![bytes] }),
            behind: None,
        }
    }

    /// The hash over all that a world has with these bytes behind it, if it still is that version.
    pub fn behind(&self, seq: u64) -> Option<Sha256> {
        self.behind.as_ref().filter(|behind| behind.seq == seq).map(|behind| behind.hash.clone())
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

impl Op {
    /// The body that it brings.
    fn body(&self) -> Option<&NewBody> {
        match &self.verb {
            Verb::Put { body, .. } | Verb::Append { body } => Some(body),
            Verb::Delete | Verb::Purge | Verb::Bury { .. } | Verb::Guard => None,
        }
    }
}

impl Write {
    /// Bytes of the bodies that it brings with it; what is staged lies in the store already.
    pub fn in_hand(&self) -> u64 {
        let bodies = self.ops.iter().filter_map(Op::body);
        bodies.filter(|body| !body.is_staged()).map(|body| body.size).sum()
    }

    /// Whether it ends an upload.
    pub fn is_staged(&self) -> bool {
        self.ops.iter().filter_map(Op::body).any(NewBody::is_staged)
    }
}

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
        /// Bytes beyond the quota.
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
