//! `/listen/<pattern>`: events as they happen, by Server-Sent Events (core.md §6).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::Door;
use super::body::{Body, Feed, Gone};
use super::reply::{self, Reply};
use super::{frame, query};
pub use frame::Frames;

use crate::access::{Action, Identity};
use crate::engine::{Event, Filter, Signal, Subscription};
use crate::path::{PathError, WorldPath};
use crate::pattern::Pattern;

/// Frames go out in pieces of about this many bytes: a client that stops reading holds few.
const PIECE: usize = 16 * 1024;

/// What one stream wants and may hear.
struct Wanted {
    patterns: Vec<Pattern>,
    who: Identity,
}

impl Filter for Wanted {
    fn wants(&self, path: &WorldPath) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path)) && self.who.sees(path)
    }

    fn may_want_memory(&self) -> bool {
        let scope = self.who.scope.as_ref().is_none_or(|scope| scope.may_match_memory());
        scope && self.patterns.iter().any(Pattern::may_match_memory)
    }
}

pub fn answer(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    let patterns = patterns(encoded, parts.uri.query()).map_err(reply::bad_path)?;
    let who = door.admit(&parts.headers, Action::Listen)?;
    let body = if parts.method == Method::HEAD {
        Body::fed(None).1
    } else {
        let Ok(place) = door.listeners.clone().try_acquire_owned() else {
            return Err(reply::unavailable("too many listen connections"));
        };
        let subscription =
            door.engine.listen(Arc::new(Wanted { patterns, who }), last_event_id(&parts.headers));
        let (feed, body) = Body::fed(None);
        tokio::spawn(stream(door.clone(), subscription, feed, place));
        body
    };
    let mut reply = reply::with(StatusCode::OK, body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

/// The pattern of the path and each `pattern=` of the query.
fn patterns(encoded: &str, query: Option<&str>) -> Result<Vec<Pattern>, PathError> {
    let more = query::raw(query, "pattern");
    std::iter::once(encoded).chain(more).map(Pattern::parse).collect()
}

/// The number after which to begin; what is no number asks for no replay.
fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("last-event-id")?.to_str().ok()?.trim();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// Feeds one client until it goes, the engine closes or the server stops.
async fn stream(
    door: Arc<Door>,
    mut subscription: Subscription,
    feed: Feed,
    _place: OwnedSemaphorePermit,
) {
    let mut pulse = Instant::now() + door.heartbeat;
    loop {
        let sent = tokio::select! {
            signal = subscription.next() => match signal {
                Signal::Events(events) => {
                    tokio::select! {
                        sent = send(&door, &feed, &events) => sent,
                        () = door.stopped() => return,
                    }
                }
                Signal::Lag { missed, reason } => feed.send(frame::lag(missed, reason)).await,
                Signal::Closed => return,
            },
            () = sleep_until(pulse) => feed.send(Bytes::from_static(frame::HEARTBEAT)).await,
            () = feed.gone() => return,
            () = door.stopped() => return,
        };
        if sent.is_err() {
            return;
        }
        pulse = Instant::now() + door.heartbeat;
    }
}

async fn send(door: &Door, feed: &Feed, events: &[Arc<Event>]) -> Result<(), Gone> {
    if let [event] = events {
        return feed.send(door.frames.of(event)).await;
    }
    let mut piece = BytesMut::new();
    for event in events {
        piece.extend_from_slice(&door.frames.of(event));
        if piece.len() >= PIECE {
            feed.send(piece.split().freeze()).await?;
        }
    }
    if piece.is_empty() { Ok(()) } else { feed.send(piece.freeze()).await }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", HeaderValue::from_str(text).unwrap());
        last_event_id(&headers)
    }

    #[test]
    fn ids_that_count() {
        let table = [
            ("7", Some(7)),
            ("007", Some(7)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("x", None),
            ("18446744073709551616", None),
            ("18446744073709551615", Some(u64::MAX)),
        ];
        for (text, expected) in table {
            assert_eq!(id(text), expected, "{text:?}");
        }
        assert_eq!(last_event_id(&HeaderMap::new()), None);
    }

    #[test]
    fn several_patterns_in_one_stream() {
        assert_eq!(patterns("a", Some("x=1&pattern=b/*&pattern=tmp/c")).unwrap().len(), 3);
        assert_eq!(patterns("a", None).unwrap().len(), 1);
        assert!(patterns("a", Some("pattern=")).is_err());
        assert!(patterns("", None).is_err());
    }

    proptest! {
        #[test]
        fn no_id_panics(text in "[ -~]{0,24}") {
            id(&text);
        }
    }
}
