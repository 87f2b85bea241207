//! One suite that every driver passes: what a world does, whatever keeps it.

use std::sync::Arc;

use bytes::Bytes;

use super::memory::MemoryStore;
use super::sqlite::{Options, SqliteStore};
use super::*;

const MAX_WORLD: u64 = 1 << 20;
const QUOTA: u64 = 2 << 20;

/// A driver under test, its numbers, and a namespace that it keeps.
struct Bench {
    driver: Box<dyn Driver>,
    numbers: Numbers,
    at: &'static str,
    _dir: Option<tempfile::TempDir>,
}

fn benches() -> Vec<Bench> {
    let numbers = Numbers::above(0);
    numbers.allow(1000);
    let memory = MemoryStore::new(MAX_WORLD, QUOTA, rules::Rules::default());
    let dir = tempfile::tempdir().unwrap();
    let (sqlite, own) = SqliteStore::open(&options(dir.path())).unwrap();
    vec![
        Bench { driver: Box::new(memory), numbers, at: "tmp", _dir: None },
        Bench { driver: Box::new(sqlite), numbers: own, at: "home", _dir: Some(dir) },
    ]
}

pub fn options(dir: &std::path::Path) -> Options<'_> {
    Options {
        data_dir: dir,
        key: b"0123456789abcdef0123456789abcdef",
        older_keys: &[],
        max_world: MAX_WORLD,
        quota: Some(QUOTA),
        rules: rules::Rules::default(),
        cache_bytes: 1 << 20,
        cache_entries: 100,
        read_only: false,
        announce: |_| {},
    }
}

pub fn op(path: &str, verb: Verb) -> Op {
    Op {
        path: WorldPath::parse(path).unwrap(),
        verb,
        conditions: Conditions::default(),
        link: None,
    }
}

pub fn put(path: &str, body: impl Into<Bytes>) -> Op {
    let body = NewBody::whole(body.into());
    op(path, Verb::Put { body, content_type: "text/plain".into(), headers: [].into() })
}

pub fn append(path: &str, body: impl Into<Bytes>) -> Op {
    op(path, Verb::Append { body: NewBody::whole(body.into()) })
}

pub fn write(ops: Vec<Op>) -> Write {
    Write { ops, ..Write::default() }
}

impl Bench {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    fn one(&self, op: Op) -> Result<Done, Refusal> {
        self.all(vec![op]).map(|mut done| done.remove(0))
    }

    fn all(&self, ops: Vec<Op>) -> Result<Vec<Done>, Refusal> {
        let mut batch = self.driver.commit(&[write(ops)], &self.numbers);
        assert_eq!(batch.answers.len(), 1);
        batch.answers.remove(0)
    }

    fn head(&self, name: &str) -> Option<Arc<Head>> {
        self.driver.head(&WorldPath::parse(&self.path(name)).unwrap()).unwrap()
    }

    fn if_match(&self, mut op: Op, tag: Tag) -> Result<Done, Refusal> {
        op.conditions.if_match = Some(Tags { strong: vec![tag], ..Tags::default() });
        self.one(op)
    }
}

#[test]
fn a_world_is_made_replaced_grown_and_removed() {
    for bench in benches() {
        let path = bench.path("a");
        assert!(bench.head("a").is_none());
        assert!(bench.one(put(&path, "one")).unwrap().created);
        assert!(!bench.one(put(&path, "two!")).unwrap().created);
        let done = bench.one(append(&path, "more")).unwrap();
        let head = bench.head("a").unwrap();
        assert_eq!((head.size, head.events, head.seq), (8, 3, done.seq));
        assert_eq!(Some(head.tag), done.tag);
        assert_eq!(head.body_sha256, crate::audit::sha256(b"two!more"));
        bench.one(op(&path, Verb::Delete)).unwrap();
        assert!(bench.head("a").is_none());
        assert_eq!(bench.one(append(&path, "x")).unwrap_err(), Refusal::NotFound);
        assert_eq!(bench.one(op(&path, Verb::Delete)).unwrap_err(), Refusal::NotFound);
        assert_eq!(bench.driver.usage().bytes, 0);
    }
}

#[test]
fn conditions_are_judged_at_the_commit() {
    for bench in benches() {
        let path = bench.path("c");
        let other = Tag::Sha256([1; 32]);
        assert_eq!(bench.if_match(put(&path, "x"), other).unwrap_err(), Refusal::NothingToMatch);
        let first = bench.one(put(&path, "x")).unwrap().tag.unwrap();
        assert_eq!(bench.if_match(put(&path, "y"), other).unwrap_err(), Refusal::Mismatch);
        bench.if_match(put(&path, "y"), first).unwrap();
        let mut create = put(&path, "z");
        create.conditions.if_none_match = Some(Tags { any: true, ..Tags::default() });
        assert_eq!(bench.one(create).unwrap_err(), Refusal::AlreadyThere);
        let mut late = append(&path, "z");
        late.conditions.offset = Some(0);
        assert_eq!(bench.one(late).unwrap_err(), Refusal::WrongOffset(1));
    }
}

#[test]
fn a_group_takes_place_whole_or_not_at_all() {
    for bench in benches() {
        bench.one(put(&bench.path("keep"), "k")).unwrap();
        let missing = append(&bench.path("missing"), "m");
        let ops = vec![put(&bench.path("new"), "n"), put(&bench.path("keep"), "changed"), missing];
        assert_eq!(bench.all(ops).unwrap_err(), Refusal::NotFound);
        assert!(bench.head("new").is_none());
        assert_eq!(bench.head("keep").unwrap().size, 1);
        assert_eq!(bench.driver.usage(), Usage { worlds: 1, bytes: 1 });
        let ops = vec![put(&bench.path("new"), "n"), append(&bench.path("new"), "n")];
        assert_eq!(bench.all(ops).unwrap().len(), 2);
        assert_eq!(bench.head("new").unwrap().size, 2);
    }
}

#[test]
fn sizes_are_bounded_and_what_shrinks_always_fits() {
    for bench in benches() {
        let path = bench.path("big");
        let max = Refusal::TooLarge { max: MAX_WORLD };
        assert_eq!(bench.one(put(&path, vec![0; MAX_WORLD as usize + 1])).unwrap_err(), max);
        bench.one(put(&path, vec![0; MAX_WORLD as usize])).unwrap();
        assert_eq!(bench.one(append(&path, "x")).unwrap_err(), max);
        bench.one(put(&bench.path("big2"), vec![0; MAX_WORLD as usize])).unwrap();
        let refusal = bench.one(put(&bench.path("big3"), "x")).unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::MemoryFull { .. } | Refusal::StorageFull { needed: 1, .. }
        ));
        bench.one(put(&bench.path("big3"), "")).unwrap();
        bench.one(put(&path, "small")).unwrap();
    }
}

#[test]
fn lists_are_in_byte_order_and_paged() {
    for bench in benches() {
        for name in ["b/2", "a", "b/10", "b", "c", "日本"] {
            bench.one(put(&bench.path(name), name.to_owned())).unwrap();
        }
        let names = |prefix: &str, after: &str, limit| -> Vec<String> {
            let found = bench.driver.list(prefix, after, limit).unwrap();
            found.iter().map(|entry| entry.path.as_str().to_owned()).collect()
        };
        let path = |name| bench.path(name);
        assert_eq!(names("", "", 2), [path("a"), path("b")]);
        assert_eq!(names("", &path("b"), 9), ["b/10", "b/2", "c", "日本"].map(path));
        assert_eq!(names(&path("b/"), "", 9), [path("b/10"), path("b/2")]);
        assert_eq!(names(&path("b/"), &path("b/10"), 9), [path("b/2")]);
        assert_eq!(names(&path("nothing"), "", 9), Vec::<String>::new());
    }
}

#[test]
fn every_number_is_settled_and_events_come_in_order() {
    for bench in benches() {
        let (a, gone) = (bench.path("a"), bench.path("gone"));
        let writes = vec![
            write(vec![put(&a, "1")]),
            write(vec![put(&a, "2"), append(&gone, "refused")]),
            write(vec![append(&a, "3")]),
            write(vec![op(&a, Verb::Delete)]),
        ];
        let first = bench.numbers.next();
        let batch = bench.driver.commit(&writes, &bench.numbers);
        let taken: Vec<u64> = batch.numbers.iter().map(|(number, _)| *number).collect();
        assert_eq!(taken, (first..bench.numbers.next()).collect::<Vec<_>>());
        let kinds: Vec<Kind> =
            batch.numbers.iter().filter_map(|(_, event)| event.as_ref().map(|e| e.kind)).collect();
        assert_eq!(kinds, [Kind::Create, Kind::Append, Kind::Delete]);
    }
}
