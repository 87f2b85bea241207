//! COPY, MOVE and DELETE of one world or of all below a path (RFC 4918 §9.6, §9.8, §9.9).

use std::sync::Arc;

use hyper::header::{HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{StatusCode, Uri};

use super::reply::{self, Reply};
use super::{Door, conditional, key, world};
use crate::access::{Action, Denied, Identity};
use crate::engine::{Conditions, Refusal, Transfer};
use crate::path::WorldPath;

const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
const DEPTH: HeaderName = HeaderName::from_static("depth");
const TO_IF_MATCH: HeaderName = HeaderName::from_static("x-destination-if-match");
const TO_IF_NONE_MATCH: HeaderName = HeaderName::from_static("x-destination-if-none-match");

/// COPY or MOVE.
pub async fn answer(door: &Arc<Door>, parts: &Parts, from: WorldPath) -> Result<Reply, Reply> {
    let moves = parts.method.as_str() == "MOVE";
    let to = destination(parts)?;
    let overwrite = overwrite(&parts.headers)?;
    let tree = is_tree(&parts.headers)?;
    let who = door.admit(parts, Action::Read(&from))?;
    door.admit(parts, Action::Write(&to))?;
    if moves {
        door.admit(parts, Action::Delete(&from))?;
    }
    if from == to {
        return Err(forbidden("source and destination are the same"));
    }
    if tree {
        return whole_tree(door, parts, &who, (&from, &to), moves, overwrite).await;
    }
    let caller = key::caller(parts, &who)?;
    let transfer = Transfer {
        from,
        to,
        moves,
        overwrite,
        from_conditions: conditional::of_write(&parts.headers),
        to_conditions: to_conditions(&parts.headers),
    };
    let done =
        door.engine.transfer(&transfer, &caller).await.map_err(|refusal| refused(&refusal))?;
    let first = done.first().ok_or_else(|| reply::internal("no answer to a transfer"))?;
    Ok(world::written(&transfer.to, first, StatusCode::NO_CONTENT))
}

async fn whole_tree(
    door: &Arc<Door>,
    parts: &Parts,
    who: &Identity,
    (from, to): (&WorldPath, &WorldPath),
    moves: bool,
    overwrite: bool,
) -> Result<Reply, Reply> {
    let inside = |inner: &WorldPath, outer: &WorldPath| {
        inner.as_str().strip_prefix(outer.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    if inside(to, from) || inside(from, to) {
        return Err(forbidden("one of source and destination lies below the other"));
    }
    covers(who, from)?;
    covers(who, to)?;
    let caller = key::caller(parts, who)?;
    let count = door
        .engine
        .transfer_tree(from.as_str(), to.as_str(), moves, overwrite, &caller)
        .await
        .map_err(|refusal| refused(&refusal))?;
    Ok(counted(count))
}

/// DELETE with `Depth: infinity`.
pub async fn remove_tree(
    door: &Arc<Door>,
    parts: &Parts,
    path: &WorldPath,
) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Delete(path))?;
    covers(&who, path)?;
    let caller = key::caller(parts, &who)?;
    let removed = door.engine.remove_tree(path.as_str(), &caller).await;
    removed.map(counted).map_err(|refusal| reply::refused(&refusal))
}

/// Whether the request means all worlds below its path. There are no collections here that a
/// request could name, so without `Depth: infinity` it means the one world.
pub fn is_tree(headers: &HeaderMap) -> Result<bool, Reply> {
    match headers.get(DEPTH).map(|value| value.as_bytes()) {
        None | Some(b"0") => Ok(false),
        Some(depth) if depth.eq_ignore_ascii_case(b"infinity") => Ok(true),
        Some(_) => Err(reply::bad_request("depth must be 0 or infinity")),
    }
}

/// How many worlds were touched.
fn counted(count: usize) -> Reply {
    reply::text(StatusCode::OK, format!("{count}\n"))
}

/// All that lies below the path must be the token's, also what comes there in the meantime.
fn covers(who: &Identity, path: &WorldPath) -> Result<(), Reply> {
    if who.scope.as_ref().is_none_or(|scope| scope.covers(path)) {
        return Ok(());
    }
    Err(reply::denied(Denied { known: true, why: "the token is for other worlds" }))
}

/// `Destination`: a path, or a URL of this host.
fn destination(parts: &Parts) -> Result<WorldPath, Reply> {
    let Some(value) = parts.headers.get(DESTINATION) else {
        return Err(reply::bad_request("destination is missing"));
    };
    let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    let path = if text.starts_with('/') {
        text.split(['?', '#']).next().unwrap_or_default().to_owned()
    } else {
        let url: Uri = text.parse().map_err(|_| not_a_url())?;
        let authority = url.authority().filter(|_| url.scheme().is_some());
        let host = authority.ok_or_else(not_a_url)?.as_str().to_ascii_lowercase();
        if host != own_host(parts) {
            let line = "bad gateway: the destination is on another host";
            return Err(reply::error(StatusCode::BAD_GATEWAY, line));
        }
        url.path().to_owned()
    };
    if path.starts_with("/listen/") {
        return Err(reply::bad_request("destination is not a world"));
    }
    WorldPath::from_target(&path).map_err(reply::bad_path)
}

fn not_a_url() -> Reply {
    reply::bad_request("destination must be a path or a URL")
}

fn own_host(parts: &Parts) -> String {
    let header = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    let host = header.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    host.unwrap_or_default().to_ascii_lowercase()
}

fn overwrite(headers: &HeaderMap) -> Result<bool, Reply> {
    match headers.get(OVERWRITE).map(|value| value.as_bytes()) {
        None | Some(b"T" | b"t") => Ok(true),
        Some(b"F" | b"f") => Ok(false),
        Some(_) => Err(reply::bad_request("overwrite must be T or F")),
    }
}

/// Conditions on the destination have names of their own; the plain ones are for the source.
fn to_conditions(headers: &HeaderMap) -> Conditions {
    let if_match = conditional::tags(headers, TO_IF_MATCH);
    let if_none_match = conditional::tags(headers, TO_IF_NONE_MATCH);
    Conditions { if_match, if_none_match, ..Conditions::default() }
}

fn forbidden(why: &str) -> Reply {
    reply::error(StatusCode::FORBIDDEN, format_args!("forbidden: {why}"))
}

fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::AlreadyThere => reply::precondition_failed("the destination exists"),
        other => reply::refused(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(text: &str) -> Result<String, u16> {
        let request = hyper::Request::builder().uri("/a").header("host", "disk:1");
        let request = request.header("destination", text).body(()).unwrap();
        let path = destination(&request.into_parts().0);
        path.map(|path| path.to_string()).map_err(|reply| reply.status().as_u16())
    }

    #[test]
    fn destinations_in_their_forms() {
        let table = [
            ("/home/b%20c", Ok("home/b c")),
            ("/b", Ok("home/b")),
            ("http://disk:1/b?x", Ok("home/b")),
            ("HTTP://DISK:1/b", Ok("home/b")),
            ("http://other/b", Err(502)),
            ("b", Err(400)),
            ("", Err(400)),
            ("/home", Err(400)),
            ("/a//b", Err(400)),
            ("/proc/x", Err(400)),
            ("/listen/x", Err(400)),
        ];
        for (text, expected) in table {
            assert_eq!(to(text), expected.map(str::to_owned), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_destination_panics(text in "[ -~]{0,40}") {
            let _ = to(&text);
        }
    }
}
