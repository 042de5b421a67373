//! The two cipher suites of rooms.

use openmls_traits::types::Ciphersuite;

/// Devices in one room.
pub const LEAVES_MAX: usize = 1_000;
/// Devices in a room of the post-quantum suite: beyond, its welcomes and group infos are larger than an object may be.
pub const HYBRID_LEAVES_MAX: usize = 250;

/// A room's cipher suite: chosen when it is made, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519`: safe against a later quantum computer; up to 250 devices.
    Hybrid,
    /// `MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519`: up to 1,000 devices.
    Classic,
}

impl Suite {
    /// Both, the one to prefer first.
    pub const ALL: [Self; 2] = [Self::Hybrid, Self::Classic];

    /// The better suite of those that hold `devices`; `None` beyond the largest room.
    #[must_use]
    pub fn for_size(devices: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| devices <= suite.leaves_max())
    }

    /// How many devices a room of this suite holds.
    #[must_use]
    pub const fn leaves_max(self) -> usize {
        match self {
            Self::Hybrid => HYBRID_LEAVES_MAX,
            Self::Classic => LEAVES_MAX,
        }
    }

    /// The suite's number in MLS.
    #[must_use]
    pub fn code(self) -> u16 {
        self.mls() as u16
    }

    /// The suite of a number, if it is one of the two.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// Its name in the registry of MLS suites.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519",
            Self::Classic => "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519",
        }
    }

    /// As OpenMLS names it.
    #[must_use]
    pub const fn mls(self) -> Ciphersuite {
        match self {
            Self::Hybrid => Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519,
            Self::Classic => Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
        }
    }

    /// The suite that OpenMLS names so, if it is one of the two.
    #[must_use]
    pub fn from_mls(suite: Ciphersuite) -> Option<Self> {
        Self::ALL.into_iter().find(|ours| ours.mls() == suite)
    }
}
