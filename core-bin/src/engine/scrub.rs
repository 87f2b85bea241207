//! Checks of the whole store beside its work: those that are asked for, and a slow one for ever.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Counter, Engine};
use crate::audit::anchor::Anchor;
use crate::audit::finding::{Finding, Problem};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::check::{self, Asked, Tally, Told, WorldReport};
use crate::store::sqlite::pages::Pages;
use crate::store::sqlite::whole;
use crate::store::{Refusal, StoreError};

/// The scrub rests so many times as long as it worked: a fifth of one core at the most.
const REST: u32 = 4;

/// The first pass begins so long after a start at the latest.
const FIRST: Duration = Duration::from_secs(60);

/// One thing a check tells.
pub enum Line {
    Finding(Finding),
    Summary(Tally),
}

/// What the scrub did so far, and how it is stopped.
#[derive(Default)]
pub struct Scrub {
    passes: AtomicU64,
    worlds: AtomicU64,
    /// What the last whole pass found.
    problems: AtomicU64,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Scrub {
    pub fn stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// True when it is to stop.
    fn rest(&self, time: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if *stop {
            return true;
        }
        let rested = self.wake.wait_timeout_while(stop, time, |stop| !*stop);
        *rested.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The thread: a pass, then a pause, until it is stopped.
    pub fn run(&self, store: &SqliteStore, pause: Duration, announce: fn(&str)) {
        let mut wait = pause.min(FIRST);
        while !self.rest(wait) {
            match self.pass(store, announce) {
                Ok(tally) => {
                    self.problems.store(tally.findings, Relaxed);
                    self.passes.fetch_add(1, Relaxed);
                }
                Err(_) if *self.stop.lock().unwrap_or_else(PoisonError::into_inner) => return,
                Err(error) => announce(&format!("the scrub could not read on: {error}")),
            }
            wait = pause;
        }
    }

    fn pass(&self, store: &SqliteStore, announce: fn(&str)) -> Result<Tally, StoreError> {
        let paced = Paced { scrub: self, store };
        let asked = Asked { keys: store.keys(), anchors: &[], only: &[] };
        check::run(&paced, &asked, &mut |told| match told {
            Told::Store(finding) => announce(&format!("the scrub found: {finding}")),
            Told::World(world) => {
                self.worlds.fetch_add(1, Relaxed);
                if let Some(finding) = reason(world) {
                    announce(&format!("the scrub found: {finding}"));
                    let reason = finding.to_string();
                    let _ = store.set_aside(&world.path, world.id, world.seq, &reason);
                }
            }
        })
    }
}

/// What a world that is not yet set aside would be set aside for.
fn reason(world: &WorldReport) -> Option<&Finding> {
    world.findings.first().filter(|finding| finding.problem != Problem::SetAside)
}

/// Pages with rests between them.
struct Paced<'a> {
    scrub: &'a Scrub,
    store: &'a SqliteStore,
}

impl Pages for Paced<'_> {
    fn page<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let found = self.store.page(work);
        if self.scrub.rest(began.elapsed() * REST) {
            return Err(StoreError("the core is shutting down".to_owned()));
        }
        found
    }
}

impl Engine {
    /// The line that names the log's newest row.
    pub async fn anchor(&self) -> Result<Anchor, Refusal> {
        self.blocking(|inner| whole::anchor(&*inner.store, inner.store.keys())).await
    }

    /// Checks the whole store and hands over each line; `tell` returns false to end it early.
    pub async fn check(&self, tell: impl Fn(Line) -> bool + Send + 'static) -> Result<(), Refusal> {
        self.blocking(move |inner| {
            let asked = Asked { keys: inner.store.keys(), anchors: &[], only: &[] };
            let heard = std::cell::Cell::new(true);
            let say = |line| heard.set(heard.get() && tell(line));
            let pages = Heard { store: &inner.store, heard: &heard };
            let tally = check::run(&pages, &asked, &mut |told| match told {
                Told::Store(finding) => say(Line::Finding(finding.clone())),
                Told::World(world) => {
                    world.findings.iter().for_each(|finding| say(Line::Finding(finding.clone())));
                }
            })?;
            say(Line::Summary(tally));
            Ok(())
        })
        .await
    }

    /// Worlds that are set aside, with their reasons.
    pub async fn worlds_set_aside(&self) -> Result<Vec<(String, String)>, Refusal> {
        self.blocking(|inner| inner.store.worlds_set_aside()).await
    }

    pub(super) fn scrub_counters(&self) -> Vec<Counter> {
        let scrub = &self.0.scrub;
        let counter = |name, value, kind| Counter { name, value, kind };
        vec![
            counter("scrub_passes", scrub.passes.load(Relaxed), "counter"),
            counter("scrub_worlds", scrub.worlds.load(Relaxed), "counter"),
            counter("scrub_problems", scrub.problems.load(Relaxed), "snapshot"),
            counter("worlds_set_aside", self.0.store.count_set_aside().unwrap_or(0), "snapshot"),
        ]
    }
}

/// Pages for as long as somebody listens to what is found.
struct Heard<'a> {
    store: &'a Arc<SqliteStore>,
    heard: &'a std::cell::Cell<bool>,
}

impl Pages for Heard<'_> {
    fn page<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        if !self.heard.get() {
            return Err(StoreError("nobody listens any more".to_owned()));
        }
        self.store.page(work)
    }
}
