//! Takes in the bytes of a write: small ones in hand, large ones staged in the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::queue::Queue;
use super::reservation::{Coming, Reservation};
use crate::path::WorldPath;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Driver, NewBody, NewBytes, Object, PIECE, Refusal, StoreError};

/// A body for a durable world is kept in hand up to this many bytes, then staged.
const IN_HAND: usize = 256 * 1024;

/// Where the bytes go.
pub(super) enum Target {
    /// Held in memory, and counted against the quota while they come in.
    Memory {
        store: Arc<MemoryStore>,
        coming: Arc<AtomicU64>,
        quota: u64,
    },
    Disk {
        path: WorldPath,
        store: Arc<SqliteStore>,
        queue: Arc<Queue>,
        reserved: Arc<Coming>,
    },
}

/// A body that is coming in.
pub struct Upload {
    target: Target,
    max: u64,
    size: u64,
    hash: Sha256,
    chunks: Vec<Bytes>,
    held: usize,
    staged: Option<Staged>,
}

/// What lies in the store already, and the block on its way there.
struct Staged {
    object: Arc<Object>,
    at: u64,
    room: Reservation,
    on_its_way: Option<oneshot::Receiver<Result<(), Refusal>>>,
}

impl Upload {
    pub(super) fn new(target: Target, max: u64) -> Self {
        let (hash, chunks) = (Sha256::new(), vec![]);
        Self { target, max, size: 0, hash, chunks, held: 0, staged: None }
    }

    /// More bytes; refused as soon as the world would be too large or memory is full.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.size += bytes.len() as u64;
        if self.size > self.max {
            return Err(Refusal::TooLarge { max: self.max });
        }
        self.hash.update(&bytes);
        self.held += bytes.len();
        if let Target::Memory { store, coming, quota } = &self.target {
            let all = coming.fetch_add(bytes.len() as u64, SeqCst) + bytes.len() as u64;
            // Twice the quota: what replaces a world may be as large as all there is.
            if all + store.usage().bytes > quota.saturating_mul(2) {
                return Err(Refusal::MemoryFull { quota: *quota });
            }
        }
        self.chunks.push(bytes);
        if self.held > IN_HAND { self.stage(false).await } else { Ok(()) }
    }

    /// The body, ready for a write.
    pub async fn finish(mut self) -> Result<NewBody, Refusal> {
        if self.staged.is_some() && self.held > 0 {
            self.stage(true).await?;
        }
        self.settle().await?;
        let bytes = match self.staged.take() {
            Some(staged) => NewBytes::Staged(staged.object),
            None => NewBytes::Chunks(std::mem::take(&mut self.chunks)),
        };
        Ok(NewBody { size: self.size, hash: self.hash.clone(), bytes, behind: None })
    }

    /// Sends what is in hand to the store; one block is on its way at a time. Whole pieces only,
    /// unless these are the last bytes, so that none but the last piece is short.
    async fn stage(&mut self, last: bool) -> Result<(), Refusal> {
        self.settle().await?;
        let Target::Disk { path, store, queue, reserved } = &self.target else { return Ok(()) };
        let rest = if last { 0 } else { self.held % PIECE };
        let kept = split_off(&mut self.chunks, self.held - rest);
        let block = std::mem::replace(&mut self.chunks, kept);
        if self.staged.is_none() {
            let room = Reservation::new(reserved, size_of(store, path).await?);
            self.staged =
                Some(Staged { object: store.new_object(), at: 0, room, on_its_way: None });
        }
        let Some(staged) = &mut self.staged else { return Ok(()) };
        staged.room.grow(store, path, self.size)?;
        staged.on_its_way = Some(queue.stage(&staged.object, staged.at, block));
        staged.at += (self.held - rest) as u64;
        self.held = rest;
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Refusal> {
        match self.staged.as_mut().and_then(|staged| staged.on_its_way.take()) {
            Some(wait) => wait.await.unwrap_or(Err(Refusal::Overloaded)),
            None => Ok(()),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        match &self.target {
            Target::Memory { coming, .. } => {
                coming.fetch_sub(self.held as u64, SeqCst);
            }
            Target::Disk { queue, .. } => {
                if let Some(staged) = self.staged.take() {
                    queue.abandon(staged.object);
                }
            }
        }
    }
}

/// The size of the world as it is; nobody waits for a disk when it is known.
async fn size_of(store: &Arc<SqliteStore>, path: &WorldPath) -> Result<u64, Refusal> {
    if let Some(head) = store.cached(path) {
        return Ok(head.map_or(0, |head| head.size));
    }
    let (store, path) = (store.clone(), path.clone());
    let read = tokio::task::spawn_blocking(move || store.head(&path));
    let head = read.await.map_err(|error| StoreError(error.to_string()))??;
    Ok(head.map_or(0, |head| head.size))
}

/// Keeps the first `at` bytes; the others are returned.
pub(super) fn split_off(chunks: &mut Vec<Bytes>, at: usize) -> Vec<Bytes> {
    let mut left = at;
    let Some(place) = chunks.iter().position(|chunk| {
        let within = left < chunk.len();
        left -= if within { 0 } else { chunk.len() };
        within
    }) else {
        return vec![];
    };
    let mut rest = chunks.split_off(place);
    if left > 0 {
        chunks.push(rest[0].split_to(left));
    }
    rest
}
