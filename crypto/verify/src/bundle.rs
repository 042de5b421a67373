//! The prekey bundle that a sender fetches to open a session (PQXDH, section 3.3), and when it is refused.

use crate::keys::VerifyingKey;
use crate::prekey::{Prekey, PrekeyError, PrekeyKind};

/// How far in the future, in ms, a prekey may claim to have been made: 24 hours. Clocks of people's machines differ,
/// and the claim only ever makes a key look younger to its own owner's cost.
pub const CLOCK_SKEW_MS: u64 = 24 * 60 * 60 * 1000;

/// What the relay hands out of one device. There is always a KEM key: without one there is no session (R12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyBundle {
    /// The signed X25519 prekey.
    pub signed: Prekey,
    /// A one-time X25519 prekey, when the relay had one left.
    pub one_time: Option<Prekey>,
    /// A one-time ML-KEM-768 prekey, or the last-resort one when none was left.
    pub kem: Prekey,
}

/// Why a bundle is refused. Nothing may be encrypted to it; ask again later or tell the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A key stands in the place of another kind: there is no fallback to a weaker agreement.
    #[error("the bundle holds a key of the wrong kind as its {0}")]
    Kind(&'static str),
    /// One of the prekeys is not the device's own.
    #[error("the bundle's {0}: {1}")]
    Prekey(&'static str, #[source] PrekeyError),
    /// One of the prekeys has expired, so its secret may be gone. The device was away too long.
    #[error("the bundle's {0} has expired")]
    Expired(&'static str),
    /// One of the prekeys claims to have been made more than [`CLOCK_SKEW_MS`] from now.
    #[error("the bundle's {0} was made in the future")]
    FromTheFuture(&'static str),
}

impl PrekeyBundle {
    /// Checks that every key is of its kind, in its time at `now` (ms since the epoch) and signed by `signing_key` for
    /// `account`'s device `device_id` (R12, R36).
    pub fn verify(
        &self,
        signing_key: &VerifyingKey,
        account: &str,
        device_id: u32,
        now: u64,
    ) -> Result<(), BundleError> {
        for (name, prekey, kinds) in self.places() {
            if !kinds.contains(&prekey.kind) {
                return Err(BundleError::Kind(name));
            }
            if prekey.is_expired(now) {
                return Err(BundleError::Expired(name));
            }
            if prekey.created_at > now.saturating_add(CLOCK_SKEW_MS) {
                return Err(BundleError::FromTheFuture(name));
            }
            prekey
                .verify(signing_key, account, device_id)
                .map_err(|error| BundleError::Prekey(name, error))?;
        }
        Ok(())
    }

    fn places(&self) -> impl Iterator<Item = (&'static str, &Prekey, &'static [PrekeyKind])> {
        let signed: (_, _, &[PrekeyKind]) = ("signed prekey", &self.signed, &[PrekeyKind::SignedEc]);
        let kem: (_, _, &[PrekeyKind]) =
            ("KEM prekey", &self.kem, &[PrekeyKind::OneTimeKem, PrekeyKind::LastResortKem]);
        let one_time = self
            .one_time
            .iter()
            .map(|p| -> (_, _, &[PrekeyKind]) { ("one-time prekey", p, &[PrekeyKind::OneTimeEc]) });
        [signed, kem].into_iter().chain(one_time)
    }
}
