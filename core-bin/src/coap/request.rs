//! A request: the options of a message, understood and checked (RFC 7252 §5.4).

use bytes::Bytes;

use super::block::Block;
use super::codec::{Code, Message, uint};
use super::option;

/// Everything a verb may ask about a request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub path: Segments,
    pub queries: Vec<Bytes>,
    /// None: no If-Match at all; an empty one stands for any version.
    pub if_match: Option<Vec<Bytes>>,
    pub if_none_match: bool,
    pub etags: Vec<Bytes>,
    pub observe: Option<u32>,
    pub accept: Option<u16>,
    pub format: Option<u16>,
    pub block1: Option<Block>,
    pub block2: Option<Block>,
    pub size1: Option<u32>,
    /// Asks how large the body is (RFC 7959 §4).
    pub size2: bool,
    pub echo: Option<Bytes>,
    /// Classes of responses that are not wanted (RFC 7967 §2.1).
    pub no_response: u8,
    pub request_tag: Vec<Bytes>,
    pub credential: Option<Bytes>,
    pub payload: Bytes,
}

/// The Uri-Path.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    /// Joined by slashes.
    pub text: String,
    /// A segment that no path can hold: empty, with a slash inside, not UTF-8.
    pub odd: bool,
}

/// Why a request is refused before anybody looks at what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    pub code: Code,
    pub why: &'static str,
    /// Of a critical option: then a non-confirmable message is dropped without a word (§5.4.1).
    pub option: bool,
}

const fn bad_option(why: &'static str) -> Unfit {
    Unfit { code: Code::BAD_OPTION, why, option: true }
}

const fn bad_request(why: &'static str) -> Unfit {
    Unfit { code: Code::BAD_REQUEST, why, option: false }
}

impl Request {
    /// `datagram` holds the bytes that `message` was read from.
    pub fn read(message: &Message<'_>, datagram: &Bytes) -> Result<Self, Unfit> {
        let own = |value: &[u8]| datagram.slice_ref(value);
        let mut request = Self { payload: own(message.payload), ..Self::default() };
        let mut last = None;
        for (number, value) in message.options() {
            let again = last.replace(number) == Some(number);
            let fits = option::form(number).is_some_and(|(lengths, repeats)| {
                lengths.contains(&value.len()) && (repeats || !again)
            });
            if fits {
                request.take(number, value, &own)?;
            } else if option::is_critical(number) {
                return Err(bad_option("a critical option is unknown, malformed or repeated\n"));
            }
        }
        Ok(request)
    }

    fn take(
        &mut self,
        number: u16,
        value: &[u8],
        own: &impl Fn(&[u8]) -> Bytes,
    ) -> Result<(), Unfit> {
        // The table of forms bounds every length: integers fit their fields.
        let integer = uint(value).unwrap_or_default();
        match number {
            option::IF_MATCH => self.if_match.get_or_insert_default().push(own(value)),
            option::ETAG => self.etags.push(own(value)),
            option::IF_NONE_MATCH => self.if_none_match = true,
            option::OBSERVE => self.observe = Some(integer),
            option::URI_PATH => self.path.push(value),
            option::URI_QUERY => self.queries.push(own(value)),
            option::CONTENT_FORMAT => self.format = Some(integer as u16),
            option::ACCEPT => self.accept = Some(integer as u16),
            option::BLOCK1 => self.block1 = Some(block(integer)?),
            option::BLOCK2 => self.block2 = Some(block(integer)?),
            option::SIZE1 => self.size1 = Some(integer),
            option::SIZE2 => self.size2 = true,
            option::HOP_LIMIT if integer == 0 => {
                return Err(bad_request("the hop limit is used up\n"));
            }
            option::PROXY_URI | option::PROXY_SCHEME => {
                let why = "this is not a proxy\n";
                return Err(Unfit { code: Code::NOT_A_PROXY, why, option: false });
            }
            option::ECHO => self.echo = Some(own(value)),
            option::NO_RESPONSE => self.no_response = integer as u8,
            option::REQUEST_TAG => self.request_tag.push(own(value)),
            // The last one counts, as in 8.3.
            option::CREDENTIAL => self.credential = Some(own(value)),
            // Host and port choose nothing: there is one tree behind every address.
            _ => {}
        }
        Ok(())
    }

    /// Whether a response with this code should be sent at all.
    pub fn wants(&self, code: Code) -> bool {
        self.no_response & 1 << (code.class().max(1) - 1) == 0
    }
}

impl Segments {
    fn push(&mut self, value: &[u8]) {
        let Ok(segment) = std::str::from_utf8(value) else {
            self.odd = true;
            return;
        };
        self.odd |= segment.is_empty() || segment.contains('/');
        if !self.text.is_empty() {
            self.text.push('/');
        }
        self.text.push_str(segment);
    }
}

fn block(value: u32) -> Result<Block, Unfit> {
    Block::from_value(value).ok_or(bad_request("block size 7 is reserved\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::codec::{Kind, Token, Writer};
    use proptest::prelude::*;

    fn read(options: &[(u16, &[u8])]) -> Result<Request, Unfit> {
        let mut writer = Writer::new(Kind::Confirmable, Code::GET, 1, Token::default());
        for (number, value) in options {
            writer.option(*number, value);
        }
        let bytes = writer.finish(b"payload");
        Request::read(&Message::decode(&bytes).unwrap(), &bytes)
    }

    #[test]
    fn critical_options_must_be_understood() {
        let long = [b'a'; 256];
        let refused: [&[(u16, &[u8])]; 9] = [
            &[(2049, b"x")],
            &[(9, b"")],
            &[(option::ACCEPT, b""), (option::ACCEPT, b"")],
            &[(option::ACCEPT, b"\0\0\0")],
            &[(option::URI_PATH, &long)],
            &[(option::IF_NONE_MATCH, b"x")],
            &[(option::BLOCK1, b"1234")],
            &[(option::IF_MATCH, b"123456789")],
            &[(option::URI_HOST, b"")],
        ];
        for options in refused {
            let unfit = read(options).unwrap_err();
            assert_eq!((unfit.code, unfit.option), (Code::BAD_OPTION, true), "{options:?}");
        }
    }

    #[test]
    fn elective_options_that_are_not_understood_are_ignored() {
        let request = read(&[
            (option::ETAG, b""),
            (option::OBSERVE, b"1234"),
            (option::CONTENT_FORMAT, b"\x32"),
            (option::CONTENT_FORMAT, b"\x33"),
            (2050, b"x"),
        ])
        .unwrap();
        assert_eq!((request.etags.len(), request.observe, request.format), (0, None, Some(50)));
        assert_eq!(&request.payload[..], b"payload");
    }

    #[test]
    fn the_last_credential_counts_and_a_proxy_is_not_here() {
        let request = read(&[(option::CREDENTIAL, b"bad"), (option::CREDENTIAL, b"r")]).unwrap();
        assert_eq!(request.credential.as_deref(), Some(&b"r"[..]));
        assert_eq!(read(&[(35, b"coap://x/")]).unwrap_err().code, Code::NOT_A_PROXY);
        assert_eq!(read(&[(23, b"\x07")]).unwrap_err().code, Code::BAD_REQUEST);
        assert_eq!(read(&[(16, b"")]).unwrap_err().code, Code::BAD_REQUEST);
    }

    #[test]
    fn segments_are_not_path_syntax() {
        let path = |segments: &[&[u8]]| {
            let options: Vec<_> = segments.iter().map(|s| (option::URI_PATH, *s)).collect();
            read(&options).unwrap().path
        };
        assert_eq!(path(&[b"home", b"a b"]).text, "home/a b");
        assert!(!path(&[b"home", b"a"]).odd && !path(&[]).odd);
        for segments in [&[&b"home"[..], b"a/b"][..], &[b"", b"home"], &[b"home", b"\xff"]] {
            assert!(path(segments).odd, "{segments:?}");
        }
    }

    #[test]
    fn no_response_names_classes() {
        let with = |value: &[u8]| read(&[(option::NO_RESPONSE, value)]).unwrap();
        assert!(with(b"").wants(Code::CONTENT));
        assert!(!with(b"\x02").wants(Code::CONTENT) && with(b"\x02").wants(Code::NOT_FOUND));
        let none = with(b"\x1a");
        assert!(
            [Code::CREATED, Code::NOT_FOUND, Code::UNAVAILABLE].iter().all(|c| !none.wants(*c))
        );
    }

    proptest! {
        #[test]
        fn no_options_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let bytes: Bytes = [&b"\x40\x01\0\0"[..], &bytes].concat().into();
            if let Ok(message) = Message::decode(&bytes) {
                let _ = Request::read(&message, &bytes);
            }
        }
    }
}
