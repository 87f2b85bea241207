//! Events as Server-Sent Events frames (core.md §6.2), each encoded once for all its listeners.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::engine::{Event, Kind, Link};
use crate::time::rfc3339;

/// Frames kept for listeners that come to an event a little later than the first one.
const KEPT: usize = 512;

pub const HEARTBEAT: &[u8] = b": keepalive\n\n";

/// The newest frames, by the number of their event.
pub struct Frames(Box<[Mutex<(u64, Bytes)>]>);

impl Default for Frames {
    fn default() -> Self {
        Self((0..KEPT).map(|_| Mutex::new((0, Bytes::new()))).collect())
    }
}

impl Frames {
    /// The frame of an event, encoded now or earlier.
    pub fn of(&self, event: &Event) -> Bytes {
        let Ok(at) = usize::try_from(event.seq % self.0.len() as u64) else {
            return encode(event);
        };
        let mut slot = self.0[at].lock().unwrap_or_else(PoisonError::into_inner);
        if slot.0 != event.seq || slot.1.is_empty() {
            *slot = (event.seq, encode(event));
        }
        slot.1.clone()
    }
}

/// 8.3's lines first, in its order; it skips the ones behind them.
fn encode(event: &Event) -> Bytes {
    let (name, method) = match event.kind {
        Kind::Create | Kind::Replace => ("put", "PUT"),
        Kind::Append => ("post", "POST"),
        Kind::Delete => ("delete", "DELETE"),
    };
    let mut out = String::with_capacity(320);
    let Event { seq, path, .. } = event;
    let _ = writeln!(out, "event: {name}\nid: {seq}\ndata: path: /{path}\ndata: method: {method}");
    if let Some(tag) = &event.tag {
        let _ = writeln!(out, "data: etag: {tag}\ndata: size: {}", event.size);
        line(&mut out, "type", &event.content_type);
    }
    line(&mut out, "time", &rfc3339(event.time_us));
    if matches!(event.kind, Kind::Create | Kind::Replace) {
        let _ = writeln!(out, "data: created: {}", event.kind == Kind::Create);
    }
    if let Some(writer) = &event.writer {
        line(&mut out, "writer", writer);
    }
    match &event.link {
        Some(Link::From(path)) => line(&mut out, "from", &format!("/{path}")),
        Some(Link::To(path)) => line(&mut out, "to", &format!("/{path}")),
        Some(Link::Expired) => line(&mut out, "reason", "expired"),
        None => {}
    }
    out.push('\n');
    out.into()
}

/// One `data:` line; a line break in a value would let its writer forge frames.
fn line(out: &mut String, name: &str, value: &str) {
    let _ = write!(out, "data: {name}: ");
    out.extend(value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    out.push('\n');
}

/// Something may be missing; not an event, so it has no id.
pub fn lag(missed: u64, reason: &str) -> Bytes {
    format!("event: lag\ndata: missed: {missed}\ndata: reason: {reason}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tag;
    use crate::path::WorldPath;
    use proptest::prelude::*;

    fn event(kind: Kind, content_type: &str) -> Event {
        Event {
            seq: 7,
            kind,
            path: WorldPath::parse("home/日").unwrap(),
            tag: (kind != Kind::Delete).then_some(Tag::Hmac([0; 32])),
            size: 3,
            content_type: content_type.into(),
            time_us: 1,
            writer: None,
            link: None,
        }
    }

    #[test]
    fn frames_begin_as_8_3_wrote_them() {
        let zeros = "0".repeat(64);
        let put = encode(&event(Kind::Create, "text/plain"));
        let text = format!(
            "event: put\nid: 7\ndata: path: /home/日\ndata: method: PUT\ndata: etag: hmac-{zeros}\n\
             data: size: 3\ndata: type: text/plain\ndata: time: 1970-01-01T00:00:00.000001Z\n\
             data: created: true\n\n"
        );
        assert_eq!(put, text);
        let delete = encode(&event(Kind::Delete, ""));
        let text = "event: delete\nid: 7\ndata: path: /home/日\ndata: method: DELETE\n\
                    data: time: 1970-01-01T00:00:00.000001Z\n\n";
        assert_eq!(delete, text);
        assert_eq!(lag(3, "restart"), "event: lag\ndata: missed: 3\ndata: reason: restart\n\n");
    }

    #[test]
    fn a_frame_is_encoded_once_and_never_another_events() {
        let frames = Frames::default();
        let mut event = event(Kind::Append, "a/b");
        let first = frames.of(&event);
        assert_eq!(frames.of(&event).as_ptr(), first.as_ptr());
        event.seq += KEPT as u64;
        assert!(
            frames.of(&event).starts_with(format!("event: post\nid: {}", event.seq).as_bytes())
        );
    }

    proptest! {
        #[test]
        fn no_value_forges_a_frame(content_type in "(\\PC|\r|\n){0,30}") {
            let frame = encode(&event(Kind::Replace, &content_type));
            let text = std::str::from_utf8(&frame).unwrap();
            prop_assert_eq!(text.matches("\n\n").count(), 1);
            prop_assert_eq!(text.lines().count(), 10);
            prop_assert!(!text.contains('\r'));
        }
    }
}
