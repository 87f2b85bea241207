//! Worlds that live in memory only: `tmp`, `dev`, `sys`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::judge::{Limits, judge};
use super::quota::{Quotas, Shares};
use super::rules::Rules;
use super::{
    Batch, Body, Conditions, Done, Driver, Entry, Event, Fate, Head, Kind, Link, NewBody, NewBytes,
    Numbers, Op, PIECE, Refusal, Row, StoreError, Tag, Usage, Verb, Write,
};
use crate::path::WorldPath;

/// The driver.
pub struct MemoryStore {
    worlds: RwLock<Worlds>,
    limits: Limits,
    rules: Rules,
}

#[derive(Default)]
struct Worlds {
    heads: BTreeMap<WorldPath, Arc<Head>>,
    bytes: u64,
    quotas: Quotas,
    /// What is used of them.
    shares: Shares,
    /// Paths that a write over memory and disk holds; other writes to them wait for the writer.
    locked: HashSet<WorldPath>,
    /// Worlds with a lifetime, by its end.
    expiring: BTreeSet<(i64, WorldPath)>,
}

/// What a write will do to memory, judged and numbered, not yet visible.
pub struct Plan {
    pub heads: HashMap<WorldPath, Option<Arc<Head>>>,
    pub done: Vec<Done>,
    pub events: Vec<(u64, Option<Event>)>,
    bytes: u64,
    shares: Shares,
}

impl MemoryStore {
    pub fn new(max_world: u64, quota: u64, rules: Rules) -> Self {
        let limits = Limits { max_world, quota: Some(quota), memory: true };
        let (quotas, shares) = (rules.quotas.clone(), rules.quotas.unused());
        let worlds = RwLock::new(Worlds { quotas, shares, ..Worlds::default() });
        Self { worlds, limits, rules }
    }

    /// What is used of each quota.
    pub fn shares(&self) -> Shares {
        self.read_lock().shares.clone()
    }

    /// Removes worlds whose time has come, at most `limit`; their events, numbered.
    pub fn expire(
        &self,
        numbers: &Numbers,
        now_us: i64,
        limit: usize,
    ) -> Vec<(u64, Option<Event>)> {
        let mut worlds = self.write_lock();
        let due = worlds.expiring.iter().take_while(|(end, _)| *end <= now_us).take(limit);
        let due: Vec<WorldPath> = due.map(|(_, path)| path.clone()).collect();
        let mut events = Vec::new();
        for path in due.into_iter().filter(|path| !worlds.locked.contains(path)).collect::<Vec<_>>()
        {
            let Some(seq) = numbers.take() else { break };
            let op = Op {
                path,
                verb: Verb::Delete,
                conditions: Conditions::default(),
                link: Some(Link::Expired),
            };
            events.push((seq, Some(Event::delete(seq, &op, now_us))));
            worlds.set(op.path, None);
        }
        events
    }

    /// Judges and numbers `ops` and keeps other writes off their paths until `apply` or `release`.
    /// `Busy` when another such write holds one of them. Deletes are numbered by the ledger.
    pub fn prepare(&self, ops: &[&Op], numbers: &Numbers, now_us: i64) -> Result<Plan, Refused> {
        let mut worlds = self.write_lock();
        let plan = Planner {
            worlds: &worlds,
            numbers,
            now_us,
            limits: &self.limits,
            rules: &self.rules,
            buried: true,
        }
        .plan(ops)?;
        worlds.locked.extend(ops.iter().map(|op| op.path.clone()));
        Ok(plan)
    }

    pub fn apply(&self, ops: &[&Op], plan: Plan) {
        let mut worlds = self.write_lock();
        unlock(&mut worlds, ops);
        worlds.become_true(plan);
    }

    /// Gives up what `prepare` held.
    pub fn release(&self, ops: &[&Op]) {
        unlock(&mut self.write_lock(), ops);
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Worlds> {
        self.worlds.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Worlds> {
        self.worlds.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn unlock(worlds: &mut Worlds, ops: &[&Op]) {
    for op in ops {
        worlds.locked.remove(&op.path);
    }
}

impl Worlds {
    fn become_true(&mut self, plan: Plan) -> Vec<Done> {
        for (path, head) in plan.heads {
            self.set(path, head);
        }
        plan.done
    }

    fn set(&mut self, path: WorldPath, head: Option<Arc<Head>>) {
        let new = head.as_ref().map_or(0, |head| head.size);
        let old = self.heads.get(&path).map_or(0, |head| head.size);
        self.bytes = self.bytes + new - old;
        self.quotas.count(&mut self.shares, &path, old, new);
        if let Some(end) = self.heads.get(&path).and_then(|old| old.expires_us) {
            self.expiring.remove(&(end, path.clone()));
        }
        if let Some(end) = head.as_ref().and_then(|head| head.expires_us) {
            self.expiring.insert((end, path.clone()));
        }
        match head {
            Some(head) => self.heads.insert(path, head),
            None => self.heads.remove(&path),
        };
    }
}

/// A refusal, with the numbers that were taken before it and are given up now.
pub struct Refused {
    pub why: Refusal,
    pub gaps: Vec<u64>,
}

/// Judges ops one after the other, each against what the ones before it leave.
struct Planner<'a> {
    worlds: &'a Worlds,
    numbers: &'a Numbers,
    now_us: i64,
    limits: &'a Limits,
    rules: &'a Rules,
    /// A delete's number and event come with its ledger rows.
    buried: bool,
}

impl Planner<'_> {
    fn plan(&self, ops: &[&Op]) -> Result<Plan, Refused> {
        let mut plan = Plan {
            heads: HashMap::new(),
            done: vec![],
            events: vec![],
            bytes: self.worlds.bytes,
            shares: self.worlds.shares.clone(),
        };
        for op in ops {
            if let Err(why) = self.step(&mut plan, op) {
                let gaps = plan.events.iter().map(|(seq, _)| *seq).collect();
                return Err(Refused { why, gaps });
            }
        }
        Ok(plan)
    }

    fn step(&self, plan: &mut Plan, op: &Op) -> Result<(), Refusal> {
        if self.worlds.locked.contains(&op.path) {
            return Err(Refusal::Busy);
        }
        let current = match plan.heads.get(&op.path) {
            Some(head) => head.clone(),
            None => self.worlds.heads.get(&op.path).cloned(),
        };
        let mut current = current;
        if let Some(expired) = current.take_if(|head| head.has_expired(self.now_us))
            && matches!(op.verb, Verb::Put { .. })
        {
            self.expire(plan, op, &expired)?;
        }
        judge(op, current.as_deref(), plan.bytes, self.limits)?;
        self.rules.quotas.judge(op, current.as_deref(), &plan.shares, true)?;
        match (&op.verb, current) {
            (Verb::Put { body, content_type, headers }, current) => {
                let chunks = merged(vec![], &body.bytes);
                let head = new_head(op, current.as_deref(), body.hash.clone(), chunks, |head| {
                    head.content_type = content_type.clone();
                    head.headers = headers.clone();
                    head.expires_us = self.rules.expiry(&op.path, headers, self.now_us);
                });
                self.keep(plan, op, current, head)
            }
            (Verb::Append { body }, Some(old)) => {
                let head = append(op, &old, body);
                self.keep(plan, op, Some(old), head)
            }
            (Verb::Delete | Verb::Purge, Some(old)) => self.remove(plan, op, &old),
            (_, current) => {
                let (seq, tag) = current.map_or((0, None), |head| (head.seq, Some(head.tag)));
                plan.done.push(Done { created: false, seq, tag });
                Ok(())
            }
        }
    }

    fn keep(
        &self,
        plan: &mut Plan,
        op: &Op,
        old: Option<Arc<Head>>,
        head: Head,
    ) -> Result<(), Refusal> {
        let seq = self.numbers.take().ok_or(Refusal::Overloaded)?;
        let head = Arc::new(Head { seq, modified_us: self.now_us, ..head });
        let before = old.as_ref().map_or(0, |old| old.size);
        plan.bytes = plan.bytes - before + head.size;
        self.rules.quotas.count(&mut plan.shares, &op.path, before, head.size);
        plan.events.push((seq, Some(event(op, &head, old.is_none()))));
        plan.heads.insert(op.path.clone(), Some(head.clone()));
        plan.done.push(Done { created: old.is_none(), seq, tag: Some(head.tag) });
        Ok(())
    }

    /// A world whose time has come goes before another takes its path.
    fn expire(&self, plan: &mut Plan, op: &Op, old: &Head) -> Result<(), Refusal> {
        let seq = self.numbers.take().ok_or(Refusal::Overloaded)?;
        let gone = Op { link: Some(Link::Expired), ..op.clone() };
        plan.events.push((seq, Some(Event::delete(seq, &gone, self.now_us))));
        plan.bytes -= old.size;
        self.rules.quotas.count(&mut plan.shares, &op.path, old.size, 0);
        Ok(())
    }

    fn remove(&self, plan: &mut Plan, op: &Op, old: &Head) -> Result<(), Refusal> {
        let mut seq = 0;
        if !self.buried {
            seq = self.numbers.take().ok_or(Refusal::Overloaded)?;
            plan.events.push((seq, Some(Event::delete(seq, op, self.now_us))));
        }
        plan.bytes -= old.size;
        self.rules.quotas.count(&mut plan.shares, &op.path, old.size, 0);
        plan.heads.insert(op.path.clone(), None);
        plan.done.push(Done { created: false, seq, tag: None });
        Ok(())
    }
}

fn event(op: &Op, head: &Head, created: bool) -> Event {
    let kind = match op.verb {
        Verb::Append { .. } => Kind::Append,
        _ if created => Kind::Create,
        _ => Kind::Replace,
    };
    Event {
        seq: head.seq,
        kind,
        path: head.path.clone(),
        tag: Some(head.tag),
        size: head.size,
        content_type: head.content_type.clone(),
        time_us: head.modified_us,
        writer: None,
        link: op.link.clone(),
    }
}

fn new_head(
    op: &Op,
    current: Option<&Head>,
    hash: Sha256,
    chunks: Vec<Bytes>,
    describe: impl FnOnce(&mut Head),
) -> Head {
    let body_sha256 = hash.clone().finalize().into();
    let mut head = Head {
        path: op.path.clone(),
        seq: 0,
        events: current.map_or(0, |old| old.events) + 1,
        size: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        content_type: current.map_or_else(|| "".into(), |old| old.content_type.clone()),
        headers: current.map_or_else(|| [].into(), |old| old.headers.clone()),
        tag: Tag::Sha256(body_sha256),
        body_sha256,
        modified_us: 0,
        body: match chunks.len() {
            0 => Body::Inline(Bytes::new()),
            1 => Body::Inline(chunks[0].clone()),
            _ => Body::Chunks(Arc::new(chunks)),
        },
        hash_state: Some(hash),
        row: Row::default(),
        fault: None,
        expires_us: current.and_then(|old| old.expires_us),
    };
    describe(&mut head);
    head
}

fn append(op: &Op, old: &Head, body: &NewBody) -> Head {
    let before = match &old.body {
        Body::Inline(bytes) if bytes.is_empty() => vec![],
        Body::Inline(bytes) => vec![bytes.clone()],
        Body::Chunks(chunks) => chunks.to_vec(),
        Body::Object(_) => unreachable!("memory worlds have no objects"),
    };
    let mut hash = old.hash_state.clone().unwrap_or_default();
    for chunk in chunks_of(&body.bytes) {
        hash.update(chunk);
    }
    new_head(op, Some(old), hash, merged(before, &body.bytes), |_| ())
}

/// The events of a plan, with the writer's name on them.
pub fn signed(
    events: &mut Vec<(u64, Option<Event>)>,
    write: &Write,
) -> impl Iterator<Item = (u64, Option<Event>)> {
    events.drain(..).map(|(seq, event)| {
        (seq, event.map(|event| Event { writer: write.writer.clone(), ..event }))
    })
}

fn chunks_of(bytes: &NewBytes) -> &[Bytes] {
    match bytes {
        NewBytes::Chunks(chunks) => chunks,
        NewBytes::Staged(_) => unreachable!("bodies of memory worlds are never staged"),
    }
}

/// Adds `more` behind `chunks`; short chunks are joined so that their number stays size / PIECE.
fn merged(mut chunks: Vec<Bytes>, more: &NewBytes) -> Vec<Bytes> {
    for chunk in chunks_of(more) {
        match chunks.last_mut() {
            Some(last) if last.len() + chunk.len() <= PIECE => {
                let mut joined = BytesMut::with_capacity(last.len() + chunk.len());
                joined.extend_from_slice(last);
                joined.extend_from_slice(chunk);
                *last = joined.freeze();
            }
            _ => chunks.push(chunk.clone()),
        }
    }
    chunks
}

impl Driver for MemoryStore {
    fn commit(&self, writes: &[Write], numbers: &Numbers) -> Batch {
        let mut batch = Batch { answers: vec![], numbers: vec![], fate: Fate::Committed };
        for write in writes {
            let ops: Vec<&Op> = write.ops.iter().collect();
            let mut worlds = self.write_lock();
            let now_us = super::now_us();
            let limits = &self.limits;
            let rules = &self.rules;
            let planner =
                Planner { worlds: &worlds, numbers, now_us, limits, rules, buried: false };
            batch.answers.push(match planner.plan(&ops) {
                Ok(mut plan) => {
                    batch.numbers.extend(signed(&mut plan.events, write));
                    Ok(worlds.become_true(plan))
                }
                Err(refused) => {
                    batch.numbers.extend(refused.gaps.into_iter().map(|seq| (seq, None)));
                    Err(refused.why)
                }
            });
        }
        batch
    }

    fn cached(&self, path: &WorldPath) -> Option<Option<Arc<Head>>> {
        Some(self.read_lock().heads.get(path).cloned())
    }

    fn head(&self, path: &WorldPath) -> Result<Option<Arc<Head>>, StoreError> {
        Ok(self.read_lock().heads.get(path).cloned())
    }

    fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let worlds = self.read_lock();
        let from = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let range = worlds.heads.range::<str, _>((from, Bound::Unbounded));
        let now_us = super::now_us();
        let wanted = range
            .take_while(|(path, _)| path.as_str().starts_with(prefix))
            .filter(|(_, head)| !head.has_expired(now_us));
        Ok(wanted.take(limit).map(|(_, head)| Entry::from(&**head)).collect())
    }

    fn usage(&self) -> Usage {
        let worlds = self.read_lock();
        Usage { worlds: worlds.heads.len() as u64, bytes: worlds.bytes }
    }
}
