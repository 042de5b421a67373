use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit, Payload};
use subrosa_verify::labels;
use zeroize::{Zeroize, Zeroizing};

use super::error::RatchetError;
use super::header::SALT_LEN;
use crate::kdf::{self, Key32};

/// Bytes of the AEAD's tag.
pub(super) const TAG_LEN: usize = 16;

/// The key of one message, 32 bytes. It never encrypts by itself: AEAD key and nonce are derived from it and a random
/// salt, so that even a message key used twice (a restored copy of a profile) repeats no (key, nonce) pair (R20).
#[derive(Clone)]
pub(super) struct MessageKey(pub(super) Key32);

impl MessageKey {
    /// Appends ChaCha20-Poly1305 (RFC 8439) of `plaintext` to `out`, tag at the end. `None` only for a plaintext beyond
    /// 256 GiB; nothing is appended then. Encrypts in place, in room that is made before: no copy of the plaintext is left
    /// behind by a buffer that moves.
    pub(super) fn seal_into(
        self,
        salt: &[u8; SALT_LEN],
        associated: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let (key, nonce) = self.derive(salt);
        #[cfg(any(test, feature = "ledger"))]
        super::ledger::record(key.as_bytes(), &nonce);
        let start = out.len();
        out.reserve(plaintext.len() + TAG_LEN);
        out.extend_from_slice(plaintext);
        let cipher = ChaCha20Poly1305::new(key.as_bytes().into());
        let sealed = out.get_mut(start..).and_then(|buffer| {
            cipher.encrypt_inout_detached((&*nonce).into(), associated, buffer.into()).ok()
        });
        let Some(tag) = sealed else {
            if let Some(plaintext) = out.get_mut(start..) {
                plaintext.zeroize();
            }
            out.truncate(start);
            return None;
        };
        out.extend_from_slice(&tag);
        Some(())
    }

    /// The plaintext, or [`RatchetError::Corrupt`] when ciphertext, salt or associated data differ in any bit.
    pub(super) fn open(
        &self,
        salt: &[u8; SALT_LEN],
        associated: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RatchetError> {
        let (key, nonce) = self.derive(salt);
        ChaCha20Poly1305::new(key.as_bytes().into())
            .decrypt((&*nonce).into(), Payload { msg: ciphertext, aad: associated })
            .map(Zeroizing::new)
            .map_err(|_| RatchetError::Corrupt)
    }

    /// AEAD key and 12-byte nonce: HKDF-SHA-256 with the header's salt as salt and the message key as input.
    fn derive(&self, salt: &[u8; SALT_LEN]) -> (Key32, Zeroizing<[u8; 12]>) {
        kdf::hkdf_key_and::<12>(salt, self.0.as_bytes(), labels::KDF_MESSAGE_AEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &MessageKey, salt: u8, associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = b"before".to_vec();
        key.clone().seal_into(&[salt; SALT_LEN], associated, plaintext, &mut out).unwrap();
        assert_eq!(out.len(), 6 + plaintext.len() + TAG_LEN);
        out.split_off(6)
    }

    #[test]
    fn r20_one_message_key_used_twice_repeats_neither_key_nor_nonce() {
        let key = MessageKey(Key32::new(&[7; 32]));
        let (key_a, nonce_a) = key.derive(&[1; SALT_LEN]);
        let (key_b, nonce_b) = key.derive(&[2; SALT_LEN]);
        assert_ne!(key_a.as_bytes(), key_b.as_bytes());
        assert_ne!(nonce_a, nonce_b);
        let a = seal(&key, 1, b"", &[0; 64]);
        let b = seal(&key, 2, b"", &[0; 64]);
        assert_ne!(a, b, "the key streams differ");
    }

    #[test]
    fn another_salt_associated_data_or_ciphertext_does_not_open() {
        let key = MessageKey(Key32::new(&[7; 32]));
        let mut sealed = seal(&key, 1, b"header", b"text");
        assert_eq!(key.open(&[1; SALT_LEN], b"header", &sealed).unwrap().as_slice(), b"text");
        assert_eq!(key.open(&[2; SALT_LEN], b"header", &sealed).err(), Some(RatchetError::Corrupt));
        assert_eq!(key.open(&[1; SALT_LEN], b"reader", &sealed).err(), Some(RatchetError::Corrupt));
        sealed[0] ^= 1;
        assert_eq!(key.open(&[1; SALT_LEN], b"header", &sealed).err(), Some(RatchetError::Corrupt));
        assert_eq!(key.open(&[1; SALT_LEN], b"header", b"short").err(), Some(RatchetError::Corrupt));
    }
}
