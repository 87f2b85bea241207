//! `elastik-core key rotate`: lets a new audit key take over.

use std::path::Path;

use serde_json::json;

use super::options::{Asked, Own};
use super::out::Out;
use super::{Exit, Failure, Outcome, Verb};
use crate::audit::keys::AuditKey;
use crate::config::Reader;
use crate::store::hex;
use crate::store::sqlite::offline::OfflineStore;

pub const ROTATE: Verb = Verb {
    words: &["key", "rotate"],
    arguments: "",
    help: "Lets a new audit key take over. One row is added to the log; no world changes, and all\n\
           ETags stay. Keep the old key in the keyring: it verifies what was written under it.",
    settings: &["data-dir", "key"],
    options: &[Own {
        name: "--new-key-file",
        value: Some("PATH"),
        help: "the new key; 32 bytes or more; one newline at the end is not part of it",
    }],
    run,
};

/// A new key shorter than this is refused: nothing forces it to be short.
const SHORTEST: usize = 32;

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let option = "--new-key-file";
    let Some(path) = asked.value(option) else {
        return Err(Failure(Exit::Usage, format!("{option} is missing")));
    };
    let new = Reader::key_file(option, Path::new(path))?;
    if new.len() < SHORTEST {
        let text = format!("{option}: the key has {} bytes, {SHORTEST} are the least", new.len());
        return Err(Failure(Exit::Usage, text));
    }
    let old = asked.key(out)?;
    let mut store = OfflineStore::open(&asked.data_dir()?, &old)?;
    let seq = store.rotate(&new)?;
    let (old, new) = (hex(&AuditKey::new(&old).id), hex(&AuditKey::new(&new).id));
    out.record(
        || format!("key {new} took over from {old} at log {seq}; keep the old one in the keyring"),
        || json!({"seq": seq, "key": new, "replaced": old}),
    );
    Ok(Exit::Done)
}
