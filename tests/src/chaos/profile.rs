//! Which faults there are.

use std::time::Duration;

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From a client to the relay.
    Up,
    /// From the relay to a client.
    Down,
}

/// The faults of one direction. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// The share of datagrams that is lost, 0 to 1.
    pub loss: f64,
    /// How long each datagram takes.
    pub delay: Duration,
    /// How much longer it takes at most; evenly distributed.
    pub jitter: Duration,
    /// The share of datagrams that is held back for [`Faults::held_for`] more, so that later ones overtake it, 0 to 1.
    pub reorder: f64,
    /// The share of datagrams that comes twice, 0 to 1. The second one has a jitter of its own.
    pub duplicate: f64,
    /// Bits a second that pass. What is faster waits in a queue of [`super::QUEUE_BYTES`]; beyond that it is lost.
    pub rate: Option<u64>,
    /// Nothing passes.
    pub blackhole: bool,
}

/// The least time a reordered datagram is held back.
const HELD_MIN: Duration = Duration::from_millis(20);

impl Faults {
    /// A share of datagrams lost, and nothing else.
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }

    /// Nothing passes.
    pub fn dead() -> Self {
        Self { blackhole: true, ..Self::default() }
    }

    /// How much later a reordered datagram leaves: half of the delay, and 20 ms at least.
    pub fn held_for(&self) -> Duration {
        (self.delay / 2).max(HELD_MIN)
    }
}

/// The faults of both directions. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Profile {
    /// From clients to the relay.
    pub up: Faults,
    /// From the relay to clients.
    pub down: Faults,
    /// How often every client gets a new address.
    pub rebind_every: Option<Duration>,
}

impl Profile {
    /// The same faults both ways.
    pub fn both(faults: Faults) -> Self {
        Self { up: faults, down: faults, rebind_every: None }
    }

    /// The faults of one direction.
    pub fn faults(&self, direction: Direction) -> &Faults {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }
}
