//! `/proc/audit/anchor`, `/proc/audit/verify`, `/proc/audit/set-aside`: the audit of the whole store.

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;

use super::body::Body;
use super::reply::{self, Reply};
use super::route::Whole;
use super::{Door, list};
use crate::access::{Action, Identity};
use crate::engine::Line;
use crate::path::WorldPath;

/// Lines that may wait for the client.
const WAITING: usize = 64;

pub async fn answer(door: &Arc<Door>, parts: &Parts, page: Whole) -> Result<Reply, Reply> {
    match page {
        Whole::Anchor => anchor(door, parts).await,
        Whole::Verify => verify(door, parts),
        Whole::SetAside => set_aside(door, parts).await,
    }
}

/// The anchor's one line, or an object with its parts.
async fn anchor(door: &Door, parts: &Parts) -> Result<Reply, Reply> {
    door.admit(parts, Action::Survey)?;
    let anchor = door.engine.anchor().await.map_err(|refusal| reply::refused(&refusal))?;
    if list::wants_json(&parts.headers) {
        return Ok(lines(Body::full(format!("{}\n", anchor.to_json()))));
    }
    Ok(reply::text(StatusCode::OK, format!("{anchor}\n")))
}

/// A line for each finding, then one with the sum; what a token may not read is only counted.
fn verify(door: &Arc<Door>, parts: &Parts) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Survey)?;
    let Ok(turn) = door.checking.clone().try_acquire_owned() else {
        return Err(reply::unavailable("a check of the whole store is under way"));
    };
    if parts.method == Method::HEAD {
        return Ok(lines(Body::empty()));
    }
    let (feed, body) = Body::fed(None);
    let (sender, mut found) = mpsc::channel::<Line>(WAITING);
    let engine = door.engine.clone();
    tokio::spawn(async move {
        let _turn = turn;
        let check = engine.check(move |line| sender.blocking_send(line).is_ok());
        let send = async {
            while let Some(line) = found.recv().await {
                if let Some(text) = line_text(&line, &who)
                    && feed.send(text.into()).await.is_err()
                {
                    found.close();
                    return;
                }
            }
        };
        let (checked, ()) = tokio::join!(check, send);
        if let Err(refusal) = checked {
            feed.fail(format!("{refusal:?}")).await;
        }
    });
    Ok(lines(body))
}

fn line_text(line: &Line, who: &Identity) -> Option<String> {
    match line {
        Line::Finding(finding) => {
            let seen = finding.path.is_empty() || who.sees(&WorldPath::trusted(&finding.path));
            seen.then(|| format!("{}\n", finding.to_json()))
        }
        Line::Summary(tally) => Some(format!("{}\n", tally.to_json())),
    }
}

/// Worlds that are set aside, each with its reason.
async fn set_aside(door: &Door, parts: &Parts) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Look)?;
    let found = door.engine.worlds_set_aside().await.map_err(|r| reply::refused(&r))?;
    let seen = found.into_iter().filter(|(path, _)| who.sees(&WorldPath::trusted(path)));
    let text: String = seen
        .map(|(path, reason)| format!("{}\n", json!({ "path": path, "reason": reason })))
        .collect();
    Ok(lines(Body::full(text)))
}

fn lines(body: Body) -> Reply {
    let mut reply = reply::with(StatusCode::OK, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    reply
}
