//! A relay process of a test's own, and what all tests here share.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use subrosa_tests::{
    World,
    raw_client::{Gauge, Identity},
    relay::RelayOptions,
};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that measure run alone, the others beside each other.
static QUIET: RwLock<()> = RwLock::const_new(());

/// Room in the test for whatever a machine that does other things needs, never for the relay's own times.
pub(crate) const SLACK: Duration = Duration::from_secs(8);

/// A relay process.
pub(crate) struct Relay {
    pub(crate) world: World,
    pub(crate) to: SocketAddr,
    pub(crate) gauge: Gauge,
    _turn: Turn,
}

enum Turn {
    Beside(#[allow(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[allow(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

impl Relay {
    /// With open registration and default limits.
    pub(crate) async fn start() -> Self {
        Self::with("open", "").await
    }

    /// With lines of its `[limits]`.
    pub(crate) async fn with(registration: &'static str, limits: &str) -> Self {
        let turn = Turn::Beside(QUIET.read().await);
        Self::begin(registration, limits, Vec::new(), turn)
    }

    /// Like [`Relay::with`], while no other test here runs.
    pub(crate) async fn alone(registration: &'static str, limits: &str) -> Self {
        Self::alone_under(Vec::new(), registration, limits).await
    }

    /// Like [`Relay::alone`], started under another program.
    pub(crate) async fn alone_under(under: Vec<String>, registration: &'static str, limits: &str) -> Self {
        let turn = Turn::Alone(QUIET.write().await);
        Self::begin(registration, limits, under, turn)
    }

    fn begin(registration: &'static str, limits: &str, under: Vec<String>, turn: Turn) -> Self {
        let config = format!("http = \"127.0.0.1:0\"\n[limits]\n{limits}\n");
        let world = World::with(RelayOptions { registration, config, under, ..RelayOptions::default() });
        let (to, gauge) = (world.relay.quic.parse().unwrap(), Gauge::of(&world.relay));
        Self { world, to, gauge, _turn: turn }
    }

    /// Somebody new who is registered.
    pub(crate) async fn somebody(&self) -> Identity {
        Identity::fresh().registered(self.to).await
    }

    /// So many of them, registered side by side.
    pub(crate) async fn people(&self, count: usize) -> Vec<Identity> {
        let mut people = Vec::with_capacity(count);
        while people.len() < count {
            let some = (0..(count - people.len()).min(32)).map(|_| {
                let to = self.to;
                tokio::spawn(async move { Identity::fresh().registered(to).await })
            });
            for one in some.collect::<Vec<_>>() {
                people.push(one.await.unwrap());
            }
        }
        people
    }
}

impl Drop for Relay {
    /// The last assertion of every test.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.gauge.no_panics();
        }
    }
}

/// A number from the environment.
pub(crate) fn size(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// How long a flood lasts.
pub(crate) fn flood() -> Duration {
    Duration::from_secs(u64::try_from(size("SUBROSA_HOSTILE_SECONDS", 2)).unwrap())
}

/// A small generator of random bytes that a seed repeats (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded() -> Self {
        Self(u64::try_from(size("SUBROSA_HOSTILE_SEED", 1)).unwrap())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Waits until something holds, at most so long.
pub(crate) async fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
