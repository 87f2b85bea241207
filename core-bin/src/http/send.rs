//! Sends a world's bytes: the whole, one range, or several as `multipart/byteranges`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};

use super::Door;
use super::body::{Body, Feed, Gone};
use super::reply::{self, Reply};
use crate::engine::{BodyReader, Engine, Head, hex};

/// A stretch of a response body.
enum Piece {
    Bytes(Bytes),
    /// `from..to` of the world.
    World(u64, u64),
}

pub fn whole(door: &Door, head: &Arc<Head>, bodiless: bool) -> Reply {
    let mut reply = reply::with(StatusCode::OK, Body::empty());
    if bodiless {
        // A HEAD tells the length that hyper cannot see.
        reply.headers_mut().insert(CONTENT_LENGTH, head.size.into());
    } else {
        *reply.body_mut() = world_body(door, head, (0, head.size));
    }
    reply
}

/// 206 with one range, or with several.
pub fn partial(door: &Door, head: &Arc<Head>, parts: &[(u64, u64)]) -> Reply {
    let &[(from, to)] = parts else { return several(door, head, parts) };
    let body = world_body(door, head, (from, to));
    let mut reply = reply::with(StatusCode::PARTIAL_CONTENT, body);
    reply.headers_mut().insert(CONTENT_RANGE, ascii(&content_range(from, to, head.size)));
    reply
}

pub fn unsatisfiable(size: u64) -> Reply {
    let mut reply = reply::text(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable\n");
    reply.headers_mut().insert(CONTENT_RANGE, ascii(&format!("bytes */{size}")));
    reply.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    reply
}

fn several(door: &Door, head: &Arc<Head>, parts: &[(u64, u64)]) -> Reply {
    let mut random = [0; 12];
    if getrandom::fill(&mut random).is_err() {
        return reply::unavailable("no random numbers for a boundary");
    }
    let boundary = hex(&random);
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    let mut length = 0;
    for &(from, to) in parts {
        let range = content_range(from, to, head.size);
        let opening = format!(
            "\r\n--{boundary}\r\ncontent-type: {}\r\ncontent-range: {range}\r\n\r\n",
            head.content_type
        );
        length += opening.len() as u64 + (to - from);
        pieces.push(Piece::Bytes(opening.into()));
        pieces.push(Piece::World(from, to));
    }
    let closing = format!("\r\n--{boundary}--\r\n");
    length += closing.len() as u64;
    pieces.push(Piece::Bytes(closing.into()));
    let mut reply = reply::with(StatusCode::PARTIAL_CONTENT, fed(door, head, pieces, length));
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    reply.headers_mut().insert(CONTENT_TYPE, ascii(&content_type));
    reply
}

fn content_range(from: u64, to: u64, size: u64) -> String {
    format!("bytes {from}-{}/{size}", to - 1)
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// `from..to` of the version that `head` names: at once if it is in memory, else as it is taken.
fn world_body(door: &Door, head: &Arc<Head>, (from, to): (u64, u64)) -> Body {
    if from == to {
        return Body::empty();
    }
    let mut reader = door.engine.read(head, from, to);
    if let Some(bytes) = reader.ready() {
        return Body::full(bytes);
    }
    let (feed, body) = Body::fed(Some(to - from));
    tokio::spawn(async move {
        let _ = pump(&feed, reader).await;
    });
    body
}

fn fed(door: &Door, head: &Arc<Head>, pieces: Vec<Piece>, length: u64) -> Body {
    let (feed, body) = Body::fed(Some(length));
    let (engine, head) = (door.engine.clone(), head.clone());
    tokio::spawn(async move {
        let _ = pump_all(&feed, &engine, &head, pieces).await;
    });
    body
}

async fn pump_all(
    feed: &Feed,
    engine: &Engine,
    head: &Arc<Head>,
    pieces: Vec<Piece>,
) -> Result<(), Gone> {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => feed.send(bytes).await?,
            Piece::World(from, to) => pump(feed, engine.read(head, from, to)).await?,
        }
    }
    Ok(())
}

/// Reads a piece only when the one before has found its way.
async fn pump(feed: &Feed, mut reader: BodyReader) -> Result<(), Gone> {
    loop {
        match reader.next().await {
            Ok(Some(bytes)) => feed.send(bytes).await?,
            Ok(None) => return Ok(()),
            Err(refusal) => {
                feed.fail(format!("{refusal:?}")).await;
                return Err(Gone);
            }
        }
    }
}
