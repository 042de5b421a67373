//! How long to wait before the next try.

use std::time::Duration;

use crate::limits::{RECONNECT_MAX, RECONNECT_MIN, RECONNECT_SILENT_MAX};

/// Doubles from [`RECONNECT_MIN`] to [`RECONNECT_MAX`] for a relay that answers and refuses, and to
/// [`RECONNECT_SILENT_MAX`] while nothing answers: there is nobody to spare then, and the network may be back any moment.
/// The actual wait lies between half and all of it, so that clients that lost a relay together do not come back together.
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
    /// The wait before the next try; the one after will be longer. `silent`: nothing answered. `random` is any 32 random
    /// bits.
    pub fn next(&mut self, silent: bool, random: u32) -> Duration {
        let longest = if silent { RECONNECT_SILENT_MAX } else { RECONNECT_MAX };
        let ceiling = self.ceiling.min(longest);
        // Silence in between does not make up for refusals.
        self.ceiling = self.ceiling.max(ceiling.saturating_mul(2).min(longest));
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
            let wait = backoff.next(false, u32::MAX);
            assert!(wait > last && wait <= RECONNECT_MAX);
            last = wait;
        }
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            let wait = Backoff { ceiling: RECONNECT_MAX }.next(false, random);
            assert!(wait >= RECONNECT_MAX / 2 && wait <= RECONNECT_MAX);
        }
        backoff.reset();
        assert!(backoff.next(false, 0) >= RECONNECT_MIN / 2);
        assert!(Backoff::default().next(false, u32::MAX) <= RECONNECT_MIN);
    }

    #[test]
    fn a_relay_that_does_not_answer_is_tried_every_second() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..20).map(|_| backoff.next(true, u32::MAX)).collect();
        assert_eq!(waits[..3], [250, 500, 1000].map(Duration::from_millis));
        assert!(waits[3..].iter().all(|wait| *wait == RECONNECT_SILENT_MAX));
        // A refusal right after a long silence is waited for as after a short one.
        assert!(backoff.next(false, u32::MAX) <= RECONNECT_SILENT_MAX);
        // One silence among refusals does not start them over.
        let mut backoff = Backoff { ceiling: RECONNECT_MAX };
        assert!(backoff.next(true, u32::MAX) <= RECONNECT_SILENT_MAX);
        assert_eq!(backoff.next(false, u32::MAX), RECONNECT_MAX);
    }
}
