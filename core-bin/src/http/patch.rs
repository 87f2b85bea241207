//! PATCH: changes to a JSON world by RFC 7396 or RFC 6902.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::reply::{self, Reply};
use super::{Door, conditional, key, take, world};
use crate::access::Action;
use crate::engine::{Patch, Refusal};
use crate::path::WorldPath;

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const KINDS: HeaderValue =
    HeaderValue::from_static("application/merge-patch+json, application/json-patch+json");

/// How a patch is written.
type Read = fn(&[u8]) -> Result<Patch, Refusal>;

pub async fn answer(
    door: &Arc<Door>,
    parts: &Parts,
    path: WorldPath,
    body: &mut Incoming,
) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Write(&path))?;
    let read = kind(parts).ok_or_else(unsupported)?;
    let caller = key::caller(parts, &who)?;
    let max = door.engine.settings().max_world_bytes;
    let text = take::whole(door, body, max).await?;
    let refused = |refusal| reply::refused(&refusal);
    let patch = read(&text).map_err(refused)?;
    let conditions = conditional::of_write(&parts.headers);
    let done = door.engine.patch(&path, &patch, &conditions, &caller).await.map_err(refused)?;
    Ok(world::written(&path, &done, StatusCode::OK))
}

fn kind(parts: &Parts) -> Option<Read> {
    let text = parts.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/merge-patch+json" => Some(Patch::merge),
        "application/json-patch+json" => Some(Patch::ops),
        _ => None,
    }
}

fn unsupported() -> Reply {
    let line = "unsupported media type: PATCH takes application/merge-patch+json or \
                application/json-patch+json";
    let mut reply = reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, line);
    reply.headers_mut().insert(ACCEPT_PATCH, KINDS);
    reply
}
