//! What was done, in numbers.

use std::fmt;

/// What happened to the datagrams of one direction. Once nothing is on its way,
/// `came + doubled == left + lost + swallowed + overflowed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Datagrams that came to the proxy.
    pub came: u64,
    /// Datagrams that left it, second ones among them.
    pub left: u64,
    /// Bytes that left it.
    pub bytes: u64,
    /// Lost by [`super::Faults::loss`].
    pub lost: u64,
    /// Lost in a blackhole.
    pub swallowed: u64,
    /// Lost because a queue was full: that of a limited rate, that of delayed datagrams, or the system's.
    pub overflowed: u64,
    /// Sent a second time.
    pub doubled: u64,
    /// That left after one with a higher number.
    pub reordered: u64,
    /// That did not leave at once.
    pub delayed: u64,
}

/// What a proxy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// From clients to the relay.
    pub up: Counts,
    /// From the relay to clients.
    pub down: Counts,
    /// Client addresses that were seen.
    pub flows: u64,
    /// Times a client got a new address.
    pub rebinds: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { came, left, bytes, lost, swallowed, overflowed, doubled, reordered, delayed } = self;
        write!(
            f,
            "{came} in, {left} out ({bytes} bytes), {lost} lost, {doubled} doubled, {reordered} reordered, \
             {delayed} delayed, {swallowed} swallowed, {overflowed} overflowed"
        )
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "to the relay:   {}", self.up)?;
        writeln!(f, "to the clients: {}", self.down)?;
        write!(f, "{} client addresses, {} address changes", self.flows, self.rebinds)
    }
}
