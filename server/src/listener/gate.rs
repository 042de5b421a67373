//! Who may connect at all: counts and rates of a network before it has authenticated (R7).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;

use super::Network;
use crate::{limits::Limits, rate::Keyed};

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// The relay has as many connections as it may.
    Full,
    /// The network opens connections too fast.
    TooFast,
    /// The network has too many connections that have not authenticated.
    TooManyUnauthenticated,
}

impl Turned {
    /// A word for the counter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooFast => "too_fast",
            Self::TooManyUnauthenticated => "too_many_unauthenticated",
        }
    }
}

/// Counts connections.
pub struct Gate {
    total: AtomicUsize,
    max_total: usize,
    unauthenticated: Mutex<HashMap<Network, usize>>,
    max_unauthenticated: usize,
    /// Addresses that have proved themselves and those that have not are counted apart: who forges the address of
    /// another uses up nothing of the other's.
    new: Keyed,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(0),
            max_total: limits.connections,
            unauthenticated: Mutex::default(),
            max_unauthenticated: limits.unauthenticated_per_network,
            new: Keyed::new(limits.new_connections_per_network, limits.lift_rates, limits.limiter_keys),
        })
    }

    /// Lets a connection in, until its [`Admission`] is dropped. `proved`: the peer has shown that the address is its.
    ///
    /// # Errors
    /// [`Turned`] away.
    pub(crate) fn admit(
        self: &Arc<Self>,
        network: Network,
        proved: bool,
        now: Instant,
    ) -> Result<Admission, Turned> {
        if self.total.load(Ordering::Relaxed) >= self.max_total {
            return Err(Turned::Full);
        }
        self.new.take((network, proved), 1, now).map_err(|_| Turned::TooFast)?;
        let mut counts = lock(&self.unauthenticated);
        let count = counts.entry(network).or_insert(0);
        if *count >= self.max_unauthenticated {
            return Err(Turned::TooManyUnauthenticated);
        }
        *count += 1;
        drop(counts);
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(Admission { gate: Arc::clone(self), network, unauthenticated: true })
    }

    /// Connections now.
    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn leave_unauthenticated(&self, network: Network) {
        let mut counts = lock(&self.unauthenticated);
        if let Some(count) = counts.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&network);
            }
        }
    }
}

/// A connection's place; given back when dropped.
pub struct Admission {
    gate: Arc<Gate>,
    network: Network,
    unauthenticated: bool,
}

impl Admission {
    /// The connection has authenticated and no longer counts against its network.
    pub(crate) fn authenticated(&mut self) {
        if std::mem::take(&mut self.unauthenticated) {
            self.gate.leave_unauthenticated(self.network);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.authenticated();
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn r7_sixteen_unauthenticated_connections_of_a_network() {
        let gate = Gate::new(&Limits::default());
        let now = Instant::now();
        let mut held: Vec<_> =
            (0..16).map(|_| gate.admit(Network::local(1), true, now).ok().unwrap()).collect();
        assert_eq!(gate.admit(Network::local(1), true, now).err(), Some(Turned::TooManyUnauthenticated));
        assert!(gate.admit(Network::local(2), true, now).is_ok(), "another network is not affected");
        held[0].authenticated();
        held.push(gate.admit(Network::local(1), true, now).ok().unwrap());
        assert_eq!(gate.total(), 17);
        drop(held);
        assert_eq!(gate.total(), 0);
        assert!(lock(&gate.unauthenticated).is_empty());
    }

    #[test]
    fn r7_thirty_new_connections_at_once_then_ten_a_second() {
        let limits = Limits { unauthenticated_per_network: 1000, ..Limits::default() };
        let gate = Gate::new(&limits);
        let start = Instant::now();
        let admitted = |now| (0..100).filter(|_| gate.admit(Network::local(1), true, now).is_ok()).count();
        assert_eq!(admitted(start), 30);
        assert_eq!(admitted(start + Duration::from_secs(1)), 10);
        assert_eq!(gate.admit(Network::local(1), true, start).err(), Some(Turned::TooFast));
        assert!(gate.admit(Network::local(1), false, start).is_ok(), "unproved addresses are counted apart");
    }

    #[test]
    fn the_relay_is_full_at_its_limit() {
        let gate = Gate::new(&Limits { connections: 1, ..Limits::default() });
        let now = Instant::now();
        let first = gate.admit(Network::local(1), true, now).ok().unwrap();
        assert_eq!(gate.admit(Network::local(2), true, now).err(), Some(Turned::Full));
        drop(first);
        assert!(gate.admit(Network::local(2), true, now).is_ok());
    }
}
