//! `elastik-core data import`: worlds of elastik 8.x and 6.x become a store of this version.

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::store::sqlite::import::{self, Imported};
use crate::store::sqlite::{FILE, lock};

pub const VERB: Verb = Verb {
    words: &["data", "import"],
    arguments: "",
    help: "Imports the worlds of a data directory of elastik 8.x or 6.x, as the first start on it\n\
           would. In place, the old directories go whole to 8.x-original-<time>; with --from they\n\
           stay as they are. Exit status 8 when some worlds were set aside or left out.",
    settings: &["data-dir", "key"],
    options: &[Own { name: "--from", value: Some("DIR"), help: "the old data directory" }],
    run,
};

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let data_dir = asked.data_dir()?;
    let ring = asked.keyring(out)?;
    std::fs::create_dir_all(&data_dir).map_err(|e| format!("{}: {e}", data_dir.display()))?;
    let lock = lock::take(&data_dir)?;
    if data_dir.join(FILE).exists() {
        let text = format!("{} holds {FILE} already", data_dir.display());
        return Err(Failure(Exit::Conflict, text));
    }
    let from = asked.value("--from").map_or(data_dir.clone(), Into::into);
    // Whoever runs on the old directory has to stop first; a read-only one nobody runs on.
    let _other = match lock::take(&from) {
        Err(text) if from != data_dir && text.contains("lock is held") => return Err(text.into()),
        other => other.ok(),
    };
    let done = import::import(&data_dir, &from, &ring, &|text| out.note(text))?;
    drop(lock);
    out.record(|| summary(&done), || object(&done));
    let some = !done.set_aside.is_empty() || !done.left_out.is_empty();
    Ok(if some { Exit::Some } else { Exit::Done })
}

fn summary(done: &Imported) -> String {
    let Imported { worlds, events, bytes, set_aside, left_out, .. } = done;
    format!(
        "{worlds} worlds, {events} events, {bytes} bytes; {} set aside, {} left out",
        set_aside.len(),
        left_out.len()
    )
}

fn object(done: &Imported) -> serde_json::Value {
    let named = |list: &[(String, String)], key: &str| -> Vec<_> {
        list.iter().map(|(name, reason)| json!({key: name, "reason": reason})).collect()
    };
    json!({
        "worlds": done.worlds, "events": done.events, "bytes": done.bytes,
        "set_aside": named(&done.set_aside, "path"), "left_out": named(&done.left_out, "directory"),
        "original": done.original.as_ref().map(|path| path.display().to_string()),
    })
}
