//! Events of the worlds' chains in the file: each behind the one before it, read back from the newest.
//!
//! Rows lie in the order in which they were written, so that a commit of many worlds fills few
//! pages. Each names the event before it in its chain; the newest is the one that the world's row
//! names. Every 64th has a mark, from which a part of a long chain is found.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::raw;
use super::rows::{decode_headers, encode_headers, joined_log_row, unsigned};
use crate::audit::log::LogRow;
use crate::store::{ChainRow, Headers, hex};

/// Events of a chain from one mark to the next.
const STRIDE: u64 = 64;

/// Events that one turn of freeing takes; each may lie in a page of its own.
const TURN: usize = 128;

const CHAIN: &str = "e.id, e.seq, e.time_us, e.time_text, e.type, coalesce(e.target, w.path), \
                     e.body_sha256, e.size, e.content_type, e.headers, e.meta_sha256, e.hmac, \
                     e.prev_hmac, e.key, e.raw";

/// More marks than any chain has: it is walked from its newest event.
const NO_MARK: i64 = i64::MAX;

/// From the first mark with ?3 others before it, or from the newest event, back to the event with
/// id ?2 of world ?1. A chain whose newest event is lost is read from the newest that is left.
const BACK: &str = "
WITH RECURSIVE back(n, prev) AS (
  SELECT n, prev FROM event WHERE world = ?1 AND id > ?2 AND n = coalesce(
    (SELECT m.n FROM mark m WHERE m.world = ?1 AND m.id > ?2 ORDER BY m.id LIMIT 1 OFFSET ?3),
    (SELECT e.n FROM world w CROSS JOIN event e ON e.n = w.seq AND e.world = w.id WHERE w.id = ?1),
    (SELECT max(e.n) FROM world w CROSS JOIN event e ON e.world = w.id
      WHERE w.id = ?1 AND w.events > 0))
  UNION ALL
  SELECT e.n, e.prev FROM back b CROSS JOIN event e ON e.n = b.prev
   WHERE e.world = ?1 AND e.id > ?2 AND e.n < b.n)
";

const OF_BACK: &str =
    "FROM back b CROSS JOIN event e ON e.n = b.n CROSS JOIN world w ON w.id = e.world";

/// Which part of a chain is read: so many events of a world behind the one with id `after`.
#[derive(Clone, Copy)]
pub struct Part {
    pub world: i64,
    pub after: i64,
    pub limit: usize,
}

/// One page of a world's chain.
pub fn page(db: &Connection, part: Part) -> rusqlite::Result<Vec<ChainRow>> {
    read(db, part, CHAIN, "", chain_row)
}

/// The same, each event with the row of the log that has its number.
pub fn logged(db: &Connection, part: Part) -> rusqlite::Result<Vec<(ChainRow, Option<LogRow>)>> {
    let columns = format!(
        "{CHAIN}, l.seq, l.time_us, l.kind, l.path, l.hmac, l.content_type, l.size, l.key, l.link"
    );
    read(db, part, &columns, "LEFT JOIN log l ON l.seq = e.seq", |row| {
        Ok((chain_row(row)?, joined_log_row(row, 15)?))
    })
}

/// The same, each event with its raw copy when it has one.
pub fn with_raw(
    db: &Connection,
    part: Part,
) -> rusqlite::Result<Vec<(ChainRow, Option<raw::RawEvent>)>> {
    read(db, part, CHAIN, "", |row| {
        let bytes = row.get_ref(14)?.as_blob_or_null()?;
        Ok((chain_row(row)?, bytes.and_then(raw::RawEvent::unpack)))
    })
}

fn read<T>(
    db: &Connection,
    part: Part,
    columns: &str,
    joined: &str,
    value: impl FnMut(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let sql = format!("{BACK} SELECT {columns} {OF_BACK} {joined} ORDER BY e.id LIMIT ?4");
    let marks = (part.limit as u64).div_ceil(STRIDE) as i64;
    db.prepare_cached(&sql)?
        .query_map(params![part.world, part.after, marks, part.limit as i64], value)?
        .collect()
}

fn chain_row(row: &SqlRow<'_>) -> rusqlite::Result<ChainRow> {
    let normal = ChainRow {
        id: row.get(0)?,
        seq: unsigned(row, 1)?,
        time_us: row.get(2)?,
        time_text: row.get(3)?,
        kind: row.get(4)?,
        target: row.get(5)?,
        body_sha256: hex(row.get_ref(6)?.as_blob()?),
        size: row.get(7)?,
        content_type: row.get(8)?,
        headers: decode_headers(row.get_ref(9)?.as_str()?),
        meta_sha256: hex(row.get_ref(10)?.as_blob()?),
        hmac: hex(row.get_ref(11)?.as_blob()?),
        prev_hmac: hex(row.get_ref(12)?.as_blob()?),
        key: row.get(13)?,
    };
    Ok(match row.get_ref(14)?.as_blob_or_null()? {
        Some(raw) => raw::restore(raw, normal),
        None => normal,
    })
}

/// The numbers of the keys that a world's events are under.
pub fn keys(db: &Connection, world: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = format!("{BACK} SELECT DISTINCT e.key {OF_BACK}");
    db.prepare_cached(&sql)?
        .query_map(params![world, i64::MIN, NO_MARK], |row| row.get(0))?
        .collect()
}

/// An event that is added to a chain, as its row has it.
pub struct Added<'a> {
    pub n: i64,
    pub world: i64,
    /// Events of the chain, with this one.
    pub count: u64,
    pub id: i64,
    pub prev: Option<i64>,
    pub seq: i64,
    pub time_us: i64,
    pub time_text: Option<&'a str>,
    pub kind: &'a str,
    /// None when it is the world's own path.
    pub target: Option<&'a str>,
    pub body_sha256: &'a [u8],
    pub size: i64,
    pub content_type: &'a str,
    pub headers: &'a Headers,
    pub meta_sha256: &'a [u8],
    pub hmac: &'a [u8],
    pub prev_hmac: &'a [u8],
    pub key: i64,
    pub raw: Option<&'a [u8]>,
}

/// Adds an event behind the others of its chain.
pub fn add(db: &Connection, event: &Added<'_>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO event(n, world, id, prev, seq, time_us, time_text, type, target, body_sha256, \
         size, content_type, headers, meta_sha256, hmac, prev_hmac, key, raw) VALUES(\
         ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(params![
        event.n,
        event.world,
        event.id,
        event.prev,
        event.seq,
        event.time_us,
        event.time_text,
        event.kind,
        event.target,
        event.body_sha256,
        event.size,
        event.content_type,
        encode_headers(event.headers),
        event.meta_sha256,
        event.hmac,
        event.prev_hmac,
        event.key,
        event.raw,
    ])?;
    if event.count.is_multiple_of(STRIDE) {
        mark(db, event.world, event.id, event.n)?;
    }
    Ok(())
}

/// Marks an event: one of every 64, and the newest of a chain whose world goes.
pub fn mark(db: &Connection, world: i64, id: i64, n: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO mark(world, id, n) VALUES(?1, ?2, ?3)")?
        .execute([world, id, n])?;
    Ok(())
}

/// Frees some events of a chain that no world has any more, the newest first; false when none is left.
pub fn free(db: &Connection, world: i64) -> rusqlite::Result<bool> {
    let mut next: Option<i64> = db
        .prepare_cached("SELECT n FROM mark WHERE world = ?1 ORDER BY id DESC LIMIT 1")?
        .query_row([world], |row| row.get(0))
        .optional()?;
    let mut last = None;
    for _ in 0..TURN {
        let Some(n) = next else { break };
        let Some((id, prev)) = take(db, world, n)? else {
            // A link is broken: what is left is found only by looking at every event there is.
            db.execute("DELETE FROM event WHERE world = ?1", [world])?;
            next = None;
            break;
        };
        (last, next) = (Some(id), prev.filter(|prev| *prev < n));
    }
    let from = next.and(last).unwrap_or(i64::MIN);
    db.prepare_cached("DELETE FROM mark WHERE world = ?1 AND id >= ?2")?.execute([world, from])?;
    if let Some(n) = next {
        mark(db, world, from.saturating_sub(1), n)?;
    }
    Ok(next.is_some())
}

/// Deletes one event; returns its id and the row of the one before.
fn take(db: &Connection, world: i64, n: i64) -> rusqlite::Result<Option<(i64, Option<i64>)>> {
    db.prepare_cached("DELETE FROM event WHERE n = ?1 AND world = ?2 RETURNING id, prev")?
        .query_row([n, world], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Links and marks all chains anew, by the order of their rows: what could not be saved of a damaged
/// file leaves no end that leads nowhere.
pub fn link_again(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "DELETE FROM event WHERE world NOT IN (SELECT id FROM world);
         UPDATE event SET prev = l.prev FROM (
           SELECT n, lag(n) OVER (PARTITION BY world ORDER BY n) AS prev FROM event) l
          WHERE l.n = event.n AND l.prev IS NOT event.prev;
         INSERT INTO mark SELECT world, id, n FROM (
           SELECT world, id, n, row_number() OVER (PARTITION BY world ORDER BY n) AS place FROM event)
          WHERE place % {STRIDE} = 0"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two worlds that were written in turns; ids of the first have gaps, as imported ones may.
    fn two_chains(events: i64) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(super::super::schema::TABLES).unwrap();
        for world in [1, 2] {
            db.execute(
                "INSERT INTO world(id, path, seq, event_id, events, hmac, body_sha256, size, \
                 content_type, headers, modified_us) VALUES(?1, ?1, ?2, 0, ?3, x'', x'', 0, '', '', 0)",
                [world, 2 * (events - 1) + world, events],
            )
            .unwrap();
        }
        let headers: Headers = [].into();
        for at in 0..events {
            add(&db, &event(&headers, 1, at)).unwrap();
            add(&db, &event(&headers, 2, at)).unwrap();
        }
        db
    }

    fn id(world: i64, at: i64) -> i64 {
        if world == 1 { at * 3 + at % 2 } else { at + 1 }
    }

    fn event(headers: &Headers, world: i64, at: i64) -> Added<'_> {
        let n = 2 * at + world;
        Added {
            n,
            world,
            count: at as u64 + 1,
            id: id(world, at),
            prev: (at > 0).then_some(n - 2),
            seq: n,
            time_us: 0,
            time_text: None,
            kind: "put",
            target: None,
            body_sha256: &[],
            size: 0,
            content_type: "",
            headers,
            meta_sha256: &[],
            hmac: &[],
            prev_hmac: &[],
            key: world,
            raw: None,
        }
    }

    fn ids(db: &Connection, world: i64, after: i64, limit: usize) -> Vec<i64> {
        let read = page(db, Part { world, after, limit }).unwrap();
        read.into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn any_part_of_a_chain_is_read_in_its_order() {
        for events in [1, 63, 64, 65, 300] {
            let db = two_chains(events);
            for world in [1, 2] {
                let all: Vec<i64> = (0..events).map(|at| id(world, at)).collect();
                for after in [i64::MIN, -1, 0, 1, 62, 63, 64, 65, 127, 128, 200, 299, 900, 5000] {
                    for limit in [1, 2, 63, 64, 65, 128, 1000] {
                        let behind = all.iter().copied().filter(|id| *id > after).take(limit);
                        assert_eq!(ids(&db, world, after, limit), behind.collect::<Vec<_>>());
                    }
                }
                assert_eq!(keys(&db, world).unwrap(), [world]);
            }
        }
    }

    #[test]
    fn without_its_marks_a_chain_is_only_slower() {
        let db = two_chains(300);
        db.execute("DELETE FROM mark", []).unwrap();
        assert_eq!(ids(&db, 2, 100, 50), (101..=150).collect::<Vec<_>>());
    }

    #[test]
    fn a_part_near_the_beginning_is_not_walked_to_from_the_end() {
        let db = two_chains(1000);
        // What lies behind the marks that are needed is not looked at.
        db.execute("DELETE FROM event WHERE n > 2 * 256 + 2", []).unwrap();
        assert_eq!(ids(&db, 2, 0, 100), (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn a_link_that_leads_forward_or_elsewhere_ends_the_walk() {
        let db = two_chains(5);
        db.execute("UPDATE event SET prev = 10 WHERE n = 8", []).unwrap();
        assert_eq!(ids(&db, 2, 0, 9), [4, 5]);
        db.execute("UPDATE event SET prev = 5 WHERE n = 8", []).unwrap();
        assert_eq!(ids(&db, 2, 0, 9), [4, 5]);
        db.execute("DELETE FROM event WHERE n = 10", []).unwrap();
        assert_eq!(ids(&db, 2, 0, 9), [4], "the newest that is left");
    }

    fn left(db: &Connection, world: i64) -> (i64, i64) {
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} WHERE world = ?1");
            db.query_row(&sql, [world], |row| row.get(0)).unwrap()
        };
        (count("event"), count("mark"))
    }

    #[test]
    fn a_chain_is_freed_in_turns_and_no_other() {
        for events in [1, 64, 128, 300] {
            let db = two_chains(events);
            mark(&db, 1, id(1, events - 1), 2 * (events - 1) + 1).unwrap();
            let other = left(&db, 2);
            let mut turns = 1;
            while free(&db, 1).unwrap() {
                turns += 1;
            }
            assert_eq!(turns, (events as usize).div_ceil(TURN));
            assert_eq!((left(&db, 1), left(&db, 2)), ((0, 0), other));
            assert!(!free(&db, 1).unwrap(), "none is left");
        }
    }

    #[test]
    fn a_broken_chain_is_freed_too_and_linked_again_when_saved() {
        let db = two_chains(300);
        mark(&db, 1, id(1, 299), 599).unwrap();
        db.execute("DELETE FROM event WHERE n IN (301, 302)", []).unwrap();
        while free(&db, 1).unwrap() {}
        assert_eq!(left(&db, 1), (0, 0));
        assert_eq!(ids(&db, 2, 130, 9), (152..=160).collect::<Vec<_>>());
        db.execute("DELETE FROM mark", []).unwrap();
        link_again(&db).unwrap();
        let whole = (1..=300).filter(|id| *id != 151).collect::<Vec<_>>();
        assert_eq!(ids(&db, 2, 0, 1000), whole);
        assert_eq!(left(&db, 2), (299, 4));
    }
}
