//! When the writer may do what nobody waits for: pieces of uploads, and freeing.

use std::time::{Duration, Instant};

/// So long after the newest small write the next one is not waited for.
const CURRENT: Duration = Duration::from_millis(2);

/// A chore's pause is so many times as long as the chore, and never longer than that.
const PAUSE: u32 = 15;
const LONGEST: Duration = Duration::from_millis(100);

/// Pieces of an upload that are laid down in one turn: beside small writes, and without them.
const BESIDE_WRITES: usize = 1;
const ALONE: usize = 4;

/// While small writes follow each other, chores take a sixteenth of the writer's time at the most:
/// each is followed by a pause fifteen times as long as itself. Where no write comes there is no pause.
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

    /// Whether nobody but uploads writes at the moment.
    pub fn is_quiet(&self, now: Instant) -> bool {
        self.current(now).is_zero()
    }

    /// Pieces of an upload that the next turn takes.
    pub fn turn(&self, now: Instant) -> usize {
        if self.is_quiet(now) { ALONE } else { BESIDE_WRITES }
    }

    /// How long the next chore has to wait; zero when it may begin.
    pub fn pause(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now).min(self.current(now))
    }

    /// A chore ended.
    pub fn took(&mut self, time: Duration, now: Instant) {
        self.next = now + (PAUSE * time).min(LONGEST);
    }

    /// How long the newest small write counts.
    fn current(&self, now: Instant) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| (seen + CURRENT).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn beside_small_writes_a_chore_is_followed_by_a_longer_pause() {
        let start = Instant::now();
        let mut chores = Chores::new(start);
        chores.saw_writes(start);
        chores.took(100 * US, start);
        assert_eq!(chores.pause(start), 1500 * US);
        assert_eq!(chores.pause(start + 1400 * US), 100 * US);
        assert_eq!(chores.pause(start + 1500 * US), Duration::ZERO);
        assert_eq!(chores.turn(start + 1500 * US), 1);
        let mut now = start;
        chores.took(Duration::from_secs(9), now);
        while now < start + LONGEST {
            chores.saw_writes(now);
            assert!(!chores.pause(now).is_zero(), "{:?}", now - start);
            now += 500 * US;
        }
        chores.saw_writes(now);
        assert_eq!(chores.pause(now), Duration::ZERO);
    }

    #[test]
    fn where_no_small_write_comes_chores_follow_each_other() {
        let start = Instant::now();
        let mut chores = Chores::new(start);
        chores.took(3000 * US, start);
        assert_eq!((chores.pause(start), chores.turn(start)), (Duration::ZERO, ALONE));
        chores.saw_writes(start);
        assert_eq!(chores.pause(start), CURRENT, "longer than it takes to see that none comes");
        assert_eq!(chores.pause(start + CURRENT), Duration::ZERO);
        assert_eq!(chores.turn(start + CURRENT), ALONE);
    }
}
