//! The verbs on a world: GET, HEAD, PUT, POST, DELETE.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED, LINK, LOCATION, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::compress::Coding;
use super::range::Ranges;
use super::reply::{self, Reply};
use super::{Door, conditional, headers, key, patch, route, send, take, transfer};
use crate::access::Action;
use crate::engine::{Caller, Conditions, Done, Head, LIFETIME_HEADER, Op, Tag, Verb, Write};
use crate::path::WorldPath;

const PURGE: HeaderName = HeaderName::from_static("x-elastik-purge");
const AUDIT_VALID: HeaderName = HeaderName::from_static("x-audit-valid");

pub async fn answer(
    door: &Arc<Door>,
    parts: &Parts,
    encoded: &str,
    body: &mut Incoming,
) -> Result<Reply, Reply> {
    let path = route::world(encoded).map_err(reply::bad_path)?;
    match parts.method {
        Method::PUT | Method::POST => write(door, parts, path, body).await,
        Method::DELETE if transfer::is_tree(&parts.headers)? => {
            transfer::remove_tree(door, parts, &path).await
        }
        Method::DELETE => delete(door, parts, path).await,
        Method::PATCH => patch::answer(door, parts, path, body).await,
        Method::GET | Method::HEAD => read(door, parts, path).await,
        _ => transfer::answer(door, parts, path).await,
    }
}

/// GET and HEAD: the same answer, with and without the bytes.
async fn read(door: &Arc<Door>, parts: &Parts, path: WorldPath) -> Result<Reply, Reply> {
    door.admit(parts, Action::Read(&path))?;
    let head = door.engine.head(&path).await.map_err(|refusal| reply::refused(&refusal))?;
    let Some(head) = head else { return Err(reply::not_found()) };
    represent(door, parts, &head)
}

/// One version of a world, as GET and HEAD show it.
pub fn represent(door: &Arc<Door>, parts: &Parts, head: &Arc<Head>) -> Result<Reply, Reply> {
    let compressor = door.compressor.as_ref();
    let coding = compressor.map_or(Coding::Fixed, |compressor| compressor.of_world(parts, head));
    match conditional::of_read(&parts.headers, head, coding == Coding::Gzip) {
        conditional::Verdict::Failed(why) => return Err(reply::precondition_failed(why)),
        conditional::Verdict::NotModified => {
            let mut reply = reply::empty(StatusCode::NOT_MODIFIED);
            describe(door, reply.headers_mut(), head);
            told(reply.headers_mut(), head, coding);
            return Ok(reply);
        }
        conditional::Verdict::Proceed => {}
    }
    let bodiless = parts.method == Method::HEAD;
    // A Range is defined for GET only (RFC 9110 §14.2).
    let ranges = if bodiless { Ranges::Whole } else { conditional::ranges(&parts.headers, head) };
    let mut reply = match &ranges {
        Ranges::Unsatisfiable => return Err(send::unsatisfiable(head.size)),
        Ranges::Whole => send::whole(door, head, bodiless),
        Ranges::Parts(parts) => send::partial(door, head, parts),
    };
    let content_type = reply.headers_mut().remove(CONTENT_TYPE);
    describe(door, reply.headers_mut(), head);
    // Several parts have a type of their own.
    if matches!(&ranges, Ranges::Parts(parts) if parts.len() > 1) {
        content_type.map(|value| reply.headers_mut().insert(CONTENT_TYPE, value));
    }
    if let Some(compressor) = compressor {
        let coding = compressor.send(coding, &parts.method, &mut reply);
        told(reply.headers_mut(), head, coding);
    }
    Ok(reply)
}

/// The answer depends on what the client accepts, and two codings never share a tag.
fn told(headers: &mut HeaderMap, head: &Head, coding: Coding) {
    if coding != Coding::Fixed {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if coding == Coding::Gzip {
        headers.insert(ETAG, value(&format!("\"{}{}\"", head.tag, conditional::GZIP)));
    }
}

/// What is told of a world besides its bytes.
fn describe(door: &Door, headers: &mut HeaderMap, head: &Head) {
    headers.insert(CONTENT_TYPE, value(&head.content_type));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match conditional::tag_of(head) {
        Some(tag) => headers.insert(ETAG, quoted(&tag)),
        None => headers.insert(AUDIT_VALID, HeaderValue::from_static("false")),
    };
    headers.insert(LAST_MODIFIED, value(&conditional::http_date(conditional::modified(head))));
    headers.append(LINK, value(&format!("</listen{}>; rel=\"monitor\"", head.path.location())));
    headers.append(LINK, HeaderValue::from_static("</proc/worlds>; rel=\"collection\""));
    for (name, text) in &*head.headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.insert(name, value(text));
        }
    }
    if let Some(policy) = door.page_policy.as_ref().filter(|_| is_page(&head.content_type)) {
        headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| policy.clone());
    }
}

/// What a browser would run scripts of, with the rights of this origin.
fn is_page(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Any XML may hold elements of XHTML or SVG, and with them scripts.
    essence == "text/html" || essence.ends_with("/xml") || essence.ends_with("+xml")
}

/// A stored text as a header; imported ones may hold bytes that no header can.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let visible = text.bytes().map(|b| if (b' '..=b'~').contains(&b) { b } else { b'?' });
        HeaderValue::from_bytes(&visible.collect::<Vec<u8>>())
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

fn quoted(tag: &Tag) -> HeaderValue {
    value(&format!("\"{tag}\""))
}

/// PUT and POST: everything that can be refused without the body is refused before it is read.
async fn write(
    door: &Arc<Door>,
    parts: &Parts,
    path: WorldPath,
    body: &mut Incoming,
) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Write(&path))?;
    let caller = key::caller(parts, &who)?;
    lifetime(&parts.headers)?;
    let mut conditions = conditional::of_write(&parts.headers);
    let verb = if parts.method == Method::PUT {
        let body = take::take(door, &path, body).await?;
        let content_type = headers::content_type(&parts.headers).into();
        Verb::Put { body, content_type, headers: door.policy.kept(&parts.headers) }
    } else {
        conditions.offset = offset(&parts.headers)?;
        Verb::Append { body: take::take(door, &path, body).await? }
    };
    let done = commit(door, caller, path.clone(), verb, conditions).await?;
    let replaced = StatusCode::OK;
    Ok(written(&path, &done, replaced))
}

/// What is told of a world that was written: 201 and where it is, or `replaced`; and its tag.
pub fn written(path: &WorldPath, done: &Done, replaced: StatusCode) -> Reply {
    let mut reply = reply::empty(if done.created { StatusCode::CREATED } else { replaced });
    if let Some(tag) = &done.tag {
        reply.headers_mut().insert(ETAG, quoted(tag));
    }
    if done.created {
        reply.headers_mut().insert(LOCATION, value(&path.location()));
    }
    reply
}

/// A lifetime that is none must not pass for one that is kept.
fn lifetime(headers: &HeaderMap) -> Result<(), Reply> {
    let Some(value) = headers.get(LIFETIME_HEADER) else { return Ok(()) };
    match value.to_str().unwrap_or_default().parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(reply::bad_request("x-elastik-ttl must be whole seconds")),
    }
}

/// Where an append has to begin, when the client says so.
fn offset(headers: &HeaderMap) -> Result<Option<u64>, Reply> {
    let Some(value) = headers.get(reply::APPEND_OFFSET) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    match text.parse() {
        Ok(offset) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(offset)),
        _ => Err(reply::bad_request("x-append-offset must be a number of bytes")),
    }
}

async fn delete(door: &Arc<Door>, parts: &Parts, path: WorldPath) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Delete(&path))?;
    let caller = key::caller(parts, &who)?;
    let verb = if purges(&parts.headers)? { Verb::Purge } else { Verb::Delete };
    commit(door, caller, path, verb, conditional::of_write(&parts.headers)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Whether nothing is to be left of a body, also not of the versions that are kept.
fn purges(headers: &HeaderMap) -> Result<bool, Reply> {
    match headers.get(PURGE).map(|value| value.as_bytes()) {
        None | Some(b"false" | b"0") => Ok(false),
        Some(b"true" | b"1") => Ok(true),
        Some(_) => Err(reply::bad_request("x-elastik-purge must be true or false")),
    }
}

/// One op through the one commit path.
async fn commit(
    door: &Door,
    caller: Caller,
    path: WorldPath,
    verb: Verb,
    conditions: Conditions,
) -> Result<Done, Reply> {
    let op = Op { path, verb, conditions, link: None };
    let Caller { writer, key } = caller;
    let write = Write { ops: vec![op], writer, key, ..Write::default() };
    let done = door.engine.write(write).await.map_err(|refusal| reply::refused(&refusal))?;
    done.into_iter().next().ok_or_else(|| reply::internal("no answer to a write"))
}
