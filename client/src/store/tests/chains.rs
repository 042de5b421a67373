use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::store::{Placed, Sent, StoreError, limits};

const HASH: [u8; 32] = [7; 32];

fn receive(store: &mut Store, counter: u64) -> crate::store::Incoming {
    change(store, |tx| tx.record_incoming(&name("bob"), device(1), counter, &HASH))
}

#[test]
fn a_gap_is_told_and_late_messages_fill_it() {
    let mut store = store();
    assert_eq!(receive(&mut store, 1).placed, Placed::Next);
    assert_eq!(receive(&mut store, 5).placed, Placed::Ahead { from: 2, to: 4 });
    let late = receive(&mut store, 3);
    assert_eq!((late.placed, late.missing), (Placed::Late, 2));
    assert_eq!(receive(&mut store, 3).placed, Placed::Old);
    assert_eq!(look(&store, |tx| tx.missing_ranges(&name("bob"), device(1))), [(2, 2), (4, 4)]);
    assert_eq!(receive(&mut store, 4).missing, 1);
    assert_eq!(receive(&mut store, 2).missing, 0);
    change(&mut store, |tx| tx.set_missing_notice(&name("bob"), device(1), Some(9)));
    let chain = look(&store, |tx| tx.incoming_chain(&name("bob"), device(1)));
    assert_eq!((chain.highest, chain.missing, chain.notice), (5, 0, Some(9)));
    assert_eq!(look(&store, |tx| tx.incoming_chain(&name("bob"), device(2))), Default::default());
}

#[test]
fn a_first_message_that_is_not_the_first_leaves_a_gap() {
    let mut store = store();
    assert_eq!(receive(&mut store, 4).placed, Placed::Ahead { from: 1, to: 3 });
}

#[test]
fn counters_that_no_device_reaches_are_refused() {
    let mut store = store();
    for counter in [0, (1 << 62) + 1, u64::MAX] {
        let refused = store.transaction(|tx| tx.record_incoming(&name("bob"), device(1), counter, &HASH));
        assert!(matches!(refused, Err(StoreError::Limit("counter"))));
    }
    assert_eq!(receive(&mut store, 1 << 62).missing, (1 << 62) - 1);
    assert_eq!(receive(&mut store, 7).placed, Placed::Late);
}

#[test]
fn of_too_many_gaps_the_oldest_are_only_counted() {
    let mut store = store();
    let gaps = limits::MISSING_RANGES as u64 + 1;
    for number in 1..=gaps {
        receive(&mut store, number * 2);
    }
    let (bob, one) = (name("bob"), device(1));
    assert_eq!(look(&store, |tx| tx.missing_ranges(&bob, one)).len(), limits::MISSING_RANGES);
    assert_eq!(look(&store, |tx| tx.incoming_chain(&bob, one)).missing, gaps, "none of them is forgotten");
    assert_eq!(receive(&mut store, 1).placed, Placed::Old);
    assert_eq!(receive(&mut store, 3).placed, Placed::Late);
}

#[test]
fn r19_acknowledgements_never_go_back_nor_beyond_what_was_sent() {
    let mut store = store();
    let (bob, one) = (name("bob"), device(1));
    for counter in 1..=5 {
        assert_eq!(change(&mut store, |tx| tx.advance_outgoing(&bob, one, &[counter as u8; 32])), counter);
    }
    let ack = |store: &mut Store, through| change(store, |tx| tx.acknowledge_outgoing(&bob, one, through));
    assert_eq!(ack(&mut store, 3).unacknowledged(), 2);
    assert_eq!(ack(&mut store, 1).unacknowledged(), 2);
    let chain = ack(&mut store, u64::MAX);
    assert_eq!((chain.counter, chain.acked, chain.last_hash), (5, 5, [5; 32]));
    assert_eq!(change(&mut store, |tx| tx.acknowledge_outgoing(&name("eve"), one, 9)).acked, 0);
}

#[test]
fn devices_that_wait_to_be_told_are_found() {
    let mut store = store();
    let (bob, one) = (name("bob"), device(1));
    for counter in 1..=100 {
        receive(&mut store, counter);
    }
    let due = |store: &Store, min| look(store, |tx| tx.chains_to_acknowledge(min));
    assert!(due(&store, 101).is_empty());
    assert_eq!(due(&store, 100)[0].highest, 100);
    change(&mut store, |tx| tx.set_told(&bob, one, 60));
    assert!(due(&store, 41).is_empty() && due(&store, 40).len() == 1);
    change(&mut store, |tx| tx.set_told(&bob, one, u64::MAX));
    assert!(due(&store, 0).is_empty());
}

#[test]
fn what_was_sent_is_remembered_within_bounds() {
    let mut store = store();
    let (bob, one) = (name("bob"), device(1));
    let mut send = |len: usize| {
        change(&mut store, |tx| {
            let counter = tx.advance_outgoing(&bob, one, &HASH)?;
            let plaintext = vec![counter as u8; len].into();
            tx.put_sent(&bob, one, &Sent { counter, message: id(counter), plaintext }, counter)
        });
    };
    for _ in 0..=limits::SENT_KEPT {
        send(1);
    }
    for _ in 0..3 {
        send(60_000);
    }
    let last = limits::SENT_KEPT + 4;
    let kept = look(&store, |tx| tx.sent_between(&bob, one, 0, u64::MAX));
    assert_eq!(kept.len() as u64, limits::SENT_KEPT);
    assert_eq!((kept[0].counter, kept.last().unwrap().counter), (5, last));
    assert_eq!(look(&store, |tx| tx.sent_between(&bob, one, 10, 12)).len(), 3);

    let big = 64 * 1024;
    let mut send = |len: usize| {
        change(&mut store, |tx| {
            let counter = tx.advance_outgoing(&bob, one, &HASH)?;
            tx.put_sent(
                &bob,
                one,
                &Sent { counter, message: id(counter), plaintext: vec![0; len].into() },
                counter,
            )
        });
    };
    for _ in 0..70 {
        send(big);
    }
    let kept = look(&store, |tx| tx.sent_between(&bob, one, 0, u64::MAX));
    assert_eq!(kept.len() as u64, limits::SENT_BYTES / big as u64, "of large ones fewer are kept");
    assert_eq!(kept.last().unwrap().message, id(last + 70));
    let too_large = Sent { counter: 1, message: id(1), plaintext: vec![0; big + 1].into() };
    assert!(store.transaction(|tx| tx.put_sent(&bob, one, &too_large, 1)).is_err());

    change(&mut store, |tx| tx.expire(limits::SENT_KEPT_MS + last + 69));
    assert_eq!(look(&store, |tx| tx.sent_between(&bob, one, 0, u64::MAX)).len(), 1);
    change(&mut store, |tx| tx.delete_chains(&bob, one));
    assert!(look(&store, |tx| tx.sent_between(&bob, one, 0, u64::MAX)).is_empty());
    assert_eq!(look(&store, |tx| tx.outgoing_chain(&bob, one)).counter, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever arrives in whatever order: what is missing is exactly what is below the highest and did not come.
    #[test]
    fn missing_is_what_did_not_come(counters in proptest::collection::vec(1u64..60, 1..80)) {
        let mut store = store();
        let mut came = BTreeSet::new();
        for counter in counters {
            let highest = came.last().copied().unwrap_or(0);
            let expected = if came.contains(&counter) {
                Placed::Old
            } else if counter < highest {
                Placed::Late
            } else if counter == highest + 1 {
                Placed::Next
            } else {
                Placed::Ahead { from: highest + 1, to: counter - 1 }
            };
            came.insert(counter);
            let highest = came.last().copied().unwrap_or(0);
            let missing: Vec<u64> = (1..highest).filter(|c| !came.contains(c)).collect();
            let incoming = receive(&mut store, counter);
            prop_assert_eq!(incoming.placed, expected);
            prop_assert_eq!(incoming.missing, missing.len() as u64);
            let ranges = look(&store, |tx| tx.missing_ranges(&name("bob"), device(1)));
            let ranged: Vec<u64> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(ranged, missing);
            prop_assert_eq!(look(&store, |tx| tx.incoming_chain(&name("bob"), device(1))).highest, highest);
        }
    }
}
