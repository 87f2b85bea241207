//! What a command says: the answer on stdout, everything about it on stderr, either as JSON Lines.

use std::io::{ErrorKind, Write};

use serde_json::{Value, json};

use super::Exit;

/// What a shell reports for a program that a closed pipe ended (128 + SIGPIPE).
const PIPE_CLOSED: i32 = 141;

pub struct Out {
    pub json: bool,
}

impl Out {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// One record: a line for people, or an object.
    pub fn record(&self, line: impl FnOnce() -> String, object: impl FnOnce() -> Value) {
        let text = if self.json { object().to_string() } else { line() };
        self.text(&format!("{text}\n"));
    }

    /// Bytes of the answer as they are.
    pub fn text(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            std::process::exit(PIPE_CLOSED);
        }
    }

    /// Something about the answer, for people; never part of it.
    pub fn note(&self, text: &str) {
        if !self.json {
            eprintln!("elastik-core: {text}");
        }
    }

    pub fn failed(&self, exit: Exit, text: &str) {
        if self.json {
            let object = json!({"error": exit.name(), "exit": exit as u8, "message": text});
            eprintln!("{object}");
        } else {
            eprintln!("elastik-core: {text}");
        }
    }
}
