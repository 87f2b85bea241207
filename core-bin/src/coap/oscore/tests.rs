//! The vectors of RFC 8613, appendix C, and what must never happen.

use std::path::Path;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::cose::Master;
use super::*;
use crate::access::Tier;

const SECRET: &str = "0102030405060708090a0b0c0d0e0f10";
const SALT: &str = "9e7ca92223786340";
const CONTEXT: &str = "37cbf3210017a2d3";

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A server that shares the contexts of these lines, from `client` and `server` on.
fn server(directory: &Path, lines: &[&str]) -> Arc<Oscore> {
    let text: Vec<_> =
        lines.iter().map(|line| format!("b write secret=hex:{SECRET} {line}")).collect();
    let numbers = Numbers::open(directory.join("numbers"), UNIX_EPOCH).unwrap();
    Oscore::new(contexts::parse(&text.join("\n")).unwrap(), numbers).unwrap()
}

/// As if the client's requests up to this number had been seen.
fn known(oscore: &Oscore, number: u64) {
    for (_, receiver) in &oscore.known {
        receiver.lock().unwrap().window = Some(Window::begin(number));
    }
}

fn open(oscore: &Arc<Oscore>, datagram: &[u8]) -> Result<Opened, Reply> {
    let message = Message::decode(datagram).unwrap();
    oscore.open(&message).expect("the request has the option")
}

/// Seals a request as a client does.
fn request(context: &Context, piv: u64, kid_context: Option<&[u8]>, plain: &[u8]) -> Vec<u8> {
    let piv = Piv::new(piv).unwrap();
    let mut value = vec![piv.as_slice().len() as u8 | 8 | u8::from(kid_context.is_some()) << 4];
    value.extend_from_slice(piv.as_slice());
    if let Some(kid_context) = kid_context {
        value.push(kid_context.len() as u8);
        value.extend_from_slice(kid_context);
    }
    value.extend_from_slice(&context.client);
    let nonce = cose::nonce(&context.common_iv, &context.client, piv);
    let aad = cose::aad(&context.client, piv);
    let sealed = cose::seal(&context.client_key, &nonce, &aad, plain).unwrap();
    let token = Token::new(b"\x07").unwrap();
    let mut writer = Writer::new(Kind::Confirmable, Code::POST, 5, token);
    writer.option(option::OSCORE, &value);
    writer.finish(&sealed).to_vec()
}

/// What a client reads in an answer to its request of this number.
fn read(context: &Context, request: u64, reply: &Reply) -> (Code, Option<u64>, Vec<u8>) {
    let request = Piv::new(request).unwrap();
    let (nonce, piv) = match reply.seal {
        Seal::None => panic!("not sealed: {reply:?}"),
        Seal::AsAsked => (cose::nonce(&context.common_iv, &context.client, request), None),
        Seal::Numbered(piv) => {
            (cose::nonce(&context.common_iv, &context.server, piv), Some(piv.number()))
        }
    };
    let aad = cose::aad(&context.client, request);
    let plain = cose::open(&context.server_key, &nonce, &aad, &reply.payload).unwrap();
    (Code(plain[0]), piv, plain[1..].to_vec())
}

#[test]
fn c1_to_c3_keys() {
    let (secret, salt, context) = (hex(SECRET), hex(SALT), hex(CONTEXT));
    let table = [
        (
            Master { secret: &secret, salt: &salt, id_context: None },
            (&b""[..], "f0910ed7295e6ad4b54fc793154302ff"),
            "ffb14e093c94c9cac9471648b4f98710",
            "4622d4dd6d944168eefb54987c",
        ),
        (
            Master { secret: &secret, salt: &[], id_context: None },
            (b"\0", "321b26943253c7ffb6003b0b64d74041"),
            "e57b5635815177cd679ab4bcec9d7dda",
            "be35ae297d2dace910c52e99f9",
        ),
        (
            Master { secret: &secret, salt: &salt, id_context: Some(&context) },
            (b"", "af2a1300a5e95788b356336eeecd2b92"),
            "e39a0c7c77b43f03b4b39ab9a268699f",
            "2ca58fb85ff1b81c0b7181b85e",
        ),
    ];
    for (master, (client, client_key), server_key, iv) in table {
        assert_eq!(master.key(client)[..], hex(client_key));
        assert_eq!(master.key(b"\x01")[..], hex(server_key));
        assert_eq!(master.common_iv()[..], hex(iv));
        let zero = Piv::new(0).unwrap();
        assert_eq!(cose::nonce(&master.common_iv(), b"", zero), master.common_iv());
        assert_eq!(cose::nonce(&master.common_iv(), b"\x01", zero)[0], master.common_iv()[0] ^ 1);
    }
}

#[test]
fn c4_to_c6_requests() {
    let directory = tempfile::tempdir().unwrap();
    let table = [
        (
            format!("client= server=hex:01 salt=hex:{SALT}"),
            "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e",
            "44015d1f00003974b3747631",
        ),
        (
            "client=hex:00 server=hex:01".to_owned(),
            "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0",
            "440171c30000b932b3747631",
        ),
        (
            format!("client= server=hex:01 salt=hex:{SALT} context=hex:{CONTEXT}"),
            "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff\
             72cd7273fd331ac45cffbe55c3",
            "44012f8eef9bbf7ab3747631",
        ),
    ];
    for (line, protected, inside) in table {
        let oscore = server(directory.path(), &[&line]);
        known(&oscore, 19);
        let Ok(opened) = open(&oscore, &hex(protected)) else { panic!("{protected}") };
        assert_eq!(opened.message, hex(inside));
        assert_eq!(opened.shield.identity().tier, Tier::Write);
        assert!(!opened.shield.observes());
        let replay = open(&oscore, &hex(protected)).err().unwrap();
        assert_eq!(
            (replay.code, &replay.payload[..]),
            (Code::UNAUTHORIZED, &b"Replay detected"[..])
        );
    }
}

#[test]
fn c7_and_c8_responses() {
    let directory = tempfile::tempdir().unwrap();
    let oscore = server(directory.path(), &[&format!("client= server=hex:01 salt=hex:{SALT}")]);
    known(&oscore, 19);
    let datagram = hex("44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e");
    let shield = open(&oscore, &datagram).ok().unwrap().shield;
    let hello = Reply { payload: Bytes::from_static(b"Hello World!"), ..Reply::new(Code::CONTENT) };
    let token = Token::new(&hex("00003974")).unwrap();
    let encode = |reply: Reply| reply.encode(Kind::Acknowledgement, 0x5d1f, token);
    let first = encode(shield.seal(hello.clone()));
    assert_eq!(first, hex("64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106"));
    // A second answer cannot have the same nonce: it takes number 0 of ours.
    let second = encode(shield.seal(hello));
    assert_eq!(second, hex("64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e"));
}

#[test]
fn after_a_start_a_client_shows_that_it_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let oscore = server(directory.path(), &["client=c server=s"]);
    let context = oscore.known[0].0.clone();
    let get = [Code::GET.0, 0xb1, b'a'];
    // Nobody knows whether it is new, however often it comes.
    for number in 0..2 {
        let shield = open(&oscore, &request(&context, 7, None, &get)).ok().unwrap().shield;
        let ask = shield.challenge().unwrap();
        let (code, own, inner) = read(&context, 7, &shield.seal(ask));
        assert_eq!((code, own), (Code::UNAUTHORIZED, Some(number)), "a nonce of its own");
        let echo = oscore.known[0].1.lock().unwrap().challenge;
        assert!(inner.ends_with(&echo));
    }
    let echo = oscore.known[0].1.lock().unwrap().challenge;
    let mut writer = Writer::new(Kind::Confirmable, Code::GET, 0, Token::default());
    writer.option(option::URI_PATH, b"a");
    writer.option(option::ECHO, &echo);
    let plain = [&[Code::GET.0], &writer.finish(&[])[HEADER..]].concat();
    let repeated = request(&context, 8, None, &plain);
    let opened = open(&oscore, &repeated).ok().unwrap();
    assert!(opened.shield.challenge().is_none());
    let (code, own, _) = read(&context, 8, &opened.shield.seal(Reply::new(Code::VALID)));
    assert_eq!((code, own), (Code::VALID, None));
    assert!(
        open(&oscore, &repeated).is_err()
            && open(&oscore, &request(&context, 7, None, &get)).is_err()
    );
    assert!(open(&oscore, &request(&context, 9, None, &get)).is_ok());
}

#[test]
fn what_cannot_be_opened_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let oscore = server(directory.path(), &["client=c server=s", "client=d server=s context=x"]);
    known(&oscore, 0);
    let (c, d) = (oscore.known[0].0.clone(), oscore.known[1].0.clone());
    let get = [Code::GET.0];
    let code = |datagram: &[u8]| open(&oscore, datagram).err().map(|reply| reply.code);
    let with = |value: &[u8]| {
        let mut writer = Writer::new(Kind::Confirmable, Code::POST, 5, Token::default());
        writer.option(option::OSCORE, value);
        writer.finish(b"0123456789").to_vec()
    };
    for malformed in [
        &b""[..],
        b"\0",
        b"\x09",
        b"\x29\x01c",
        b"\x0e123456c",
        b"\x19\x01\x09",
        b"\x0a\0\x01c",
        b"\x01\x01",
        b"\x08c",
    ] {
        assert_eq!(code(&with(malformed)), Some(Code::BAD_OPTION), "{malformed:?}");
    }
    assert_eq!(code(&with(b"\x09\x01z")), Some(Code::UNAUTHORIZED), "nobody has this id");
    assert_eq!(code(&with(b"\x09\x01c")), Some(Code::BAD_REQUEST), "not by its key");
    assert_eq!(code(&request(&c, 1, Some(b"x"), &get)), Some(Code::UNAUTHORIZED));
    assert_eq!(code(&request(&d, 1, Some(b"y"), &get)), Some(Code::UNAUTHORIZED));
    assert_eq!(code(&request(&d, 1, Some(b"x"), &get)), None);
    assert_eq!(code(&request(&d, 2, None, &get)), None);
    // What failed to open was not counted as seen.
    assert_eq!(code(&request(&c, 1, None, &get)), None);
    // Genuine, but no request.
    let reply = open(&oscore, &request(&c, 2, None, &[Code::CONTENT.0])).err().unwrap();
    assert_eq!(read(&c, 2, &reply).0, Code::BAD_REQUEST);
    let reply = open(&oscore, &request(&c, 3, None, &[])).err().unwrap();
    assert_eq!(read(&c, 3, &reply).0, Code::BAD_REQUEST);
}

#[test]
fn notifications_have_numbers_of_their_own_and_look_alike_outside() {
    let directory = tempfile::tempdir().unwrap();
    let oscore = server(directory.path(), &["client=c server=s"]);
    known(&oscore, 0);
    let context = oscore.known[0].0.clone();
    let mut datagram = request(&context, 1, None, &[Code::GET.0, 0x60]);
    // FETCH with an empty Observe before the OSCORE option.
    datagram[1] = Code::FETCH.0;
    let at = HEADER + 1;
    let delta = datagram[at];
    datagram.splice(at..=at, [0x60, delta - 0x60]);
    let shield = open(&oscore, &datagram).ok().unwrap().shield;
    assert!(shield.observes());
    let mut last = None;
    for n in 1..4 {
        let note = Reply { observe: Some(n), ..Reply::new(Code::CONTENT) };
        let sealed = shield.seal(note);
        assert_eq!((sealed.code, sealed.observe), (Code::CONTENT, Some(n)));
        let (code, own, inner) = read(&context, 1, &sealed);
        assert_eq!((code, &inner[..]), (Code::CONTENT, &b"\x60"[..]), "inside it is empty");
        assert!(own.is_some() && own > last);
        last = own;
    }
    let end = shield.seal(Reply::new(Code::NOT_FOUND));
    assert_eq!((end.code, end.observe), (Code::CONTENT, None));
    assert_eq!(read(&context, 1, &end).0, Code::NOT_FOUND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_option_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Some(value) = Value::parse(&bytes) {
            let piv = value.piv.map_or(&[][..], |_| &bytes[1..1 + usize::from(bytes[0] & 7)]);
            prop_assert_eq!(value.piv.as_ref().map_or(&[][..], Piv::as_slice), piv);
        }
    }

    #[test]
    fn no_datagram_panics_and_none_is_opened_by_chance(
        value in proptest::collection::vec(any::<u8>(), 0..20),
        payload in proptest::collection::vec(any::<u8>(), 0..40),
        guided: bool,
        flip in any::<(usize, u8)>(),
    ) {
        static SHARED: LazyLock<(tempfile::TempDir, Arc<Oscore>)> = LazyLock::new(|| {
            let directory = tempfile::tempdir().unwrap();
            let oscore = server(directory.path(), &["client=c server=s"]);
            (directory, oscore)
        });
        let oscore = &SHARED.1;
        known(oscore, 0);
        let context = oscore.known[0].0.clone();
        let mut writer = Writer::new(Kind::Confirmable, Code::POST, 5, Token::default());
        writer.option(option::OSCORE, if guided { b"\x09\x01c" } else { &value });
        let random = writer.finish(&payload);
        prop_assert!(open(oscore, &random).is_err());
        // Whatever is inside, nothing panics; and one changed byte makes it nobody's.
        let genuine = request(&context, 1, None, &payload);
        let mut changed = genuine.clone();
        let at = changed.len() - 1 - flip.0 % (payload.len() + 8);
        changed[at] ^= flip.1.max(1);
        prop_assert!(open(oscore, &changed).is_err());
        let _ = open(oscore, &genuine);
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be(number in 0..=cose::MAX_NUMBER) {
        let piv = Piv::new(number).unwrap();
        prop_assert_eq!(piv.number(), number);
        prop_assert!(piv.as_slice().len() == 1 || piv.as_slice()[0] != 0);
        prop_assert!(Piv::new(number + cose::MAX_NUMBER + 1).is_none());
    }
}
