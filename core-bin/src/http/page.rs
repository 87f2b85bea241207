//! The pages: `/`, and those under `/proc/` with a fixed name.

use std::fmt::Write;
use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::Door;
use super::body::{Body, Feed, Gone};
use super::reply::{self, Reply};
use super::route::Proc;
use crate::VERSION;
use crate::access::{Action, Identity};
use crate::engine::{Engine, Entry, Refusal};

/// Worlds read at a time for a list.
const PAGE: usize = 1000;

pub fn root() -> Reply {
    let body = format!("elastik-core {VERSION} (rust)\ntry: curl /proc/worlds\n");
    reply::text(StatusCode::OK, body)
}

pub async fn answer(door: &Arc<Door>, parts: &Parts, page: Proc) -> Result<Reply, Reply> {
    if page == Proc::Version {
        let body = format!("elastik-core {VERSION} (rust)\n");
        return Ok(reply::text(StatusCode::OK, body));
    }
    let who = door.admit(&parts.headers, Action::Look)?;
    let bodiless = parts.method == Method::HEAD;
    match page {
        Proc::Worlds => lines(door, who, bodiless, name_line).await,
        Proc::Du => lines(door, who, bodiless, size_line).await,
        Proc::Df => Ok(reply::text(StatusCode::OK, usage(&door.engine))),
        Proc::Pool | Proc::Version => Ok(reply::text(StatusCode::OK, counters(&door.engine))),
    }
}

/// Writes one world's line.
type Line = fn(&mut String, &Entry);

fn name_line(out: &mut String, world: &Entry) {
    let _ = writeln!(out, "{}", world.path);
}

fn size_line(out: &mut String, world: &Entry) {
    let _ = writeln!(out, "{}\t{}", world.path, world.size);
}

/// A line for each world: a short list whole, with its length; a long one page by page.
async fn lines(
    door: &Arc<Door>,
    who: Identity,
    bodiless: bool,
    line: Line,
) -> Result<Reply, Reply> {
    let mut list = List { engine: door.engine.clone(), who, line, after: String::new() };
    let first = list.page().await.map_err(|refusal| reply::refused(&refusal))?;
    if list.after.is_empty() {
        return Ok(reply::text(StatusCode::OK, first));
    }
    if bodiless {
        return Ok(reply::with(StatusCode::OK, Body::fed(None).1));
    }
    let (feed, body) = Body::fed(None);
    tokio::spawn(async move {
        let _ = list.send(&feed, first).await;
    });
    Ok(reply::with(StatusCode::OK, body))
}

struct List {
    engine: Engine,
    who: Identity,
    line: Line,
    /// The last path of the page before; empty when there is no next page.
    after: String,
}

impl List {
    async fn page(&mut self) -> Result<String, Refusal> {
        let worlds = self.engine.list("", &self.after, PAGE).await?;
        let mut out = String::with_capacity(worlds.len() * 32);
        for world in worlds.iter().filter(|world| self.who.sees(&world.path)) {
            (self.line)(&mut out, world);
        }
        self.after = match worlds.last() {
            Some(world) if worlds.len() == PAGE => world.path.as_str().to_owned(),
            _ => String::new(),
        };
        Ok(out)
    }

    async fn send(&mut self, feed: &Feed, first: String) -> Result<(), Gone> {
        let mut page = first;
        loop {
            if !page.is_empty() {
                feed.send(page.into()).await?;
            }
            if self.after.is_empty() {
                return Ok(());
            }
            match self.page().await {
                Ok(next) => page = next,
                Err(refusal) => {
                    feed.fail(format!("{refusal:?}")).await;
                    return Err(Gone);
                }
            }
        }
    }
}

/// `/proc/df`: name, used, quota, free.
fn usage(engine: &Engine) -> String {
    let (settings, durable, memory) =
        (engine.settings(), engine.durable_usage(), engine.memory_usage());
    let mut out = String::new();
    usage_line(&mut out, "storage", durable.bytes, settings.max_storage_bytes);
    usage_line(&mut out, "memory", memory.bytes, Some(settings.max_memory_bytes));
    usage_line(&mut out, "worlds", durable.worlds + memory.worlds, None);
    out
}

fn usage_line(out: &mut String, name: &str, used: u64, quota: Option<u64>) {
    let _ = match quota {
        Some(quota) => writeln!(out, "{name}\t{used}\t{quota}\t{}", quota.saturating_sub(used)),
        None => writeln!(out, "{name}\t{used}\tunlimited\tunlimited"),
    };
}

/// `/proc/pool`: name, value, kind.
fn counters(engine: &Engine) -> String {
    let mut out = String::new();
    for counter in engine.counters() {
        let _ = writeln!(out, "{} {} {}", counter.name, counter.value, counter.kind);
    }
    out
}
