//! `elastik-core ls-data`: the worlds of a data directory, without its key and without a server.

use serde_json::json;

use super::options::Asked;
use super::out::Out;
use super::{Exit, Outcome, Verb};
use crate::path::decode_disk_name;
use crate::store::sqlite::FILE;
use crate::store::sqlite::pages::ReadOnlyStore;
use crate::store::sqlite::whole;
use crate::store::v8;
use crate::time::rfc3339;

pub const VERB: Verb = Verb {
    words: &["ls-data"],
    arguments: "",
    help: "Lists the worlds of a data directory, a backup, or a directory of elastik 8.x: size,\n\
           events, time of change, path.",
    settings: &["data-dir"],
    options: &[],
    run,
};

fn run(asked: &Asked, out: &mut Out) -> Outcome {
    let place = asked.data_dir()?;
    if !place.is_file() && !place.join(FILE).is_file() {
        return old(&place, out);
    }
    let store = ReadOnlyStore::open(&place)?;
    let mut after = 0;
    loop {
        let page = whole::worlds(&store, after)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for world in &page {
            let modified = rfc3339(world.modified_us);
            out.record(
                || format!("{}\t{}\t{modified}\t{}", world.size, world.events, world.path),
                || {
                    json!({
                        "path": world.path, "size": world.size, "events": world.events,
                        "modified": modified, "type": world.content_type,
                        "etag": format!("hmac-{}", world.hmac), "set_aside": world.fault,
                    })
                },
            );
        }
    }
    store.undisturbed()?;
    Ok(Exit::Done)
}

/// The layout of 8.x: a directory for each world.
fn old(place: &std::path::Path, out: &Out) -> Outcome {
    for found in v8::places(place)? {
        let path = decode_disk_name(&found.disk_name).unwrap_or_else(|| found.disk_name.clone());
        let state = v8::read::OldWorld::open(&found)
            .and_then(|old| old.state().map_err(|error| error.to_string()));
        let size = state.as_ref().map(|state| state.body.len()).ok();
        let error = state.err();
        out.record(
            || match (&size, &error) {
                (Some(size), _) => format!("{size}\t\t\t{path}"),
                (None, error) => format!("\t\t\t{path}\t{}", error.as_deref().unwrap_or_default()),
            },
            || json!({"path": path, "size": size, "directory": found.disk_name, "error": error}),
        );
    }
    Ok(Exit::Done)
}
