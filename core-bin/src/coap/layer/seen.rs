//! Requests that were seen, so that a repeated datagram gets the same answer and nothing is done
//! twice (RFC 7252 §4.5).
//!
//! A request is known by its endpoint, its message id *and its bytes*: a board that restarts begins
//! with the same ids again, and its new reading is not an old duplicate. That is this door's one
//! deliberate exception to the RFC, which says endpoint and id only.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What one datagram is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    peer: SocketAddr,
    mid: u16,
    /// Keyed by this process: nobody outside can make two datagrams collide.
    hash: u64,
}

#[derive(Clone, Debug)]
pub enum State {
    /// The handler is at work.
    Pending,
    /// As before, and the client knows: the response comes by itself.
    Acknowledged,
    /// Answered with these bytes; none at all for a message that must not be answered twice.
    Answered(Option<Bytes>),
}

struct Entry {
    state: State,
    expires: Instant,
    /// May be forgotten early: doing it again does no harm.
    safe: bool,
}

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Requests that change nothing: doing one of them again costs time only.
    pub reads: usize,
    /// Requests that change something.
    pub writes: usize,
    /// Bytes of kept answers, for each of the two.
    pub bytes: usize,
}

pub struct Seen {
    entries: HashMap<Key, Entry>,
    /// Oldest first: requests that change nothing, requests that do.
    safe: Shelf,
    unsafe_: Shelf,
    room: Room,
    hasher: RandomState,
}

#[derive(Default)]
struct Shelf {
    order: VecDeque<Key>,
    bytes: usize,
}

impl Seen {
    pub fn new(room: Room) -> Self {
        Self {
            entries: HashMap::new(),
            safe: Shelf::default(),
            unsafe_: Shelf::default(),
            room,
            hasher: RandomState::new(),
        }
    }

    pub fn key(&self, peer: SocketAddr, mid: u16, datagram: &[u8]) -> Key {
        Key { peer, mid, hash: self.hasher.hash_one(datagram) }
    }

    pub fn get(&self, key: &Key, now: Instant) -> Option<&State> {
        self.entries.get(key).filter(|entry| entry.expires > now).map(|entry| &entry.state)
    }

    /// Enters a request before anything is done about it.
    pub fn enter(&mut self, key: Key, safe: bool, now: Instant, lifetime: Duration) {
        let entry = Entry { state: State::Pending, expires: now + lifetime, safe };
        if let Some(old) = self.entries.insert(key, entry) {
            // Expired, but not swept yet: its place in the order stays.
            self.shelf(old.safe).bytes -= size(&old.state);
            if old.safe == safe {
                return;
            }
        }
        self.shelf(safe).order.push_back(key);
        self.sweep(safe, now);
    }

    /// The request that was entered last changed nothing: who may not write pushes out no writes.
    pub fn refused(&mut self, key: &Key, now: Instant) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| !entry.safe) else { return };
        if self.unsafe_.order.back() != Some(key) {
            return;
        }
        self.unsafe_.order.pop_back();
        entry.safe = true;
        let bytes = size(&entry.state);
        self.unsafe_.bytes -= bytes;
        self.safe.bytes += bytes;
        self.safe.order.push_back(*key);
        self.sweep(true, now);
    }

    pub fn set(&mut self, key: &Key, state: State) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (before, after) = (size(&entry.state), size(&state));
        entry.state = state;
        let safe = entry.safe;
        let shelf = self.shelf(safe);
        shelf.bytes = shelf.bytes - before + after;
    }

    /// Forgets what has expired, then the oldest answers while there are too many.
    fn sweep(&mut self, safe: bool, now: Instant) {
        let room = self.room;
        // A pending request is never forgotten; at most so many are looked at in one go.
        for _ in 0..8 {
            let most = if safe { room.reads } else { room.writes };
            let shelf = self.shelf(safe);
            let full = shelf.order.len() > most || shelf.bytes > room.bytes;
            let Some(oldest) = shelf.order.pop_front() else { return };
            let Some(entry) = self.entries.get(&oldest) else { continue };
            let pending = !matches!(entry.state, State::Answered(_));
            if pending && (full || entry.expires <= now) {
                self.shelf(safe).order.push_back(oldest);
            } else if entry.expires <= now || full {
                let bytes = size(&entry.state);
                self.entries.remove(&oldest);
                self.shelf(safe).bytes -= bytes;
            } else {
                self.shelf(safe).order.push_front(oldest);
                return;
            }
        }
    }

    /// As entering does, for a door that has become quiet. True when there may be more to forget.
    pub fn tidy(&mut self, now: Instant) -> bool {
        let before = self.entries.len();
        self.sweep(true, now);
        self.sweep(false, now);
        self.entries.len() < before
    }

    fn shelf(&mut self, safe: bool) -> &mut Shelf {
        if safe { &mut self.safe } else { &mut self.unsafe_ }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.safe.bytes + self.unsafe_.bytes
    }
}

fn size(state: &State) -> usize {
    match state {
        State::Answered(Some(bytes)) => bytes.len(),
        _ => 0,
    }
}
