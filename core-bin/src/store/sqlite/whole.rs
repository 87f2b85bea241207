//! What is asked of a store as a whole: its anchor, its counters, its worlds that are set aside.

use rusqlite::{OptionalExtension, params};

use super::pages::Pages;
use super::schema;
use crate::audit::anchor::Anchor;
use crate::audit::keys::KeyTable;
use crate::store::StoreError;

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
