//! What somebody who copies the state of a device can read with it, and what not.

use super::*;

/// Whoever holds a copy of all that bob's profile held when it was taken, and randomness of their own.
fn thief(stolen: (Vec<u8>, Store)) -> Party {
    let mut thief = Party::new("bob", 2);
    thief.restore(stolen);
    thief.rng = TestRng::new(99);
    thief
}

#[test]
fn forward_secrecy_stolen_state_reads_nothing_that_was_read_before() {
    let (mut alice, mut bob) = acquainted();
    let messages: Vec<_> = (0..5).map(|_| alice.send(&mut bob, b"past")).collect();
    let early = bob.snapshot();
    for message in &messages {
        assert_eq!(bob.text(&alice, message), "past");
    }
    let mut late = thief(bob.snapshot());
    for message in &messages {
        assert_eq!(late.error(&alice, message), SessionError::Duplicate);
    }
    let mut early = thief(early);
    assert_eq!(early.text(&alice, &messages[4]), "past", "a copy from before does read them");
}

#[test]
fn forward_secrecy_an_initial_message_cannot_be_read_again_without_its_one_time_prekeys() {
    let (mut alice, mut bob) = pair();
    let hello = alice.send(&mut bob, b"hello");
    let early = bob.snapshot();
    assert_eq!(bob.text(&alice, &hello), "hello");
    let mut late = thief(bob.snapshot());
    late.record = SessionRecord::new();
    late.store.seen.clear();
    assert!(matches!(late.error(&alice, &hello), SessionError::UnknownPrekey { .. }));
    assert_eq!(thief(early).text(&alice, &hello), "hello", "a copy from before does read it");
}

#[test]
fn healing_a_stolen_state_is_worthless_after_one_message_each_way() {
    let (mut alice, mut bob) = acquainted();
    let stolen = bob.snapshot();
    let at_once = alice.send(&mut bob, b"at once");
    assert_eq!(thief(stolen.clone()).text(&alice, &at_once), "at once", "until then it reads along");

    assert_eq!(bob.text(&alice, &at_once), "at once");
    let answer = bob.send(&mut alice, b"answer");
    assert_eq!(alice.text(&bob, &answer), "answer");
    let healed = alice.send(&mut bob, b"healed");
    let mut thief = thief(stolen);
    assert_eq!(thief.text(&alice, &at_once), "at once");
    assert_eq!(thief.error(&alice, &healed), SessionError::Corrupt);
    assert_eq!(bob.text(&alice, &healed), "healed");
}
