//! `/proc/audit/<world>/verify`: one run for equal requests, and only so many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

use super::reply::{self, Reply};
use super::{Door, route};
use crate::access::Action;
use crate::engine::{Engine, Refusal, Verdict};
use crate::path::WorldPath;

/// Runs that may wait behind the one at work.
const WAITING: usize = 16;

const VALID: HeaderName = HeaderName::from_static("x-audit-valid");

/// What a run found; equal requests hold the same cell.
type Cell = OnceCell<Result<Option<Verdict>, Refusal>>;

/// The runs that wait for their turn, by world.
#[derive(Default)]
pub struct Verifier {
    runs: Mutex<HashMap<WorldPath, Arc<Cell>>>,
    turn: AsyncMutex<()>,
}

impl Verifier {
    /// None when too many runs wait already.
    fn join(&self, path: &WorldPath) -> Option<Arc<Cell>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody waits for any more is no run.
        runs.retain(|_, cell| Arc::strong_count(cell) > 1);
        if let Some(cell) = runs.get(path) {
            return Some(cell.clone());
        }
        if runs.len() > WAITING {
            return None;
        }
        let cell = Arc::new(Cell::new());
        runs.insert(path.clone(), cell.clone());
        Some(cell)
    }

    async fn run(&self, engine: &Engine, path: &WorldPath, cell: &Arc<Cell>) {
        let run = || async {
            let _turn = self.turn.lock().await;
            self.begin(path, cell);
            engine.verify(path).await
        };
        cell.get_or_init(run).await;
    }

    /// Who comes later needs a later run: this one may not see what they know to be written.
    fn begin(&self, path: &WorldPath, cell: &Arc<Cell>) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.get(path).is_some_and(|waiting| Arc::ptr_eq(waiting, cell)) {
            runs.remove(path);
        }
    }
}

pub async fn answer(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    if encoded.is_empty() {
        return Err(reply::bad_request("audit verify requires a world path"));
    }
    let path =
        route::world(encoded).map_err(|_| reply::bad_request("invalid audit verify world path"))?;
    door.admit(parts, Action::Read(&path))?;
    let Some(cell) = door.verifier.join(&path) else {
        return Err(reply::unavailable("audit verify temporarily unavailable: too many runs wait"));
    };
    door.verifier.run(&door.engine, &path, &cell).await;
    match cell.get() {
        Some(Ok(Some(verdict))) => Ok(as_head(told(verdict), &parts.method)),
        Some(Ok(None)) => Err(reply::not_found()),
        _ => Err(reply::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error: audit verify storage failure\n",
        )),
    }
}

/// hyper leaves the length out of the answer to a HEAD when it is 0; a GET has it.
fn as_head(mut reply: Reply, method: &Method) -> Reply {
    if method == Method::HEAD && reply.status() != StatusCode::NO_CONTENT {
        reply.headers_mut().insert(CONTENT_LENGTH, 0.into());
    }
    reply
}

/// core.md §5: the verdict is in the status and the headers.
fn told(verdict: &Verdict) -> Reply {
    match verdict {
        Verdict::Valid { events, genesis, latest } => {
            let mut reply = reply::empty(StatusCode::OK);
            let headers = reply.headers_mut();
            headers.insert(VALID, HeaderValue::from_static("true"));
            set(headers, "x-audit-events", &events.to_string());
            set(headers, "x-audit-genesis", genesis);
            set(headers, "x-audit-latest", latest);
            reply
        }
        Verdict::NotAudited => {
            let mut reply = reply::empty(StatusCode::NO_CONTENT);
            reply.headers_mut().insert(VALID, HeaderValue::from_static("n/a"));
            reply
        }
        Verdict::Broken { at, expected, actual } => {
            let mut reply = reply::empty(StatusCode::CONFLICT);
            let headers = reply.headers_mut();
            headers.insert(VALID, HeaderValue::from_static("false"));
            set(headers, "x-audit-break-at", &at.to_string());
            set(headers, "x-audit-expected", expected);
            set(headers, "x-audit-actual", actual);
            reply
        }
    }
}

/// Values come from rows that may have been tampered with: what no header can hold is left out.
fn set(headers: &mut HeaderMap, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_requests_share_a_run_and_too_many_are_refused() {
        let verifier = Verifier::default();
        let path = |n: usize| WorldPath::parse(&format!("home/{n}")).unwrap();
        let held: Vec<_> = (0..=WAITING).map(|n| verifier.join(&path(n)).unwrap()).collect();
        assert!(Arc::ptr_eq(&verifier.join(&path(3)).unwrap(), &held[3]));
        assert!(verifier.join(&path(99)).is_none());
        drop(held);
        assert!(verifier.join(&path(99)).is_some());
    }

    #[test]
    fn a_run_at_work_is_joined_by_nobody() {
        let verifier = Verifier::default();
        let path = WorldPath::parse("home/a").unwrap();
        let first = verifier.join(&path).unwrap();
        verifier.begin(&path, &first);
        let second = verifier.join(&path).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        verifier.begin(&path, &first);
        assert!(Arc::ptr_eq(&verifier.join(&path).unwrap(), &second));
    }
}
