//! How long to wait before the next try.

use std::time::Duration;

use crate::limits::{RECONNECT_MAX, RECONNECT_MIN};

/// Doubles from [`RECONNECT_MIN`] to [`RECONNECT_MAX`]; the actual wait lies between half and all of it, so that clients
/// that lost a relay together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: RECONNECT_MIN }
    }
}

impl Backoff {
    /// The wait before the next try; the one after will be longer. `random` is any 32 random bits.
    pub fn next(&mut self, random: u32) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(RECONNECT_MAX);
        let half = ceiling / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// After a connection that worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.ceiling = RECONNECT_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_stay_in_bounds_and_start_over() {
        let mut backoff = Backoff::default();
        let mut last = Duration::ZERO;
        for _ in 0..7 {
            let wait = backoff.next(u32::MAX);
            assert!(wait > last && wait <= RECONNECT_MAX);
            last = wait;
        }
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            let wait = Backoff { ceiling: RECONNECT_MAX }.next(random);
            assert!(wait >= RECONNECT_MAX / 2 && wait <= RECONNECT_MAX);
        }
        backoff.reset();
        assert!(backoff.next(0) >= RECONNECT_MIN / 2);
        assert!(Backoff::default().next(u32::MAX) <= RECONNECT_MIN);
    }
}
