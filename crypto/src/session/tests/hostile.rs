//! R11, R12, R15, R16: what a hostile sender or relay can make of messages and bundles.

use super::*;
use crate::dh::NonContributory;
use crate::ratchet::testing::low_order_points;

const LOW_ORDER: SessionError = SessionError::NonContributory(NonContributory);
/// Where the base key stands in an initial message.
const BASE_KEY: std::ops::Range<usize> = 2..34;
/// Where the ratchet key stands in an initial message and in a ratchet message.
const RATCHET_KEY: [std::ops::Range<usize>; 2] = [1_144..1_176, 18..50];

#[test]
fn r11_low_order_points_are_refused_in_a_bundle() {
    let (mut alice, mut bob) = pair();
    let before = alice.record.to_bytes();
    for point in low_order_points() {
        let good = bob.bundle(true);
        let mut signed = good.clone();
        signed.signed.key = point.to_vec();
        let mut one_time = good.clone();
        one_time.one_time.as_mut().unwrap().key = point.to_vec();
        let weak_peer = PeerDevice { identity_key: point, ..bob.peer() };
        for (peer, bundle) in [(bob.peer(), &signed), (bob.peer(), &one_time), (weak_peer, &good)] {
            let mut record = SessionRecord::new();
            let error = record.initiate(&alice.local(), &peer, bundle, NOW, &mut TestRng::new(9)).err();
            assert_eq!(error, Some(LOW_ORDER));
            assert_eq!(record.to_bytes(), before);
        }
    }
    alice.initiate(&mut bob, true);
}

#[test]
fn r11_low_order_points_are_refused_in_an_initial_message() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(&mut bob, b"hello");
    for point in low_order_points() {
        for place in [BASE_KEY, RATCHET_KEY[0].clone()] {
            let mut bad = message.clone();
            bad[place].copy_from_slice(&point);
            assert_eq!(bob.error(&alice, &bad), LOW_ORDER);
        }
    }
    assert_eq!(bob.text(&alice, &message), "hello");
}

#[test]
fn r11_low_order_points_are_refused_in_a_ratchet_header() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.send(&mut bob, b"hello");
    for point in low_order_points() {
        let mut bad = message.clone();
        bad[RATCHET_KEY[1].clone()].copy_from_slice(&point);
        assert_eq!(bob.error(&alice, &bad), LOW_ORDER);
    }
    assert_eq!(bob.text(&alice, &message), "hello");
}

#[test]
fn r12_a_bundle_without_a_valid_kem_key_is_refused() {
    let (mut alice, mut bob) = pair();
    let good = bob.bundle(true);
    let ec = good.one_time.clone().unwrap();
    let spoil = |change: &dyn Fn(&mut Prekey)| {
        let mut bundle = good.clone();
        change(&mut bundle.kem);
        bundle
    };
    let bundles = [
        spoil(&|kem| kem.key = vec![0xff; 1_184]),
        spoil(&|kem| kem.key.truncate(1_183)),
        spoil(&|kem| kem.key = Vec::new()),
        spoil(&|kem| *kem = ec.clone()),
        spoil(&|kem| kem.kind = PrekeyKind::OneTimeEc),
    ];
    for bundle in bundles {
        let error = alice.record.initiate(
            &Party::new("alice", 1).local(),
            &bob.peer(),
            &bundle,
            NOW,
            &mut TestRng::new(9),
        );
        assert_eq!(error.err(), Some(SessionError::InvalidPrekey("KEM prekey")));
    }
    assert!(!alice.record.has_active());
}

#[test]
fn keys_of_another_kind_are_refused_in_a_bundle() {
    let (alice, mut bob) = pair();
    let good = bob.bundle(true);
    let one_time = good.one_time.clone().unwrap();
    let bundles = [
        PrekeyBundle { signed: one_time, ..good.clone() },
        PrekeyBundle { one_time: Some(good.signed.clone()), ..good.clone() },
        PrekeyBundle { one_time: Some(good.kem.clone()), ..good },
    ];
    for bundle in bundles {
        let error =
            SessionRecord::new().initiate(&alice.local(), &bob.peer(), &bundle, NOW, &mut TestRng::new(9));
        assert!(matches!(error, Err(SessionError::InvalidPrekey(_))));
    }
}

#[test]
fn r12_both_sides_must_mean_the_same_accounts_devices_and_keys() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(&mut bob, b"hello");
    let peer = alice.peer();
    let wrong_peers = [
        PeerDevice { account: "mallory", ..peer },
        PeerDevice { account_key: [9; 32], ..peer },
        PeerDevice { device_id: 2, ..peer },
        PeerDevice { identity_key: bob.peer().identity_key, ..peer },
    ];
    for wrong in wrong_peers {
        let result = bob.record.decrypt(
            &Party::new("bob", 2).local(),
            &wrong,
            &message,
            &mut bob.store,
            NOW,
            &mut bob.rng,
        );
        assert_eq!(result.err(), Some(SessionError::Corrupt));
    }
    let other_bob = Party::new("bob", 2);
    let wrong_locals = [
        LocalDevice { account: "rob", ..other_bob.local() },
        LocalDevice { account_key: [9; 32], ..other_bob.local() },
        LocalDevice { device_id: 2, ..other_bob.local() },
    ];
    for wrong in wrong_locals {
        let result = bob.record.decrypt(&wrong, &peer, &message, &mut bob.store, NOW, &mut bob.rng);
        assert_eq!(result.err(), Some(SessionError::Corrupt));
    }
    assert_eq!(bob.text(&alice, &message), "hello");
    // A session that exists is not used with other devices either.
    let second = alice.send(&mut bob, b"again");
    for wrong in wrong_peers {
        let result =
            bob.record.decrypt(&other_bob.local(), &wrong, &second, &mut bob.store, NOW, &mut bob.rng);
        assert!(result.is_err());
        let result = bob.record.encrypt(&other_bob.local(), &wrong, b"x", NOW, &mut bob.rng);
        assert_eq!(result.err(), Some(SessionError::NoSession));
    }
    assert_eq!(bob.text(&alice, &second), "again");
    let reply = bob.send(&mut alice, b"reply");
    alice.text(&bob, &reply);
    let third = alice.send(&mut bob, b"third");
    for wrong in wrong_peers {
        let result =
            bob.record.decrypt(&other_bob.local(), &wrong, &third, &mut bob.store, NOW, &mut bob.rng);
        assert_eq!(result.err(), Some(SessionError::NoSession));
    }
    assert_eq!(bob.text(&alice, &third), "third");
}

#[test]
fn r15_an_initial_message_is_not_accepted_twice() {
    for one_time in [true, false] {
        let (mut alice, mut bob) = pair();
        alice.initiate(&mut bob, one_time);
        let first = alice.send(&mut bob, b"first");
        let second = alice.send(&mut bob, b"second");
        assert_eq!(bob.text(&alice, &first), "first");
        assert_eq!(bob.error(&alice, &first), SessionError::Duplicate);
        bob.record.archive_active();
        assert_eq!(bob.error(&alice, &first), SessionError::Duplicate);
        bob.record = SessionRecord::new();
        assert_eq!(bob.error(&alice, &first), SessionError::Replay, "also with last-resort keys");
        assert_eq!(bob.error(&alice, &second), SessionError::Replay);
    }
}

#[test]
fn unknown_prekeys_are_named() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(&mut bob, b"hello");
    for kind in [PrekeyKind::OneTimeKem, PrekeyKind::OneTimeEc, PrekeyKind::SignedEc] {
        let id = if kind == PrekeyKind::SignedEc { 1 } else { 2 };
        let secret = bob.store.prekeys.remove(&(kind, id)).unwrap();
        assert_eq!(bob.error(&alice, &message), SessionError::UnknownPrekey { kind, id });
        bob.store.prekeys.insert((kind, id), secret);
    }
    assert_eq!(bob.text(&alice, &message), "hello");
}

/// A store that mixes up its prekeys is noticed before anything is computed with them.
#[test]
fn prekeys_of_another_kind_or_number_are_not_used() {
    let (mut alice, mut bob) = pair();
    let message = alice.send(&mut bob, b"hello");
    let right = bob.store.prekeys.clone();
    let wrong_number = |kind| {
        generate_prekey(kind, 99, &Party::new("bob", 2).secrets, "bob", 1, NOW, &mut TestRng::new(5)).0
    };
    let signed = right[&(PrekeyKind::SignedEc, 1)].clone();
    let one_time = right[&(PrekeyKind::OneTimeEc, 2)].clone();
    let last_resort = right[&(PrekeyKind::LastResortKem, 1)].clone();
    let mixed_up = |mut secret: PrekeySecret, id| {
        secret.key_id = id;
        secret
    };
    for (kind, id, wrong, name) in [
        (PrekeyKind::SignedEc, 1, mixed_up(one_time, 1), "signed prekey"),
        (PrekeyKind::SignedEc, 1, wrong_number(PrekeyKind::SignedEc), "signed prekey"),
        (PrekeyKind::OneTimeEc, 2, mixed_up(signed, 2), "one-time prekey"),
        (PrekeyKind::OneTimeEc, 2, wrong_number(PrekeyKind::OneTimeEc), "one-time prekey"),
        (PrekeyKind::OneTimeKem, 2, mixed_up(last_resort, 2), "KEM prekey"),
        (PrekeyKind::OneTimeKem, 2, wrong_number(PrekeyKind::OneTimeKem), "KEM prekey"),
    ] {
        bob.store.prekeys.insert((kind, id), wrong);
        assert_eq!(bob.error(&alice, &message), SessionError::InvalidPrekey(name));
        bob.store.prekeys = right.clone();
    }
    assert_eq!(bob.text(&alice, &message), "hello");
}

#[test]
fn a_message_sent_back_to_its_sender_does_not_decrypt() {
    let (mut alice, mut bob) = pair();
    let initial = alice.send(&mut bob, b"initial");
    assert!(matches!(alice.error(&bob, &initial), SessionError::UnknownPrekey { .. }));
    bob.text(&alice, &initial);
    let reply = bob.send(&mut alice, b"reply");
    assert_eq!(bob.error(&alice, &reply), SessionError::Corrupt);
    alice.text(&bob, &reply);
    let ratchet = alice.send(&mut bob, b"ratchet");
    assert_eq!(alice.error(&bob, &ratchet), SessionError::Corrupt);
}

#[test]
fn other_types_and_versions_are_refused() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.send(&mut bob, b"hello");
    for kind in (0..=255).filter(|kind| *kind != 2) {
        let mut bad = message.clone();
        bad[0] = kind;
        assert_eq!(bob.error(&alice, &bad), SessionError::Corrupt);
    }
    for version in (0..=255).filter(|version| *version != 1) {
        let mut bad = message.clone();
        bad[1] = version;
        assert_eq!(bob.error(&alice, &bad), SessionError::UnsupportedVersion(version));
    }
    for len in 0..message.len() {
        assert_eq!(bob.error(&alice, &message[..len]), SessionError::Corrupt);
    }
    assert_eq!(bob.text(&alice, &message), "hello");
}

/// Every place of every kind of message: the next in a chain, one whose key was skipped, one far ahead, the first of a
/// new chain, an initial message of a known and of a new session.
#[test]
fn r16_10000_corrupted_messages_change_nothing() {
    let (mut alice, mut bob) = acquainted();
    alice.record.archive_active();
    let known_initial = alice.send(&mut bob, b"known session");
    bob.text(&alice, &known_initial);
    let second_initial = alice.send(&mut bob, b"second in a known session");
    let reply = bob.send(&mut alice, b"reply");
    alice.text(&bob, &reply);
    let skipped = alice.send(&mut bob, b"skipped");
    let seen = alice.send(&mut bob, b"seen");
    bob.text(&alice, &seen);
    let next = alice.send(&mut bob, b"next");
    let ahead: Vec<_> = (0..100).map(|_| alice.send(&mut bob, b"ahead")).collect();
    let reply = bob.send(&mut alice, b"reply");
    alice.text(&bob, &reply);
    let new_chain = alice.send(&mut bob, b"new chain");
    alice.record.archive_active();
    let new_session = alice.send(&mut bob, b"new session");
    let messages = [&second_initial, &skipped, &next, &ahead[99], &new_chain, &new_session]
        .map(|message| message.clone());

    let (record, store) = bob.snapshot();
    let mut choice = TestRng::new(16);
    let mut pick = |below: usize| {
        let mut bytes = [0; 8];
        rand_core::Rng::fill_bytes(&mut choice, &mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % below as u64).unwrap()
    };
    for round in 0..10_000 {
        let good = &messages[round % messages.len()];
        let mut bad = good.clone();
        match pick(6) {
            // Half of the flips in the first and last bytes, where the fields are.
            0 | 1 => {
                let at = pick(bad.len());
                bad[at] ^= 1 << pick(8);
            }
            2 => {
                let at = bad.len() - 1 - pick(90.min(bad.len()));
                bad[at] ^= 1 << pick(8);
            }
            3 => bad.truncate(pick(bad.len())),
            4 => bad.extend((0..=pick(40)).map(|n| n as u8)),
            _ => {
                let other = &messages[pick(messages.len())];
                let cut = pick(bad.len().min(other.len()));
                bad.truncate(cut);
                bad.extend_from_slice(&other[cut..]);
            }
        }
        if messages.contains(&bad) {
            continue;
        }
        let result = bob.receive(&alice, &bad);
        assert!(result.is_err(), "round {round}");
        assert_eq!(bob.record.to_bytes().as_slice(), record, "round {round}");
        assert_eq!(bob.store.seen.len(), store.seen.len());
        assert_eq!(bob.store.prekeys.len(), store.prekeys.len());
    }
    for (message, text) in messages.iter().zip([
        "second in a known session",
        "skipped",
        "next",
        "ahead",
        "new chain",
        "new session",
    ]) {
        assert_eq!(bob.text(&alice, message), text, "the true ones still decrypt");
    }
}
