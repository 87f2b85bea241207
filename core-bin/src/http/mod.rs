//! The HTTP door: requests to verbs, answers to bytes; it holds no state of the store.

// An `Err` is an answer too, made once for a request: a box would be one more allocation.
#![allow(clippy::result_large_err)]

mod audit;
mod batch;
mod body;
mod coding;
mod compress;
mod conditional;
mod cors;
mod events;
mod frame;
mod headers;
mod history;
#[cfg(test)]
mod hungry;
mod inline;
mod key;
mod list;
mod listen;
mod listener;
mod log;
mod meter;
mod page;
mod pages;
mod patch;
mod protocol;
mod query;
mod range;
#[cfg(test)]
mod raw;
mod reply;
mod route;
mod send;
mod server;
mod stalled;
mod take;
mod tls;
mod transfer;
mod verify;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Semaphore, watch};

use crate::access::{Action, Identity, Tokens};
use crate::engine::Engine;
use cors::Origins;
use headers::Policy;
pub use listener::{Address, Listener};
use reply::Reply;
use route::Route;
pub use server::{Limits, serve};
pub use tls::Tls;

/// What all requests share.
pub struct Door {
    pub engine: Engine,
    /// Changes when the tokens are read again; open streams are judged anew.
    tokens: watch::Sender<Arc<Tokens>>,
    policy: Policy,
    origins: Origins,
    /// For pages that bring no policy of their own.
    page_policy: Option<HeaderValue>,
    /// None: every answer is sent as it is.
    compressor: Option<compress::Compressor>,
    body_timeout: Option<Duration>,
    heartbeat: Duration,
    max_listeners: usize,
    listeners: Arc<Semaphore>,
    frames: listen::Frames,
    verifier: verify::Verifier,
    /// One check of the whole store at a time.
    checking: Arc<Semaphore>,
    requests: AtomicU64,
    meter: meter::Meter,
    log: Option<log::AccessLog>,
    min_free: Option<u64>,
    /// Turns true when the server is to stop.
    stopping: watch::Receiver<bool>,
}

/// Settings of the door itself.
pub struct Options {
    pub tokens: Tokens,
    pub persist_headers: Vec<String>,
    pub deny_headers: Vec<String>,
    pub cors_origins: Vec<String>,
    /// Empty is none.
    pub content_security_policy: String,
    pub compress: bool,
    pub body_timeout: Option<Duration>,
    pub heartbeat: Duration,
    pub max_listen_connections: usize,
    /// Bytes that must be free on the disk for the door to be ready.
    pub min_free: Option<u64>,
    pub access_log: bool,
}

impl Door {
    pub fn new(engine: Engine, options: Options, stopping: watch::Receiver<bool>) -> Self {
        let max_listeners = options.max_listen_connections.min(Semaphore::MAX_PERMITS);
        Self {
            engine,
            tokens: watch::Sender::new(Arc::new(options.tokens)),
            policy: Policy::new(&options.persist_headers, &options.deny_headers),
            origins: Origins::new(options.cors_origins),
            page_policy: HeaderValue::from_str(&options.content_security_policy)
                .ok()
                .filter(|policy| !policy.is_empty()),
            compressor: options.compress.then(compress::Compressor::default),
            body_timeout: options.body_timeout,
            heartbeat: options.heartbeat,
            max_listeners,
            listeners: Arc::new(Semaphore::new(max_listeners)),
            frames: listen::Frames::default(),
            verifier: verify::Verifier::default(),
            checking: Arc::new(Semaphore::new(1)),
            requests: AtomicU64::new(0),
            meter: meter::Meter::default(),
            log: if options.access_log { log::AccessLog::start() } else { None },
            min_free: options.min_free,
            stopping,
        }
    }

    /// Takes other tokens from now on, for open streams too.
    pub fn set_tokens(&self, tokens: Tokens) {
        self.tokens.send_replace(Arc::new(tokens));
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens.borrow().clone()
    }

    fn identify(&self, parts: &Parts) -> Identity {
        self.tokens().identify(parts.headers.get(AUTHORIZATION).map(|value| value.as_bytes()))
    }

    /// Returns when the server is to stop.
    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    /// Who asks, if they may.
    fn admit(&self, parts: &Parts, action: Action<'_>) -> Result<Identity, Reply> {
        let who = self.identify(parts);
        self.tokens().may(&who, action).map_err(reply::denied)?;
        let writes = matches!(action, Action::Write(_) | Action::Delete(_) | Action::Batch);
        if writes && who.ambient && self.origins.is_foreign(parts) {
            return Err(cors::foreign());
        }
        Ok(who)
    }
}

/// Answers one request.
async fn answer(door: &Arc<Door>, peer: Option<SocketAddr>, request: Request<Incoming>) -> Reply {
    let started = Instant::now();
    let id = door.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let (parts, mut body) = request.into_parts();
    let line = door.log.as_ref().map(|log| log.begin(id, peer, &parts, &door.identify(&parts)));
    let granted = door.origins.grant(&parts.headers);
    let method = meter::index(&parts.method);
    let mut reply = match dispatch(door, &parts, &mut body).await {
        Ok(reply) | Err(reply) => reply,
    };
    take::discard(door, &parts.headers, body);
    if let Some(compressor) = &door.compressor {
        compressor.page(&parts, &mut reply);
    }
    let elapsed = started.elapsed();
    reply::finish(&mut reply, id, elapsed);
    cors::mark(&mut reply, &door.origins, granted);
    door.meter.count(method, reply.status(), elapsed);
    if let (Some(log), Some(line)) = (&door.log, line) {
        log.end(line, reply.status().as_u16(), elapsed);
    }
    reply
}

/// Finds the route and the verb; an `Err` is an answer too, reached early.
async fn dispatch(door: &Arc<Door>, parts: &Parts, body: &mut Incoming) -> Result<Reply, Reply> {
    let route = Route::of(parts.uri.path());
    let allow = route.allow();
    if parts.method == Method::OPTIONS {
        let preflight = door.origins.preflight(&parts.headers, allow);
        return Ok(preflight.unwrap_or_else(|| reply::options(allow)));
    }
    if !allow.split(", ").any(|method| method == parts.method.as_str()) {
        return Err(reply::method_not_allowed(allow));
    }
    match route {
        Route::World(encoded) => world::answer(door, parts, encoded, body).await,
        Route::Listen(pattern) => listen::answer(door, parts, pattern),
        Route::Root => Ok(page::root()),
        Route::Proc(page) => page::answer(door, parts, page).await,
        Route::List(encoded) => list::below(door, parts, encoded).await,
        Route::History(encoded) => history::answer(door, parts, encoded).await,
        Route::Batch => batch::answer(door, parts, body).await,
        Route::Events(encoded) => events::answer(door, parts, encoded).await,
        Route::Whole(page) => audit::answer(door, parts, page).await,
        Route::Verify(encoded) => verify::answer(door, parts, encoded).await,
        Route::Unknown => Err(reply::not_found()),
        Route::Server => {
            Err(reply::error(StatusCode::BAD_REQUEST, "bad request: * is for OPTIONS"))
        }
    }
}
