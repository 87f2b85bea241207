//! `elastik-core anchor`: prints the line that names the newest row of the log.

use super::options::Asked;
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::audit::anchor::Anchor;
use crate::store::sqlite::pages::ReadOnlyStore;
use crate::store::sqlite::whole;

pub const VERB: Verb = Verb {
    words: &["anchor"],
    arguments: "",
    help: "Prints one line that names the newest row of the audit log. Keep it where whoever keeps\n\
           the store cannot write: with it, verify --anchor finds a store that was put back.",
    settings: &["data-dir", "key", "keyring"],
    options: &[],
    run,
};

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let store = ReadOnlyStore::open(&asked.data_dir()?)?;
    let keys = store.keys(&asked.keyring(out)?)?;
    let anchor = whole::anchor(&store, &keys)?;
    store.undisturbed()?;
    out.record(|| anchor.to_string(), || anchor.to_json());
    Ok(Exit::Done)
}

/// Reads the anchors of `--anchor FILE`.
pub fn read(path: &str) -> Result<Vec<Anchor>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Anchor::parse_all(&text).map_err(|error| format!("{path}: {error}"))?)
}
