//! The stored form: golden bytes, round trips, and what is refused.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::*;

/// A record with everything in it: an unanswered session, an archived one of each role, skipped keys in two chains.
fn rich() -> (Party, Party) {
    let (mut alice, mut bob) = acquainted();
    for skipped in [2, 3] {
        let messages: Vec<_> = (0..=skipped).map(|_| bob.send(&mut alice, b"x")).collect();
        alice.text(&bob, &messages[skipped]);
        let reply = alice.send(&mut bob, b"y");
        bob.text(&alice, &reply);
    }
    bob.record.archive_active();
    let opened = bob.send(&mut alice, b"opened by bob");
    alice.text(&bob, &opened);
    alice.record.archive_active();
    alice.initiate(&mut bob, false);
    (alice, bob)
}

#[test]
fn r61_golden_bytes() {
    let (alice, _) = rich();
    let bytes = alice.record.to_bytes();
    assert_eq!(bytes[..4], [1, 1, 3, 2], "version, active, sessions, role");
    assert_eq!(
        (bytes.len(), HEXLOWER.encode(&Sha256::digest(&bytes))),
        (GOLDEN.0, GOLDEN.1.to_owned()),
        "the layout changed: raise its version and keep reading the old one"
    );
}

const GOLDEN: (usize, &str) = (2_355, "258e66d8f11cf778d55b14ea7bde3cc13ea01d072a214486be5e39f129466870");

#[test]
fn a_stored_record_goes_on_as_if_it_had_not_been_stored() {
    let (mut alice, mut bob) = rich();
    for party in [&mut alice, &mut bob] {
        let bytes = party.record.to_bytes();
        party.record = SessionRecord::from_bytes(&bytes).unwrap();
        assert_eq!(party.record.to_bytes(), bytes, "canonical");
    }
    let message = alice.send(&mut bob, b"after");
    assert_eq!(bob.text(&alice, &message), "after");
    let empty = SessionRecord::new().to_bytes();
    assert_eq!(empty.as_slice(), [1, 0, 0]);
    assert!(!SessionRecord::from_bytes(&empty).unwrap().has_active());
}

#[test]
fn damaged_records_are_refused_or_canonical() {
    let (alice, _) = rich();
    let bytes = alice.record.to_bytes();
    for len in 0..bytes.len() {
        assert_eq!(SessionRecord::from_bytes(&bytes[..len]).err(), Some(SessionError::BadRecord));
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(SessionRecord::from_bytes(&longer).err(), Some(SessionError::BadRecord));
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0xff;
        if let Ok(record) = SessionRecord::from_bytes(&changed) {
            assert_eq!(record.to_bytes().as_slice(), changed, "byte {at}: one state, one encoding");
        }
    }
    for (at, value) in [(0, 2), (1, 2), (2, 0), (2, 12), (3, 0), (3, 4)] {
        let mut changed = bytes.to_vec();
        changed[at] = value;
        assert_eq!(SessionRecord::from_bytes(&changed).err(), Some(SessionError::BadRecord));
    }
}

/// Time of creation and base key stand twice in a session without an answer.
#[test]
fn a_session_that_contradicts_its_own_parameters_is_refused() {
    let (alice, _) = rich();
    let bytes = alice.record.to_bytes();
    assert_eq!(bytes[3], 2, "without an answer");
    let order = 3 + 1 + 32 + 16 + 32;
    for at in order..order + 8 + 32 {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert_eq!(SessionRecord::from_bytes(&changed).err(), Some(SessionError::BadRecord), "byte {at}");
    }
}

#[test]
fn a_record_with_a_session_twice_is_refused() {
    let (mut alice, _) = acquainted();
    let once = alice.record.to_bytes();
    let twice = [&[1, 1, 2], &once[3..], &once[3..]].concat();
    assert_eq!(SessionRecord::from_bytes(&twice).err(), Some(SessionError::BadRecord));
    alice.record.archive_active();
    assert_eq!(alice.record.to_bytes()[..3], [1, 0, 1]);
}

#[test]
fn more_than_10_archived_sessions_are_refused() {
    let (mut alice, mut bob) = pair();
    for _ in 0..12 {
        alice.initiate(&mut bob, true);
    }
    let mut bytes = alice.record.to_bytes();
    assert_eq!(bytes[..3], [1, 1, 11]);
    bytes[1] = 0;
    assert_eq!(SessionRecord::from_bytes(&bytes).err(), Some(SessionError::BadRecord));
}
