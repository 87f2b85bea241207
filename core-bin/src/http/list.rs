//! Lists of worlds: `/proc/worlds`, `/proc/du`, and `/proc/list/<directory>`.
//!
//! A list is read page by page, each page after the last path of the one before, so a world that
//! is there all the time is listed exactly once, whatever is written meanwhile.

use std::fmt::Write;
use std::sync::Arc;

use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use hyper::http::request::Parts;

use super::pages::{self, Pages};
use super::reply::{self, Reply};
use super::{Door, query};
use crate::access::{Action, Identity};
use crate::engine::{Engine, Entry, Refusal};
use crate::path::{NAMESPACES, PathError, WorldPath, percent_decode};
use crate::time::rfc3339;

/// Worlds read at a time.
const PAGE: usize = 1000;
/// After this character nothing of a directory follows.
const LAST: char = '\u{10ffff}';

/// How a world is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Name,
    Size,
    /// Path, size, etag, type, time and number of events, by tabs.
    Text,
    /// The same as one JSON object.
    Json,
}

/// Every world, in the form of 8.3's pages.
pub async fn all(
    door: &Arc<Door>,
    parts: &Parts,
    who: Identity,
    form: Form,
) -> Result<Reply, Reply> {
    let engine = door.engine.clone();
    pages::answer(parts, List { form, ..List::new(engine, who, String::new()) }).await
}

/// The worlds below a directory: `?depth=` counts segments, `?after=` and `?limit=` cut a page.
pub async fn below(door: &Arc<Door>, parts: &Parts, encoded: &str) -> Result<Reply, Reply> {
    let prefix = directory(encoded).map_err(reply::bad_path)?;
    let query = parts.uri.query();
    let depth = query::number(query, "depth")?.unwrap_or(0);
    let limit = query::number(query, "limit")?.unwrap_or(0);
    let after = query::text(query, "after")?.unwrap_or_default();
    let who = door.admit(parts, Action::Look)?;
    let json = wants_json(&parts.headers);
    let list = List {
        form: if json { Form::Json } else { Form::Text },
        depth: usize::try_from(depth).unwrap_or(usize::MAX),
        left: if limit == 0 { u64::MAX } else { limit },
        after: from(after.trim_start_matches('/')),
        ..List::new(door.engine.clone(), who, prefix)
    };
    let mut reply = pages::answer(parts, list).await?;
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept"));
    if json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    }
    Ok(reply)
}

/// `home/sensor`, `sensor/` and `/home/sensor/` are `home/sensor/`; nothing is everything.
fn directory(encoded: &str) -> Result<String, PathError> {
    let text = String::from_utf8(percent_decode(encoded)).map_err(|_| PathError::NotUtf8)?;
    let bare = text.trim_start_matches('/');
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    if bare.is_empty() {
        return Ok(String::new());
    }
    if NAMESPACES.contains(&bare) || bare == "var/log" {
        return Ok(format!("{bare}/"));
    }
    // A memory world's name has no limit, so a name below it cannot be too long.
    match WorldPath::parse(bare) {
        Ok(path) => Ok(format!("{path}/")),
        Err(error) => Err(error),
    }
}

/// Where a page begins: a directory as `after` is passed as a whole.
fn from(after: &str) -> String {
    if after.ends_with('/') { format!("{after}{LAST}") } else { after.to_owned() }
}

/// Whether JSON is named in `Accept`, and not after plain text.
pub fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kinds = accept.split(',').map(|item| item.split(';').next().unwrap_or_default().trim());
    for kind in kinds {
        match kind.to_ascii_lowercase().as_str() {
            "application/jsonl" | "application/x-ndjson" | "application/json" => return true,
            "text/plain" => return false,
            _ => {}
        }
    }
    false
}

/// A list on its way.
struct List {
    engine: Engine,
    who: Identity,
    form: Form,
    /// Empty, or a path with a slash at its end.
    prefix: String,
    /// Segments below the prefix that are told apart; 0 is all.
    depth: usize,
    /// Lines that may still be written.
    left: u64,
    after: String,
    done: bool,
    /// The directory written last.
    directory: String,
}

impl List {
    fn new(engine: Engine, who: Identity, prefix: String) -> Self {
        let (after, directory) = (String::new(), String::new());
        let (depth, left, done) = (0, u64::MAX, false);
        Self { engine, who, form: Form::Text, prefix, depth, left, after, done, directory }
    }

    /// Writes a world, or the directory it is in, once.
    fn take(&mut self, out: &mut String, world: &Entry) {
        let Some(length) = self.directory_of(world.path.as_str()) else {
            self.left -= 1;
            self.form.world(out, world);
            return;
        };
        let directory = &world.path.as_str()[..length];
        if self.directory != directory {
            self.left -= 1;
            self.form.directory(out, directory);
            directory.clone_into(&mut self.directory);
        }
    }

    /// How much of a path is its directory, when the path is deeper than what is told apart.
    fn directory_of(&self, path: &str) -> Option<usize> {
        if self.depth == 0 {
            return None;
        }
        let below = path.get(self.prefix.len()..)?;
        let (at, _) = below.match_indices('/').nth(self.depth - 1)?;
        Some(self.prefix.len() + at + 1)
    }
}

impl Pages for List {
    async fn page(&mut self) -> Result<String, Refusal> {
        let worlds = self.engine.list(&self.prefix, &self.after, PAGE).await?;
        let mut out = String::with_capacity(worlds.len().min(PAGE) * 64);
        self.done = worlds.len() < PAGE;
        for world in &worlds {
            self.after.clear();
            self.after.push_str(world.path.as_str());
            if self.left == 0 {
                break;
            }
            if self.who.sees(&world.path) {
                self.take(&mut out, world);
            }
        }
        // The rest of a large directory need not be read.
        if !self.directory.is_empty() && self.after.starts_with(&self.directory) {
            self.after = from(&self.directory);
        }
        self.done |= self.left == 0;
        Ok(out)
    }

    fn done(&self) -> bool {
        self.done
    }
}

impl Form {
    fn world(self, out: &mut String, world: &Entry) {
        let Entry { path, size, tag, content_type, modified_us, events, .. } = world;
        let time = rfc3339(*modified_us);
        let _ = match self {
            Self::Name => writeln!(out, "{path}"),
            Self::Size => writeln!(out, "{path}\t{size}"),
            Self::Text => {
                let kind = content_type.replace(char::is_control, " ");
                writeln!(out, "{path}\t{size}\t{tag}\t{kind}\t{time}\t{events}")
            }
            Self::Json => {
                let line = serde_json::json!({
                    "path": path.as_str(), "size": size, "etag": tag.to_string(),
                    "type": &**content_type, "modified": time, "events": events,
                });
                writeln!(out, "{line}")
            }
        };
    }

    fn directory(self, out: &mut String, directory: &str) {
        let _ = match self {
            Self::Json => writeln!(out, "{}", serde_json::json!({ "path": directory })),
            _ => writeln!(out, "{directory}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn directories_in_their_forms() {
        let table = [
            ("", ""),
            ("/", ""),
            ("home", "home/"),
            ("var/log/", "var/log/"),
            ("sensor", "home/sensor/"),
            ("/home/a%20b/", "home/a b/"),
        ];
        for (text, prefix) in table {
            assert_eq!(directory(text).as_deref(), Ok(prefix), "{text}");
        }
        assert!(
            directory("a//b").is_err() && directory("..").is_err() && directory("%FF").is_err()
        );
    }

    #[test]
    fn json_is_asked_for_by_accept() {
        let wants = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(text).unwrap());
            wants_json(&headers)
        };
        assert!(wants("application/jsonl") && wants("application/x-ndjson;q=0.9, */*"));
        assert!(!wants("*/*") && !wants("text/plain, application/json") && !wants(""));
    }

    proptest! {
        #[test]
        fn no_directory_panics(text in "\\PC{0,30}") {
            if let Ok(prefix) = directory(&text) {
                prop_assert!(prefix.is_empty() || prefix.ends_with('/'));
            }
        }
    }
}
