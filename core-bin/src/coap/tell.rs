//! Tells observers: confirmable or not, one at a time, always the newest state (RFC 7641 §4.5).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::codec::Code;
use super::endpoint::Endpoint;
use super::layer::Owner;
use super::lock;
use super::pins::Reader;
use super::read::not_acceptable;
use super::reply::{self, Reply};

/// Observers told before the others get their turn.
const TURN: usize = 64;
/// After this many notifications that nobody confirmed, one must be.
const UNCONFIRMED: u32 = 4;

/// Tells the next few observers that wait.
pub fn some(endpoint: &mut Endpoint) {
    for _ in 0..TURN {
        let Some(id) = endpoint.to_tell.pop_front() else { return };
        if let Some(observer) = endpoint.observers.get_mut(id) {
            observer.queued = false;
            one(endpoint, id, false);
        }
    }
}

/// Lets an observer be told in its turn.
pub fn soon(endpoint: &mut Endpoint, id: u64) {
    if let Some(observer) = endpoint.observers.get_mut(id)
        && !std::mem::replace(&mut observer.queued, true)
    {
        endpoint.to_tell.push_back(id);
    }
}

/// Tells one observer how its resource stands, if it does not know; with `anyway`, even then.
fn one(endpoint: &mut Endpoint, id: u64, anyway: bool) {
    let now = Instant::now();
    let check = endpoint.door.options.observer_check;
    let Some(observer) = endpoint.observers.get_mut(id) else { return };
    let Some(state) = endpoint.states.get(&observer.watch.target).cloned() else { return };
    let (peer, token) = (observer.peer, observer.token);
    let last_word = match &state {
        None => Some(reply::not_found()),
        Some(_) if !observer.watch.is_allowed(&endpoint.door) => {
            Some(Reply::error(Code::UNAUTHORIZED, "unauthorized\n"))
        }
        Some(state) if state.version.format != observer.watch.format => Some(not_acceptable()),
        Some(_) => None,
    };
    let shield = observer.watch.proof.shield.clone();
    let sealed = |reply| match &shield {
        Some(shield) => shield.seal(reply),
        None => reply,
    };
    if let Some(reply) = last_word.map(sealed) {
        endpoint.observers.remove(id);
        endpoint.layer.confirm(now, peer, token, &reply, Owner::Response, &mut endpoint.out);
        return;
    }
    let Some(state) = state else { return };
    if observer.watch.is_told(&state) && !anyway {
        observer.due = false;
        return;
    }
    let confirm = observer.confirmable
        || anyway
        || observer.watch.budget.is_some()
        || observer.unconfirmed >= UNCONFIRMED
        || now.duration_since(observer.confirmed_at) >= check;
    if confirm && (observer.in_flight || endpoint.layer.is_busy(peer)) {
        // It is told the state of then, not this one, when the peer is heard of.
        observer.due = true;
        return;
    }
    let seq = observer.watch.next(&state);
    let (reply, blocks) = observer.watch.notification(&state, seq);
    let reply = sealed(reply);
    observer.due = false;
    (observer.watch.seq, observer.watch.etag) = (seq, state.version.etag);
    if confirm {
        (observer.in_flight, observer.last_mid) = (true, None);
        let owner = Owner::Observer(id);
        endpoint.layer.confirm(now, peer, token, &reply, owner, &mut endpoint.out);
    } else {
        observer.unconfirmed += 1;
        observer.last_mid = Some(endpoint.layer.tell(peer, token, &reply, &mut endpoint.out));
    }
    if let (Some(version), Some(observer)) = (blocks, endpoint.observers.get_mut(id)) {
        let reader = Reader { peer, target: observer.watch.target.name() };
        lock(&endpoint.door.pins).put(reader, version, (0, Bytes::new()), now);
    }
}

/// The peer has taken a message; what waited for that can go.
pub fn acknowledged(endpoint: &mut Endpoint, now: Instant, peer: SocketAddr, owner: Owner) {
    if let Owner::Observer(id) = owner
        && let Some(observer) = endpoint.observers.get_mut(id)
    {
        observer.in_flight = false;
        observer.unconfirmed = 0;
        observer.confirmed_at = now;
        observer.watch.budget = None;
    }
    release(endpoint, peer);
}

/// The peer does not know what a message was about: it observes no more (RFC 7641 §3.6).
pub fn reset(endpoint: &mut Endpoint, peer: SocketAddr, mid: u16, owner: Option<Owner>) {
    let id = match owner {
        Some(Owner::Observer(id)) => Some(id),
        Some(Owner::Response) => None,
        None => endpoint.observers.by_mid(peer, mid),
    };
    if let Some(id) = id {
        endpoint.observers.remove(id);
    }
    release(endpoint, peer);
}

/// Lets the observations of a peer go on that had to wait for it.
pub fn release(endpoint: &mut Endpoint, peer: SocketAddr) {
    for id in endpoint.observers.of_peer(peer) {
        if endpoint.observers.get_mut(id).is_some_and(|observer| observer.due) {
            soon(endpoint, id);
        }
    }
}

/// Asks observers that confirmed nothing for long whether they are still there.
pub fn check(endpoint: &mut Endpoint, now: Instant) {
    let Some(before) = now.checked_sub(endpoint.door.options.observer_check) else { return };
    for id in endpoint.observers.silent_since(before) {
        one(endpoint, id, true);
    }
}
