//! What a check of the store found: which thing, where, what was expected and what is there.

use std::fmt;

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub problem: Problem,
    /// The world it is about; empty for the store's own rows.
    pub path: String,
    /// The row of the log, where there is one.
    pub seq: Option<u64>,
    /// Position in the world's chain, from 0, as `verify` tells it.
    pub event: Option<u64>,
    pub expected: String,
    pub actual: String,
}

/// The kinds of findings; their names are for programs and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    LogLink,
    LogMac,
    LogTail,
    LogKey,
    KeyUnknown,
    Anchor,
    Pruned,
    NoEvents,
    ChainLink,
    ChainMeta,
    ChainMac,
    EventNotLogged,
    EventLog,
    ImportTimes,
    WorldRenamed,
    WorldHead,
    WorldSize,
    WorldType,
    WorldTime,
    WorldBody,
    WorldRemoved,
    WorldRolledBack,
    WorldNotLogged,
    VersionNotLogged,
    VersionRow,
    VersionBody,
    Counters,
    SetAside,
    Unreadable,
}

impl Problem {
    /// The name in `--json`, and the sentence for a person.
    pub fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::LogLink => {
                ("log-link", "a row of the log is missing, moved or put in before this one")
            }
            Self::LogMac => ("log-mac", "a row of the log was edited"),
            Self::LogTail => ("log-tail", "the log does not end where the store's row says"),
            Self::LogKey => ("log-key", "a row is under another key than the one in force"),
            Self::KeyUnknown => ("key-unknown", "rows are under a key that is not in the keyring"),
            Self::Anchor => ("anchor", "the log is not the one that was anchored"),
            Self::Pruned => ("pruned", "the list of worlds at the pruning was edited"),
            Self::NoEvents => ("no-events", "the world has no events"),
            Self::ChainLink => ("chain-link", "an event is missing or moved before this one"),
            Self::ChainMeta => ("chain-meta", "an event's type or headers were edited"),
            Self::ChainMac => ("chain-mac", "an event was edited"),
            Self::EventNotLogged => ("event-not-logged", "an event has no row in the log"),
            Self::EventLog => ("event-log", "an event and its row in the log differ"),
            Self::ImportTimes => ("import-times", "a timestamp of an imported event was edited"),
            Self::WorldRenamed => {
                ("world-renamed", "the world lies at another path than its events")
            }
            Self::WorldHead => ("world-head", "the world's row does not name its newest event"),
            Self::WorldSize => ("world-size", "the world's size is not that of its newest event"),
            Self::WorldType => ("world-type", "the world's type or headers were edited"),
            Self::WorldTime => ("world-time", "the world's time of change was edited"),
            Self::WorldBody => ("world-body", "the world's body was edited"),
            Self::WorldRemoved => ("world-removed", "the world was removed, but not by a DELETE"),
            Self::WorldRolledBack => {
                ("world-rolled-back", "an older state of the world was put back")
            }
            Self::WorldNotLogged => ("world-not-logged", "the log knows nothing of this world"),
            Self::VersionNotLogged => {
                ("version-not-logged", "the log knows nothing of this kept version")
            }
            Self::VersionRow => ("version-row", "a kept version's row was edited"),
            Self::VersionBody => ("version-body", "a kept version's body was edited"),
            Self::Counters => ("counters", "the store counts other worlds or bytes than it has"),
            Self::SetAside => ("set-aside", "the world was set aside"),
            Self::Unreadable => ("unreadable", "rows cannot be read"),
        }
    }
}

impl Finding {
    /// About the store's own rows.
    pub fn of_store(problem: Problem, expected: impl ToString, actual: impl ToString) -> Self {
        Self::of_world(problem, "", expected, actual)
    }

    pub fn of_world(
        problem: Problem,
        path: &str,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Self {
        let (expected, actual) = (expected.to_string(), actual.to_string());
        Self { problem, path: path.to_owned(), seq: None, event: None, expected, actual }
    }

    pub fn at_seq(self, seq: u64) -> Self {
        Self { seq: Some(seq), ..self }
    }

    pub fn at_event(self, event: u64) -> Self {
        Self { event: Some(event), ..self }
    }
}

impl Finding {
    /// One object, as every list of findings has it.
    pub fn to_json(&self) -> serde_json::Value {
        let Self { problem, path, seq, event, expected, actual } = self;
        let (name, message) = problem.texts();
        serde_json::json!({
            "problem": name, "path": path, "event": event, "seq": seq,
            "expected": expected, "actual": actual, "message": message,
        })
    }
}

/// One line: `home/a: an event was edited (event 3, log 17): expected …, actual …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the store" } else { &self.path };
        write!(f, "{}: {}", path.escape_debug(), self.problem.texts().1)?;
        match (self.event, self.seq) {
            (Some(event), Some(seq)) => write!(f, " (event {event}, log {seq})")?,
            (Some(event), None) => write!(f, " (event {event})")?,
            (None, Some(seq)) => write!(f, " (log {seq})")?,
            (None, None) => {}
        }
        let (expected, actual) = (self.expected.escape_debug(), self.actual.escape_debug());
        write!(f, ": expected {expected}, actual {actual}")
    }
}
