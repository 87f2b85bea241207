//! The message layer (RFC 7252 §4): duplicates, acknowledgements, retransmission.
//!
//! A state machine without sockets and without a clock: datagrams and times go in, datagrams come
//! out through `out`, so that every rule is a test.

mod outgoing;
mod seen;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::codec::{Code, Fault, Kind, Message, Token, empty};
use super::reply::Reply;
use outgoing::Outgoing;
pub use outgoing::Owner;
pub use seen::Room;
use seen::{Key, Seen, State};
pub use timing::Timing;

/// Datagrams on their way out.
pub type Out = VecDeque<(SocketAddr, Bytes)>;

/// Bounds of everything that is kept about peers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub room: Room,
    /// Requests whose handlers are at work.
    pub in_flight: usize,
    pub in_flight_per_peer: usize,
    /// Confirmable messages that wait for their turn, per peer.
    pub waiting_per_peer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: Room { reads: 8192, writes: 32_768, bytes: 4 << 20 },
            in_flight: 1024,
            in_flight_per_peer: 256,
            waiting_per_peer: 64,
        }
    }
}

/// What a datagram turned out to be, when it is more than the layer's own business.
#[derive(Debug)]
pub enum Inbound<'a> {
    Request(Message<'a>, Ticket),
    /// The peer has taken a message of ours.
    Acknowledged(Owner),
    /// The peer knows nothing of what this message was about; the owner if it was confirmable.
    Reset {
        mid: u16,
        owner: Option<Owner>,
    },
}

/// What ties a handler's response to its request.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub peer: SocketAddr,
    pub kind: Kind,
    pub token: Token,
    mid: u16,
    key: Key,
}

pub struct Layer {
    timing: Timing,
    limits: Limits,
    seen: Seen,
    outgoing: Outgoing,
    /// Requests that took longer than the poll that began them, and when they are acknowledged.
    slow: VecDeque<(Instant, Ticket)>,
    in_flight: usize,
}

impl Layer {
    /// `seed` is any number that nobody can guess.
    pub fn new(timing: Timing, limits: Limits, seed: u64) -> Self {
        Self {
            timing,
            limits,
            seen: Seen::new(limits.room),
            outgoing: Outgoing::new(timing, limits.waiting_per_peer, seed),
            slow: VecDeque::new(),
            in_flight: 0,
        }
    }

    /// Takes in one datagram.
    pub fn receive<'a>(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        datagram: &'a [u8],
        out: &mut Out,
    ) -> Option<Inbound<'a>> {
        let message = match Message::decode(datagram) {
            Ok(message) => message,
            Err(fault) => {
                // §4.2, §4.3: only a confirmable message is told that it was not understood.
                if let Fault::Format { kind: Kind::Confirmable, mid } = fault {
                    out.push_back((peer, empty(Kind::Reset, mid)));
                }
                return None;
            }
        };
        match message.kind {
            Kind::Acknowledgement if message.code.is_request() => None,
            Kind::Acknowledgement => {
                let owner = self.outgoing.acknowledged(now, peer, message.mid, out)?;
                Some(Inbound::Acknowledged(owner))
            }
            Kind::Reset if message.code == Code::EMPTY => {
                let owner = self.outgoing.acknowledged(now, peer, message.mid, out);
                Some(Inbound::Reset { mid: message.mid, owner })
            }
            Kind::Reset => None,
            // No response is ever awaited here, and an empty confirmable message is a ping.
            Kind::Confirmable if !message.code.is_request() => {
                out.push_back((peer, empty(Kind::Reset, message.mid)));
                None
            }
            Kind::NonConfirmable if !message.code.is_request() => None,
            Kind::Confirmable | Kind::NonConfirmable => {
                self.request(now, peer, message, datagram, out)
            }
        }
    }

    fn request<'a>(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        message: Message<'a>,
        datagram: &[u8],
        out: &mut Out,
    ) -> Option<Inbound<'a>> {
        let (kind, mid, token) = (message.kind, message.mid, message.token);
        let key = self.seen.key(peer, mid, datagram);
        match self.seen.get(&key, now) {
            None => {}
            Some(State::Answered(Some(bytes))) => {
                out.push_back((peer, bytes.clone()));
                return None;
            }
            Some(State::Acknowledged) => {
                out.push_back((peer, empty(Kind::Acknowledgement, mid)));
                return None;
            }
            Some(State::Pending | State::Answered(None)) => return None,
        }
        let ticket = Ticket { peer, kind, token, mid, key };
        if let Some(mut reply) = self.refusal(peer) {
            if reply.longest() > super::AMPLIFICATION * datagram.len() {
                (reply.format, reply.payload) = (None, Bytes::new());
            }
            // Nothing is remembered of it: the same datagram may have better luck later.
            let bytes = match kind {
                Kind::Confirmable => reply.encode(Kind::Acknowledgement, mid, token),
                _ => reply.encode(Kind::NonConfirmable, self.outgoing.next_mid(peer), token),
            };
            out.push_back((peer, bytes));
            return None;
        }
        let lifetime = match kind {
            Kind::Confirmable => self.timing.exchange_lifetime(),
            _ => self.timing.non_lifetime(),
        };
        let safe = matches!(message.code, Code::GET | Code::FETCH);
        self.seen.enter(key, safe, now, lifetime);
        Some(Inbound::Request(message, ticket))
    }

    /// Why no more requests are taken now, if so (RFC 8516, RFC 7252 §5.9.3.4).
    fn refusal(&self, peer: SocketAddr) -> Option<Reply> {
        use super::reply::busy;
        if self.in_flight >= self.limits.in_flight {
            return Some(busy(Code::UNAVAILABLE, "too many coap requests\n"));
        }
        (self.outgoing.pending(peer) >= self.limits.in_flight_per_peer)
            .then(|| busy(Code::TOO_MANY_REQUESTS, "too many coap requests from this peer\n"))
    }

    /// The handler goes on by itself: `answer` will come later, and `tick` acknowledges meanwhile.
    pub fn defer(&mut self, now: Instant, ticket: &Ticket) {
        self.in_flight += 1;
        self.outgoing.begin(now, ticket.peer);
        if ticket.kind == Kind::Confirmable {
            self.slow.push_back((now + self.timing.patience(), *ticket));
        }
    }

    /// The handler of a deferred request has ended, with or without an answer.
    pub fn ended(&mut self, ticket: &Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.outgoing.end(ticket.peer);
    }

    /// Answers a request; without a reply the client hears no more than that it arrived.
    pub fn answer(&mut self, now: Instant, ticket: &Ticket, reply: Option<&Reply>, out: &mut Out) {
        let &Ticket { peer, kind, token, mid, key } = ticket;
        if reply.is_some_and(|reply| reply.code.class() == 4) {
            self.seen.refused(&key, now);
        }
        if kind != Kind::Confirmable {
            self.seen.set(&key, State::Answered(None));
            if let Some(reply) = reply {
                let mid = self.outgoing.next_mid(peer);
                out.push_back((peer, reply.encode(Kind::NonConfirmable, mid, token)));
            }
            return;
        }
        let acknowledged = matches!(self.seen.get(&key, now), Some(State::Acknowledged));
        if acknowledged {
            let bytes = empty(Kind::Acknowledgement, mid);
            self.seen.set(&key, State::Answered(Some(bytes)));
            if let Some(reply) = reply {
                self.outgoing.send(now, peer, token, reply, Owner::Response, out);
            }
            return;
        }
        let bytes = match reply {
            Some(reply) => reply.encode(Kind::Acknowledgement, mid, token),
            None => empty(Kind::Acknowledgement, mid),
        };
        self.seen.set(&key, State::Answered(Some(bytes.clone())));
        out.push_back((peer, bytes));
    }

    /// Sends a confirmable message now or when the peer's turn comes (NSTART, §4.7).
    pub fn confirm(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        token: Token,
        reply: &Reply,
        owner: Owner,
        out: &mut Out,
    ) {
        self.outgoing.send(now, peer, token, reply, owner, out);
    }

    /// Sends a message that nobody acknowledges; returns its id, which a reset would name.
    pub fn tell(&mut self, peer: SocketAddr, token: Token, reply: &Reply, out: &mut Out) -> u16 {
        let mid = self.outgoing.next_mid(peer);
        out.push_back((peer, reply.encode(Kind::NonConfirmable, mid, token)));
        mid
    }

    /// Whether a confirmable message to this peer would have to wait.
    pub fn is_busy(&self, peer: SocketAddr) -> bool {
        self.outgoing.is_busy(peer)
    }

    /// Keeps ids for a peer that will be told things, for as long as it is not forgotten.
    pub fn remember(&mut self, now: Instant, peer: SocketAddr) {
        self.outgoing.remember(now, peer);
    }

    /// Does what is due; `failed` gets what was sent in vain.
    pub fn tick(&mut self, now: Instant, out: &mut Out, failed: &mut Vec<(SocketAddr, Owner)>) {
        while let Some((due, ticket)) = self.slow.front()
            && *due <= now
        {
            if let Some(State::Pending) = self.seen.get(&ticket.key, now) {
                out.push_back((ticket.peer, empty(Kind::Acknowledgement, ticket.mid)));
                self.seen.set(&ticket.key, State::Acknowledged);
            }
            self.slow.pop_front();
        }
        self.outgoing.tick(now, out, failed);
    }

    /// When `tick` has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let slow = self.slow.front().map(|(due, _)| *due);
        slow.into_iter().chain(self.outgoing.deadline()).min()
    }

    /// Forgets what is of no use any more; `kept` tells which peers must stay.
    pub fn tidy(&mut self, now: Instant, kept: impl Fn(&SocketAddr) -> bool) {
        while self.seen.tidy(now) {}
        self.outgoing.tidy(now, kept);
    }
}
