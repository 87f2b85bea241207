//! Who is told what (RFC 7641 §4): registrations, and whom a change concerns.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::codec::Token;
use super::watch::{Target, Watch};
use crate::access::Identity;
use crate::engine::Filter;
use crate::path::WorldPath;

/// Lists of links that may be observed at a time: each costs a look at many worlds.
const MOST_LISTS: usize = 64;

/// A client that is told of changes.
pub struct Observer {
    pub peer: SocketAddr,
    pub token: Token,
    pub watch: Watch,
    /// Asked by a confirmable message, and is told by such.
    pub confirmable: bool,
    /// Notifications since the last one that was confirmed.
    pub unconfirmed: u32,
    pub confirmed_at: Instant,
    /// The id of the newest notification that nobody has to acknowledge.
    pub last_mid: Option<u16>,
    /// A confirmable notification is under way.
    pub in_flight: bool,
    /// Something happened that could not be told yet.
    pub due: bool,
    /// Waits for its turn to be told.
    pub queued: bool,
}

pub struct Observers {
    all: HashMap<u64, Observer>,
    by_token: HashMap<(SocketAddr, Token), u64>,
    by_target: HashMap<Target, BTreeSet<u64>>,
    by_peer: HashMap<SocketAddr, BTreeSet<u64>>,
    watched: Arc<Watched>,
    next: u64,
    max: usize,
}

/// What of the engine's events this door wants to hear.
#[derive(Default)]
pub struct Watched {
    worlds: RwLock<HashSet<WorldPath>>,
    lists: AtomicUsize,
}

impl Filter for Watched {
    fn wants(&self, path: &WorldPath) -> bool {
        self.lists.load(Ordering::Relaxed) > 0
            || self.worlds.read().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn may_want_memory(&self) -> bool {
        true
    }
}

impl Observers {
    pub fn new(max: usize) -> Self {
        Self {
            all: HashMap::new(),
            by_token: HashMap::new(),
            by_target: HashMap::new(),
            by_peer: HashMap::new(),
            watched: Arc::default(),
            next: 0,
            max,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn watched(&self) -> Arc<Watched> {
        self.watched.clone()
    }

    /// Registers; the same endpoint and token again replace what they had (§4.1). None: no room.
    pub fn add(
        &mut self,
        now: Instant,
        (peer, token): (SocketAddr, Token),
        watch: Watch,
        confirmable: bool,
    ) -> Option<u64> {
        let is_list = matches!(watch.target, Target::Links(_));
        if !self.leave((peer, token), watch.proof.key.as_ref())
            || self.all.len() >= self.max
            || (is_list && self.watched.lists.load(Ordering::Relaxed) >= MOST_LISTS)
        {
            return None;
        }
        match &watch.target {
            Target::World(path) => {
                let mut worlds =
                    self.watched.worlds.write().unwrap_or_else(PoisonError::into_inner);
                worlds.insert(path.clone());
            }
            Target::Links(_) => {
                self.watched.lists.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.next += 1;
        let id = self.next;
        self.by_token.insert((peer, token), id);
        self.by_target.entry(watch.target.clone()).or_default().insert(id);
        self.by_peer.entry(peer).or_default().insert(id);
        let observer = Observer {
            peer,
            token,
            watch,
            confirmable,
            unconfirmed: 0,
            confirmed_at: now,
            last_mid: None,
            in_flight: false,
            due: false,
            queued: false,
        };
        self.all.insert(id, observer);
        Some(id)
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Observer> {
        self.all.get_mut(&id)
    }

    /// Ends what this endpoint began under this token. False when that was begun with another key:
    /// who borrows an address ends nothing that was sealed.
    pub fn leave(
        &mut self,
        (peer, token): (SocketAddr, Token),
        key: Option<&Arc<Identity>>,
    ) -> bool {
        let Some(id) = self.by_token.get(&(peer, token)).copied() else { return true };
        let owner = self.all.get(&id).and_then(|observer| observer.watch.proof.key.as_ref());
        let same = owner.map(|owner| &owner.name) == key.map(|key| &key.name);
        if same {
            self.remove(id);
        }
        same
    }

    pub fn remove(&mut self, id: u64) {
        let Some(observer) = self.all.remove(&id) else { return };
        self.by_token.remove(&(observer.peer, observer.token));
        if let Some(ids) = self.by_peer.get_mut(&observer.peer) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_peer.remove(&observer.peer);
            }
        }
        let target = &observer.watch.target;
        let Some(ids) = self.by_target.get_mut(target) else { return };
        ids.remove(&id);
        if ids.is_empty() {
            self.by_target.remove(target);
            self.forget(target);
        }
    }

    fn forget(&self, target: &Target) {
        match target {
            Target::World(path) => {
                let mut worlds =
                    self.watched.worlds.write().unwrap_or_else(PoisonError::into_inner);
                worlds.remove(path);
            }
            Target::Links(_) => {
                self.watched.lists.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    pub fn is_watched(&self, target: &Target) -> bool {
        self.by_target.contains_key(target)
    }

    /// Everybody who observes this.
    pub fn of_target(&self, target: &Target) -> impl Iterator<Item = u64> {
        self.by_target.get(target).into_iter().flatten().copied()
    }

    pub fn of_peer(&self, peer: SocketAddr) -> Vec<u64> {
        self.by_peer.get(&peer).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub fn has_peer(&self, peer: &SocketAddr) -> bool {
        self.by_peer.contains_key(peer)
    }

    /// The observer that a reset of this id is from.
    pub fn by_mid(&self, peer: SocketAddr, mid: u16) -> Option<u64> {
        let ids = self.by_peer.get(&peer)?;
        ids.iter().copied().find(|id| self.all.get(id).is_some_and(|o| o.last_mid == Some(mid)))
    }

    /// All targets, or the lists only: they change with any world.
    pub fn targets(&self, lists_only: bool) -> Vec<Target> {
        let wanted = |target: &&Target| !lists_only || matches!(target, Target::Links(_));
        if lists_only && self.watched.lists.load(Ordering::Relaxed) == 0 {
            return vec![];
        }
        self.by_target.keys().filter(wanted).cloned().collect()
    }

    /// Whoever was not heard of since `before`.
    pub fn silent_since(&self, before: Instant) -> Vec<u64> {
        let silent = |o: &Observer| o.confirmed_at < before && !o.in_flight;
        self.all.iter().filter(|(_, o)| silent(o)).map(|(id, _)| *id).collect()
    }
}
