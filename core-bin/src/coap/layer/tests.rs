//! The rules of RFC 7252 §4, each with a clock of its own.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::coap::codec::Writer;

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    layer: Layer,
    now: Instant,
    out: Out,
    failed: Vec<(SocketAddr, Owner)>,
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn message(kind: Kind, code: Code, mid: u16, payload: &[u8]) -> Bytes {
    let token = Token::new(b"\xca\xfe").unwrap();
    Writer::new(kind, code, mid, token).finish(payload)
}

fn content() -> Reply {
    Reply { payload: Bytes::from_static(b"23.5"), ..Reply::new(Code::CONTENT) }
}

impl Bench {
    fn new(timing: Timing, limits: Limits) -> Self {
        let layer = Layer::new(timing, limits, 7);
        Self { layer, now: Instant::now(), out: Out::new(), failed: Vec::new() }
    }

    fn standard() -> Self {
        Self::new(Timing::default(), Limits::default())
    }

    /// A datagram from port 1; the ticket if it is a new request.
    fn receive(&mut self, datagram: &[u8]) -> Option<Ticket> {
        self.receive_from(1, datagram)
    }

    fn receive_from(&mut self, port: u16, datagram: &[u8]) -> Option<Ticket> {
        match self.layer.receive(self.now, peer(port), datagram, &mut self.out) {
            Some(Inbound::Request(_, ticket)) => Some(ticket),
            _ => None,
        }
    }

    fn answer(&mut self, ticket: &Ticket) {
        self.layer.answer(self.now, ticket, Some(&content()), &mut self.out);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.layer.tick(self.now, &mut self.out, &mut self.failed);
    }

    /// What went out since the last look: kind, code, id.
    fn sent(&mut self) -> Vec<(Kind, Code, u16)> {
        let head = |(_, bytes): (SocketAddr, Bytes)| {
            let message = Message::decode(&bytes).unwrap();
            (message.kind, message.code, message.mid)
        };
        self.out.drain(..).map(head).collect()
    }
}

#[test]
fn a_request_is_answered_in_its_acknowledgement() {
    let mut bench = Bench::standard();
    let ticket = bench.receive(&message(Kind::Confirmable, Code::GET, 5, b"")).unwrap();
    bench.answer(&ticket);
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::CONTENT, 5)]);
    let ticket = bench.receive(&message(Kind::NonConfirmable, Code::GET, 6, b"")).unwrap();
    bench.answer(&ticket);
    let sent = bench.sent();
    assert_eq!((sent[0].0, sent[0].1, sent.len()), (Kind::NonConfirmable, Code::CONTENT, 1));
}

#[test]
fn what_is_no_request_gets_a_reset_or_nothing() {
    let mut bench = Bench::standard();
    let reset = |mid| vec![(Kind::Reset, Code::EMPTY, mid)];
    let table = [
        (empty(Kind::Confirmable, 1), reset(1)),
        (empty(Kind::NonConfirmable, 2), vec![]),
        (empty(Kind::Acknowledgement, 3), vec![]),
        (empty(Kind::Reset, 4), vec![]),
        (message(Kind::Confirmable, Code::CONTENT, 5, b"hi"), reset(5)),
        (message(Kind::NonConfirmable, Code::CONTENT, 6, b"hi"), vec![]),
        (message(Kind::Acknowledgement, Code::GET, 7, b""), vec![]),
        (message(Kind::Acknowledgement, Code::CONTENT, 8, b"hi"), vec![]),
        (message(Kind::Reset, Code::GET, 9, b""), vec![]),
        (message(Kind::Confirmable, Code::new(1, 1), 10, b""), reset(10)),
        (message(Kind::Confirmable, Code::new(7, 1), 11, b""), reset(11)),
        (Bytes::from_static(b"\x49\x01\x00\x0c123456789"), reset(12)),
        (Bytes::from_static(b"\x59\x01\x00\x0d123456789"), vec![]),
        (Bytes::from_static(b"\x69\x01\x00\x0e123456789"), vec![]),
        (Bytes::from_static(b"\x81\x01\x00\x0f1"), vec![]),
    ];
    for (datagram, expected) in table {
        assert!(bench.receive(&datagram).is_none(), "{datagram:?}");
        assert_eq!(bench.sent(), expected, "{datagram:?}");
    }
}

#[test]
fn a_duplicate_gets_the_same_bytes_and_is_not_done_again() {
    let mut bench = Bench::standard();
    let post = message(Kind::Confirmable, Code::POST, 5, b"a");
    let ticket = bench.receive(&post).unwrap();
    // Entered before it is done: a duplicate that comes meanwhile is dropped.
    assert!(bench.receive(&post).is_none() && bench.out.is_empty());
    bench.answer(&ticket);
    let first = bench.out.pop_front().unwrap();
    for _ in 0..4 {
        bench.pass(60 * SECOND);
        assert!(bench.receive(&post).is_none());
        assert_eq!(bench.out.pop_front().unwrap(), first);
    }
    bench.pass(10 * SECOND);
    assert!(bench.receive(&post).is_some(), "after 247 s the id is free again");
}

#[test]
fn other_bytes_under_a_known_id_are_a_new_request() {
    let mut bench = Bench::standard();
    for payload in [b"23.5", b"23.6"] {
        let post = message(Kind::Confirmable, Code::POST, 1, payload);
        let ticket = bench.receive(&post).unwrap();
        bench.answer(&ticket);
        assert!(bench.receive(&post).is_none());
    }
    let other = bench.receive_from(2, &message(Kind::Confirmable, Code::POST, 1, b"23.5"));
    assert!(other.is_some(), "another endpoint has ids of its own");
}

#[test]
fn a_duplicate_that_is_not_confirmable_is_dropped() {
    let mut bench = Bench::standard();
    let get = message(Kind::NonConfirmable, Code::GET, 5, b"");
    let ticket = bench.receive(&get).unwrap();
    bench.answer(&ticket);
    bench.sent();
    bench.pass(144 * SECOND);
    assert!(bench.receive(&get).is_none() && bench.out.is_empty());
    bench.pass(SECOND);
    assert!(bench.receive(&get).is_some());
}

#[test]
fn a_slow_handler_is_acknowledged_and_its_response_confirmed() {
    let mut bench = Bench::standard();
    let put = message(Kind::Confirmable, Code::PUT, 5, b"x");
    let ticket = bench.receive(&put).unwrap();
    bench.layer.defer(bench.now, &ticket);
    assert_eq!(bench.layer.deadline(), Some(bench.now + SECOND));
    bench.pass(SECOND);
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::EMPTY, 5)]);
    assert!(bench.receive(&put).is_none());
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::EMPTY, 5)], "and so is a duplicate");
    bench.layer.ended(&ticket);
    bench.answer(&ticket);
    let sent = bench.sent();
    assert_eq!((sent[0].0, sent[0].1), (Kind::Confirmable, Code::CONTENT));
    // It is sent again until it is acknowledged, and not after that.
    bench.pass(3 * SECOND);
    assert_eq!(bench.sent(), sent);
    bench.receive(&empty(Kind::Acknowledgement, sent[0].2));
    bench.pass(100 * SECOND);
    assert_eq!(bench.sent(), []);
    assert!(bench.failed.is_empty());
}

#[test]
fn a_quick_handler_is_not_acknowledged_by_itself() {
    let mut bench = Bench::standard();
    let ticket = bench.receive(&message(Kind::Confirmable, Code::PUT, 5, b"x")).unwrap();
    bench.layer.defer(bench.now, &ticket);
    bench.pass(SECOND / 2);
    bench.answer(&ticket);
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::CONTENT, 5)]);
    bench.pass(SECOND);
    assert_eq!(bench.sent(), []);
}

#[test]
fn retransmission_doubles_its_timeout_and_gives_up() {
    let mut bench = Bench::standard();
    let (token, owner) = (Token::default(), Owner::Observer(9));
    let begin = bench.now;
    bench.layer.confirm(begin, peer(1), token, &content(), owner, &mut bench.out);
    let mut times = Vec::new();
    while let Some(due) = bench.layer.deadline() {
        bench.sent();
        bench.pass(due - bench.now);
        times.push((bench.now - begin).as_secs_f64());
    }
    let first = times[0];
    assert!((2.0..=3.0).contains(&first), "{first}");
    let factors: Vec<f64> = times.iter().map(|time| (time / first).round()).collect();
    assert_eq!(factors, [1.0, 3.0, 7.0, 15.0, 31.0]);
    assert_eq!(bench.failed, [(peer(1), owner)]);
}

#[test]
fn one_confirmable_message_per_peer_at_a_time() {
    let mut bench = Bench::standard();
    let confirm = |bench: &mut Bench, port, id| {
        let owner = Owner::Observer(id);
        let (now, token) = (bench.now, Token::default());
        bench.layer.confirm(now, peer(port), token, &content(), owner, &mut bench.out);
    };
    confirm(&mut bench, 1, 1);
    confirm(&mut bench, 1, 2);
    confirm(&mut bench, 2, 3);
    assert!(bench.layer.is_busy(peer(1)) && !bench.layer.is_busy(peer(3)));
    let first = bench.sent();
    assert_eq!(first.len(), 2, "the second to the same peer waits");
    let (now, ack) = (bench.now, empty(Kind::Acknowledgement, first[0].2));
    let inbound = bench.layer.receive(now, peer(1), &ack, &mut bench.out);
    assert!(matches!(inbound, Some(Inbound::Acknowledged(Owner::Observer(1)))));
    assert_eq!(bench.sent().len(), 1);
    // Nobody else's acknowledgement counts.
    assert!(bench.layer.receive(now, peer(2), &ack, &mut bench.out).is_none());
}

#[test]
fn a_reset_ends_what_it_is_about() {
    let mut bench = Bench::standard();
    let (now, token, owner) = (bench.now, Token::default(), Owner::Observer(4));
    bench.layer.confirm(now, peer(1), token, &content(), owner, &mut bench.out);
    let mid = bench.sent()[0].2;
    let reset = empty(Kind::Reset, mid);
    let inbound = bench.layer.receive(now, peer(1), &reset, &mut bench.out);
    assert!(matches!(inbound, Some(Inbound::Reset { owner: Some(Owner::Observer(4)), .. })));
    bench.pass(100 * SECOND);
    assert_eq!(bench.sent(), []);
    let told = bench.layer.tell(peer(1), token, &content(), &mut bench.out);
    let reset = empty(Kind::Reset, told);
    let inbound = bench.layer.receive(bench.now, peer(1), &reset, &mut bench.out);
    assert!(matches!(inbound, Some(Inbound::Reset { mid, owner: None }) if mid == told));
}

#[test]
fn too_many_requests_are_turned_away_and_forgotten() {
    let limits = Limits { in_flight: 3, in_flight_per_peer: 2, ..Limits::default() };
    let mut bench = Bench::new(Timing::default(), limits);
    let get = |mid| message(Kind::Confirmable, Code::GET, mid, b"");
    let mut tickets = Vec::new();
    for (port, mid) in [(1, 1), (1, 2), (2, 3)] {
        let ticket = bench.receive_from(port, &get(mid)).unwrap();
        bench.layer.defer(bench.now, &ticket);
        tickets.push(ticket);
    }
    assert!(bench.receive_from(3, &get(4)).is_none());
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::UNAVAILABLE, 4)]);
    bench.layer.ended(&tickets[2]);
    assert!(bench.receive_from(1, &get(5)).is_none());
    assert_eq!(bench.sent(), [(Kind::Acknowledgement, Code::TOO_MANY_REQUESTS, 5)]);
    bench.layer.ended(&tickets[0]);
    assert!(bench.receive_from(1, &get(5)).is_some(), "the same datagram has better luck later");
}

#[test]
fn what_is_remembered_is_bounded() {
    let room = Room { reads: 100, writes: 200, bytes: 4000 };
    let mut bench = Bench::new(Timing::default(), Limits { room, ..Limits::default() });
    let pending = bench.receive(&message(Kind::Confirmable, Code::POST, 0, b"first")).unwrap();
    for n in 0..5000u32 {
        let code = if n % 2 == 0 { Code::GET } else { Code::PUT };
        let datagram = message(Kind::Confirmable, code, n as u16, &n.to_be_bytes());
        let ticket = bench.receive_from((n % 50) as u16, &datagram).unwrap();
        bench.answer(&ticket);
        bench.sent();
        assert!(bench.layer.seen.len() <= 302, "{}", bench.layer.seen.len());
        assert!(bench.layer.seen.bytes() <= 2 * 4100, "{}", bench.layer.seen.bytes());
    }
    // What is at work is never forgotten.
    let again = bench.receive(&message(Kind::Confirmable, Code::POST, 0, b"first"));
    assert!(again.is_none() && bench.out.is_empty());
    bench.answer(&pending);
    assert_eq!(bench.sent().len(), 1);
    bench.now += 300 * SECOND;
    bench.layer.tidy(bench.now, |_| false);
    assert_eq!((bench.layer.seen.len(), bench.layer.seen.bytes()), (0, 0));
}

#[test]
fn requests_that_were_refused_push_out_no_writes() {
    let room = Room { reads: 10, writes: 20, bytes: 4000 };
    let mut bench = Bench::new(Timing::default(), Limits { room, ..Limits::default() });
    let post = message(Kind::Confirmable, Code::POST, 0, b"mine");
    let ticket = bench.receive(&post).unwrap();
    bench.answer(&ticket);
    let first = bench.out.pop_front().unwrap();
    for n in 0..500u32 {
        let datagram = message(Kind::Confirmable, Code::PUT, n as u16, &n.to_be_bytes());
        let ticket = bench.receive_from(2, &datagram).unwrap();
        let refusal = Reply::error(Code::UNAUTHORIZED, "unauthorized\n");
        bench.layer.answer(bench.now, &ticket, Some(&refusal), &mut bench.out);
        bench.sent();
        assert!(bench.layer.seen.len() <= 12, "{}", bench.layer.seen.len());
    }
    assert!(bench.receive(&post).is_none());
    assert_eq!(bench.out.pop_front().unwrap(), first);
    bench.now += 300 * SECOND;
    bench.layer.tidy(bench.now, |_| false);
    assert_eq!((bench.layer.seen.len(), bench.layer.seen.bytes()), (0, 0));
}

#[test]
fn a_refusal_for_want_of_room_is_no_longer_than_it_may_be() {
    let limits = Limits { in_flight: 0, ..Limits::default() };
    let mut bench = Bench::new(Timing::default(), limits);
    for length in [0, 4, 100] {
        let request = message(Kind::Confirmable, Code::GET, 1, &vec![b'x'; length]);
        assert!(bench.receive(&request).is_none());
        let (_, answer) = bench.out.pop_front().unwrap();
        assert!(answer.len() <= 3 * request.len(), "{} for {}", answer.len(), request.len());
        assert_eq!(Message::decode(&answer).unwrap().payload.is_empty(), length < 100);
    }
}

proptest! {
    #[test]
    fn no_datagram_panics_and_none_answers_an_acknowledgement_or_a_reset(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..40),
    ) {
        let mut bench = Bench::standard();
        for mut datagram in datagrams {
            for kind in [None, Some(0x40), Some(0x51), Some(0x60), Some(0x70)] {
                if let (Some(kind), Some(first)) = (kind, datagram.first_mut()) {
                    *first = kind | *first & 3;
                }
                if let Some(ticket) = bench.receive(&datagram) {
                    bench.answer(&ticket);
                }
                let answers = bench.sent();
                prop_assert!(answers.len() <= 1);
                let silent = datagram.first().is_none_or(|first| first >> 5 & 1 == 1);
                prop_assert!(!silent || answers.is_empty());
                bench.pass(SECOND);
            }
        }
    }
}
