//! `elastik-core data export`: the worlds of a store in the layout of elastik 8.x.

use std::path::Path;

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::store::hex;
use crate::store::sqlite::export::{self, Exported, Wanted};
use crate::store::sqlite::pages::ReadOnlyStore;
use crate::store::sqlite::whole;

pub const VERB: Verb = Verb {
    words: &["data", "export"],
    arguments: "",
    help: "Writes the worlds in the layout of elastik 8.x, which 8.3.0 opens under the same key with\n\
           the same ETags. A world with events under another key is named and left out, or written\n\
           with HMACs made anew. What is written is read back and checked. Exit status 8 when some\n\
           worlds were left out.",
    settings: &["data-dir", "key", "keyring"],
    options: &[
        Own { name: "--layout", value: Some("8"), help: "the layout; 8 is the only one" },
        Own { name: "--to", value: Some("DIR"), help: "a directory that is empty or not there" },
        Own { name: "--rechain", value: None, help: "make HMACs anew where a world needs it" },
    ],
    run,
};

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let usage = |text: &str| Failure(Exit::Usage, text.to_owned());
    if asked.value("--layout").is_some_and(|layout| layout != "8") {
        return Err(usage("--layout knows 8 only"));
    }
    let to = Path::new(asked.value("--to").ok_or_else(|| usage("--to is missing"))?);
    let ring = asked.keyring(out)?;
    let store = ReadOnlyStore::open(&asked.data_dir()?)?;
    let (keys, key) = (store.keys(&ring)?, ring.current());
    let Some(number) = whole::key_number(&store, &key.id)? else {
        let text = "wrong key: this store was written under another ELASTIK_KEY";
        return Err(text.to_owned().into());
    };
    empty_directory(to)?;
    let rechain = asked.has("--rechain");
    let wanted = Wanted { to, key, number, keys: &keys, rechain };
    let (mut worlds, mut events, mut left_out) = (0_u64, 0_u64, 0_u64);
    let mut after = 0;
    loop {
        let page = whole::worlds(&store, after)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for world in &page {
            match export::world(&store, world, &wanted)? {
                Exported::Same(count) => (worlds, events) = (worlds + 1, events + count),
                Exported::Rechained(count) => {
                    (worlds, events) = (worlds + 1, events + count);
                    told(out, "rechained", &world.path, "its HMACs and its ETag are new");
                }
                Exported::LeftOut(reason) => {
                    left_out += 1;
                    told(out, "left-out", &world.path, &reason);
                }
            }
        }
    }
    store.undisturbed()?;
    sync(to)?;
    out.record(
        || {
            format!(
                "{worlds} worlds, {events} events written to {}; {left_out} left out",
                to.display()
            )
        },
        || json!({"worlds": worlds, "events": events, "left_out": left_out, "key": hex(&key.id)}),
    );
    Ok(if left_out > 0 { Exit::Some } else { Exit::Done })
}

fn told(out: &Out, what: &str, path: &str, reason: &str) {
    out.record(
        || format!("{path}: {what}: {reason}"),
        || json!({"path": path, "outcome": what, "reason": reason}),
    );
}

fn empty_directory(to: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", to.display());
    std::fs::create_dir_all(to).map_err(failed)?;
    match std::fs::read_dir(to).map_err(failed)?.next() {
        Some(_) => Err(format!("{} is not empty", to.display())),
        None => Ok(()),
    }
}

fn sync(to: &Path) -> Result<(), String> {
    let synced = std::fs::File::open(to).and_then(|directory| directory.sync_all());
    synced.map_err(|e| format!("{}: {e}", to.display()))
}
