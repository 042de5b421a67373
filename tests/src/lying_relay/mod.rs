//! A malicious operator's relay: it speaks the protocol over real QUIC, with a TLS key of its own, written from
//! docs/PROTOCOL.md and sharing nothing with the server but the frame types; and it lies where a test tells it to.
//!
//! It cannot stand between a client and a real relay, since proofs and logins are bound to the TLS connection: so it *is*
//! the relay. Everything is in memory. What protects a relay from its clients is left out: rates, limits, the checks of
//! prekeys. What a client may rely on is all there, so that every failure of a test is a client's or a lie's.
//!
//! | file | what it does |
//! |---|---|
//! | `tls` | a key, its certificate and fingerprint |
//! | `listen` | the QUIC endpoint, one task a connection |
//! | `connection` | one connection: hellos, registration, login, authentication, requests |
//! | `state` | accounts, devices, mailboxes: what an honest relay would answer |
//! | `lies` | what is answered, pushed and stored instead |
//! | `someone` | a person with a real engine in this process |
//! | `scene` | people who know each other already, copied for each test |
//! | `forge` | keys, lists, prekeys and envelopes of an attacker |

mod connection;
pub mod forge;
mod lies;
mod listen;
mod scene;
mod someone;
mod state;
mod tls;

pub use lies::{Lies, Say};
pub use listen::LyingRelay;
pub use scene::{BEFORE, Scene};
pub use someone::{Someone, username};
pub use state::{Account, Device, Place, State, error, stale, wire};
pub use tls::RelayKey;

/// How long a test waits for anything, on a machine that has much else to do.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap()
}

/// The operating system's randomness.
pub fn rng() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// So many random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand_core::Rng::fill_bytes(&mut rng(), &mut bytes);
    bytes
}
