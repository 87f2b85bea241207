//! The one commit path: one thread, groups of writes in one commit each.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::chores::Chores;
use super::hub::Hub;
use super::queue::{Answer, BATCH_OPS, Job, Queue, Stage, answer_all};
use super::upload::split_off;
use crate::path::WorldPath;
use crate::store::memory::{MemoryStore, Plan, signed};
use crate::store::sqlite::SqliteStore;
use crate::store::{
    Conditions, Done, Driver, Event, Link, Numbers, Op, PIECE, Refusal, Verb, Write, now_us,
};

/// How often worlds are looked for whose time has come, and how many go in one turn.
const EXPIRY: Duration = Duration::from_secs(1);
const EXPIRED: usize = 1000;

/// What the writer's thread works on.
pub struct Works {
    pub queue: Arc<Queue>,
    pub store: Arc<SqliteStore>,
    pub memory: Arc<MemoryStore>,
    pub numbers: Arc<Numbers>,
    pub hub: Arc<Hub>,
}

impl Works {
    /// The writer's thread: until the queue is closed and empty.
    pub fn run(&self, checkpoints: mpsc::SyncSender<()>) {
        let (mut chores, mut looked) = (Chores::new(Instant::now()), Instant::now());
        while let Some(jobs) = self.queue.take(&chores) {
            self.expire(&mut looked);
            self.serve(jobs, &mut chores);
            self.store.lay_ahead();
            if self.store.wants_checkpoint() {
                // Full means one is asked for already. A failed one stops the store.
                let _ = checkpoints.try_send(());
                let _ = self.store.checkpoint_by_writer();
            }
            if chores.pause(Instant::now()).is_zero() || self.queue.is_closed() {
                self.chore(&mut chores);
            }
        }
    }

    fn serve(&self, jobs: Vec<Job>, chores: &mut Chores) {
        if jobs.iter().any(|job| !job.write.is_staged()) {
            chores.saw_writes(Instant::now());
        }
        self.commit(jobs);
    }

    /// One turn of an upload, and one of freeing; who comes meanwhile waits for one of them.
    fn chore(&self, chores: &mut Chores) {
        let begun = Instant::now();
        let stage = self.queue.take_stage();
        let (idle, turn) = (stage.is_none() && chores.is_quiet(begun), chores.turn(begun));
        if let Some(stage) = stage {
            self.stage(stage, turn);
        }
        let staged = begun.elapsed();
        self.serve(self.queue.waiting(), chores);
        let begun = Instant::now();
        chores.untidy = if idle { self.store.sweep_idly() } else { self.store.sweep(turn) };
        chores.took(staged + begun.elapsed(), Instant::now());
    }

    /// Deletes worlds whose time has come, once a second, a bounded number a turn.
    fn expire(&self, looked: &mut Instant) {
        if looked.elapsed() < EXPIRY {
            return;
        }
        *looked = Instant::now();
        self.store.look_for_old();
        self.hub.settle(self.memory.expire(&self.numbers, now_us(), EXPIRED));
        self.hub.settle(self.store.prune_log(&self.numbers));
        let due = self.store.expired(now_us(), EXPIRED).unwrap_or_default();
        for page in due.chunks(BATCH_OPS) {
            let writes: Vec<Write> = page.iter().map(expiry).collect();
            let batch = self.store.commit(&writes, &self.numbers);
            self.hub.settle(batch.numbers);
        }
    }

    /// So many pieces of an upload's block, the rest when it is its turn again; or its end.
    fn stage(&self, stage: Stage, pieces: usize) {
        let (object, at, mut chunks, answer) = match stage {
            Stage::Write { object, at, chunks, answer } => (object, at, chunks, answer),
            Stage::Abandon { object } => return self.store.abandon(object.id),
        };
        let rest = split_off(&mut chunks, pieces * PIECE);
        let done = self.store.stage(object.id, at, &chunks);
        if done.is_err() || rest.is_empty() {
            let _ = answer.send(done);
        } else {
            let at = at + (pieces * PIECE) as u64;
            self.queue.put_back(Stage::Write { object, at, chunks: rest, answer });
        }
    }

    /// One commit for all that do not touch a memory path another of them holds; those come next.
    fn commit(&self, mut jobs: Vec<Job>) {
        // Memory writes take numbers without a commit: the mark has to stay ahead of them.
        if self.numbers.wanted_mark().is_some() {
            self.store.commit(&[], &self.numbers);
        }
        while !jobs.is_empty() {
            let mut group = Group::default();
            let mut rest = Vec::new();
            for job in jobs {
                match self.prepare(&job.write) {
                    Ok(prepared) => group.push(job, prepared),
                    Err(Blocked::Busy) if !group.jobs.is_empty() => rest.push(job),
                    Err(Blocked::Busy) => job.answer(Err(Refusal::Busy)),
                    Err(Blocked::Settled(known)) => job.answer(known),
                }
            }
            self.finish(group);
            jobs = rest;
        }
    }

    /// Judges and holds the memory part of a write; the durable part stays for the store.
    fn prepare(&self, write: &Write) -> Result<Prepared, Blocked> {
        let memory: Vec<&Op> = write.ops.iter().filter(|op| !op.path.is_durable()).collect();
        if memory.is_empty() {
            return Ok(Prepared { durable: write.clone(), plan: None });
        }
        // A keyed write's memory part must not become true twice.
        if let Some(done) = self.answered(write)? {
            return Err(Blocked::Settled(Ok(done)));
        }
        let plan = match self.memory.prepare(&memory, &self.numbers, now_us()) {
            Ok(plan) => plan,
            Err(refused) => {
                self.hub.settle(refused.gaps.into_iter().map(|number| (number, None)));
                return Err(match refused.why {
                    Refusal::Busy => Blocked::Busy,
                    // Even memory needs numbers, and the mark on disk could not be moved.
                    Refusal::Overloaded => Blocked::Settled(Err(self.no_numbers())),
                    why => Blocked::Settled(Err(why)),
                });
            }
        };
        let ops = write.ops.iter().filter_map(|op| self.durable_part(op)).collect();
        let known = known(write, &plan.done);
        Ok(Prepared { durable: Write { ops, known, ..write.clone() }, plan: Some(plan) })
    }

    fn no_numbers(&self) -> Refusal {
        self.store.stopped().map_or(Refusal::DiskFull, Refusal::Stopped)
    }

    fn answered(&self, write: &Write) -> Result<Option<Vec<Done>>, Blocked> {
        let Some(key) = write.key.as_ref().filter(|key| self.store.has_answer(key)) else {
            return Ok(None);
        };
        self.store.answered(key).map_err(|error| Blocked::Settled(Err(error.into())))
    }

    /// A durable op as it is; a memory world's delete as its two ledger rows; else nothing.
    fn durable_part(&self, op: &Op) -> Option<Op> {
        if op.path.is_durable() {
            return Some(op.clone());
        }
        if !op.verb.removes() {
            return None;
        }
        let head = self.memory.head(&op.path).ok().flatten()?;
        let verb = Verb::Bury { body_sha256: head.body_sha256 };
        Some(Op { verb, conditions: Default::default(), ..op.clone() })
    }

    fn finish(&self, group: Group) {
        let Group { jobs, durable, plans } = group;
        if jobs.is_empty() {
            return;
        }
        let batch = self.store.commit(&durable, &self.numbers);
        let mut numbers = batch.numbers;
        let mut answers = Vec::with_capacity(jobs.len());
        for ((job, plan), done) in jobs.iter().zip(plans).zip(batch.answers) {
            answers.push(match plan {
                None => done,
                Some(plan) => self.finish_memory(&job.write, plan, done, &mut numbers),
            });
        }
        self.hub.settle(numbers);
        answer_all(jobs, answers);
    }

    /// The memory part becomes true if the durable part did.
    fn finish_memory(
        &self,
        write: &Write,
        mut plan: Plan,
        durable: Answer,
        numbers: &mut Vec<(u64, Option<Event>)>,
    ) -> Answer {
        let memory: Vec<&Op> = write.ops.iter().filter(|op| !op.path.is_durable()).collect();
        let events: Vec<_> = signed(&mut plan.events, write).collect();
        match durable {
            Ok(done) => {
                numbers.extend(events);
                self.memory.apply(&memory, plan);
                Ok(done)
            }
            Err(why) => {
                numbers.extend(events.into_iter().map(|(number, _)| (number, None)));
                self.memory.release(&memory);
                Err(why)
            }
        }
    }
}

/// The delete of a world that nobody has written since it was found expired.
fn expiry((path, seq): &(WorldPath, u64)) -> Write {
    let op = Op {
        path: path.clone(),
        verb: Verb::Delete,
        conditions: Conditions { seq: Some(*seq), ..Conditions::default() },
        link: Some(Link::Expired),
    };
    Write { ops: vec![op], ..Write::default() }
}

/// The thread that checkpoints beside the writer; it ends when the writer's end of the channel does.
pub struct Checkpoints {
    store: Arc<SqliteStore>,
    asked: mpsc::Receiver<()>,
    ask: mpsc::SyncSender<()>,
}

impl Checkpoints {
    pub fn new(store: Arc<SqliteStore>) -> Self {
        let (ask, asked) = mpsc::sync_channel(1);
        Self { store, asked, ask }
    }

    pub fn waker(&self) -> mpsc::SyncSender<()> {
        self.ask.clone()
    }

    pub fn run(self) {
        let Self { store, asked, ask } = self;
        drop(ask);
        // Nobody waits for it, and the writer needs the processor more. On Linux it is this thread's.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::nice(10);
        while asked.recv().is_ok() {
            let _ = store.checkpoint();
        }
    }
}

/// The memory ops' outcomes and their places; a delete's is that of its ledger rows.
fn known(write: &Write, done: &[Done]) -> Vec<(usize, Done)> {
    let memory = write.ops.iter().enumerate().filter(|(_, op)| !op.path.is_durable());
    memory
        .zip(done)
        .filter(|((_, op), _)| !op.verb.removes())
        .map(|((place, _), done)| (place, done.clone()))
        .collect()
}

struct Prepared {
    durable: Write,
    plan: Option<Plan>,
}

enum Blocked {
    Busy,
    /// Answered already: refused, or done before under the same key.
    Settled(Answer),
}

/// Writes that are committed together.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    durable: Vec<Write>,
    plans: Vec<Option<Plan>>,
}

impl Group {
    fn push(&mut self, job: Job, prepared: Prepared) {
        self.jobs.push(job);
        self.durable.push(prepared.durable);
        self.plans.push(prepared.plan);
    }
}

/// True when a write needs no disk: it goes to memory at once.
pub fn memory_only(write: &Write) -> bool {
    write.key.is_none() && write.ops.iter().all(|op| !op.path.is_durable() && !op.verb.removes())
}
