//! A connection that is given up when its client takes nothing for too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Wraps a stream, with bytes in front that were read from it before.
pub struct Stalled<S> {
    stream: S,
    limit: Option<Duration>,
    /// Runs while a write waits.
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    first: Bytes,
}

impl<S> Stalled<S> {
    pub fn new(stream: S, limit: Option<Duration>) -> Self {
        Self { stream, limit, clock: None, waiting: false, first: Bytes::new() }
    }

    /// Gives back what was read already.
    pub fn behind(self, first: &[u8]) -> Self {
        Self { first: Bytes::copy_from_slice(first), ..self }
    }

    /// Passes progress on; without any, starts the clock or looks at it.
    fn judge<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(limit) = self.limit else { return poll };
        if poll.is_ready() {
            self.waiting = false;
            return poll;
        }
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            clock.as_mut().reset(Instant::now() + limit);
        }
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        run(async {
            let (server, _client) = tokio::io::duplex(8);
            let mut server = Stalled::new(server, Some(Duration::from_millis(20)));
            let error = server.write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn what_was_read_before_comes_first() {
        run(async {
            let (mut client, server) = tokio::io::duplex(8);
            client.write_all(b"cd").await.unwrap();
            drop(client);
            let mut all = Vec::new();
            Stalled::new(server, None).behind(b"ab").read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"abcd");
        });
    }

    #[test]
    fn a_slow_client_is_not() {
        run(async {
            let (server, mut client) = tokio::io::duplex(8);
            let mut server = Stalled::new(server, Some(Duration::from_secs(5)));
            let reader = tokio::spawn(async move {
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.unwrap();
                all.len()
            });
            server.write_all(&[0; 64]).await.unwrap();
            drop(server);
            assert_eq!(reader.await.unwrap(), 64);
        });
    }
}
