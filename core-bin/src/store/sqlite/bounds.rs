//! What is kept beside the worlds, old versions and the log: how much there is, and their limits.

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, OptionalExtension, params};

use super::trouble::{Trouble, trouble};
use super::{SqliteStore, history, prune};
use crate::store::{Event, Numbers, StoreError};

/// Counters that a start need not count. The file's own rules keep them, but for new rows of the
/// log, which each commit counts once (`logged`).
pub const TABLES: &str = "
CREATE TABLE kept(what TEXT PRIMARY KEY, used INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO kept VALUES('history', (SELECT coalesce(sum(size), 0) FROM version));
INSERT INTO kept VALUES('log', (SELECT count(*) FROM log));
CREATE TRIGGER version_kept AFTER INSERT ON version BEGIN
  UPDATE kept SET used = used + new.size WHERE what = 'history';
END;
CREATE TRIGGER version_gone AFTER DELETE ON version BEGIN
  UPDATE kept SET used = used - old.size WHERE what = 'history';
END;
CREATE TRIGGER log_gone AFTER DELETE ON log BEGIN
  UPDATE kept SET used = used - 1 WHERE what = 'log';
END;
";

/// Rows by which the log may exceed its limit before it is pruned: a tenth of it, so that the
/// worlds are listed for a pruning once in so many writes.
const SLACK: u64 = 10;

/// `rows` were added to the log.
pub fn logged(db: &Connection, rows: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE kept SET used = used + ?1 WHERE what = 'log'")?
        .execute([rows as i64])?;
    Ok(())
}

/// Counts again, after rows came by another way.
pub fn recount(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "UPDATE kept SET used = (SELECT coalesce(sum(size), 0) FROM version) WHERE what = 'history';
         UPDATE kept SET used = (SELECT count(*) FROM log) WHERE what = 'log'",
    )
}

fn used(db: &Connection, what: &str) -> rusqlite::Result<u64> {
    let used: Option<i64> = db
        .prepare_cached("SELECT used FROM kept WHERE what = ?1")?
        .query_row([what], |row| row.get(0))
        .optional()?;
    Ok(used.unwrap_or(0).max(0) as u64)
}

/// Removes the oldest versions of all while they take more than `max`; true when more may follow.
pub fn forget_surplus(db: &Connection, max: Option<u64>) -> rusqlite::Result<bool> {
    let Some(surplus) = max.map(|max| used(db, "history").map(|used| used.saturating_sub(max)))
    else {
        return Ok(false);
    };
    history::forget_oldest(db, surplus?)
}

impl SqliteStore {
    /// Bytes of kept versions, and rows of the log (none of them in a copy of an older layout).
    pub fn kept(&self) -> Result<(u64, u64), StoreError> {
        self.readers.with(|db| {
            let there = "SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name = 'kept')";
            if !db.query_row(there, [], |row| row.get(0))? {
                return Ok((0, 0));
            }
            Ok((used(db, "history")?, used(db, "log")?))
        })
    }

    /// Prunes the log when it exceeds its limit: an audited op, with a number nobody is told of.
    pub fn prune_log(&self, numbers: &Numbers) -> Vec<(u64, Option<Event>)> {
        let Some(max) = self.rules.max_log.filter(|_| self.refusing().is_none()) else {
            return vec![];
        };
        let mut writer = self.writer();
        let surplus = used(&writer.db, "log").unwrap_or(0).saturating_sub(max);
        if surplus <= max / SLACK {
            return vec![];
        }
        let Some(told_at) = numbers.take() else { return vec![] };
        let by = prune::By { store: &writer.row, key: &self.key, told_at };
        let run = || {
            let tx = writer.db.unchecked_transaction()?;
            let last = "SELECT seq FROM log ORDER BY seq LIMIT 1 OFFSET ?1";
            let last: i64 = tx.query_row(last, params![surplus as i64 - 1], |row| row.get(0))?;
            let done = prune::prune(&tx, last.max(0) as u64, &by)?;
            // Before anybody can miss a row: who reads on from below is told of a gap.
            self.pruned_to.fetch_max(done.as_ref().map_or(0, |done| done.cut), Relaxed);
            tx.commit().map(|()| done)
        };
        match run() {
            Ok(Some(done)) => {
                (writer.row.seq, writer.row.mac) = (told_at, done.mac);
                writer.row.high_water = writer.row.high_water.max(told_at);
            }
            Ok(None) => {}
            Err(error) if matches!(trouble(&error), Trouble::Full | Trouble::Busy) => {}
            Err(error) => {
                self.halt.by(&error);
            }
        }
        vec![(told_at, None)]
    }
}
