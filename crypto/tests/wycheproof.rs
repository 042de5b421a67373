//! The primitives as we use them against Wycheproof's vectors: what is valid is computed right, what is broken refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use chacha20poly1305::{
    ChaCha20Poly1305, XChaCha20Poly1305,
    aead::{Aead, AeadCore, KeyInit, Payload, array::Array},
};
use ed25519_dalek::{Signature, VerifyingKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use ml_kem::{
    DecapsulationKey768, EncapsulationKey768,
    kem::{Decapsulate, KeyExport},
};
use sha2::Sha256;
use subrosa_crypto::dh::SecretKey;
use wycheproof::{TestResult, aead, eddsa, hkdf as hkdf_vectors, mac, mlkem, xdh};

#[test]
fn x25519_as_wrapped_r11() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    let (mut right, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret = SecretKey::from_bytes(test.private_key[..].try_into().unwrap());
        let public: [u8; 32] = test.public_key[..].try_into().unwrap();
        let weak = test.flags.iter().any(|flag| {
            matches!(
                flag,
                xdh::TestFlag::LowOrderPublic
                    | xdh::TestFlag::NonCanonicalPublic
                    | xdh::TestFlag::ZeroSharedSecret
            )
        });
        match secret.agree(&public) {
            Ok(output) => {
                assert!(!weak, "{}: {}", test.tc_id, test.comment);
                assert_eq!(output.as_bytes()[..], test.shared_secret[..], "{}", test.tc_id);
                right += 1;
            }
            Err(_) => {
                // Ours is stricter than RFC 7748, which masks the highest bit: such an encoding is not canonical.
                assert!(weak || public[31] & 0x80 != 0, "{}: {}", test.tc_id, test.comment);
                refused += 1;
            }
        }
    }
    assert!(right > 200 && refused > 20, "{right} right, {refused} refused");
}

#[test]
fn ed25519_verified_strictly_r11() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut counts = [0; 2];
    for group in &set.test_groups {
        let key = VerifyingKey::from_bytes(group.key.pk[..].try_into().unwrap()).unwrap();
        for test in &group.tests {
            let verified = Signature::from_slice(&test.sig)
                .is_ok_and(|signature| key.verify_strict(&test.msg, &signature).is_ok());
            assert_eq!(verified, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            counts[usize::from(verified)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 40), "{counts:?}");
}

fn aead<C: Aead + KeyInit + AeadCore>(name: aead::TestName) {
    let set = aead::TestSet::load(name).unwrap();
    let mut counts = [0; 2];
    for group in &set.test_groups {
        for test in &group.tests {
            // A nonce of another length has no type here: nothing to call.
            let Ok(nonce) = Array::try_from(&test.nonce[..]) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                continue;
            };
            let cipher = C::new_from_slice(&test.key).unwrap();
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad });
            let valid = test.result == TestResult::Valid;
            assert_eq!(
                opened.ok().as_deref(),
                valid.then_some(&test.pt[..]),
                "{}: {}",
                test.tc_id,
                test.comment
            );
            if valid {
                let again = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad }).unwrap();
                assert_eq!(again, sealed, "{}", test.tc_id);
            }
            counts[usize::from(valid)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
}

#[test]
fn chacha20_poly1305() {
    aead::<ChaCha20Poly1305>(aead::TestName::ChaCha20Poly1305);
}

#[test]
fn xchacha20_poly1305() {
    aead::<XChaCha20Poly1305>(aead::TestName::XChaCha20Poly1305);
}

#[test]
fn hkdf_sha_256() {
    let set = hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).unwrap();
    let mut right = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let made = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm).is_ok();
        assert_eq!(made, test.result == TestResult::Valid, "{}", test.tc_id);
        if made {
            assert_eq!(okm, test.okm[..], "{}", test.tc_id);
            right += 1;
        }
    }
    assert!(right > 60, "{right}");
}

#[test]
fn hmac_sha_256() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    let mut counts = [0; 2];
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut mac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap();
        mac.update(&test.msg);
        let verified = mac.verify_truncated_left(&test.tag).is_ok();
        assert_eq!(verified, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
        counts[usize::from(verified)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 40), "{counts:?}");
}

#[test]
fn ml_kem_768_keys_come_from_their_seed() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    let mut right = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let seed: [u8; 64] = test.seed.as_ref().unwrap()[..].try_into().unwrap();
        let secret = DecapsulationKey768::from_seed(seed.into());
        assert_eq!(
            secret.encapsulation_key().to_bytes()[..],
            test.encaps_key.as_ref().unwrap()[..],
            "{}",
            test.tc_id
        );
        right += 1;
    }
    assert!(right > 20, "{right}");
}

#[test]
fn ml_kem_768_decapsulates_and_refuses_keys_above_the_modulus() {
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    let (mut right, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Some(seed), Some(ciphertext)) = (&test.seed, &test.ct) else { continue };
        let Ok(seed): Result<[u8; 64], _> = seed[..].try_into() else { continue };
        let secret = DecapsulationKey768::from_seed(seed.into());
        let Ok(ciphertext) = <&[u8; 1088]>::try_from(&ciphertext[..]) else {
            assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
            refused += 1;
            continue;
        };
        let shared = secret.decapsulate(ciphertext.into());
        assert_eq!(test.result, TestResult::Valid, "{}", test.tc_id);
        assert_eq!(shared[..], test.shared_secret.as_ref().unwrap()[..], "{}", test.tc_id);
        right += 1;
    }
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = &test.encaps_key.as_ref().unwrap()[..];
        let usable = key.try_into().is_ok_and(|key| EncapsulationKey768::new(key).is_ok());
        if test.result == TestResult::Invalid {
            assert!(!usable, "{}: {}", test.tc_id, test.comment);
            refused += 1;
        } else {
            assert!(usable, "{}", test.tc_id);
        }
    }
    assert!(right > 20 && refused > 5, "{right} right, {refused} refused");
}
