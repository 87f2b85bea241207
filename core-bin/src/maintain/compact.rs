//! `elastik-core data compact`: gives room back, and prunes the log when asked to.

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::store::now_us;
use crate::store::sqlite::offline::OfflineStore;

pub const VERB: Verb = Verb {
    words: &["data", "compact"],
    arguments: "",
    help: "Writes the store's file anew without its free pages. No row changes. It needs as much\n\
           room again while it runs. With --prune-days, rows of the log that are older go first:\n\
           that is an audited act of its own, worlds and their chains stay.",
    settings: &["data-dir", "key"],
    options: &[Own {
        name: "--prune-days",
        value: Some("DAYS"),
        help: "remove rows of the log older than so many days; listeners cannot replay them",
    }],
    run,
};

const DAY_US: i64 = 86_400_000_000;

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let days: Option<u32> = match asked.value("--prune-days").map(str::parse) {
        None => None,
        Some(Ok(days)) => Some(days),
        Some(Err(_)) => {
            return Err(Failure(Exit::Usage, "--prune-days must be a number of days".to_owned()));
        }
    };
    let mut store = OfflineStore::open(&asked.data_dir()?, &asked.key(out)?)?;
    let size = |store: &OfflineStore| std::fs::metadata(&store.file).map_or(0, |meta| meta.len());
    let before = size(&store);
    let mut pruned = None;
    if let Some(days) = days
        && let Some(seq) = store.before(now_us() - i64::from(days) * DAY_US)?
    {
        pruned = store.prune(seq)?;
    }
    store.compact()?;
    let after = size(&store);
    let (rows, cut) = pruned.map_or((0, None), |pruned| (pruned.rows, Some(pruned.cut)));
    out.record(
        || format!("{before} bytes became {after}; {rows} rows of the log were pruned"),
        || json!({"bytes_before": before, "bytes_after": after, "pruned_rows": rows, "pruned_to": cut}),
    );
    Ok(Exit::Done)
}
