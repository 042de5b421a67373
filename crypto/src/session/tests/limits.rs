//! R17, R18: every limit, and one past it.

use super::*;
use crate::ratchet::ledger;

fn many(from: &mut Party, to: &mut Party, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| from.send(to, &n.to_le_bytes())).collect()
}

/// A message each way, so that both start new chains.
fn turn(alice: &mut Party, bob: &mut Party) {
    let message = alice.send(bob, b"turn");
    bob.text(alice, &message);
    let message = bob.send(alice, b"turn");
    alice.text(bob, &message);
}

#[test]
fn r17_skips_1000_in_a_known_chain_and_not_1001() {
    let (mut alice, mut bob) = acquainted();
    let first = alice.send(&mut bob, b"first");
    bob.text(&alice, &first);
    let messages = many(&mut alice, &mut bob, 1_002);
    assert_eq!(bob.error(&alice, &messages[1_001]), SessionError::TooManySkipped);
    bob.receive(&alice, &messages[1_000]).unwrap();
    for message in messages[..1_000].iter().chain(&messages[1_001..]) {
        bob.receive(&alice, message).unwrap();
    }
}

#[test]
fn r17_skips_1000_in_a_new_chain_and_not_1001() {
    let (mut alice, mut bob) = acquainted();
    let messages = many(&mut alice, &mut bob, 1_002);
    assert_eq!(bob.error(&alice, &messages[1_001]), SessionError::TooManySkipped);
    bob.receive(&alice, &messages[1_000]).unwrap();
    bob.receive(&alice, &messages[0]).unwrap();
}

#[test]
fn r17_skips_1000_in_the_old_and_the_new_chain_together() {
    for (in_new, error) in [(400, None), (401, Some(SessionError::TooManySkipped))] {
        let (mut alice, mut bob) = acquainted();
        let old = many(&mut alice, &mut bob, 601);
        bob.receive(&alice, &old[0]).unwrap();
        let reply = bob.send(&mut alice, b"reply");
        alice.text(&bob, &reply);
        let new = many(&mut alice, &mut bob, in_new + 1);
        ledger::clear();
        assert_eq!(bob.receive(&alice, &new[in_new]).err(), error);
        if error.is_none() {
            assert_eq!(ledger::steps(), 1_001);
            for message in old[1..].iter().chain(&new[..in_new]) {
                bob.receive(&alice, message).unwrap();
            }
            assert_eq!(ledger::steps(), 1_001, "every one of them had its key");
        }
    }
}

#[test]
fn r17_stores_2000_skipped_keys_and_drops_the_oldest() {
    let (mut alice, mut bob) = acquainted();
    let first = many(&mut alice, &mut bob, 1_001);
    bob.receive(&alice, &first[1_000]).unwrap();
    let second = many(&mut alice, &mut bob, 1_001);
    bob.receive(&alice, &second[1_000]).unwrap();
    let skipped = |party: &Party| party.record.active.as_ref().unwrap().ratchet.skipped_keys();
    assert_eq!(skipped(&bob), 2_000);
    let third = many(&mut alice, &mut bob, 2);
    bob.receive(&alice, &third[1]).unwrap();
    assert_eq!(skipped(&bob), 2_000);
    assert_eq!(bob.error(&alice, &first[0]), SessionError::Duplicate, "the oldest is gone");
    for message in first[1..1_000].iter().chain(&second[..1_000]).chain(&third[..1]) {
        bob.receive(&alice, message).unwrap();
    }
    assert_eq!(skipped(&bob), 0);
}

#[test]
fn r17_drops_one_skipped_key_for_one_new_over_all_chains() {
    let (mut alice, mut bob) = acquainted();
    let skipped = |party: &Party| party.record.active.as_ref().unwrap().ratchet.skipped_keys();
    let mut chains = Vec::new();
    for count in [1_001, 1_001, 2] {
        chains.push(many(&mut alice, &mut bob, count));
        bob.receive(&alice, chains.last().unwrap().last().unwrap()).unwrap();
        let reply = bob.send(&mut alice, b"reply");
        alice.text(&bob, &reply);
    }
    assert_eq!(skipped(&bob), 2_000);
    assert_eq!(bob.error(&alice, &chains[0][0]), SessionError::Duplicate);
    bob.receive(&alice, &chains[0][1]).unwrap();
    bob.receive(&alice, &chains[1][0]).unwrap();
    bob.receive(&alice, &chains[2][0]).unwrap();
}

#[test]
fn r17_remembers_5_receiving_chains() {
    let (mut alice, mut bob) = acquainted();
    let mut late = Vec::new();
    for _ in 0..5 {
        late.push(alice.send(&mut bob, b"late"));
        turn(&mut alice, &mut bob);
    }
    // Each message of `late` lies in a chain of its own; the newest of the five is open.
    let saved = bob.snapshot();
    assert_eq!(bob.text(&alice, &late[0]), "late");
    bob.restore(saved);
    late.push(alice.send(&mut bob, b"late"));
    turn(&mut alice, &mut bob);
    assert_eq!(bob.error(&alice, &late[0]), SessionError::Corrupt, "the sixth chain pushed it out");
    for message in &late[1..] {
        assert_eq!(bob.text(&alice, message), "late");
        assert_eq!(bob.error(&alice, message), SessionError::Duplicate);
    }
}

#[test]
fn r17_keeps_10_archived_sessions() {
    let (mut alice, mut bob) = pair();
    let mut late = Vec::new();
    for _ in 0..11 {
        alice.record.archive_active();
        let first = alice.send(&mut bob, b"first");
        bob.text(&alice, &first);
        late.push(alice.send(&mut bob, b"late"));
    }
    assert_eq!(bob.record.archived.len(), 10);
    let saved = bob.snapshot();
    assert_eq!(bob.text(&alice, &late[0]), "late");
    bob.restore(saved);
    alice.record.archive_active();
    let first = alice.send(&mut bob, b"first");
    bob.text(&alice, &first);
    assert_eq!(bob.record.archived.len(), 10);
    assert_eq!(alice.record.archived.len(), 10);
    assert_eq!(bob.error(&alice, &late[0]), SessionError::Replay, "the eleventh pushed it out");
    for message in &late[1..] {
        assert_eq!(bob.text(&alice, message), "late");
    }
}

#[test]
fn r17_skipped_keys_die_after_30_days() {
    let (mut alice, mut bob) = acquainted();
    let messages = many(&mut alice, &mut bob, 3);
    bob.receive(&alice, &messages[2]).unwrap();
    bob.now += 30 * DAY_MS;
    bob.record.expire(bob.now);
    bob.receive(&alice, &messages[0]).unwrap();
    bob.now += 1;
    assert_eq!(bob.error(&alice, &messages[1]), SessionError::Duplicate, "even before it is swept");
    let before = bob.record.to_bytes().len();
    bob.record.expire(bob.now);
    assert_eq!(before - bob.record.to_bytes().len(), 44, "one key of 44 bytes was swept");
}

#[test]
fn archived_sessions_die_60_days_after_their_last_use() {
    let (mut alice, mut bob) = acquainted();
    let late = bob.send(&mut alice, b"late");
    alice.now += 1_000;
    let used = alice.send(&mut bob, b"used");
    bob.text(&alice, &used);
    alice.record.archive_active();
    alice.record.expire(alice.now + 60 * DAY_MS);
    assert_eq!(alice.record.archived.len(), 1);
    alice.record.expire(alice.now + 60 * DAY_MS + 1);
    assert_eq!(alice.record.archived.len(), 0);
    assert_eq!(alice.error(&bob, &late), SessionError::NoSession);

    let (mut alice, mut bob) = acquainted();
    alice.record.archive_active();
    alice.now += 50 * DAY_MS;
    let heard = bob.send(&mut alice, b"heard");
    alice.text(&bob, &heard);
    alice.record.expire(alice.now + 60 * DAY_MS);
    assert_eq!(alice.record.archived.len(), 1, "receiving is use, too");
}

#[test]
fn a_chain_ends_before_its_counter_does() {
    let (mut alice, mut bob) = acquainted();
    alice.record.active.as_mut().unwrap().ratchet.set_sent(u32::MAX - 1);
    alice.send(&mut bob, b"last");
    let before = alice.record.to_bytes();
    assert_eq!(alice.try_send(&bob, b"x").err(), Some(SessionError::NoSession));
    assert_eq!(alice.record.to_bytes(), before);
}

#[test]
fn r18_a_hostile_message_costs_one_jump_over_all_sessions() {
    let (mut alice, mut bob) = pair();
    for _ in 0..11 {
        alice.record.archive_active();
        let first = alice.send(&mut bob, b"first");
        bob.text(&alice, &first);
        let reply = bob.send(&mut alice, b"reply");
        alice.text(&bob, &reply);
    }
    assert_eq!(bob.record.archived.len(), 10);
    let template = alice.send(&mut bob, b"template");
    let (key, number) = (18..50, 54..58);
    for jump in [0u32, 999, 1_000, 1_001, u32::MAX] {
        for new_chain in [false, true] {
            for session in [template[2..18].to_vec(), vec![0xee; 16]] {
                let mut hostile = template.clone();
                hostile[2..18].copy_from_slice(&session);
                if new_chain {
                    hostile[key.clone()].copy_from_slice(&alice.secrets.identity().public());
                }
                hostile[number.clone()].copy_from_slice(&jump.to_le_bytes());
                let last = hostile.len() - 1;
                hostile[last] ^= 1;
                ledger::clear();
                bob.error(&alice, &hostile);
                assert!(ledger::steps() <= 1_001, "{} steps", ledger::steps());
            }
        }
    }
}
