//! The CoAP door (RFC 7252): datagrams to verbs, answers to datagrams; it holds no state of the
//! store.
//!
//! ```text
//!   endpoint                    one socket, one task: receives, sends, keeps time
//!     layer                     duplicates, acknowledgements, retransmission (no socket, no clock)
//!     discovery                 questions to a group of nodes
//!     observers                 who is told what (RFC 7641)
//!     oscore                    requests and answers that are sealed (RFC 8613)
//!     verbs → read, write       a request becomes a verb of the engine (blocks: RFC 7959)
//!       codec, option, block, format, reply     bytes and numbers, pure
//! ```

mod block;
pub mod codec;
mod discovery;
#[cfg_attr(not(feature = "dtls"), path = "nodtls.rs")]
mod dtls;
mod echo;
mod endpoint;
mod fetch;
mod format;
mod keys;
mod layer;
mod links;
mod observers;
mod option;
mod oscore;
mod pins;
mod read;
mod reply;
mod request;
mod senml;
mod sockets;
mod tell;
mod uploads;
mod verbs;
mod watch;
mod work;
mod write;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::access::{Action, Identity, Tokens};
use crate::engine::{Engine, OpKey};
use crate::path::WorldPath;
use codec::Code;
use echo::Echo;
pub use endpoint::{Running, start};
pub use keys::Keys;
pub use layer::Timing;
pub use oscore::Oscore;
use oscore::Shield;
use pins::Pins;
use reply::Reply;
use request::Request;
use uploads::Uploads;

/// An unproved address is sent at most this many times what came from it (RFC 9175 §2.4).
const AMPLIFICATION: usize = 3;

/// Settings of the door itself.
#[derive(Clone)]
pub struct Options {
    /// Take tokens in the clear from other machines too.
    pub plain_tokens: bool,
    pub timing: Timing,
    pub max_in_flight: usize,
    pub max_observers: usize,
    /// An observer that confirmed nothing for so long is asked to (RFC 7641 §4.5).
    pub observer_check: Duration,
    /// Interfaces whose groups are joined, to be discovered there.
    pub multicast: Vec<String>,
    /// Whose requests can be opened (RFC 8613).
    pub oscore: Option<Arc<Oscore>>,
}

/// What a peer shows of itself.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// A raw token.
    pub credential: Option<Bytes>,
    /// Whose key protects what it sends.
    pub key: Option<Arc<Identity>>,
    /// What its answers are sealed with.
    pub shield: Option<Arc<Shield>>,
}

/// What a request came in, besides its datagram.
#[derive(Clone, Default)]
pub struct Wrapped {
    /// Whose key it was.
    pub key: Option<Arc<Identity>>,
    pub shield: Option<Arc<Shield>>,
}

/// What all requests share.
pub struct Door {
    engine: Engine,
    tokens: RwLock<Arc<Tokens>>,
    options: Options,
    uploads: Mutex<Uploads>,
    pins: Mutex<Pins>,
    echo: Mutex<Echo>,
}

/// One request, with who sent it.
pub struct Call {
    pub code: Code,
    pub request: Request,
    pub peer: SocketAddr,
    who: Identity,
    proof: Proof,
    /// The request's own bytes: with the endpoint they name the operation.
    datagram: Bytes,
    /// Bytes that the response may have, for an address that has proved nothing.
    budget: Option<usize>,
}

impl Door {
    pub fn new(engine: Engine, tokens: Tokens, options: Options) -> Result<Self, String> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Self {
            engine,
            tokens: RwLock::new(Arc::new(tokens)),
            options,
            uploads: Mutex::default(),
            pins: Mutex::default(),
            echo: Mutex::new(Echo::new(secret, Instant::now())),
        })
    }

    /// From now on these are the tokens, for requests and for observers.
    pub fn set_tokens(&self, tokens: Tokens) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who this proves to be, by the tokens of now.
    fn identify(&self, proof: &Proof) -> Identity {
        match (&proof.credential, &proof.key) {
            (Some(raw), _) => self.tokens().identify(Some(&[b"Bearer ", &raw[..]].concat())),
            (None, Some(identity)) => identity.as_ref().clone(),
            (None, None) => Identity::default(),
        }
    }

    /// Finds out who asks; an `Err` is the answer already.
    fn admit(
        &self,
        code: Code,
        request: Request,
        peer: SocketAddr,
        datagram: Bytes,
        Wrapped { key, shield }: Wrapped,
    ) -> Result<Call, Reply> {
        let local = is_local(peer) || key.is_some();
        let proof = Proof { credential: request.credential.clone(), key, shield };
        let who = match &request.credential {
            Some(_) if !local && !self.options.plain_tokens => {
                let line = "unauthorized: a token in the clear is taken from this machine only\n";
                return Err(Reply::error(Code::UNAUTHORIZED, line));
            }
            _ => self.identify(&proof),
        };
        let now = Instant::now();
        let trusted = local
            || who.tier > crate::access::Tier::Anonymous
            || lock(&self.echo).is_proved(peer, request.echo.as_deref(), now);
        let budget = (!trusted).then_some(AMPLIFICATION * datagram.len());
        Ok(Call { code, request, peer, who, proof, datagram, budget })
    }

    /// A refusal for a request of this length, without its text where that would be too much.
    fn shortened(&self, peer: SocketAddr, length: usize, reply: Reply) -> Reply {
        if is_local(peer) || reply.longest() <= AMPLIFICATION * length {
            return reply;
        }
        Reply { payload: Bytes::new(), format: None, ..reply }
    }

    fn may(&self, call: &Call, action: Action<'_>) -> Result<(), Reply> {
        self.tokens().may(&call.who, action).map_err(reply::denied)
    }

    /// Drops transfers that were silent too long.
    fn tidy(&self, now: Instant) {
        lock(&self.uploads).give_up(now);
        lock(&self.pins).give_up(now);
    }
}

impl Call {
    /// Names the operation across restarts: endpoint and datagram (design §1). A memory world
    /// does not outlive a restart, so its writes take the short way without a key.
    fn key(&self, path: &WorldPath) -> Option<OpKey> {
        if !path.is_durable() && self.code != Code::DELETE {
            return None;
        }
        Some(op_key(self.peer, &self.datagram))
    }

    /// Makes a response fit an address that has proved nothing: less text, then a challenge.
    fn within_budget(&self, door: &Door, reply: Reply) -> Reply {
        let Some(budget) = self.budget else { return reply };
        if reply.longest() <= budget {
            return reply;
        }
        if reply.code.class() == 2 && !reply.payload.is_empty() {
            let echo = lock(&door.echo).value(self.peer, Instant::now());
            return Reply { echo: Some(echo), ..Reply::new(Code::UNAUTHORIZED) };
        }
        Reply { payload: Bytes::new(), format: None, ..reply }
    }
}

/// Endpoint, message id, and a digest of both with the bytes, in this order: what one board writes
/// after another lies together in the store's index, which then changes one page for many writes.
fn op_key(peer: SocketAddr, datagram: &[u8]) -> OpKey {
    let endpoint = Sha256::digest(peer.to_string());
    let digest = Sha256::new()
        .chain_update(b"coap\0")
        .chain_update(endpoint)
        .chain_update(datagram)
        .finalize();
    let mut key = OpKey::default();
    let (place, rest) = key.split_at_mut(6);
    place[..4].copy_from_slice(&endpoint[..4]);
    place[4..].copy_from_slice(datagram.get(2..4).unwrap_or(&[0; 2]));
    let length = rest.len();
    rest.copy_from_slice(&digest[..length]);
    key
}

fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_operation() {
        let (here, there) =
            (SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 1], 2)));
        let datagram = |mid: u16, byte| [&[0x40, 3][..], &mid.to_be_bytes(), &[byte]].concat();
        let mut keys = Vec::new();
        for peer in [here, there] {
            let of_peer: Vec<_> = (0..300).map(|mid| op_key(peer, &datagram(mid, 0))).collect();
            assert!(of_peer.is_sorted(), "one endpoint's lie together, in order");
            keys.extend(of_peer);
        }
        keys.push(op_key(here, &datagram(1, 1)));
        keys.push(op_key(here, b""));
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "another endpoint, id or byte is another operation");
    }
}
