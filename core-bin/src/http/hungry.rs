//! For tests: a connection that tells when the door has read all there is and waits for more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Notify;

/// What is told of the connection.
#[derive(Default)]
pub struct Hunger {
    hungry: AtomicBool,
    gone: AtomicBool,
    again: Notify,
}

impl Hunger {
    /// More is on its way: what was so until now does not count.
    pub fn fed(&self) {
        self.hungry.store(false, SeqCst);
    }

    /// Returns when the door has let go, or waits for more and `holds` says yes.
    pub async fn until(&self, holds: impl Fn() -> bool) {
        let settled = || self.gone.load(SeqCst) || (self.hungry.load(SeqCst) && holds());
        while !settled() {
            self.again.notified().await;
        }
    }
}

/// The door's end.
pub struct Watched {
    stream: DuplexStream,
    hunger: Arc<Hunger>,
}

impl Watched {
    pub fn new(stream: DuplexStream) -> (Self, Arc<Hunger>) {
        let hunger = Arc::new(Hunger::default());
        (Self { stream, hunger: hunger.clone() }, hunger)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.hunger.gone.store(true, SeqCst);
        self.hunger.again.notify_one();
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.hunger.hungry.store(poll.is_pending(), SeqCst);
        self.hunger.again.notify_one();
        poll
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
