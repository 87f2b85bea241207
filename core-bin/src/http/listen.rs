//! `/listen/<pattern>`: events as they happen, by Server-Sent Events (core.md §6).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::Door;
use super::body::{Body, Feed, Gone};
use super::reply::{self, Reply};
use super::{frame, inline, query};
pub use frame::Frames;

use crate::access::{Action, Identity};
use crate::engine::{Event, Filter, Signal, Subscription};
use crate::path::{PathError, WorldPath};
use crate::pattern::Pattern;

/// Frames go out in pieces of about this many bytes: a client that stops reading holds few.
const PIECE: usize = 16 * 1024;

/// The newest event's number when the stream began: where a client that has heard nothing yet may
/// resume. It is told to whoever may listen, as the numbers of all their events are: without it a
/// client with a scoped token would miss what happens between two connections.
const NEWEST: HeaderName = HeaderName::from_static("x-last-event-id");

/// As long as anything lasts; a sum with it overflows no clock.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

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
    let inline = inline::asked(parts.uri.query())?;
    let who = door.admit(parts, Action::Listen)?;
    let wanted = Arc::new(Wanted { patterns, who });
    let subscription = door.engine.listen(wanted.clone(), last_event_id(&parts.headers));
    let newest = subscription.newest();
    let body = if parts.method == Method::HEAD {
        Body::fed(None).1
    } else {
        let Ok(place) = door.listeners.clone().try_acquire_owned() else {
            return Err(reply::unavailable("too many listen connections"));
        };
        let (feed, body) = Body::fed(None);
        let stream =
            Stream { door: door.clone(), wanted, inline, subscription, feed, _place: place };
        tokio::spawn(stream.run());
        body
    };
    let mut reply = reply::with(StatusCode::OK, body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(NEWEST, HeaderValue::from(newest));
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

/// One client's stream.
struct Stream {
    door: Arc<Door>,
    wanted: Arc<Wanted>,
    /// Largest body to send within an event; None sends no bodies.
    inline: Option<u64>,
    subscription: Subscription,
    feed: Feed,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// Feeds the client until it goes, may no longer listen, or the server stops.
    async fn run(mut self) {
        let (door, wanted) = (self.door.clone(), self.wanted.clone());
        tokio::select! {
            () = self.feed() => {}
            () = no_longer_allowed(&door, &wanted.who) => {}
            () = sleep_until(end_of(&wanted.who)) => {}
            () = door.stopped() => {}
        }
    }

    async fn feed(&mut self) {
        let mut pulse = Instant::now() + self.door.heartbeat;
        loop {
            let sent = tokio::select! {
                signal = self.subscription.next() => match signal {
                    Signal::Events(events) => self.send(&events).await,
                    Signal::Lag { missed, reason } => self.lag(missed, reason).await,
                    Signal::Closed => return,
                },
                () = sleep_until(pulse) => self.feed.send(Bytes::from_static(frame::HEARTBEAT)).await,
                () = self.feed.gone() => return,
            };
            if sent.is_err() {
                return;
            }
            pulse = Instant::now() + self.door.heartbeat;
        }
    }

    /// A number would tell a scoped token of others' events.
    async fn lag(&self, missed: u64, reason: &str) -> Result<(), Gone> {
        let missed = if self.wanted.who.scope.is_some() { 0 } else { missed };
        self.feed.send(frame::lag(missed, reason)).await
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), Gone> {
        let mut piece = BytesMut::new();
        for event in events {
            let frame = self.frame(event).await;
            if let [_] = events {
                return self.feed.send(frame).await;
            }
            piece.extend_from_slice(&frame);
            if piece.len() >= PIECE {
                self.feed.send(piece.split().freeze()).await?;
            }
        }
        if piece.is_empty() { Ok(()) } else { self.feed.send(piece.freeze()).await }
    }

    async fn frame(&self, event: &Event) -> Bytes {
        let plain = self.door.frames.of(event);
        match self.inline {
            Some(max) => inline::frame(&self.door.engine, event, &plain, max).await,
            None => plain,
        }
    }
}

/// Returns when the tokens have changed and this one no longer means what it meant: the filter of
/// a stream never changes, so its client has to ask again.
async fn no_longer_allowed(door: &Door, who: &Identity) {
    let mut changes = door.tokens.subscribe();
    while changes.changed().await.is_ok() {
        let tokens = door.tokens();
        let now = tokens.find(&who.digest);
        let same = now.tier == who.tier && now.scope == who.scope && now.expires == who.expires;
        if !same || tokens.may(&now, Action::Listen).is_err() {
            return;
        }
    }
    std::future::pending().await
}

fn end_of(who: &Identity) -> Instant {
    let left = who.expires.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
    Instant::now() + left.unwrap_or(FOREVER).min(FOREVER)
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
