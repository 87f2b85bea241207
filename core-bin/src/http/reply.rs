//! Answers: one form for all errors, and one function from a refusal to its status.

use std::fmt::Display;
use std::time::Duration;

use hyper::header::{
    ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::body::Body;
use crate::access::Denied;
use crate::engine::Refusal;
use crate::path::PathError;

pub type Reply = Response<Body>;

pub const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Where an append begins: what a client expects, and in a 412 what is so.
pub const APPEND_OFFSET: HeaderName = HeaderName::from_static("x-append-offset");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ELAPSED: HeaderName = HeaderName::from_static("x-elapsed-us");
const STORAGE_USAGE: HeaderName = HeaderName::from_static("x-storage-usage");
const STORAGE_QUOTA: HeaderName = HeaderName::from_static("x-storage-quota");
const STORAGE_NEEDED: HeaderName = HeaderName::from_static("x-storage-needed");

/// Plain text.
pub fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Reply {
    with(status, Body::full(body))
}

/// No body at all.
pub fn empty(status: StatusCode) -> Reply {
    with(status, Body::empty())
}

pub fn with(status: StatusCode, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, PLAIN);
    reply
}

/// The one form of errors: plain text, one line.
pub fn error(status: StatusCode, line: impl Display) -> Reply {
    text(status, format!("{line}\n"))
}

pub fn bad_request(why: impl Display) -> Reply {
    error(StatusCode::BAD_REQUEST, format_args!("bad request: {why}"))
}

pub fn bad_path(why: PathError) -> Reply {
    match why {
        PathError::TooLong => {
            error(StatusCode::URI_TOO_LONG, format_args!("uri too long: {}", why.text()))
        }
        _ => bad_request(why.text()),
    }
}

pub fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "world not found\n")
}

pub fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

pub fn options(allow: &'static str) -> Reply {
    let mut reply = empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// 401 for whom nobody knows, 403 for a token that is not good enough.
pub fn denied(denied: Denied) -> Reply {
    if denied.known {
        return error(StatusCode::FORBIDDEN, format_args!("forbidden: {}", denied.why));
    }
    let line = format_args!("auth required: {}", denied.why).to_string();
    let mut reply = error(StatusCode::UNAUTHORIZED, line);
    let headers = reply.headers_mut();
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"elastik\""));
    let basic = HeaderValue::from_static("Basic realm=\"elastik\", charset=\"UTF-8\"");
    headers.append(WWW_AUTHENTICATE, basic);
    reply
}

pub fn precondition_failed(why: &str) -> Reply {
    error(StatusCode::PRECONDITION_FAILED, format_args!("precondition failed: {why}"))
}

pub fn payload_too_large(max: u64) -> Reply {
    let line = format_args!("payload too large: max bytes {max}").to_string();
    error(StatusCode::PAYLOAD_TOO_LARGE, line)
}

/// Try again in a second.
pub fn unavailable(line: impl Display) -> Reply {
    let mut reply = error(StatusCode::SERVICE_UNAVAILABLE, line);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// What a refusal of the engine is on the wire.
pub fn refused(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::NotFound => not_found(),
        Refusal::NothingToMatch => precondition_failed("If-Match requires an existing world"),
        Refusal::Mismatch => precondition_failed("If-Match did not match current ETag"),
        Refusal::AlreadyThere => precondition_failed("If-None-Match matched current ETag"),
        Refusal::WrongOffset(size) => wrong_offset(*size),
        Refusal::TooLarge { max } | Refusal::MemoryFull { quota: max } => payload_too_large(*max),
        Refusal::StorageFull { used, quota, needed } => storage_full(*used, *quota, *needed),
        Refusal::DiskFull => {
            text(StatusCode::INSUFFICIENT_STORAGE, "insufficient storage: disk full\n")
        }
        Refusal::Busy => unavailable("storage temporarily unavailable: database busy"),
        Refusal::Overloaded => unavailable("storage temporarily unavailable: too many writes wait"),
        Refusal::OutcomeUnknown => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "outcome unknown: the write may or may not be on disk; read before writing again",
        ),
        Refusal::Stopped(why) => {
            error(StatusCode::SERVICE_UNAVAILABLE, format_args!("storage stopped: {why}"))
        }
        Refusal::Protected => {
            error(StatusCode::FORBIDDEN, "forbidden: delete ledger is append-only")
        }
        Refusal::Quarantined(why) => {
            error(StatusCode::CONFLICT, format_args!("world set aside: {why}"))
        }
        Refusal::Storage(_) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error: storage failure\n")
        }
        Refusal::TooMany { count, max, max_bytes } => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            format_args!(
                "group too large: {count} worlds or more, max {max} worlds and {max_bytes} bytes; nothing was done"
            ),
        ),
        Refusal::BadPath(why) => bad_path(*why),
        Refusal::Unprocessable(why) => {
            error(StatusCode::UNPROCESSABLE_ENTITY, format_args!("unprocessable: {why}"))
        }
        Refusal::Conflict(why) => error(StatusCode::CONFLICT, format_args!("conflict: {why}")),
    }
}

fn wrong_offset(size: u64) -> Reply {
    let mut reply = precondition_failed(&format!("world ends at byte {size}"));
    reply.headers_mut().insert(APPEND_OFFSET, size.into());
    reply
}

/// What must not happen; the reason goes to the log, not to the client.
pub fn internal(why: &str) -> Reply {
    eprintln!("elastik-core: internal error: {why}");
    text(StatusCode::INTERNAL_SERVER_ERROR, "internal error: see the log\n")
}

fn storage_full(used: u64, quota: u64, needed: u64) -> Reply {
    let line = format!(
        "storage quota exceeded: current {used} bytes, quota {quota} bytes, need {needed} more bytes"
    );
    let mut reply = error(StatusCode::INSUFFICIENT_STORAGE, line);
    let headers = reply.headers_mut();
    headers.insert(STORAGE_USAGE, used.into());
    headers.insert(STORAGE_QUOTA, quota.into());
    headers.insert(STORAGE_NEEDED, needed.into());
    reply
}

/// What every answer carries (core.md §2.1).
pub fn finish(reply: &mut Reply, id: u64, elapsed: Duration) {
    let headers = reply.headers_mut();
    headers.insert(REQUEST_ID, id.into());
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    headers.insert(ELAPSED, micros.into());
    headers.append(VARY, HeaderValue::from_static("Authorization"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
