//! Worlds that are set aside: their rows do not hold, so they take no new event.

use rusqlite::{Connection, params};

use super::SqliteStore;
use super::pages::Pages;
use crate::path::WorldPath;
use crate::store::{Refusal, StoreError};

impl Pages for SqliteStore {
    fn page<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.readers.with(work)
    }
}

impl SqliteStore {
    /// Sets a world aside if it is still as it was seen; true when it was not before.
    pub fn set_aside(&self, path: &str, id: i64, seq: u64, reason: &str) -> Result<bool, Refusal> {
        let mut changed = 0;
        self.turn(|db| {
            changed = db.execute(
                "UPDATE world SET fault = ?3 WHERE id = ?1 AND seq = ?2 AND fault IS NULL",
                params![id, seq as i64, reason],
            )?;
            Ok(())
        })?;
        // The next reader takes the row, with its fault.
        self.cache.replace(&WorldPath::trusted(path), None);
        Ok(changed > 0)
    }

    /// Every world that is set aside, with its reason.
    pub fn worlds_set_aside(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.page(list)
    }

    /// How many there are.
    pub fn count_set_aside(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM world WHERE fault IS NOT NULL";
        self.page(|db| db.query_row(sql, [], |row| row.get::<_, i64>(0))).map(|n| n.max(0) as u64)
    }
}

fn list(db: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    db.prepare("SELECT path, fault FROM world WHERE fault IS NOT NULL ORDER BY path")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
