//! Prekeys and bundles: golden bytes, one encoding, what signatures cover, and when they are refused (R12, R36).

use crate::common::*;
use proptest::prelude::*;
use subrosa_verify::bundle::{BundleError, CLOCK_SKEW_MS, PrekeyBundle};
use subrosa_verify::canonical::Malformed;
use subrosa_verify::keys::VerifyingKey;
use subrosa_verify::prekey::{
    EC_PREKEY_BYTES, KEM_PREKEY_BYTES, LONG_LIVED_MS, Prekey, PrekeyError, PrekeyKind,
};

const KINDS: [PrekeyKind; 4] =
    [PrekeyKind::SignedEc, PrekeyKind::OneTimeEc, PrekeyKind::LastResortKem, PrekeyKind::OneTimeKem];
const NOW: u64 = 1_800_000_000_000;

#[test]
fn r12_golden_prekeys_parse_and_verify() {
    let device = DeviceListKeys::first();
    for (i, kind) in KINDS.into_iter().enumerate() {
        let bytes = golden_prekey(i);
        assert_eq!(bytes.len(), if kind.is_kem() { KEM_PREKEY_BYTES } else { EC_PREKEY_BYTES });
        let prekey = Prekey::parse(&bytes).unwrap();
        assert_eq!(
            (prekey.kind, prekey.key_id, prekey.created_at),
            (kind, 11 + u32::try_from(i).unwrap(), 5000)
        );
        assert_eq!(prekey.to_bytes(), bytes);
        assert_eq!(prekey.verify(&device.signing, "alice", 1), Ok(()));
    }
}

/// The signing key of the first device of the golden list.
struct DeviceListKeys {
    signing: VerifyingKey,
}

impl DeviceListKeys {
    fn first() -> Self {
        let list = subrosa_verify::device_list::DeviceList::parse(&golden("device_list_1")).unwrap();
        Self { signing: list.devices[0].verifying_key() }
    }
}

#[test]
fn r12_the_signature_covers_every_byte_and_whose_it_is() {
    for kind in KINDS {
        let good = prekey(kind, NOW);
        assert_eq!(good.verify(&public(1), "alice", 1), Ok(()));
        let refused = Err(PrekeyError::Signature);
        assert_eq!(good.verify(&public(2), "alice", 1), refused);
        assert_eq!(good.verify(&public(1), "alicf", 1), refused);
        assert_eq!(good.verify(&public(1), "alice", 2), refused);
        let bytes = good.to_bytes();
        // Each byte of type, id, times and signature, and some of the key.
        for at in (0..21).chain([21, 30, 52]).chain(bytes.len() - 64..bytes.len()) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let verified = Prekey::parse(&bad).and_then(|p| p.verify(&public(1), "alice", 1));
            assert!(verified.is_err(), "{kind:?}, byte {at}");
        }
    }
}

#[test]
fn r12_a_prekey_cannot_be_used_as_another_kind() {
    for (from, to) in
        [(PrekeyKind::OneTimeEc, PrekeyKind::SignedEc), (PrekeyKind::OneTimeKem, PrekeyKind::LastResortKem)]
    {
        let mut short = prekey(from, NOW);
        short.expires_at = NOW + LONG_LIVED_MS;
        resign(&mut short);
        let mut bytes = short.to_bytes();
        assert!(Prekey::parse(&bytes).is_ok_and(|p| p.verify(&public(1), "alice", 1).is_ok()));
        bytes[0] = to as u8;
        let relabelled = Prekey::parse(&bytes).unwrap();
        assert_eq!(relabelled.verify(&public(1), "alice", 1), Err(PrekeyError::Signature));
    }
}

#[test]
fn r11_weak_keys_and_kem_keys_above_the_modulus_are_refused() {
    let mut weak = prekey(PrekeyKind::SignedEc, NOW);
    weak.key = vec![0; 32];
    resign(&mut weak);
    assert_eq!(Prekey::parse(&weak.to_bytes()), Err(PrekeyError::Key));

    // 3329 = 0xd01 in the first, and then in the second, coefficient of a triple; 3328 is the largest that is allowed.
    for (triple, allowed) in [
        ([0x01, 0x0d, 0x00], false),
        ([0x00, 0x0d, 0x00], true),
        ([0x00, 0x10, 0xd0], false),
        ([0x00, 0x00, 0xd0], true),
        ([0xff, 0xff, 0xff], false),
    ] {
        for at in [0, 1149] {
            let mut kem = prekey(PrekeyKind::OneTimeKem, NOW);
            kem.key[at..at + 3].copy_from_slice(&triple);
            resign(&mut kem);
            assert_eq!(Prekey::parse(&kem.to_bytes()).is_ok(), allowed, "{triple:x?} at {at}");
        }
    }
}

#[test]
fn r36_lifetimes_are_bounded() {
    for kind in KINDS {
        let malformed = Err(PrekeyError::Malformed(Malformed::Field("expires_at")));
        for (expires_at, fine) in [
            (NOW + kind.lifetime_ms(), true),
            (NOW + 1, true),
            (NOW + kind.lifetime_ms() + 1, false),
            (NOW, false),
            (NOW - 1, false),
            (u64::MAX, false),
        ] {
            let mut prekey = prekey(kind, NOW);
            prekey.expires_at = expires_at;
            let parsed = Prekey::parse(&prekey.to_bytes());
            if fine { assert!(parsed.is_ok()) } else { assert_eq!(parsed, malformed) }
        }
    }
}

fn bundle() -> PrekeyBundle {
    PrekeyBundle {
        signed: prekey(PrekeyKind::SignedEc, NOW),
        one_time: Some(prekey(PrekeyKind::OneTimeEc, NOW)),
        kem: prekey(PrekeyKind::OneTimeKem, NOW),
    }
}

fn verify(bundle: &PrekeyBundle, now: u64) -> Result<(), BundleError> {
    bundle.verify(&public(1), "alice", 1, now)
}

#[test]
fn r12_a_bundle_needs_a_kem_key_and_every_key_in_its_place() {
    assert_eq!(verify(&bundle(), NOW), Ok(()));
    assert_eq!(verify(&PrekeyBundle { one_time: None, ..bundle() }, NOW), Ok(()));
    let last_resort = prekey(PrekeyKind::LastResortKem, NOW);
    assert_eq!(verify(&PrekeyBundle { kem: last_resort.clone(), one_time: None, ..bundle() }, NOW), Ok(()));

    // No fallback to X3DH: an EC key does not stand in for the KEM key.
    let ec = prekey(PrekeyKind::SignedEc, NOW);
    let one_time = prekey(PrekeyKind::OneTimeEc, NOW);
    for kem in [ec.clone(), one_time.clone()] {
        let bad = PrekeyBundle { kem, ..bundle() };
        assert_eq!(verify(&bad, NOW), Err(BundleError::Kind("KEM prekey")));
    }
    for signed in [one_time, last_resort.clone()] {
        let bad = PrekeyBundle { signed, ..bundle() };
        assert_eq!(verify(&bad, NOW), Err(BundleError::Kind("signed prekey")));
    }
    for one_time in [ec, last_resort] {
        let bad = PrekeyBundle { one_time: Some(one_time), ..bundle() };
        assert_eq!(verify(&bad, NOW), Err(BundleError::Kind("one-time prekey")));
    }
}

#[test]
fn r12_a_bundle_is_refused_when_one_key_is_not_the_devices_own() {
    let forged = |mut prekey: Prekey| {
        prekey.signature.0[10] ^= 1;
        prekey
    };
    let good = bundle();
    for (place, bad) in [
        ("signed prekey", PrekeyBundle { signed: forged(good.signed.clone()), ..good.clone() }),
        ("KEM prekey", PrekeyBundle { kem: forged(good.kem.clone()), ..good.clone() }),
        ("one-time prekey", PrekeyBundle { one_time: good.one_time.clone().map(forged), ..good.clone() }),
    ] {
        assert_eq!(verify(&bad, NOW), Err(BundleError::Prekey(place, PrekeyError::Signature)));
    }
}

#[test]
fn r36_old_and_future_keys_are_refused() {
    let one_time = Some(prekey(PrekeyKind::OneTimeEc, NOW));
    let signed = PrekeyBundle { one_time, ..bundle() };
    assert_eq!(verify(&signed, NOW + LONG_LIVED_MS - 1), Ok(()));
    assert_eq!(verify(&signed, NOW + LONG_LIVED_MS), Err(BundleError::Expired("signed prekey")));

    let fresh = prekey(PrekeyKind::SignedEc, NOW + LONG_LIVED_MS);
    let last_resort =
        PrekeyBundle { signed: fresh.clone(), one_time: None, kem: prekey(PrekeyKind::LastResortKem, NOW) };
    assert_eq!(verify(&last_resort, NOW + LONG_LIVED_MS), Err(BundleError::Expired("KEM prekey")));
    // One-time keys may wait longer.
    assert_eq!(verify(&PrekeyBundle { signed: fresh, ..bundle() }, NOW + LONG_LIVED_MS), Ok(()));

    // Made by hand with an expiry far away: age alone is enough.
    let mut immortal = prekey(PrekeyKind::SignedEc, NOW);
    immortal.expires_at = u64::MAX;
    resign(&mut immortal);
    let immortal = PrekeyBundle { signed: immortal, ..bundle() };
    assert_eq!(verify(&immortal, NOW + LONG_LIVED_MS), Err(BundleError::Expired("signed prekey")));

    assert_eq!(verify(&bundle(), NOW - CLOCK_SKEW_MS), Ok(()));
    assert_eq!(verify(&bundle(), NOW - CLOCK_SKEW_MS - 1), Err(BundleError::FromTheFuture("signed prekey")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn one_encoding_only(kind in 0usize..4, at in any::<proptest::sample::Index>(), value: u8, extra: u8) {
        let prekey = prekey(KINDS[kind], NOW);
        let bytes = prekey.to_bytes();
        prop_assert_eq!(Prekey::parse(&bytes), Ok(prekey));
        let at = at.index(bytes.len());
        prop_assert!(Prekey::parse(&bytes[..at]).is_err());
        prop_assert!(Prekey::parse(&[&bytes[..], &[extra]].concat()).is_err());
        let mut changed = bytes;
        changed[at] = value;
        if let Ok(prekey) = Prekey::parse(&changed) {
            prop_assert_eq!(prekey.to_bytes(), changed);
        }
    }

    #[test]
    fn any_bytes_parse_or_are_refused(kind in 0u8..6, bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
        let bytes = [&[kind], &bytes[..]].concat();
        if let Ok(prekey) = Prekey::parse(&bytes) {
            prop_assert_eq!(prekey.to_bytes(), bytes);
        }
    }
}
