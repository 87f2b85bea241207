//! From a request to a response: the method, the path, the verb.

use std::sync::Arc;

use super::codec::Code;
use super::reply::{self, Reply};
use super::watch::Watch;
use super::{Call, Door, fetch, links, read, write};
use crate::path::WorldPath;

/// Where RFC 6690 puts the list of resources; no world has this name.
pub const WELL_KNOWN: &str = ".well-known/core";

/// A response, and what the client wants to hear from now on.
pub struct Outcome {
    pub reply: Reply,
    pub watch: Option<Watch>,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self { reply, watch: None }
    }
}

/// Answers one request.
pub async fn answer(door: Arc<Door>, call: Call) -> Outcome {
    let mut outcome = match dispatch(&door, &call).await {
        Ok(outcome) => outcome,
        Err(reply) => reply.into(),
    };
    outcome.reply = call.within_budget(&door, outcome.reply);
    outcome
}

/// An `Err` is an answer too, reached early.
async fn dispatch(door: &Door, call: &Call) -> Result<Outcome, Reply> {
    if !matches!(
        call.code,
        Code::GET
            | Code::PUT
            | Code::POST
            | Code::DELETE
            | Code::FETCH
            | Code::PATCH
            | Code::IPATCH
    ) {
        return Err(reply::method_not_allowed());
    }
    if let Some(challenge) = call.proof.shield.as_ref().and_then(|shield| shield.challenge()) {
        return write::done_before(door, call).await.map(Outcome::from).ok_or(challenge);
    }
    let path = &call.request.path;
    if path.odd {
        return Err(reply::bad_path());
    }
    if path.text == WELL_KNOWN {
        if call.code != Code::GET {
            return Err(reply::method_not_allowed());
        }
        return links::answer(door, call).await;
    }
    let path = WorldPath::parse(&path.text).map_err(|_| reply::bad_path())?;
    match call.code {
        Code::GET => read::world(door, call, path).await,
        Code::FETCH => fetch::world(door, call, path).await,
        Code::DELETE => write::delete(door, call, path).await.map(Outcome::from),
        Code::PATCH | Code::IPATCH => write::patch(door, call, path).await.map(Outcome::from),
        _ => write::world(door, call, path).await.map(Outcome::from),
    }
}
