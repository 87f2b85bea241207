//! Gzips answers for clients that ask for it, when the core is told to; piece by piece.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Body as _;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderValue, RANGE, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::{Body, Feed, Gone};
use super::coding;
use super::reply::Reply;
use crate::engine::Head;

/// A stream being gzipped holds about a third of a MiB; beyond so many the bytes go as they are.
const STREAMS: usize = 64;
/// What is gzipped at once, and the step of what is not.
const PIECE: usize = 64 * 1024;

/// How the whole of a world is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is, whatever the client accepts.
    Fixed,
    /// As it is, because of what the client accepts.
    Plain,
    Gzip,
}

pub struct Compressor(Arc<Semaphore>);

impl Default for Compressor {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Compressor {
    /// What a world gets. A Range is of the bytes as they are.
    pub fn of_world(&self, parts: &Parts, head: &Head) -> Coding {
        let kept = head.headers.iter().any(|(name, value)| coding::forbids(name, value));
        if kept || head.fault.is_some() || !coding::may_shrink(&head.content_type, Some(head.size))
        {
            return Coding::Fixed;
        }
        let ranged = parts.method == Method::GET && parts.headers.contains_key(RANGE);
        if !ranged && coding::wants_gzip(&parts.headers) { Coding::Gzip } else { Coding::Plain }
    }

    /// What is none of a world's and whole: lists and other pages.
    pub fn page(&self, parts: &Parts, reply: &mut Reply) {
        let headers = reply.headers();
        let of_a_world = [ETAG, ACCEPT_RANGES, CONTENT_RANGE, CONTENT_ENCODING];
        let kind =
            headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let size = reply.body().size_hint().exact();
        if reply.status() != StatusCode::OK
            || !matches!(parts.method, Method::GET | Method::HEAD)
            || of_a_world.iter().any(|name| headers.contains_key(name))
            || !coding::may_shrink(kind, size)
        {
            return;
        }
        let gzip = coding::wants_gzip(&parts.headers);
        reply.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
        self.send(if gzip { Coding::Gzip } else { Coding::Plain }, &parts.method, reply);
    }

    /// Gives the answer its coding, if there is a place for one more stream; tells which it has.
    pub fn send(&self, coding: Coding, method: &Method, reply: &mut Reply) -> Coding {
        if coding != Coding::Gzip {
            return coding;
        }
        let Ok(place) = self.0.clone().try_acquire_owned() else { return Coding::Plain };
        let plain = std::mem::replace(reply.body_mut(), Body::empty());
        // The length of what a GET would get is not known before it is made.
        let body = if method == Method::HEAD { Body::fed(None).1 } else { gzip(plain, place) };
        *reply.body_mut() = body;
        let headers = reply.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Coding::Gzip
    }
}

fn encoder() -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::fast())
}

fn gzip(plain: Body, place: OwnedSemaphorePermit) -> Body {
    if let Body::Full(Some(bytes)) = &plain
        && bytes.len() <= PIECE
    {
        let mut encoder = encoder();
        // Writing to memory does not fail.
        let _ = encoder.write_all(bytes);
        return Body::full(encoder.finish().unwrap_or_default());
    }
    let (feed, body) = Body::fed(None);
    tokio::spawn(async move {
        let _ = pump(&feed, plain).await;
        drop(place);
    });
    body
}

/// A piece is packed when the one before has found its way.
async fn pump(feed: &Feed, plain: Body) -> Result<(), Gone> {
    let mut encoder = encoder();
    match plain {
        Body::Full(bytes) => {
            let mut bytes = bytes.unwrap_or_default();
            while !bytes.is_empty() {
                let piece = bytes.split_to(PIECE.min(bytes.len()));
                pack(feed, &mut encoder, &piece).await?;
            }
        }
        Body::Fed { mut pieces, .. } => {
            while let Some(piece) = pieces.recv().await {
                match piece {
                    Ok(piece) => pack(feed, &mut encoder, &piece).await?,
                    Err(error) => {
                        feed.fail(error.to_string()).await;
                        return Err(Gone);
                    }
                }
            }
        }
    }
    feed.send(encoder.finish().unwrap_or_default().into()).await
}

async fn pack(feed: &Feed, encoder: &mut GzEncoder<Vec<u8>>, piece: &Bytes) -> Result<(), Gone> {
    let _ = encoder.write_all(piece);
    let packed = std::mem::take(encoder.get_mut());
    if packed.is_empty() {
        // Nothing to wait for: others get their turn all the same.
        tokio::task::yield_now().await;
        return Ok(());
    }
    feed.send(packed.into()).await
}
