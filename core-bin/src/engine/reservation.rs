//! Room that uploads take while they stream: so that two of them never fill a quota twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::path::WorldPath;
use crate::store::quota::{Quotas, full};
use crate::store::sqlite::SqliteStore;
use crate::store::{Driver, Refusal};

/// What is coming in under each quota: that of the whole disk first, then those per prefix.
#[derive(Debug)]
pub struct Coming(Vec<AtomicU64>);

impl Coming {
    pub fn new(quotas: &Quotas) -> Arc<Self> {
        Arc::new(Self((0..=quotas.iter().count()).map(|_| AtomicU64::new(0)).collect()))
    }
}

/// One quota that an upload is held against.
struct Account {
    place: usize,
    quota: u64,
    used: u64,
}

/// What one upload to the disk has taken of each quota that holds for its path.
pub struct Reservation {
    coming: Arc<Coming>,
    /// Size of the world that may be replaced: so much needs no new room.
    old: u64,
    taken: u64,
    places: Vec<usize>,
}

impl Reservation {
    pub fn new(coming: &Arc<Coming>, old: u64) -> Self {
        Self { coming: coming.clone(), old, taken: 0, places: vec![] }
    }

    /// The upload has `size` bytes now; refused when they do not fit beside all that is coming.
    pub fn grow(
        &mut self,
        store: &SqliteStore,
        path: &WorldPath,
        size: u64,
    ) -> Result<(), Refusal> {
        let needed = size.saturating_sub(self.old);
        let more = needed.saturating_sub(self.taken);
        if more == 0 {
            return Ok(());
        }
        let accounts = accounts(store, path);
        for (at, Account { place, quota, used }) in accounts.iter().enumerate() {
            let fits = |coming: u64| (used + coming + more <= *quota).then_some(coming + more);
            if self.coming.0[*place].fetch_update(SeqCst, SeqCst, fits).is_err() {
                // Others may have the room that this one does not get.
                for account in &accounts[..at] {
                    self.coming.0[account.place].fetch_sub(more, SeqCst);
                }
                let coming = self.coming.0[*place].load(SeqCst);
                return Err(full(*used, *quota, used + coming + more, false));
            }
        }
        self.taken += more;
        self.places = accounts.iter().map(|account| account.place).collect();
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for &place in &self.places {
            self.coming.0[place].fetch_sub(self.taken, SeqCst);
        }
    }
}

fn accounts(store: &SqliteStore, path: &WorldPath) -> Vec<Account> {
    let (whole, quotas) = store.quotas();
    let used = store.usage().bytes;
    let mut all: Vec<_> =
        whole.map(|quota| Account { place: 0, quota, used }).into_iter().collect();
    if !quotas.is_empty() {
        let shares = store.shares();
        all.extend(quotas.of(path).map(|(place, quota)| Account {
            place: place + 1,
            quota: quota.bytes,
            used: shares.0.get(place).copied().unwrap_or(0),
        }));
    }
    all
}
