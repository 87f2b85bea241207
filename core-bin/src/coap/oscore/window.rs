//! Which numbers of a peer were seen (RFC 8613 §7.4), so that nothing counts twice.

/// Numbers below the highest that may still come (§3.2.2).
const SIZE: u64 = 32;

/// A window that begins with the number it was made for.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    highest: u64,
    /// Bit n: the number n below the highest was seen.
    seen: u32,
}

impl Window {
    /// This number was seen, and everything below it counts as seen too (appendix B.1.2).
    pub fn begin(number: u64) -> Self {
        Self { highest: number, seen: u32::MAX }
    }

    pub fn is_new(&self, number: u64) -> bool {
        match self.highest.checked_sub(number) {
            None => true,
            Some(below) => below < SIZE && self.seen >> below & 1 == 0,
        }
    }

    /// Only for what proved to be genuine.
    pub fn enter(&mut self, number: u64) {
        match number.checked_sub(self.highest) {
            Some(ahead @ 1..) => {
                self.seen = if ahead < SIZE { self.seen << ahead | 1 } else { 1 };
                self.highest = number;
            }
            _ => {
                let below = self.highest - number;
                if below < SIZE {
                    self.seen |= 1 << below;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_a_set_that_forgets_what_is_old(
            first in 0u64..100,
            steps in proptest::collection::vec(-40i64..40, 1..200),
        ) {
            let (mut window, mut seen, mut highest) =
                (Window::begin(first), (0..=first).collect::<BTreeSet<_>>(), first);
            for step in steps {
                let number = highest.saturating_add_signed(step);
                let new = !seen.contains(&number) && number + SIZE > highest;
                prop_assert_eq!(window.is_new(number), new, "{} of {:?}", number, window);
                if new {
                    window.enter(number);
                    seen.insert(number);
                    highest = highest.max(number);
                    prop_assert!(!window.is_new(number));
                }
            }
        }
    }
}
