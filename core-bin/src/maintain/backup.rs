//! `elastik-core data backup` and `data restore`: a whole store as one file, and back.

use std::fs::File;
use std::path::Path;

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::store::sqlite::pages::ReadOnlyStore;
use crate::store::sqlite::{FILE, backup};

pub const BACKUP: Verb = Verb {
    words: &["data", "backup"],
    arguments: "",
    help: "Writes a consistent copy of the store to a new file, while a core runs on it or not.\n\
           With --to - it goes to stdout; it then lies beside the store first, unnamed.",
    settings: &["data-dir"],
    options: &[Own { name: "--to", value: Some("FILE"), help: "a new file, or - for stdout" }],
    run: run_backup,
};

pub const RESTORE: Verb = Verb {
    words: &["data", "restore"],
    arguments: "",
    help: "Puts a backup into a data directory that has no store. No row changes; sequence numbers\n\
           go on 2^32 higher, so that none is given twice.",
    settings: &["data-dir"],
    options: &[Own { name: "--from", value: Some("FILE"), help: "the backup, or - for stdin" }],
    run: run_restore,
};

fn run_backup(asked: &Asked, out: &mut Out) -> Outcome {
    let to = needed(asked, "--to")?;
    let store = ReadOnlyStore::open(&asked.data_dir()?)?;
    if to == "-" {
        backup::to_stream(&store, &mut std::io::stdout().lock())?;
        store.undisturbed()?;
        return Ok(Exit::Done);
    }
    let bytes = backup::to_file(&store, Path::new(to))?;
    store.undisturbed()?;
    out.record(|| format!("{to}: {bytes} bytes"), || json!({"file": to, "bytes": bytes}));
    Ok(Exit::Done)
}

fn run_restore(asked: &Asked, out: &mut Out) -> Outcome {
    let from = needed(asked, "--from")?;
    let data_dir = asked.data_dir()?;
    if data_dir.join(FILE).exists() {
        let text = format!("{} holds {FILE} already: move it away first", data_dir.display());
        return Err(Failure(Exit::Conflict, text));
    }
    let mark = if from == "-" {
        backup::restore(&data_dir, &mut std::io::stdin().lock())?
    } else {
        let mut file = File::open(from).map_err(|error| {
            let exit = match error.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failed,
            };
            Failure(exit, format!("{from}: {error}"))
        })?;
        backup::restore(&data_dir, &mut file)?
    };
    out.record(
        || format!("restored into {}; numbers go on above {mark}", data_dir.display()),
        || json!({"data_dir": data_dir.display().to_string(), "above": mark}),
    );
    Ok(Exit::Done)
}

fn needed<'a>(asked: &'a Asked, name: &str) -> Result<&'a str, Failure> {
    asked.value(name).ok_or_else(|| Failure(Exit::Usage, format!("{name} is missing")))
}
