//! Responses: their options in one place, their texts, and what the engine's refusals become.

use bytes::Bytes;

use super::block::Block;
use super::codec::{Code, Kind, MAX_TOKEN, Token, Writer};
use super::oscore::{Piv, Value};
use super::{format, option};
use crate::access::Denied;
use crate::engine::{Refusal, Tag};
use crate::path::WorldPath;

/// Bytes of a tag that are its ETag here (RFC 7252 §5.10.6 allows eight).
pub type ETag = [u8; 8];

/// How a response is sealed (RFC 8613 §5.2): by the request's number, or by one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    None,
    AsAsked,
    Numbered(Piv),
}

/// A response without what ties it to its request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub code: Code,
    pub etag: Option<ETag>,
    pub observe: Option<u32>,
    /// Boxed, since it is rare, and answers are handed around.
    pub location: Option<Box<WorldPath>>,
    /// Whether the rest is sealed in the payload.
    pub seal: Seal,
    pub format: Option<u16>,
    /// Seconds.
    pub max_age: Option<u32>,
    pub block2: Option<Block>,
    pub block1: Option<Block>,
    /// Bytes of the whole body.
    pub size2: Option<u32>,
    /// Bytes of the largest body that would be taken.
    pub size1: Option<u32>,
    pub echo: Option<ETag>,
    pub payload: Bytes,
}

impl Reply {
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            etag: None,
            observe: None,
            location: None,
            seal: Seal::None,
            format: None,
            max_age: None,
            block2: None,
            block1: None,
            size2: None,
            size1: None,
            echo: None,
            payload: Bytes::new(),
        }
    }

    /// A refusal with a line for people; 8.3 marks such lines as text.
    pub fn error(code: Code, line: impl Into<Bytes>) -> Self {
        Self { format: Some(format::TEXT), payload: line.into(), ..Self::new(code) }
    }

    /// Bytes of the message with the longest token there is.
    pub fn longest(&self) -> usize {
        MAX_TOKEN + self.encode(Kind::Acknowledgement, 0, Token::default()).len()
    }

    pub fn encode(&self, kind: Kind, mid: u16, token: Token) -> Bytes {
        let mut out = Writer::new(kind, self.code, mid, token);
        let integer = |out: &mut Writer, number, value: Option<u32>| {
            if let Some(value) = value {
                out.uint(number, value);
            }
        };
        if let Some(etag) = &self.etag {
            out.option(option::ETAG, etag);
        }
        integer(&mut out, option::OBSERVE, self.observe);
        for segment in self.location.iter().flat_map(|path| path.as_str().split('/')) {
            out.option(option::LOCATION_PATH, segment.as_bytes());
        }
        match self.seal {
            Seal::None => {}
            Seal::AsAsked => out.option(option::OSCORE, &[]),
            Seal::Numbered(piv) => out.option(option::OSCORE, &Value::of_response(piv)),
        }
        integer(&mut out, option::CONTENT_FORMAT, self.format.map(u32::from));
        integer(&mut out, option::MAX_AGE, self.max_age);
        integer(&mut out, option::BLOCK2, self.block2.map(Block::value));
        integer(&mut out, option::BLOCK1, self.block1.map(Block::value));
        integer(&mut out, option::SIZE2, self.size2);
        integer(&mut out, option::SIZE1, self.size1);
        if let Some(echo) = &self.echo {
            out.option(option::ECHO, echo);
        }
        out.finish(&self.payload)
    }
}

/// The first eight bytes of what names the version.
pub fn etag(tag: &Tag) -> ETag {
    let (Tag::Hmac(hash) | Tag::Sha256(hash)) = tag;
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}

pub fn not_found() -> Reply {
    Reply::error(Code::NOT_FOUND, "not found\n")
}

pub fn bad_path() -> Reply {
    Reply::error(Code::BAD_REQUEST, "bad world name\n")
}

pub fn method_not_allowed() -> Reply {
    Reply::error(Code::METHOD_NOT_ALLOWED, "method not allowed\n")
}

pub fn precondition_failed(why: &str) -> Reply {
    Reply::error(Code::PRECONDITION_FAILED, format!("precondition failed: {why}\n"))
}

/// 4.13 with the limit.
pub fn too_large(max: u64) -> Reply {
    let reply = Reply::error(Code::TOO_LARGE, format!("payload too large: max bytes {max}\n"));
    Reply { size1: Some(u32::try_from(max).unwrap_or(u32::MAX)), ..reply }
}

/// 4.01 for whom nobody knows, 4.03 for a token that is not good enough.
pub fn denied(denied: Denied) -> Reply {
    if denied.known {
        return Reply::error(Code::FORBIDDEN, format!("forbidden: {}\n", denied.why));
    }
    Reply::error(Code::UNAUTHORIZED, "unauthorized\n")
}

/// Try again in a second.
pub fn busy(code: Code, line: &'static str) -> Reply {
    Reply { max_age: Some(1), ..Reply::error(code, line) }
}

/// What a refusal of the engine is on this wire.
pub fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::NotFound => not_found(),
        Refusal::NothingToMatch => precondition_failed("If-Match requires an existing world"),
        Refusal::Mismatch => precondition_failed("If-Match did not match the current ETag"),
        Refusal::AlreadyThere => precondition_failed("the world exists"),
        Refusal::WrongOffset(size) => precondition_failed(&format!("world ends at byte {size}")),
        Refusal::TooLarge { max } | Refusal::MemoryFull { quota: max } => too_large(*max),
        Refusal::StorageFull { .. } => Reply::error(Code::STORAGE_FULL, "storage quota exceeded\n"),
        Refusal::DiskFull => Reply::error(Code::STORAGE_FULL, "disk full\n"),
        Refusal::Busy => busy(Code::UNAVAILABLE, "storage temporarily unavailable\n"),
        Refusal::Overloaded => busy(Code::UNAVAILABLE, "too many writes wait\n"),
        Refusal::OutcomeUnknown => {
            Reply::error(Code::UNAVAILABLE, "outcome unknown: read before writing again\n")
        }
        Refusal::Stopped(_) => Reply::error(Code::UNAVAILABLE, "storage stopped\n"),
        Refusal::Protected => Reply::error(Code::FORBIDDEN, "delete ledger is append-only\n"),
        Refusal::Quarantined(_) => Reply::error(Code::CONFLICT, "world set aside\n"),
        Refusal::Storage(_) => Reply::error(Code::INTERNAL_ERROR, "storage failure\n"),
        Refusal::TooMany { .. } => Reply::error(Code::TOO_LARGE, "group too large\n"),
        Refusal::BadPath(_) => bad_path(),
        Refusal::Unprocessable(why) => Reply::error(Code::UNPROCESSABLE, format!("{why}\n")),
        Refusal::Conflict(why) => Reply::error(Code::CONFLICT, format!("{why}\n")),
    }
}
