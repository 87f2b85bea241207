//! Verbs made of several ops: copy and move, alone or with all below; recursive delete; patch.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::patch::Patch;
use super::{Engine, Upload};
use crate::path::WorldPath;
use crate::store::judge::{Limits, judge};
use crate::store::{
    At, Conditions, Done, Entry, Head, Link, NewBody, Op, OpKey, Refusal, Tags, Verb, Write,
};

/// How often a verb that reads and then writes begins anew when somebody else wrote in between.
const ATTEMPTS: usize = 8;

/// For judging conditions alone.
const UNLIMITED: Limits = Limits { max_world: u64::MAX, quota: None, memory: false };

/// Entries of a listing taken at a time.
const PAGE: usize = 1000;

/// Who asks, and under which key a repetition is recognised.
#[derive(Clone, Default)]
pub struct Caller {
    pub writer: Option<Arc<str>>,
    pub key: Option<OpKey>,
}

/// A copy or a move of one world.
#[derive(Clone)]
pub struct Transfer {
    pub from: WorldPath,
    pub to: WorldPath,
    /// The source goes away.
    pub moves: bool,
    /// RFC 4918 §10.6: false refuses a destination that exists.
    pub overwrite: bool,
    pub from_conditions: Conditions,
    pub to_conditions: Conditions,
}

impl Caller {
    fn write(&self, ops: Vec<Op>) -> Write {
        Write { ops, writer: self.writer.clone(), key: self.key, ..Write::default() }
    }
}

impl Engine {
    /// COPY and MOVE: a `put` on the destination's chain, and for a move the source's delete with
    /// it, in one commit. The first outcome is the destination's.
    pub async fn transfer(
        &self,
        transfer: &Transfer,
        caller: &Caller,
    ) -> Result<Vec<Done>, Refusal> {
        if let Some(done) = self.answered(caller).await? {
            return Ok(done);
        }
        for _ in 0..ATTEMPTS {
            let Some(source) = self.head(&transfer.from).await? else {
                return Err(missing(&transfer.from_conditions));
            };
            let ops = self.transfer_ops(transfer, &source).await?;
            match self.write(caller.write(ops)).await {
                Err(Refusal::Mismatch | Refusal::NotFound) if self.changed(&source).await? => {}
                answer => return answer,
            }
        }
        Err(Refusal::Overloaded)
    }

    async fn transfer_ops(&self, transfer: &Transfer, source: &Head) -> Result<Vec<Op>, Refusal> {
        let mut to_conditions = transfer.to_conditions.clone();
        if !transfer.overwrite {
            to_conditions.if_none_match = Some(Tags { any: true, ..Tags::default() });
        }
        let body = self.copy_body(source, &transfer.to).await?;
        let verb = Verb::Put {
            body,
            content_type: source.content_type.clone(),
            headers: source.headers.clone(),
        };
        let link = Some(Link::From(transfer.from.clone()));
        let put = Op { path: transfer.to.clone(), verb, conditions: to_conditions, link };
        let conditions = Conditions { seq: Some(source.seq), ..transfer.from_conditions.clone() };
        let (verb, link) = if transfer.moves {
            (Verb::Delete, Some(Link::To(transfer.to.clone())))
        } else {
            (Verb::Guard, None)
        };
        Ok(vec![put, Op { path: transfer.from.clone(), verb, conditions, link }])
    }

    /// The bytes of a version as a body of its own: objects are not shared between worlds.
    async fn copy_body(&self, source: &Head, to: &WorldPath) -> Result<NewBody, Refusal> {
        let mut upload: Upload = self.upload(to);
        let mut reader = self.read(source, 0, source.size);
        while let Some(bytes) = reader.next().await? {
            upload.push(bytes).await?;
        }
        upload.finish().await
    }

    /// Copies or moves every world below `from` (a directory: without a final slash) to below
    /// `to`, in one commit. Returns how many worlds that were.
    pub async fn transfer_tree(
        &self,
        from: &str,
        to: &str,
        moves: bool,
        overwrite: bool,
        caller: &Caller,
    ) -> Result<usize, Refusal> {
        if let Some(done) = self.answered(caller).await? {
            return Ok(done.len() / 2);
        }
        for _ in 0..ATTEMPTS {
            let below = self.below(from).await?;
            let mut ops = Vec::with_capacity(2 * below.len());
            let mut sources = Vec::with_capacity(below.len());
            for entry in &below {
                let Some(source) = self.head(&entry.path).await? else { continue };
                let transfer = Transfer {
                    to: moved_path(&entry.path, from, to)?,
                    from: entry.path.clone(),
                    moves,
                    overwrite,
                    from_conditions: Conditions::default(),
                    to_conditions: Conditions::default(),
                };
                ops.extend(self.transfer_ops(&transfer, &source).await?);
                sources.push(source);
            }
            match self.write(caller.write(ops)).await {
                Ok(_) => return Ok(sources.len()),
                Err(Refusal::Mismatch | Refusal::NotFound)
                    if self.any_changed(&sources).await? => {}
                Err(why) => return Err(why),
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Deletes every world below `prefix` (a directory: without a final slash) in one commit.
    pub async fn remove_tree(&self, prefix: &str, caller: &Caller) -> Result<usize, Refusal> {
        if let Some(done) = self.answered(caller).await? {
            return Ok(done.len());
        }
        for _ in 0..ATTEMPTS {
            let delete = |entry: Entry| Op {
                path: entry.path,
                verb: Verb::Delete,
                conditions: Conditions::default(),
                link: None,
            };
            let ops: Vec<Op> = self.below(prefix).await?.into_iter().map(delete).collect();
            match self.write(caller.write(ops)).await {
                Ok(done) => return Ok(done.len()),
                // One of them went away meanwhile.
                Err(Refusal::NotFound) => {}
                Err(why) => return Err(why),
            }
        }
        Err(Refusal::Overloaded)
    }

    /// PATCH: the body is read, changed and put under the condition that nobody else wrote.
    pub async fn patch(
        &self,
        path: &WorldPath,
        patch: &Patch,
        conditions: &Conditions,
        caller: &Caller,
    ) -> Result<Done, Refusal> {
        if let Some(done) = self.answered(caller).await? {
            return done.into_iter().next().ok_or(Refusal::NotFound);
        }
        for _ in 0..ATTEMPTS {
            let Some(head) = self.head(path).await? else { return Err(missing(conditions)) };
            // The caller's own conditions come first: a stale tag is 412, whatever the body is.
            let op = |verb, seq| Op {
                path: path.clone(),
                verb,
                conditions: Conditions { seq, ..conditions.clone() },
                link: None,
            };
            judge(&op(Verb::Guard, None), Some(&head), 0, &UNLIMITED)?;
            let body = patch.apply(&self.whole(&head).await?)?;
            let verb = Verb::Put {
                body: self.taken_in(path, body.into()).await?,
                content_type: head.content_type.clone(),
                headers: head.headers.clone(),
            };
            match self.write(caller.write(vec![op(verb, Some(head.seq))])).await {
                Ok(done) => return done.into_iter().next().ok_or(Refusal::NotFound),
                Err(Refusal::Mismatch) if self.changed(&head).await? => {}
                Err(why) => return Err(why),
            }
        }
        Err(Refusal::Overloaded)
    }

    /// Puts a kept version back, as a new event; none when that version is not kept.
    pub async fn revert(
        &self,
        path: &WorldPath,
        at: At,
        conditions: &Conditions,
        caller: &Caller,
    ) -> Result<Option<Done>, Refusal> {
        if let Some(done) = self.answered(caller).await? {
            return Ok(done.into_iter().next());
        }
        let Some(old) = self.version(path, at).await? else { return Ok(None) };
        if let Some(fault) = &old.fault {
            return Err(Refusal::Quarantined(fault.clone()));
        }
        let body = self.copy_body(&old, path).await?;
        if body.sha256() != old.body_sha256 {
            return Err(Refusal::Quarantined("its body is not the one that was audited".into()));
        }
        let verb = Verb::Put {
            body,
            content_type: old.content_type.clone(),
            headers: old.headers.clone(),
        };
        let op = Op { path: path.clone(), verb, conditions: conditions.clone(), link: None };
        Ok(self.write(caller.write(vec![op])).await?.into_iter().next())
    }

    async fn whole(&self, head: &Head) -> Result<Bytes, Refusal> {
        let mut reader = self.read(head, 0, head.size);
        let mut all = BytesMut::with_capacity(head.size as usize);
        while let Some(bytes) = reader.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    async fn taken_in(&self, path: &WorldPath, bytes: Bytes) -> Result<NewBody, Refusal> {
        let mut upload = self.upload(path);
        upload.push(bytes).await?;
        upload.finish().await
    }

    /// All worlds below a directory; refused when they are more than one commit may hold.
    pub async fn below(&self, prefix: &str) -> Result<Vec<Entry>, Refusal> {
        let settings = self.settings();
        let (max, max_bytes) = (settings.max_group_worlds, settings.max_group_bytes);
        let prefix = format!("{prefix}/");
        let mut found: Vec<Entry> = Vec::new();
        loop {
            let after = found.last().map_or("", |entry| entry.path.as_str()).to_owned();
            let page = self.list(&prefix, &after, PAGE).await?;
            let last = page.len() < PAGE;
            found.extend(page);
            let bytes: u64 = found.iter().map(|entry| entry.size).sum();
            if found.len() > max || bytes > max_bytes {
                let count = found.len();
                return Err(Refusal::TooMany { count, max, max_bytes });
            }
            if last {
                break;
            }
        }
        if found.is_empty() { Err(Refusal::NotFound) } else { Ok(found) }
    }

    async fn changed(&self, head: &Head) -> Result<bool, Refusal> {
        Ok(self.head(&head.path).await?.is_none_or(|now| now.seq != head.seq))
    }

    async fn any_changed(&self, heads: &[Arc<Head>]) -> Result<bool, Refusal> {
        for head in heads {
            if self.changed(head).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was answered to this caller's key before.
    async fn answered(&self, caller: &Caller) -> Result<Option<Vec<Done>>, Refusal> {
        let Some(key) = caller.key.filter(|key| self.0.store.has_answer(key)) else {
            return Ok(None);
        };
        self.blocking(move |inner| inner.store.answered(&key)).await
    }
}

/// Any condition on a world that is not there fails (core.md §2.4).
fn missing(conditions: &Conditions) -> Refusal {
    if conditions.if_match.is_some() { Refusal::NothingToMatch } else { Refusal::NotFound }
}

fn moved_path(path: &WorldPath, from: &str, to: &str) -> Result<WorldPath, Refusal> {
    let rest = path.as_str().strip_prefix(from).unwrap_or_default();
    WorldPath::parse(&format!("{to}{rest}")).map_err(Refusal::BadPath)
}
