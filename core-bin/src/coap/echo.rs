//! Freshness of an address (RFC 9175 §2): who can repeat what was sent there receives there.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use lru::LruCache;
use sha2::Sha256;

use super::reply::ETag;

/// How long one value is given out; it is good for up to twice as long.
const WINDOW: Duration = Duration::from_secs(120);
/// How long an address stays proved without proving itself again.
const PROVED: Duration = Duration::from_secs(300);
const MOST_PROVED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

pub struct Echo {
    secret: [u8; 32],
    start: Instant,
    proved: LruCache<SocketAddr, Instant>,
}

impl Echo {
    pub fn new(secret: [u8; 32], start: Instant) -> Self {
        Self { secret, start, proved: LruCache::new(MOST_PROVED) }
    }

    /// The value for this address now.
    pub fn value(&self, peer: SocketAddr, now: Instant) -> ETag {
        self.of_window(peer, self.window(now))
    }

    /// Whether datagrams to this address have been seen to arrive.
    pub fn is_proved(&mut self, peer: SocketAddr, given: Option<&[u8]>, now: Instant) -> bool {
        if let Some(given) = given {
            let window = self.window(now);
            let fresh = [window, window.wrapping_sub(1)];
            // Eight bytes that differ for each address: guessing gains nothing worth a timing.
            if fresh.iter().any(|window| self.of_window(peer, *window) == *given) {
                self.proved.put(peer, now + PROVED);
                return true;
            }
        }
        self.proved.get(&peer).is_some_and(|until| *until > now)
    }

    fn window(&self, now: Instant) -> u64 {
        now.duration_since(self.start).as_secs() / WINDOW.as_secs()
    }

    fn of_window(&self, peer: SocketAddr, window: u64) -> ETag {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return [0; 8] };
        mac.update(peer.to_string().as_bytes());
        mac.update(&window.to_be_bytes());
        let mut short = [0; 8];
        short.copy_from_slice(&mac.finalize().into_bytes()[..8]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_proves_its_own_address_for_a_while() {
        let start = Instant::now();
        let mut echo = Echo::new([7; 32], start);
        let (a, b) = ("192.0.2.1:5683".parse().unwrap(), "192.0.2.1:5684".parse().unwrap());
        let value = echo.value(a, start);
        assert!(!echo.is_proved(a, None, start));
        assert!(!echo.is_proved(b, Some(&value), start));
        assert!(echo.is_proved(a, Some(&value), start + WINDOW));
        assert!(echo.is_proved(a, None, start + WINDOW + PROVED / 2));
        assert!(!echo.is_proved(a, None, start + WINDOW + PROVED));
        assert!(!echo.is_proved(a, Some(&value), start + 2 * WINDOW + PROVED));
    }
}
