//! Room kept back on the disk, so that deletes and checkpoints still succeed when it is full.

use std::fs::OpenOptions;
use std::io::ErrorKind::{QuotaExceeded, StorageFull};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// What is kept back, in bytes; on a small disk a sixteenth of it.
const SIZE: u64 = 16 << 20;
const PART: u64 = 16;

/// The reserve is made only where so many times its size is free.
const FREE: u64 = 2;

const RETRY: Duration = Duration::from_secs(1);

/// The room, and whether it has been given up: from then on only what makes room is written,
/// until it can be kept back again.
pub struct Reserve {
    file: PathBuf,
    size: u64,
    held: AtomicBool,
    spent: AtomicBool,
    tight: AtomicBool,
    tried: Mutex<Instant>,
}

impl Reserve {
    /// The reserve of `dir` as an earlier life left it; `renew` makes one where there is none.
    pub fn of(dir: &Path) -> Self {
        let file = dir.join("elastik.reserve");
        let disk = statvfs(dir).map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        let size = SIZE.min(disk / PART);
        let whole = std::fs::metadata(&file).is_ok_and(|file| file.len() >= size);
        Self {
            file,
            size,
            held: AtomicBool::new(whole),
            spent: AtomicBool::new(false),
            tight: AtomicBool::new(false),
            tried: Mutex::new(Instant::now()),
        }
    }

    /// Gives the room up; true when there was any. Only the writer does it (see `has_room`).
    pub fn give_up(&self) -> bool {
        let given = self.held.swap(false, Relaxed) && std::fs::remove_file(&self.file).is_ok();
        self.spent.fetch_or(given, Relaxed);
        given
    }

    /// Keeps room back again, when there is enough. Where there is not, only what makes room is
    /// written: else a full disk would refuse deletes too.
    pub fn renew(&self) {
        if self.held.load(Relaxed) {
            return;
        }
        match self.allocate() {
            Ok(()) => {
                self.held.store(true, Relaxed);
                self.spent.store(false, Relaxed);
            }
            Err(why) if matches!(why.kind(), StorageFull | QuotaExceeded) => {
                self.spent.store(true, Relaxed);
            }
            // A file system that cannot keep room back: the disk is used to its end.
            Err(_) => self.spent.store(false, Relaxed),
        }
    }

    /// Whether the room is given up, as the writer left it.
    pub fn was_given_up(&self) -> bool {
        self.spent.load(Relaxed)
    }

    /// Bytes that are free on the disk; the reserve is not among them while it is held.
    pub fn free(&self) -> u64 {
        let dir = self.file.parent().unwrap_or(Path::new("."));
        statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether the room is given up still; looks once a second whether there is enough again.
    pub fn is_spent(&self) -> bool {
        if self.spent.load(Relaxed) {
            let mut tried = self.tried.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if tried.elapsed() >= RETRY {
                *tried = Instant::now();
                self.renew();
            }
        }
        self.spent.load(Relaxed)
    }

    /// A write was refused for want of room: what is free in the file is wanted by the disk.
    pub fn is_tight(&self) -> bool {
        self.tight.load(Relaxed) || self.spent.load(Relaxed)
    }

    pub fn set_tight(&self, tight: bool) {
        self.tight.store(tight, Relaxed);
    }

    pub fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Bytes that are kept back, or would be.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn allocate(&self) -> std::io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.file)?;
        let outcome = if self.free() >= FREE * self.size {
            fallocate(&file, FallocateFlags::empty(), 0, self.size).map_err(Into::into)
        } else {
            Err(StorageFull.into())
        };
        if outcome.is_err() {
            let _ = std::fs::remove_file(&self.file);
        }
        outcome
    }
}
