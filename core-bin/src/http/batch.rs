//! `POST /proc/batch`: writes to many worlds in one commit, one JSON object a line.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::reply::{self, Reply};
use super::{Door, conditional, key, take};
use crate::access::Action;
use crate::engine::{Conditions, Done, Op, Refusal, Verb, Write};
use crate::path::WorldPath;

const MEMBERS: [&str; 9] =
    ["op", "path", "body", "base64", "type", "headers", "if-match", "if-none-match", "offset"];

/// One line, understood but for its body, which is not in the store yet.
struct Line {
    path: WorldPath,
    what: What,
    body: Bytes,
    content_type: String,
    headers: HeaderMap,
    conditions: Conditions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Put,
    Append,
    Delete,
    Check,
}

pub async fn answer(door: &Arc<Door>, parts: &Parts, body: &mut Incoming) -> Result<Reply, Reply> {
    let who = door.admit(parts, Action::Batch)?;
    let caller = key::caller(parts, &who)?;
    let settings = door.engine.settings();
    let (max, max_bytes) = (settings.max_group_worlds, settings.max_group_bytes);
    // Base64 and the members around a body take some room as well.
    let text = take::whole(door, body, max_bytes.saturating_mul(2)).await?;
    let lines = lines(&text)?;
    let size: u64 = lines.iter().map(|line| line.body.len() as u64).sum();
    if lines.len() > max || size > max_bytes {
        let count = lines.len();
        return Err(reply::refused(&Refusal::TooMany { count, max, max_bytes }));
    }
    for line in &lines {
        door.admit(parts, line.action())?;
    }
    let mut told = Vec::with_capacity(lines.len());
    let mut ops = Vec::with_capacity(lines.len());
    for line in lines {
        told.push((line.path.clone(), line.what));
        ops.push(op(door, line).await.map_err(|refusal| reply::refused(&refusal))?);
    }
    let write = Write { ops, writer: caller.writer, key: caller.key, ..Write::default() };
    let done = door.engine.write(write).await.map_err(|refusal| reply::refused(&refusal))?;
    Ok(outcome(&told, &done))
}

async fn op(door: &Door, line: Line) -> Result<Op, Refusal> {
    let Line { path, what, body, content_type, headers, conditions } = line;
    let verb = match what {
        What::Delete => Verb::Delete,
        What::Check => Verb::Guard,
        What::Put | What::Append => {
            let mut upload = door.engine.upload(&path);
            upload.push(body).await?;
            let body = upload.finish().await?;
            if what == What::Append {
                Verb::Append { body }
            } else {
                let headers = door.policy.kept(&headers);
                Verb::Put { body, content_type: content_type.into(), headers }
            }
        }
    };
    Ok(Op { path, verb, conditions, link: None })
}

/// A line for each op, in their order.
fn outcome(told: &[(WorldPath, What)], done: &[Done]) -> Reply {
    let mut out = String::with_capacity(told.len() * 128);
    for ((path, what), done) in told.iter().zip(done) {
        let status = match what {
            What::Delete => 204,
            _ if done.created => 201,
            _ => 200,
        };
        let mut line = serde_json::json!({ "path": path.as_str(), "status": status });
        if let Some(tag) = &done.tag {
            line["etag"] = tag.to_string().into();
        }
        let _ = writeln!(out, "{line}");
    }
    let mut reply = reply::text(StatusCode::OK, out);
    let kind = HeaderValue::from_static("application/jsonl");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

impl Line {
    fn action(&self) -> Action<'_> {
        match self.what {
            What::Put | What::Append => Action::Write(&self.path),
            What::Delete => Action::Delete(&self.path),
            What::Check => Action::Read(&self.path),
        }
    }
}

/// Reads all lines; the first that is wrong is named by its number.
fn lines(text: &[u8]) -> Result<Vec<Line>, Reply> {
    let mut out = Vec::new();
    for (at, text) in text.split(|byte| *byte == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let line = line(text);
        out.push(line.map_err(|why| reply::bad_request(format_args!("line {}: {why}", at + 1)))?);
    }
    if out.is_empty() { Err(reply::bad_request("the batch is empty")) } else { Ok(out) }
}

fn line(text: &[u8]) -> Result<Line, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| format!("not a JSON object: {error}"))?;
    if let Some(name) = object.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("{name} is not known"));
    }
    let what = match string(&object, "op")? {
        Some("put") => What::Put,
        Some("append") => What::Append,
        Some("delete") => What::Delete,
        Some("check") => What::Check,
        Some(other) => return Err(format!("op must be put, append, delete or check; got {other}")),
        None => return Err("op is missing".to_owned()),
    };
    let path = string(&object, "path")?.ok_or("path is missing")?;
    let path = WorldPath::parse(path).map_err(|error| error.text().to_owned())?;
    let (body, usual_type) = body(&object)?;
    let content_type = string(&object, "type")?.unwrap_or(usual_type).to_owned();
    if HeaderValue::from_str(&content_type).is_err() || content_type.is_empty() {
        return Err("type must be visible ASCII".to_owned());
    }
    let offset = match object.get("offset") {
        None => None,
        Some(value) => Some(value.as_u64().ok_or("offset must be a number of bytes")?),
    };
    let conditions = Conditions {
        if_match: tags(&object, "if-match", IF_MATCH)?,
        if_none_match: tags(&object, "if-none-match", IF_NONE_MATCH)?,
        offset,
        ..Conditions::default()
    };
    Ok(Line { path, what, body, content_type, headers: headers(&object)?, conditions })
}

fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} must be a string")),
    }
}

/// `body` is text, `base64` is bytes; with each the type it has when none is given.
fn body(object: &Map<String, Value>) -> Result<(Bytes, &'static str), String> {
    match (string(object, "body")?, string(object, "base64")?) {
        (Some(_), Some(_)) => Err("body and base64 are both given".to_owned()),
        (Some(text), None) => Ok((text.to_owned().into(), "text/plain; charset=utf-8")),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text).map_err(|error| format!("base64: {error}"))?;
            Ok((bytes.into(), "application/octet-stream"))
        }
        (None, None) => Ok((Bytes::new(), "application/octet-stream")),
    }
}

fn tags(
    object: &Map<String, Value>,
    member: &str,
    name: HeaderName,
) -> Result<Option<crate::engine::Tags>, String> {
    let Some(text) = string(object, member)? else { return Ok(None) };
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(text).map_err(|_| format!("{member} must be ASCII"))?;
    headers.insert(name.clone(), value);
    Ok(conditional::tags(&headers, name))
}

/// The members of `headers`, held to the same rules as a request's.
fn headers(object: &Map<String, Value>) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::new();
    let list = match object.get("headers") {
        None => return Ok(out),
        Some(Value::Object(list)) => list,
        Some(_) => return Err("headers must be an object".to_owned()),
    };
    for (name, value) in list {
        let value = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Some(value)) = (name, value) else {
            return Err("headers must have names and values as HTTP has".to_owned());
        };
        out.insert(name, value);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_in_their_forms() {
        let put = line(br#"{"op":"put","path":"a","body":"x","headers":{"x-a":"b"}}"#).unwrap();
        assert_eq!((put.what, put.path.as_str(), &put.body[..]), (What::Put, "home/a", &b"x"[..]));
        assert_eq!(put.content_type, "text/plain; charset=utf-8");
        let append =
            line(br#"{"op":"append","path":"/tmp/a","base64":"AAE=","offset":7}"#).unwrap();
        assert_eq!((&append.body[..], append.conditions.offset), (&[0, 1][..], Some(7)));
        let check = line(br#"{"op":"check","path":"a","if-match":"*"}"#).unwrap();
        assert!(check.conditions.if_match.is_some_and(|tags| tags.any));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("[]", "not a JSON object"),
            (r#"{"op":"put"}"#, "path is missing"),
            (r#"{"path":"a"}"#, "op is missing"),
            (r#"{"op":"get","path":"a"}"#, "op must be put"),
            (r#"{"op":"put","path":"a/../b"}"#, "dot segment"),
            (r#"{"op":"put","path":"a","bdy":"x"}"#, "bdy is not known"),
            (r#"{"op":"put","path":"a","body":1}"#, "body must be a string"),
            (r#"{"op":"put","path":"a","base64":"!"}"#, "base64: "),
            (r#"{"op":"put","path":"a","body":"","base64":""}"#, "both given"),
            (r#"{"op":"put","path":"a","type":"\n"}"#, "type must be"),
            (r#"{"op":"append","path":"a","offset":-1}"#, "offset must be"),
            (r#"{"op":"put","path":"a","headers":{"a b":"c"}}"#, "headers must have"),
        ];
        for (text, part) in table {
            let error = line(text.as_bytes()).err().unwrap_or_default();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_batch_panics(text in "\\PC{0,60}", name in "(op|path|body|type|headers|if-match)") {
            let _ = lines(text.as_bytes());
            let object = serde_json::json!({ "op": "put", "path": "a", name: text });
            let _ = line(object.to_string().as_bytes());
        }
    }
}
