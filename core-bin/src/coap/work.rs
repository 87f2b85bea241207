//! Work of a request: at once where there is nothing to wait for, else by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

/// Sends its result when it is dropped, so that a handler that fails is answered too.
pub struct Done<T> {
    pub result: Option<T>,
    pub finish: mpsc::UnboundedSender<T>,
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            let _ = self.finish.send(result);
        }
    }
}

/// The result of work that has nothing to wait for; else the work, to go on elsewhere.
pub fn at_once<F: Future>(mut work: Pin<Box<F>>) -> Result<F::Output, Pin<Box<F>>> {
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err(work),
    }
}
