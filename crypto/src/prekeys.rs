//! Making prekeys, and keeping their secrets until someone used them or their time is over.

use ml_kem::kem::{FromSeed, KeyExport};
use ml_kem::{DecapsulationKey, MlKem768, Seed};
use rand_core::CryptoRng;
use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::keys::Signature;
use subrosa_verify::prekey::{Prekey, PrekeyKind};
use zeroize::Zeroizing;

use crate::device::DeviceSecrets;
use crate::dh::SecretKey;

/// One-time prekeys of each kind that a device keeps published (R36).
pub const ONE_TIME_PUBLISHED: usize = 100;
/// A device makes new one-time prekeys of a kind when the relay holds fewer than this (R36).
pub const ONE_TIME_REFILL_BELOW: usize = 20;

/// The first byte of a stored prekey secret.
const FORMAT: u8 = 0x01;
/// Length of the seed that an ML-KEM-768 key is made from (FIPS 203: `d || z`).
const KEM_SEED_BYTES: usize = 64;

/// The secret half of a prekey. Committed to the store before the public half is uploaded (R21); erased on drop.
#[derive(Clone)]
pub struct PrekeySecret {
    /// What the key is for.
    pub kind: PrekeyKind,
    /// The number under which it is published.
    pub key_id: u32,
    /// ms since the epoch.
    pub created_at: u64,
    /// ms since the epoch; from then on the secret is deleted and senders refuse the public half.
    pub expires_at: u64,
    /// 32 bytes of X25519, or the 64 bytes of seed of ML-KEM-768.
    secret: Zeroizing<Vec<u8>>,
}

/// Makes a prekey that lives as long as its kind may, from `now` (ms since the epoch), signed by `device` for `account`
/// and `device_id`. `key_id` is the caller's to choose, and must never repeat within a kind.
pub fn generate_prekey(
    kind: PrekeyKind,
    key_id: u32,
    device: &DeviceSecrets,
    account: &str,
    device_id: u32,
    now: u64,
    rng: &mut impl CryptoRng,
) -> (PrekeySecret, Prekey) {
    let len = if kind.is_kem() { KEM_SEED_BYTES } else { 32 };
    let mut bytes = Zeroizing::new(vec![0; len]);
    rng.fill_bytes(&mut bytes);
    let expires_at = now.saturating_add(kind.lifetime_ms());
    let secret = PrekeySecret { kind, key_id, created_at: now, expires_at, secret: bytes };
    let mut prekey = Prekey {
        kind,
        key_id,
        created_at: now,
        expires_at,
        key: secret.public_key(),
        signature: Signature([0; 64]),
    };
    let (label, message) = prekey.signed_message(account, device_id);
    prekey.signature = device.sign(label, &message);
    (secret, prekey)
}

impl PrekeySecret {
    /// The public key, as it is published.
    pub fn public_key(&self) -> Vec<u8> {
        match (self.ec(), self.kem()) {
            (Some(secret), _) => secret.public().to_vec(),
            (None, Some(key)) => key.encapsulation_key().to_bytes().to_vec(),
            (None, None) => Vec::new(),
        }
    }

    /// Whether the secret is to be deleted at `now` (ms since the epoch).
    pub fn is_expired(&self, now: u64) -> bool {
        now >= self.expires_at
    }

    /// The secret, when it is an X25519 key.
    pub(crate) fn ec(&self) -> Option<SecretKey> {
        let bytes: &[u8; 32] = self.secret.as_slice().try_into().ok()?;
        (!self.kind.is_kem()).then(|| SecretKey::from_bytes(bytes))
    }

    /// The secret, when it is an ML-KEM-768 key.
    pub(crate) fn kem(&self) -> Option<DecapsulationKey<MlKem768>> {
        let seed = Zeroizing::new(Seed::try_from(self.secret.as_slice()).ok()?);
        self.kind.is_kem().then(|| MlKem768::from_seed(&seed).0)
    }

    /// For the store: `0x01 | type u8 | key_id u32 | created_at u64 | expires_at u64 | secret 32 or 64`.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(22 + KEM_SEED_BYTES));
        out.extend_from_slice(&[FORMAT, self.kind as u8]);
        out.extend_from_slice(&self.key_id.to_le_bytes());
        out.extend_from_slice(&self.created_at.to_le_bytes());
        out.extend_from_slice(&self.expires_at.to_le_bytes());
        out.extend_from_slice(&self.secret);
        out
    }

    /// A secret as [`PrekeySecret::to_bytes`] wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != FORMAT {
            return Err(Malformed::Field("format"));
        }
        let kind = PrekeyKind::from_byte(r.u8()?).ok_or(Malformed::Field("type"))?;
        let (key_id, created_at, expires_at) = (r.u32()?, r.u64()?, r.u64()?);
        let secret = r.bytes(if kind.is_kem() { KEM_SEED_BYTES } else { 32 })?;
        let secret = Zeroizing::new(secret.to_vec());
        r.finish()?;
        Ok(Self { kind, key_id, created_at, expires_at, secret })
    }
}

#[cfg(test)]
mod tests {
    use subrosa_verify::prekey::{EC_PREKEY_BYTES, KEM_PREKEY_BYTES};

    use super::*;
    use crate::test_rng::TestRng;

    const KINDS: [PrekeyKind; 4] =
        [PrekeyKind::SignedEc, PrekeyKind::OneTimeEc, PrekeyKind::LastResortKem, PrekeyKind::OneTimeKem];

    #[test]
    fn a_prekey_parses_verifies_and_belongs_to_its_secret() {
        let mut rng = TestRng::new(3);
        let device = DeviceSecrets::generate(&mut rng);
        for kind in KINDS {
            let (secret, prekey) = generate_prekey(kind, 9, &device, "alice", 2, 1_000, &mut rng);
            let bytes = prekey.to_bytes();
            assert_eq!(bytes.len(), if kind.is_kem() { KEM_PREKEY_BYTES } else { EC_PREKEY_BYTES });
            let parsed = Prekey::parse(&bytes).unwrap();
            assert_eq!(parsed, prekey);
            assert_eq!(parsed.verify(&device.verifying_key(), "alice", 2), Ok(()));
            assert_eq!(secret.public_key(), parsed.key);
            assert!(!secret.is_expired(prekey.expires_at - 1) && secret.is_expired(prekey.expires_at));

            let stored = PrekeySecret::from_bytes(&secret.to_bytes()).unwrap();
            assert_eq!(stored.to_bytes(), secret.to_bytes());
            assert_eq!(stored.public_key(), secret.public_key());
            assert!(PrekeySecret::from_bytes(&secret.to_bytes()[1..]).is_err());
            assert!(PrekeySecret::from_bytes(&[&secret.to_bytes()[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_secret_serves_its_own_kind_only() {
        let mut rng = TestRng::new(4);
        let device = DeviceSecrets::generate(&mut rng);
        for kind in KINDS {
            let (secret, _) = generate_prekey(kind, 1, &device, "alice", 1, 0, &mut rng);
            assert_eq!(secret.ec().is_some(), !kind.is_kem());
            assert_eq!(secret.kem().is_some(), kind.is_kem());
        }
    }
}
