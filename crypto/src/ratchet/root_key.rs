use subrosa_verify::labels;

use super::chain_key::ChainKey;
use crate::dh::DhOutput;
use crate::kdf::{self, Key32};

/// The root key, 32 bytes (Double Ratchet, section 2.3).
#[derive(Clone)]
pub(crate) struct RootKey(pub(super) Key32);

impl RootKey {
    pub(crate) fn new(key: Key32) -> Self {
        Self(key)
    }

    /// `KDF_RK`: the next root key and the first key of a new chain.
    /// HKDF-SHA-256 with the root key as salt and the Diffie-Hellman output as input; 32 bytes each.
    pub(super) fn advance(&self, output: &DhOutput) -> (Self, ChainKey) {
        let (root, chain) =
            kdf::hkdf_key_and::<32>(self.0.as_bytes(), output.as_bytes(), labels::KDF_ROOT_CHAIN);
        (Self(root), ChainKey(Key32::new(&chain)))
    }
}
