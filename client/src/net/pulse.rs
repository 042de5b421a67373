//! Whether the other side of a connection still answers.
//!
//! QUIC itself takes 45 s to give a connection up, and its repetitions become rare long before: after a break of ten
//! seconds the next one may be ten seconds away. A new connection is there in a round trip or two.

use super::Signs;
use crate::limits::{LOOK_EVERY, SILENCE_MAX, SILENCE_MIN, SILENCE_ROUND_TRIPS};

/// Notices that nothing is acknowledged any more.
#[derive(Debug)]
pub(super) struct Pulse {
    last: Signs,
    /// Looks since something was sent that is not acknowledged.
    unanswered: u32,
}

/// What a look finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing to be done.
    Life,
    /// An acknowledgement or an answer is owed and does not come. It may be lost, and the next repetition far away; it may
    /// have gone to an address that this machine has no more.
    Quiet,
    /// The other side is gone.
    Silence,
}

impl Pulse {
    /// Of a connection that just came up.
    pub(super) const fn new(signs: Signs) -> Self {
        Self { last: signs, unanswered: 0 }
    }

    /// To be called every [`LOOK_EVERY`]; `owed` says whether a request waits for its answer. Looks are counted and not the
    /// time, so that a machine that slept does not take its own sleep for silence.
    pub(super) fn look(&mut self, now: Signs, owed: bool) -> Found {
        let last = std::mem::replace(&mut self.last, now);
        if now.round_trip != last.round_trip {
            self.unanswered = 0;
        } else if now.sent != last.sent || self.unanswered > 0 {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        let allowed = now.round_trip.saturating_mul(SILENCE_ROUND_TRIPS).clamp(SILENCE_MIN, SILENCE_MAX);
        if LOOK_EVERY.saturating_mul(self.unanswered) > allowed {
            Found::Silence
        } else if self.unanswered > 0 || (owed && now.heard == last.heard) {
            Found::Quiet
        } else {
            Found::Life
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn signs(round_trip_us: u64, sent: u64) -> Signs {
        Signs { round_trip: Duration::from_micros(round_trip_us), sent, heard: 0 }
    }

    /// After how many looks at the same signs the other side is gone.
    fn gone_after(pulse: &mut Pulse, signs: Signs) -> Option<u32> {
        (1..=100).find(|_| pulse.look(signs, false) == Found::Silence)
    }

    #[test]
    fn what_is_not_acknowledged_for_three_seconds_is_gone() {
        let mut pulse = Pulse::new(signs(1_000, 5));
        assert_eq!(gone_after(&mut pulse, signs(1_000, 6)), Some(4));
        // More of it does not put that off.
        let mut pulse = Pulse::new(signs(1_000, 5));
        let looks: Vec<Found> = (6..10).map(|sent| pulse.look(signs(1_000, sent), false)).collect();
        assert_eq!(looks, [Found::Quiet, Found::Quiet, Found::Quiet, Found::Silence]);
    }

    #[test]
    fn who_has_nothing_to_say_waits_for_nothing() {
        let mut pulse = Pulse::new(signs(1_000, 5));
        assert_eq!(gone_after(&mut pulse, signs(1_000, 5)), None);
    }

    #[test]
    fn each_acknowledgement_starts_it_over() {
        let mut pulse = Pulse::new(signs(1_000, 0));
        for n in 1..50 {
            assert_ne!(pulse.look(signs(1_000 + n / 3, n), false), Found::Silence, "{n}");
        }
    }

    #[test]
    fn far_away_takes_longer_but_not_for_ever() {
        assert_eq!(gone_after(&mut Pulse::new(signs(600_000, 0)), signs(600_000, 1)), Some(5));
        assert_eq!(gone_after(&mut Pulse::new(signs(60_000_000, 0)), signs(60_000_000, 1)), Some(16));
    }

    #[test]
    fn who_is_owed_an_answer_and_hears_nothing_asks_for_a_sign() {
        let heard = |heard| Signs { heard, ..signs(1_000, 5) };
        let mut pulse = Pulse::new(heard(3));
        assert_eq!(pulse.look(heard(3), false), Found::Life);
        assert_eq!(pulse.look(heard(3), true), Found::Quiet);
        assert_eq!(pulse.look(heard(4), true), Found::Life);
        assert_eq!(pulse.look(heard(4), true), Found::Quiet);
        // What was asked for and does not come is silence like any other.
        let asked = |sent| Signs { sent, ..heard(4) };
        let looks: Vec<Found> = (6..10).map(|sent| pulse.look(asked(sent), true)).collect();
        assert_eq!(looks, [Found::Quiet, Found::Quiet, Found::Quiet, Found::Silence]);
    }
}
