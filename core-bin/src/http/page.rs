//! The pages: `/`, and those under `/proc/` with a fixed name.

use std::fmt::Write;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;

use super::Door;
use super::list::{self, Form};
use super::meter;
use super::reply::{self, Reply};
use super::route::Proc;
use crate::VERSION;
use crate::access::Action;
use crate::engine::{Engine, Refusal};

pub fn root() -> Reply {
    let body = format!("elastik-core {VERSION} (rust)\ntry: curl /proc/worlds\n");
    reply::text(StatusCode::OK, body)
}

pub async fn answer(door: &Arc<Door>, parts: &Parts, page: Proc) -> Result<Reply, Reply> {
    let action = match page {
        Proc::Version => return Ok(version()),
        Proc::Health => return Ok(meter::health(door)),
        Proc::Worlds | Proc::Du => Action::Look,
        Proc::Ready => return Ok(meter::ready(door)),
        Proc::Df | Proc::Pool | Proc::Metrics => Action::Survey,
    };
    let who = door.admit(parts, action)?;
    match page {
        Proc::Worlds => list::all(door, parts, who, Form::Name).await,
        Proc::Du => list::all(door, parts, who, Form::Size).await,
        Proc::Df => {
            let text = usage(&door.engine).await.map_err(|refusal| reply::refused(&refusal))?;
            Ok(reply::text(StatusCode::OK, text))
        }
        Proc::Metrics => Ok(meter::metrics(door)),
        _ => Ok(reply::text(StatusCode::OK, counters(&door.engine))),
    }
}

fn version() -> Reply {
    reply::text(StatusCode::OK, format!("elastik-core {VERSION} (rust)\n"))
}

/// `/proc/df`: name, used, quota, free. The first three lines are those of 8.3.
async fn usage(engine: &Engine) -> Result<String, Refusal> {
    let (settings, durable, memory) =
        (engine.settings(), engine.durable_usage(), engine.memory_usage());
    let mut out = String::new();
    usage_line(&mut out, "storage", durable.bytes, settings.max_storage_bytes);
    usage_line(&mut out, "memory", memory.bytes, Some(settings.max_memory_bytes));
    usage_line(&mut out, "worlds", durable.worlds + memory.worlds, None);
    let (history, log) = engine.kept().await?;
    usage_line(&mut out, "history", history, settings.rules.max_history);
    usage_line(&mut out, "log", log, settings.rules.max_log);
    for (prefix, used, quota) in engine.quotas() {
        usage_line(&mut out, &format!("{prefix}*"), used, Some(quota));
    }
    Ok(out)
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
