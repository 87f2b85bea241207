//! Our own sequence numbers: one row for all contexts, and none is ever given out twice, whatever
//! stops the program (RFC 8613 §7.5, appendix B.1.1).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cose::MAX_NUMBER;

/// Numbers that are set apart at a time: so many may be left out by a crash.
const STEP: u64 = 4096;
/// The clock gives the first number too, so that a data directory from a backup does not begin
/// with numbers that were used since: so many for each second from here on.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
const PER_SECOND: u64 = 256;

pub struct Numbers {
    file: PathBuf,
    /// The next number, and the first one that is not set apart.
    state: Mutex<(u64, u64)>,
}

impl Numbers {
    pub fn open(file: PathBuf, now: SystemTime) -> Result<Self, String> {
        let failed = |why: String| format!("OSCORE numbers in {}: {why}", file.display());
        let kept = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().map_err(|_| failed("not a number".to_owned()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error.to_string())),
        };
        let passed = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(EPOCH);
        let first = passed.as_secs().saturating_mul(PER_SECOND).max(kept);
        let numbers = Self { file: file.clone(), state: Mutex::new((first, first)) };
        numbers.set_apart(&mut (first, first)).map_err(|error| failed(error.to_string()))?;
        numbers.state.lock().unwrap_or_else(PoisonError::into_inner).1 = first + STEP;
        Ok(numbers)
    }

    /// The next number; none when it could not be written down first, or there is none left.
    pub fn take(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 >= state.1 {
            self.set_apart(&mut state).ok()?;
        }
        let number = state.0;
        (number <= MAX_NUMBER).then(|| {
            state.0 += 1;
            number
        })
    }

    /// Writes down that the next few numbers are used, before any of them is.
    fn set_apart(&self, state: &mut (u64, u64)) -> io::Result<()> {
        let end = state.1.saturating_add(STEP);
        let part = self.file.with_extension("part");
        let mut out = File::create(&part)?;
        out.write_all(format!("{end}\n").as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&part, &self.file)?;
        File::open(self.file.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        state.1 = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("numbers");
        let open = |now| Numbers::open(file.clone(), now).unwrap();
        let mut last = None;
        // The clock goes back, and the program is killed at any time.
        for (now, takes) in [(EPOCH + Duration::from_secs(9), 5000), (EPOCH, 3), (EPOCH, 9000)] {
            let numbers = open(UNIX_EPOCH + now);
            for _ in 0..takes {
                let number = numbers.take();
                assert!(number.is_some() && number > last, "{number:?} after {last:?}");
                last = number;
            }
        }
        // The file is gone: the clock alone goes on.
        std::fs::remove_file(&file).unwrap();
        assert!(open(UNIX_EPOCH + EPOCH + Duration::from_secs(3600)).take() > last);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let numbers = Numbers::open(inner.join("numbers"), UNIX_EPOCH).unwrap();
        std::fs::remove_dir_all(&inner).unwrap();
        let taken = std::iter::from_fn(|| numbers.take()).take(3 * STEP as usize).count();
        assert_eq!(taken, STEP as usize);
        let bad = directory.path().join("bad");
        std::fs::write(&bad, "soon").unwrap();
        assert!(Numbers::open(bad, UNIX_EPOCH).err().unwrap().contains("not a number"));
        let full = directory.path().join("full");
        std::fs::write(&full, MAX_NUMBER.to_string()).unwrap();
        let numbers = Numbers::open(full, UNIX_EPOCH).unwrap();
        assert_eq!((numbers.take(), numbers.take()), (Some(MAX_NUMBER), None));
    }
}
