//! The access log: one structured line on stderr for each request.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use hyper::http::request::Parts;

use crate::access::{Identity, Tier};
use crate::engine::now_us;
use crate::time::rfc3339;

/// Lines that may wait for a slow stderr; further ones are counted and dropped.
const WAITING: usize = 1024;

/// Writes lines from a thread of its own, so that a blocked stderr stops no request.
pub struct AccessLog(SyncSender<String>);

/// What is known of a request before it is answered.
pub struct Line(String);

impl AccessLog {
    pub fn start() -> Option<Self> {
        let (sender, lines) = sync_channel::<String>(WAITING);
        let write = move || {
            for line in lines {
                eprintln!("{line}");
            }
        };
        std::thread::Builder::new().name("access-log".into()).spawn(write).ok()?;
        Some(Self(sender))
    }

    pub fn begin(&self, id: u64, peer: Option<SocketAddr>, parts: &Parts, who: &Identity) -> Line {
        let mut out = rfc3339(now_us());
        let _ = write!(out, " info request id={id}");
        match peer {
            Some(peer) => write!(out, " peer={peer}"),
            None => write!(out, " peer=unix"),
        }
        .unwrap_or_default();
        let tier = match who.tier {
            Tier::Anonymous => "anonymous",
            Tier::Read => "read",
            Tier::Write => "write",
            Tier::Approve => "approve",
        };
        // The path comes from outside: quoted, with controls escaped. Queries are left out.
        let _ = write!(
            out,
            " method={} path={:?} tier={tier}",
            parts.method.as_str(),
            parts.uri.path()
        );
        if let Some(name) = &who.name {
            let _ = write!(out, " token={name:?}");
        }
        Line(out)
    }

    pub fn end(&self, line: Line, status: u16, elapsed: Duration) {
        let Line(mut out) = line;
        let _ = write!(out, " status={status} us={}", elapsed.as_micros());
        let _ = self.0.try_send(out);
    }
}
