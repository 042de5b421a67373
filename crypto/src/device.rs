//! The three secret keys of a device, and what it signs.

use ed25519_dalek::{Signer, SigningKey};
use rand_core::CryptoRng;
use subrosa_verify::auth::AuthTranscript;
use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::device_list::DeviceEntry;
use subrosa_verify::keys::{Signature, VerifyingKey};
use subrosa_verify::labels::{self, Label};
use zeroize::Zeroizing;

use crate::dh::SecretKey;
use crate::signing::sign;

/// Length of [`DeviceSecrets::to_bytes`].
pub const DEVICE_SECRETS_BYTES: usize = 96;

/// The secret keys of one device: X25519 for key agreement, X25519 for sealed envelopes and nothing else, Ed25519 for
/// connections, prekeys and rooms. Erased on drop; never in a backup.
pub struct DeviceSecrets {
    identity: SecretKey,
    sealing: SecretKey,
    signing: SigningKey,
}

impl DeviceSecrets {
    /// Keys for a new device.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            identity: SecretKey::generate(rng),
            sealing: SecretKey::generate(rng),
            signing: SigningKey::generate(rng),
        }
    }

    /// Identity, sealing and signing secret in this order, 32 bytes each, for the store.
    pub fn to_bytes(&self) -> Zeroizing<[u8; DEVICE_SECRETS_BYTES]> {
        let mut out = Zeroizing::new([0; DEVICE_SECRETS_BYTES]);
        let parts = [self.identity.as_bytes(), self.sealing.as_bytes(), self.signing.as_bytes()];
        for (place, part) in out.as_chunks_mut::<32>().0.iter_mut().zip(parts) {
            place.copy_from_slice(part);
        }
        out
    }

    /// Keys as [`DeviceSecrets::to_bytes`] wrote them: [`DEVICE_SECRETS_BYTES`], or an error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let secrets = Self {
            identity: SecretKey::from_bytes(&Zeroizing::new(r.array()?)),
            sealing: SecretKey::from_bytes(&Zeroizing::new(r.array()?)),
            signing: SigningKey::from_bytes(&Zeroizing::new(r.array()?)),
        };
        r.finish()?;
        Ok(secrets)
    }

    /// This device's line in the device list. `added_at` is in ms since the epoch.
    pub fn entry(&self, device_id: u32, added_at: u64) -> DeviceEntry {
        DeviceEntry {
            device_id,
            identity_key: self.identity.public(),
            sealing_key: self.sealing.public(),
            signing_key: self.verifying_key().0,
            added_at,
        }
    }

    /// Whether `entry` holds exactly this device's public keys.
    pub fn matches(&self, entry: &DeviceEntry) -> bool {
        *entry == self.entry(entry.device_id, entry.added_at)
    }

    /// The key that verifies this device's signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.signing.verifying_key().to_bytes())
    }

    /// Proves this device on one connection.
    pub fn sign_auth(&self, transcript: &AuthTranscript<'_>) -> [u8; 64] {
        self.sign(labels::SIGN_AUTH, &transcript.to_bytes()).0
    }

    /// The secret half of the identity key, for PQXDH.
    pub(crate) fn identity(&self) -> &SecretKey {
        &self.identity
    }

    /// The secret half of the sealing key, for sealed envelopes.
    pub(crate) fn sealing(&self) -> &SecretKey {
        &self.sealing
    }

    /// Signs what MLS signs: its own labels keep it apart from ours (see [`subrosa_verify::keys::signed_bytes`]).
    pub fn sign_mls(&self, payload: &[u8]) -> [u8; 64] {
        self.signing.sign(payload).to_bytes()
    }

    /// Signs with the device's signing key under one of the registry's labels.
    pub(crate) fn sign(&self, label: Label, message: &[u8]) -> Signature {
        sign(&self.signing, label, message)
    }
}

#[cfg(test)]
mod tests {
    use subrosa_verify::auth::verify_auth;

    use super::*;
    use crate::test_rng::TestRng;

    #[test]
    fn survives_storage() {
        let secrets = DeviceSecrets::generate(&mut TestRng::new(1));
        let again = DeviceSecrets::from_bytes(&secrets.to_bytes()[..]).unwrap();
        assert!(DeviceSecrets::from_bytes(&secrets.to_bytes()[1..]).is_err());
        assert_eq!(again.to_bytes(), secrets.to_bytes());
        assert!(again.matches(&secrets.entry(3, 4)));
        let other = DeviceSecrets::generate(&mut TestRng::new(2));
        assert!(!other.matches(&secrets.entry(3, 4)));
    }

    #[test]
    fn a_proof_counts_for_one_connection_nonce_account_and_device() {
        let secrets = DeviceSecrets::generate(&mut TestRng::new(1));
        let key = secrets.verifying_key();
        let good = AuthTranscript { exporter: [1; 32], nonce: [2; 32], account: "alice", device_id: 1 };
        let proof = secrets.sign_auth(&good);
        assert_eq!(verify_auth(&key, &good, &proof), Ok(()));
        for other in [
            AuthTranscript { exporter: [9; 32], ..good },
            AuthTranscript { nonce: [9; 32], ..good },
            AuthTranscript { account: "alicf", ..good },
            AuthTranscript { device_id: 2, ..good },
        ] {
            assert!(verify_auth(&key, &other, &proof).is_err(), "{other:?}");
        }
    }
}
