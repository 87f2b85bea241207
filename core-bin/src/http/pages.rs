//! Answers that are made page by page, each when the client has taken the one before.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::body::{Body, Feed, Gone};
use super::reply::{self, Reply};
use crate::engine::Refusal;

/// Makes the pages.
pub trait Pages: Send + 'static {
    /// The next page; it may be empty before the end.
    fn page(&mut self) -> impl Future<Output = Result<String, Refusal>> + Send;
    /// Whether that was the last one.
    fn done(&self) -> bool;
}

/// What fits one page is answered whole, with its length; more is streamed.
pub async fn answer(parts: &Parts, mut pages: impl Pages) -> Result<Reply, Reply> {
    let first = pages.page().await.map_err(|refusal| reply::refused(&refusal))?;
    if pages.done() {
        return Ok(reply::text(StatusCode::OK, first));
    }
    let (feed, body) = Body::fed(None);
    if parts.method != Method::HEAD {
        tokio::spawn(async move {
            let _ = send(&feed, first, pages).await;
        });
    }
    Ok(reply::with(StatusCode::OK, body))
}

async fn send(feed: &Feed, first: String, mut pages: impl Pages) -> Result<(), Gone> {
    let mut page = first;
    loop {
        if !page.is_empty() {
            feed.send(page.into()).await?;
        }
        if pages.done() {
            return Ok(());
        }
        match pages.page().await {
            Ok(next) => page = next,
            Err(refusal) => {
                feed.fail(format!("{refusal:?}")).await;
                return Err(Gone);
            }
        }
    }
}
