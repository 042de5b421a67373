//! Both sides settle on one session (DESIGN 5: simultaneous initiation, lost state, re-registration).

use super::*;

/// One message each way in turn; after that both must send in the same session.
fn settle(alice: &mut Party, bob: &mut Party) {
    for _ in 0..2 {
        let message = alice.send(bob, b"a");
        assert_eq!(bob.text(alice, &message), "a");
        let message = bob.send(alice, b"b");
        assert_eq!(alice.text(bob, &message), "b");
    }
    assert!(alice.active_id().is_some());
    assert_eq!(alice.active_id(), bob.active_id());
    assert_eq!(alice.send(bob, b"x")[0], 2, "the agreement is no longer repeated");
}

#[test]
fn simultaneous_initiation_settles_with_one_message_each_way() {
    for seed in 0..20 {
        let (mut alice, mut bob) = (Party::new("alice", 100 + seed), Party::new("bob", 200 + seed));
        let from_alice = alice.send(&mut bob, b"from alice");
        let from_bob = bob.send(&mut alice, b"from bob");
        assert_eq!(bob.text(&alice, &from_alice), "from alice");
        assert_eq!(alice.text(&bob, &from_bob), "from bob");
        let from_alice = alice.send(&mut bob, b"a");
        let from_bob = bob.send(&mut alice, b"b");
        assert_eq!((from_alice[0], from_bob[0]), (2, 2), "each answers in the other's session");
        bob.text(&alice, &from_alice);
        alice.text(&bob, &from_bob);
        assert_eq!(alice.active_id(), bob.active_id(), "though they crossed again");
        settle(&mut alice, &mut bob);
    }
}

#[test]
fn both_keep_crossing_and_still_settle() {
    let (mut alice, mut bob) = pair();
    for round in 0..10 {
        let from_alice = alice.send(&mut bob, b"a");
        let from_bob = bob.send(&mut alice, b"b");
        assert_eq!(bob.text(&alice, &from_alice), "a");
        assert_eq!(alice.text(&bob, &from_bob), "b");
        assert!(round == 0 || alice.active_id() == bob.active_id());
    }
}

#[test]
fn a_late_initial_message_of_a_lost_race_does_not_part_them() {
    let (mut alice, mut bob) = pair();
    bob.now -= 1;
    let late = bob.send(&mut alice, b"late");
    let from_alice = alice.send(&mut bob, b"a");
    assert_eq!(bob.text(&alice, &from_alice), "a");
    let reply = bob.send(&mut alice, b"reply");
    assert_eq!(alice.text(&bob, &reply), "reply");
    let agreed = alice.active_id();
    assert_eq!(agreed, bob.active_id());
    assert_eq!(alice.text(&bob, &late), "late");
    settle(&mut alice, &mut bob);
    assert_eq!(alice.active_id(), agreed, "the later session stayed");
}

#[test]
fn lost_state_is_healed_by_whoever_lost_it() {
    for skew in [0, DAY_MS] {
        let (mut alice, mut bob) = acquainted();
        let stray = alice.send(&mut bob, b"lost");
        bob.record = SessionRecord::new();
        bob.now -= skew;
        assert_eq!(bob.error(&alice, &stray), SessionError::NoSession);
        settle(&mut bob, &mut alice);
    }
}

#[test]
fn lost_state_is_healed_though_the_agreement_was_never_answered() {
    let (mut alice, mut bob) = pair();
    let hello = alice.send(&mut bob, b"hello");
    assert_eq!(bob.text(&alice, &hello), "hello");
    bob.record = SessionRecord::new();
    bob.now += 1_000;
    let again = alice.send(&mut bob, b"again");
    assert_eq!(bob.error(&alice, &again), SessionError::Replay, "the base key is known, the session is not");
    settle(&mut bob, &mut alice);
}

/// The agreement cannot be read, since its prekeys are gone, and comes later in the order than what the peer opens.
#[test]
fn lost_prekeys_are_healed_whatever_the_clocks_say() {
    let (mut alice, mut bob) = pair();
    alice.now += DAY_MS;
    let (record, store) = bob.snapshot();
    let unreadable = alice.send(&mut bob, b"x");
    bob.restore((record, store));
    assert!(matches!(bob.error(&alice, &unreadable), SessionError::UnknownPrekey { .. }));
    settle(&mut bob, &mut alice);
}

#[test]
fn healing_opens_a_session_that_wins_although_the_clock_went_back() {
    let (mut alice, mut bob) = acquainted();
    let old = bob.send(&mut alice, b"old");
    let before = alice.active_id();
    alice.record.archive_active();
    assert!(!alice.record.has_active());
    assert_eq!(alice.try_send(&bob, b"x").err(), Some(SessionError::NoSession));
    assert_eq!(alice.text(&bob, &old), "old", "archived sessions still receive");
    assert!(!alice.record.has_active(), "and do not become active again");
    alice.now -= 7 * DAY_MS;
    settle(&mut alice, &mut bob);
    assert_ne!(alice.active_id(), before);
}

#[test]
fn a_message_of_an_older_session_does_not_bring_it_back() {
    let (mut alice, mut bob) = acquainted();
    let stray = bob.send(&mut alice, b"stray");
    bob.record.archive_active();
    let fresh = bob.send(&mut alice, b"fresh");
    assert_eq!(alice.text(&bob, &fresh), "fresh");
    let agreed = alice.active_id();
    assert_eq!(alice.text(&bob, &stray), "stray");
    assert_eq!(alice.active_id(), agreed);
}

#[test]
fn re_registration_starts_anew() {
    let (mut alice, bob) = acquainted();
    let mut other = Party::new("bob", 77);
    assert_eq!(
        alice.try_send(&other, b"x").err(),
        Some(SessionError::NoSession),
        "not in the old one's session"
    );
    let greeting = other.send(&mut alice, b"new keys");
    assert_eq!(alice.text(&other, &greeting), "new keys");
    settle(&mut alice, &mut other);
    assert_eq!(alice.try_send(&bob, b"x").err(), Some(SessionError::NoSession));
}

#[test]
fn a_restored_copy_heals() {
    let (mut alice, mut bob) = acquainted();
    let old = alice.snapshot();
    for _ in 0..3 {
        let message = alice.send(&mut bob, b"a");
        bob.text(&alice, &message);
        let message = bob.send(&mut alice, b"b");
        alice.text(&bob, &message);
    }
    alice.restore(old);
    let unreadable = bob.send(&mut alice, b"c");
    assert_eq!(alice.error(&bob, &unreadable), SessionError::Corrupt);
    alice.record.archive_active();
    settle(&mut alice, &mut bob);
}

#[test]
fn an_agreement_without_an_answer_is_given_up_when_its_prekeys_expire() {
    let (mut alice, mut bob) = pair();
    let first = alice.send(&mut bob, b"1");
    alice.now += 30 * DAY_MS - 1;
    alice.try_send(&bob, b"2").unwrap();
    alice.now += 1;
    assert_eq!(alice.try_send(&bob, b"3").err(), Some(SessionError::NoSession));
    alice.record.expire(alice.now - 1);
    assert!(alice.record.has_active());
    alice.record.expire(alice.now);
    assert!(!alice.record.has_active());
    assert_eq!(bob.text(&alice, &first), "1");
    let reply = bob.send(&mut alice, b"reply");
    assert_eq!(alice.text(&bob, &reply), "reply", "a reply still finds the archived session");
}

#[test]
fn the_first_of_its_prekeys_to_expire_ends_an_agreement_without_an_answer() {
    for which in 0..3 {
        let (alice, mut bob) = pair();
        let mut bundle = bob.bundle(true);
        let one_time = bundle.one_time.as_mut().unwrap();
        [&mut bundle.signed, one_time, &mut bundle.kem][which].expires_at = NOW + 10;
        let (mut record, mut rng) = (SessionRecord::new(), TestRng::new(3));
        record.initiate(&alice.local(), &bob.peer(), &bundle, NOW, &mut rng).unwrap();
        record.encrypt(&alice.local(), &bob.peer(), b"x", NOW + 9, &mut rng).unwrap();
        let late = record.encrypt(&alice.local(), &bob.peer(), b"x", NOW + 10, &mut rng);
        assert_eq!(late.err(), Some(SessionError::NoSession));
    }
}
