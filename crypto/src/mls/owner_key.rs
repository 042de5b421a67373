//! The key that may reboot a room: made for it, held by its owners, telling no account (R31).

use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use subrosa_verify::keys::Signature;
use subrosa_verify::labels;
use subrosa_verify::room::{NewOwnerKey, Reboot, owner_key_bytes};
use zeroize::Zeroizing;

use crate::signing::sign;

/// A room's owner key. Erased on drop; handed to new owners over pairwise sessions, never in a backup.
pub struct OwnerKey(SigningKey);

impl OwnerKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::generate(rng))
    }

    /// The key of the 32 secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The 32 secret bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key, as it stands in the policy and at the relay.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Hands over to `new` in a commit that is made in `epoch`.
    #[must_use]
    pub fn hand_over(&self, room: &[u8; 16], generation: u32, epoch: u64, new: &Self) -> NewOwnerKey {
        let key = new.public();
        let bytes = owner_key_bytes(room, generation, epoch, &key);
        NewOwnerKey { key, signature: sign(&self.0, labels::SIGN_ROOM_OWNER_KEY, &bytes) }
    }

    /// Signs a reboot.
    #[must_use]
    pub fn sign_reboot(&self, reboot: &Reboot) -> Signature {
        sign(&self.0, labels::SIGN_ROOM_REBOOT, &reboot.to_bytes())
    }
}
