//! Worlds on their way back to the 8.x layout.

use std::path::Path;

use super::pages::Pages;
use super::{chains, check, import, objects};
use crate::audit::keys::{AuditKey, KeyTable};
use crate::audit::world::WorldRow;
use crate::store::StoreError;
use crate::store::v8::write::NewWorld;

const ROWS: usize = 1000;

/// What became of one world.
pub enum Exported {
    /// So many events, as they are.
    Same(u64),
    /// So many events, with HMACs made anew.
    Rechained(u64),
    LeftOut(String),
}

/// How worlds are written.
pub struct Wanted<'a> {
    pub to: &'a Path,
    pub key: &'a AuditKey,
    /// The key's number in the store.
    pub number: i64,
    /// All keys there are, for a look at a chain before it is made anew.
    pub keys: &'a KeyTable,
    /// Chains that are not all under the key are made anew, not left out.
    pub rechain: bool,
}

/// Writes one world.
pub fn world<P: Pages>(
    pages: &P,
    world: &WorldRow,
    wanted: &Wanted<'_>,
) -> Result<Exported, String> {
    if let Some(fault) = &world.fault {
        return Ok(Exported::LeftOut(format!("it is set aside: {fault}")));
    }
    let keys = pages.page(|db| chains::keys(db, world.id)).map_err(|e| e.0)?;
    let own = keys.iter().all(|key| *key == wanted.number);
    if !own && !wanted.rechain {
        return Ok(Exported::LeftOut("not all of its events are under this key".to_owned()));
    }
    if !own
        && let Some(report) = check::world(pages, wanted.keys, world.id).map_err(|e| e.0)?
        && let Some(finding) = report.findings.first()
    {
        return Ok(Exported::LeftOut(format!("it does not hold: {}", import::said(finding))));
    }
    let body = body(pages, world).map_err(|e| e.0)?;
    let rechain = (!own).then(|| wanted.key.clone());
    let mut new = NewWorld::create(wanted.to, &world.path, rechain)?;
    let mut after = i64::MIN;
    loop {
        let part = chains::Part { world: world.id, after, limit: ROWS };
        let page = pages.page(|db| chains::with_raw(db, part)).map_err(|e| e.0)?;
        for (row, raw) in &page {
            new.event(row, raw.clone()).map_err(|e| e.to_string())?;
        }
        match page.last() {
            Some((row, _)) if page.len() == ROWS => after = row.id,
            _ => break,
        }
    }
    let events = new.finish(&body, &world.content_type, &world.headers, wanted.key)?;
    Ok(if own { Exported::Same(events) } else { Exported::Rechained(events) })
}

/// The whole body: 8.x keeps it in one cell, so it is held whole here too.
fn body<P: Pages>(pages: &P, world: &WorldRow) -> Result<Vec<u8>, StoreError> {
    let Some(object) = world.object else { return Ok(world.body.clone().unwrap_or_default()) };
    let size = usize::try_from(world.size).unwrap_or(0);
    let mut all = Vec::with_capacity(size);
    while all.len() < size {
        let read = pages.page(|db| objects::read(db, object, all.len() as u64))?;
        let Some(piece) = read else {
            return Err(StoreError(format!("{}: its body ends at byte {}", world.path, all.len())));
        };
        let room = size - all.len();
        all.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(all)
}
