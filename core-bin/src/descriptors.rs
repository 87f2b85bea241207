//! Descriptors: how many, and those that were inherited (one to watch, a manager's sockets).

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::process::{Resource, getrlimit, setrlimit};

/// The first descriptor that a service manager hands over (sd_listen_fds(3)).
const FIRST_SOCKET: i32 = 3;

/// Lets the process have as many descriptors as it may: each connection takes one, and shells
/// often allow 1,024 only.
pub fn allow_many() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, fewer connections fit.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Takes over a descriptor by its number; refused when it is not open.
pub fn inherited(fd: i32) -> Result<OwnedFd, String> {
    // SAFETY: the number is the caller's word that this descriptor was inherited for us, so nobody
    // else in this process owns it. One that is not open is given up without being closed.
    #[allow(unsafe_code)]
    let file = unsafe { File::from_raw_fd(fd) };
    match file.metadata() {
        Ok(_) => Ok(file.into()),
        Err(error) => {
            std::mem::forget(file);
            Err(format!("file descriptor {fd}: {error}"))
        }
    }
}

/// The sockets of `LISTEN_FDS`, when they are meant for this process.
pub fn sockets(env: impl Fn(&str) -> Option<String>) -> Result<Vec<OwnedFd>, String> {
    let for_us = env("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let Some(count) = env("LISTEN_FDS").filter(|_| for_us) else { return Ok(Vec::new()) };
    let count: i32 =
        count.parse().map_err(|_| format!("LISTEN_FDS must be a count; got {count:?}"))?;
    (FIRST_SOCKET..FIRST_SOCKET.saturating_add(count)).map(inherited).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_descriptor_is_refused() {
        assert!(inherited(1_000_000).is_err());
    }

    #[test]
    fn sockets_are_taken_only_when_they_are_ours() {
        let pid = std::process::id().to_string();
        let env = |pid: &str, fds: &str| {
            let (pid, fds) = (pid.to_owned(), fds.to_owned());
            move |name: &str| Some(if name == "LISTEN_PID" { pid.clone() } else { fds.clone() })
        };
        assert!(sockets(|_| None).unwrap().is_empty());
        assert!(sockets(env("1", "3")).unwrap().is_empty());
        assert!(sockets(env(&pid, "0")).unwrap().is_empty());
        assert!(sockets(env(&pid, "x")).is_err());
    }
}
