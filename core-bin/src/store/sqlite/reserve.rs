//! Room kept back on the disk, so that deletes and checkpoints still succeed when it is full.

use std::fs::OpenOptions;
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
    tried: Mutex<Instant>,
}

impl Reserve {
    /// The reserve of `dir` as an earlier life left it; `renew` makes one where there is none.
    pub fn of(dir: &Path) -> Self {
        let file = dir.join("elastik.reserve");
        let held = AtomicBool::new(file.exists());
        let disk = statvfs(dir).map_or(0, |disk| disk.f_blocks.saturating_mul(disk.f_frsize));
        Self {
            file,
            size: SIZE.min(disk / PART),
            held,
            spent: AtomicBool::new(false),
            tried: Mutex::new(Instant::now()),
        }
    }

    /// Gives the room up; true when there was any.
    pub fn give_up(&self) -> bool {
        let given = self.held.swap(false, Relaxed) && std::fs::remove_file(&self.file).is_ok();
        self.spent.fetch_or(given, Relaxed);
        given
    }

    /// Keeps room back again, when there is enough; without it a full disk refuses deletes too.
    pub fn renew(&self) {
        if !self.held.load(Relaxed) && self.allocate().is_ok() {
            self.held.store(true, Relaxed);
            self.spent.store(false, Relaxed);
        }
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

    pub fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Bytes that are kept back, or would be.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn allocate(&self) -> std::io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.file)?;
        let outcome = if free(&self.file) >= FREE * self.size {
            fallocate(&file, FallocateFlags::empty(), 0, self.size).map_err(Into::into)
        } else {
            Err(std::io::ErrorKind::StorageFull.into())
        };
        if outcome.is_err() {
            let _ = std::fs::remove_file(&self.file);
        }
        outcome
    }
}

fn free(path: &Path) -> u64 {
    statvfs(path).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
