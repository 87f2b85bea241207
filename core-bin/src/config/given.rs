//! Collects what was given on the command line, in the environment and in secret files.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use super::help;
use super::table::{Kind, SETTINGS, Setting};

/// A value and where it came from, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub source: String,
    pub text: String,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Run(HashMap<&'static str, OsString>),
    Help,
    HelpMarkdown,
    Version,
}

/// Reads the arguments after the program's name; the error is for a person.
pub fn arguments(args: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut flags = HashMap::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str() else {
            return Err(format!("{arg:?} is not a known option"));
        };
        match text {
            "--help" | "-h" => return Ok(Asked::Help),
            "--help-markdown" => return Ok(Asked::HelpMarkdown),
            "--version" | "-V" => return Ok(Asked::Version),
            _ => {}
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text, None),
        };
        let setting = find(name)?;
        let value = match (setting.kind, value) {
            (Kind::Switch, None) => "1".into(),
            (Kind::Switch, Some(_)) => return Err(format!("{name} takes no value")),
            (_, Some(value)) => value,
            (_, None) => args.next().ok_or_else(|| format!("{name} needs a value"))?,
        };
        flags.insert(setting.name, value);
    }
    Ok(Asked::Run(flags))
}

fn find(name: &str) -> Result<&'static Setting, String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| help::option(setting) == name) {
        return Ok(setting);
    }
    if let Some(secret) = SETTINGS.iter().find(|s| Some(s.name) == name.strip_prefix("--")) {
        return Err(format!(
            "{name} does not exist, since others can read a command line: use {} or {name}-file",
            secret.variable
        ));
    }
    let nearest = SETTINGS.iter().map(help::option).min_by_key(|option| distance(name, option));
    match nearest {
        Some(option) if distance(name, &option) <= 3 => {
            Err(format!("{name} is not a known option; did you mean {option}?"))
        }
        _ => Err(format!("{name} is not a known option; --help lists them")),
    }
}

/// Edit distance between two short texts.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let step = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[b.len()]
}

/// The value of a setting: the flag's, else the variable's; empty variables count as given.
pub fn value(
    setting: &Setting,
    flags: &HashMap<&'static str, OsString>,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Given>, String> {
    let flag = flags.get(setting.name).map(|text| (help::option(setting), text.clone()));
    if setting.kind != Kind::Secret {
        let variable = || env(setting.variable).map(|text| (setting.variable.to_owned(), text));
        return flag.or_else(variable).map(|(source, text)| unicode(source, text)).transpose();
    }
    let file_variable = format!("{}_FILE", setting.variable);
    let file = flag.or_else(|| env(&file_variable).map(|path| (file_variable.clone(), path)));
    let direct = env(setting.variable);
    match (file, direct) {
        (Some((source, _)), Some(text)) if source == file_variable && !text.is_empty() => {
            Err(format!("{} and {file_variable} are both set; keep one", setting.variable))
        }
        (Some((source, path)), _) => secret_file(setting, &source, path.as_ref()).map(Some),
        (None, Some(text)) => match text.into_string() {
            Ok(text) => Ok(Some(Given { source: setting.variable.to_owned(), text })),
            Err(_) => Err(not_unicode(setting.variable)),
        },
        (None, None) => Ok(None),
    }
}

fn unicode(source: String, text: OsString) -> Result<Given, String> {
    match text.into_string() {
        Ok(text) => Ok(Given { source, text }),
        Err(_) => Err(not_unicode(&source)),
    }
}

fn not_unicode(source: &str) -> String {
    format!("{source} is invalid: value is not valid Unicode")
}

/// Reads a secret; exactly one newline at its end is the editor's, not the secret's.
pub fn secret_file(setting: &Setting, source: &str, path: &Path) -> Result<Given, String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("{source}: cannot read {}: {error}", path.display()))?;
    let mut text = String::from_utf8(bytes).map_err(|_| not_unicode(source))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.trim().is_empty() {
        return Err(format!("{source}: {} holds no {}", path.display(), setting.name));
    }
    Ok(Given { source: source.to_owned(), text })
}
