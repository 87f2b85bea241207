//! Takes in a request's body, piece by piece, into the engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout, timeout_at};

use super::Door;
use super::reply::{self, Reply};
use crate::engine::NewBody;
use crate::path::WorldPath;

/// How long a refused body is read on, so that its sender gets to see the answer: a socket that
/// is closed with bytes unread resets the connection, and the answer is lost.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// The whole body, staged; refused as early as can be.
pub async fn take(door: &Door, path: &WorldPath, body: &mut Incoming) -> Result<NewBody, Reply> {
    let declared = body.size_hint().exact();
    let max = door.engine.settings().max_world_bytes;
    if declared.is_some_and(|length| length > max) {
        return Err(reply::payload_too_large(max));
    }
    let mut upload = door.engine.upload(path);
    while let Some(bytes) = next(door, body).await? {
        upload.push(bytes).await.map_err(|refusal| reply::refused(&refusal))?;
    }
    upload.finish().await.map_err(|refusal| reply::refused(&refusal))
}

/// The whole body in memory, for verbs that have to look into it.
pub async fn whole(door: &Door, body: &mut Incoming, max: u64) -> Result<Bytes, Reply> {
    if body.size_hint().exact().is_some_and(|length| length > max) {
        return Err(reply::payload_too_large(max));
    }
    let mut all = BytesMut::new();
    while let Some(bytes) = next(door, body).await? {
        if (all.len() + bytes.len()) as u64 > max {
            return Err(reply::payload_too_large(max));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all.freeze())
}

/// The next bytes, or None at the end; trailers are not kept.
async fn next(door: &Door, body: &mut Incoming) -> Result<Option<Bytes>, Reply> {
    loop {
        let frame = match door.body_timeout {
            Some(limit) => timeout(limit, body.frame()).await.map_err(|_| too_slow())?,
            None => body.frame().await,
        };
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(bytes) = frame.map_err(|error| broken(&error))?.into_data() {
            return Ok(Some(bytes));
        }
    }
}

/// What was not read of a body that has its answer is read beside, for a while, into nothing.
pub fn discard(door: &Arc<Door>, headers: &HeaderMap, mut body: Incoming) {
    // Who waits for `100 Continue` has sent nothing; polling the body would ask for it.
    if body.is_end_stream() || waits_for_continue(headers) {
        return;
    }
    let door = door.clone();
    tokio::spawn(async move {
        let end = Instant::now() + LINGER;
        let drain =
            async { while let Ok(Some(Ok(_))) = timeout(LINGER_SILENCE, body.frame()).await {} };
        tokio::select! {
            _ = timeout_at(end, drain) => {}
            () = door.stopped() => {}
        }
    });
}

fn waits_for_continue(headers: &HeaderMap) -> bool {
    let expects =
        headers.get(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects && headers.get(CONTENT_LENGTH).is_none_or(|length| length != "0")
}

fn too_slow() -> Reply {
    let line = "request timeout: the body stopped coming";
    let mut reply = reply::error(StatusCode::REQUEST_TIMEOUT, line);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn broken(error: &hyper::Error) -> Reply {
    reply::bad_request(format_args!("the body ended early: {error}"))
}
