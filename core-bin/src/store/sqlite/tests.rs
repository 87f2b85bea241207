//! What only the durable driver does: the file, its chains, its pieces.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Options, SqliteStore};
use crate::audit::chain::Replay;
use crate::audit::log;
use crate::path::WorldPath;
use crate::store::conformance::{append, op, options, put, write};
use crate::store::rules::LIFETIME_HEADER;
use crate::store::{
    Behind, Body, Done, Driver, Head, NewBody, NewBytes, Numbers, Object, Op, PIECE, Refusal, Tags,
    Verb, Write,
};

fn durable() -> (tempfile::TempDir, SqliteStore, Numbers) {
    let dir = tempfile::tempdir().unwrap();
    let (store, numbers) = SqliteStore::open(&options(dir.path())).unwrap();
    (dir, store, numbers)
}

fn commit(store: &SqliteStore, numbers: &Numbers, op: Op) -> Done {
    let mut batch = store.commit(&[write(vec![op])], numbers);
    batch.answers.remove(0).unwrap().remove(0)
}

fn read_all(store: &SqliteStore, head: &Head) -> Vec<u8> {
    let object = match &head.body {
        Body::Inline(bytes) => return bytes.to_vec(),
        Body::Object(object) => object,
        Body::Chunks(_) => unreachable!(),
    };
    let mut all = vec![];
    while let Some(bytes) = store.piece(object, all.len() as u64).unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

fn home(name: &str) -> WorldPath {
    WorldPath::parse(name).unwrap()
}

#[test]
fn small_appends_become_a_large_body_and_stay_hashed() {
    let (dir, store, numbers) = durable();
    commit(&store, &numbers, put("log", ""));
    let mut want = vec![];
    for turn in 0..900_u32 {
        let line = format!("line {turn} {}\n", "x".repeat(turn as usize % 90));
        want.extend_from_slice(line.as_bytes());
        commit(&store, &numbers, append("log", line));
    }
    let head = store.head(&home("log")).unwrap().unwrap();
    assert_eq!(read_all(&store, &head), want);
    assert_eq!(head.body_sha256, crate::audit::sha256(&want));
    assert!(head.row.tail < 64, "short pieces are joined: {}", head.row.tail);
    drop(store);
    let (store, _) = SqliteStore::open(&options(dir.path())).unwrap();
    let head = store.head(&home("log")).unwrap().unwrap();
    assert!(head.hash_state.is_some(), "the running hash survives a restart");
    assert_eq!(read_all(&store, &head), want);
}

#[test]
fn a_reader_keeps_the_version_it_began_with() {
    let (_dir, store, numbers) = durable();
    commit(&store, &numbers, put("v", vec![1; 300_000]));
    let old = store.head(&home("v")).unwrap().unwrap();
    commit(&store, &numbers, put("v", vec![2; 300_000]));
    while store.sweep(4) {}
    assert_eq!(read_all(&store, &old), vec![1; 300_000]);
    let Body::Object(object) = &old.body else { panic!("300 kB lie in an object") };
    let id = object.id;
    drop(old);
    while store.sweep_idly() {}
    assert_eq!(store.piece(&Object { id }, 0).unwrap(), None, "nobody reads it: it is freed");
}

#[test]
fn staged_pieces_become_a_body_or_vanish() {
    let (dir, store, numbers) = durable();
    let bytes = Bytes::from(vec![7; 3 * PIECE + 5]);
    let stage = |object: &Arc<Object>| {
        store.stage(object.id, 0, &[bytes.slice(..2 * PIECE)]).unwrap();
        store.stage(object.id, 2 * PIECE as u64, &[bytes.slice(2 * PIECE..)]).unwrap();
    };
    let body = |object: &Arc<Object>| NewBody {
        size: bytes.len() as u64,
        hash: Sha256::new_with_prefix(&bytes),
        bytes: NewBytes::Staged(object.clone()),
        behind: None,
    };
    let object = store.new_object();
    stage(&object);
    let verb = Verb::Put { body: body(&object), content_type: "a/b".into(), headers: [].into() };
    commit(&store, &numbers, op("up", verb));
    let more = store.new_object();
    stage(&more);
    commit(&store, &numbers, op("up", Verb::Append { body: body(&more) }));
    let head = store.head(&home("up")).unwrap().unwrap();
    assert_eq!(read_all(&store, &head), [&bytes[..], &bytes[..]].concat());
    assert_eq!(head.body_sha256, crate::audit::sha256(&[&bytes[..], &bytes[..]].concat()));
    let lost = store.new_object();
    stage(&lost);
    let id = lost.id;
    drop((lost, store));
    let (store, _) = SqliteStore::open(&options(dir.path())).unwrap();
    while store.sweep(4) {}
    assert_eq!(store.piece(&Object { id }, 0).unwrap(), None, "a broken upload leaves nothing");
    let head = store.head(&home("up")).unwrap().unwrap();
    assert_eq!(head.size, 2 * bytes.len() as u64);
}

#[test]
fn an_append_that_was_hashed_outside_is_not_hashed_again() {
    let (_dir, store, numbers) = durable();
    let bytes = Bytes::from(vec![7; 5 * PIECE]);
    for before in ["inline".to_owned(), "x".repeat(2 * PIECE)] {
        let seq = commit(&store, &numbers, put("up", before.clone())).seq;
        let append = |seq| {
            let object = store.new_object();
            store.stage(object.id, 0, std::slice::from_ref(&bytes)).unwrap();
            let (hash, bytes) = (Sha256::new(), NewBytes::Staged(object));
            // No hash of these bytes: so it shows whose hash was taken.
            let behind = Some(Behind { seq, hash: Sha256::new_with_prefix(b"outside") });
            let body = NewBody { size: 5 * PIECE as u64, hash, bytes, behind };
            commit(&store, &numbers, op("up", Verb::Append { body }));
            store.fresh_head(&home("up")).unwrap().unwrap()
        };
        assert_eq!(append(seq).body_sha256, crate::audit::sha256(b"outside"));
        commit(&store, &numbers, op("up", Verb::Delete));
        commit(&store, &numbers, put("up", before.clone()));
        let whole = [before.as_bytes(), &bytes[..]].concat();
        assert_eq!(append(seq).body_sha256, crate::audit::sha256(&whole), "another version");
    }
}

#[test]
fn chains_and_log_hold_over_deletes_and_restarts() {
    let (dir, mut store, mut numbers) = durable();
    for round in 0..3 {
        commit(&store, &numbers, put("a", format!("a{round}")));
        commit(&store, &numbers, put("b", "b"));
        commit(&store, &numbers, op("b", Verb::Delete));
        drop(store);
        (store, numbers) = SqliteStore::open(&options(dir.path())).unwrap();
    }
    for (path, events) in [("home/a", 3), ("var/log/deletes", 6)] {
        let head = store.head(&WorldPath::parse(path).unwrap()).unwrap().unwrap();
        let mut replay = Replay::default();
        for row in store.chain(head.row.id, 0, 100).unwrap() {
            replay.row(store.keys().key(row.key), &row).unwrap();
        }
        assert_eq!(replay.rows, events, "{path}");
        assert_eq!(head.tag.to_string(), format!("hmac-{}", replay.last));
    }
    let rows = store.log(0, 100).unwrap();
    assert_eq!(rows.len(), 12);
    for pair in rows.windows(2) {
        assert!(pair[0].seq < pair[1].seq);
        assert_eq!(pair[1].prev_mac, pair[0].mac);
        assert_eq!(pair[1].mac, log::mac(&store.key, &pair[1]));
    }
}

#[test]
fn numbers_go_on_above_all_that_were_ever_given() {
    let (dir, store, numbers) = durable();
    let given = commit(&store, &numbers, put("a", "1")).seq;
    let ahead = numbers.take().unwrap();
    drop(store);
    let (store, numbers) = SqliteStore::open(&options(dir.path())).unwrap();
    assert!(commit(&store, &numbers, put("a", "2")).seq > ahead.max(given));
}

#[test]
fn a_keyed_write_repeated_gives_the_first_answer() {
    let (dir, store, numbers) = durable();
    let keyed = |body: &'static str| Write {
        key: Some([9; 16]),
        ..write(vec![put("k", ""), append("k", body)])
    };
    let answer = |store: &SqliteStore, numbers: &Numbers, write: Write| {
        store.commit(&[write], numbers).answers.remove(0).unwrap()
    };
    let first = answer(&store, &numbers, keyed("once"));
    drop(store);
    let (store, numbers) = SqliteStore::open(&options(dir.path())).unwrap();
    let again = answer(&store, &numbers, keyed("twice"));
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    assert_eq!(store.head(&home("k")).unwrap().unwrap().events, 2);
}

#[test]
fn a_second_writer_and_a_wrong_key_are_refused_by_name() {
    let (dir, store, _) = durable();
    let held = SqliteStore::open(&options(dir.path())).err().unwrap();
    assert!(held.contains("lock is held (last writer: PID"), "{held}");
    drop(store);
    let wrong = Options { key: b"another key, also 32 bytes long..", ..options(dir.path()) };
    let error = SqliteStore::open(&wrong).err().unwrap();
    assert!(error.contains("wrong key"), "{error}");
    SqliteStore::open(&options(dir.path())).unwrap();
}

#[test]
fn a_write_refused_half_way_leaves_nothing_in_the_commit() {
    let (dir, store, numbers) = durable();
    let mut short_lived = put("gone", "x".repeat(100_000));
    if let Verb::Put { headers, .. } = &mut short_lived.verb {
        *headers = [(LIFETIME_HEADER.to_owned(), "0".to_owned())].into();
    }
    commit(&store, &numbers, short_lived);
    // Its time has come, so it is deleted before the condition is judged, which then fails.
    let mut refused = put("gone", "after");
    refused.conditions.if_match = Some(Tags { any: true, ..Tags::default() });
    let writes = [write(vec![refused]), write(vec![put("other", "b")])];
    let answers = store.commit(&writes, &numbers).answers;
    assert!(matches!(answers[0], Err(Refusal::NothingToMatch)), "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");
    while store.sweep(4) {}
    drop(store);
    let (store, _) = SqliteStore::open(&options(dir.path())).unwrap();
    while store.sweep(4) {}
    let head = store.fresh_head(&home("gone")).unwrap().unwrap();
    assert_eq!(read_all(&store, &head).len(), 100_000);
}

#[test]
fn a_transaction_that_moves_the_mark_may_use_it() {
    let (_dir, store, numbers) = durable();
    while numbers.take().is_some() {}
    let used_up = numbers.next();
    assert!(commit(&store, &numbers, put("a", "1")).seq >= used_up);
    assert!(numbers.take().is_some(), "memory worlds may go on too");
}

fn keyed(key: u8, body: &str) -> Write {
    Write { key: Some([key; 16]), ..write(vec![put("keyed", body.to_owned())]) }
}

#[test]
fn the_same_key_gives_the_first_answer_until_it_is_old() {
    let (dir, store, numbers) = durable();
    let batch = store.commit(&[keyed(1, "a"), keyed(1, "b"), keyed(2, "c")], &numbers);
    let seqs: Vec<u64> = batch.answers.iter().map(|done| done.as_ref().unwrap()[0].seq).collect();
    assert_eq!(seqs[0], seqs[1], "twice in one batch");
    assert!(store.has_answer(&[1; 16]) && !store.has_answer(&[3; 16]));
    drop(store);

    let (store, numbers) = SqliteStore::open(&options(dir.path())).unwrap();
    let again = |store: &SqliteStore, key| store.commit(&[keyed(key, "d")], &numbers).answers;
    assert_eq!(again(&store, 1)[0].as_ref().unwrap()[0].seq, seqs[0], "after a restart");
    assert_eq!(store.answered(&[2; 16]).unwrap().unwrap()[0].seq, seqs[2]);
    store.writer().db.execute("UPDATE answered SET expires_us = 0 WHERE n = 1", []).unwrap();
    store.look_for_old();
    while store.sweep(4) {}
    assert!(!store.has_answer(&[1; 16]), "what is old is forgotten");
    assert!(store.has_answer(&[2; 16]), "what is not stays");
    assert!(again(&store, 1)[0].as_ref().unwrap()[0].seq > seqs[2]);
}

#[test]
fn a_write_that_leaves_nothing_behind_asks_for_no_housekeeping() {
    let (_dir, store, numbers) = durable();
    while store.sweep(4) {}
    commit(&store, &numbers, put("small", "a"));
    commit(&store, &numbers, put("small", "b"));
    assert!(!store.writer().sweep.pending);
    commit(&store, &numbers, put("small", vec![1; 10_000]));
    commit(&store, &numbers, put("small", "c"));
    assert!(store.writer().sweep.pending, "an object waits to be freed");
}
