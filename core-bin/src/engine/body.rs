//! Reads a version's bytes, piece by piece.

use std::sync::Arc;

use bytes::Bytes;

use crate::store::sqlite::SqliteStore;
use crate::store::{Body, Head, Object, PIECE, Refusal, StoreError};

/// A stream of the bytes of one version, whatever happens to its world meanwhile.
pub struct BodyReader {
    source: Source,
    at: u64,
    end: u64,
}

enum Source {
    Memory(Vec<Bytes>),
    Store(Arc<SqliteStore>, Arc<Object>),
}

impl BodyReader {
    pub(super) fn new(store: &Arc<SqliteStore>, head: &Head, from: u64, to: u64) -> Self {
        let end = to.min(head.size);
        let at = from.min(end);
        let source = match &head.body {
            Body::Inline(bytes) => Source::Memory(cut(std::slice::from_ref(bytes), at, end)),
            Body::Chunks(chunks) => Source::Memory(cut(chunks, at, end)),
            Body::Object(object) => Source::Store(store.clone(), object.clone()),
        };
        Self { source, at, end }
    }

    /// Bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// The whole range at once, when it lies in memory as one block.
    pub fn ready(&mut self) -> Option<Bytes> {
        if self.at == self.end {
            return Some(Bytes::new());
        }
        let Source::Memory(chunks) = &mut self.source else { return None };
        if chunks.len() != 1 {
            return None;
        }
        self.at = self.end;
        chunks.pop()
    }

    /// The next bytes, at most 64 KiB; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.at >= self.end {
            return Ok(None);
        }
        let bytes = match &mut self.source {
            Source::Memory(chunks) => next_chunk(chunks),
            Source::Store(store, object) => {
                let (store, object, at) = (store.clone(), object.clone(), self.at);
                let read = move || store.piece(&object, at);
                tokio::task::spawn_blocking(read)
                    .await
                    .map_err(|_| StoreError("the reader was cancelled".to_owned()))??
            }
        };
        let Some(mut bytes) = bytes else {
            return Err(Refusal::Storage(format!("the body ends at byte {}", self.at).into()));
        };
        bytes.truncate(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }
}

fn next_chunk(chunks: &mut Vec<Bytes>) -> Option<Bytes> {
    let first = chunks.first_mut()?;
    let piece = first.split_to(first.len().min(PIECE));
    if first.is_empty() {
        chunks.remove(0);
    }
    Some(piece)
}

/// Bytes `from..to` of what the chunks hold together.
fn cut(chunks: &[Bytes], from: u64, to: u64) -> Vec<Bytes> {
    let mut start = 0;
    let mut out = Vec::new();
    for chunk in chunks {
        let end = start + chunk.len() as u64;
        let (low, high) = (from.clamp(start, end), to.clamp(start, end));
        if low < high {
            out.push(chunk.slice((low - start) as usize..(high - start) as usize));
        }
        start = end;
    }
    out
}
