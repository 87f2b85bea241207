//! What is kept beside the worlds, old versions and the log: how much there is, and their limits.

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, params};

use super::trouble::{Trouble, trouble};
use super::{SqliteStore, history, prune};
use crate::store::{Event, Numbers, StoreError};

/// Keep the counters of the store's row, so that a start need not count. New rows of the log are
/// counted by each commit in one go.
pub const TRIGGERS: &str = "
CREATE TRIGGER version_kept AFTER INSERT ON version BEGIN
  UPDATE store SET history_bytes = history_bytes + new.size;
END;
CREATE TRIGGER version_gone AFTER DELETE ON version BEGIN
  UPDATE store SET history_bytes = history_bytes - old.size;
END;
CREATE TRIGGER log_gone AFTER DELETE ON log BEGIN
  UPDATE store SET log_rows = log_rows - 1;
END;
";

/// Rows by which the log may exceed its limit before it is pruned: a tenth of it, so that the
/// worlds are listed for a pruning once in so many writes.
const SLACK: u64 = 10;

/// One row was added to the log by another way than a commit of writes.
pub fn logged(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE store SET log_rows = log_rows + 1")?.execute([])?;
    Ok(())
}

/// Counts again, after rows came by another way.
pub fn recount(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "UPDATE store SET log_rows = (SELECT count(*) FROM log), \
         history_bytes = (SELECT coalesce(sum(size), 0) FROM version)",
    )
}

/// Bytes of kept versions, and rows of the log.
fn used(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let count = |count: i64| count.max(0) as u64;
    db.prepare_cached("SELECT history_bytes, log_rows FROM store")?
        .query_row([], |row| Ok((count(row.get(0)?), count(row.get(1)?))))
}

/// Removes the oldest versions of all while they take more than `max`; true when more may follow.
pub fn forget_surplus(db: &Connection, max: Option<u64>) -> rusqlite::Result<bool> {
    let Some(max) = max else { return Ok(false) };
    history::forget_oldest(db, used(db)?.0.saturating_sub(max))
}

impl SqliteStore {
    /// Bytes of kept versions, and rows of the log.
    pub fn kept(&self) -> Result<(u64, u64), StoreError> {
        self.readers.with(used)
    }

    /// Prunes the log when it exceeds its limit: an audited op, with a number nobody is told of.
    pub fn prune_log(&self, numbers: &Numbers) -> Vec<(u64, Option<Event>)> {
        let Some(max) = self.rules.max_log.filter(|_| self.refusing().is_none()) else {
            return vec![];
        };
        let mut writer = self.writer();
        let surplus = used(&writer.db).map_or(0, |used| used.1).saturating_sub(max);
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
