//! Kept versions of a world: `/proc/history/<world>`, and putting one back.

use std::fmt::Write;
use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::body::Body;
use super::reply::{self, Reply};
use super::{Door, conditional, key, list, query, route, world};
use crate::access::Action;
use crate::engine::{At, Head};
use crate::path::WorldPath;
use crate::time::{self, rfc3339};

/// Versions in one answer, if the query does not say otherwise, and at the most.
const PAGE: u64 = 1000;

/// GET lists versions or, with `?at=`, shows one; POST with `?at=` makes it the newest again.
pub async fn answer(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    let path = route::world(encoded).map_err(reply::bad_path)?;
    let at = at(parts)?;
    if parts.method == Method::POST {
        let Some(at) = at else { return Err(reply::bad_request("which version? say ?at=")) };
        return revert(door, parts, &path, at).await;
    }
    door.admit(parts, Action::Read(&path))?;
    let Some(at) = at else { return versions(door, parts, &path).await };
    let found = door.engine.version(&path, at).await.map_err(|refusal| reply::refused(&refusal))?;
    world::represent(door, parts, &found.ok_or_else(not_kept)?)
}

/// The id of an event of the chain, or a time.
fn at(parts: &Parts) -> Result<Option<At>, Reply> {
    let Some(text) = query::text(parts.uri.query(), "at")? else { return Ok(None) };
    let event = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let at = event.map(At::Event).or_else(|| time::parse(&text).map(At::Time));
    at.map(Some).ok_or_else(|| {
        reply::bad_request(format_args!(
            "at must be the id of an event or an RFC 3339 time; got {text:?}"
        ))
    })
}

fn not_kept() -> Reply {
    reply::error(StatusCode::NOT_FOUND, "no such version is kept")
}

async fn versions(door: &Arc<Door>, parts: &Parts, path: &WorldPath) -> Result<Reply, Reply> {
    let before = query::number(parts.uri.query(), "before")?.unwrap_or(u64::MAX);
    let limit = query::number(parts.uri.query(), "limit")?.unwrap_or(PAGE).min(PAGE) as usize;
    let found = door.engine.versions(path, before, limit).await;
    let found = found.map_err(|refusal| reply::refused(&refusal))?;
    let json = list::wants_json(&parts.headers);
    let mut text = String::new();
    for version in &found {
        if json { as_json(&mut text, version) } else { as_text(&mut text, version) }
    }
    let mut reply = Reply::new(Body::full(text));
    let kind = if json { "application/jsonl" } else { "text/plain; charset=utf-8" };
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(reply)
}

/// Event, number, time, size, etag and type, by tabs.
fn as_text(out: &mut String, head: &Head) {
    let (event, seq, size, tag) = (head.row.event_id, head.seq, head.size, head.tag);
    let time = rfc3339(head.modified_us);
    let _ = writeln!(out, "{event}\t{seq}\t{time}\t{size}\t{tag}\t{}", head.content_type);
}

fn as_json(out: &mut String, head: &Head) {
    let line = serde_json::json!({
        "event": head.row.event_id,
        "seq": head.seq,
        "time": rfc3339(head.modified_us),
        "size": head.size,
        "etag": head.tag.to_string(),
        "type": &*head.content_type,
    });
    let _ = writeln!(out, "{line}");
}

async fn revert(door: &Arc<Door>, parts: &Parts, path: &WorldPath, at: At) -> Result<Reply, Reply> {
    door.admit(parts, Action::Write(path))?;
    let who = door.admit(parts, Action::Delete(path))?;
    let caller = key::caller(parts, &who)?;
    let conditions = conditional::of_write(&parts.headers);
    let done = door.engine.revert(path, at, &conditions, &caller).await;
    let done = done.map_err(|refusal| reply::refused(&refusal))?.ok_or_else(not_kept)?;
    Ok(world::written(path, &done, StatusCode::OK))
}
