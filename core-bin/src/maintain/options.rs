//! The command lines of offline work: words, settings from the one table, options of their own.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write;

use super::{Exit, Failure, VERBS, Verb};
use crate::config::{self, help};

/// An option that is no setting.
pub struct Own {
    /// With its dashes.
    pub name: &'static str,
    /// What its value is; none for a switch.
    pub value: Option<&'static str>,
    pub help: &'static str,
}

/// Every command knows it.
const JSON: Own = Own { name: "--json", value: None, help: "JSON Lines, errors too" };

/// What a command line asks a verb to do.
#[derive(Debug, Default)]
pub struct Asked {
    pub settings: HashMap<&'static str, OsString>,
    values: HashMap<&'static str, String>,
    switches: HashSet<&'static str>,
    pub arguments: Vec<String>,
}

impl Asked {
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.switches.contains(name)
    }
}

/// The verb, and what is asked of it; none for its help.
pub fn parse(args: &[OsString]) -> Result<(&'static Verb, Option<Asked>), Failure> {
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        let text = arg.to_str().ok_or_else(|| wrong(format!("{arg:?} is not Unicode")))?;
        texts.push(text);
    }
    let verb = verb(&texts)?;
    let mut asked = Asked::default();
    let mut rest = texts[verb.words.len()..].iter().copied();
    while let Some(text) = rest.next() {
        if text == "--help" || text == "-h" {
            return Ok((verb, None));
        }
        if text == "--" {
            asked.arguments.extend(rest.by_ref().map(str::to_owned));
        } else if text.starts_with("--") {
            option(verb, text, &mut rest, &mut asked)?;
        } else {
            asked.arguments.push(text.to_owned());
        }
    }
    if verb.arguments.is_empty() && !asked.arguments.is_empty() {
        let words = verb.words.join(" ");
        return Err(wrong(format!("{words} takes no argument such as {:?}", asked.arguments[0])));
    }
    Ok((verb, Some(asked)))
}

fn wrong(text: String) -> Failure {
    Failure(Exit::Usage, text)
}

fn verb(texts: &[&str]) -> Result<&'static Verb, Failure> {
    let named = |verb: &&&Verb| texts.len() >= verb.words.len() && texts.starts_with(verb.words);
    if let Some(verb) = VERBS.iter().find(named) {
        return Ok(verb);
    }
    let all: Vec<String> = VERBS.iter().map(|verb| verb.words.join(" ")).collect();
    let asked: Vec<&str> =
        texts.iter().take_while(|text| !text.starts_with('-')).copied().collect();
    let asked = asked.join(" ");
    let near = all.iter().min_by_key(|name| config::distance(&asked, name));
    let hint = match near {
        Some(name) if config::distance(&asked, name) <= 3 => format!("did you mean {name}?"),
        _ => format!("there are: {}", all.join(", ")),
    };
    Err(wrong(format!("{asked:?} is no command; {hint}")))
}

fn option<'a>(
    verb: &'static Verb,
    text: &'a str,
    rest: &mut impl Iterator<Item = &'a str>,
    asked: &mut Asked,
) -> Result<(), Failure> {
    let (name, given) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let mut value = |given: Option<&'a str>| {
        given.or_else(|| rest.next()).ok_or_else(|| wrong(format!("{name} needs a value")))
    };
    for setting in settings(verb) {
        if help::option(setting) == name {
            asked.settings.insert(setting.name, value(given)?.into());
            return Ok(());
        }
    }
    let Some(own) = verb.options.iter().chain([&JSON]).find(|own| own.name == name) else {
        return Err(wrong(format!(
            "{name} is not an option of {}; --help lists them",
            verb.words.join(" ")
        )));
    };
    match (own.value, given) {
        (Some(_), given) => {
            asked.values.insert(own.name, value(given)?.to_owned());
        }
        (None, None) => {
            asked.switches.insert(own.name);
        }
        (None, Some(_)) => return Err(wrong(format!("{name} takes no value"))),
    }
    Ok(())
}

fn settings(verb: &Verb) -> impl Iterator<Item = &'static config::Setting> {
    verb.settings.iter().filter_map(|name| config::setting(name))
}

/// The help of one command.
pub fn usage(verb: &Verb) -> String {
    let Verb { words, arguments, help, options, .. } = verb;
    let space = if arguments.is_empty() { "" } else { " " };
    let mut out = format!(
        "Usage: elastik-core {} [OPTIONS]{space}{arguments}\n\n{help}\n\nOptions:\n",
        words.join(" ")
    );
    for own in options.iter().chain([&JSON]) {
        let value = own.value.map_or(String::new(), |value| format!(" {value}"));
        let _ = writeln!(out, "  {}{value}\n        {}", own.name, own.help);
    }
    for setting in settings(verb) {
        let unit = match setting.kind {
            config::Kind::Secret => "PATH".to_owned(),
            _ => setting.unit.to_uppercase(),
        };
        let (name, variable) = (help::option(setting), setting.variable);
        let _ = writeln!(out, "  {name} {unit}  [{variable}]\n        {}", setting.help);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<(&'static Verb, Option<Asked>), String> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&args).map_err(|Failure(_, text)| text)
    }

    #[test]
    fn words_settings_and_options_are_told_apart() {
        let (verb, asked) =
            parsed("verify --data-dir d --anchor=a --json home/x -- --odd").unwrap();
        let asked = asked.unwrap();
        assert_eq!(verb.words, ["verify"]);
        assert_eq!(asked.settings["data-dir"], "d");
        assert_eq!((asked.value("--anchor"), asked.has("--json")), (Some("a"), true));
        assert_eq!(asked.arguments, ["home/x", "--odd"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, text) in [
            ("verfy", "\"verfy\" is no command; did you mean verify?"),
            ("verify --key secret", "--key is not an option of verify; --help lists them"),
            ("verify --json=1", "--json takes no value"),
            ("verify --anchor", "--anchor needs a value"),
            ("anchor x", "anchor takes no argument such as \"x\""),
        ] {
            assert_eq!(parsed(line).err().as_deref(), Some(text));
        }
    }

    #[test]
    fn every_verb_has_settings_that_exist_and_a_usage() {
        for verb in VERBS {
            assert_eq!(settings(verb).count(), verb.settings.len(), "{:?}", verb.words);
            assert!(usage(verb).contains(verb.words[0]));
        }
    }
}
