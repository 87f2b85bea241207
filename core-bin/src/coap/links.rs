//! `/.well-known/core`: what there is, as links (RFC 6690), only what the caller may read.

use std::sync::Arc;

use bytes::Bytes;

use super::pins::{Reader, Version};
use super::reply::{self, Reply};
use super::verbs::Outcome;
use super::watch::Target;
use super::{Call, Door, Proof, format, read};
use crate::access::Action;
use crate::engine::{Entry, Head, Refusal};
use crate::path::WorldPath;

/// Worlds looked at for one list.
const MOST: usize = 20_000;
/// Bytes of one list.
const MOST_BYTES: usize = 1 << 20;
/// Entries taken from the engine at a time.
const PAGE: usize = 1000;

/// Headers that say what a world is, when `ELASTIK_PERSIST_HEADERS` keeps them.
const RESOURCE_TYPE: &str = "x-meta-rt";
const INTERFACE: &str = "x-meta-if";

/// A filtered list, as its reader sees it.
#[derive(Debug)]
pub struct Query {
    /// Name and wanted value; a final `*` is any suffix (RFC 6690 §4.1).
    filters: Vec<(String, String)>,
    name: String,
    proof: Proof,
}

pub async fn answer(door: &Door, call: &Call) -> Result<Outcome, Reply> {
    door.may(call, Action::Look)?;
    let request = &call.request;
    let name = name(&request.queries);
    let reader = Reader { peer: call.peer, target: name.clone() };
    if let Some(reply) = read::later_block(door, call, &reader).await {
        return reply.map(Outcome::from);
    }
    if request.accept.is_some_and(|accept| accept != format::LINKS) {
        return Err(read::not_acceptable());
    }
    let query = Query::new(&request.queries, name, call.proof.clone())?;
    let (version, seq) = query.list(door).await.map_err(|refusal| reply::refused(&refusal))?;
    let reply = read::send(door, call, reader, version.clone()).await?;
    Ok(read::watched(call, reply, Target::Links(Arc::new(query)), &version, seq))
}

impl Query {
    fn new(queries: &[Bytes], name: String, proof: Proof) -> Result<Self, Reply> {
        let parse = |query: &Bytes| {
            let text = std::str::from_utf8(query).ok()?;
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        };
        let filters: Option<Vec<_>> = queries.iter().map(parse).collect();
        let filters = filters.ok_or_else(|| {
            Reply::error(super::codec::Code::BAD_REQUEST, "a filter is name=value\n")
        })?;
        Ok(Self { filters, name, proof })
    }

    /// The list and the number of the newest event in it.
    pub async fn list(&self, door: &Door) -> Result<(Version, u64), Refusal> {
        let (tokens, who) = (door.tokens(), door.identify(&self.proof));
        let may = |path: &WorldPath| tokens.may(&who, Action::Read(path)).is_ok();
        let prefix = self.prefix();
        let (mut text, mut newest, mut seen) = (String::new(), 0, 0);
        let mut after = String::new();
        while seen < MOST && text.len() < MOST_BYTES {
            let page = door.engine.list(&prefix, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.path.as_str().to_owned();
            seen += page.len();
            let done = page.len() < PAGE;
            for entry in &page {
                if may(&entry.path)
                    && let Some(link) = self.link(door, entry).await?
                {
                    newest = newest.max(entry.seq);
                    if !text.is_empty() {
                        text.push(',');
                    }
                    text.push_str(&link);
                }
            }
            if done {
                break;
            }
        }
        Ok((Version::of_text(text, format::LINKS), newest))
    }

    /// Path and query, as they were asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What paths must begin with, when a filter on `href` says so.
    fn prefix(&self) -> String {
        let hrefs = self.filters.iter().filter(|(name, _)| name == "href");
        let texts = hrefs.map(|(_, value)| value.strip_suffix('*').unwrap_or(value));
        // Escaped characters cannot be a prefix of what the engine keeps unescaped.
        let plain = texts.map(|text| text.trim_start_matches('/')).find(|text| !text.contains('%'));
        plain.unwrap_or_default().to_owned()
    }

    /// The link of a world, if it is asked for.
    async fn link(&self, door: &Door, entry: &Entry) -> Result<Option<String>, Refusal> {
        let href = entry.path.location();
        if !self.wants("href", &[&href]) {
            return Ok(None);
        }
        let head = door.engine.head(&entry.path).await?;
        let word = |name| head.as_deref().map_or("", |head| header(head, name));
        let (types, interfaces) = (word(RESOURCE_TYPE), word(INTERFACE));
        let number = format::number(&entry.content_type).map(|number| number.to_string());
        let size = entry.size.to_string();
        let words =
            |text: &'_ str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let fits = self.filters.iter().all(|(name, _)| match name.as_str() {
            "href" => true,
            "rt" => self.wants("rt", &words(types)),
            "if" => self.wants("if", &words(interfaces)),
            "ct" => self.wants("ct", number.as_slice()),
            "sz" => self.wants("sz", std::slice::from_ref(&size)),
            _ => false,
        });
        Ok(fits.then(|| {
            let mut link = format!("<{href}>");
            for (name, text) in [("rt", types), ("if", interfaces)] {
                if !text.is_empty() {
                    link.push_str(&format!(";{name}=\"{text}\""));
                }
            }
            if let Some(number) = number {
                link.push_str(&format!(";ct={number}"));
            }
            link.push_str(&format!(";sz={size};obs;v={}", entry.seq));
            link
        }))
    }

    /// Whether one of the values is what every filter of this name asks for.
    fn wants(&self, name: &str, values: &[impl AsRef<str>]) -> bool {
        let mut asked = self.filters.iter().filter(|(filter, _)| filter == name);
        asked.all(|(_, wanted)| values.iter().any(|value| matches(wanted, value.as_ref())))
    }
}

fn name(queries: &[Bytes]) -> String {
    queries.iter().fold(".well-known/core".to_owned(), |mut all, query| {
        all.push('?');
        all.push_str(&String::from_utf8_lossy(query));
        all
    })
}

fn matches(wanted: &str, value: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => value.starts_with(prefix),
        None => value == wanted,
    }
}

/// A kept header that may stand between quotes.
fn header<'a>(head: &'a Head, name: &str) -> &'a str {
    let found = head.headers.iter().find(|(known, _)| known == name);
    let text = found.map_or("", |(_, value)| value.as_str());
    if text.contains(['"', '\\']) { "" } else { text }
}
