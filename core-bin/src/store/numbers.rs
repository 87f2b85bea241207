//! Sequence numbers: one counter for every event of every world, never given twice.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How far the store's high-water mark is moved ahead at a time.
pub const STRIDE: u64 = 1_000_000;

/// Numbers stay below this: JavaScript's and SODP's safe integers (design §3).
pub const LIMIT: u64 = 1 << 53;

/// The counter, and the mark on disk above which no number may be used yet.
#[derive(Debug)]
pub struct Numbers {
    next: AtomicU64,
    mark: AtomicU64,
}

impl Numbers {
    /// Starts above `mark`, which the store had written down before this start.
    pub fn above(mark: u64) -> Self {
        Self { next: AtomicU64::new(mark + 1), mark: AtomicU64::new(mark) }
    }

    /// The next number; none when the mark on disk has to move first.
    pub fn take(&self) -> Option<u64> {
        self.take_below(self.mark.load(SeqCst))
    }

    /// The next number, for a transaction that writes down `mark` itself: nobody hears of the
    /// number unless that is committed.
    pub fn take_below(&self, mark: u64) -> Option<u64> {
        let step = |next| (next <= mark.max(self.mark.load(SeqCst))).then_some(next + 1);
        self.next.fetch_update(SeqCst, SeqCst, step).ok()
    }

    /// The number that would be given next.
    pub fn next(&self) -> u64 {
        self.next.load(SeqCst)
    }

    /// Where the mark should stand now; none while there is room enough.
    pub fn wanted_mark(&self) -> Option<u64> {
        let (next, mark) = (self.next(), self.mark.load(SeqCst));
        (mark < next + STRIDE / 2).then_some(next + STRIDE)
    }

    /// The store has committed this mark.
    pub fn allow(&self, mark: u64) {
        self.mark.fetch_max(mark, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_above_the_mark() {
        let numbers = Numbers::above(7);
        assert_eq!(numbers.take(), None);
        numbers.allow(9);
        assert_eq!((numbers.take(), numbers.take(), numbers.take()), (Some(8), Some(9), None));
    }

    #[test]
    fn the_mark_moves_before_it_is_reached() {
        let numbers = Numbers::above(0);
        assert_eq!(numbers.wanted_mark(), Some(1 + STRIDE));
        numbers.allow(1 + STRIDE);
        assert_eq!(numbers.wanted_mark(), None);
    }
}
