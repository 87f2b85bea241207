//! Bodies that come in blocks (RFC 7959 §2.5): nothing is written before the last one is here.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;

use super::codec::Code;
use crate::engine::Upload;
use crate::path::WorldPath;

/// Transfers at a time, in all; the one that was silent longest makes room.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Transfers at a time of one endpoint.
const MOST_PER_PEER: usize = 64;
/// A transfer that was silent for so long is given up.
const IDLE: Duration = Duration::from_secs(60);

/// What blocks belong together by (RFC 9175 §3.3): the token may differ from block to block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    pub peer: SocketAddr,
    /// Whose key or token it was: an address alone may be borrowed.
    pub who: Option<Arc<str>>,
    pub method: u8,
    pub path: WorldPath,
    pub request_tag: Vec<Bytes>,
}

/// A body up to where its blocks have come.
pub struct Partial {
    pub upload: Upload,
    /// The offset of the block that must come next.
    pub at: u64,
    pub format: Option<u16>,
    used: Instant,
}

/// Why a block has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// What came before is not here.
    Incomplete,
    /// The endpoint has too many transfers under way.
    TooMany,
}

impl Gap {
    pub fn code(self) -> Code {
        match self {
            Self::Incomplete => Code::INCOMPLETE,
            Self::TooMany => Code::TOO_MANY_REQUESTS,
        }
    }
}

pub struct Uploads(LruCache<Name, Partial>);

impl Default for Uploads {
    fn default() -> Self {
        Self(LruCache::new(MOST))
    }
}

impl Uploads {
    /// Takes out the body that a block at `offset` continues; a block at 0 begins anew.
    pub fn take(
        &mut self,
        name: &Name,
        offset: u64,
        format: Option<u16>,
        now: Instant,
        begin: impl FnOnce() -> Upload,
    ) -> Result<Partial, Gap> {
        self.give_up(now);
        let known = self.0.pop(name);
        if offset == 0 {
            let others = self.0.iter().filter(|(other, _)| other.peer == name.peer).count();
            if known.is_none() && others >= MOST_PER_PEER {
                return Err(Gap::TooMany);
            }
            return Ok(Partial { upload: begin(), at: 0, format, used: now });
        }
        match known {
            Some(partial) if partial.at == offset && partial.format == format => Ok(partial),
            _ => Err(Gap::Incomplete),
        }
    }

    /// Puts a body back until its next block comes.
    pub fn keep(&mut self, name: Name, partial: Partial, now: Instant) {
        self.0.push(name, Partial { used: now, ..partial });
    }

    /// Drops what was silent too long.
    pub fn give_up(&mut self, now: Instant) {
        while let Some((_, oldest)) = self.0.peek_lru()
            && now.duration_since(oldest.used) > IDLE
        {
            self.0.pop_lru();
        }
    }
}
