//! `/proc/audit/<world>/events`: a world's chain as JSON Lines.

use std::fmt::Write;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use super::pages::{self, Pages};
use super::reply::{self, Reply};
use super::{Door, query, route};
use crate::access::Action;
use crate::engine::{ChainRow, Engine, Refusal};
use crate::path::WorldPath;
use crate::time::rfc3339;

/// Events read at a time.
const PAGE: i64 = 1000;

const VALID: HeaderName = HeaderName::from_static("x-audit-valid");

/// Newest first, or from a position on: `?after=` is the id of an event, oldest first behind it;
/// `?before=` goes on newest first; `?limit=` is how many.
pub async fn answer(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    let path =
        route::world(encoded).map_err(|_| reply::bad_request("invalid audit events world path"))?;
    let query = parts.uri.query();
    let after = query::number(query, "after")?;
    let before = query::number(query, "before")?;
    let limit = query::number(query, "limit")?.unwrap_or(0);
    if after.is_some() && before.is_some() {
        return Err(reply::bad_request("after and before exclude each other"));
    }
    door.admit(parts, Action::Read(&path))?;
    let head = door.engine.head(&path).await.map_err(|refusal| reply::refused(&refusal))?;
    let Some(head) = head else { return Err(reply::not_found()) };
    if !path.is_durable() {
        let mut reply = reply::empty(StatusCode::NO_CONTENT);
        reply.headers_mut().insert(VALID, HeaderValue::from_static("n/a"));
        return Ok(reply);
    }
    let newest = head.row.event_id;
    let id = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = Rows {
        engine: door.engine.clone(),
        path,
        order: match after {
            Some(after) => Order::After(id(after)),
            None => Order::UpTo(before.map_or(newest, |before| newest.min(id(before) - 1))),
        },
        left: if limit == 0 { u64::MAX } else { limit },
        done: false,
    };
    let mut reply = pages::answer(parts, rows).await?;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    Ok(reply)
}

/// Where the next page begins.
#[derive(Clone, Copy)]
enum Order {
    After(i64),
    /// Downwards from this id.
    UpTo(i64),
}

struct Rows {
    engine: Engine,
    path: WorldPath,
    order: Order,
    left: u64,
    done: bool,
}

impl Pages for Rows {
    async fn page(&mut self) -> Result<String, Refusal> {
        let after = match self.order {
            Order::After(after) => after,
            Order::UpTo(last) => (last - PAGE).max(0),
        };
        let found = self.engine.chain(&self.path, after, PAGE as usize).await?.unwrap_or_default();
        let mut rows: Vec<&ChainRow> = found.iter().collect();
        match self.order {
            Order::After(_) => {
                self.done = rows.len() < PAGE as usize;
                self.order = Order::After(rows.last().map_or(after, |row| row.id));
            }
            Order::UpTo(last) => {
                rows.retain(|row| row.id <= last);
                rows.reverse();
                self.done = after == 0;
                self.order = Order::UpTo(after);
            }
        }
        let mut out = String::with_capacity(rows.len().min(PAGE as usize) * 512);
        for row in rows {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            let _ = writeln!(out, "{}", told(row));
        }
        self.done |= self.left == 0;
        Ok(out)
    }

    fn done(&self) -> bool {
        self.done
    }
}

/// All that the row's hmac covers, and its place and time.
fn told(row: &ChainRow) -> Value {
    let headers: Map<String, Value> =
        row.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let time = row.time_text.clone().unwrap_or_else(|| rfc3339(row.time_us));
    json!({
        "id": row.id, "seq": row.seq, "time": time, "type": row.kind, "target": row.target,
        "size": row.size, "content_type": row.content_type, "headers": headers,
        "body_sha256": row.body_sha256, "meta_sha256": row.meta_sha256,
        "hmac": row.hmac, "prev_hmac": row.prev_hmac, "key": row.key,
    })
}
