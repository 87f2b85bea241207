//! The times of the message layer (RFC 7252 §4.8), and what they come to.

use std::time::Duration;

/// The longest a datagram is thought to be on its way (§4.8.2).
const MAX_LATENCY: Duration = Duration::from_secs(100);

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub ack_timeout: Duration,
    /// The first timeout lies between `ack_timeout` and this many times as much.
    pub random_factor: f64,
    pub max_retransmit: u32,
    /// Confirmable messages that may wait for their acknowledgement, per peer.
    pub nstart: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(2),
            random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
        }
    }
}

impl Timing {
    /// The first timeout; `dice` is any number, all are equally likely.
    pub fn first_timeout(&self, dice: u32) -> Duration {
        let share = f64::from(dice) / f64::from(u32::MAX);
        self.ack_timeout.mul_f64(1.0 + (self.random_factor - 1.0).max(0.0) * share)
    }

    /// A handler that takes longer is acknowledged without its response (§5.2.2): well before the
    /// client sends again.
    pub fn patience(&self) -> Duration {
        self.ack_timeout / 2
    }

    /// DEFAULT_LEISURE, which follows the pace of the rest: within it a group is answered (§8.2).
    pub fn leisure(&self) -> Duration {
        self.ack_timeout * 5 / 2
    }

    /// MAX_TRANSMIT_SPAN
    fn span(&self) -> Duration {
        self.ack_timeout.mul_f64(f64::from((1u32 << self.max_retransmit) - 1) * self.random_factor)
    }

    /// EXCHANGE_LIFETIME: so long the id of a confirmable message is taken.
    pub fn exchange_lifetime(&self) -> Duration {
        self.span() + 2 * MAX_LATENCY + self.ack_timeout
    }

    /// NON_LIFETIME
    pub fn non_lifetime(&self) -> Duration {
        self.span() + MAX_LATENCY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_s_numbers() {
        let timing = Timing::default();
        assert_eq!(timing.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(timing.non_lifetime(), Duration::from_secs(145));
        assert_eq!(timing.first_timeout(0), Duration::from_secs(2));
        assert_eq!(timing.first_timeout(u32::MAX), Duration::from_secs(3));
    }
}
