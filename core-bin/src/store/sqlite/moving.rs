//! The old world directories on their way to `8.x-original-<time>/`, with a list that survives a
//! crash: it is made before the new file gets its name and goes when the last directory is moved.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::pages::{Pages, ReadOnlyStore};
use super::schema;
use crate::store::v8::{Place, read::OldWorld};
use crate::store::{hex, now_us};
use crate::time;

/// The list inside the directory that the worlds move to.
const LIST: &str = ".moving";

/// The name of that directory begins so.
const PREFIX: &str = "8.x-original-";

/// What is to be moved: each directory with the newest hmac that was imported.
pub struct Moving {
    store_id: String,
    entries: Vec<(String, String)>,
    to: PathBuf,
}

impl Moving {
    pub fn new(store_id: &[u8]) -> Self {
        Self { store_id: hex(store_id), entries: vec![], to: PathBuf::new() }
    }

    pub fn add(&mut self, place: &Place, hmac: &str) {
        self.entries.push((place.disk_name.clone(), hmac.to_owned()));
    }

    /// Makes the directory and the list, on disk, before the new file gets its name.
    pub fn begin(mut self, data_dir: &Path) -> Result<Self, String> {
        let named: String = time::sql(now_us()).replace(' ', "T").replace([':', '-'], "");
        self.to = data_dir.join(format!("{PREFIX}{named}Z"));
        // Two imports in one second have two names.
        for number in 2..100 {
            if !self.to.exists() {
                break;
            }
            self.to = data_dir.join(format!("{PREFIX}{named}Z-{number}"));
        }
        let failed = |e: std::io::Error| format!("{}: {e}", self.to.display());
        std::fs::create_dir(&self.to).map_err(failed)?;
        let mut text = format!("{}\n", self.store_id);
        for (name, hmac) in &self.entries {
            text.push_str(&format!("{hmac}\t{name}\n"));
        }
        let mut file = std::fs::File::create_new(self.to.join(LIST)).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        super::sync_dirs(&self.to).map_err(failed)?;
        Ok(self)
    }

    /// A list that an interrupted import left, if it is of this store.
    fn left(data_dir: &Path, store_id: &str) -> Option<Self> {
        let (to, text) = lists(data_dir).find(|(_, text)| text.lines().next() == Some(store_id))?;
        let entries = text.lines().skip(1).filter_map(|line| line.split_once('\t'));
        let entries = entries.map(|(hmac, name)| (name.to_owned(), hmac.to_owned())).collect();
        Some(Self { store_id: store_id.to_owned(), entries, to })
    }

    /// Moves what is still there, whole; the list goes last.
    pub fn finish(&self, data_dir: &Path) -> Result<PathBuf, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", self.to.display());
        for (name, _) in &self.entries {
            let from = data_dir.join(name);
            if from.is_dir() {
                std::fs::rename(&from, self.to.join(name)).map_err(failed)?;
            }
        }
        super::sync_dirs(&self.to).map_err(failed)?;
        std::fs::remove_file(self.to.join(LIST)).map_err(failed)?;
        super::sync_dirs(&self.to).map_err(failed)?;
        Ok(self.to.clone())
    }

    /// Nothing was written to the old worlds since they were imported.
    fn unchanged(&self, places: &[Place]) -> bool {
        places.iter().all(|place| {
            let hmac = OldWorld::open(place).ok().and_then(|old| old.newest_hmac().ok());
            let hmac = hmac.unwrap_or_else(|| "unreadable".to_owned());
            self.entries
                .iter()
                .any(|(name, imported)| *name == place.disk_name && *imported == hmac)
        })
    }
}

/// Every list of an unfinished move: its directory and its text.
fn lists(data_dir: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let text = std::fs::read_to_string(entry.path().join(LIST)).ok()?;
        ours.then(|| (entry.path(), text))
    })
}

/// Removes the lists of imports that ended before their file had its name.
pub fn forget_unnamed(data_dir: &Path) {
    for (dir, _) in lists(data_dir) {
        let _ = std::fs::remove_file(dir.join(LIST));
        // Nothing was moved yet, so it is empty; if it is not, it stays.
        let _ = std::fs::remove_dir(&dir);
    }
}

/// Old world directories beside a store: those of an interrupted import are moved now; others
/// stop the start.
pub fn beside_a_store(data_dir: &Path, places: &[Place]) -> Result<Option<PathBuf>, String> {
    if places.is_empty() && lists(data_dir).next().is_none() {
        return Ok(None);
    }
    let store = ReadOnlyStore::open(data_dir)?;
    let store_id = store.page(schema::store_id).map_err(|e| e.0)?;
    drop(store);
    let left = Moving::left(data_dir, &hex(&store_id));
    match (left, places.first()) {
        (Some(moving), _) if moving.unchanged(places) => moving.finish(data_dir).map(Some),
        (_, None) => Ok(None),
        (_, Some(first)) => Err(format!(
            "{dir} holds {file} and also {count} worlds in the layout of elastik 8.x (such as {first}). \
             Choose: move {file} with its -wal away, and the 8.x worlds are imported at the next \
             start; or move the 8.x directories away, and {file} is served as it is. Nothing was \
             changed",
            dir = data_dir.display(),
            file = super::FILE,
            count = places.len(),
            first = first.disk_name,
        )),
    }
}

/// Bytes that may still be written to the file system of `dir`.
// The fields are narrower on some systems.
#[allow(clippy::useless_conversion)]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends in NUL and the buffer has the size that the call fills.
    #[allow(unsafe_code)]
    let stat = unsafe {
        if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some(u64::from(stat.f_bavail) * u64::from(stat.f_frsize))
}
