//! Questions to a group (RFC 7252 §8): who is there, and with what? Nothing else is answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Wrapped;
use super::codec::{Code, Kind, Message};
use super::endpoint::{Endpoint, Wants};
use super::layer::{Inbound, Timing};
use super::request::Request;
use super::verbs::{self, Outcome, WELL_KNOWN};

/// Takes in a datagram that came to a group. Errors and empty answers are kept to ourselves, and a
/// confirmable message to a group is none at all (§8.1, §8.2.1).
pub fn asked(endpoint: &mut Endpoint, peer: SocketAddr, datagram: &Bytes) {
    let Some(request) = question(datagram) else { return };
    let (now, sent) = (Instant::now(), endpoint.out.len());
    let inbound = endpoint.layer.receive(now, peer, datagram, &mut endpoint.out);
    // What the layer has to say, as that it has no room, is said to nobody here.
    endpoint.out.truncate(sent);
    let Some(Inbound::Request(_, ticket)) = inbound else { return };
    let wants = Wants { no_response: request.no_response, quiet: true, shield: None };
    let Ok(call) =
        endpoint.door.admit(Code::GET, request, peer, datagram.clone(), Wrapped::default())
    else {
        return endpoint.layer.answer(now, &ticket, None, &mut endpoint.out);
    };
    let (door, leisure) = (endpoint.door.clone(), leisure(&endpoint.door.options.timing));
    endpoint.later(now, ticket, wants, async move {
        tokio::time::sleep(leisure).await;
        verbs::answer(door, call).await
    });
}

/// Whether a group is told this: there is something, and it is what was asked for.
pub fn is_worth_telling(outcome: &Outcome) -> bool {
    outcome.reply.code == Code::CONTENT && !outcome.reply.payload.is_empty()
}

/// The question for the list of resources; an observation of a group is not begun here.
fn question(datagram: &Bytes) -> Option<Request> {
    let message = Message::decode(datagram).ok()?;
    if (message.kind, message.code) != (Kind::NonConfirmable, Code::GET) {
        return None;
    }
    let request = Request::read(&message, datagram).ok()?;
    let later = request.block2.is_some_and(|block| block.number > 0);
    let fits = !later && !request.path.odd && request.path.text == WELL_KNOWN;
    fits.then_some(Request { observe: None, ..request })
}

/// Answers of many come at different times (§8.2).
fn leisure(timing: &Timing) -> Duration {
    let mut dice = [0; 4];
    // Without dice all wait alike: not nice, and nothing worse.
    let _ = getrandom::fill(&mut dice);
    timing.leisure().mul_f64(f64::from(u32::from_ne_bytes(dice)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::codec::{Token, Writer};
    use crate::coap::option;

    fn message(kind: Kind, code: Code, options: &[(u16, &[u8])]) -> Bytes {
        let mut writer = Writer::new(kind, code, 1, Token::default());
        for (number, value) in options {
            writer.option(*number, value);
        }
        writer.finish(&[])
    }

    #[test]
    fn only_the_question_who_is_there() {
        let (well, core) =
            ((option::URI_PATH, &b".well-known"[..]), (option::URI_PATH, &b"core"[..]));
        let (con, non) = (Kind::Confirmable, Kind::NonConfirmable);
        let asked = question(&message(non, Code::GET, &[(option::OBSERVE, b""), well, core]));
        assert_eq!(asked.unwrap().observe, None);
        for refused in [
            message(con, Code::GET, &[well, core]),
            message(non, Code::PUT, &[well, core]),
            message(non, Code::GET, &[(option::URI_PATH, b"home")]),
            message(non, Code::GET, &[well, core, (option::BLOCK2, b"\x10")]),
            message(non, Code::GET, &[well, core, (2049, b"")]),
            Bytes::from_static(b"\x59\x01\0\0"),
            Bytes::new(),
        ] {
            assert!(question(&refused).is_none(), "{refused:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_leisure() {
        let timing = Timing::default();
        assert_eq!(timing.leisure(), Duration::from_secs(5));
        let waits: Vec<_> = (0..50).map(|_| leisure(&timing)).collect();
        assert!(waits.iter().all(|wait| *wait <= timing.leisure()));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
