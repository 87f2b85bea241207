//! What waits for the writer: writes, and pieces of uploads, within bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::chores::Chores;
use crate::store::{Done, Object, Refusal, Write};

/// What may wait at the most: ops, and bytes that are in hand.
const QUEUE_OPS: usize = 4096;
const QUEUE_BYTES: usize = 16 << 20;

/// What one commit takes at the most.
pub const BATCH_OPS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// How long a writer waits for room in a full queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often an idle writer looks whether something can be freed.
const IDLE: Duration = Duration::from_secs(1);

pub type Answer = Result<Vec<Done>, Refusal>;

/// The queue's doors' side.
pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    ops: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    writes: VecDeque<Job>,
    stages: VecDeque<Stage>,
    closed: bool,
    /// The writer sleeps: only then it costs a system call to tell it.
    asleep: bool,
}

/// A write that waits, and who waits for it.
pub struct Job {
    pub write: Write,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Housekeeping for an upload.
pub enum Stage {
    Write {
        object: Arc<Object>,
        at: u64,
        chunks: Vec<Bytes>,
        answer: oneshot::Sender<Result<(), Refusal>>,
    },
    Abandon {
        object: Arc<Object>,
    },
}

impl Job {
    pub fn answer(self, done: Answer) {
        answer_all(vec![self], vec![done]);
    }
}

/// Answers jobs in one go, before what they hold is given back: who waits for several of them wakes
/// once and finds them all.
pub fn answer_all(jobs: Vec<Job>, answers: Vec<Answer>) {
    let mut spent = Vec::with_capacity(jobs.len());
    for (Job { write, answer, _room, .. }, done) in jobs.into_iter().zip(answers) {
        // A client that went away does not undo its write.
        let _ = answer.send(done);
        spent.push((write, _room));
    }
}

impl Queue {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            ops: Arc::new(Semaphore::new(QUEUE_OPS)),
            bytes: Arc::new(Semaphore::new(QUEUE_BYTES)),
        })
    }

    /// Hands a write to the writer and waits for its commit.
    pub async fn write(&self, write: Write) -> Answer {
        let bytes = write.in_hand() as usize;
        let room = async {
            let ops =
                self.ops.clone().acquire_many_owned(write.ops.len().min(QUEUE_OPS) as u32).await;
            let held = self.bytes.clone().acquire_many_owned(bytes.min(QUEUE_BYTES) as u32).await;
            Some((ops.ok()?, held.ok()?))
        };
        let Ok(Some(room)) = tokio::time::timeout(PATIENCE, room).await else {
            return Err(Refusal::Overloaded);
        };
        let (answer, wait) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return Err(Refusal::Stopped("the core is shutting down".into()));
            }
            state.writes.push_back(Job { write, bytes, answer, _room: room });
            self.rouse(state);
        }
        wait.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Writes one block of an upload; the receiver tells when it lies in the store.
    pub fn stage(
        &self,
        object: &Arc<Object>,
        at: u64,
        chunks: Vec<Bytes>,
    ) -> oneshot::Receiver<Result<(), Refusal>> {
        let (answer, wait) = oneshot::channel();
        self.push(Stage::Write { object: object.clone(), at, chunks, answer });
        wait
    }

    pub fn abandon(&self, object: Arc<Object>) {
        self.push(Stage::Abandon { object });
    }

    /// Lets the thread end when all that waits is done.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        self.rouse(state);
    }

    /// Ops that wait now.
    pub fn depth(&self) -> usize {
        QUEUE_OPS - self.ops.available_permits()
    }

    fn push(&self, stage: Stage) {
        let mut state = self.state();
        if !state.closed {
            state.stages.push_back(stage);
            self.rouse(state);
        }
    }

    /// Wakes the writer, if it sleeps.
    fn rouse(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The next batch, or an empty one when it is time for a chore; none when the queue has ended.
    pub fn take(&self, chores: &Chores) -> Option<Vec<Job>> {
        let mut state = self.state();
        while state.writes.is_empty() {
            if state.closed && state.stages.is_empty() {
                return None;
            }
            let pause = if state.closed {
                Duration::ZERO
            } else if chores.untidy || !state.stages.is_empty() {
                chores.pause(Instant::now())
            } else {
                IDLE
            };
            if pause.is_zero() {
                break;
            }
            state.asleep = true;
            let (woken, timeout) = self
                .wake
                .wait_timeout(state, pause)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            state = woken;
            state.asleep = false;
            if timeout.timed_out() {
                break;
            }
        }
        Some(state.batch())
    }

    /// The next piece of housekeeping for an upload.
    pub fn take_stage(&self) -> Option<Stage> {
        self.state().stages.pop_front()
    }

    /// What is left of one whose turn is over: it comes before the others, in its order.
    pub fn put_back(&self, stage: Stage) {
        self.state().stages.push_front(stage);
    }

    /// Whether nothing new comes: what waits is done without a pause.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// The next batch, if anybody waits.
    pub fn waiting(&self) -> Vec<Job> {
        self.state().batch()
    }
}

impl State {
    /// What one commit takes of the writes that wait.
    fn batch(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        let (mut ops, mut bytes) = (0, 0);
        while let Some(job) = self.writes.front() {
            ops += job.write.ops.len();
            bytes += job.bytes;
            if !jobs.is_empty() && (ops > BATCH_OPS || bytes > BATCH_BYTES) {
                break;
            }
            jobs.extend(self.writes.pop_front());
        }
        jobs
    }
}
