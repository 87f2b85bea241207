//! The event hub: numbers in order, one ring, any number of listeners.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::audit::log::{LogKind, LogRow};
use crate::path::WorldPath;
use crate::store::sqlite::SqliteStore;
use crate::store::{Event, Kind, Link, Tag, unhex};

/// Events handed out at a time.
const PAGE: usize = 256;

/// Rows of the log read at a time, in one short transaction (design §3).
const LOG_PAGE: usize = 1000;

/// Replays that read the log at the same time.
const REPLAYS: usize = 4;

/// What a listener wants to hear.
pub trait Filter: Send + Sync + 'static {
    fn wants(&self, path: &WorldPath) -> bool;
    /// Whether any world in memory could be wanted: only such events can be lost by a restart.
    fn may_want_memory(&self) -> bool;
}

/// What a listener is handed.
#[derive(Debug)]
pub enum Signal {
    /// In order of their numbers; never empty.
    Events(Vec<Arc<Event>>),
    /// Something the filter wants may be missing: how many numbers at most, zero where nobody
    /// knows, and why.
    Lag { missed: u64, reason: &'static str },
    /// The engine is closing.
    Closed,
}

/// Puts events in the order of their numbers and keeps the newest.
pub struct Hub {
    /// The last number before this life of the core.
    born: u64,
    ring: Mutex<Ring>,
    published: watch::Sender<u64>,
    replays: Arc<Semaphore>,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    capacity: usize,
    /// Every event above this number is in the ring.
    floor: u64,
    /// The newest memory event that is no longer anywhere.
    memory_floor: u64,
    /// The number to publish next.
    next: u64,
    /// Numbers that are settled, waiting for lower ones; none where one was given up.
    settled: BTreeMap<u64, Option<Event>>,
    closed: bool,
}

impl Hub {
    /// `next` is the first number that this life of the core will give.
    pub fn new(next: u64, capacity: usize) -> Arc<Self> {
        let ring = Ring {
            events: VecDeque::new(),
            capacity: capacity.max(1),
            floor: next - 1,
            memory_floor: next - 1,
            next,
            settled: BTreeMap::new(),
            closed: false,
        };
        let replays = Arc::new(Semaphore::new(REPLAYS));
        let (born, ring, published) = (next - 1, Mutex::new(ring), watch::Sender::new(next - 1));
        Arc::new(Self { born, ring, published, replays })
    }

    /// Settles numbers: each with its event, or given up. Publishes what is now complete.
    pub fn settle(&self, numbers: impl IntoIterator<Item = (u64, Option<Event>)>) {
        let mut ring = self.ring();
        let before = ring.next;
        for (number, event) in numbers {
            ring.settle(number, event);
        }
        if ring.next != before {
            let newest = ring.next - 1;
            drop(ring);
            self.published.send_replace(newest);
        }
    }

    /// Ends all subscriptions.
    pub fn close(&self) {
        self.ring().closed = true;
        self.published.send_modify(|_| ());
    }

    pub fn listeners(&self) -> usize {
        self.published.receiver_count()
    }

    /// The newest number that listeners have been told.
    pub fn newest(&self) -> u64 {
        self.ring().next - 1
    }

    /// What to say to one who was told of memory worlds up to `after`; the ring has what is above
    /// `floor`.
    fn memory_lag(&self, filter: &dyn Filter, after: u64, floor: u64) -> Option<Signal> {
        if after >= floor || !filter.may_want_memory() {
            return None;
        }
        Some(if after < self.born {
            // Between two lives the numbers jump: how far says nothing.
            let reason = "the core started anew, and memory worlds with it";
            Signal::Lag { missed: 0, reason }
        } else {
            let reason = "events of memory worlds are not kept this long";
            Signal::Lag { missed: floor - after, reason }
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Ring {
    fn settle(&mut self, number: u64, event: Option<Event>) {
        // In order, as nearly always: no detour through the map.
        if number == self.next && self.settled.is_empty() {
            self.publish(event);
            return;
        }
        self.settled.insert(number, event);
        while let Some(event) = self.settled.remove(&self.next) {
            self.publish(event);
        }
    }

    fn publish(&mut self, event: Option<Event>) {
        self.next += 1;
        let Some(event) = event else { return };
        self.events.push_back(Arc::new(event));
        if self.events.len() > self.capacity
            && let Some(old) = self.events.pop_front()
        {
            self.floor = old.seq;
            if !old.path.is_durable() {
                self.memory_floor = old.seq;
            }
        }
    }

    /// Events after `cursor` that `filter` wants, and how far that has looked.
    fn after(&self, cursor: u64, filter: &dyn Filter) -> (Vec<Arc<Event>>, u64) {
        let start = self.events.partition_point(|event| event.seq <= cursor);
        let mut found = Vec::new();
        for event in self.events.range(start..) {
            if filter.wants(&event.path) {
                found.push(event.clone());
                if found.len() == PAGE {
                    return (found, event.seq);
                }
            }
        }
        (found, self.next - 1)
    }
}

/// One listener's place in the stream.
pub struct Subscription {
    hub: Arc<Hub>,
    store: Arc<SqliteStore>,
    filter: Arc<dyn Filter>,
    /// The newest number when it began.
    newest: u64,
    /// Everything up to this number has been handed out or is not wanted.
    cursor: u64,
    lag: Option<Signal>,
    /// The loss of memory events up to this number has been told.
    memory_told: u64,
    wake: watch::Receiver<u64>,
    replay: Option<OwnedSemaphorePermit>,
}

impl Subscription {
    pub fn new(
        hub: Arc<Hub>,
        store: Arc<SqliteStore>,
        filter: Arc<dyn Filter>,
        after: Option<u64>,
    ) -> Self {
        let wake = hub.published.subscribe();
        let (newest, memory_floor) = {
            let ring = hub.ring();
            (ring.next - 1, ring.memory_floor)
        };
        let mut lag = None;
        let cursor = match after {
            None => newest,
            Some(after) if after > newest => {
                let reason = "the id is above the newest event";
                lag = Some(Signal::Lag { missed: 0, reason });
                newest
            }
            Some(after) => {
                lag = hub.memory_lag(&*filter, after, memory_floor);
                if after < store.pruned_to() {
                    let reason = "older rows of the log were pruned";
                    lag = Some(Signal::Lag { missed: store.pruned_to() - after, reason });
                }
                after
            }
        };
        let memory_told = memory_floor;
        Self { hub, store, filter, newest, cursor, lag, memory_told, wake, replay: None }
    }

    /// The newest number when it began: without replay, what it tells has a higher one.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The next thing to tell. Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Signal {
        loop {
            if let Some(lag) = self.lag.take() {
                return lag;
            }
            self.wake.borrow_and_update();
            match self.look() {
                Look::Found(signal) => return signal,
                Look::Nothing => {
                    if self.wake.changed().await.is_err() {
                        return Signal::Closed;
                    }
                }
                Look::Behind { floor } => {
                    if let Some(signal) = self.catch_up(floor).await {
                        return signal;
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Look {
        let ring = self.hub.ring();
        if self.cursor < ring.floor {
            return Look::Behind { floor: ring.floor };
        }
        let (found, cursor) = ring.after(self.cursor, &*self.filter);
        let closed = ring.closed;
        drop(ring);
        self.cursor = cursor;
        self.replay = None;
        if !found.is_empty() {
            return Look::Found(Signal::Events(found));
        }
        if closed { Look::Found(Signal::Closed) } else { Look::Nothing }
    }

    /// Reads one page of the log up to `floor`, from where on the ring has everything.
    async fn catch_up(&mut self, floor: u64) -> Option<Signal> {
        if self.replay.is_none() {
            self.replay = self.hub.replays.clone().acquire_owned().await.ok();
        }
        let (store, after) = (self.store.clone(), self.cursor);
        let read = tokio::task::spawn_blocking(move || store.log(after, LOG_PAGE)).await;
        let Ok(Ok(rows)) = read else {
            self.cursor = floor;
            return Some(Signal::Lag { missed: floor - after, reason: "the log cannot be read" });
        };
        // Pruned while it was read: what is missing here is gone for good.
        let pruned = self.store.pruned_to();
        if after < pruned {
            self.cursor = pruned.min(floor);
            let reason = "older rows of the log were pruned";
            return Some(Signal::Lag { missed: pruned - after, reason });
        }
        let memory_floor = self.hub.ring().memory_floor;
        let whole = rows.len() < LOG_PAGE || rows.last().is_none_or(|row| row.seq >= floor);
        let reached = if whole { floor } else { rows.last().map_or(floor, |row| row.seq) };
        let events: Vec<_> = rows
            .iter()
            .filter(|row| row.seq <= floor)
            .filter_map(event_of)
            .filter(|event| self.filter.wants(&event.path))
            .map(Arc::new)
            .collect();
        self.cursor = reached;
        // Memory events that left the ring while this listener was behind are gone for good.
        if whole && memory_floor <= floor {
            let told = after.max(self.memory_told);
            self.lag = self.hub.memory_lag(&*self.filter, told, memory_floor);
            self.memory_told = memory_floor;
        }
        (!events.is_empty()).then_some(Signal::Events(events))
    }
}

enum Look {
    Found(Signal),
    Nothing,
    Behind { floor: u64 },
}

/// A row of the log as listeners saw it when it was new; none for rows nobody is told of.
fn event_of(row: &LogRow) -> Option<Event> {
    let kind = match row.kind {
        LogKind::Create => Kind::Create,
        LogKind::Replace => Kind::Replace,
        LogKind::Append => Kind::Append,
        LogKind::Delete => Kind::Delete,
        LogKind::Key
        | LogKind::DeleteIntent
        | LogKind::Import
        | LogKind::Prune
        | LogKind::Unknown => return None,
    };
    Some(Event {
        seq: row.seq,
        kind,
        path: WorldPath::trusted(&row.path),
        tag: unhex(&row.hmac).map(Tag::Hmac).filter(|_| kind != Kind::Delete),
        size: row.size,
        content_type: row.content_type.as_str().into(),
        time_us: row.time_us,
        writer: (!row.writer.is_empty()).then(|| row.writer.as_str().into()),
        link: Link::from_text(&row.link),
    })
}
