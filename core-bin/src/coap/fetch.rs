//! FETCH (RFC 8132 §2): the records of a SenML world that a Fetch Pack names (RFC 8790 §3).

use sha2::{Digest, Sha256};

use super::codec::Code;
use super::pins::{Reader, Version};
use super::reply::{self, Reply};
use super::verbs::Outcome;
use super::{Call, Door, format, read, senml};
use crate::access::Action;
use crate::path::WorldPath;

/// Bytes of a world that is searched.
const MOST: u64 = 1 << 20;

/// Chooses from a world. It is not observed: the world itself can be.
pub async fn world(door: &Door, call: &Call, path: WorldPath) -> Result<Outcome, Reply> {
    door.may(call, Action::Read(&path))?;
    let refused = |code, line: &'static str| Reply::error(code, line);
    let request = &call.request;
    if request.format != Some(format::SENML_ETCH) {
        let line = "FETCH takes a SenML fetch pack, content format 320\n";
        return Err(refused(Code::UNSUPPORTED_FORMAT, line));
    }
    if request.block1.is_some_and(|block| block.more || block.number > 0) {
        return Err(refused(Code::TOO_LARGE, "a fetch pack comes in one datagram\n"));
    }
    let wanted = senml::wanted(&request.payload);
    let wanted = wanted.ok_or_else(|| refused(Code::BAD_REQUEST, "this is no fetch pack\n"))?;
    let digest = Sha256::digest(&request.payload);
    let reader = Reader { peer: call.peer, target: format!("{}\0{digest:x?}", path.as_str()) };
    if let Some(reply) = read::later_block(door, call, &reader).await {
        return reply.map(Outcome::from);
    }
    let head = door.engine.head(&path).await.map_err(|refusal| reply::refused(&refusal))?;
    let head = head.ok_or_else(reply::not_found)?;
    let whole = Version::of(&head);
    if whole.format != Some(format::SENML) {
        let line = "the world is no SenML pack, content format 110\n";
        return Err(refused(Code::UNSUPPORTED_FORMAT, line));
    }
    if head.size > MOST {
        return Err(refused(Code::UNPROCESSABLE, "the world is too large to choose from\n"));
    }
    let length = head.size as usize;
    let body = read::from_store(door, &head, 0, length).await;
    let body = body.map_err(|refusal| reply::refused(&refusal))?.slice(..length);
    let chosen = senml::select(&body, &wanted);
    let chosen =
        chosen.ok_or_else(|| refused(Code::UNPROCESSABLE, "the world is no SenML pack\n"))?;
    let version = Version { max_age: whole.max_age, ..Version::of_text(chosen, format::SENML) };
    read::first(door, call, reader, &version).await.map(Outcome::from)
}
