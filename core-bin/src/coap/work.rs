//! Work of a request: at once where there is nothing to wait for, else beside the others of its socket.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::stream::FuturesUnordered;

/// What waits for something, in the one task of its socket: a commit that answers many wakes it once.
pub type Works<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>;

/// The work's result; another one when it panics, so that a handler that fails is answered too.
pub async fn or_else<T>(work: impl Future<Output = T>, failed: impl FnOnce() -> T) -> T {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| failed())
}

/// The result of work that has nothing to wait for; else the work, to go on elsewhere.
pub fn at_once<F: Future>(mut work: Pin<Box<F>>) -> Result<F::Output, Pin<Box<F>>> {
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(work),
    }
}
