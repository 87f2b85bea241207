//! `elastik-core verify`: checks a data directory, a backup or some of its worlds, offline.

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb, anchor};
use crate::audit::finding::Finding;
use crate::path::WorldPath;
use crate::store::sqlite::check::{self, Tally, Told};
use crate::store::sqlite::pages::{Pages, ReadOnlyStore};

pub const VERB: Verb = Verb {
    words: &["verify"],
    arguments: "[WORLD...]",
    help: "Checks every chain, the log, and every body against its newest event; names what does\n\
           not hold. Reads only. Exit status 1 when anything does not hold.",
    settings: &["data-dir", "key", "keyring"],
    options: &[
        Own { name: "--all", value: None, help: "all worlds; so it is when none is named" },
        Own { name: "--anchor", value: Some("FILE"), help: "hold the log against these anchors" },
    ],
    run,
};

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let anchors = asked.value("--anchor").map_or(Ok(vec![]), anchor::read)?;
    let store = ReadOnlyStore::open(&asked.data_dir()?)?;
    let keys = store.keys(&asked.keyring(out)?)?;
    let only = worlds(&store, asked)?;
    let request = check::Asked { keys: &keys, anchors: &anchors, only: &only };
    let tally = check::run(&store, &request, &mut |told| tell(out, &told, !only.is_empty()))?;
    store.undisturbed()?;
    summary(out, &tally);
    Ok(if tally.findings == 0 { Exit::Done } else { Exit::No })
}

fn worlds(store: &ReadOnlyStore, asked: &Asked) -> Result<Vec<String>, Failure> {
    let mut only = vec![];
    for text in asked.arguments.iter().filter(|_| !asked.has("--all")) {
        let path = WorldPath::parse(text)
            .map_err(|error| Failure(Exit::Usage, format!("{text:?}: {}", error.text())))?;
        if store.page(|db| check::world_id(db, path.as_str()))?.is_none() {
            return Err(Failure(Exit::NotFound, format!("{path}: world not found")));
        }
        only.push(path.as_str().to_owned());
    }
    Ok(only)
}

/// A line for each finding; worlds that hold have one only when they were asked for by name.
fn tell(out: &Out, told: &Told<'_>, named: bool) {
    match told {
        Told::Store(finding) => problem(out, finding),
        Told::World(world) => {
            world.findings.iter().for_each(|finding| problem(out, finding));
            if world.findings.is_empty() && named {
                let (path, events, latest) = (&world.path, world.events, &world.latest);
                out.record(
                    || format!("{path}: {events} events hold, the newest is hmac-{latest}"),
                    || json!({"path": path, "valid": true, "events": events, "latest": format!("hmac-{latest}")}),
                );
            }
        }
    }
}

fn problem(out: &Out, finding: &Finding) {
    out.record(|| finding.to_string(), || finding.to_json());
}

fn summary(out: &Out, tally: &Tally) {
    let Tally { worlds, events, versions, log_rows, body_bytes, findings, .. } = tally;
    let line = || {
        let verdict = match findings {
            0 => "all hold".to_owned(),
            count => format!("{count} problems"),
        };
        format!(
            "{worlds} worlds, {events} events, {versions} kept versions, {log_rows} log rows, \
             {body_bytes} bytes: {verdict}"
        )
    };
    out.record(line, || tally.to_json());
}
