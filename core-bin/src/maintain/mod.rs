//! Work on a data directory without a server: `elastik-core verify`, `anchor`, `data …`, `key …`.

mod anchor;
mod backup;
mod compact;
mod export;
mod import;
mod key;
mod listing;
mod options;
mod out;
mod sound;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::audit::keys::Keyring;
use crate::config::Reader;
use options::Asked;
use out::Out;

/// How a command ended; the numbers are those of every command of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The answer is no: something does not hold.
    No = 1,
    Usage = 2,
    Failed = 3,
    NotFound = 4,
    Conflict = 6,
    /// Some of many could not be done.
    Some = 8,
}

impl Exit {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::No => "no",
            Self::Usage => "usage",
            Self::Failed => "failed",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Some => "some-failed",
        }
    }
}

/// Why a command ended early: its exit code, and one sentence.
pub struct Failure(Exit, String);

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(Exit::Failed, text)
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self(Exit::Failed, error.0)
    }
}

type Outcome = Result<Exit, Failure>;

/// A command: its words, what it takes, what it does.
struct Verb {
    words: &'static [&'static str],
    /// Arguments after the words, as the usage line shows them; empty means none are taken.
    arguments: &'static str,
    help: &'static str,
    /// Settings it knows, by their names in the table of settings.
    settings: &'static [&'static str],
    options: &'static [options::Own],
    run: fn(&Asked, &mut Out) -> Outcome,
}

const VERBS: &[&Verb] = &[
    &verify::VERB,
    &anchor::VERB,
    &key::ROTATE,
    &import::VERB,
    &export::VERB,
    &backup::BACKUP,
    &backup::RESTORE,
    &sound::CHECK,
    &sound::RECOVER,
    &compact::VERB,
    &listing::VERB,
];

/// Runs what the arguments ask for; returns the exit code.
pub fn main(args: &[OsString]) -> u8 {
    let json = args.iter().any(|arg| arg == "--json");
    let mut out = Out::new(json);
    let outcome = options::parse(args).and_then(|(verb, asked)| match asked {
        Some(asked) => (verb.run)(&asked, &mut out),
        None => {
            out.text(&options::usage(verb));
            Ok(Exit::Done)
        }
    });
    match outcome {
        Ok(exit) => exit as u8,
        Err(Failure(exit, text)) => {
            out.failed(exit, &text);
            exit as u8
        }
    }
}

impl Asked {
    fn reader(&self) -> Reader<'_> {
        Reader { flags: self.settings.clone(), env: &|name| std::env::var_os(name) }
    }

    fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(self.reader().data_dir()?)
    }

    fn key(&self, out: &mut Out) -> Result<Vec<u8>, Failure> {
        let mut warnings = vec![];
        let key = self.reader().key(&mut warnings)?;
        warnings.iter().for_each(|warning| out.note(warning));
        Ok(key)
    }

    fn keyring(&self, out: &mut Out) -> Result<Keyring, Failure> {
        Ok(Keyring::new(&self.key(out)?, &self.reader().older_keys()?))
    }
}
