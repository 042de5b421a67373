//! How much may be on its way to the relay at a time. A slow link carries little before somebody loses patience: so it
//! begins with little, doubles with each quick answer, and halves when a connection ends with envelopes in flight.

use std::collections::HashMap;

use subrosa_protocol::{DeviceId, Username};

use crate::limits::{SENDING_FIRST, SENDING_MAX, SENDING_MIN, SENDING_QUICK_MS, SENDING_SLOW_MS};

/// A device to which is sent.
type Place = (Username, DeviceId);

/// Envelopes in flight: one batch a device.
#[derive(Debug)]
pub(super) struct Sending {
    /// Bytes and, in ms since 1970, when they left.
    batches: HashMap<Place, (usize, u64)>,
    window: usize,
}

impl Default for Sending {
    fn default() -> Self {
        Self { batches: HashMap::new(), window: SENDING_FIRST }
    }
}

impl Sending {
    pub(super) fn is_busy(&self, place: &Place) -> bool {
        self.batches.contains_key(place)
    }

    /// Bytes that the next batch may have; one envelope always may go when nothing else is in flight. `None`: later.
    pub(super) fn room(&self) -> Option<usize> {
        let used: usize = self.batches.values().map(|(bytes, _)| bytes).sum();
        self.window.checked_sub(used).filter(|room| *room > 0)
    }

    pub(super) fn begin(&mut self, place: Place, bytes: usize, now: u64) {
        self.batches.insert(place, (bytes, now));
    }

    /// The relay has answered.
    pub(super) fn end(&mut self, place: &Place, now: u64) {
        let Some((_, began)) = self.batches.remove(place) else { return };
        let took = now.saturating_sub(began);
        if took <= SENDING_QUICK_MS {
            self.window = (self.window * 2).min(SENDING_MAX);
        } else if took > SENDING_SLOW_MS {
            self.shrink();
        }
    }

    /// The connection is gone.
    pub(super) fn broke(&mut self) {
        if !self.batches.is_empty() {
            self.batches.clear();
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.window = (self.window / 2).max(SENDING_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u32) -> Place {
        (Username::new("bob").unwrap(), DeviceId::new(number).unwrap())
    }

    #[test]
    fn it_grows_with_quick_answers_and_shrinks_with_slow_ones_and_breaks() {
        let mut sending = Sending::default();
        assert_eq!(sending.room(), Some(SENDING_FIRST));
        sending.begin(place(1), SENDING_FIRST - 10, 0);
        assert!(sending.is_busy(&place(1)) && !sending.is_busy(&place(2)));
        assert_eq!(sending.room(), Some(10));
        sending.begin(place(2), 4_000, 0);
        assert_eq!(sending.room(), None, "an envelope may be larger than the room");
        sending.end(&place(1), 100);
        assert_eq!(sending.room(), Some(2 * SENDING_FIRST - 4_000));
        sending.end(&place(2), SENDING_SLOW_MS + 1);
        assert_eq!(sending.room(), Some(SENDING_FIRST));
        for _ in 0..20 {
            sending.broke();
        }
        assert_eq!(sending.room(), Some(SENDING_FIRST), "nothing was in flight");
        for _ in 0..20 {
            sending.begin(place(1), 1, 0);
            sending.broke();
        }
        assert_eq!(sending.room(), Some(SENDING_MIN));
        for _ in 0..20 {
            sending.begin(place(1), 1, 0);
            sending.end(&place(1), 1);
        }
        assert_eq!(sending.room(), Some(SENDING_MAX));
        // An answer that nobody waits for says nothing.
        sending.end(&place(1), 9);
        assert_eq!(sending.room(), Some(SENDING_MAX));
    }
}
