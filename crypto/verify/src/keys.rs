//! Public keys and signatures, and which of them are refused.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::labels::Label;

/// An Ed25519 signature (RFC 8032), 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

/// An Ed25519 public key as it stands in a device list, 32 bytes, not yet known to be a point.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

/// A signature that does not verify: wrong key, wrong bytes, a key of small order, or a non-canonical signature. There
/// is nothing to retry; drop the object and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// An X25519 public key that is refused before any use: of low order, or not the canonical encoding of its point (R11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an X25519 public key is of low order or not canonical")]
pub struct WeakKey;

impl VerifyingKey {
    /// Verifies `signature` over `label || 0x00 || message` by the strict rules (R11): canonical `S`, no point of small
    /// order for key or `R`, cofactorless equation.
    pub fn verify(&self, label: Label, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&signed_bytes(label, message), &signature).map_err(|_| BadSignature)
    }

    /// Whether this is a point that can verify anything: on the curve and not of small order.
    pub fn is_usable(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }
}

/// What is signed for `message` under `label`: `label || 0x00 || message`. No label holds a zero byte, so two labels can
/// never make the same bytes; and none starts like an MLS `SignContent` (whose first byte is below 0x40), so a device's
/// signing key can serve both.
pub fn signed_bytes(label: Label, message: &[u8]) -> Vec<u8> {
    [label.as_bytes(), &[0], message].concat()
}

/// Refuses the X25519 public keys that no honest device makes: the points of low order in all their encodings, and any
/// encoding that is not below the field's prime (R11).
///
/// A Diffie-Hellman output of zero is refused as well where it is computed; this check lets a relay refuse such a key
/// at upload, and makes an encoding unique so that a key that is hashed or bound is bound in one form.
pub fn check_x25519(public: &[u8; 32]) -> Result<(), WeakKey> {
    if !is_canonical_field_element(public) || LOW_ORDER.contains(public) { Err(WeakKey) } else { Ok(()) }
}

/// Whether the little-endian `bytes` are below p = 2^255 - 19.
fn is_canonical_field_element(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    *last < 0x7f || (*last == 0x7f && !(middle.iter().all(|b| *b == 0xff) && *first >= 0xed))
}

/// The canonical u-coordinates of low order on Curve25519 and its twist: 0, 1, the two of order 8, and p - 1.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
];

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}..)", HEXLOWER.encode(self.0.first_chunk::<4>().unwrap_or(&[0; 4])))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer;

    use super::*;
    use crate::labels;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    /// RFC 8032, section 7.1, TEST 2, checked against the same primitive that `verify` calls.
    #[test]
    fn rfc_8032_test_2() {
        let key = hex::<32>("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = hex::<64>(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
        assert!(key.verify_strict(&[0x72], &ed25519_dalek::Signature::from_bytes(&signature)).is_ok());
        assert!(key.verify_strict(&[0x73], &ed25519_dalek::Signature::from_bytes(&signature)).is_err());
    }

    #[test]
    fn a_signature_counts_for_its_label_message_and_key_only() {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let key = VerifyingKey(secret.verifying_key().to_bytes());
        let signature = Signature(secret.sign(&signed_bytes(labels::SIGN_AUTH, b"hello")).to_bytes());
        assert_eq!(key.verify(labels::SIGN_AUTH, b"hello", &signature), Ok(()));
        assert_eq!(key.verify(labels::SIGN_REGISTRATION, b"hello", &signature), Err(BadSignature));
        assert_eq!(key.verify(labels::SIGN_AUTH, b"hellp", &signature), Err(BadSignature));
        let other = VerifyingKey(ed25519_dalek::SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
        assert_eq!(other.verify(labels::SIGN_AUTH, b"hello", &signature), Err(BadSignature));
        for bit in 0..512 {
            let mut bad = signature;
            bad.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.verify(labels::SIGN_AUTH, b"hello", &bad), Err(BadSignature));
        }
    }

    /// With the neutral element as key and R, and S = 0, the lax equation holds for every message.
    #[test]
    fn r11_strict_verification_refuses_what_lax_verification_accepts() {
        let mut neutral = [0u8; 32];
        neutral[0] = 1;
        let mut signature = [0u8; 64];
        signature[0] = 1;
        let lax = ed25519_dalek::VerifyingKey::from_bytes(&neutral).unwrap();
        #[allow(clippy::disallowed_methods)]
        let accepted = ed25519_dalek::Verifier::verify(
            &lax,
            &signed_bytes(labels::SIGN_AUTH, b"any"),
            &ed25519_dalek::Signature::from_bytes(&signature),
        );
        assert!(accepted.is_ok(), "the case must be one that only strict verification refuses");
        assert_eq!(
            VerifyingKey(neutral).verify(labels::SIGN_AUTH, b"any", &Signature(signature)),
            Err(BadSignature)
        );
        assert!(!VerifyingKey(neutral).is_usable());
    }

    /// The twelve values of https://cr.yp.to/ecdh.html#validate.
    #[test]
    fn r11_the_twelve_low_order_points_are_refused() {
        let twelve = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "cdeb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880",
            "4c9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7",
            "d9ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "daffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "dbffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ];
        for point in twelve {
            assert_eq!(check_x25519(&hex(point)), Err(WeakKey), "{point}");
        }
    }

    #[test]
    fn r11_good_keys_pass_and_high_encodings_do_not() {
        let mut nine = [0u8; 32];
        nine[0] = 9;
        assert_eq!(check_x25519(&nine), Ok(()));
        let mut high = nine;
        high[31] = 0x80;
        assert_eq!(check_x25519(&high), Err(WeakKey));
        // p - 2 is the largest canonical value that is not of low order; p + 9 encodes the base point a second time.
        let mut largest = [0xff; 32];
        (largest[0], largest[31]) = (0xeb, 0x7f);
        assert_eq!(check_x25519(&largest), Ok(()));
        let mut again = [0xff; 32];
        (again[0], again[31]) = (0xf6, 0x7f);
        assert_eq!(check_x25519(&again), Err(WeakKey));
    }
}
