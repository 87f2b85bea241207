//! Numbers for people who watch: `/proc/metrics`, `/proc/health`, `/proc/ready`.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};

use super::Door;
use super::reply::{self, Reply};
use crate::VERSION;
use crate::engine::Engine;

const METHODS: [&str; 10] =
    ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "COPY", "MOVE", "other"];

/// Upper bounds of the latency buckets, in microseconds.
const BOUNDS: [u64; 10] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Counts what the door does.
pub struct Meter {
    started: Instant,
    /// By method, then by the first digit of the status.
    answers: [[AtomicU64; 6]; METHODS.len()],
    /// Answers within each bound; the last is all others.
    times: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
    /// Answers with status 500: the core's own failures, told apart from quotas and busy stores.
    internal: AtomicU64,
    pub connections: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            answers: Default::default(),
            times: Default::default(),
            micros: AtomicU64::new(0),
            internal: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }
}

/// The method's place in the table; taken before the request is consumed.
pub fn index(method: &Method) -> usize {
    let found = METHODS.iter().position(|known| *known == method.as_str());
    found.unwrap_or(METHODS.len() - 1)
}

impl Meter {
    pub fn count(&self, method: usize, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).min(5);
        self.answers[method.min(METHODS.len() - 1)][class].fetch_add(1, Relaxed);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            self.internal.fetch_add(1, Relaxed);
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.times[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub fn internal_errors(&self) -> u64 {
        self.internal.load(Relaxed)
    }

    #[cfg(test)]
    pub fn answered(&self) -> u64 {
        self.times.iter().map(|count| count.load(Relaxed)).sum()
    }

    fn requests(&self, out: &mut String) {
        header(out, "elastik_requests_total", "counter", "Answers by method and status class.");
        for (method, classes) in METHODS.iter().zip(&self.answers) {
            for (class, count) in classes.iter().enumerate() {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = format!("{{method=\"{method}\",status=\"{class}xx\"}}");
                    let _ = writeln!(out, "elastik_requests_total{labels} {count}");
                }
            }
        }
    }

    fn latency(&self, out: &mut String) {
        let name = "elastik_request_seconds";
        header(out, name, "histogram", "From a request's head to its answer's head.");
        let mut sum = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.times) {
            sum += count.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {sum}", seconds(*bound));
        }
        sum += self.times[BOUNDS.len()].load(Relaxed);
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {sum}");
        let _ = writeln!(out, "{name}_sum {}", seconds(self.micros.load(Relaxed)));
        let _ = writeln!(out, "{name}_count {sum}");
    }
}

#[allow(clippy::cast_precision_loss)] // a metric, not an account
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    header(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

/// Prometheus' text form.
pub fn metrics(door: &Door) -> Reply {
    let mut out = String::with_capacity(4096);
    header(&mut out, "elastik_build_info", "gauge", "The version that runs.");
    let _ = writeln!(out, "elastik_build_info{{version=\"{VERSION}\"}} 1");
    let meter = &door.meter;
    let up = meter.started.elapsed().as_secs_f64();
    single(&mut out, "elastik_uptime_seconds", "gauge", "Since the start.", up);
    let open = meter.connections.load(Relaxed);
    single(&mut out, "elastik_connections", "gauge", "Open connections.", open);
    let streams = door.max_listeners.saturating_sub(door.listeners.available_permits());
    single(&mut out, "elastik_listen_connections", "gauge", "Open event streams.", streams);
    usage(&mut out, &door.engine);
    for counter in door.engine.counters() {
        let (kind, suffix) =
            if counter.kind == "counter" { ("counter", "_total") } else { ("gauge", "") };
        let name = format!("elastik_{}{suffix}", counter.name);
        single(&mut out, &name, kind, "As in /proc/pool.", counter.value);
    }
    meter.requests(&mut out);
    let internal = meter.internal_errors();
    let what = "Answers with status 500.";
    single(&mut out, "elastik_internal_errors_total", "counter", what, internal);
    meter.latency(&mut out);
    let mut reply = reply::text(StatusCode::OK, out);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

fn usage(out: &mut String, engine: &Engine) {
    let (durable, memory, settings) =
        (engine.durable_usage(), engine.memory_usage(), engine.settings());
    single(out, "elastik_storage_bytes", "gauge", "Bodies on disk.", durable.bytes);
    if let Some(quota) = settings.max_storage_bytes {
        single(out, "elastik_storage_quota_bytes", "gauge", "What they may take.", quota);
    }
    single(out, "elastik_memory_bytes", "gauge", "Bodies in memory.", memory.bytes);
    let quota = settings.max_memory_bytes;
    single(out, "elastik_memory_quota_bytes", "gauge", "What they may take.", quota);
    let worlds = durable.worlds + memory.worlds;
    single(out, "elastik_worlds", "gauge", "Worlds, without the ledger.", worlds);
    let writable = u8::from(engine.stopped().is_none());
    single(out, "elastik_writable", "gauge", "Whether durable writes are taken.", writable);
    let damaged = u8::from(engine.is_damaged());
    single(out, "elastik_damaged", "gauge", "Whether a page of the file does not hold.", damaged);
}

/// Says that somebody is there, and whether all is well; needs no token. A restart would not mend
/// what is told here, so it is 200 in any case.
pub fn health(door: &Door) -> Reply {
    let well = door.engine.stopped().is_none();
    reply::text(StatusCode::OK, if well { "ok\n" } else { "ok, but durable writes stopped\n" })
}

/// Whether durable writes can be expected to succeed; 503 with the reason otherwise.
pub fn ready(door: &Door) -> Reply {
    if *door.stopping.borrow() {
        return reply::unavailable("not ready: shutting down");
    }
    if let Some(why) = door.engine.stopped() {
        return reply::unavailable(format_args!("not ready: durable writes stopped: {why}"));
    }
    let Some(needed) = door.min_free else { return ready_text() };
    match rustix::fs::statvfs(&door.engine.settings().data_dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < needed {
                return reply::unavailable(format_args!(
                    "not ready: {free} bytes free on the disk, {needed} wanted"
                ));
            }
            ready_text()
        }
        Err(error) => reply::unavailable(format_args!("not ready: data directory: {error}")),
    }
}

fn ready_text() -> Reply {
    reply::text(StatusCode::OK, "ready\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up() {
        let meter = Meter::default();
        for micros in [50, 300, 2_000_000] {
            let time = Duration::from_micros(micros);
            meter.count(index(&Method::GET), StatusCode::OK, time);
        }
        let other = Method::from_bytes(b"BREW").unwrap();
        meter.count(index(&other), StatusCode::METHOD_NOT_ALLOWED, Duration::ZERO);
        let mut out = String::new();
        meter.requests(&mut out);
        meter.latency(&mut out);
        for line in [
            "elastik_requests_total{method=\"GET\",status=\"2xx\"} 3",
            "elastik_requests_total{method=\"other\",status=\"4xx\"} 1",
            "elastik_request_seconds_bucket{le=\"0.0001\"} 2",
            "elastik_request_seconds_bucket{le=\"0.0005\"} 3",
            "elastik_request_seconds_bucket{le=\"1\"} 3",
            "elastik_request_seconds_bucket{le=\"+Inf\"} 4",
            "elastik_request_seconds_count 4",
        ] {
            assert!(out.lines().any(|l| l == line), "{line}\n{out}");
        }
    }
}
