//! CoAP messages as bytes (RFC 7252 §3): pure, bounded, and without a panic on any input.

use bytes::Bytes;

/// Longest token, in bytes.
pub const MAX_TOKEN: usize = 8;

/// Bytes of a message before its token.
pub const HEADER: usize = 4;
const MARKER: u8 = 0xff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

impl Kind {
    fn of(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

/// A method or a response code: three bits of class, five of detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    pub const EMPTY: Self = Self(0);
    pub const GET: Self = Self(1);
    pub const POST: Self = Self(2);
    pub const PUT: Self = Self(3);
    pub const DELETE: Self = Self(4);
    pub const FETCH: Self = Self(5);
    pub const PATCH: Self = Self(6);
    pub const IPATCH: Self = Self(7);
    pub const CREATED: Self = Self::new(2, 1);
    pub const DELETED: Self = Self::new(2, 2);
    pub const VALID: Self = Self::new(2, 3);
    pub const CHANGED: Self = Self::new(2, 4);
    pub const CONTENT: Self = Self::new(2, 5);
    pub const CONTINUE: Self = Self::new(2, 31);
    pub const BAD_REQUEST: Self = Self::new(4, 0);
    pub const UNAUTHORIZED: Self = Self::new(4, 1);
    pub const BAD_OPTION: Self = Self::new(4, 2);
    pub const FORBIDDEN: Self = Self::new(4, 3);
    pub const NOT_FOUND: Self = Self::new(4, 4);
    pub const METHOD_NOT_ALLOWED: Self = Self::new(4, 5);
    pub const NOT_ACCEPTABLE: Self = Self::new(4, 6);
    pub const INCOMPLETE: Self = Self::new(4, 8);
    pub const CONFLICT: Self = Self::new(4, 9);
    pub const PRECONDITION_FAILED: Self = Self::new(4, 12);
    pub const TOO_LARGE: Self = Self::new(4, 13);
    pub const UNSUPPORTED_FORMAT: Self = Self::new(4, 15);
    pub const UNPROCESSABLE: Self = Self::new(4, 22);
    pub const TOO_MANY_REQUESTS: Self = Self::new(4, 29);
    pub const INTERNAL_ERROR: Self = Self::new(5, 0);
    pub const UNAVAILABLE: Self = Self::new(5, 3);
    pub const NOT_A_PROXY: Self = Self::new(5, 5);
    /// Not in the registry: 8.3's word for a full store; clients treat it as 5.00.
    pub const STORAGE_FULL: Self = Self::new(5, 7);

    pub const fn new(class: u8, detail: u8) -> Self {
        Self(class << 5 | detail)
    }

    pub fn class(self) -> u8 {
        self.0 >> 5
    }

    pub fn is_request(self) -> bool {
        self.class() == 0 && self != Self::EMPTY
    }

    pub fn is_response(self) -> bool {
        (2..=5).contains(&self.class())
    }
}

/// What ties a response to its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Token {
    bytes: [u8; MAX_TOKEN],
    length: u8,
}

impl Token {
    /// None when it is too long.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut token = Self { length: u8::try_from(bytes.len()).ok()?, ..Self::default() };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A message whose options are known to be well formed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: Kind,
    pub code: Code,
    pub mid: u16,
    pub token: Token,
    pub payload: &'a [u8],
    options: &'a [u8],
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too short, or another version: never answered (§3).
    NotCoap,
    /// A format error in a message whose head could be read (§3, §4.1).
    Format { kind: Kind, mid: u16 },
}

impl<'a> Message<'a> {
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let &[first, code, high, low, ref rest @ ..] = bytes else { return Err(Fault::NotCoap) };
        if first >> 6 != 1 {
            return Err(Fault::NotCoap);
        }
        let (kind, mid) = (Kind::of(first >> 4), u16::from_be_bytes([high, low]));
        let fault = Fault::Format { kind, mid };
        let length = usize::from(first & 0x0f);
        if length > MAX_TOKEN || length > rest.len() {
            return Err(fault);
        }
        let (token, rest) = rest.split_at(length);
        let code = Code(code);
        if code == Code::EMPTY && bytes.len() > HEADER {
            return Err(fault);
        }
        let token = Token::new(token).ok_or(fault)?;
        let (options, payload) = cut(rest).ok_or(fault)?;
        Ok(Self { kind, code, mid, token, payload, options })
    }

    /// Numbers and values in the order of the message.
    pub fn options(&self) -> Options<'a> {
        Options { rest: self.options, number: 0 }
    }
}

/// Parts options from payload; none when an option is malformed or a marker has nothing behind.
fn cut(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut at, mut number) = (rest, 0);
    loop {
        match at.split_first() {
            None => return Some((rest, &[])),
            Some((&MARKER, [])) => return None,
            Some((&MARKER, payload)) => return Some((&rest[..rest.len() - at.len()], payload)),
            Some(_) => {
                let (_, next) = option(at, &mut number)?;
                at = next;
            }
        }
    }
}

/// One option: its value and what comes behind; `number` goes up by its delta.
fn option<'a>(bytes: &'a [u8], number: &mut u16) -> Option<(&'a [u8], &'a [u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (delta, rest) = extended(first >> 4, rest)?;
    let (length, rest) = extended(first & 0x0f, rest)?;
    *number = number.checked_add(u16::try_from(delta).ok()?)?;
    let value = rest.get(..length)?;
    Some((value, &rest[length..]))
}

/// A nibble with its extension (§3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    match (nibble, rest) {
        (0..=12, _) => Some((usize::from(nibble), rest)),
        (13, [byte, rest @ ..]) => Some((usize::from(*byte) + 13, rest)),
        (14, [high, low, rest @ ..]) => {
            Some((usize::from(u16::from_be_bytes([*high, *low])) + 269, rest))
        }
        _ => None,
    }
}

/// The options of a message.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = option(self.rest, &mut self.number)?;
        self.rest = rest;
        Some((self.number, value))
    }
}

/// An unsigned integer of an option (§3.2); None when it is longer than four bytes.
pub fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

/// Writes one message; options go in ascending order.
pub struct Writer {
    bytes: Vec<u8>,
    last: u16,
}

impl Writer {
    pub fn new(kind: Kind, code: Code, mid: u16, token: Token) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(1 << 6 | kind.bits() << 4 | token.length);
        bytes.push(code.0);
        bytes.extend_from_slice(&mid.to_be_bytes());
        bytes.extend_from_slice(token.as_slice());
        Self { bytes, last: 0 }
    }

    pub fn option(&mut self, number: u16, value: &[u8]) {
        debug_assert!(number >= self.last, "options in ascending order");
        let (delta, length) = (usize::from(number.saturating_sub(self.last)), value.len());
        self.last = number;
        self.bytes.push(nibble(delta) << 4 | nibble(length));
        self.extend(delta);
        self.extend(length);
        self.bytes.extend_from_slice(value);
    }

    /// As few bytes as the number needs (§3.2).
    pub fn uint(&mut self, number: u16, value: u32) {
        let bytes = value.to_be_bytes();
        self.option(number, &bytes[value.leading_zeros() as usize / 8..]);
    }

    pub fn finish(mut self, payload: &[u8]) -> Bytes {
        if !payload.is_empty() {
            self.bytes.reserve_exact(payload.len() + 1);
            self.bytes.push(MARKER);
            self.bytes.extend_from_slice(payload);
        }
        self.bytes.into()
    }

    fn extend(&mut self, number: usize) {
        match number {
            0..=12 => {}
            13..=268 => self.bytes.push((number - 13) as u8),
            // Values are at most 64 KiB: what this door writes is far shorter.
            _ => self.bytes.extend_from_slice(&((number - 269) as u16).to_be_bytes()),
        }
    }
}

fn nibble(number: usize) -> u8 {
    match number {
        0..=12 => number as u8,
        13..=268 => 13,
        _ => 14,
    }
}

/// A message of four bytes: an empty acknowledgement or a reset.
pub fn empty(kind: Kind, mid: u16) -> Bytes {
    Writer::new(kind, Code::EMPTY, mid, Token::default()).finish(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(message: &Message<'_>) -> Bytes {
        let mut writer = Writer::new(message.kind, message.code, message.mid, message.token);
        for (number, value) in message.options() {
            writer.option(number, value);
        }
        writer.finish(message.payload)
    }

    #[test]
    fn what_is_no_message() {
        let format = |kind, mid| Err(Fault::Format { kind, mid });
        let table: [(&[u8], Result<(), Fault>); 14] = [
            (b"", Err(Fault::NotCoap)),
            (b"\x40\x01\x10", Err(Fault::NotCoap)),
            (b"\x82\x01\x10\x07\xca\xfe", Err(Fault::NotCoap)),
            (b"\x40\x00\x10\x01", Ok(())),
            (b"\x49\x01\x10\x08123456789", format(Kind::Confirmable, 0x1008)),
            (b"\x52\x01\x10\x08\x01", format(Kind::NonConfirmable, 0x1008)),
            (b"\x40\x01\x10\x0a\xff", format(Kind::Confirmable, 0x100a)),
            (b"\x40\x01\x10\x0b\xf1x", format(Kind::Confirmable, 0x100b)),
            (b"\x40\x01\x10\x0b\x1fx", format(Kind::Confirmable, 0x100b)),
            (b"\x40\x01\x10\x0d\xb9abc", format(Kind::Confirmable, 0x100d)),
            (b"\x40\x01\x10\x0d\xd0", format(Kind::Confirmable, 0x100d)),
            (b"\x40\x01\x10\x0d\xe0\xff\xff", format(Kind::Confirmable, 0x100d)),
            (b"\x42\x00\x10\x0e\xca\xfe", format(Kind::Confirmable, 0x100e)),
            (b"\x40\x00\x10\x0e\x00", format(Kind::Confirmable, 0x100e)),
        ];
        for (bytes, expected) in table {
            assert_eq!(Message::decode(bytes).map(|_| ()), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_take_as_few_bytes_as_they_need() {
        for (value, bytes) in
            [(0, &b""[..]), (1, b"\x01"), (256, b"\x01\0"), (u32::MAX, b"\xff\xff\xff\xff")]
        {
            let mut writer = Writer::new(Kind::Confirmable, Code::GET, 0, Token::default());
            writer.uint(60, value);
            let message = writer.finish(&[]);
            let message = Message::decode(&message).unwrap();
            assert_eq!(message.options().next(), Some((60, bytes)));
            assert_eq!(uint(bytes), Some(value));
        }
        assert_eq!(uint(b"12345"), None);
        assert_eq!(uint(b"\0\x07"), Some(7));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn decode_encode_decode_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            // A version and a short token, so that more than the first check is reached.
            for patched in [None, Some(0x40), Some(0x52)] {
                let mut bytes = bytes.clone();
                if let (Some(first), Some(at)) = (patched, bytes.first_mut()) {
                    *at = first;
                }
                let Ok(message) = Message::decode(&bytes) else { continue };
                let again = encode(&message);
                // Only longer forms than needed are written differently.
                prop_assert!(again.len() <= bytes.len());
                let second = Message::decode(&again).unwrap();
                prop_assert_eq!(encode(&second), &again);
                prop_assert!(message.options().eq(second.options()));
                prop_assert_eq!(message.payload, second.payload);
            }
        }

        #[test]
        fn what_is_written_is_read(
            token in proptest::collection::vec(any::<u8>(), 0..=8),
            mut options in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
            payload in proptest::collection::vec(any::<u8>(), 0..40),
            mid: u16,
        ) {
            options.sort_by_key(|(number, _)| *number);
            let token = Token::new(&token).unwrap();
            let mut writer = Writer::new(Kind::NonConfirmable, Code::PUT, mid, token);
            for (number, value) in &options {
                writer.option(*number, value);
            }
            let bytes = writer.finish(&payload);
            let message = Message::decode(&bytes).unwrap();
            prop_assert_eq!((message.kind, message.code), (Kind::NonConfirmable, Code::PUT));
            prop_assert_eq!((message.mid, message.token), (mid, token));
            prop_assert_eq!(message.payload, &payload[..]);
            let read: Vec<_> = message.options().map(|(n, v)| (n, v.to_vec())).collect();
            prop_assert_eq!(read, options);
        }
    }
}
