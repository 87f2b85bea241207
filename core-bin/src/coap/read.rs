//! GET: a world, whole or one block of it (RFC 7959 §2.4).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::block::{Block, LARGEST, szx_within};
use super::codec::{Code, Kind, MAX_TOKEN, Token};
use super::pins::{Content, Reader, Version};
use super::reply::{self, Reply};
use super::verbs::Outcome;
use super::watch::{Target, Watch, sequence};
use super::{Call, Door, lock};
use crate::access::Action;
use crate::engine::{Head, Refusal};
use crate::path::WorldPath;

/// The largest body that goes in one datagram unasked: 8.3's limit (core.md §7).
pub const SINGLE: usize = 1144;

pub async fn world(door: &Door, call: &Call, path: WorldPath) -> Result<Outcome, Reply> {
    door.may(call, Action::Read(&path))?;
    let reader = Reader { peer: call.peer, target: path.as_str().to_owned() };
    if let Some(reply) = later_block(door, call, &reader).await {
        return reply.map(Outcome::from);
    }
    let head = door.engine.head(&path).await.map_err(|refusal| reply::refused(&refusal))?;
    let Some(head) = head else { return Err(reply::not_found()) };
    let version = Version::of(&head);
    let reply = first(door, call, reader, &version).await?;
    Ok(watched(call, reply, Target::World(path), &version, head.seq))
}

/// A version as the client wants it: the conditions, then what it does not have yet.
pub async fn first(
    door: &Door,
    call: &Call,
    reader: Reader,
    version: &Version,
) -> Result<Reply, Reply> {
    check(call, version)?;
    if holds(call, version) {
        return Ok(Reply {
            max_age: version.max_age,
            etag: version.etag,
            ..Reply::new(Code::VALID)
        });
    }
    send(door, call, reader, version.clone()).await
}

/// The answer to a GET with, if it asks for one, the observation that it begins.
pub fn watched(call: &Call, reply: Reply, target: Target, version: &Version, seq: u64) -> Outcome {
    let request = &call.request;
    if request.observe != Some(0) || request.block2.is_some_and(|block| block.number > 0) {
        return reply.into();
    }
    let watch = Watch {
        target,
        seq,
        etag: version.etag,
        format: version.format,
        szx: reply.block2.or(request.block2).map_or(LARGEST, |block| block.szx),
        asked_blocks: request.block2.is_some(),
        proof: call.proof.clone(),
        budget: call.budget,
    };
    let reply = Reply { observe: Some(sequence(seq)), ..reply };
    Outcome { reply, watch: Some(watch) }
}

/// The conditions of a read: what the client takes, and which version it wants.
fn check(call: &Call, version: &Version) -> Result<(), Reply> {
    let request = &call.request;
    if request.accept.is_some_and(|accept| version.format != Some(accept)) {
        return Err(not_acceptable());
    }
    if request.if_none_match {
        return Err(reply::precondition_failed("the world exists"));
    }
    let matches = |tag: &Bytes| tag.is_empty() || version.etag.is_some_and(|own| own == **tag);
    if request.if_match.as_ref().is_some_and(|tags| !tags.iter().any(matches)) {
        return Err(reply::precondition_failed("If-Match did not match the current ETag"));
    }
    Ok(())
}

pub fn not_acceptable() -> Reply {
    Reply::error(Code::NOT_ACCEPTABLE, "there is no representation in this format\n")
}

/// Whether the client has this version already.
fn holds(call: &Call, version: &Version) -> bool {
    let later = call.request.block2.is_some_and(|block| block.number > 0);
    !later && version.etag.is_some_and(|own| call.request.etags.iter().any(|tag| own == **tag))
}

/// A later block of the version that this reader began with, if that is known still.
pub async fn later_block(
    door: &Door,
    call: &Call,
    reader: &Reader,
) -> Option<Result<Reply, Reply>> {
    let block = call.request.block2.filter(|block| block.number > 0)?;
    let (version, ahead) = lock(&door.pins).get(reader, Instant::now())?;
    Some(block_of(door, call, reader, version, block, ahead).await)
}

/// The first answer to a GET: the whole body if it may be, else its first block.
pub async fn send(
    door: &Door,
    call: &Call,
    reader: Reader,
    version: Version,
) -> Result<Reply, Reply> {
    let size = version.body.size();
    let room = room(call, &version);
    match call.request.block2 {
        None if size <= SINGLE.min(room) as u64 => {
            let payload = bytes(door, &version, 0, size as usize, &(0, Bytes::new())).await?;
            let size2 = call.request.size2.then_some(size as u32);
            let payload = payload.slice(..size as usize);
            Ok(Reply { payload, size2, ..version.describe(Code::CONTENT) })
        }
        asked => {
            let block = asked.unwrap_or(Block { number: 0, more: false, szx: LARGEST });
            block_of(door, call, &reader, version, block, (0, Bytes::new())).await
        }
    }
}

/// Bytes of payload that the response may have.
fn room(call: &Call, version: &Version) -> usize {
    let Some(budget) = call.budget else { return usize::MAX };
    let mut reply = version.describe(Code::CONTENT);
    reply.block2 = Some(Block { number: 1 << 19, more: true, szx: LARGEST });
    reply.size2 = Some(u32::MAX);
    reply.observe = Some(u32::MAX >> 8);
    reply.echo = Some([0; 8]);
    let bare = reply.encode(Kind::Acknowledgement, 0, Token::default()).len();
    budget.saturating_sub(bare + MAX_TOKEN + 1)
}

async fn block_of(
    door: &Door,
    call: &Call,
    reader: &Reader,
    version: Version,
    asked: Block,
    ahead: (u64, Bytes),
) -> Result<Reply, Reply> {
    let bad = |line: &'static str| Reply::error(Code::BAD_REQUEST, line);
    let (size, now) = (version.body.size(), Instant::now());
    // An address that has proved nothing gets smaller blocks, never a refusal it cannot answer.
    let szx = szx_within(room(call, &version)).unwrap_or(0);
    let block = asked.shrunk(szx);
    if block.offset() >= size && block.number > 0 {
        return Err(bad("there is no such block\n"));
    }
    if !block.reaches(size) {
        return Err(bad("the body is too large for blocks of this size\n"));
    }
    let end = size.min(block.offset() + block.size() as u64);
    let length = (end - block.offset()) as usize;
    let more = end < size;
    let read = bytes(door, &version, block.offset(), length, &ahead).await?;
    let payload = read.slice(..length);
    let mut reply =
        Reply { block2: Some(Block { more, ..block }), payload, ..version.describe(Code::CONTENT) };
    if block.number == 0 {
        reply.size2 = u32::try_from(size).ok();
    }
    if call.budget.is_some() {
        reply.echo = Some(lock(&door.echo).value(call.peer, now));
    }
    let mut pins = lock(&door.pins);
    if more {
        pins.put(reader.clone(), version, (block.offset(), read), now);
    } else {
        pins.remove(reader);
    }
    Ok(reply)
}

/// At least `length` bytes from `offset` on, from what was read ahead or anew.
async fn bytes(
    door: &Door,
    version: &Version,
    offset: u64,
    length: usize,
    (start, ahead): &(u64, Bytes),
) -> Result<Bytes, Reply> {
    let skipped = offset.checked_sub(*start).and_then(|skip| usize::try_from(skip).ok());
    if let Some(skip) = skipped
        && ahead.len() >= skip + length
    {
        return Ok(ahead.slice(skip..));
    }
    match &version.body {
        Content::Text(text) => Ok(text.slice(offset as usize..)),
        Content::World(head) => {
            from_store(door, head, offset, length).await.map_err(|refusal| reply::refused(&refusal))
        }
    }
}

/// At least `length` bytes of a world from `offset` on.
pub async fn from_store(
    door: &Door,
    head: &Head,
    offset: u64,
    length: usize,
) -> Result<Bytes, Refusal> {
    let mut reader = door.engine.read(head, offset, head.size);
    let first = match reader.ready() {
        Some(bytes) => bytes,
        None => reader.next().await?.unwrap_or_default(),
    };
    if first.len() >= length {
        return Ok(first);
    }
    let mut all = BytesMut::from(&first[..]);
    while all.len() < length
        && let Some(next) = reader.next().await?
    {
        all.extend_from_slice(&next);
    }
    if all.len() < length {
        return Err(Refusal::Storage("the body ends early".into()));
    }
    Ok(all.freeze())
}
