//! Reads a world of the 8.x layout without changing a byte of it.

use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::{Place, State};
use crate::store::sqlite::pages::{as_it_lies, beside};
use crate::store::sqlite::raw::{COLUMNS, RawEvent};

/// An open world.
pub struct OldWorld(Connection);

impl OldWorld {
    /// With a WAL or a journal beside it, what those hold is part of the world.
    pub fn open(place: &Place) -> Result<Self, String> {
        let held =
            |suffix| std::fs::metadata(beside(&place.file, suffix)).is_ok_and(|m| m.len() > 0);
        let opened = if held("-wal") || held("-journal") {
            recovered(&place.file)
        } else {
            as_it_lies(&place.file)
        };
        opened.map(Self).map_err(|error| error.to_string())
    }

    /// The newest event's hmac; empty when there is none.
    pub fn newest_hmac(&self) -> rusqlite::Result<String> {
        let sql = "SELECT hmac FROM events ORDER BY id DESC LIMIT 1";
        let mut statement = self.0.prepare(sql)?;
        let mut rows = statement.query([])?;
        Ok(match rows.next()? {
            Some(row) => text(row.get_ref(0)?),
            None => String::new(),
        })
    }

    /// The first event; none in a world without any.
    pub fn first(&self) -> rusqlite::Result<Option<RawEvent>> {
        let mut found = None;
        self.each(1, &mut |_, event| {
            found = Some(event);
            Ok(())
        })?;
        Ok(found)
    }

    pub fn state(&self) -> rusqlite::Result<State> {
        let sql = "SELECT body, content_type FROM stage_meta WHERE id = 1";
        let (body, content_type) = self.0.query_row(sql, [], |row| {
            // 6.3 kept the ledger's empty body as text.
            let body = match row.get_ref(0)? {
                ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
                ValueRef::Null => vec![],
                other => text(other).into_bytes(),
            };
            Ok((body, text(row.get_ref(1)?)))
        })?;
        let mut statement =
            self.0.prepare("SELECT name, value FROM meta_headers ORDER BY name, value")?;
        let headers = statement
            .query_map([], |row| Ok((text(row.get_ref(0)?), text(row.get_ref(1)?))))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(State { body, content_type, headers: headers.into() })
    }

    /// How many events there are.
    pub fn count(&self) -> rusqlite::Result<u64> {
        let count = self.0.query_row("SELECT count(*) FROM events", [], |row| row.get(0));
        count.map(|count: i64| count.max(0) as u64)
    }

    /// Hands over every event with its id, in order.
    pub fn each_event(
        &self,
        take: &mut dyn FnMut(i64, RawEvent) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.each(i64::MAX, take)
    }

    /// Headers have no index: they are read once, side by side with the events.
    fn each(
        &self,
        limit: i64,
        take: &mut dyn FnMut(i64, RawEvent) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut events = self.0.prepare(
            "SELECT id, timestamp, event_type, target, body_sha256, size, content_type, \
             meta_sha256, hmac, prev_hmac FROM events ORDER BY id LIMIT ?1",
        )?;
        let mut headers = self
            .0
            .prepare("SELECT event_id, name, value FROM event_headers ORDER BY event_id, rowid")?;
        let (mut events, mut headers) = (events.query([limit])?, headers.query([])?);
        let mut header = next_header(headers.next()?)?;
        while let Some(row) = events.next()? {
            let id = row.get(0)?;
            let mut columns: [Value; COLUMNS] = std::array::from_fn(|_| Value::Null);
            for (at, column) in columns.iter_mut().enumerate() {
                *column = value(row.get_ref(at + 1)?);
            }
            let mut own = vec![];
            // Rows that name no event there is are nobody's: 8.x does not look at them either.
            while let Some((of, pair)) = header.take_if(|(of, _)| *of <= id) {
                if of == id {
                    own.push(pair);
                }
                header = next_header(headers.next()?)?;
            }
            take(id, RawEvent { columns, headers: own })?;
        }
        Ok(())
    }
}

fn next_header(row: Option<&Row<'_>>) -> rusqlite::Result<Option<(i64, (String, String))>> {
    row.map(|row| Ok((row.get(0)?, (text(row.get_ref(1)?), text(row.get_ref(2)?))))).transpose()
}

fn value(found: ValueRef<'_>) -> Value {
    match found {
        // Bytes that are no text stay as they are, as what they are.
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        },
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn text(found: ValueRef<'_>) -> String {
    match found {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

/// Reads through a WAL; a journal of an interrupted commit has to be rolled back first.
fn recovered(file: &Path) -> rusqlite::Result<Connection> {
    let look = |db: &Connection| {
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    };
    let reading = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, reading)?;
    match look(&db) {
        Ok(_) => return Ok(db),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {}
        Err(error) => return Err(error),
    }
    let writing = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(file, writing)?;
    look(&db)?;
    Ok(db)
}
