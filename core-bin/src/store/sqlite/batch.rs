//! One transaction of the writer: judges each write and lays down its rows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::answers::Known;
use super::events::Draft;
use super::objects::{self, Objects};
use super::schema::StoreRow;
use super::{chains, rows};
use crate::audit::keys::AuditKey;
use crate::audit::log::LogKind;
use crate::path::WorldPath;
use crate::store::judge::{Limits, judge};
use crate::store::rules::Rules;
use crate::store::{
    Body, Conditions, Done, Event, Hash, Head, Headers, INLINE_MAX, Kind, Link, NewBody, NewBytes,
    Numbers, Op, OpKey, Refusal, Row, Tag, Verb, Write,
};

/// Kinds of things that wait to be freed, as the trash table has them.
pub const TRASH_OBJECT: i64 = 1;
pub const TRASH_CHAIN: i64 = 2;
/// An object whose bytes are overwritten before their pages are free.
pub const TRASH_ERASED: i64 = 3;

/// Why a write did not go through: the caller's affair, or the database's.
#[derive(Debug)]
pub enum Stop {
    Refused(Refusal),
    /// Refused after some of its rows were laid: nothing of this transaction may be committed.
    Spoiled(Refusal),
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

pub type Step<T> = Result<T, Stop>;

/// The open transaction, with what it will make true.
pub struct Transaction<'a> {
    pub db: &'a Connection,
    pub key: &'a AuditKey,
    pub objects: &'a Objects,
    pub numbers: &'a Numbers,
    pub limits: &'a Limits,
    pub rules: &'a Rules,
    pub now_us: i64,
    /// The store's row as it will be.
    pub row: StoreRow,
    /// Worlds as they will be; none where one is gone.
    pub heads: HashMap<WorldPath, Option<Arc<Head>>>,
    /// Rows that were added to the log.
    pub logged: u64,
    /// Every number taken, with its event.
    pub taken: Vec<(u64, Option<Event>)>,
    pub known: &'a Known,
    /// Where the outcomes of this transaction's keyed writes lie.
    pub keyed: HashMap<OpKey, i64>,
    /// Whether something was thrown away, to be freed later.
    pub litter: bool,
    /// Whether a world is known without asking the database.
    pub cached: &'a dyn Fn(&WorldPath) -> Option<Arc<Head>>,
}

impl Transaction<'_> {
    /// All ops of a write, or none of them.
    pub fn write(&mut self, write: &Write) -> Step<Vec<Done>> {
        if let Some(done) = self.answered(write)? {
            return Ok(done);
        }
        let logged = self.logged;
        let kept = (write.ops.len() > 1).then(|| (self.row.clone(), self.heads.clone()));
        if kept.is_some() {
            self.db.execute_batch("SAVEPOINT w")?;
        }
        let (first, laid) = (self.taken.len(), self.db.total_changes());
        match (self.ops(write), kept) {
            (Ok(done), kept) => {
                if kept.is_some() {
                    self.db.execute_batch("RELEASE w")?;
                }
                let done = with_known(write, done);
                self.remember(write, &done)?;
                Ok(done)
            }
            (Err(stop), kept) => {
                for (_, event) in &mut self.taken[first..] {
                    *event = None;
                }
                if let Some((row, heads)) = kept {
                    (self.row, self.heads, self.logged) = (row, heads, logged);
                    self.db.execute_batch("ROLLBACK TO w; RELEASE w")?;
                    return Err(stop);
                }
                match stop {
                    Stop::Refused(why) if self.db.total_changes() != laid => {
                        Err(Stop::Spoiled(why))
                    }
                    stop => Err(stop),
                }
            }
        }
    }

    fn ops(&mut self, write: &Write) -> Step<Vec<Done>> {
        write.ops.iter().map(|op| self.op(op, write)).collect()
    }

    fn op(&mut self, op: &Op, write: &Write) -> Step<Done> {
        let mut current = self.current(&op.path)?;
        let sweeps = op.link == Some(Link::Expired);
        if let Some(expired) = current.take_if(|head| !sweeps && head.has_expired(self.now_us))
            && matches!(op.verb, Verb::Put { .. })
        {
            self.expire(op, write, &expired)?;
        }
        judge(op, current.as_deref(), self.row.bytes, self.limits)?;
        self.rules.quotas.judge(op, current.as_deref(), &self.row.shares, false)?;
        match (&op.verb, current) {
            (Verb::Put { body, content_type, headers }, current) => {
                self.put(op, write, current, body, content_type, headers)
            }
            (Verb::Append { body }, Some(old)) => self.append(op, write, &old, body),
            (Verb::Delete | Verb::Purge, Some(_)) if op.path.is_ledger() => {
                Err(Refusal::Protected.into())
            }
            (Verb::Delete | Verb::Purge, Some(old)) => self.delete(op, write, &old),
            (Verb::Bury { body_sha256 }, _) => {
                let seq = self.bury(op, write, *body_sha256)?;
                Ok(Done { created: false, seq, tag: None })
            }
            (_, current) => {
                let (seq, tag) = current.map_or((0, None), |head| (head.seq, Some(head.tag)));
                Ok(Done { created: false, seq, tag })
            }
        }
    }

    /// The world as this transaction leaves it so far.
    pub(super) fn current(&self, path: &WorldPath) -> Step<Option<Arc<Head>>> {
        if let Some(head) = self.heads.get(path) {
            return Ok(head.clone());
        }
        if let Some(head) = (self.cached)(path) {
            return Ok(Some(head));
        }
        Ok(rows::world(self.db, self.objects, path.as_str())?.map(Arc::new))
    }

    fn put(
        &mut self,
        op: &Op,
        write: &Write,
        current: Option<Arc<Head>>,
        body: &NewBody,
        content_type: &Arc<str>,
        headers: &Headers,
    ) -> Step<Done> {
        let (stored, tail) = self.store_body(body)?;
        if let Some(old) = &current {
            self.supersede(old, false)?;
        }
        let head = Head {
            path: op.path.clone(),
            seq: current.as_ref().map_or(0, |old| old.seq),
            events: current.as_ref().map_or(0, |old| old.events),
            size: body.size,
            content_type: content_type.clone(),
            headers: headers.clone(),
            tag: current.as_ref().map_or(Tag::Hmac([0; 32]), |old| old.tag),
            body_sha256: body.sha256(),
            modified_us: self.now_us,
            hash_state: matches!(stored, Body::Object(_)).then(|| body.hash.clone()),
            body: stored,
            row: Row { tail, ..current.as_ref().map_or_else(Row::default, |old| old.row) },
            fault: None,
            expires_us: self.rules.expiry(&op.path, headers, self.now_us),
        };
        self.record(op, write, current.as_deref(), head)
    }

    fn append(&mut self, op: &Op, write: &Write, old: &Arc<Head>, body: &NewBody) -> Step<Done> {
        let mut head =
            Head { size: old.size + body.size, modified_us: self.now_us, ..(**old).clone() };
        self.supersede(old, matches!(old.body, Body::Object(_)))?;
        match &old.body {
            Body::Object(object) => self.append_pieces(&mut head, object.id, old, body)?,
            Body::Inline(bytes) => self.append_inline(&mut head, bytes, body)?,
            Body::Chunks(_) => unreachable!("durable worlds have no chunks"),
        }
        self.record(op, write, Some(old), head)
    }

    fn append_pieces(
        &mut self,
        head: &mut Head,
        object: i64,
        old: &Head,
        body: &NewBody,
    ) -> Step<()> {
        let known = body.behind(old.seq);
        let mut hash = known.clone().map_or_else(|| self.running_hash(old, object), Ok)?;
        let short = match &body.bytes {
            NewBytes::Chunks(chunks) => {
                chunks.iter().for_each(|chunk| hash.update(chunk));
                objects::write(self.db, object, old.size, chunks)?
            }
            NewBytes::Staged(staged) => {
                if known.is_none() {
                    hash_object(self.db, staged.id, body.size, &mut hash)?;
                }
                self.unstage(staged.id)?;
                objects::adopt(self.db, staged.id, object, old.size)?
            }
        };
        head.row.tail = objects::tidy(self.db, object, old.row.tail + short)?;
        head.body_sha256 = hash.clone().finalize().into();
        head.hash_state = Some(hash);
        Ok(())
    }

    fn append_inline(&mut self, head: &mut Head, before: &Bytes, body: &NewBody) -> Step<()> {
        let known = body.behind(head.seq);
        let mut hash = Sha256::new_with_prefix(before);
        let mut all = vec![before.clone()];
        match &body.bytes {
            NewBytes::Chunks(chunks) => {
                chunks.iter().for_each(|chunk| hash.update(chunk));
                all.extend(chunks.iter().cloned());
                let bytes = NewBytes::Chunks(all);
                let whole = NewBody { size: head.size, hash, bytes, behind: None };
                (head.body, head.row.tail) = self.store_body(&whole)?;
                head.body_sha256 = whole.sha256();
                head.hash_state = matches!(head.body, Body::Object(_)).then_some(whole.hash);
            }
            NewBytes::Staged(staged) => {
                match known {
                    Some(known) => hash = known,
                    None => hash_object(self.db, staged.id, body.size, &mut hash)?,
                }
                self.unstage(staged.id)?;
                let object = self.objects.hold(self.row.ids.take());
                let short = objects::write(self.db, object.id, 0, &all)?;
                head.row.tail =
                    short + objects::adopt(self.db, staged.id, object.id, before.len() as u64)?;
                head.body = Body::Object(object);
                head.body_sha256 = hash.clone().finalize().into();
                head.hash_state = Some(hash);
            }
        }
        Ok(())
    }

    /// The hash over the body so far; read again when its kept state is of no use.
    fn running_hash(&self, old: &Head, object: i64) -> Step<Sha256> {
        if let Some(hash) = &old.hash_state {
            return Ok(hash.clone());
        }
        let mut hash = Sha256::new();
        hash_object(self.db, object, old.size, &mut hash)?;
        let found: Hash = hash.clone().finalize().into();
        if found != old.body_sha256 {
            return Err(
                Refusal::Quarantined("its body is not the one that was audited".into()).into()
            );
        }
        Ok(hash)
    }

    fn store_body(&mut self, body: &NewBody) -> Step<(Body, i64)> {
        match &body.bytes {
            NewBytes::Staged(object) => {
                self.unstage(object.id)?;
                Ok((Body::Object(object.clone()), 0))
            }
            NewBytes::Chunks(chunks) if body.size as usize <= INLINE_MAX => {
                Ok((Body::Inline(joined(chunks)), 0))
            }
            NewBytes::Chunks(chunks) => {
                let object = self.objects.hold(self.row.ids.take());
                let short = objects::write(self.db, object.id, 0, chunks)?;
                Ok((Body::Object(object), short))
            }
        }
    }

    fn unstage(&self, object: i64) -> Step<()> {
        let gone =
            self.db.prepare_cached("DELETE FROM staged WHERE object = ?1")?.execute([object])?;
        if gone == 1 {
            Ok(())
        } else {
            Err(Refusal::Storage("upload is no longer staged".into()).into())
        }
    }

    pub(super) fn discard(&mut self, kind: i64, id: i64) -> Step<()> {
        self.litter = true;
        self.db
            .prepare_cached("INSERT OR IGNORE INTO trash(kind, id) VALUES(?1, ?2)")?
            .execute([kind, id])?;
        Ok(())
    }

    /// Adds the event of a put or append, and lays the world's row as `head` has it.
    fn record(&mut self, op: &Op, write: &Write, old: Option<&Head>, mut head: Head) -> Step<Done> {
        let created = old.is_none();
        let (kind, event_type, log_kind) = match op.verb {
            Verb::Append { .. } => (Kind::Append, "append", LogKind::Append),
            _ if created => (Kind::Create, "put", LogKind::Create),
            _ => (Kind::Replace, "put", LogKind::Replace),
        };
        let (content_type, headers) = (head.content_type.clone(), head.headers.clone());
        let draft = Draft {
            kind: event_type,
            target: None,
            body_sha256: head.body_sha256,
            size: head.size,
            content_type: &content_type,
            headers: &headers,
        };
        self.chain(&mut head, &draft)?;
        let Tag::Hmac(hmac) = head.tag else { unreachable!("durable tags are hmacs") };
        self.log(op, write, log_kind, &head, &hmac)?;
        self.count(old, &head);
        self.lay(&head, created)?;
        let event = Event {
            seq: head.seq,
            kind,
            path: head.path.clone(),
            tag: Some(head.tag),
            size: head.size,
            content_type,
            time_us: self.now_us,
            writer: write.writer.clone(),
            link: op.link.clone(),
        };
        self.tell(event);
        let done = Done { created, seq: head.seq, tag: Some(head.tag) };
        self.heads.insert(head.path.clone(), Some(Arc::new(head)));
        Ok(done)
    }

    /// The number taken last is this event's.
    pub(super) fn tell(&mut self, event: Event) {
        if let Some(last) = self.taken.last_mut() {
            last.1 = Some(event);
        }
    }

    fn count(&mut self, old: Option<&Head>, head: &Head) {
        let before = old.map_or(0, |old| old.size);
        self.row.bytes = (self.row.bytes + head.size).saturating_sub(before);
        self.rules.quotas.count(&mut self.row.shares, &head.path, before, head.size);
        if old.is_none() && !head.path.is_ledger() {
            self.row.worlds += 1;
        }
    }

    pub(super) fn lay(&self, head: &Head, created: bool) -> Step<()> {
        let (body, object) = match &head.body {
            Body::Inline(bytes) => (Some(&bytes[..]), None),
            Body::Object(object) => (None, Some(object.id)),
            Body::Chunks(_) => unreachable!("durable worlds have no chunks"),
        };
        let Tag::Hmac(hmac) = head.tag else { unreachable!("durable tags are hmacs") };
        let sql = if created {
            "INSERT INTO world(seq, event_id, events, hmac, body_sha256, size, content_type, headers, \
             modified_us, body, object, tail, hash_state, path, id, expires_us) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
        } else {
            "UPDATE world SET seq = ?1, event_id = ?2, events = ?3, hmac = ?4, body_sha256 = ?5, \
             size = ?6, content_type = ?7, headers = ?8, modified_us = ?9, body = ?10, object = ?11, \
             tail = ?12, hash_state = ?13, expires_us = ?16 WHERE path = ?14 AND id = ?15"
        };
        self.db.prepare_cached(sql)?.execute(params![
            head.seq as i64,
            head.row.event_id,
            head.events as i64,
            &hmac[..],
            &head.body_sha256[..],
            head.size as i64,
            &*head.content_type,
            rows::encode_headers(&head.headers),
            head.modified_us,
            body,
            object,
            head.row.tail,
            head.hash_state.as_ref().map(rows::pack),
            head.path.as_str(),
            head.row.id,
            head.expires_us,
        ])?;
        Ok(())
    }

    fn delete(&mut self, op: &Op, write: &Write, old: &Head) -> Step<Done> {
        let seq = self.bury(op, write, old.body_sha256)?;
        let purged = matches!(op.verb, Verb::Purge) || self.rules.history(&old.path).is_none();
        if purged {
            self.blank_world(old.row.id)?;
            self.purge_versions(&old.path)?;
            self.erase_body(&old.body)?;
        } else {
            self.supersede(old, false)?;
        }
        self.db.prepare_cached("DELETE FROM world WHERE id = ?1")?.execute([old.row.id])?;
        // The chain may be long and the body large: both are freed later, in bounded turns.
        if old.events > 0 {
            chains::mark(self.db, old.row.id, old.row.event_id, old.seq as i64)?;
        }
        self.discard(TRASH_CHAIN, old.row.id)?;
        self.row.bytes = self.row.bytes.saturating_sub(old.size);
        self.rules.quotas.count(&mut self.row.shares, &old.path, old.size, 0);
        self.row.worlds = self.row.worlds.saturating_sub(1);
        self.heads.insert(op.path.clone(), None);
        Ok(Done { created: false, seq, tag: None })
    }

    /// A world whose time has come goes before another takes its path.
    fn expire(&mut self, op: &Op, write: &Write, old: &Head) -> Step<()> {
        let delete = Op {
            path: op.path.clone(),
            verb: Verb::Delete,
            conditions: Conditions::default(),
            link: Some(Link::Expired),
        };
        self.delete(&delete, write, old).map(|_| ())
    }

    /// Writes the store's row: the last statement before COMMIT.
    pub fn seal(&self) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "UPDATE store SET high_water = ?1, seq = ?2, mac = ?3, worlds = ?4, bytes = ?5, \
                 next_row = ?6, log_rows = log_rows + ?7",
            )?
            .execute(params![
                self.row.high_water as i64,
                self.row.seq as i64,
                &self.row.mac[..],
                self.row.worlds as i64,
                self.row.bytes as i64,
                self.row.ids.next(),
                self.logged as i64,
            ])?;
        Ok(())
    }
}

/// All outcomes of a write, those of its memory part at their places.
fn with_known(write: &Write, durable: Vec<Done>) -> Vec<Done> {
    let mut done = durable;
    for (place, known) in &write.known {
        done.insert((*place).min(done.len()), known.clone());
    }
    done
}

fn joined(chunks: &[Bytes]) -> Bytes {
    if chunks.len() == 1 {
        return chunks[0].clone();
    }
    let mut all = BytesMut::new();
    chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
    all.freeze()
}

fn hash_object(db: &Connection, object: i64, size: u64, hash: &mut Sha256) -> Step<()> {
    let mut at = 0;
    while at < size {
        let Some(bytes) = objects::read(db, object, at)? else {
            return Err(Refusal::Quarantined(format!("its body ends at byte {at}").into()).into());
        };
        let take = bytes.len().min((size - at) as usize);
        hash.update(&bytes[..take]);
        at += take as u64;
    }
    Ok(())
}
