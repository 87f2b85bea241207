//! The layout of elastik 8.x and 6.x: one SQLite database for each world (core.md §4).

pub mod read;
pub mod write;

use std::path::{Path, PathBuf};

use rusqlite::types::Value;

use crate::audit::chain::{Covered, event_hmac};
use crate::audit::keys::AuditKey;
use crate::store::sqlite::pages::beside;
use crate::store::sqlite::raw::RawEvent;
use crate::store::{Headers, hex, unhex};
use crate::time;

/// The database inside a world's directory.
pub const FILE: &str = "universe.db";

/// A world's directory.
#[derive(Clone, Debug)]
pub struct Place {
    pub disk_name: String,
    pub dir: PathBuf,
    pub file: PathBuf,
    /// The database with its WAL.
    pub bytes: u64,
}

/// The world directories of a data directory, by name.
pub fn places(data_dir: &Path) -> Result<Vec<Place>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", data_dir.display());
    let mut found = vec![];
    for entry in std::fs::read_dir(data_dir).map_err(failed)? {
        let dir = entry.map_err(failed)?.path();
        let file = dir.join(FILE);
        let Ok(meta) = std::fs::metadata(&file) else { continue };
        // The name is UTF-8 by the layout's rule; what is not is told by its bytes.
        let disk_name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wal = std::fs::metadata(beside(&file, "-wal")).map_or(0, |meta| meta.len());
        found.push(Place { disk_name, dir, file, bytes: meta.len() + wal });
    }
    found.sort_by(|a, b| a.disk_name.cmp(&b.disk_name));
    Ok(found)
}

/// A world as it stands, without its events.
#[derive(Debug, Default)]
pub struct State {
    pub body: Vec<u8>,
    pub content_type: String,
    pub headers: Headers,
}

/// An event in the normal form of a row; `raw` holds what that form cannot.
#[derive(Debug)]
pub struct Normal {
    pub time_us: i64,
    pub time_text: Option<String>,
    pub kind: String,
    pub target: String,
    pub body_sha256: Vec<u8>,
    pub size: i64,
    pub content_type: String,
    pub headers: Headers,
    pub meta_sha256: Vec<u8>,
    pub hmac: Vec<u8>,
    pub prev_hmac: Vec<u8>,
    pub raw: Option<Vec<u8>>,
}

/// An event as our rows hold it. A time that cannot be read is that of the event before.
pub fn normal(event: &RawEvent, before_us: i64) -> Normal {
    let column = |at: usize| &event.columns[at];
    let time = match column(0) {
        Value::Text(text) => time::from_sql(text),
        _ => None,
    };
    let time_us = time.unwrap_or(before_us);
    let mut headers = event.headers.clone();
    headers.sort();
    let hash = |at: usize, may_be_empty: bool| match column(at) {
        Value::Text(text) if text.is_empty() && may_be_empty => Some(vec![]),
        Value::Text(text) => unhex(text).map(Vec::from),
        _ => None,
    };
    let texts = [0, 1, 2, 5].iter().all(|at| matches!(column(*at), Value::Text(_)));
    let no_nul =
        event.headers.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0'));
    let (body, meta, mac, prev) = (hash(3, true), hash(6, false), hash(7, false), hash(8, true));
    let size = if let Value::Integer(size) = column(4) { Some(*size) } else { None };
    let fits = texts
        && no_nul
        && headers == event.headers
        && size.is_some()
        && [&body, &meta, &mac, &prev].iter().all(|hash| hash.is_some());
    Normal {
        time_us,
        time_text: (time::sql(time_us) != event.text(0)).then(|| event.text(0)),
        kind: event.text(1),
        target: event.text(2),
        body_sha256: body.unwrap_or_default(),
        size: size.unwrap_or(0),
        content_type: event.text(5),
        headers: headers.into(),
        meta_sha256: meta.unwrap_or_default(),
        hmac: mac.unwrap_or_default(),
        prev_hmac: prev.unwrap_or_default(),
        raw: (!fits).then(|| event.pack()),
    }
}

/// Whether the event's HMAC was made with this key.
pub fn made_with(key: &AuditKey, event: &RawEvent) -> bool {
    let covered = Covered {
        kind: &event.text(1),
        target: &event.text(2),
        body_sha256: &event.text(3),
        size: &event.text(4),
        content_type: &event.text(5),
        meta_sha256: &event.text(6),
        prev: &event.text(8),
    };
    hex(&event_hmac(key, &covered)) == event.text(7)
}
