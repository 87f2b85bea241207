//! Replays a world's chain and holds its newest event against the world as it stands.

use sha2::{Digest, Sha256};

use crate::audit::chain::{Break, Replay};
use crate::path::WorldPath;
use crate::store::sqlite::SqliteStore;
use crate::store::{Body, ChainRow, Hash, Head, StoreError, hex};

/// Rows of a chain read at a time, in one short transaction.
const PAGE: usize = 1000;

/// What a replay of a world's chain found (core.md §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid {
        events: u64,
        genesis: String,
        latest: String,
    },
    /// A memory world.
    NotAudited,
    Broken {
        at: u64,
        expected: String,
        actual: String,
    },
}

impl From<Break> for Verdict {
    fn from(found: Break) -> Self {
        Self::Broken { at: found.at, expected: found.expected, actual: found.actual }
    }
}

/// Replays the chain of `path`; none when there is no such world. Blocking.
pub fn verify(store: &SqliteStore, path: &WorldPath) -> Result<Option<Verdict>, StoreError> {
    // A world that is deleted or replaced meanwhile is looked at once more, as it is then.
    loop {
        let Some(head) = store.fresh_head(path)? else { return Ok(None) };
        let verdict = replay(store, &head)?;
        if matches!(verdict, Verdict::Valid { .. }) {
            return Ok(Some(verdict));
        }
        if store.fresh_head(path)?.is_some_and(|now| now.row.id == head.row.id) {
            return Ok(Some(verdict));
        }
    }
}

fn replay(store: &SqliteStore, head: &Head) -> Result<Verdict, StoreError> {
    let mut replay = Replay::default();
    let mut last: Option<ChainRow> = None;
    'pages: loop {
        let after = last.as_ref().map_or(0, |row| row.id);
        let rows = store.chain(head.row.id, after, PAGE)?;
        let full = rows.len() == PAGE;
        for row in rows {
            // What came after the head was read belongs to a later look.
            if row.id > head.row.event_id {
                break 'pages;
            }
            let Some(key) = store.keys().key(row.key) else {
                let name = store.keys().name(row.key);
                return Ok(broken(replay.rows, &name, "not-in-keyring"));
            };
            if let Err(found) = replay.row(Some(key), &row) {
                return Ok(found.into());
            }
            last = Some(row);
        }
        if !full {
            break;
        }
    }
    let Some(last) = last else { return Ok(broken(0, "at-least-one-event", "no-events")) };
    against_world(store, head, &replay, &last)
}

/// The world's row and body must be what its newest event says (8.3 did not look).
fn against_world(
    store: &SqliteStore,
    head: &Head,
    replay: &Replay,
    last: &ChainRow,
) -> Result<Verdict, StoreError> {
    let at = replay.rows - 1;
    if head.tag.to_string() != format!("hmac-{}", last.hmac) {
        return Ok(broken(at, &head.tag.to_string(), &format!("hmac-{}", last.hmac)));
    }
    if replay.rows != head.events {
        let (expected, actual) =
            (format!("events-{}", head.events), format!("events-{}", replay.rows));
        return Ok(broken(at, &expected, &actual));
    }
    // The ledger's events are about other worlds; its own body is what a client wrote last.
    let about_itself = last.target == head.path.as_str() && !last.kind.starts_with("delete");
    if about_itself {
        if let Some(found) = differs(store, head, last)? {
            return Ok(broken(at, &found.0, &found.1));
        }
    } else if !head.path.is_ledger() {
        return Ok(broken(
            at,
            &format!("target-{}", head.path),
            &format!("target-{}", last.target),
        ));
    }
    Ok(Verdict::Valid {
        events: replay.rows,
        genesis: format!("hmac-{}", replay.first),
        latest: format!("hmac-{}", replay.last),
    })
}

fn differs(
    store: &SqliteStore,
    head: &Head,
    last: &ChainRow,
) -> Result<Option<(String, String)>, StoreError> {
    if head.size as i64 != last.size {
        return Ok(Some((format!("size-{}", last.size), format!("size-{}", head.size))));
    }
    if *head.content_type != *last.content_type || head.headers != last.headers {
        let shown = hex(&crate::audit::chain::meta_sha256(&head.content_type, &head.headers));
        return Ok(Some((
            format!("meta-sha256-{}", last.meta_sha256),
            format!("meta-sha256-{shown}"),
        )));
    }
    let body = hex(&body_hash(store, head)?);
    let same = body == last.body_sha256;
    Ok((!same)
        .then(|| (format!("body-sha256-{}", last.body_sha256), format!("body-sha256-{body}"))))
}

fn body_hash(store: &SqliteStore, head: &Head) -> Result<Hash, StoreError> {
    let mut hash = Sha256::new();
    match &head.body {
        Body::Inline(bytes) => hash.update(bytes),
        Body::Chunks(chunks) => chunks.iter().for_each(|chunk| hash.update(chunk)),
        Body::Object(object) => {
            let mut at = 0;
            while at < head.size {
                let Some(bytes) = store.piece(object, at)? else { break };
                let take = bytes.len().min((head.size - at) as usize);
                hash.update(&bytes[..take]);
                at += take as u64;
            }
        }
    }
    Ok(hash.finalize().into())
}

fn broken(at: u64, expected: &str, actual: &str) -> Verdict {
    Verdict::Broken { at, expected: expected.to_owned(), actual: actual.to_owned() }
}
