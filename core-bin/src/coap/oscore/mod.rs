//! Object security (RFC 8613): requests are opened before anybody looks at them, and whatever
//! answers them is sealed for the one who asked.

mod contexts;
mod cose;
mod numbers;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

use super::codec::{Code, HEADER, Kind, Message, Token, Writer};
use super::option;
use super::reply::{ETag, Reply, Seal};
use crate::access::Identity;
use contexts::Context;
pub use cose::{Piv, Value};
use numbers::Numbers;
use window::Window;

/// Where our own numbers are kept in the data directory.
const NUMBERS: &str = "coap-oscore-numbers";

/// All contexts, with what of each changes.
pub struct Oscore {
    known: Vec<(Context, Mutex<Receiver>)>,
    numbers: Numbers,
}

/// What was heard of a client. After a start nothing is known of its numbers: the first request
/// must show that it is new (appendix B.1.2).
struct Receiver {
    window: Option<Window>,
    challenge: ETag,
}

/// A request as its sender meant it.
pub struct Opened {
    /// A whole message, with the protected options, code and payload.
    pub message: Bytes,
    pub shield: Arc<Shield>,
}

/// Seals what answers one request, and its notifications.
pub struct Shield {
    oscore: Arc<Oscore>,
    context: usize,
    request_piv: Piv,
    /// The request's own nonce has served: from then on every answer takes a number of ours.
    used: AtomicBool,
    /// What the client has to repeat before anything is done for it.
    challenge: Option<ETag>,
    /// The request had the Observe option: its answers look like a FETCH's (§4.2).
    observes: bool,
}

impl Oscore {
    pub fn load(file: &Path, data: &Path, now: SystemTime) -> Result<Arc<Self>, String> {
        let numbers = Numbers::open(data.join(NUMBERS), now)?;
        Self::new(contexts::load(file)?, numbers)
    }

    fn new(contexts: Vec<Context>, numbers: Numbers) -> Result<Arc<Self>, String> {
        let receiver = |context| {
            let mut challenge = ETag::default();
            getrandom::fill(&mut challenge).map_err(|e| format!("no random numbers: {e}"))?;
            Ok((context, Mutex::new(Receiver { window: None, challenge })))
        };
        let known = contexts.into_iter().map(receiver).collect::<Result<_, String>>()?;
        Ok(Arc::new(Self { known, numbers }))
    }

    /// Opens a request that has the option; an `Err` is the answer to one that cannot be (§8.2).
    pub fn open(self: &Arc<Self>, outer: &Message<'_>) -> Option<Result<Opened, Reply>> {
        let mut options = outer.options();
        let (_, value) = options.find(|(number, _)| *number == option::OSCORE)?;
        Some(self.request(outer, value))
    }

    fn request(self: &Arc<Self>, outer: &Message<'_>, value: &[u8]) -> Result<Opened, Reply> {
        let observes = outer_options(outer)?;
        let value = Value::parse(value);
        let Some((piv, kid, value)) = value.and_then(|v| Some((v.piv?, v.kid?, v))) else {
            return Err(refusal(Code::BAD_OPTION, "Failed to decode COSE"));
        };
        let Some(index) = self.find(kid, value.kid_context) else {
            return Err(refusal(Code::UNAUTHORIZED, "Security context not found"));
        };
        let (context, receiver) = &self.known[index];
        let mut receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        if receiver.window.is_some_and(|window| !window.is_new(piv.number())) {
            return Err(refusal(Code::UNAUTHORIZED, "Replay detected"));
        }
        let nonce = cose::nonce(&context.common_iv, &context.client, piv);
        let aad = cose::aad(&context.client, piv);
        let plain = cose::open(&context.client_key, &nonce, &aad, outer.payload)
            .ok_or_else(|| refusal(Code::BAD_REQUEST, "Decryption failed"))?;
        let mut shield = Shield {
            oscore: self.clone(),
            context: index,
            request_piv: piv,
            used: AtomicBool::new(false),
            challenge: None,
            observes,
        };
        let message = inner(outer, &plain);
        let challenge = receiver.challenge;
        match &mut receiver.window {
            Some(window) => window.enter(piv.number()),
            None if message.as_ref().is_some_and(|inner| repeats(inner, &challenge)) => {
                receiver.window = Some(Window::begin(piv.number()));
            }
            None => {
                // Its nonce may have served before the start: this answer has a number of ours.
                shield.used.store(true, Ordering::Relaxed);
                shield.challenge = Some(challenge);
            }
        }
        drop(receiver);
        let Some(message) = message else {
            return Err(shield.seal(Reply::new(Code::BAD_REQUEST)));
        };
        Ok(Opened { message, shield: Arc::new(shield) })
    }

    /// The context of this id; without a context id in the request, of nobody else's.
    fn find(&self, kid: &[u8], kid_context: Option<&[u8]>) -> Option<usize> {
        let with = |wanted: &dyn Fn(&Context) -> bool| {
            self.known.iter().position(|(context, _)| context.client == kid && wanted(context))
        };
        let exact = with(&|context| context.id_context.as_deref() == kid_context);
        exact.or_else(|| kid_context.is_none().then(|| with(&|_| true)).flatten())
    }
}

impl Shield {
    pub fn identity(&self) -> &Arc<Identity> {
        &self.oscore.known[self.context].0.identity
    }

    /// Whether the Observe option was seen by whoever carried the request too; if not, the
    /// protected one does not count (§4.1.3.5.1).
    pub fn observes(&self) -> bool {
        self.observes
    }

    /// The answer to a request that may be an old one (appendix B.1.2); none when it is new.
    pub fn challenge(&self) -> Option<Reply> {
        let echo = Some(self.challenge?);
        Some(Reply { echo, ..Reply::new(Code::UNAUTHORIZED) })
    }

    /// An answer that only the one who asked can read. When no number can be had for it there is
    /// none: a nonce that serves twice would give the key away.
    pub fn seal(&self, reply: Reply) -> Reply {
        self.sealed(&reply).unwrap_or(Reply::new(Code::UNAVAILABLE))
    }

    fn sealed(&self, reply: &Reply) -> Option<Reply> {
        let (context, _) = &self.oscore.known[self.context];
        let first = !self.used.swap(true, Ordering::Relaxed);
        let piv = match first && reply.observe.is_none() {
            true => None,
            false => Some(Piv::new(self.oscore.numbers.take()?)?),
        };
        let nonce = match piv {
            None => cose::nonce(&context.common_iv, &context.client, self.request_piv),
            Some(piv) => cose::nonce(&context.common_iv, &context.server, piv),
        };
        // Inside, the option says that this is a notification and no more (§4.1.3.5.2).
        let inner = Reply { observe: reply.observe.map(|_| 0), ..reply.clone() };
        let inner = inner.encode(Kind::Acknowledgement, 0, Token::default());
        let plain = [&[reply.code.0], inner.get(HEADER..)?].concat();
        let aad = cose::aad(&context.client, self.request_piv);
        let code = if self.observes { Code::CONTENT } else { Code::CHANGED };
        Some(Reply {
            observe: reply.observe,
            seal: piv.map_or(Seal::AsAsked, Seal::Numbered),
            payload: cose::seal(&context.server_key, &nonce, &aad, &plain)?.into(),
            ..Reply::new(code)
        })
    }
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("name", &self.identity().name).finish_non_exhaustive()
    }
}

/// An answer in the clear: it comes before there is anything to seal it with.
fn refusal(code: Code, why: &'static str) -> Reply {
    Reply { max_age: Some(0), ..Reply::error(code, why) }
}

/// Looks at what everybody could see of the request; what should have been protected does not
/// count (§8.2). Whether it observes.
fn outer_options(outer: &Message<'_>) -> Result<bool, Reply> {
    let mut observes = false;
    for (number, _) in outer.options() {
        match number {
            option::OBSERVE => observes = true,
            option::OSCORE => {}
            option::PROXY_URI | option::PROXY_SCHEME => {
                return Err(Reply::error(Code::NOT_A_PROXY, "this is not a proxy\n"));
            }
            _ if option::is_critical(number) && option::form(number).is_none() => {
                return Err(Reply::error(Code::BAD_OPTION, "a critical option is unknown\n"));
            }
            _ => {}
        }
    }
    Ok(observes)
}

/// The protected message with the id and token of the one that carried it; none if it is not one.
fn inner(outer: &Message<'_>, plain: &[u8]) -> Option<Bytes> {
    let (&code, rest) = plain.split_first()?;
    let head = Writer::new(outer.kind, Code(code), outer.mid, outer.token).finish(&[]);
    let message: Bytes = [&head, rest].concat().into();
    Message::decode(&message).is_ok_and(|inner| inner.code.is_request()).then_some(message)
}

/// Whether a request has what it was asked to repeat.
fn repeats(message: &Bytes, challenge: &ETag) -> bool {
    let Ok(message) = Message::decode(message) else { return false };
    message.options().any(|(number, value)| number == option::ECHO && value == challenge)
}
