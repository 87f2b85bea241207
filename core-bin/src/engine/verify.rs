//! Replays a world's chain and holds its newest event against the world as it stands.

use crate::audit::finding::{Finding, Problem};
use crate::path::WorldPath;
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::check::{self, WorldReport};
use crate::store::sqlite::pages::Pages;

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

/// Checks the world at `path` as a check of the whole store does; none when there is none. Blocking.
pub fn verify(store: &SqliteStore, path: &WorldPath) -> Result<Option<Verdict>, StoreError> {
    // A world that is deleted meanwhile is looked for once more: it may have been made again.
    while let Some(id) = store.page(|db| check::world_id(db, path.as_str()))? {
        if let Some(report) = check::world(store, store.keys(), id)? {
            return Ok(Some(verdict(store, report)));
        }
    }
    Ok(None)
}

fn verdict(store: &SqliteStore, report: WorldReport) -> Verdict {
    let first = report.findings.iter().find(|finding| finding.problem != Problem::SetAside);
    if let Some(Finding { event, expected, actual, .. }) = first.or(report.findings.first()) {
        let at = event.unwrap_or(report.events.saturating_sub(1));
        return Verdict::Broken { at, expected: expected.clone(), actual: actual.clone() };
    }
    if let Some((at, key)) = report.unkeyed {
        let (expected, actual) = (store.keys().name(key), "not-in-keyring".to_owned());
        return Verdict::Broken { at, expected, actual };
    }
    Verdict::Valid {
        events: report.events,
        genesis: format!("hmac-{}", report.genesis),
        latest: format!("hmac-{}", report.latest),
    }
}
