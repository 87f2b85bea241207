//! When the writer may do what nobody waits for: pieces of uploads, and freeing.

use std::time::{Duration, Instant};

/// So long after the newest small write others are expected.
const CURRENT: Duration = Duration::from_millis(20);

/// The longest that chores step back at once, however long one took.
const LONGEST: Duration = Duration::from_millis(100);

/// Pieces of an upload that are laid down in one turn: beside small writes, and without them.
const BESIDE_WRITES: usize = 1;
const ALONE: usize = 4;

/// A chore's pause is so many times as long as the chore.
const PAUSE: u32 = 4;

/// While small writes come, chores take a fifth of the writer's time at the most: each is followed
/// by a pause four times as long as itself. Without small writes there is no pause.
pub struct Chores {
    /// Something may be left to be freed.
    pub untidy: bool,
    seen: Option<Instant>,
    next: Instant,
}

impl Chores {
    pub fn new(now: Instant) -> Self {
        Self { untidy: false, seen: None, next: now }
    }

    /// Small writes came.
    pub fn saw_writes(&mut self, now: Instant) {
        self.seen = Some(now);
    }

    /// Whether nobody but uploads has written for a while.
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.seen.is_none_or(|seen| now.saturating_duration_since(seen) >= CURRENT)
    }

    /// Pieces of an upload that the next turn takes.
    pub fn turn(&self, now: Instant) -> usize {
        if self.is_quiet(now) { ALONE } else { BESIDE_WRITES }
    }

    /// How long the next chore has to wait; zero when it may begin.
    pub fn pause(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// A chore ended.
    pub fn took(&mut self, time: Duration, now: Instant) {
        self.next = if self.is_quiet(now) { now } else { now + (PAUSE * time).min(LONGEST) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn beside_small_writes_a_chore_is_followed_by_a_longer_pause() {
        let start = Instant::now();
        let mut chores = Chores::new(start);
        chores.saw_writes(start);
        chores.took(3 * MS, start + 3 * MS);
        assert_eq!(chores.pause(start + 3 * MS), 12 * MS);
        assert_eq!(chores.pause(start + 14 * MS), MS);
        assert_eq!(chores.pause(start + 15 * MS), Duration::ZERO);
        chores.took(Duration::from_secs(9), start + 15 * MS);
        assert_eq!(chores.pause(start + 15 * MS), LONGEST);
    }

    #[test]
    fn without_small_writes_chores_follow_each_other() {
        let start = Instant::now();
        let mut chores = Chores::new(start);
        chores.took(3 * MS, start + 3 * MS);
        assert_eq!(chores.pause(start + 3 * MS), Duration::ZERO);
        chores.saw_writes(start + 4 * MS);
        chores.took(3 * MS, start + 4 * MS + CURRENT);
        assert_eq!(chores.pause(start + 4 * MS + CURRENT), Duration::ZERO);
    }
}
