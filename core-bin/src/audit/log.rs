//! The log: one chain over the whole store, from its first event (design §2).

use super::keys::AuditKey;
use crate::store::{Hash, hex};

/// One row of the log, as its MAC covers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRow {
    pub seq: u64,
    pub time_us: i64,
    pub kind: LogKind,
    pub path: String,
    /// The event's hmac, in hex; empty for rows that are no world's event.
    pub hmac: String,
    pub content_type: String,
    pub size: u64,
    pub writer: String,
    /// `from:path` or `to:path` of a COPY or MOVE; details of the store's own rows.
    pub link: String,
    /// Number of the key in the store; not covered itself, but no other key makes this MAC.
    pub key: i64,
    pub prev_mac: Hash,
    pub mac: Hash,
}

/// What a row of the log records; the numbers are those in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i64)]
pub enum LogKind {
    /// The store was laid, or a key took over.
    #[default]
    Key = 0,
    Create = 1,
    Replace = 2,
    Append = 3,
    /// The first of a DELETE's two ledger rows; listeners are told by the second.
    DeleteIntent = 4,
    Delete = 5,
    Import = 6,
    Prune = 7,
    /// Not one this version knows; never written.
    Unknown = -1,
}

impl LogKind {
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Key,
            1 => Self::Create,
            2 => Self::Replace,
            3 => Self::Append,
            4 => Self::DeleteIntent,
            5 => Self::Delete,
            6 => Self::Import,
            7 => Self::Prune,
            _ => return None,
        })
    }
}

/// What the first row's `prev_mac` is: the store's own name, so that logs cannot be exchanged.
pub fn genesis(store_id: &[u8]) -> Hash {
    super::sha256(&[b"elastik store ", store_id].concat())
}

/// The MAC of a row over the one before it.
pub fn mac(key: &AuditKey, row: &LogRow) -> Hash {
    key.log(&[
        ("prev", &hex(&row.prev_mac)),
        ("seq", &row.seq.to_string()),
        ("time", &row.time_us.to_string()),
        ("kind", &(row.kind as i64).to_string()),
        ("path", &row.path),
        ("hmac", &row.hmac),
        ("content-type", &row.content_type),
        ("size", &row.size.to_string()),
        ("writer", &row.writer),
        ("link", &row.link),
    ])
}
