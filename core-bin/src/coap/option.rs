//! Option numbers, and what this door makes of them (RFC 7252 §5.4, §5.10 and its extensions).

/// RFC 7252 §5.10 unless a line says otherwise.
pub const IF_MATCH: u16 = 1;
pub const URI_HOST: u16 = 3;
pub const ETAG: u16 = 4;
pub const IF_NONE_MATCH: u16 = 5;
/// RFC 7641
pub const OBSERVE: u16 = 6;
pub const URI_PORT: u16 = 7;
pub const LOCATION_PATH: u16 = 8;
/// RFC 8613
pub const OSCORE: u16 = 9;
pub const URI_PATH: u16 = 11;
pub const CONTENT_FORMAT: u16 = 12;
pub const MAX_AGE: u16 = 14;
pub const URI_QUERY: u16 = 15;
/// RFC 8768
pub const HOP_LIMIT: u16 = 16;
pub const ACCEPT: u16 = 17;
/// RFC 7959
pub const BLOCK2: u16 = 23;
pub const BLOCK1: u16 = 27;
pub const SIZE2: u16 = 28;
pub const PROXY_URI: u16 = 35;
pub const PROXY_SCHEME: u16 = 39;
pub const SIZE1: u16 = 60;
/// RFC 9175
pub const ECHO: u16 = 252;
/// RFC 7967
pub const NO_RESPONSE: u16 = 258;
/// RFC 9175
pub const REQUEST_TAG: u16 = 292;
/// 8.3's: the raw token, as an option of the experimental range.
pub const CREDENTIAL: u16 = 65001;

/// Odd numbers must be understood (RFC 7252 §5.4.1).
pub fn is_critical(number: u16) -> bool {
    number & 1 == 1
}

/// The lengths a value may have and whether the option may come more than once; None when this
/// door does not know the option.
pub fn form(number: u16) -> Option<(std::ops::RangeInclusive<usize>, bool)> {
    Some(match number {
        IF_MATCH => (0..=8, true),
        URI_HOST => (1..=255, false),
        ETAG => (1..=8, true),
        IF_NONE_MATCH => (0..=0, false),
        OBSERVE | BLOCK2 | BLOCK1 => (0..=3, false),
        URI_PORT | CONTENT_FORMAT | ACCEPT => (0..=2, false),
        URI_PATH | URI_QUERY => (0..=255, true),
        MAX_AGE | SIZE1 | SIZE2 => (0..=4, false),
        HOP_LIMIT => (0..=1, false),
        PROXY_URI => (1..=1034, false),
        PROXY_SCHEME => (1..=255, false),
        ECHO => (1..=40, false),
        NO_RESPONSE => (0..=1, false),
        REQUEST_TAG => (0..=8, true),
        CREDENTIAL => (0..=1024, true),
        _ => return None,
    })
}
