//! Accepts connections, bounds them, and stops in order.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::Door;
use super::listener::{Accepted, Listener};
use super::protocol::Protocols;
use super::tls::Tls;

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

/// What all connections share.
struct Server {
    door: Arc<Door>,
    protocols: Protocols,
    places: Arc<Semaphore>,
    tls: Option<Arc<Tls>>,
    handshake: Duration,
}

/// Serves until the door is to stop, then until the last request is answered or the deadline has
/// passed. TLS is for TCP only: a Unix socket's files say who may connect.
pub async fn serve(
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    door: Arc<Door>,
    limits: Limits,
) {
    let server = Arc::new(Server {
        door,
        protocols: Protocols::new(limits),
        places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        tls,
        handshake: limits.head.unwrap_or(Duration::MAX),
    });
    // Every task holds a sender; the receiver ends with the last of them.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    for listener in listeners {
        tokio::spawn(server.clone().accept_all(listener, alive.clone()));
    }
    drop(alive);
    server.door.stopped().await;
    let _ = timeout(limits.shutdown, ended.recv()).await;
}

impl Server {
    async fn accept_all(self: Arc<Self>, listener: Listener, alive: mpsc::Sender<Infallible>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = self.door.stopped() => return,
            };
            match accepted {
                Ok((connection, place)) => {
                    let (server, alive) = (self.clone(), alive.clone());
                    tokio::spawn(async move {
                        server.connection(connection).await;
                        drop((place, alive));
                    });
                }
                Err(error) => {
                    eprintln!("elastik-core: accept failed: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, listener: &Listener) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok((listener.accept().await?, place))
    }

    async fn connection(&self, connection: Accepted) {
        let open = &self.door.meter.connections;
        open.fetch_add(1, Relaxed);
        match (connection, &self.tls) {
            (Accepted::Unix(stream), _) => self.protocols.serve(stream, None, &self.door).await,
            (Accepted::Tcp(stream, peer), None) => {
                self.protocols.serve(stream, Some(peer), &self.door).await;
            }
            (Accepted::Tcp(stream, peer), Some(tls)) => {
                let handshake = timeout(self.handshake, tls.acceptor().accept(stream));
                let secured = tokio::select! {
                    secured = handshake => secured,
                    () = self.door.stopped() => Ok(Err(io::ErrorKind::Interrupted.into())),
                };
                if let Ok(Ok(stream)) = secured {
                    self.protocols.serve(stream, Some(peer), &self.door).await;
                }
            }
        }
        open.fetch_sub(1, Relaxed);
    }
}
