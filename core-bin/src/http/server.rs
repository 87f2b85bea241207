//! Accepts connections, serves each, and stops in order.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::stalled::Stalled;
use super::{Door, answer};

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 128 * 1024;
/// The most header lines a request may have.
const MAX_HEADERS: usize = 100;
/// A failed accept (no descriptors left, say) is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    /// For a request's head, and between two requests.
    pub head: Option<Duration>,
    /// For a client that takes nothing.
    pub write: Option<Duration>,
    /// For requests in flight after the stop.
    pub shutdown: Duration,
}

/// Serves until the door is to stop, then until the last request is answered or the deadline has
/// passed.
pub async fn serve(listener: TcpListener, door: Arc<Door>, limits: Limits) {
    let http = protocol(&limits);
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    // Every connection holds a sender; the receiver ends with the last of them.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    loop {
        let stream = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = door.stopped() => break,
        };
        let (stream, place) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("elastik-core: accept failed: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (door, http, alive) = (door.clone(), http.clone(), alive.clone());
        tokio::spawn(async move {
            connection(&http, stream, door, limits.write).await;
            drop((place, alive));
        });
    }
    drop((listener, alive));
    let _ = timeout(limits.shutdown, ended.recv()).await;
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD);
    http
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Head and body leave in one write; waiting for more would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

async fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    door: Arc<Door>,
    write_limit: Option<Duration>,
) {
    let service = service_fn(|request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(answer(&door, request).await) }
    });
    let io = TokioIo::new(Stalled::new(stream, write_limit));
    let mut connection = std::pin::pin!(http.serve_connection(io, service));
    // A broken connection is the client's affair, so errors end it without a word.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = door.stopped() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
