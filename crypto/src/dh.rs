//! The one place where X25519 (RFC 7748) is computed (R11).
//!
//! Public keys of low order, encodings that are not canonical, and an all-zero result are refused, so no peer can force
//! a shared secret that others know and no key has two encodings. `clippy.toml` forbids the raw calls everywhere else.

use std::sync::OnceLock;

use rand_core::CryptoRng;
use subrosa_verify::keys::check_x25519;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The peer's public key makes a result that does not depend on our secret, or is not the canonical encoding of a
/// point. Nothing to retry: whoever sent the key is broken or hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an X25519 public key is of low order or not canonical")]
pub struct NonContributory;

/// An X25519 secret key, 32 bytes on the heap, erased on drop. It remembers its public key once that was asked for.
#[derive(Clone)]
pub struct SecretKey {
    secret: Box<StaticSecret>,
    public: OnceLock<[u8; 32]>,
}

/// The output of a Diffie-Hellman computation, 32 bytes, never all zero, erased on drop.
pub struct DhOutput(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { secret: Box::new(StaticSecret::random_from_rng(rng)), public: OnceLock::new() }
    }

    /// The key of these 32 bytes, clamped when it is used (RFC 7748, section 5).
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self { secret: Box::new(StaticSecret::from(*bytes)), public: OnceLock::new() }
    }

    /// The same with its public key, which was stored beside it and is not computed again.
    pub(crate) fn with_public(bytes: &[u8; 32], public: [u8; 32]) -> Self {
        Self { secret: Box::new(StaticSecret::from(*bytes)), public: public.into() }
    }

    /// The 32 bytes, for storage.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }

    /// The public key, always the canonical encoding.
    pub fn public(&self) -> [u8; 32] {
        *self.public.get_or_init(|| PublicKey::from(&*self.secret).to_bytes())
    }

    /// The Diffie-Hellman output with `theirs`.
    pub fn agree(&self, theirs: &[u8; 32]) -> Result<DhOutput, NonContributory> {
        check_x25519(theirs).map_err(|_| NonContributory)?;
        #[expect(clippy::disallowed_methods, reason = "this is the wrapper that the rule points to")]
        let output = Zeroizing::new(self.secret.diffie_hellman(&PublicKey::from(*theirs)).to_bytes());
        if output.ct_eq(&[0; 32]).into() { Err(NonContributory) } else { Ok(DhOutput(output)) }
    }
}

impl DhOutput {
    /// The 32 bytes, as key-derivation input only.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex(text: &str) -> [u8; 32] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    /// RFC 7748, section 6.1.
    #[test]
    fn rfc_7748_diffie_hellman() {
        let alice =
            SecretKey::from_bytes(&hex("77076d0a7318a57d3c16c17251b26645df4c2f92ebc4b0e4d37c1ec18f0d28a1"));
        let bob =
            SecretKey::from_bytes(&hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        assert_eq!(bob.public(), hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"));
        assert_eq!(alice.agree(&bob.public()).unwrap().0, bob.agree(&alice.public()).unwrap().0);
    }

    /// RFC 7748, section 5.2, the first two vectors of the function itself. The second has the unused top bit set, which
    /// this protocol refuses; with the bit cleared it is the same point and gives the same result.
    #[test]
    fn rfc_7748_function() {
        let scalar =
            SecretKey::from_bytes(&hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
        let u = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
        let out = scalar.agree(&u).unwrap();
        assert_eq!(*out.0, hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"));

        let scalar =
            SecretKey::from_bytes(&hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"));
        let mut u = hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
        assert_eq!(scalar.agree(&u).err(), Some(NonContributory));
        u[31] &= 0x7f;
        let out = scalar.agree(&u).unwrap();
        assert_eq!(*out.0, hex("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"));
    }

    #[test]
    fn r11_low_order_and_non_canonical_points_are_refused() {
        let secret = SecretKey::from_bytes(&[0x42; 32]);
        for point in crate::ratchet::testing::low_order_points() {
            assert_eq!(secret.agree(&point).err(), Some(NonContributory), "{}", HEXLOWER.encode(&point));
        }
    }
}
