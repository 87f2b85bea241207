//! The bytes that OSCORE is made of (RFC 8613 §3.2, §5, §6.1): pure, bounded, no panic on any
//! input.

use aes::Aes128;
use ccm::Ccm;
use ccm::aead::{Aead, KeyInit, Payload, consts};
use hkdf::Hkdf;
use sha2::Sha256;

/// AES-CCM-16-64-128, the algorithm that everybody has (§11), by its number in COSE.
const ALGORITHM: u8 = 10;
type Cipher = Ccm<Aes128, consts::U8, consts::U13>;

const KEY: usize = 16;
const NONCE: usize = 13;
/// Longest id of an endpoint: what a nonce has room for (§3.3).
pub const MAX_ID: usize = NONCE - 6;
/// Longest Partial IV (§5).
const MAX_PIV: usize = 5;
/// The largest sequence number (§7.2.1).
pub const MAX_NUMBER: u64 = (1 << (8 * MAX_PIV)) - 1;

pub type Key = [u8; KEY];
pub type Iv = [u8; NONCE];

/// A sequence number as it is sent: no leading zeros, but one byte for 0 (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piv {
    bytes: [u8; MAX_PIV],
    length: u8,
}

impl Piv {
    /// None for a number that is too large.
    pub fn new(number: u64) -> Option<Self> {
        let all = number.to_be_bytes();
        let zeros = (number.leading_zeros() as usize / 8).min(all.len() - 1);
        Self::from_slice(&all[zeros..])
    }

    fn from_slice(given: &[u8]) -> Option<Self> {
        let shortest = matches!(given, [_]) || given.first().is_some_and(|first| *first != 0);
        let mut piv = Self { bytes: [0; MAX_PIV], length: u8::try_from(given.len()).ok()? };
        piv.bytes.get_mut(..given.len())?.copy_from_slice(given);
        shortest.then_some(piv)
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub fn number(&self) -> u64 {
        self.as_slice().iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

/// The value of the OSCORE option (§6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    pub piv: Option<Piv>,
    pub kid_context: Option<&'a [u8]>,
    pub kid: Option<&'a [u8]>,
}

impl<'a> Value<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let Some((&flags, rest)) = bytes.split_first() else {
            return Some(Self { piv: None, kid_context: None, kid: None });
        };
        // Nothing to say is said by an empty value; the first three bits are reserved.
        if flags == 0 || flags & 0xe0 != 0 {
            return None;
        }
        let (piv, rest) = rest.split_at_checked(usize::from(flags & 7))?;
        let piv = if piv.is_empty() { None } else { Some(Piv::from_slice(piv)?) };
        let (kid_context, rest) = if flags & 0x10 == 0 {
            (None, rest)
        } else {
            let (&length, rest) = rest.split_first()?;
            let (context, rest) = rest.split_at_checked(usize::from(length))?;
            (Some(context), rest)
        };
        let has_kid = flags & 8 != 0;
        (has_kid || rest.is_empty()).then_some(Self {
            piv,
            kid_context,
            kid: has_kid.then_some(rest),
        })
    }

    /// The value in a response with a number of its own.
    pub fn of_response(piv: Piv) -> Vec<u8> {
        [&[piv.length], piv.as_slice()].concat()
    }
}

/// The head of an item of CBOR (RFC 8949 §3); nothing here is longer than 64 KiB.
fn head(major: u8, length: usize, out: &mut Vec<u8>) {
    match length {
        0..=23 => out.push(major << 5 | length as u8),
        24..=255 => out.extend([major << 5 | 24, length as u8]),
        _ => {
            out.push(major << 5 | 25);
            out.extend_from_slice(&(length.min(0xffff) as u16).to_be_bytes());
        }
    }
}

fn item(major: u8, value: &[u8], out: &mut Vec<u8>) {
    head(major, value.len(), out);
    out.extend_from_slice(value);
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

/// What is authenticated besides: who asked, and under which number (§5.4). No option of class I
/// exists.
pub fn aad(request_kid: &[u8], request_piv: Piv) -> Vec<u8> {
    let mut external = Vec::with_capacity(24);
    head(ARRAY, 5, &mut external);
    external.push(1);
    head(ARRAY, 1, &mut external);
    external.push(ALGORITHM);
    item(BYTES, request_kid, &mut external);
    item(BYTES, request_piv.as_slice(), &mut external);
    item(BYTES, &[], &mut external);
    let mut structure = Vec::with_capacity(48);
    head(ARRAY, 3, &mut structure);
    item(TEXT, b"Encrypt0", &mut structure);
    item(BYTES, &[], &mut structure);
    item(BYTES, &external, &mut structure);
    structure
}

/// The nonce of whoever chose the number (§5.2). Ids are at most `MAX_ID` long.
pub fn nonce(iv: &Iv, id: &[u8], piv: Piv) -> Iv {
    let mut nonce = [0; NONCE];
    let id = &id[..id.len().min(MAX_ID)];
    nonce[0] = id.len() as u8;
    nonce[1 + MAX_ID - id.len()..1 + MAX_ID].copy_from_slice(id);
    let piv = piv.as_slice();
    nonce[NONCE - piv.len()..].copy_from_slice(piv);
    for (byte, mask) in nonce.iter_mut().zip(iv) {
        *byte ^= mask;
    }
    nonce
}

pub fn seal(key: &Key, nonce: &Iv, aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    Cipher::new(key.into()).encrypt(nonce.into(), Payload { msg: plain, aad }).ok()
}

/// None when it is not from who has the key, or not what that one sent.
pub fn open(key: &Key, nonce: &Iv, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    Cipher::new(key.into()).decrypt(nonce.into(), Payload { msg: sealed, aad }).ok()
}

/// What two endpoints share, and what the rest comes from.
pub struct Master<'a> {
    pub secret: &'a [u8],
    pub salt: &'a [u8],
    pub id_context: Option<&'a [u8]>,
}

impl Master<'_> {
    /// The key of the endpoint that sends with this id (§3.2.1).
    pub fn key(&self, id: &[u8]) -> Key {
        self.derive(id, b"Key")
    }

    pub fn common_iv(&self) -> Iv {
        self.derive(&[], b"IV")
    }

    fn derive<const LENGTH: usize>(&self, id: &[u8], kind: &[u8]) -> [u8; LENGTH] {
        let mut info = Vec::new();
        head(ARRAY, 5, &mut info);
        item(BYTES, id, &mut info);
        match self.id_context {
            Some(context) => item(BYTES, context, &mut info),
            None => info.push(NULL),
        }
        info.push(ALGORITHM);
        item(TEXT, kind, &mut info);
        head(0, LENGTH, &mut info);
        let mut out = [0; LENGTH];
        // It fails only above 255 hashes' worth of bytes.
        let _ = Hkdf::<Sha256>::new(Some(self.salt), self.secret).expand(&info, &mut out);
        out
    }
}
