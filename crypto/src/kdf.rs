//! The one place where HKDF-SHA-256 (RFC 5869), HMAC-SHA-256 (RFC 2104) and labelled SHA-256 are computed. Each takes a
//! [`Label`] of the registry, so that no two uses can collide (R13).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subrosa_verify::labels::Label;
use zeroize::Zeroizing;

/// A 32-byte symmetric key on the heap, erased on drop. Moving it moves a pointer, so no copy stays behind.
#[derive(Clone)]
pub(crate) struct Key32(Box<Zeroizing<[u8; 32]>>);

impl Key32 {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        let mut key = Self::zero();
        key.0.copy_from_slice(bytes);
        key
    }

    pub(crate) fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The first `32 + N` bytes of HKDF-SHA-256 with `label` as the info string, as a key and the `N` bytes after it.
pub(crate) fn hkdf_key_and<const N: usize>(
    salt: &[u8],
    input: &[u8],
    label: Label,
) -> (Key32, Zeroizing<[u8; N]>) {
    const { assert!(N <= 32) };
    let block = hkdf::<64>(salt, input, label);
    let (mut key, mut rest) = (Key32::zero(), Zeroizing::new([0; N]));
    let (first, second) = block.split_at(32);
    key.0.copy_from_slice(first);
    for (to, from) in rest.iter_mut().zip(second) {
        *to = *from;
    }
    (key, rest)
}

/// 32 bytes of HKDF-SHA-256 with `label` as the info string.
pub(crate) fn hkdf_key(salt: &[u8], input: &[u8], label: Label) -> Key32 {
    Key32::new(&hkdf::<32>(salt, input, label))
}

fn hkdf<const L: usize>(salt: &[u8], input: &[u8], label: Label) -> Zeroizing<[u8; L]> {
    const { assert!(L <= 255 * 32) };
    let mut out = Zeroizing::new([0; L]);
    let expanded = Hkdf::<Sha256>::new(Some(salt), input).expand(label.as_bytes(), out.as_mut_slice());
    debug_assert!(expanded.is_ok(), "the length is checked at compile time");
    out
}

/// HMAC-SHA-256 of each label under `key`, whose schedule is made once for both.
pub(crate) fn hmac_pair(key: &Key32, labels: [Label; 2]) -> [Key32; 2] {
    // A key shorter than the hash's block is filled up with zeros (RFC 2104, section 2); done here, it cannot fail.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key.as_bytes()) {
        *to = *from;
    }
    let keyed = Hmac::<Sha256>::new((&*block).into());
    labels.map(|label| {
        let mac = keyed.clone().chain_update(label.as_bytes());
        Key32::new(&Zeroizing::new(mac.finalize().into_bytes().into()))
    })
}

/// SHA-256 of `label || 0x00 || message`. Labels hold no zero byte, so no two labels make the same input.
pub fn hash(label: Label, message: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(label.as_bytes()).chain_update([0]).chain_update(message).finalize().into()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use subrosa_verify::labels;

    use super::*;

    /// The same with the primitives spelt out, so that a change of salt, input or info order shows.
    #[test]
    fn hkdf_is_extract_then_expand() {
        let mac = |key: &[u8], data: &[u8]| -> Vec<u8> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        };
        let label = labels::KDF_ROOT_CHAIN;
        let prk = mac(b"salt", b"input");
        let first = mac(&prk, &[label.as_bytes(), &[1]].concat());
        let second = mac(&prk, &[&first, label.as_bytes(), &[2]].concat());
        let (key, rest) = hkdf_key_and::<12>(b"salt", b"input", label);
        assert_eq!((key.as_bytes().as_slice(), rest.as_slice()), (&first[..], &second[..12]));
        assert_eq!(hkdf_key(b"salt", b"input", label).as_bytes().as_slice(), &first[..]);
    }

    /// RFC 2104 with each label for itself: sharing the key's schedule changes nothing.
    #[test]
    fn hmac_pair_is_two_macs() {
        let key = Key32::new(&[0x4b; 32]);
        let labels = [labels::KDF_CHAIN_KEY, labels::KDF_MESSAGE_KEY];
        let expected = labels.map(|label| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
            mac.update(label.as_bytes());
            <[u8; 32]>::from(mac.finalize().into_bytes())
        });
        assert_eq!(hmac_pair(&key, labels).map(|key| *key.as_bytes()), expected);
    }

    #[test]
    fn hash_separates_label_and_message() {
        let expected: [u8; 32] = Sha256::digest(b"subrosa/1 hash session parties\0abc").into();
        assert_eq!(hash(labels::HASH_SESSION_PARTIES, b"abc"), expected, "{}", HEXLOWER.encode(&expected));
    }
}
