//! Messages of our own: ids, confirmable ones until they are acknowledged, one at a time per peer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Out, Timing};
use crate::coap::codec::{Kind, Token};
use crate::coap::reply::Reply;

/// Peers that nothing is going on with are forgotten when there are more than this many.
const MAX_PEERS: usize = 65_536;

/// Whose confirmable message it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A separate response, or the last word to an observer.
    Response,
    /// A notification to the observer with this number.
    Observer(u64),
}

/// What is kept about an endpoint that we send messages of our own.
struct Peer {
    mid: u16,
    /// Confirmable messages that wait for their acknowledgement.
    active: usize,
    waiting: VecDeque<(Token, Reply, Owner)>,
    /// Requests of this peer whose handlers are at work.
    pending: usize,
    used: Instant,
}

struct Exchange {
    bytes: Bytes,
    timeout: Duration,
    due: Instant,
    tries: u32,
    owner: Owner,
}

pub struct Outgoing {
    timing: Timing,
    max_waiting: usize,
    peers: HashMap<SocketAddr, Peer>,
    exchanges: HashMap<(SocketAddr, u16), Exchange>,
    /// When exchanges are due; one that has ended or moved on is skipped.
    timers: BinaryHeap<Reverse<(Instant, SocketAddr, u16)>>,
    /// The ids of messages to peers that nothing is kept about.
    common_mid: u16,
    dice: u64,
}

impl Outgoing {
    pub fn new(timing: Timing, max_waiting: usize, seed: u64) -> Self {
        let mut outgoing = Self {
            timing,
            max_waiting,
            peers: HashMap::new(),
            exchanges: HashMap::new(),
            timers: BinaryHeap::new(),
            common_mid: 0,
            dice: seed | 1,
        };
        outgoing.common_mid = outgoing.roll() as u16;
        outgoing
    }

    /// The next id for a message to this peer.
    pub fn next_mid(&mut self, peer: SocketAddr) -> u16 {
        let last = match self.peers.get_mut(&peer) {
            Some(peer) => &mut peer.mid,
            None => &mut self.common_mid,
        };
        *last = last.wrapping_add(1);
        *last
    }

    pub fn pending(&self, peer: SocketAddr) -> usize {
        self.peers.get(&peer).map_or(0, |peer| peer.pending)
    }

    pub fn begin(&mut self, now: Instant, peer: SocketAddr) {
        self.peer(now, peer).pending += 1;
    }

    pub fn end(&mut self, peer: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.pending = peer.pending.saturating_sub(1);
        }
    }

    pub fn remember(&mut self, now: Instant, peer: SocketAddr) {
        self.peer(now, peer);
    }

    pub fn is_busy(&self, peer: SocketAddr) -> bool {
        self.peers
            .get(&peer)
            .is_some_and(|peer| peer.active >= self.timing.nstart || !peer.waiting.is_empty())
    }

    pub fn send(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        token: Token,
        reply: &Reply,
        owner: Owner,
        out: &mut Out,
    ) {
        if !self.is_busy(peer) {
            self.transmit(now, peer, token, reply, owner, out);
            return;
        }
        let max = self.max_waiting;
        let waiting = &mut self.peer(now, peer).waiting;
        // Who lets this many responses wait has stopped listening to the oldest.
        if waiting.len() >= max {
            waiting.pop_front();
        }
        waiting.push_back((token, reply.clone(), owner));
    }

    fn transmit(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        token: Token,
        reply: &Reply,
        owner: Owner,
        out: &mut Out,
    ) {
        self.peer(now, peer).active += 1;
        let mid = self.free_mid(peer);
        let bytes = reply.encode(Kind::Confirmable, mid, token);
        let dice = self.roll();
        let timeout = self.timing.first_timeout(dice);
        let due = now + timeout;
        out.push_back((peer, bytes.clone()));
        self.exchanges.insert((peer, mid), Exchange { bytes, timeout, due, tries: 0, owner });
        self.timers.push(Reverse((due, peer, mid)));
    }

    /// An id that no exchange with this peer has now.
    fn free_mid(&mut self, peer: SocketAddr) -> u16 {
        loop {
            let mid = self.next_mid(peer);
            if !self.exchanges.contains_key(&(peer, mid)) {
                return mid;
            }
        }
    }

    /// Ends an exchange and lets the next message to the peer go.
    pub fn acknowledged(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        mid: u16,
        out: &mut Out,
    ) -> Option<Owner> {
        let exchange = self.exchanges.remove(&(peer, mid))?;
        self.next(now, peer, out);
        Some(exchange.owner)
    }

    fn next(&mut self, now: Instant, at: SocketAddr, out: &mut Out) {
        let nstart = self.timing.nstart;
        let Some(peer) = self.peers.get_mut(&at) else { return };
        peer.active = peer.active.saturating_sub(1);
        peer.used = now;
        if peer.active >= nstart {
            return;
        }
        if let Some((token, reply, owner)) = peer.waiting.pop_front() {
            self.transmit(now, at, token, &reply, owner, out);
        }
    }

    /// Sends again what is due (§4.2), gives up what was sent often enough.
    pub fn tick(&mut self, now: Instant, out: &mut Out, failed: &mut Vec<(SocketAddr, Owner)>) {
        while let Some(Reverse((due, peer, mid))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            let Some(exchange) = self.exchanges.get_mut(&(peer, mid)) else { continue };
            if exchange.due != due {
                continue;
            }
            if exchange.tries < self.timing.max_retransmit {
                exchange.tries += 1;
                exchange.timeout *= 2;
                exchange.due = now + exchange.timeout;
                out.push_back((peer, exchange.bytes.clone()));
                self.timers.push(Reverse((exchange.due, peer, mid)));
                continue;
            }
            if let Some(exchange) = self.exchanges.remove(&(peer, mid)) {
                failed.push((peer, exchange.owner));
            }
            self.next(now, peer, out);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((due, _, _))| *due)
    }

    pub fn tidy(&mut self, now: Instant, kept: impl Fn(&SocketAddr) -> bool) {
        let lifetime = self.timing.exchange_lifetime();
        self.peers.retain(|at, peer| {
            !peer.is_idle() || now.duration_since(peer.used) < lifetime || kept(at)
        });
    }

    fn peer(&mut self, now: Instant, at: SocketAddr) -> &mut Peer {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&at) {
            self.peers.retain(|_, peer| !peer.is_idle());
        }
        let first = self.roll() as u16;
        let peer = self.peers.entry(at).or_insert_with(|| Peer {
            mid: first,
            active: 0,
            waiting: VecDeque::new(),
            pending: 0,
            used: now,
        });
        peer.used = now;
        peer
    }

    /// xorshift64*: for spreading, not for secrets.
    fn roll(&mut self) -> u32 {
        self.dice ^= self.dice >> 12;
        self.dice ^= self.dice << 25;
        self.dice ^= self.dice >> 27;
        (self.dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

impl Peer {
    fn is_idle(&self) -> bool {
        self.active == 0 && self.pending == 0 && self.waiting.is_empty()
    }
}
