//! Turns given texts into values; what is wrong is refused by the name it was given under.

use std::path::Path;
use std::time::Duration;

use super::given::Given;

/// Digits only: no sign, no blanks, no suffix.
fn digits(given: &Given, what: &str) -> Result<u64, String> {
    let Given { source, text } = given;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(number) if plain && i64::try_from(number).is_ok() => Ok(number),
        _ => Err(format!("{source} must be a non-negative integer {what}; got {text:?}")),
    }
}

/// A number of bytes; empty is the default, zero means zero.
pub fn bytes(given: Option<&Given>, default: u64) -> Result<u64, String> {
    match given {
        Some(given) if !given.text.is_empty() => digits(given, "byte count"),
        _ => Ok(default),
    }
}

/// A number of bytes; empty and zero mean no limit.
pub fn quota(given: Option<&Given>) -> Result<Option<u64>, String> {
    bytes(given, 0).map(|number| (number > 0).then_some(number))
}

/// A number of things; empty and zero mean the default.
pub fn count(given: Option<&Given>, default: usize) -> Result<usize, String> {
    let number = match given {
        Some(given) if !given.text.is_empty() => digits(given, "count")?,
        _ => 0,
    };
    match usize::try_from(number) {
        Ok(0) | Err(_) => Ok(default),
        Ok(number) => Ok(number),
    }
}

pub fn port(given: Option<&Given>, default: u16) -> Result<u16, String> {
    let Some(Given { source, text }) = given else { return Ok(default) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(format!("{source} must be a TCP port number; got {text:?}")),
    }
}

/// Seconds, with a fraction if need be; empty is the default.
pub fn seconds(given: Option<&Given>, default: Duration) -> Result<Duration, String> {
    let Some(Given { source, text }) = given else { return Ok(default) };
    if text.is_empty() {
        return Ok(default);
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(number) if plain && number <= 1e9 => Ok(Duration::from_secs_f64(number)),
        _ => Err(format!("{source} must be a number of seconds; got {text:?}")),
    }
}

/// As `seconds`, where zero switches the thing off.
pub fn timeout(given: Option<&Given>, default: Duration) -> Result<Option<Duration>, String> {
    seconds(given, default).map(|time| (!time.is_zero()).then_some(time))
}

pub fn descriptor(given: Option<&Given>) -> Result<Option<i32>, String> {
    let Some(Given { source, text }) = given else { return Ok(None) };
    match text.parse::<i32>() {
        _ if text.is_empty() => Ok(None),
        Ok(fd) if fd >= 0 => Ok(Some(fd)),
        _ => Err(format!("{source} must be a file descriptor; got {text:?}")),
    }
}

pub fn switch(given: Option<&Given>) -> Result<bool, String> {
    match given.map(|given| given.text.as_str()) {
        None | Some("" | "0") => Ok(false),
        Some("1") => Ok(true),
        Some(text) => {
            let source = given.map_or("", |given| &given.source);
            Err(format!("{source} must be 0 or 1; got {text:?}"))
        }
    }
}

/// Names by commas, trimmed, in lower case.
pub fn list(given: Option<&Given>) -> Vec<String> {
    let text = given.map_or("", |given| &given.text);
    let names = text.split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// The keys in a directory, a file each; one newline at a file's end is not the key's.
pub fn keyring(given: &Given) -> Result<Vec<Vec<u8>>, String> {
    let Given { source, text } = given;
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        format!("{source}: cannot read {}: {error}", path.display())
    };
    let directory = Path::new(text);
    let entries = std::fs::read_dir(directory).map_err(|error| failed(directory, &error))?;
    let mut keys = vec![];
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, &error))?.path();
        // An editor's and a file manager's own files are no keys.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || !path.is_file() {
            continue;
        }
        let mut key = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
        if key.ends_with(b"\n") {
            key.pop();
        }
        if key.is_empty() {
            return Err(format!("{source}: {} is empty", path.display()));
        }
        keys.push(key);
    }
    Ok(keys)
}
