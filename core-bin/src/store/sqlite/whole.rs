//! What is asked of a store as a whole: its anchor, its counters, its worlds that are set aside.

use rusqlite::{OptionalExtension, params};

use super::pages::Pages;
use super::{rows, schema};
use crate::audit::anchor::Anchor;
use crate::audit::keys::KeyTable;
use crate::audit::world::WorldRow;
use crate::store::StoreError;

/// Worlds that are read at a time.
const PAGE: usize = 64;

/// The line that names the log's newest row.
pub fn anchor<P: Pages>(pages: &P, keys: &KeyTable) -> Result<Anchor, StoreError> {
    let (id, row, time) = pages.page(|db| {
        let row = schema::read_row(db)?;
        let time: Option<i64> = db
            .query_row("SELECT time_us FROM log WHERE seq = ?1", params![row.seq as i64], |r| {
                r.get(0)
            })
            .optional()?;
        Ok((schema::store_id(db)?, row, time.unwrap_or(0)))
    })?;
    let key_id = keys.key(row.key).map_or([0; 16], |key| key.id);
    Ok(Anchor::new(id, row.seq, row.mac, time, key_id))
}

/// The store's number for the key with this id.
pub fn key_number<P: Pages>(pages: &P, id: &[u8]) -> Result<Option<i64>, StoreError> {
    let rows = pages.page(schema::key_rows)?;
    Ok(rows.into_iter().find(|(_, known)| known == id).map(|(number, _)| number))
}

/// A page of worlds as the file has them, by their ids.
pub fn worlds<P: Pages>(pages: &P, after: i64) -> Result<Vec<WorldRow>, StoreError> {
    pages.page(|db| rows::worlds(db, after, PAGE))
}
