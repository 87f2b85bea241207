//! Bodies within events: base64 on one line, so that no body can forge a frame.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::query;
use super::reply::{self, Reply};
use crate::engine::{Engine, Event};

/// Largest body within an event when the client names none, and at all.
const USUAL_MAX: u64 = 64 * 1024;
const MAX: u64 = 1024 * 1024;

/// What `?body=inline&max=N` asks for: the largest body to send, in bytes.
pub fn asked(query: Option<&str>) -> Result<Option<u64>, Reply> {
    let max = query::number(query, "max")?;
    match query::raw(query, "body").next() {
        None => Ok(None),
        Some("inline") => Ok(Some(max.unwrap_or(USUAL_MAX).min(MAX))),
        Some(other) => Err(reply::bad_request(format_args!("body must be inline; got {other:?}"))),
    }
}

/// The event's frame with its body, or with the reason why it is not there; never with the body
/// of another version.
pub async fn frame(engine: &Engine, event: &Event, plain: &Bytes, max: u64) -> Bytes {
    if event.tag.is_none() {
        return plain.clone();
    }
    let line = match body(engine, event, max).await {
        Ok(body) => format!("data: body-base64: {}", STANDARD.encode(body)),
        Err(why) => format!("data: body: {why}"),
    };
    let mut out = BytesMut::with_capacity(plain.len() + line.len() + 1);
    // The frame's last byte is the end of its empty line.
    out.extend_from_slice(plain.strip_suffix(b"\n").unwrap_or(plain));
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

async fn body(engine: &Engine, event: &Event, max: u64) -> Result<Bytes, &'static str> {
    if event.size > max {
        return Err("too-large");
    }
    let head = engine.head(&event.path).await.map_err(|_| "dropped")?;
    let head = head.filter(|head| head.seq == event.seq).ok_or("superseded")?;
    let mut reader = engine.read(&head, 0, head.size);
    let mut out = BytesMut::new();
    loop {
        match reader.next().await {
            Ok(Some(bytes)) => out.extend_from_slice(&bytes),
            Ok(None) => return Ok(out.freeze()),
            Err(_) => return Err("dropped"),
        }
    }
}
