//! What the relay's integration tests share: a relay in this process, a client that speaks frames, and valid material
//! made with plain primitives.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod client;
pub mod person;
pub mod quic;

use std::{ops::Deref, time::Duration};

use subrosa_server::{Config, Limits, Relay};
use tempfile::TempDir;

pub use client::Client;
pub use person::Person;

/// A relay in this process and its directory.
pub struct Fixture {
    pub relay: Relay,
    pub dir: TempDir,
}

impl Deref for Fixture {
    type Target = Relay;
    fn deref(&self) -> &Relay {
        &self.relay
    }
}

impl Fixture {
    /// With open registration and lifted rates.
    pub async fn open() -> Self {
        Self::with(lifted()).await
    }

    pub async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let relay = Relay::start(Config { data: dir.path().join("data"), ..config }).await.unwrap();
        Self { relay, dir }
    }

    /// Stops the relay and starts another on the same directory.
    pub async fn restart(self, config: Config, between: impl FnOnce(&std::path::Path)) -> Self {
        let Self { relay, dir } = self;
        quiet(&relay);
        relay.shutdown().await;
        let data = dir.path().join("data");
        between(&data);
        let relay = Relay::start(Config { data, ..config }).await.unwrap();
        Self { relay, dir }
    }

    pub fn metric(&self, name: &str) -> u64 {
        metric(&self.relay, name)
    }
}

/// No connection ended by a panic (R9).
pub fn quiet(relay: &Relay) {
    assert_eq!(metric(relay, "rosad_panics_total"), 0, "a connection of the relay panicked");
}

pub fn metric(relay: &Relay, name: &str) -> u64 {
    let text = relay.metrics();
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
        .next()
        .unwrap_or(0)
}

/// Open registration, every rate lifted.
pub fn lifted() -> Config {
    Config {
        registration: subrosa_server::Registration::Open,
        limits: Limits { lift_rates: true, ..Limits::default() },
        ..Config::loopback("unused")
    }
}

/// Open registration, rates as they are by default apart from what `change` does.
pub fn limited(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = lifted();
    config.limits = Limits {
        registrations_per_network: subrosa_server::limits::Quota::new(1000, 1, Duration::from_secs(1)),
        ..Limits::default()
    };
    change(&mut config.limits);
    config
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Waits until `done`, at most ten seconds.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
