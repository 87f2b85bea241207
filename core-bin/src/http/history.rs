//! Old versions of a world: `X-Elastik-At` on GET and HEAD, and their list.

use std::fmt::Write;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::pages::{self, Pages};
use super::reply::{self, Reply};
use super::{Door, query, route};
use crate::access::Action;
use crate::engine::{At, Engine, Head, Refusal};
use crate::path::WorldPath;
use crate::time::{self, rfc3339};

const AT: HeaderName = HeaderName::from_static("x-elastik-at");

/// Versions read at a time.
const PAGE: usize = 200;

/// Which version is asked for: an event's id, or the one in force at a time (RFC 3339).
pub fn at(headers: &HeaderMap) -> Result<Option<At>, Reply> {
    let Some(value) = headers.get(AT) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if let Ok(id) = text.parse::<u32>() {
        return Ok(Some(At::Event(i64::from(id))));
    }
    match time::parse(text) {
        Some(micros) => Ok(Some(At::Time(micros))),
        None => Err(reply::bad_request(
            "x-elastik-at must be the id of an event or a time such as 2026-01-02T03:04:05Z",
        )),
    }
}

pub fn not_kept() -> Reply {
    reply::text(StatusCode::NOT_FOUND, "version not kept\n")
}

/// `/proc/audit/<world>/versions`: what can be read, newest first, the world's own before the
/// kept ones.
pub async fn answer(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    let path = route::world(encoded)
        .map_err(|_| reply::bad_request("invalid audit versions world path"))?;
    let limit = query::number(parts.uri.query(), "limit")?.unwrap_or(0);
    let before = query::number(parts.uri.query(), "before")?;
    door.admit(parts, Action::Read(&path))?;
    let current = door.engine.head(&path).await.map_err(|refusal| reply::refused(&refusal))?;
    let versions = Versions {
        engine: door.engine.clone(),
        path,
        current: current.filter(|head| before.is_none_or(|before| head.seq < before)),
        before: before.unwrap_or(u64::MAX),
        left: if limit == 0 { u64::MAX } else { limit },
        done: false,
    };
    let mut reply = pages::answer(parts, versions).await?;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(reply)
}

struct Versions {
    engine: Engine,
    path: WorldPath,
    current: Option<Arc<Head>>,
    /// Number of the version told last.
    before: u64,
    left: u64,
    done: bool,
}

impl Versions {
    fn tell(&mut self, out: &mut String, head: &Head) {
        if self.left > 0 {
            self.left -= 1;
            let line = serde_json::json!({
                "id": head.row.event_id, "seq": head.seq, "time": rfc3339(head.modified_us),
                "size": head.size, "type": &*head.content_type, "etag": head.tag.to_string(),
            });
            let _ = writeln!(out, "{line}");
        }
    }
}

impl Pages for Versions {
    async fn page(&mut self) -> Result<String, Refusal> {
        let mut out = String::new();
        if let Some(head) = self.current.take() {
            self.tell(&mut out, &head);
            self.before = head.seq;
        }
        let before = self.before.min(i64::MAX as u64);
        let kept = self.engine.versions(&self.path, before, PAGE).await?;
        for head in &kept {
            self.tell(&mut out, head);
            self.before = head.seq;
        }
        self.done = kept.len() < PAGE || self.left == 0;
        Ok(out)
    }

    fn done(&self) -> bool {
        self.done
    }
}
