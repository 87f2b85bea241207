//! One connection: HTTP/1.1 or HTTP/2, told apart by its first bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::reply::Reply;
use super::server::Limits;
use super::stalled::Stalled;
use super::{Door, answer};

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 128 * 1024;
/// The most header lines a request may have.
const MAX_HEADERS: usize = 100;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// An HTTP/2 connection must answer a ping within this time, sent when it is silent as long.
const PING: Duration = Duration::from_secs(20);

/// What every HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    limits: Limits,
}

impl Protocols {
    pub fn new(limits: Limits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .max_buf_size(MAX_HEAD);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD as u32)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        Self { http1, http2, limits }
    }

    /// Serves a connection to its end; when the server stops, to the end of its last request.
    pub async fn serve<S>(&self, stream: S, peer: Option<SocketAddr>, door: &Arc<Door>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some((stream, is_http2)) = self.begin(stream, door).await else { return };
        let io = TokioIo::new(stream);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let door = door.clone();
            async move { Ok::<Reply, Infallible>(answer(&door, peer, request).await) }
        });
        if is_http2 {
            drive(self.http2.serve_connection(io, service), door).await;
        } else {
            drive(self.http1.serve_connection(io, service), door).await;
        }
    }

    /// Reads the first bytes, which decide; they are read again by the protocol.
    async fn begin<S>(&self, mut stream: S, door: &Door) -> Option<(Stalled<S>, bool)>
    where
        S: AsyncRead + Unpin,
    {
        let mut first = [0; PREFACE.len()];
        let mut length = 0;
        let read = async {
            while length < first.len() && first[..length] == PREFACE[..length] {
                match stream.read(&mut first[length..]).await {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => length += count,
                }
            }
            Some(())
        };
        let limit = self.limits.head.unwrap_or(Duration::MAX);
        tokio::select! {
            begun = timeout(limit, read) => begun.ok()??,
            () = door.stopped() => return None,
        }
        let is_http2 = first[..length] == PREFACE[..];
        Some((Stalled::new(stream, self.limits.write).behind(&first[..length]), is_http2))
    }
}

/// A broken connection is the client's affair, so errors end it without a word.
async fn drive<C: GracefulConnection>(connection: C, door: &Door) {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = door.stopped() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
