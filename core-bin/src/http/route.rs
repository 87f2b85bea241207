//! Request targets: what a path means before anything is looked up.

use crate::path::{PathError, WorldPath};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    Root,
    Proc(Proc),
    /// The world's path as it stands in the target, still encoded.
    Verify(&'a str),
    Events(&'a str),
    /// The audit of the whole store.
    Whole(Whole),
    /// The world whose kept versions are asked for, still encoded.
    History(&'a str),
    /// Several writes in one commit.
    Batch,
    /// The directory to list, still encoded; empty is all.
    List(&'a str),
    /// The pattern, still encoded.
    Listen(&'a str),
    /// The world's path, still encoded.
    World(&'a str),
    /// `OPTIONS *`
    Server,
    /// Nothing under `/proc/` has this name.
    Unknown,
}

/// The pages under `/proc/` with a fixed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proc {
    Version,
    Worlds,
    Du,
    Df,
    Pool,
    Metrics,
    Health,
    Ready,
}

/// Pages about the audit of the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    Anchor,
    Verify,
    SetAside,
}

/// Methods of the pages that can only be read.
pub const READ_ONLY: &str = "GET, HEAD, OPTIONS";
/// Methods of a world.
pub const WORLD: &str = "GET, HEAD, PUT, POST, DELETE, OPTIONS, PATCH, COPY, MOVE";
/// Methods of a world's history.
pub const HISTORY: &str = "GET, HEAD, POST, OPTIONS";
/// Methods of the batch.
pub const BATCH: &str = "POST, OPTIONS";

impl<'a> Route<'a> {
    /// From the path of a request target, without query.
    pub fn of(path: &'a str) -> Self {
        if path == "/" {
            return Self::Root;
        }
        if path == "*" {
            return Self::Server;
        }
        if let Some(pattern) = path.strip_prefix("/listen/") {
            return Self::Listen(pattern);
        }
        match path.strip_prefix("/proc/") {
            Some("") => Self::World(path),
            Some(name) => Self::proc(name),
            None if path == "/proc" => Self::Unknown,
            None => Self::World(path),
        }
    }

    fn proc(name: &'a str) -> Self {
        let page = match name {
            "version" => Proc::Version,
            "worlds" => Proc::Worlds,
            "du" => Proc::Du,
            "df" => Proc::Df,
            "pool" => Proc::Pool,
            "metrics" => Proc::Metrics,
            "health" => Proc::Health,
            "ready" => Proc::Ready,
            "list" => return Self::List(""),
            "batch" => return Self::Batch,
            _ => {
                if let Some(world) = name.strip_prefix("history/") {
                    return Self::History(world);
                }
                if let Some(directory) = name.strip_prefix("list/") {
                    return Self::List(directory);
                }
                return name.strip_prefix("audit/").map_or(Self::Unknown, Self::audit);
            }
        };
        Self::Proc(page)
    }

    fn audit(rest: &'a str) -> Self {
        match rest {
            "anchor" => return Self::Whole(Whole::Anchor),
            "verify" => return Self::Whole(Whole::Verify),
            "set-aside" => return Self::Whole(Whole::SetAside),
            _ => {}
        }
        if let Some(world) = rest.strip_suffix("/verify") {
            return Self::Verify(world);
        }
        rest.strip_suffix("/events").map_or(Self::Unknown, Self::Events)
    }

    /// The `Allow` text.
    pub fn allow(&self) -> &'static str {
        match self {
            Self::World(_) | Self::Server => WORLD,
            Self::Batch => BATCH,
            Self::History(_) => HISTORY,
            _ => READ_ONLY,
        }
    }
}

/// The world a target names.
pub fn world(encoded: &str) -> Result<WorldPath, PathError> {
    WorldPath::from_target(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_routes() {
        let table = [
            ("/", Route::Root),
            ("*", Route::Server),
            ("/proc/version", Route::Proc(Proc::Version)),
            ("/proc/worlds", Route::Proc(Proc::Worlds)),
            ("/proc/worlds/", Route::Unknown),
            ("/proc", Route::Unknown),
            ("/proc/", Route::World("/proc/")),
            ("/proc%2Fworlds", Route::World("/proc%2Fworlds")),
            ("/proc/audit/home/a/verify", Route::Verify("home/a")),
            ("/proc/audit/home/a/events", Route::Events("home/a")),
            ("/proc/audit//verify", Route::Verify("")),
            ("/proc/audit/verify", Route::Whole(Whole::Verify)),
            ("/proc/audit/home/a/verify/", Route::Unknown),
            ("/proc/audit/home/a", Route::Unknown),
            ("/proc/batch", Route::Batch),
            ("/proc/list", Route::List("")),
            ("/proc/list/home/a/", Route::List("home/a/")),
            ("/listen", Route::World("/listen")),
            ("/listen/", Route::Listen("")),
            ("/listen/a/*", Route::Listen("a/*")),
            ("//proc/version", Route::World("//proc/version")),
        ];
        for (target, route) in table {
            assert_eq!(Route::of(target), route, "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_target_panics(target in "[/a-z%0-9*.\\PC]{0,40}") {
            if let Route::World(encoded) | Route::Verify(encoded) = Route::of(&target) {
                let _ = world(encoded);
            }
        }
    }
}
