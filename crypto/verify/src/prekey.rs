//! Prekeys: public keys that a device leaves with the relay so that others can open a session while it is offline
//! (PQXDH, section 3.2).
//!
//! ```text
//! type u8 | key_id u32 | created_at u64 | expires_at u64 | key 32 or 1184 | signature 64
//! ```
//!
//! The device's signing key signs everything before the signature, followed by its account (`str8`) and device id
//! (`u32`): a prekey therefore cannot be handed out as another's, as another kind, or as younger than it is (R12).

use crate::canonical::{Malformed, Reader, put_str8};
use crate::keys::{BadSignature, Signature, VerifyingKey, WeakKey, check_x25519};
use crate::labels::{self, Label};

/// Length of an X25519 prekey on the wire.
pub const EC_PREKEY_BYTES: usize = HEADER_BYTES + 32 + 64;
/// Length of an ML-KEM-768 prekey on the wire.
pub const KEM_PREKEY_BYTES: usize = HEADER_BYTES + KEM_KEY_BYTES + 64;
/// Length of an ML-KEM-768 encapsulation key (FIPS 203).
pub const KEM_KEY_BYTES: usize = 1184;
const HEADER_BYTES: usize = 1 + 4 + 8 + 8;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// A signed or last-resort prekey is replaced after this many ms (R36).
pub const ROTATE_AFTER_MS: u64 = 7 * DAY_MS;
/// A signed or last-resort prekey is refused, and its secret deleted, this many ms after it was made (R36).
pub const LONG_LIVED_MS: u64 = 30 * DAY_MS;
/// A one-time prekey is refused, and its secret deleted, this many ms after it was made. Longer than
/// [`LONG_LIVED_MS`], since it may wait long to be asked for and is used once only.
pub const ONE_TIME_MS: u64 = 90 * DAY_MS;

/// What a prekey is for. The discriminant is the type byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PrekeyKind {
    /// X25519, used by many senders until it rotates.
    SignedEc = 0x01,
    /// X25519, handed out once.
    OneTimeEc = 0x02,
    /// ML-KEM-768, used when no one-time KEM key is left, until it rotates.
    LastResortKem = 0x03,
    /// ML-KEM-768, handed out once.
    OneTimeKem = 0x04,
}

/// A prekey as it is published. The fields are those of the wire; only [`Prekey::parse`] and the device that makes the
/// key build one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prekey {
    /// What the key is for.
    pub kind: PrekeyKind,
    /// The device's number for the key; never given twice among keys of one kind.
    pub key_id: u32,
    /// ms since the epoch, by the device's clock.
    pub created_at: u64,
    /// ms since the epoch; after `created_at` by at most [`PrekeyKind::lifetime_ms`].
    pub expires_at: u64,
    /// The public key: 32 bytes of X25519 or [`KEM_KEY_BYTES`] of ML-KEM-768.
    pub key: Vec<u8>,
    /// By the device's signing key, see the module.
    pub signature: Signature,
}

/// Why a prekey is refused. A relay refuses the upload; a sender refuses the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrekeyError {
    /// The bytes are not canonical.
    #[error("not a canonical prekey: {0}")]
    Malformed(#[from] Malformed),
    /// The public key is of low order, or not a canonical encoding of a key.
    #[error("the prekey's public key is weak or not canonical")]
    Key,
    /// The signature is not by this device's signing key for this account and device.
    #[error("the prekey is not signed by its device")]
    Signature,
}

impl From<WeakKey> for PrekeyError {
    fn from(_: WeakKey) -> Self {
        Self::Key
    }
}

impl From<BadSignature> for PrekeyError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl PrekeyKind {
    /// The kind of a type byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::SignedEc,
            0x02 => Self::OneTimeEc,
            0x03 => Self::LastResortKem,
            0x04 => Self::OneTimeKem,
            _ => return None,
        })
    }

    /// Whether the key is an ML-KEM-768 key (otherwise X25519).
    pub fn is_kem(self) -> bool {
        matches!(self, Self::LastResortKem | Self::OneTimeKem)
    }

    /// Whether the key is handed out once only.
    pub fn is_one_time(self) -> bool {
        matches!(self, Self::OneTimeEc | Self::OneTimeKem)
    }

    /// Length of the public key in bytes.
    pub fn key_bytes(self) -> usize {
        if self.is_kem() { KEM_KEY_BYTES } else { 32 }
    }

    /// The longest time from creation to expiry, in ms.
    pub fn lifetime_ms(self) -> u64 {
        if self.is_one_time() { ONE_TIME_MS } else { LONG_LIVED_MS }
    }

    fn label(self) -> Label {
        match self {
            Self::SignedEc => labels::SIGN_PREKEY_SIGNED_EC,
            Self::OneTimeEc => labels::SIGN_PREKEY_ONE_TIME_EC,
            Self::LastResortKem => labels::SIGN_PREKEY_LAST_RESORT_KEM,
            Self::OneTimeKem => labels::SIGN_PREKEY_ONE_TIME_KEM,
        }
    }
}

impl Prekey {
    /// Reads a prekey and checks everything but its signature: kind, exact length, lifetime, and that the key is one
    /// that can be used (X25519: [`check_x25519`]; ML-KEM: the modulus check of FIPS 203, section 7.2).
    pub fn parse(bytes: &[u8]) -> Result<Self, PrekeyError> {
        let mut r = Reader::new(bytes);
        let kind = PrekeyKind::from_byte(r.u8()?).ok_or(Malformed::Field("type"))?;
        let key_id = r.u32()?;
        let created_at = r.u64()?;
        let expires_at = r.u64()?;
        let key = r.bytes(kind.key_bytes())?.to_vec();
        let signature = Signature(r.array()?);
        r.finish()?;
        let prekey = Self { kind, key_id, created_at, expires_at, key, signature };
        prekey.check()?;
        Ok(prekey)
    }

    /// The bytes of the wire: [`EC_PREKEY_BYTES`] or [`KEM_PREKEY_BYTES`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.unsigned_bytes();
        out.extend_from_slice(&self.signature.0);
        out
    }

    /// Checks that `signing_key`, the one of `account`'s device `device_id`, signed this prekey.
    pub fn verify(
        &self,
        signing_key: &VerifyingKey,
        account: &str,
        device_id: u32,
    ) -> Result<(), PrekeyError> {
        let (label, message) = self.signed_message(account, device_id);
        Ok(signing_key.verify(label, &message, &self.signature)?)
    }

    /// The label and message that the signature covers.
    pub fn signed_message(&self, account: &str, device_id: u32) -> (Label, Vec<u8>) {
        let mut message = self.unsigned_bytes();
        put_str8(&mut message, account);
        message.extend_from_slice(&device_id.to_le_bytes());
        (self.kind.label(), message)
    }

    /// Whether the key is refused at `now` (ms since the epoch): past its expiry, or older than its kind may get.
    pub fn is_expired(&self, now: u64) -> bool {
        now >= self.expires_at || now.saturating_sub(self.created_at) >= self.kind.lifetime_ms()
    }

    /// The key, when it is an X25519 key.
    pub fn ec_key(&self) -> Option<[u8; 32]> {
        if self.kind.is_kem() { None } else { self.key.as_slice().try_into().ok() }
    }

    /// The key, when it is an ML-KEM-768 key.
    pub fn kem_key(&self) -> Option<&[u8; KEM_KEY_BYTES]> {
        if self.kind.is_kem() { self.key.as_slice().try_into().ok() } else { None }
    }

    fn check(&self) -> Result<(), PrekeyError> {
        match self.expires_at.checked_sub(self.created_at) {
            Some(lifetime) if lifetime > 0 && lifetime <= self.kind.lifetime_ms() => {}
            _ => return Err(Malformed::Field("expires_at").into()),
        }
        match (self.ec_key(), self.kem_key()) {
            (Some(key), None) => Ok(check_x25519(&key)?),
            (None, Some(key)) if is_kem_key(key) => Ok(()),
            _ => Err(PrekeyError::Key),
        }
    }

    fn unsigned_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.key.len() + 64);
        out.push(self.kind as u8);
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.extend_from_slice(&self.created_at.to_le_bytes());
        out.extend_from_slice(&self.expires_at.to_le_bytes());
        out.extend_from_slice(&self.key);
        out
    }
}

/// The modulus check of FIPS 203, section 7.2: each of the 768 coefficients of 12 bits is below q = 3329.
fn is_kem_key(key: &[u8; KEM_KEY_BYTES]) -> bool {
    const Q: u16 = 3329;
    let (coefficients, _rho) = key.split_at(KEM_KEY_BYTES - 32);
    coefficients.as_chunks::<3>().0.iter().all(|[a, b, c]| {
        let (a, b, c) = (u16::from(*a), u16::from(*b), u16::from(*c));
        (a | (b & 0x0f) << 8) < Q && (b >> 4 | c << 4) < Q
    })
}
