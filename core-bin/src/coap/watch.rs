//! What an observation is, and a resource's state as its observers are told it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::block::{Block, LARGEST, szx_within};
use super::codec::Code;
use super::links::Query;
use super::pins::{Content, Version};
use super::read::{SINGLE, from_store};
use super::reply::{ETag, Reply, etag};
use super::{Door, Proof, format};
use crate::access::Action;
use crate::engine::{Head, Refusal};
use crate::path::WorldPath;

/// Observe values have 24 bits (RFC 7641 §2).
const SEQUENCE: u64 = 0xff_ffff;

/// Bytes of a notification besides its payload, at the most.
const OVERHEAD: usize = 48;

/// A list costs a look at many worlds: changes that come close together are told together.
const LINKS_PAUSE: Duration = Duration::from_millis(100);

/// What is observed.
#[derive(Clone, Debug)]
pub enum Target {
    World(WorldPath),
    /// A list of links; every observer has its own, since each may see other worlds.
    Links(Arc<Query>),
}

/// A wish to be told of changes.
#[derive(Clone, Debug)]
pub struct Watch {
    pub target: Target,
    /// The version that was told last.
    pub seq: u64,
    pub etag: Option<ETag>,
    /// The format that notifications keep to (RFC 7641 §4.2).
    pub format: Option<u16>,
    /// The size of blocks, and whether the client named one.
    pub szx: u8,
    pub asked_blocks: bool,
    pub proof: Proof,
    /// Bytes that a notification may have and must be confirmed, for an address that has proved
    /// nothing; whoever acknowledges one has proved it.
    pub budget: Option<usize>,
}

/// A resource as it stands.
#[derive(Clone)]
pub struct State {
    pub version: Version,
    pub seq: u64,
    /// The first bytes of the body, as many as one datagram carries.
    pub start: Bytes,
}

/// The number of a version as an Observe value.
pub fn sequence(seq: u64) -> u32 {
    (seq & SEQUENCE) as u32
}

impl Target {
    /// The resource now; none when it is gone. `at` is the newest event that is known to touch it.
    pub async fn state(&self, door: &Door, at: u64) -> Result<Option<State>, Refusal> {
        let (version, seq) = match self {
            Self::World(path) => {
                let Some(head) = door.engine.head(path).await? else { return Ok(None) };
                (Version::of(&head), head.seq)
            }
            Self::Links(query) => {
                tokio::time::sleep(LINKS_PAUSE).await;
                let (version, newest) = query.list(door).await?;
                // A delete leaves no entry behind that has its number.
                (version, newest.max(at))
            }
        };
        let length = version.body.size().min(SINGLE as u64) as usize;
        let start = match &version.body {
            Content::World(head) => from_store(door, head, 0, length).await?.slice(..length),
            Content::Text(text) => text.slice(..length),
        };
        Ok(Some(State { version, seq, start }))
    }

    /// How a reader names it, for the blocks that follow a notification.
    pub fn name(&self) -> String {
        match self {
            Self::World(path) => path.as_str().to_owned(),
            Self::Links(query) => query.name().to_owned(),
        }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::World(a), Self::World(b)) => a == b,
            (Self::Links(a), Self::Links(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for Target {}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::World(path) => path.hash(state),
            Self::Links(query) => Arc::as_ptr(query).hash(state),
        }
    }
}

impl Watch {
    /// Whether its observer may see the resource, by the tokens of now.
    pub fn is_allowed(&self, door: &Door) -> bool {
        let action = match &self.target {
            Target::World(path) => Action::Read(path),
            Target::Links(_) => Action::Look,
        };
        door.tokens().may(&door.identify(&self.proof), action).is_ok()
    }

    /// The number that this state is told under. A change during the look at a list may have none of
    /// its own yet, and an observer drops what comes under a number it has (RFC 7641 §3.4).
    pub fn next(&self, state: &State) -> u64 {
        let changed = matches!(self.target, Target::Links(_)) && self.etag != state.version.etag;
        state.seq.max(self.seq + u64::from(changed))
    }

    /// Whether the observer has this state or a newer one. A list names its version by its text
    /// alone: not every event shows in it.
    pub fn is_told(&self, state: &State) -> bool {
        match self.target {
            Target::World(_) => self.seq >= state.seq,
            Target::Links(_) => self.etag == state.version.etag,
        }
    }

    /// The notification of a state under number `seq`; with more blocks to come, the version they
    /// belong to.
    pub fn notification(&self, state: &State, seq: u64) -> (Reply, Option<Version>) {
        let version = &state.version;
        let size = version.body.size();
        let room = self.budget.map_or(SINGLE, |budget| budget.saturating_sub(OVERHEAD));
        let szx = self.szx.min(LARGEST).min(szx_within(room).unwrap_or(0));
        let block = Block { number: 0, more: false, szx };
        let whole = if self.asked_blocks { block.size() } else { SINGLE.min(room) };
        let mut reply = version.describe(Code::CONTENT);
        reply.observe = Some(sequence(seq));
        if size <= whole as u64 {
            reply.payload = state.start.clone();
            return (reply, None);
        }
        reply.payload = state.start.slice(..block.size().min(state.start.len()));
        reply.block2 = Some(Block { more: true, ..block });
        reply.size2 = u32::try_from(size).ok();
        (reply, Some(version.clone()))
    }
}

impl Version {
    /// The version that a head names.
    pub fn of(head: &Arc<Head>) -> Self {
        Self {
            body: Content::World(head.clone()),
            // A world whose chain does not hold has nothing to name its version by.
            etag: head.fault.is_none().then(|| etag(&head.tag)),
            format: format::number(&head.content_type),
            max_age: max_age(head),
        }
    }

    /// A text of the door's own, named by itself.
    pub fn of_text(text: String, format: u16) -> Self {
        let mut etag = ETag::default();
        let length = etag.len();
        etag.copy_from_slice(&Sha256::digest(&text)[..length]);
        let body = Content::Text(text.into());
        Self { body, etag: Some(etag), format: Some(format), max_age: None }
    }

    /// A response without payload that tells of this version.
    pub fn describe(&self, code: Code) -> Reply {
        Reply { etag: self.etag, format: self.format, max_age: self.max_age, ..Reply::new(code) }
    }
}

/// Seconds, from the world's cache-control.
fn max_age(head: &Head) -> Option<u32> {
    let (_, value) = head.headers.iter().find(|(name, _)| name == "cache-control")?;
    value.split(',').find_map(|part| {
        let (name, seconds) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| seconds.trim().parse().ok())?
    })
}
