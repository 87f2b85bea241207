//! Moving house: worlds of the 8.x layout become rows of a new store (design §2).
//!
//! The new file is written beside, checked, synced and renamed; only then are the old directories
//! moved away, whole. A crash at any step leaves either the old house or the new one.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::moving::{self, Moving};
use super::pages::{ReadOnlyStore, beside};
use super::schema::StoreRow;
use super::{FILE, bounds, chains, check, objects, rows, schema};
use crate::audit::finding::{Finding, Problem};
use crate::audit::keys::{AuditKey, Keyring};
use crate::audit::log::{self, LogKind, LogRow};
use crate::audit::world::Times;
use crate::path::{WorldPath, decode_disk_name};
use crate::store::v8::{self, Normal, Place, State, read::OldWorld};
use crate::store::{ChainRow, Hash, INLINE_MAX, PIECE, hex, now_us};

/// The new file's name until it is whole.
const IMPORTING: &str = "elastik.db.importing";

/// Room that is asked for beside the worlds' own size, in bytes.
const ROOM: u64 = 32 << 20;

/// Rows of the import's own transactions: one for so many worlds or bytes.
const TOGETHER: (u64, u64) = (500, 64 << 20);

/// What an import did.
#[derive(Debug, Default)]
pub struct Imported {
    pub worlds: u64,
    pub events: u64,
    pub bytes: u64,
    /// Worlds whose rows do not hold, with the reason.
    pub set_aside: Vec<(String, String)>,
    /// Directories that are no world here, with the reason.
    pub left_out: Vec<(String, String)>,
    /// Where the old directories are now.
    pub original: Option<PathBuf>,
}

/// What a start finds in the data directory, before it opens its store: the rest of an interrupted
/// import, or worlds of 8.x that are imported now. The writer's lock is held.
pub fn on_start(data_dir: &Path, ring: &Keyring, announce: &dyn Fn(&str)) -> Result<(), String> {
    forget(&data_dir.join(IMPORTING));
    let places = v8::places(data_dir)?;
    if std::fs::metadata(data_dir.join(FILE)).is_ok_and(|meta| meta.len() > 0) {
        if let Some(to) = moving::beside_a_store(data_dir, &places)? {
            announce(&format!("what was imported before is now in {}", to.display()));
        }
        return Ok(());
    }
    if places.is_empty() {
        return Ok(());
    }
    import(data_dir, data_dir, ring, announce).map(|_| ())
}

/// Imports worlds of `source` into a new store in `data_dir`, whose writer's lock is held.
pub fn import(
    data_dir: &Path,
    source: &Path,
    ring: &Keyring,
    announce: &dyn Fn(&str),
) -> Result<Imported, String> {
    let places = v8::places(source)?;
    let size: u64 = places.iter().map(|place| place.bytes).sum();
    right_key(&places, ring.current())?;
    room_for(data_dir, size)?;
    announce(&format!(
        "importing {} worlds of elastik 8.x from {} ({size} bytes)",
        places.len(),
        source.display()
    ));
    let file = data_dir.join(IMPORTING);
    forget(&file);
    moving::forget_unnamed(data_dir);
    let mut done = Imported::default();
    let moving = write(&file, &places, ring, &mut done)?;
    let in_place = same(data_dir, source);
    let moving = if in_place { Some(moving.begin(data_dir)?) } else { None };
    std::fs::rename(&file, data_dir.join(FILE)).map_err(|e| format!("{}: {e}", file.display()))?;
    super::sync_dirs(data_dir).map_err(|e| format!("{}: {e}", data_dir.display()))?;
    if let Some(moving) = moving {
        done.original = Some(moving.finish(data_dir)?);
    }
    report(&done, announce);
    Ok(done)
}

fn report(done: &Imported, announce: &dyn Fn(&str)) {
    announce(&format!("imported {} worlds with {} events", done.worlds, done.events));
    for (path, reason) in &done.set_aside {
        announce(&format!("set aside: {path}: {reason}"));
    }
    for (name, reason) in &done.left_out {
        announce(&format!("left out: {name}: {reason}"));
    }
    if let Some(original) = &done.original {
        announce(&format!("what was there is in {}", original.display()));
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Removes what an interrupted import left.
pub fn forget(file: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = std::fs::remove_file(beside(file, suffix));
    }
}

/// The key must have made one chain at least, before anything is written.
fn right_key(places: &[Place], key: &AuditKey) -> Result<(), String> {
    let mut seen = 0;
    for place in places {
        let Ok(Some(first)) = OldWorld::open(place).map(|old| old.first().ok().flatten()) else {
            continue;
        };
        if v8::made_with(key, &first) {
            return Ok(());
        }
        seen += 1;
    }
    if seen == 0 {
        return Ok(());
    }
    Err(format!(
        "wrong key: none of {seen} worlds of the 8.x layout was written under this ELASTIK_KEY; \
         nothing was changed"
    ))
}

fn room_for(dir: &Path, size: u64) -> Result<(), String> {
    let needed = size + size / 5 + ROOM;
    match moving::free_bytes(dir) {
        Some(free) if free < needed => Err(format!(
            "no room to import: it needs {needed} bytes in {}, {free} are free; nothing was changed",
            dir.display()
        )),
        _ => Ok(()),
    }
}

/// Writes the new file, checks all of it, and syncs it.
fn write(
    file: &Path,
    places: &[Place],
    ring: &Keyring,
    done: &mut Imported,
) -> Result<Moving, String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", file.display());
    let (db, row) = schema::open(file, ring.current())?;
    // Nobody relies on this file before it is synced as a whole and has its name.
    db.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    db.pragma_update(None, "wal_autocheckpoint", 4096).map_err(failed)?;
    let mut writer = Importer { db: &db, row, key: ring.current(), done };
    let moving = writer.all(places).map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    super::wal::truncate(&db).map_err(failed)?;
    drop(db);
    set_aside(file, ring, done)?;
    let synced = std::fs::File::open(file).and_then(|handle| handle.sync_all());
    synced.map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(moving)
}

/// Checks what was written, as `verify` does; a world that does not hold is set aside.
fn set_aside(file: &Path, ring: &Keyring, done: &mut Imported) -> Result<(), String> {
    let store = ReadOnlyStore::open(file)?;
    let keys = store.keys(ring)?;
    let asked = check::Asked { keys: &keys, anchors: &[], only: &[] };
    let mut faults = vec![];
    let mut broken = None;
    check::run(&store, &asked, &mut |told| match told {
        check::Told::Store(finding) => broken = Some(finding.to_string()),
        check::Told::World(world) => {
            let of = |problem| move |f: &&Finding| f.problem == problem;
            let body = world.findings.iter().find(of(Problem::WorldBody));
            let first = world.findings.iter().find(|f| f.problem != Problem::SetAside);
            if let Some(finding) = body.or(first) {
                faults.push((world.id, world.path.clone(), said(finding), world.fault.clone()));
            }
        }
    })
    .map_err(|error| error.0)?;
    drop(store);
    if let Some(broken) = broken {
        return Err(format!("the import does not hold, nothing was changed: {broken}"));
    }
    let db = Connection::open(file).map_err(|e| e.to_string())?;
    for (id, path, found, known) in faults {
        let reason = known.unwrap_or(found);
        db.execute("UPDATE world SET fault = ?2 WHERE id = ?1", params![id, reason])
            .map_err(|e| e.to_string())?;
        done.set_aside.push((path, reason));
    }
    super::wal::truncate(&db).map_err(|e| e.to_string())
}

/// A finding as a world's own reason.
pub fn said(finding: &Finding) -> String {
    let text = finding.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, reason)| reason.to_owned())
}

struct Importer<'a> {
    db: &'a Connection,
    row: StoreRow,
    key: &'a AuditKey,
    done: &'a mut Imported,
}

/// The newest of a world's events, and how many there are.
#[derive(Default)]
struct Chain {
    events: u64,
    last_id: i64,
    time_us: i64,
    hmac: Vec<u8>,
    times: Times,
}

impl Importer<'_> {
    fn all(&mut self, places: &[Place]) -> rusqlite::Result<Moving> {
        let mut moving = Moving::new(&schema::store_id(self.db)?);
        let (mut worlds, mut bytes) = (0, 0);
        self.db.execute_batch("BEGIN")?;
        for place in places {
            let hmac = self.place(place)?;
            moving.add(place, &hmac);
            worlds += 1;
            bytes += place.bytes;
            if worlds >= TOGETHER.0 || bytes >= TOGETHER.1 {
                (worlds, bytes) = (0, 0);
                self.seal()?;
                self.db.execute_batch("COMMIT; BEGIN")?;
            }
        }
        self.seal()?;
        self.db.execute_batch("COMMIT")?;
        Ok(moving)
    }

    fn seal(&self) -> rusqlite::Result<()> {
        let row = &self.row;
        self.db.execute(
            "UPDATE store SET high_water = ?1, seq = ?1, mac = ?2, worlds = ?3, bytes = ?4, \
             next_row = ?5",
            params![
                row.seq as i64,
                &row.mac[..],
                row.worlds as i64,
                row.bytes as i64,
                row.ids.next()
            ],
        )?;
        Ok(())
    }

    /// One directory; returns the newest hmac of its chain as the text it is.
    fn place(&mut self, place: &Place) -> rusqlite::Result<String> {
        let path = match world_path(&place.disk_name) {
            Ok(path) => path,
            Err(reason) => {
                self.done.left_out.push((place.disk_name.clone(), reason));
                return Ok(newest(place));
            }
        };
        let taken: bool = self.db.query_row(
            "SELECT EXISTS(SELECT 1 FROM world WHERE path = ?1)",
            [path.as_str()],
            |row| row.get(0),
        )?;
        if taken {
            let reason = format!("another directory is {path} already");
            self.done.left_out.push((place.disk_name.clone(), reason));
            return Ok(newest(place));
        }
        self.db.execute_batch("SAVEPOINT place")?;
        let kept = self.row.clone();
        let outcome = match OldWorld::open(place) {
            Ok(old) => self.world(&path, &old),
            Err(text) => Err(Broken::Old(text)),
        };
        match outcome {
            Ok(()) => {}
            Err(Broken::New(error)) => return Err(error),
            Err(Broken::Old(text)) => {
                self.db.execute_batch("ROLLBACK TO place")?;
                self.row = kept;
                self.unreadable(&path, &text)?;
            }
        }
        self.db.execute_batch("RELEASE place")?;
        Ok(newest(place))
    }

    fn world(&mut self, path: &WorldPath, old: &OldWorld) -> Result<(), Broken> {
        let state = old.state().map_err(Broken::of_old)?;
        // Each event takes a number; the last one's is that of the log's row, which they share.
        let count = old.count().map_err(Broken::of_old)?;
        let mut n = self.row.seq as i64;
        self.row.seq += count.max(1) - 1;
        let (id, seq) = (self.row.ids.take(), self.row.seq + 1);
        let mut chain = Chain::default();
        let mut written = Ok(());
        let (db, number) = (self.db, self.row.key);
        let read = old.each_event(&mut |event_id, raw| {
            let event = v8::normal(&raw, chain.time_us);
            let prev = (chain.events > 0).then_some(n);
            n += 1;
            chain.add(event_id, &event);
            let target = (event.target != path.as_str()).then_some(event.target.as_str());
            let count = chain.events;
            let added = chains::Added {
                n,
                world: id,
                count,
                id: event_id,
                prev,
                seq: seq as i64,
                time_us: event.time_us,
                time_text: event.time_text.as_deref(),
                kind: &event.kind,
                target,
                body_sha256: &event.body_sha256,
                size: event.size,
                content_type: &event.content_type,
                headers: &event.headers,
                meta_sha256: &event.meta_sha256,
                hmac: &event.hmac,
                prev_hmac: &event.prev_hmac,
                key: number,
                raw: event.raw.as_deref(),
            };
            written = chains::add(db, &added);
            if written.is_err() { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
        });
        written.map_err(Broken::New)?;
        read.map_err(Broken::of_old)?;
        self.lay(path, id, &state, &chain, None).map_err(Broken::New)
    }

    /// A world that cannot be read has a name and a reason here, and its file in the old house.
    fn unreadable(&mut self, path: &WorldPath, text: &str) -> rusqlite::Result<()> {
        let id = self.row.ids.take();
        let reason = format!("{} cannot be read: {text}", v8::FILE);
        let state =
            State { content_type: "application/octet-stream".to_owned(), ..State::default() };
        self.lay(path, id, &state, &Chain::default(), Some(reason))
    }

    /// The world's row and the log's row that records its import.
    fn lay(
        &mut self,
        path: &WorldPath,
        id: i64,
        state: &State,
        chain: &Chain,
        fault: Option<String>,
    ) -> rusqlite::Result<()> {
        let hash = Sha256::new_with_prefix(&state.body);
        let body_sha256: Hash = hash.clone().finalize().into();
        let hmac: Hash = chain.hmac.as_slice().try_into().unwrap_or([0; 32]);
        let (mut body, mut object, mut tail) = (Some(&state.body[..]), None, 0);
        if state.body.len() > INLINE_MAX {
            let own = self.row.ids.take();
            let mut at = 0;
            for piece in state.body.chunks(PIECE * 16) {
                tail = objects::write(self.db, own, at, &[Bytes::copy_from_slice(piece)])?;
                at += piece.len() as u64;
            }
            (body, object) = (None, Some(own));
        }
        let mut row = LogRow {
            seq: self.row.seq + 1,
            time_us: now_us(),
            kind: LogKind::Import,
            path: path.as_str().to_owned(),
            hmac: hex(&hmac),
            content_type: state.content_type.clone(),
            size: state.body.len() as u64,
            link: chain.times.link(),
            key: self.row.key,
            prev_mac: self.row.mac,
            ..LogRow::default()
        };
        row.mac = log::mac(self.key, &row);
        rows::insert_log(self.db, &row)?;
        bounds::logged(self.db)?;
        (self.row.seq, self.row.mac) = (row.seq, row.mac);
        self.db.execute(
            "INSERT INTO world(id, path, seq, event_id, events, hmac, body_sha256, size, \
             content_type, headers, modified_us, body, object, tail, hash_state, fault) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            params![
                id,
                path.as_str(),
                row.seq as i64,
                chain.last_id,
                chain.events as i64,
                &hmac[..],
                &body_sha256[..],
                state.body.len() as i64,
                state.content_type,
                rows::encode_headers(&state.headers),
                chain.time_us,
                body,
                object,
                tail,
                object.map(|_| rows::pack(&hash)),
                fault,
            ],
        )?;
        self.row.worlds += u64::from(!path.is_ledger());
        self.row.bytes += state.body.len() as u64;
        self.done.worlds += 1;
        self.done.events += chain.events;
        self.done.bytes += state.body.len() as u64;
        Ok(())
    }
}

/// Which side an import failed on: the old world's, or ours.
enum Broken {
    Old(String),
    New(rusqlite::Error),
}

impl Broken {
    fn of_old(error: rusqlite::Error) -> Self {
        Self::Old(error.to_string())
    }
}

impl Chain {
    fn add(&mut self, id: i64, event: &Normal) {
        self.events += 1;
        (self.last_id, self.time_us) = (id, event.time_us);
        self.hmac.clone_from(&event.hmac);
        self.times.add(&timed(id, event));
    }
}

/// What `Times` needs of an event.
fn timed(id: i64, event: &Normal) -> ChainRow {
    let mut row = ChainRow::default();
    (row.id, row.time_us) = (id, event.time_us);
    row.time_text.clone_from(&event.time_text);
    row
}

fn newest(place: &Place) -> String {
    let hmac = OldWorld::open(place).and_then(|old| old.newest_hmac().map_err(|e| e.to_string()));
    hmac.unwrap_or_else(|_| "unreadable".to_owned())
}

/// The world that a directory's name stands for.
fn world_path(disk_name: &str) -> Result<WorldPath, String> {
    let text = decode_disk_name(disk_name).ok_or("its name is no UTF-8")?;
    let path = WorldPath::parse(&text).map_err(|error| format!("{text:?}: {}", error.text()))?;
    if path.as_str() != text {
        return Err(format!("{text:?} is no world's path"));
    }
    if !path.is_durable() {
        return Err(format!("{path} is a memory world"));
    }
    Ok(path)
}
