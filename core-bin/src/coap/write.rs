//! PUT, POST, DELETE and the PATCH methods; bodies come whole or in blocks (RFC 7959 §2.5).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::block::Block;
use super::codec::Code;
use super::format;
use super::reply::{self, Reply, etag};
use super::uploads::{Gap, Name};
use super::{Call, Door, lock};
use crate::access::Action;
use crate::engine::{
    Caller, Conditions, Done, NewBody, NewBytes, Op, Patch, Refusal, Tags, Verb, Write,
};
use crate::path::WorldPath;

/// How often an append to a world that comes and goes is tried.
const ATTEMPTS: usize = 4;

/// PUT replaces; POST appends, and makes the world when there is none.
pub async fn world(door: &Door, call: &Call, path: WorldPath) -> Result<Reply, Reply> {
    door.may(call, Action::Write(&path))?;
    let content_type = match call.request.format {
        None => format::OCTETS.to_owned(),
        Some(number) => format::media_type(number).ok_or_else(|| {
            Reply::error(Code::UNSUPPORTED_FORMAT, "experimental content formats are not kept\n")
        })?,
    };
    let body = match take(door, call, &path).await? {
        Taken::Body(body) => body,
        Taken::More(reply) => return Ok(reply),
    };
    let conditions = conditions(door, call, &path).await?;
    let put =
        |body| Verb::Put { body, content_type: content_type.as_str().into(), headers: [].into() };
    let done = if call.code == Code::PUT {
        commit(door, call, &path, put(body), conditions).await
    } else {
        append(door, call, &path, body, conditions, put).await
    };
    let done = done.map_err(|refusal| reply::refused(&refusal))?;
    let mut reply = Reply::new(if done.created { Code::CREATED } else { Code::CHANGED });
    reply.etag = done.tag.as_ref().map(etag);
    reply.block1 = call.request.block1;
    reply.location = (done.created && call.code == Code::POST).then(|| path.into());
    Ok(reply)
}

async fn append(
    door: &Door,
    call: &Call,
    path: &WorldPath,
    body: NewBody,
    conditions: Conditions,
    put: impl Fn(NewBody) -> Verb,
) -> Result<Done, Refusal> {
    for _ in 0..ATTEMPTS {
        let verb = Verb::Append { body: body.clone() };
        match commit(door, call, path, verb, conditions.clone()).await {
            Err(Refusal::NotFound) => {}
            answer => return answer,
        }
        let absent = Some(Tags { any: true, ..Tags::default() });
        let conditions = Conditions { if_none_match: absent, ..conditions.clone() };
        match commit(door, call, path, put(body.clone()), conditions).await {
            // Somebody else was first: there is something to append to now.
            Err(Refusal::AlreadyThere) if !call.request.if_none_match => {}
            answer => return answer,
        }
    }
    Err(Refusal::Overloaded)
}

/// Idempotent: a world that is not there is deleted (RFC 7252 §5.8.4).
pub async fn delete(door: &Door, call: &Call, path: WorldPath) -> Result<Reply, Reply> {
    door.may(call, Action::Delete(&path))?;
    let conditions = conditions(door, call, &path).await?;
    match commit(door, call, &path, Verb::Delete, conditions).await {
        Ok(_) | Err(Refusal::NotFound) => Ok(Reply::new(Code::DELETED)),
        Err(refusal) => Err(reply::refused(&refusal)),
    }
}

/// PATCH and iPATCH (RFC 8132) with a JSON patch or a merge patch.
pub async fn patch(door: &Door, call: &Call, path: WorldPath) -> Result<Reply, Reply> {
    door.may(call, Action::Write(&path))?;
    let parse = match call.request.format {
        Some(format::MERGE_PATCH) => Patch::merge,
        Some(format::JSON_PATCH) => Patch::ops,
        _ => {
            let line = "a patch has content format 52 (merge patch) or 51 (JSON patch)\n";
            return Err(Reply::error(Code::UNSUPPORTED_FORMAT, line));
        }
    };
    let body = match take(door, call, &path).await? {
        Taken::Body(body) => body,
        Taken::More(reply) => return Ok(reply),
    };
    let NewBytes::Chunks(chunks) = &body.bytes else {
        return Err(Reply::error(Code::TOO_LARGE, "a patch has at most 256 KiB\n"));
    };
    let bytes = chunks.iter().fold(BytesMut::new(), |mut all, chunk| {
        all.extend_from_slice(chunk);
        all
    });
    let caller = Caller { writer: call.who.name.clone(), key: call.key(&path) };
    let conditions = conditions(door, call, &path).await?;
    let done = match parse(&bytes) {
        Ok(patch) => door.engine.patch(&path, &patch, &conditions, &caller).await,
        Err(refusal) => Err(refusal),
    };
    let done = done.map_err(|refusal| reply::refused(&refusal))?;
    let mut reply = Reply::new(if done.created { Code::CREATED } else { Code::CHANGED });
    reply.etag = done.tag.as_ref().map(etag);
    reply.block1 = call.request.block1;
    Ok(reply)
}

/// One op through the one commit path, under the operation's key.
async fn commit(
    door: &Door,
    call: &Call,
    path: &WorldPath,
    verb: Verb,
    conditions: Conditions,
) -> Result<Done, Refusal> {
    let op = Op { path: path.clone(), verb, conditions, link: None };
    let (writer, key) = (call.who.name.clone(), call.key(path));
    let done = door.engine.write(Write { ops: vec![op], writer, key, ..Write::default() }).await?;
    done.into_iter().next().ok_or_else(|| Refusal::Storage("no answer to a write".into()))
}

/// The conditions of a write. The engine judges them; a tag that matches nothing is handed on too,
/// since an operation that was done before is answered before its conditions are looked at.
async fn conditions(door: &Door, call: &Call, path: &WorldPath) -> Result<Conditions, Reply> {
    let mut conditions = Conditions::default();
    if call.request.if_none_match {
        conditions.if_none_match = Some(Tags { any: true, ..Tags::default() });
    }
    let Some(tags) = &call.request.if_match else { return Ok(conditions) };
    let any = tags.iter().any(Bytes::is_empty);
    let mut strong = Vec::new();
    if !any {
        let head = door.engine.head(path).await.map_err(|refusal| reply::refused(&refusal))?;
        let current = head.map(|head| head.tag);
        // Eight bytes name the version here; the whole tag is what the engine holds it to.
        strong.extend(current.filter(|tag| tags.iter().any(|asked| etag(tag) == **asked)));
    }
    conditions.if_match = Some(Tags { any, strong, ..Tags::default() });
    Ok(conditions)
}

enum Taken {
    Body(NewBody),
    /// 2.31: the next block, please.
    More(Reply),
}

/// The body of a request, once its last block is here.
async fn take(door: &Door, call: &Call, path: &WorldPath) -> Result<Taken, Reply> {
    let request = &call.request;
    let max = door.engine.settings().max_world_bytes;
    if request.size1.is_some_and(|size| u64::from(size) > max) {
        return Err(reply::too_large(max));
    }
    let Some(block) = request.block1 else {
        return Ok(Taken::Body(NewBody::whole(request.payload.clone())));
    };
    let length = request.payload.len();
    if length > block.size() || (block.more && length != block.size()) {
        return Err(Reply::error(Code::BAD_REQUEST, "the block is not as long as it says\n"));
    }
    if block.number == 0 && !block.more {
        return Ok(Taken::Body(NewBody::whole(request.payload.clone())));
    }
    next_block(door, call, path, block).await
}

async fn next_block(
    door: &Door,
    call: &Call,
    path: &WorldPath,
    block: Block,
) -> Result<Taken, Reply> {
    let request = &call.request;
    let name = Name {
        peer: call.peer,
        who: call.who.name.clone(),
        method: call.code.0,
        path: path.clone(),
        request_tag: request.request_tag.clone(),
    };
    let taken =
        lock(&door.uploads).take(&name, block.offset(), request.format, Instant::now(), || {
            door.engine.upload(path)
        });
    let mut partial = match taken {
        Ok(partial) => partial,
        Err(gap) => return missing(door, call, path, block, gap).await,
    };
    let refused = |refusal: Refusal| reply::refused(&refusal);
    partial.upload.push(request.payload.clone()).await.map_err(refused)?;
    if !block.more {
        return partial.upload.finish().await.map(Taken::Body).map_err(refused);
    }
    partial.at += request.payload.len() as u64;
    lock(&door.uploads).keep(name, partial, Instant::now());
    Ok(Taken::More(Reply { block1: Some(block), ..Reply::new(Code::CONTINUE) }))
}

/// The answer to a write that was committed before a restart, if this is one: then its datagram is
/// repeated, and not a new request.
pub async fn done_before(door: &Door, call: &Call) -> Option<Reply> {
    if matches!(call.code, Code::GET | Code::FETCH) || call.request.path.odd {
        return None;
    }
    recalled(door, call, &WorldPath::parse(&call.request.path.text).ok()?).await
}

/// What was answered under this operation's key; a condition that never holds asks for it.
async fn recalled(door: &Door, call: &Call, path: &WorldPath) -> Option<Reply> {
    call.key(path)?;
    let conditions = Conditions { seq: Some(u64::MAX), ..Conditions::default() };
    let nothing = Verb::Append { body: NewBody::whole(Bytes::new()) };
    let done = commit(door, call, path, nothing, conditions).await.ok()?;
    let code = match call.code {
        Code::DELETE => Code::DELETED,
        _ if done.created => Code::CREATED,
        _ => Code::CHANGED,
    };
    let location = (code == Code::CREATED && call.code == Code::POST).then(|| path.clone().into());
    let etag = done.tag.as_ref().map(etag).filter(|_| code != Code::DELETED);
    Some(Reply { etag, location, block1: call.request.block1, ..Reply::new(code) })
}

/// A block whose beginning is not here, unless it is the last one of an upload that was committed
/// before a restart.
async fn missing(
    door: &Door,
    call: &Call,
    path: &WorldPath,
    block: Block,
    gap: Gap,
) -> Result<Taken, Reply> {
    if !block.more
        && let Some(reply) = recalled(door, call, path).await
    {
        return Ok(Taken::More(reply));
    }
    let line = match gap {
        Gap::Incomplete => "the blocks before this one are not here\n",
        Gap::TooMany => "too many transfers at a time\n",
    };
    Err(Reply::error(gap.code(), line))
}
