//! `elastik-core data check` and `data recover`: whether the file is sound, and what if it is not.

use serde_json::json;

use super::options::Asked;
use super::out::Out;
use super::{Exit, Outcome, Verb};
use crate::store::sqlite::pages::ReadOnlyStore;
use crate::store::sqlite::{recover, sound};

pub const CHECK: Verb = Verb {
    words: &["data", "check"],
    arguments: "",
    help: "Checks the store's file: its pages, its indexes, the bodies of kept versions, and rows\n\
           that nothing names. Reads only and needs no key; what was written is checked by verify.\n\
           Exit status 1 when anything is wrong.",
    settings: &["data-dir"],
    options: &[],
    run: run_check,
};

pub const RECOVER: Verb = Verb {
    words: &["data", "recover"],
    arguments: "",
    help: "Rebuilds the store from all that is readable of a damaged file, which is kept beside it.\n\
           Worlds that lost something are set aside. Exit status 8 when anything was lost.",
    settings: &["data-dir", "key", "keyring"],
    options: &[],
    run: run_recover,
};

fn run_check(asked: &Asked, out: &mut Out) -> Outcome {
    let store = ReadOnlyStore::open(&asked.data_dir()?)?;
    let wrong = sound::check(&store)?;
    store.undisturbed()?;
    for line in &wrong {
        out.record(|| line.clone(), || json!({"problem": "file", "message": line}));
    }
    let verdict = if wrong.is_empty() { "sound" } else { "damaged: see data recover" };
    out.record(
        || format!("{}: {verdict}", store.file.display()),
        || json!({"sound": wrong.is_empty(), "problems": wrong.len()}),
    );
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::No })
}

fn run_recover(asked: &Asked, out: &mut Out) -> Outcome {
    let done = recover::recover(&asked.data_dir()?, &asked.keyring(out)?)?;
    let mut lost = 0;
    for (table, rows, gaps) in &done.tables {
        lost += gaps;
        out.record(
            || format!("{table}: {rows} rows saved, {gaps} stretches lost"),
            || json!({"table": table, "rows": rows, "lost": gaps}),
        );
    }
    for (path, reason) in &done.set_aside {
        out.record(
            || format!("{path}: set aside: {reason}"),
            || json!({"path": path, "outcome": "set-aside", "reason": reason}),
        );
    }
    let (aside, damaged) = (done.set_aside.len(), done.damaged.display().to_string());
    out.record(
        || format!("{aside} worlds set aside; the damaged file is {damaged}"),
        || json!({"set_aside": aside, "lost": lost, "damaged": damaged}),
    );
    Ok(if aside > 0 || lost > 0 { Exit::Some } else { Exit::Done })
}
