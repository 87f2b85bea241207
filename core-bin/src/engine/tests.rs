//! The engine as a door uses it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;

struct Everything;

impl Filter for Everything {
    fn wants(&self, _: &WorldPath) -> bool {
        true
    }

    fn may_want_memory(&self) -> bool {
        true
    }
}

struct Durable;

impl Filter for Durable {
    fn wants(&self, path: &WorldPath) -> bool {
        path.is_durable()
    }

    fn may_want_memory(&self) -> bool {
        false
    }
}

fn engine(dir: &std::path::Path) -> Engine {
    Engine::open(Settings {
        data_dir: dir.to_owned(),
        key: b"0123456789abcdef0123456789abcdef".to_vec(),
        older_keys: vec![],
        max_world_bytes: 4 << 20,
        max_memory_bytes: 8 << 20,
        max_storage_bytes: None,
        rules: Rules::parse("home/kept/*=3", "tmp/short/*=1s,home/short/*=1s").unwrap(),
        max_group_worlds: 100,
        max_group_bytes: 1 << 20,
        ring_events: 8,
        cache_bytes: 1 << 20,
        cache_entries: 1000,
        read_only: false,
        scrub_pause: None,
        announce: |_| {},
    })
    .unwrap()
}

fn path(text: &str) -> WorldPath {
    WorldPath::parse(text).unwrap()
}

fn op(at: &str, verb: Verb) -> Op {
    Op { path: path(at), verb, conditions: Conditions::default(), link: None }
}

fn put(at: &str, body: &'static [u8]) -> Op {
    let body = NewBody::whole(Bytes::from_static(body));
    op(at, Verb::Put { body, content_type: "a/b".into(), headers: [].into() })
}

async fn write(engine: &Engine, ops: Vec<Op>) -> Result<Vec<Done>, Refusal> {
    engine.write(Write { ops, ..Write::default() }).await
}

async fn body(engine: &Engine, at: &str) -> Vec<u8> {
    let head = engine.head(&path(at)).await.unwrap().unwrap();
    let mut reader = engine.read(&head, 0, head.size);
    let mut all = vec![];
    while let Some(bytes) = reader.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

async fn numbers(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut found = vec![];
    while found.len() < count {
        match tokio::time::timeout(Duration::from_secs(5), subscription.next()).await.unwrap() {
            Signal::Events(events) => found.extend(events.iter().map(|event| event.seq)),
            other => panic!("{other:?}"),
        }
    }
    found
}

#[tokio::test]
async fn a_large_upload_streams_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    for at in ["home/big", "tmp/big"] {
        let mut upload = engine.upload(&path(at));
        let mut want = vec![];
        for turn in 0..700_u32 {
            let block = vec![turn as u8; 1000 + turn as usize];
            want.extend_from_slice(&block);
            upload.push(block.into()).await.unwrap();
        }
        let body_in = upload.finish().await.unwrap();
        let verb = Verb::Put { body: body_in, content_type: "a/b".into(), headers: [].into() };
        write(&engine, vec![op(at, verb)]).await.unwrap();
        assert_eq!(body(&engine, at).await, want);
    }
    assert!(matches!(
        engine.verify(&path("home/big")).await.unwrap(),
        Some(Verdict::Valid { events: 1, .. })
    ));
    let mut upload = engine.upload(&path("home/huge"));
    let refused = loop {
        if let Err(why) = upload.push(vec![0; 1 << 20].into()).await {
            break why;
        }
    };
    assert_eq!(refused, Refusal::TooLarge { max: 4 << 20 });
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn deletes_of_memory_worlds_are_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    write(&engine, vec![put("tmp/x", b"1")]).await.unwrap();
    let mut all = engine.listen(Arc::new(Everything), None);
    let done = write(&engine, vec![op("tmp/x", Verb::Delete)]).await.unwrap();
    assert_eq!(numbers(&mut all, 1).await, [done[0].seq]);
    assert!(engine.head(&path("tmp/x")).await.unwrap().is_none());
    let ledger = engine.head(&path("var/log/deletes")).await.unwrap().unwrap();
    assert_eq!(ledger.events, 2);
    let missing = write(&engine, vec![op("tmp/x", Verb::Delete)]).await;
    assert_eq!(missing.unwrap_err(), Refusal::NotFound);
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn a_write_over_memory_and_disk_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    write(&engine, vec![put("tmp/from", b"moved")]).await.unwrap();
    let ops = vec![put("home/to", b"moved"), op("tmp/from", Verb::Delete)];
    let done = write(&engine, ops).await.unwrap();
    assert_eq!((done.len(), done[0].created), (2, true));
    assert_eq!(body(&engine, "home/to").await, b"moved");
    let ops = vec![put("tmp/never", b"x"), op("home/nothing", Verb::Delete)];
    assert_eq!(write(&engine, ops).await.unwrap_err(), Refusal::NotFound);
    assert!(engine.head(&path("tmp/never")).await.unwrap().is_none());
    let ops = vec![put("tmp/back", b"moved"), op("home/to", Verb::Delete)];
    write(&engine, ops).await.unwrap();
    assert_eq!(body(&engine, "tmp/back").await, b"moved");
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn replay_is_complete_for_durable_worlds_and_says_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path());
    let mut want = vec![];
    for _ in 0..30 {
        want.push(write(&first, vec![put("home/a", b"x")]).await.unwrap()[0].seq);
        write(&first, vec![put("tmp/a", b"x")]).await.unwrap();
    }
    // More than the ring holds: from the log; what memory worlds did is told as lag.
    let mut durable = first.listen(Arc::new(Durable), Some(want[3]));
    assert_eq!(numbers(&mut durable, 26).await, want[4..]);
    let mut all = first.listen(Arc::new(Everything), Some(want[3]));
    assert!(matches!(all.next().await, Signal::Lag { missed: 1.., .. }));
    first.close(Duration::from_secs(5)).unwrap();
    assert!(matches!(durable.next().await, Signal::Closed));
    drop((durable, all, first));

    let second = engine(dir.path());
    let mut all = second.listen(Arc::new(Everything), Some(want[28]));
    assert!(matches!(all.next().await, Signal::Lag { missed: 0, .. }), "numbers jumped");
    let mut durable = second.listen(Arc::new(Durable), Some(want[28]));
    assert_eq!(numbers(&mut durable, 1).await, want[29..]);
    let live = write(&second, vec![put("home/b", b"x")]).await.unwrap()[0].seq;
    assert!(live > want[29]);
    assert_eq!(numbers(&mut durable, 1).await, [live]);
    let mut ahead = second.listen(Arc::new(Durable), Some(live + 1000));
    assert!(matches!(ahead.next().await, Signal::Lag { .. }));
    let next = write(&second, vec![put("home/b", b"y")]).await.unwrap()[0].seq;
    assert_eq!(numbers(&mut ahead, 1).await, [next]);
    second.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_are_all_told_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut all = engine.listen(Arc::new(Everything), None);
    let mut tasks = vec![];
    for task in 0..16 {
        let engine = engine.clone();
        tasks.push(tokio::spawn(async move {
            let at = format!("{}/{task}", if task % 2 == 0 { "home" } else { "tmp" });
            for _ in 0..50 {
                let mut append = op(&at, Verb::Append { body: NewBody::whole("x".into()) });
                if engine.head(&append.path).await.unwrap().is_none() {
                    append = put(&at, b"x");
                }
                write(&engine, vec![append]).await.unwrap();
            }
        }));
    }
    let mut seen = vec![];
    while seen.len() < 800 {
        match all.next().await {
            Signal::Events(events) => seen.extend(events.iter().map(|event| event.seq)),
            Signal::Lag { .. } => break,
            Signal::Closed => panic!("closed"),
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b));
    for task in tasks {
        task.await.unwrap();
    }
    for task in 0..16 {
        let at = format!("{}/{task}", if task % 2 == 0 { "home" } else { "tmp" });
        assert_eq!(body(&engine, &at).await, vec![b'x'; 50]);
        let verdict = engine.verify(&path(&at)).await.unwrap().unwrap();
        let fine = matches!(verdict, Verdict::Valid { events: 50, .. } | Verdict::NotAudited);
        assert!(fine, "{verdict:?}");
    }
    engine.close(Duration::from_secs(5)).unwrap();
}

fn transfer(from: &str, to: &str, moves: bool) -> Transfer {
    Transfer {
        from: path(from),
        to: path(to),
        moves,
        overwrite: true,
        from_conditions: Conditions::default(),
        to_conditions: Conditions::default(),
    }
}

#[tokio::test]
async fn copies_and_moves_keep_bytes_type_and_headers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let caller = Caller::default();
    for (at, size) in [("home/s", 10), ("home/l", 900_000), ("tmp/s", 10), ("tmp/l", 300_000)] {
        let mut upload = engine.upload(&path(at));
        upload.push(vec![7; size].into()).await.unwrap();
        let body_in = upload.finish().await.unwrap();
        let headers: Headers = [("x-a".to_owned(), "1".to_owned())].into();
        let verb = Verb::Put { body: body_in, content_type: "a/b".into(), headers };
        write(&engine, vec![op(at, verb)]).await.unwrap();
        for to in ["home/copy", "tmp/copy"] {
            engine.transfer(&transfer(at, to, false), &caller).await.unwrap();
            let head = engine.head(&path(to)).await.unwrap().unwrap();
            assert_eq!((&*head.content_type, head.headers.len()), ("a/b", 1));
            assert_eq!(body(&engine, to).await, vec![7; size]);
        }
    }
    let mut all = engine.listen(Arc::new(Everything), None);
    let keyed = Caller { key: Some([1; 16]), ..Caller::default() };
    let done = engine.transfer(&transfer("home/l", "tmp/m", true), &keyed).await.unwrap();
    let Signal::Events(events) = all.next().await else { panic!("two events") };
    assert_eq!(events[0].link, Some(Link::From(path("home/l"))));
    assert_eq!(events[1].link, Some(Link::To(path("tmp/m"))));
    assert!(engine.head(&path("home/l")).await.unwrap().is_none());
    // The same key again: the first answer, although the source is gone.
    let again = engine.transfer(&transfer("home/l", "tmp/m", true), &keyed).await.unwrap();
    assert_eq!(format!("{done:?}"), format!("{again:?}"));
    let kept = Transfer { overwrite: false, ..transfer("home/s", "tmp/m", false) };
    assert_eq!(engine.transfer(&kept, &caller).await.unwrap_err(), Refusal::AlreadyThere);
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn whole_directories_move_at_once_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let caller = Caller::default();
    for name in 0..20 {
        write(&engine, vec![put(&format!("home/d/{name}"), b"x")]).await.unwrap();
    }
    write(&engine, vec![put("home/dd", b"beside")]).await.unwrap();
    assert_eq!(engine.transfer_tree("home/d", "tmp/e", true, true, &caller).await.unwrap(), 20);
    assert_eq!(engine.list("tmp/e/", "", 100).await.unwrap().len(), 20);
    assert_eq!(engine.list("home/d", "", 100).await.unwrap().len(), 1);
    write(&engine, vec![put("home/f/3", b"there already")]).await.unwrap();
    let refused = engine.transfer_tree("tmp/e", "home/f", false, false, &caller).await;
    assert_eq!(refused.unwrap_err(), Refusal::AlreadyThere);
    assert_eq!(engine.list("home/f/", "", 100).await.unwrap().len(), 1);
    assert_eq!(engine.remove_tree("tmp/e", &caller).await.unwrap(), 20);
    assert_eq!(engine.remove_tree("tmp/e", &caller).await.unwrap_err(), Refusal::NotFound);
    for name in 0..101 {
        write(&engine, vec![put(&format!("tmp/many/{name}"), b"x")]).await.unwrap();
    }
    let many = engine.remove_tree("tmp/many", &caller).await.unwrap_err();
    assert!(matches!(many, Refusal::TooMany { count: 101, max: 100, .. }));
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_from_many_at_once_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    write(&engine, vec![put("home/json", b"{}")]).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let patch = Patch::merge(format!("{{\"k{n}\":{n}}}").as_bytes()).unwrap();
                let (conditions, caller) = (Conditions::default(), Caller::default());
                engine.patch(&path("home/json"), &patch, &conditions, &caller).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all: serde_json::Value = serde_json::from_slice(&body(&engine, "home/json").await).unwrap();
    assert_eq!(all, serde_json::json!({"k0": 0, "k1": 1, "k2": 2, "k3": 3}));
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn memory_writes_never_use_up_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let large: &'static [u8] = &[7; 100_000];
    write(&engine, vec![put("home/large", large)]).await.unwrap();
    // As many memory writes take them, without a commit between.
    while engine.0.numbers.take().is_some() {}
    write(&engine, vec![put("tmp/a", b"1")]).await.unwrap();
    while engine.0.numbers.take().is_some() {}
    write(&engine, vec![put("home/large", b"2")]).await.unwrap();
    assert_eq!(body(&engine, "home/large").await, b"2");
}

async fn text_at(engine: &Engine, at: &str, when: At) -> Option<String> {
    let head = engine.version(&path(at), when).await.unwrap()?;
    let mut reader = engine.read(&head, 0, head.size);
    let mut all = vec![];
    while let Some(bytes) = reader.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    Some(String::from_utf8(all).unwrap())
}

#[tokio::test]
async fn old_bodies_are_kept_where_a_rule_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    write(&engine, vec![put("home/kept/a", b"one")]).await.unwrap();
    let then = now_us();
    write(&engine, vec![put("home/kept/a", b"two")]).await.unwrap();
    let large: &'static [u8] = vec![b'l'; 5000].leak();
    let append =
        |body: &'static [u8]| op("home/kept/a", Verb::Append { body: NewBody::whole(body.into()) });
    write(&engine, vec![append(large)]).await.unwrap();
    write(&engine, vec![append(b"end")]).await.unwrap();
    assert_eq!(text_at(&engine, "home/kept/a", At::Time(then)).await.unwrap(), "one");
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(2)).await.unwrap(), "two");
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(3)).await.unwrap().len(), 5003);
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(4)).await.unwrap().len(), 5006);
    write(&engine, vec![put("home/kept/a", b"six")]).await.unwrap();
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(1)).await, None, "three are kept");
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(4)).await.unwrap().len(), 5006);
    write(&engine, vec![op("home/kept/a", Verb::Delete)]).await.unwrap();
    assert_eq!(text_at(&engine, "home/kept/a", At::Event(5)).await.unwrap(), "six");
    write(&engine, vec![put("home/kept/a", b"new")]).await.unwrap();
    write(&engine, vec![op("home/kept/a", Verb::Purge)]).await.unwrap();
    assert_eq!(engine.versions(&path("home/kept/a"), u64::MAX, 9).await.unwrap().len(), 0);
    write(&engine, vec![put("home/other", b"1"), put("home/other", b"2")]).await.unwrap();
    assert_eq!(text_at(&engine, "home/other", At::Event(1)).await, None);
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn a_deleted_body_is_no_longer_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let first = engine(dir.path());
    for at in ["home/secret", "home/kept/secret"] {
        write(&first, vec![put(at, b"a rather secret sentence")]).await.unwrap();
        write(&first, vec![op(at, Verb::Append { body: NewBody::whole("!".into()) })])
            .await
            .unwrap();
        write(&first, vec![op(at, Verb::Purge)]).await.unwrap();
    }
    let mut upload = first.upload(&path("home/large"));
    for _ in 0..20_000 {
        upload.push("a rather secret sentence ".into()).await.unwrap();
    }
    let body_in = upload.finish().await.unwrap();
    let verb = Verb::Put { body: body_in, content_type: "a/b".into(), headers: [].into() };
    write(&first, vec![op("home/large", verb)]).await.unwrap();
    write(&first, vec![op("home/large", Verb::Purge)]).await.unwrap();
    // The writer lets go of the body right after its answer.
    tokio::time::sleep(Duration::from_millis(100)).await;
    while first.0.store.sweep_idly() {}
    first.close(Duration::from_secs(5)).unwrap();
    let file = std::fs::read(dir.path().join(crate::store::sqlite::FILE)).unwrap();
    let found = file.windows(14).any(|window| window == b"secret sentenc");
    assert!(!found, "the body is still in the file");
}

#[tokio::test]
async fn what_was_staged_for_a_refused_write_is_freed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    for at in ["home/from", "home/to"] {
        write(&engine, vec![put(at, &[7; 600_000])]).await.unwrap();
    }
    let transfer = Transfer {
        from: path("home/from"),
        to: path("home/to"),
        moves: false,
        overwrite: false,
        from_conditions: Conditions::default(),
        to_conditions: Conditions::default(),
    };
    let refused = engine.transfer(&transfer, &Caller::default()).await;
    assert!(matches!(refused, Err(Refusal::AlreadyThere)), "{refused:?}");
    let file = rusqlite::Connection::open(dir.path().join(crate::store::sqlite::FILE)).unwrap();
    let staged =
        || -> i64 { file.query_row("SELECT count(*) FROM staged", [], |row| row.get(0)).unwrap() };
    assert_eq!(staged(), 1, "the copy was laid before it was judged");
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while staged() > 0 && std::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(staged(), 0);
    engine.close(Duration::from_secs(5)).unwrap();
}

#[tokio::test]
async fn a_lifetime_ends_for_readers_at_its_second_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let mut all = engine.listen(Arc::new(Everything), None);
    for at in ["home/short/a", "tmp/short/a"] {
        write(&engine, vec![put(at, b"x")]).await.unwrap();
        assert!(engine.head(&path(at)).await.unwrap().is_some());
    }
    assert_eq!(numbers(&mut all, 2).await.len(), 2);
    tokio::time::sleep(Duration::from_millis(1010)).await;
    for at in ["home/short/a", "tmp/short/a"] {
        assert!(engine.head(&path(at)).await.unwrap().is_none(), "{at}");
        assert!(engine.list(at, "", 9).await.unwrap().is_empty(), "{at}");
    }
    let mut told = vec![];
    while told.len() < 2 {
        let next = tokio::time::timeout(Duration::from_secs(5), all.next()).await.unwrap();
        let Signal::Events(events) = next else { panic!("two deletes") };
        told.extend(events.iter().map(|event| (event.kind, event.link.clone())));
    }
    assert_eq!(told, [(Kind::Delete, Some(Link::Expired)), (Kind::Delete, Some(Link::Expired))]);
    assert_eq!(engine.head(&path("var/log/deletes")).await.unwrap().unwrap().events, 2);
    engine.close(Duration::from_secs(5)).unwrap();
}
