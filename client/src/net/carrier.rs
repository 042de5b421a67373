//! What carries a connection's bytes, as far as it is asked about itself.

use std::time::Duration;

/// What carries the bytes of a connection.
pub trait Carrier: Send + Sync {
    /// What it says about itself, now.
    fn signs(&self) -> Signs;

    /// Sends the other side something that it must acknowledge and that means nothing. A router that forgot this machine
    /// remembers it then, and the other side learns the address that has changed.
    fn nudge(&self);
}

/// What a carrier says about itself. The default is one that never falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// The smoothed round trip time. Every acknowledgement of something new changes it, if only by a nanosecond.
    pub round_trip: Duration,
    /// How often something was sent that the other side must acknowledge, repetitions among it.
    pub sent: u64,
    /// Packets that came.
    pub heard: u64,
}

impl Signs {
    /// The round trip time in milliseconds.
    #[must_use]
    pub fn round_trip_ms(&self) -> u32 {
        u32::try_from(self.round_trip.as_millis()).unwrap_or(u32::MAX)
    }
}

/// A carrier in memory, which nothing can happen to.
impl Carrier for () {
    fn signs(&self) -> Signs {
        Signs::default()
    }

    fn nudge(&self) {}
}
