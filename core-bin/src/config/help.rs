//! The table of settings as `--help` and as Markdown.

use std::fmt::Write;

use super::table::{Kind, SETTINGS, Setting};

const HEAD: &str = "\
elastik-core keeps worlds (bytes and headers at a path), audits every durable write and tells
whoever listens.

Usage: elastik-core [OPTIONS]

Every option has an environment variable; the option wins. Secrets come from a variable or from a
file, never from the command line; one newline at the end of such a file is not part of the secret.

Options:
";

const TAIL: &str = "  \
  --help
        print this
  --help-markdown
        print the options as a table
  --version
        print the version

Work on a data directory without a server, each with its own --help:
  verify, anchor, key rotate, data import, data export, data backup, data restore, data check,
  data recover, data compact, ls-data

Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start or go on, 2 for a bad command line.
";

pub fn text() -> String {
    let mut out = HEAD.to_owned();
    for setting in SETTINGS {
        let _ = writeln!(out, "  {}  [{}]", usage(setting), variables(setting));
        let _ = writeln!(out, "        {}{}", setting.help, default_note(setting));
    }
    out.push_str(TAIL);
    out
}

pub fn markdown() -> String {
    let head = "| Option | Variable | Default | Unit | Meaning |\n|---|---|---|---|---|\n";
    let mut out = head.to_owned();
    for setting in SETTINGS {
        let Setting { default, unit, help, .. } = setting;
        let (option, variables) = (option(setting), variables(setting).replace(", ", "`, `"));
        let _ = writeln!(out, "| `{option}` | `{variables}` | {default} | {unit} | {help} |");
    }
    out
}

/// `--port`, or `--key-file` for a secret.
pub fn option(setting: &Setting) -> String {
    match setting.kind {
        Kind::Secret => format!("--{}-file", setting.name),
        Kind::Plain | Kind::Switch => format!("--{}", setting.name),
    }
}

fn usage(setting: &Setting) -> String {
    match setting.kind {
        Kind::Secret => format!("{} PATH", option(setting)),
        Kind::Plain => format!("{} {}", option(setting), setting.unit.to_uppercase()),
        Kind::Switch => option(setting),
    }
}

fn variables(setting: &Setting) -> String {
    match setting.kind {
        Kind::Secret => format!("{0}, {0}_FILE", setting.variable),
        Kind::Plain | Kind::Switch => setting.variable.to_owned(),
    }
}

fn default_note(setting: &Setting) -> String {
    match setting.default {
        "" => String::new(),
        text => format!(" (default: {text})"),
    }
}
