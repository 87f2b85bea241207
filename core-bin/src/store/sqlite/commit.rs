//! One commit for many writes: how it is tried, what is tried again, and what stops the store.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use super::batch::{Stop, Transaction};
use super::trouble::{Trouble, trouble};
use super::{SqliteStore, Writer};
use crate::path::WorldPath;
use crate::store::{Batch, Done, Event, Fate, Numbers, Refusal, Verb, Write, now_us};

/// How one transaction ended.
enum Outcome {
    Committed { answers: Vec<Result<Vec<Done>, Refusal>>, taken: Taken },
    Failed { why: Refusal, singly: bool, gaps: Vec<u64> },
    Unknown { why: String, gaps: Vec<u64> },
}

type Taken = Vec<(u64, Option<Event>)>;

impl SqliteStore {
    /// All writes in one commit, if that can be; else each by itself.
    pub(super) fn commit_all(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        let mut batch = Batch { answers: vec![], numbers: vec![], fate: Fate::Committed };
        if let Some(why) = self.refusing() {
            batch.answers = refuse_all(writes.len(), &Refusal::Stopped(why));
            batch.fate = Fate::RolledBack;
            return batch;
        }
        if self.reserve.is_spent() && !writes.iter().all(makes_room) {
            return self.commit_on_full_disk(writes, numbers);
        }
        let mut writer = self.writer();
        match self.transact(&mut writer, writes, numbers) {
            Outcome::Committed { answers, taken } => {
                batch.answers = answers;
                batch.numbers = taken;
            }
            // Only the write that fails again, alone, is the one that is refused.
            Outcome::Failed { singly: true, gaps, .. } if writes.len() > 1 => {
                batch.numbers.extend(given_up(gaps));
                drop(writer);
                for write in writes {
                    let single = self.commit_all(std::slice::from_ref(write), numbers);
                    batch.answers.extend(single.answers);
                    batch.numbers.extend(single.numbers);
                    if matches!(single.fate, Fate::Unknown(_)) {
                        batch.fate = single.fate;
                    }
                }
            }
            // What makes room may use the room that was kept back for it.
            Outcome::Failed { why: Refusal::DiskFull, gaps, .. }
                if writes.iter().all(makes_room) && self.reserve.give_up() =>
            {
                drop(writer);
                let again = self.commit_all(writes, numbers);
                return Batch { numbers: given_up(gaps).chain(again.numbers).collect(), ..again };
            }
            Outcome::Failed { why, gaps, .. } => {
                batch.numbers.extend(given_up(gaps));
                batch.answers = refuse_all(writes.len(), &why);
                batch.fate = Fate::RolledBack;
            }
            Outcome::Unknown { why, gaps } => {
                batch.numbers.extend(given_up(gaps));
                batch.answers = refuse_all(writes.len(), &Refusal::OutcomeUnknown);
                self.halt.stop(&why);
                batch.fate = Fate::Unknown(why);
            }
        }
        batch
    }

    /// Only what makes room takes place; all else is refused at once.
    fn commit_on_full_disk(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        let removing: Vec<Write> =
            writes.iter().filter(|write| makes_room(write)).cloned().collect();
        let mut batch = self.commit_all(&removing, numbers);
        let mut removed = batch.answers.into_iter();
        let answer = |write| {
            let full = || Err(Refusal::DiskFull);
            if makes_room(write) { removed.next().unwrap_or_else(full) } else { full() }
        };
        batch.answers = writes.iter().map(answer).collect();
        batch
    }

    /// Runs the writes in one transaction. A full disk, or a write that was refused half-way, fails
    /// them all: the caller tries them singly.
    fn transact(&self, writer: &mut Writer, writes: &[Write], numbers: &Numbers) -> Outcome {
        if let Err(error) = writer.db.execute_batch("BEGIN IMMEDIATE") {
            return self.failed(&error, vec![]);
        }
        let cached = |path: &WorldPath| self.cache.get(path);
        let mut tx = Transaction {
            db: &writer.db,
            key: &self.key,
            objects: &self.objects,
            numbers,
            limits: &self.limits,
            rules: &self.rules,
            now_us: now_us(),
            row: writer.row.clone(),
            heads: HashMap::new(),
            logged: 0,
            taken: vec![],
            known: &self.known,
            keyed: HashMap::new(),
            litter: false,
            cached: &cached,
        };
        let mark = numbers.wanted_mark();
        tx.row.high_water = mark.unwrap_or(tx.row.high_water);
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            match tx.write(write) {
                Ok(done) => answers.push(Ok(done)),
                Err(Stop::Refused(refusal)) => answers.push(Err(refusal)),
                Err(Stop::Sql(error)) => {
                    let taken = std::mem::take(&mut tx.taken);
                    let _ = writer.db.execute_batch("ROLLBACK");
                    return self.failed(&error, taken);
                }
                Err(Stop::Spoiled(why)) => {
                    let gaps = gaps(std::mem::take(&mut tx.taken));
                    let _ = writer.db.execute_batch("ROLLBACK");
                    return Outcome::Failed { why, singly: true, gaps };
                }
            }
        }
        let sealed = tx.seal();
        let Transaction { row, heads, taken, keyed, litter, .. } = tx;
        if let Err(error) = sealed {
            let _ = writer.db.execute_batch("ROLLBACK");
            return self.failed(&error, taken);
        }
        // What is refused grows nothing: it keeps its own reason on a full disk too.
        let grows = !taken.is_empty() && !writes.iter().all(makes_room);
        if grows && !self.has_room(&writer.db, writes.iter().map(Write::in_hand).sum()) {
            let _ = writer.db.execute_batch("ROLLBACK");
            return Outcome::Failed { why: Refusal::DiskFull, singly: true, gaps: gaps(taken) };
        }
        if let Err(error) = writer.db.execute_batch("COMMIT") {
            let certain = matches!(trouble(&error), Trouble::Full | Trouble::Busy);
            let _ = writer.db.execute_batch("ROLLBACK");
            return if certain {
                self.failed(&error, taken)
            } else {
                Outcome::Unknown { why: format!("a commit failed: {error}"), gaps: gaps(taken) }
            };
        }
        writer.row = row;
        writer.sweep.pending |= litter;
        self.known.add(keyed);
        numbers.allow(writer.row.high_water);
        self.worlds.store(writer.row.worlds, Relaxed);
        self.bytes.store(writer.row.bytes, Relaxed);
        if !self.rules.quotas.is_empty() {
            let mut shares = self.shares.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            shares.clone_from(&writer.row.shares);
        }
        for (path, head) in &heads {
            self.cache.replace(path, head.as_ref());
        }
        Outcome::Committed { answers, taken }
    }

    /// Nothing took place, and that is certain: the transaction was rolled back.
    fn failed(&self, error: &rusqlite::Error, taken: Taken) -> Outcome {
        let why = self.refusal(error);
        let singly = why == Refusal::DiskFull;
        Outcome::Failed { why, singly, gaps: gaps(taken) }
    }

    /// What an error inside a transaction is to those who asked for it. A page that does not hold
    /// and a disk that fails are the store's affair: they stop durable writes.
    pub(super) fn refusal(&self, error: &rusqlite::Error) -> Refusal {
        match trouble(error) {
            Trouble::Full => Refusal::DiskFull,
            Trouble::Busy => Refusal::Busy,
            Trouble::Damaged | Trouble::Disk => Refusal::Stopped(self.halt.by(error)),
            Trouble::Row => Refusal::Storage(error.to_string().into()),
        }
    }
}

/// Whether a write leaves less on the disk than there was.
fn makes_room(write: &Write) -> bool {
    write.ops.iter().any(|op| op.verb.removes())
        && write.ops.iter().all(|op| op.verb.removes() || matches!(op.verb, Verb::Guard))
}

fn refuse_all(count: usize, why: &Refusal) -> Vec<Result<Vec<Done>, Refusal>> {
    (0..count).map(|_| Err(why.clone())).collect()
}

fn given_up(gaps: Vec<u64>) -> impl Iterator<Item = (u64, Option<Event>)> {
    gaps.into_iter().map(|seq| (seq, None))
}

fn gaps(taken: Taken) -> Vec<u64> {
    taken.into_iter().map(|(seq, _)| seq).collect()
}
