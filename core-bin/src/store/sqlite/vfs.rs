//! A layer over SQLite's own way to files: what a transaction appends to the WAL goes to the kernel
//! in one call, not in two for each page (<https://www.sqlite.org/vfs.html>).
//!
//! For the connection that writes: nobody else reads a frame of the WAL before the transaction's
//! last one is written, and with that one all are. The other files are opened beneath, as if the
//! layer were not there.

// SQLite is C: it hands over pointers, and takes them.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::OnceLock;

use rusqlite::ffi::{
    self, SQLITE_ERROR, SQLITE_IOERR, SQLITE_OK, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_filename,
    sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
};
use rusqlite::{Connection, OpenFlags};

/// What SQLite knows the layer by.
const NAME: &CStr = c"elastik";

/// What is held at the most, in bytes: SQLite's file for Unix takes no more in one call.
const MOST: usize = 0x1ffff;

/// The header of a frame; its second number is not 0 when the frame commits
/// (<https://www.sqlite.org/fileformat2.html#walformat>).
pub const HEADER: usize = 24;

/// Opens a database for its writer, through the layer.
pub fn connect(file: &Path) -> rusqlite::Result<Connection> {
    static ADDED: OnceLock<c_int> = OnceLock::new();
    match *ADDED.get_or_init(add) {
        SQLITE_OK => Connection::open_with_flags_and_vfs(file, OpenFlags::default(), NAME),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

/// Makes the layer known to SQLite.
fn add() -> c_int {
    // SAFETY: what SQLite finds it never frees, and what it is given lives as long.
    unsafe {
        let beneath = ffi::sqlite3_vfs_find(null());
        if beneath.is_null() {
            return SQLITE_ERROR;
        }
        let layer = sqlite3_vfs {
            szOsFile: size_of::<File>() as c_int + (*beneath).szOsFile,
            zName: NAME.as_ptr(),
            pNext: null_mut(),
            xOpen: Some(open),
            ..*beneath
        };
        ffi::sqlite3_vfs_register(Box::leak(Box::new(layer)), 0)
    }
}

/// A WAL as SQLite sees it; the file beneath lies behind it in the same memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    held: *mut Held,
}

/// Frames that belong at `start`, still to be written.
#[derive(Default)]
struct Held {
    start: i64,
    bytes: Vec<u8>,
    /// The last header is of the frame that commits.
    commits: bool,
}

/// What became of bytes that were to be held.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// More will come behind them.
    Held,
    /// They are a transaction's last: all has to be written.
    Whole,
    /// They are for the file, after what is held.
    No,
}

impl Held {
    /// A header that does not commit is followed by its page and by another header. That is all
    /// that is known: SQLite also writes single headers and single pages, inside the file.
    fn take(&mut self, at: i64, bytes: &[u8]) -> Taken {
        let header = bytes.len() == HEADER;
        let commits = header && bytes[4..8] != [0; 4];
        if self.bytes.is_empty() {
            if !header || commits {
                return Taken::No;
            }
            self.start = at;
        }
        let end = self.start + self.bytes.len() as i64;
        if at != end || self.bytes.len() + bytes.len() > MOST {
            return Taken::No;
        }
        self.bytes.extend_from_slice(bytes);
        self.commits = commits || (self.commits && !header);
        if self.commits && !header { Taken::Whole } else { Taken::Held }
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

// SAFETY, for all below: SQLite calls them with memory of `szOsFile` bytes that `open` has filled,
// from one thread at a time, and not after `close`.

unsafe extern "C" fn open(
    _layer: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let vfs = ffi::sqlite3_vfs_find(null());
        let Some(open) = vfs.as_ref().and_then(|vfs| vfs.xOpen) else { return SQLITE_ERROR };
        if flags & SQLITE_OPEN_WAL == 0 {
            return open(vfs, name, file, flags, out);
        }
        let code = open(vfs, name, beneath(file), flags, out);
        // A file without methods needs no closing, also not by us.
        let opened = !(*beneath(file)).pMethods.is_null();
        let (methods, held) = if opened {
            (&raw const METHODS, Box::into_raw(Box::default()))
        } else {
            (null(), null_mut())
        };
        file.cast::<File>().write(File { base: sqlite3_file { pMethods: methods }, held });
        code
    }
}

/// The file beneath.
unsafe fn beneath(file: *mut sqlite3_file) -> *mut sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

/// A method of the file beneath.
macro_rules! below {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let file = beneath($file);
        match (*(*file).pMethods).$method {
            Some(method) => method(file $(, $argument)*),
            None => SQLITE_IOERR,
        }
    }};
}

/// Writes what is held. When that fails the transaction does, so it is not tried again.
unsafe fn flush(file: *mut sqlite3_file) -> c_int {
    unsafe {
        let held = &mut *(*file.cast::<File>()).held;
        if held.bytes.is_empty() {
            return SQLITE_OK;
        }
        let (bytes, length) = (held.bytes.as_ptr().cast(), held.bytes.len() as c_int);
        let code = below!(file, xWrite, bytes, length, held.start);
        held.bytes.clear();
        code
    }
}

/// A method that has to find in the file what is held.
macro_rules! flushed {
    ($file:expr, $method:ident $(, $argument:expr)*) => {
        match flush($file) {
            SQLITE_OK => below!($file, $method $(, $argument)*),
            code => code,
        }
    };
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    unsafe {
        let bytes = slice::from_raw_parts(from.cast(), length as usize);
        let take = || (*(*file.cast::<File>()).held).take(at, bytes);
        let mut taken = take();
        if taken == Taken::No {
            let code = flush(file);
            if code != SQLITE_OK {
                return code;
            }
            taken = take();
        }
        match taken {
            Taken::Held => SQLITE_OK,
            Taken::Whole => flush(file),
            Taken::No => below!(file, xWrite, from, length, at),
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    unsafe {
        let flushed = flush(file);
        drop(Box::from_raw((*file.cast::<File>()).held));
        match below!(file, xClose) {
            SQLITE_OK => flushed,
            code => code,
        }
    }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    unsafe { flushed!(file, xRead, to, length, at) }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    unsafe { flushed!(file, xTruncate, size) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    unsafe { flushed!(file, xSync, flags) }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    unsafe { flushed!(file, xFileSize, size) }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    unsafe { below!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    unsafe { below!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    unsafe { below!(file, xCheckReservedLock, out) }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, with: *mut c_void) -> c_int {
    unsafe { flushed!(file, xFileControl, op, with) }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    unsafe { below!(file, xSectorSize) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    unsafe { below!(file, xDeviceCharacteristics) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(commits: bool) -> [u8; HEADER] {
        let mut header = [1; HEADER];
        header[4..8].fill(u8::from(commits));
        header
    }

    #[test]
    fn only_what_is_followed_is_held() {
        let (page, mut held) = ([7; 512], Held::default());
        assert_eq!(held.take(32, &page), Taken::No, "a page alone");
        assert_eq!(held.take(32, &header(true)), Taken::No, "the header that commits, alone");
        assert_eq!(held.take(32, &header(false)), Taken::Held);
        assert_eq!(held.take(32, &page), Taken::No, "elsewhere");
        assert_eq!(held.take(56, &page), Taken::Held);
        assert_eq!(held.take(568, &header(true)), Taken::Held);
        assert_eq!(held.take(592, &page), Taken::Whole);
        assert_eq!((held.start, held.bytes.len()), (32, 2 * 536));
        assert_eq!(held.take(1104, &vec![0; MOST]), Taken::No, "too much");
    }

    /// After each commit another connection, without the layer, reads what is expected.
    #[test]
    fn others_read_each_commit_whatever_became_of_the_transaction_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        let db = connect(&file).unwrap();
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
        db.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        // So few pages are cached that a large transaction writes some of them twice.
        db.pragma_update(None, "cache_size", 10).unwrap();
        db.execute_batch("CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB)").unwrap();
        let other = Connection::open(&file).unwrap();
        let sum = |db: &Connection| -> (i64, i64) {
            let sql = "SELECT count(*), coalesce(sum(length(v) * k), 0) FROM t";
            db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
        };
        let (mut seed, mut kept) = (1u32, (0, 0));
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..300 {
            let level = ["FULL", "NORMAL"][random(2) as usize];
            db.pragma_update(None, "synchronous", level).unwrap();
            db.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..[1, 3, 60][random(3) as usize] {
                let (key, size) = (random(200), [10, 3000, 200_000][random(3) as usize]);
                let undone = random(5) == 0;
                if undone {
                    db.execute_batch("SAVEPOINT s").unwrap();
                }
                let sql = "INSERT OR REPLACE INTO t VALUES(?1, randomblob(?2))";
                db.execute(sql, [key, size]).unwrap();
                if undone {
                    db.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
                }
            }
            if random(4) > 0 {
                kept = sum(&db);
                db.execute_batch("COMMIT").unwrap();
            } else {
                db.execute_batch("ROLLBACK").unwrap();
            }
            assert_eq!(sum(&other), kept);
            if random(9) == 0 {
                let on = [&db, &other][random(2) as usize];
                on.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            }
        }
        let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        assert_eq!(other.query_row("PRAGMA integrity_check", [], check).unwrap(), "ok");
    }
}
