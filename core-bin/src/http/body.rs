//! Response bodies: all at once, or fed piece by piece as the client takes them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces that may wait for a slow client.
const WAITING: usize = 2;

/// What hyper sends.
#[derive(Debug)]
pub enum Body {
    Full(Option<Bytes>),
    /// `left` is how many bytes are to come, when that is known.
    Fed {
        pieces: mpsc::Receiver<Result<Bytes, io::Error>>,
        left: Option<u64>,
    },
}

/// The other end of a fed body.
pub struct Feed(mpsc::Sender<Result<Bytes, io::Error>>);

/// The client has gone.
pub struct Gone;

impl Body {
    pub fn empty() -> Self {
        Self::Full(None)
    }

    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// A body that somebody feeds; dropping the feed ends it.
    pub fn fed(length: Option<u64>) -> (Feed, Self) {
        let (sender, pieces) = mpsc::channel(WAITING);
        (Feed(sender), Self::Fed { pieces, left: length })
    }
}

impl Feed {
    /// Waits until the client has taken enough.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.0.send(Ok(bytes)).await.map_err(|_| Gone)
    }

    /// Breaks the body off, so that the client cannot take it for complete.
    pub async fn fail(&self, why: String) {
        let _ = self.0.send(Err(io::Error::other(why))).await;
    }

    pub async fn gone(&self) {
        self.0.closed().await;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Fed { pieces, left } => pieces.poll_recv(cx).map(|piece| {
                piece.map(|piece| {
                    let bytes = piece?;
                    *left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                    Ok(Frame::data(bytes))
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Fed { left, .. } => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Fed { left: Some(left), .. } => SizeHint::with_exact(*left),
            Self::Fed { left: None, .. } => SizeHint::default(),
        }
    }
}
