//! Rows that record a change: the world's chain, the store-wide log, the delete ledger.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Step, Transaction};
use super::{chains, rows};
use crate::audit::chain::{Covered, event_hmac, meta_sha256};
use crate::audit::log::{self, LogKind, LogRow};
use crate::path::WorldPath;
use crate::store::{Body, Event, Hash, Head, Headers, Link, Op, Refusal, Row, Tag, Write, hex};

/// What an event is about, before it has its number and hmac.
pub struct Draft<'a> {
    pub kind: &'static str,
    pub target: Option<&'a str>,
    pub body_sha256: Hash,
    pub size: u64,
    pub content_type: &'a str,
    pub headers: &'a Headers,
}

impl Transaction<'_> {
    /// Takes a number and adds one event to the world's chain; moves `head` forward by it.
    pub(super) fn chain(&mut self, head: &mut Head, draft: &Draft<'_>) -> Step<()> {
        // This very transaction moves the mark, if that is what it takes.
        let seq = self.numbers.take_below(self.row.high_water).ok_or(Refusal::Overloaded)?;
        let before = (head.events > 0).then_some(head.seq as i64);
        head.seq = seq;
        // Its event comes when all is laid; till then a failure gives the number up.
        self.taken.push((head.seq, None));
        if head.row.id == 0 {
            head.row.id = self.row.ids.take();
        }
        let Tag::Hmac(prev) = head.tag else { unreachable!("durable tags are hmacs") };
        let prev_hex = if head.events == 0 { String::new() } else { hex(&prev) };
        let meta = meta_sha256(draft.content_type, draft.headers);
        let hmac = event_hmac(
            self.key,
            &Covered {
                prev: &prev_hex,
                kind: draft.kind,
                target: draft.target.unwrap_or(head.path.as_str()),
                body_sha256: &hex(&draft.body_sha256),
                size: &draft.size.to_string(),
                content_type: draft.content_type,
                meta_sha256: &hex(&meta),
            },
        );
        head.row.event_id += 1;
        head.events += 1;
        head.tag = Tag::Hmac(hmac);
        let added = chains::Added {
            n: head.seq as i64,
            world: head.row.id,
            count: head.events,
            id: head.row.event_id,
            prev: before,
            seq: head.seq as i64,
            time_us: self.now_us,
            time_text: None,
            kind: draft.kind,
            target: draft.target,
            body_sha256: &draft.body_sha256,
            size: draft.size as i64,
            content_type: draft.content_type,
            headers: draft.headers,
            meta_sha256: &meta,
            hmac: &hmac,
            prev_hmac: if head.events == 1 { &[] } else { &prev },
            key: self.row.key,
            raw: None,
        };
        Ok(chains::add(self.db, &added)?)
    }

    /// Adds the row of the store-wide chain that goes with an event.
    pub(super) fn log(
        &mut self,
        op: &Op,
        write: &Write,
        kind: LogKind,
        head: &Head,
        hmac: &Hash,
    ) -> Step<()> {
        let deleted = matches!(kind, LogKind::Delete | LogKind::DeleteIntent);
        let mut row = LogRow {
            seq: head.seq,
            time_us: self.now_us,
            kind,
            path: op.path.as_str().to_owned(),
            hmac: hex(hmac),
            content_type: if deleted { String::new() } else { head.content_type.to_string() },
            size: if deleted { 0 } else { head.size },
            writer: write.writer.as_deref().unwrap_or_default().to_owned(),
            link: op.link.as_ref().map_or_else(String::new, Link::to_text),
            key: self.row.key,
            prev_mac: self.row.mac,
            mac: [0; 32],
        };
        row.mac = log::mac(self.key, &row);
        rows::insert_log(self.db, &row)?;
        (self.row.seq, self.row.mac) = (row.seq, row.mac);
        self.logged += 1;
        Ok(())
    }

    /// The two ledger rows of a DELETE; returns the number of the second, which listeners see.
    pub(super) fn bury(&mut self, op: &Op, write: &Write, body_sha256: Hash) -> Step<u64> {
        let ledger = WorldPath::ledger();
        let found = self.current(&ledger)?;
        let created = found.is_none();
        let mut head = found.map_or_else(|| empty_ledger(self.now_us), |head| (*head).clone());
        for (event_type, log_kind) in
            [("delete_intent", LogKind::DeleteIntent), ("delete_commit", LogKind::Delete)]
        {
            let draft = Draft {
                kind: event_type,
                target: Some(op.path.as_str()),
                body_sha256,
                size: 0,
                content_type: "",
                headers: &[].into(),
            };
            self.chain(&mut head, &draft)?;
            let Tag::Hmac(hmac) = head.tag else { unreachable!("durable tags are hmacs") };
            self.log(op, write, log_kind, &head, &hmac)?;
        }
        self.tell(Event {
            writer: write.writer.clone(),
            ..Event::delete(head.seq, op, self.now_us)
        });
        head.modified_us = self.now_us;
        self.lay(&head, created)?;
        let seq = head.seq;
        self.heads.insert(ledger, Some(Arc::new(head)));
        Ok(seq)
    }
}

fn empty_ledger(now_us: i64) -> Head {
    Head {
        path: WorldPath::ledger(),
        seq: 0,
        events: 0,
        size: 0,
        content_type: "application/octet-stream".into(),
        headers: [].into(),
        tag: Tag::Hmac([0; 32]),
        body_sha256: crate::audit::sha256(b""),
        modified_us: now_us,
        body: Body::Inline(Bytes::new()),
        hash_state: None,
        row: Row::default(),
        fault: None,
        expires_us: None,
    }
}
