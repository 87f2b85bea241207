//! The HTTP door: requests to verbs, answers to bytes; it holds no state of the store.

// An `Err` is an answer too, made once for a request: a box would be one more allocation.
#![allow(clippy::result_large_err)]

mod body;
mod conditional;
mod frame;
mod headers;
mod list;
mod listen;
mod page;
mod query;
mod range;
mod reply;
mod route;
mod send;
mod server;
mod stalled;
mod take;
mod verify;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, StatusCode};
use tokio::sync::{Semaphore, watch};

use crate::access::{Action, Identity, Tokens};
use crate::engine::Engine;
use headers::Policy;
use reply::Reply;
use route::Route;
pub use server::{Limits, serve};

/// What all requests share.
pub struct Door {
    pub engine: Engine,
    tokens: RwLock<Arc<Tokens>>,
    policy: Policy,
    body_timeout: Option<Duration>,
    heartbeat: Duration,
    listeners: Arc<Semaphore>,
    frames: listen::Frames,
    verifier: verify::Verifier,
    requests: AtomicU64,
    trace: bool,
    /// Turns true when the server is to stop.
    stopping: watch::Receiver<bool>,
}

/// Settings of the door itself.
pub struct Options {
    pub tokens: Tokens,
    pub persist_headers: Vec<String>,
    pub deny_headers: Vec<String>,
    pub body_timeout: Option<Duration>,
    pub heartbeat: Duration,
    pub max_listen_connections: usize,
    pub trace: bool,
}

impl Door {
    pub fn new(engine: Engine, options: Options, stopping: watch::Receiver<bool>) -> Self {
        Self {
            engine,
            tokens: RwLock::new(Arc::new(options.tokens)),
            policy: Policy::new(&options.persist_headers, &options.deny_headers),
            body_timeout: options.body_timeout,
            heartbeat: options.heartbeat,
            listeners: Arc::new(Semaphore::new(options.max_listen_connections)),
            frames: listen::Frames::default(),
            verifier: verify::Verifier::default(),
            requests: AtomicU64::new(0),
            trace: options.trace,
            stopping,
        }
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn identify(&self, headers: &HeaderMap) -> Identity {
        self.tokens().identify(headers.get(AUTHORIZATION).map(|value| value.as_bytes()))
    }

    /// Returns when the server is to stop.
    async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    /// Who asks, if they may.
    fn admit(&self, headers: &HeaderMap, action: Action<'_>) -> Result<Identity, Reply> {
        let who = self.identify(headers);
        self.tokens().may(&who, action).map_err(reply::denied)?;
        Ok(who)
    }
}

/// Answers one request.
async fn answer(door: &Arc<Door>, request: Request<Incoming>) -> Reply {
    let started = Instant::now();
    let id = door.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let line = door.trace.then(|| format!("{} {}", request.method(), request.uri().path()));
    let mut reply = match dispatch(door, request).await {
        Ok(reply) | Err(reply) => reply,
    };
    let elapsed = started.elapsed();
    reply::finish(&mut reply, id, elapsed);
    if let Some(line) = line {
        eprintln!("[req-{id}] {line:?} {} {}us", reply.status().as_u16(), elapsed.as_micros());
    }
    reply
}

/// Finds the route and the verb; an `Err` is an answer too, reached early.
async fn dispatch(door: &Arc<Door>, request: Request<Incoming>) -> Result<Reply, Reply> {
    let (parts, body) = request.into_parts();
    let route = Route::of(parts.uri.path());
    let allow = route.allow();
    if parts.method == Method::OPTIONS {
        return Ok(reply::options(allow));
    }
    if !allow.split(", ").any(|method| method == parts.method.as_str()) {
        return Err(reply::method_not_allowed(allow));
    }
    match route {
        Route::World(encoded) => world::answer(door, &parts, encoded, body).await,
        Route::Listen(pattern) => listen::answer(door, &parts, pattern),
        Route::Root => Ok(page::root()),
        Route::Proc(page) => page::answer(door, &parts, page).await,
        Route::List(encoded) => list::below(door, &parts, encoded).await,
        Route::Verify(encoded) => verify::answer(door, &parts, encoded).await,
        Route::Unknown => Err(reply::not_found()),
        Route::Server => {
            Err(reply::error(StatusCode::BAD_REQUEST, "bad request: * is for OPTIONS"))
        }
    }
}
