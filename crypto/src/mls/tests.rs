//! Our primitives against OpenMLS's own.

use chacha20::ChaCha20Rng;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::types::{AeadType, CryptoError, HashType, SignatureScheme};
use rand_core::SeedableRng;

use super::Primitives;
use super::Suite;

fn ours() -> Primitives {
    Primitives::new(&mut ChaCha20Rng::from_seed([7; 32]))
}

#[test]
fn what_one_library_seals_the_other_opens() {
    let (ours, theirs) = (ours(), CryptoProvider::new().unwrap());
    for suite in Suite::ALL {
        let config = || suite.mls().hpke_config();
        let pair = ours.derive_hpke_keypair(config(), &[3; 32]).unwrap();
        let same = theirs.derive_hpke_keypair(config(), &[3; 32]).unwrap();
        assert_eq!(pair.public, same.public, "{suite:?}: the same seed gives the same key");
        let sealed = ours.hpke_seal(config(), &pair.public, b"info", b"aad", b"text").unwrap();
        assert_eq!(theirs.hpke_open(config(), &sealed, &same.private, b"info", b"aad").unwrap(), b"text");
        let sealed = theirs.hpke_seal(config(), &pair.public, b"info", b"aad", b"text").unwrap();
        assert_eq!(ours.hpke_open(config(), &sealed, &pair.private, b"info", b"aad").unwrap(), b"text");
        assert!(ours.hpke_open(config(), &sealed, &pair.private, b"info", b"bad").is_err());
        let (enc, secret) =
            ours.hpke_setup_sender_and_export(config(), &pair.public, b"info", b"ctx", 32).unwrap();
        let read = theirs
            .hpke_setup_receiver_and_export(config(), &enc, &same.private, b"info", b"ctx", 32)
            .unwrap();
        assert_eq!(*secret, *read);
        let (enc, secret) =
            theirs.hpke_setup_sender_and_export(config(), &pair.public, b"info", b"ctx", 32).unwrap();
        let read =
            ours.hpke_setup_receiver_and_export(config(), &enc, &pair.private, b"info", b"ctx", 32).unwrap();
        assert_eq!(*secret, *read);
    }
}

#[test]
fn hashes_keys_and_ciphers_agree() {
    let (ours, theirs) = (ours(), CryptoProvider::new().unwrap());
    let sha = HashType::Sha2_256;
    assert_eq!(ours.hash(sha, b"x").unwrap(), theirs.hash(sha, b"x").unwrap());
    assert_eq!(
        ours.hmac(sha, b"key", b"x").unwrap().as_slice(),
        theirs.hmac(sha, b"key", b"x").unwrap().as_slice()
    );
    let prk = ours.hkdf_extract(sha, b"salt", b"ikm").unwrap();
    assert_eq!(prk.as_slice(), theirs.hkdf_extract(sha, b"salt", b"ikm").unwrap().as_slice());
    for len in [1, 32, 100] {
        let out = ours.hkdf_expand(sha, prk.as_slice(), b"info", len).unwrap();
        assert_eq!(out.as_slice(), theirs.hkdf_expand(sha, prk.as_slice(), b"info", len).unwrap().as_slice());
    }
    let aead = AeadType::ChaCha20Poly1305;
    let sealed = ours.aead_encrypt(aead, &[1; 32], b"text", &[2; 12], b"aad").unwrap();
    assert_eq!(sealed, theirs.aead_encrypt(aead, &[1; 32], b"text", &[2; 12], b"aad").unwrap());
    assert_eq!(ours.aead_decrypt(aead, &[1; 32], &sealed, &[2; 12], b"aad").unwrap(), b"text");
    assert!(ours.aead_decrypt(aead, &[1; 32], &sealed, &[2; 12], b"bad").is_err());
    assert!(ours.aead_encrypt(AeadType::Aes128Gcm, &[1; 16], b"", &[2; 12], b"").is_err());
    assert!(ours.hash(HashType::Sha2_512, b"").is_err());
}

#[test]
fn r11_weak_keys_and_lax_signatures_are_refused() {
    let ours = ours();
    let config = || Suite::Classic.mls().hpke_config();
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        assert_eq!(
            ours.hpke_seal(config(), &weak, b"", b"", b"").unwrap_err(),
            CryptoError::InvalidPublicKey
        );
        assert!(ours.hpke_setup_sender_and_export(config(), &weak, b"", b"", 32).is_err());
    }
    // The neutral element as key and R, S = 0: the lax equation holds for every message.
    let mut signature = [0; 64];
    signature[0] = 1;
    let verified = ours.verify_signature(SignatureScheme::ED25519, b"anything", &one, &signature);
    assert_eq!(verified.unwrap_err(), CryptoError::InvalidSignature);
    // A hybrid key of which one half is weak.
    let hybrid = || Suite::Hybrid.mls().hpke_config();
    let mut pair = ours.derive_hpke_keypair(hybrid(), &[3; 32]).unwrap();
    pair.public[1184..].fill(0);
    assert_eq!(
        ours.hpke_seal(hybrid(), &pair.public, b"", b"", b"").unwrap_err(),
        CryptoError::InvalidPublicKey
    );
}

#[test]
fn one_seed_gives_the_same_bytes_whatever_the_order_of_seals() {
    let config = || Suite::Hybrid.mls().hpke_config();
    let key = ours().derive_hpke_keypair(config(), &[3; 32]).unwrap().public;
    let seal = |p: &Primitives, text: &[u8]| p.hpke_seal(config(), &key, b"", b"", text).unwrap().ciphertext;
    let (one, other) = (ours(), ours());
    let (a, b) = (seal(&one, b"a"), seal(&one, b"b"));
    assert_eq!((seal(&other, b"b"), seal(&other, b"a")), (b, a));
    let (first, second): ([u8; 32], [u8; 32]) = (one.random_array().unwrap(), one.random_array().unwrap());
    assert_eq!(other.random_vec(32).unwrap(), first);
    assert_ne!(first, second);
    let stranger = Primitives::new(&mut ChaCha20Rng::from_seed([8; 32]));
    assert_ne!(seal(&stranger, b"a"), seal(&one, b"a"));
}
