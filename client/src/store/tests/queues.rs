use std::collections::BTreeSet;

use proptest::prelude::*;
use subrosa_protocol::content::ReceiptKind;

use super::*;
use crate::{
    api::EventBody,
    store::{HeldFor, NewDeferred, NewOutbox, NewPending, StoreError, limits},
};

fn pend(store: &mut Store, account: &str, device: Option<u32>, number: u64, reason: HeldFor) -> i64 {
    let account = name(account);
    change(store, |tx| {
        tx.push_pending(&NewPending {
            account: &account,
            device: device.map(super::device),
            chat: &account,
            content: b"content",
            message: id(number),
            reason,
            queued_at: number,
        })
    })
}

fn post(store: &mut Store, account: &str, number: u64, sealed: &[u8]) -> i64 {
    let account = name(account);
    change(store, |tx| {
        tx.push_outbox(&NewOutbox {
            account: &account,
            device: device(1),
            envelope: envelope(number),
            sealed,
            message: id(number),
            counter: number,
            queued_at: number,
        })
    })
}

#[test]
fn pending_keeps_order_and_reasons() {
    let mut store = store();
    let bob = name("bob");
    let first = pend(&mut store, "bob", None, 1, HeldFor::Request);
    pend(&mut store, "bob", Some(2), 2, HeldFor::Window);
    pend(&mut store, "carol", None, 3, HeldFor::DeviceList);
    pend(&mut store, "bob", None, 4, HeldFor::Request);
    let ids = |store: &Store| {
        look(store, |tx| tx.pending_for(&bob, 10)).iter().map(|p| p.message).collect::<Vec<_>>()
    };
    assert_eq!(ids(&store), [id(1), id(2), id(4)]);
    let first_two = look(&store, |tx| tx.pending_to_encrypt(&bob, 2));
    let first_two: Vec<_> = first_two.iter().map(|p| p.message).collect();
    assert_eq!(first_two, [id(2), id(1)], "what waits for one device waited before");
    look(&store, |tx| {
        assert_eq!(tx.pending_for_device(&bob, device(2), 10)?.len(), 1);
        assert!(tx.has_pending(&bob, Some(device(9)))? && !tx.has_pending(&name("dave"), None)?);
        assert_eq!(tx.held_count(&bob, HeldFor::Request)?, 2);
        assert_eq!(tx.pending_before(4, 10)?.len(), 3);
        let targets = tx.pending_targets()?;
        assert_eq!(targets.len(), 3);
        assert!(targets.contains(&(bob.clone(), Some(device(2)), HeldFor::Window)));
        let stored = &tx.pending_for(&bob, 1)?[0];
        assert_eq!(
            (stored.id, stored.content.as_slice(), stored.chat.as_str()),
            (first, &b"content"[..], "bob")
        );
        Ok(())
    });
    assert_eq!(
        change(&mut store, |tx| tx.change_pending_reason(&bob, HeldFor::Request, HeldFor::Session)),
        2
    );
    assert!(change(&mut store, |tx| tx.remove_pending(first)));
    assert_eq!(change(&mut store, |tx| tx.remove_pending_for_device(&bob, device(2))), 1);
    assert_eq!(ids(&store), [id(4)]);
}

#[test]
fn the_outbox_gives_each_device_its_envelopes_in_order() {
    let mut store = store();
    let bob = name("bob");
    let ids: Vec<i64> = (1..=5).map(|n| post(&mut store, "bob", n, &[n as u8; 1_000])).collect();
    post(&mut store, "carol", 9, b"x");
    let head = |store: &Store, max, bytes| {
        look(store, |tx| tx.outbox_head(&bob, device(1), max, bytes)).iter().map(|r| r.id).collect::<Vec<_>>()
    };
    assert_eq!(head(&store, 3, 1_000_000), ids[..3]);
    assert_eq!(head(&store, 48, 2_999), ids[..2]);
    assert_eq!(head(&store, 48, 10), ids[..1], "one that is too large goes alone");
    let row = look(&store, |tx| tx.outbox_row(ids[2])).unwrap();
    assert_eq!((row.sealed.as_slice(), row.envelope, row.counter), (&[3u8; 1_000][..], envelope(3), 3));

    change(&mut store, |tx| tx.retry_outbox(&ids[..1], 77));
    let targets = look(&store, |tx| tx.outbox_targets());
    assert_eq!((targets[0].account.as_str(), targets[0].waiting, targets[0].next_try), ("bob", 5, 77));
    assert_eq!(look(&store, |tx| tx.outbox_next_try()), Some(0));
    assert_eq!(
        look(&store, |tx| tx.outbox_row(ids[0])).unwrap().sealed,
        [1; 1_000],
        "a retry sends the same bytes"
    );
    change(&mut store, |tx| tx.retry_outbox_now());
    assert_eq!(look(&store, |tx| tx.outbox_targets())[0].next_try, 0);

    pend(&mut store, "bob", Some(2), 1, HeldFor::Session);
    look(&store, |tx| {
        assert_eq!(tx.outstanding(id(1), &bob)?, 2);
        assert_eq!(tx.outbox_messages(&bob)?.len(), 5);
        assert_eq!(tx.outbox_before(3, 10)?.len(), 2);
        Ok(())
    });
    change(&mut store, |tx| tx.remove_outbox(&ids[..2]));
    assert_eq!(change(&mut store, |tx| tx.remove_outbox_for_device(&bob, device(1))).len(), 3);
    assert_eq!(look(&store, |tx| tx.outbox_count()), 1);
}

#[test]
fn what_was_encrypted_after_an_envelope_goes_out_after_it_however_late_that_comes() {
    let mut store = store();
    let bob = name("bob");
    for n in [1, 4, 5] {
        post(&mut store, "bob", n, b"x");
    }
    post(&mut store, "carol", 9, b"x");
    // What belongs before them comes after them.
    for n in [2, 3] {
        post(&mut store, "bob", n, b"x");
        change(&mut store, |tx| tx.requeue_outbox_behind(&bob, device(1), u64::from(n as u8)));
    }
    post(&mut store, "bob", 6, b"x");
    let head = look(&store, |tx| tx.outbox_head(&bob, device(1), 48, 1_000_000));
    assert_eq!(head.iter().map(|row| row.counter).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(look(&store, |tx| tx.outbox_count()), 7);
}

#[test]
fn one_envelope_is_in_the_outbox_once() {
    let mut store = store();
    post(&mut store, "bob", 1, b"x");
    let (bob, sealed) = (name("bob"), vec![0; subrosa_protocol::limits::SEALED_BYTES + 1]);
    let new = NewOutbox {
        account: &bob,
        device: device(1),
        envelope: envelope(1),
        sealed: b"y",
        message: id(2),
        counter: 2,
        queued_at: 2,
    };
    assert!(store.transaction(|tx| tx.push_outbox(&new)).is_err());
    let large = NewOutbox { envelope: envelope(2), sealed: &sealed, ..new };
    assert!(matches!(store.transaction(|tx| tx.push_outbox(&large)), Err(StoreError::Limit("envelope"))));
}

#[test]
fn queues_have_ends() {
    let mut store = store();
    let bob = name("bob");
    let fill = |store: &Store, sql: &str| store.raw().execute(sql, []).unwrap();
    fill(
        &store,
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO pending (account, chat, message_id, content, reason, queued_at)
         SELECT 'bob', 'bob', randomblob(16), x'00', 0, 0 FROM n",
            limits::PENDING
        ),
    );
    fill(&store, &format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO outbox (account, device, envelope, sealed, message_id, counter, attempts, next_try, queued_at)
         SELECT 'bob', 1, randomblob(16), x'00', randomblob(16), i, 0, 0, 0 FROM n", limits::OUTBOX));
    let new = NewPending {
        account: &bob,
        device: None,
        chat: &bob,
        content: b"",
        message: id(1),
        reason: HeldFor::Request,
        queued_at: 0,
    };
    assert!(matches!(store.transaction(|tx| tx.push_pending(&new)), Err(StoreError::Limit(_))));
    let new = NewOutbox {
        account: &bob,
        device: device(1),
        envelope: envelope(1),
        sealed: b"",
        message: id(1),
        counter: 1,
        queued_at: 0,
    };
    assert!(matches!(store.transaction(|tx| tx.push_outbox(&new)), Err(StoreError::Limit(_))));
}

#[test]
fn envelopes_are_dealt_with_once_and_ids_are_forgotten_after_60_days() {
    let mut store = store();
    assert!(change(&mut store, |tx| tx.see_envelope(envelope(1), 10)));
    assert!(!change(&mut store, |tx| tx.see_envelope(envelope(1), 20)));
    assert!(look(&store, |tx| tx.envelope_seen(envelope(1))));
    change(&mut store, |tx| tx.expire(limits::ENVELOPE_IDS_KEPT_MS + 9));
    assert!(look(&store, |tx| tx.envelope_seen(envelope(1))));
    change(&mut store, |tx| tx.expire(limits::ENVELOPE_IDS_KEPT_MS + 10));
    assert!(!look(&store, |tx| tx.envelope_seen(envelope(1))));

    assert_eq!(change(&mut store, |tx| tx.set_mailbox_cursor(7)), 7);
    assert_eq!(change(&mut store, |tx| tx.set_mailbox_cursor(3)), 7);
}

#[test]
fn envelopes_put_aside_are_bounded_and_keep_their_order() {
    let mut store = store();
    let defer = |store: &mut Store, account: &str, number: u64| {
        let account = name(account);
        change(store, |tx| {
            tx.defer_envelope(&NewDeferred {
                envelope: envelope(number),
                account: &account,
                device: device(1),
                sealed: b"sealed",
                accepted_at: number,
                next_try: 100 + number,
                stored_at: number,
            })
        })
    };
    for number in 0..limits::DEFERRED_PER_ACCOUNT {
        assert!(defer(&mut store, "mallory", number));
    }
    assert!(!defer(&mut store, "mallory", 5_000));
    for number in 0..(limits::DEFERRED - limits::DEFERRED_PER_ACCOUNT) {
        assert!(defer(&mut store, &format!("user_{}", number % 20), 10_000 + number));
    }
    assert!(!defer(&mut store, "bob", 90_000));
    assert_eq!(look(&store, |tx| tx.deferred_count()), limits::DEFERRED);
    let mallory = name("mallory");
    let waiting = look(&store, |tx| tx.deferred_from(&mallory, 10));
    assert_eq!(
        waiting.iter().map(|d| d.envelope).collect::<Vec<_>>(),
        (0..10).map(envelope).collect::<Vec<_>>()
    );
    assert_eq!(look(&store, |tx| tx.deferred_accounts())[0], (mallory.clone(), 100));
    change(&mut store, |tx| tx.retry_deferred(&mallory, 9_999_999));
    assert_eq!(look(&store, |tx| tx.deferred_accounts()).last(), Some(&(mallory.clone(), 9_999_999)));
    assert_eq!(look(&store, |tx| tx.deferred_from(&mallory, 1))[0].attempts, 1);
    assert!(change(&mut store, |tx| tx.remove_deferred(waiting[0].id)));
    assert!(look(&store, |tx| tx.has_deferred(&mallory)));
    change(&mut store, |tx| tx.expire(limits::DEFERRED_KEPT_MS + limits::DEFERRED_PER_ACCOUNT));
    assert!(!look(&store, |tx| tx.has_deferred(&mallory)));
}

#[test]
fn receipts_ride_along_wait_and_are_dropped() {
    let mut store = store();
    let (bob, carol) = (name("bob"), name("carol"));
    let note = |store: &mut Store, who: &Username, n, kind, due| {
        change(store, |tx| tx.note_receipt(who, id(n), kind, due))
    };
    assert!(note(&mut store, &bob, 1, ReceiptKind::Delivered, 100));
    assert!(note(&mut store, &bob, 1, ReceiptKind::Read, 300));
    assert!(note(&mut store, &carol, 1, ReceiptKind::Delivered, 200));
    look(&store, |tx| {
        assert_eq!(tx.next_receipt()?, Some(100));
        assert!(tx.due_receipts(99, 10)?.is_empty());
        assert_eq!(tx.due_receipts(200, 10)?.len(), 2);
        assert_eq!(tx.receipt_targets(200)?, [bob.clone(), carol.clone()]);
        assert_eq!(tx.receipts_for(&bob, 10)?.len(), 2, "one that is not due rides along");
        Ok(())
    });
    change(&mut store, |tx| tx.postpone_receipts(&bob, 250));
    assert_eq!(look(&store, |tx| tx.next_receipt()), Some(200));
    change(&mut store, |tx| tx.drop_receipts(&carol));
    assert_eq!(look(&store, |tx| tx.next_receipt()), Some(250));
    let due = look(&store, |tx| tx.due_receipts(300, 10));
    change(&mut store, |tx| tx.receipts_given(&due));
    assert_eq!(look(&store, |tx| tx.next_receipt()), None);
}

#[test]
fn receipts_that_come_early_are_kept_apart_bounded_and_forgotten() {
    let mut store = store();
    let (bob, carol, mallory) = (name("bob"), name("carol"), name("mallory"));
    let keep = |store: &mut Store, who: &Username, ids: &[u64], kind, now| {
        let ids: Vec<_> = ids.iter().map(|n| id(*n)).collect();
        change(store, |tx| tx.keep_early_receipts(who, &ids, kind, now));
    };
    keep(&mut store, &bob, &[1, 1], ReceiptKind::Read, 5);
    keep(&mut store, &bob, &[1, 2], ReceiptKind::Delivered, 6);
    keep(&mut store, &carol, &[1], ReceiptKind::Delivered, 7);
    // They are not ours to give, now or later.
    let far = limits::EARLY_RECEIPTS_KEPT_MS * 2;
    look(&store, |tx| {
        assert_eq!(tx.next_receipt()?, None);
        assert!(tx.due_receipts(far, 10)?.is_empty() && tx.receipt_targets(far)?.is_empty());
        assert!(tx.receipts_for(&bob, 10)?.is_empty());
        Ok(())
    });
    change(&mut store, |tx| tx.drop_receipts(&bob));
    change(&mut store, |tx| tx.postpone_receipts(&bob, far));
    assert_eq!(look(&store, |tx| tx.early_receipts()), 4);
    let taken = change(&mut store, |tx| tx.take_early_receipts(&bob, id(1)));
    assert_eq!(taken, [ReceiptKind::Delivered, ReceiptKind::Read]);
    assert!(change(&mut store, |tx| tx.take_early_receipts(&bob, id(1))).is_empty(), "taken once");
    // Whoever gives more than there is room for loses their own.
    let many: Vec<u64> = (100..100 + limits::EARLY_RECEIPTS + 50).collect();
    for ids in many.chunks(100) {
        keep(&mut store, &mallory, ids, ReceiptKind::Delivered, ids[0]);
    }
    assert_eq!(look(&store, |tx| tx.early_receipts()), limits::EARLY_RECEIPTS);
    let last = *many.last().unwrap();
    let kept = |store: &mut Store, who: &Username, n| {
        !change(store, |tx| tx.take_early_receipts(who, id(n))).is_empty()
    };
    assert!(!kept(&mut store, &mallory, 100) && kept(&mut store, &mallory, last));
    assert!(kept(&mut store, &carol, 1));
    change(&mut store, |tx| tx.expire(6 + limits::EARLY_RECEIPTS_KEPT_MS));
    assert!(!kept(&mut store, &bob, 2) && kept(&mut store, &mallory, last - 1));
    change(&mut store, |tx| tx.expire(far));
    assert_eq!(look(&store, |tx| tx.early_receipts()), 0);
}

#[test]
fn events_are_filtered_acknowledged_and_forgotten_with_a_gap_told() {
    let mut store = store();
    for number in 0..10 {
        let body = if number % 2 == 0 {
            EventBody::SyncDone {}
        } else {
            EventBody::ContactAdded { name: format!("user_{number}") }
        };
        let event = change(&mut store, |tx| tx.append_event("alice@r", Timestamp(number), body));
        assert_eq!(event.seq, Some(number + 1));
    }
    let fetch = |store: &Store, since, max, filter: &[&str]| {
        let filter: Vec<String> = filter.iter().map(ToString::to_string).collect();
        look(store, |tx| tx.events(since, max, &filter))
    };
    let page = fetch(&store, Some(0), 4, &[]);
    assert_eq!(page.events.iter().filter_map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(page.more && page.gap.is_none());
    assert_eq!(fetch(&store, Some(0), 100, &["contact.*"]).events.len(), 5);
    assert_eq!(fetch(&store, Some(0), 100, &["sync.done", "contact.added"]).events.len(), 10);
    assert!(fetch(&store, Some(0), 100, &["sync"]).events.is_empty());
    assert!(!fetch(&store, Some(0), 5, &["contact.added"]).more);
    assert!(fetch(&store, Some(0), 0, &[]).more);
    change(&mut store, |tx| tx.acknowledge_events(7));
    change(&mut store, |tx| tx.acknowledge_events(2));
    assert_eq!(fetch(&store, None, 100, &[]).events[0].seq, Some(8));
    change(&mut store, |tx| tx.acknowledge_events(u64::MAX));
    assert_eq!(look(&store, |tx| tx.events_acked()), 10, "what has not happened cannot be acknowledged");

    store.raw().execute("DELETE FROM events WHERE seq <= 4", []).unwrap();
    assert_eq!(fetch(&store, Some(1), 100, &[]).gap, Some((2, 4)));
    assert_eq!(fetch(&store, Some(4), 100, &[]).gap, None);
    assert_eq!(look(&store, |tx| tx.event_range()), (5, 10));
}

#[test]
fn old_events_make_room_for_new_ones() {
    let mut store = store();
    store
        .raw()
        .execute(
            &format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         INSERT INTO events (name, json) SELECT 'sync.done', '{{}}' FROM n",
                limits::EVENTS_KEPT
            ),
            [],
        )
        .unwrap();
    for expected in 1..=3 {
        change(&mut store, |tx| tx.append_event("alice@r", Timestamp(1), EventBody::SyncDone {}));
        assert_eq!(look(&store, |tx| tx.event_range()), (expected + 1, limits::EVENTS_KEPT + expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// R45: however often and in whatever order receipts are noted and given, each comes up at most once.
    #[test]
    fn r45_each_receipt_is_given_once_in_its_life(steps in proptest::collection::vec((0u64..6, any::<bool>(), 0u64..50), 1..60)) {
        let mut store = store();
        let bob = name("bob");
        let (mut noted, mut given) = (BTreeSet::new(), BTreeSet::new());
        for (now, (number, read, due)) in (0u64..).zip(steps) {
            let kind = if read { ReceiptKind::Read } else { ReceiptKind::Delivered };
            let fresh = change(&mut store, |tx| tx.note_receipt(&bob, id(number), kind, due));
            prop_assert_eq!(fresh, noted.insert((number, read)));
            let due = look(&store, |tx| tx.due_receipts(now, 3));
            for receipt in &due {
                let key = (*receipt.message.as_bytes(), receipt.kind == ReceiptKind::Read);
                prop_assert!(given.insert(key), "given twice");
            }
            change(&mut store, |tx| tx.receipts_given(&due));
        }
    }

    /// Transactions that fail, in whole or in part, leave no hole in the event log.
    #[test]
    fn event_numbers_have_no_gaps(steps in proptest::collection::vec(0u8..4, 1..60)) {
        let mut store = store();
        let event = |tx: &Tx<'_>| tx.append_event("alice@r", Timestamp(1), EventBody::SyncDone {}).map(drop);
        let mut expected = 0;
        for step in steps {
            let _ = store.transaction(|tx| {
                event(tx)?;
                match step {
                    0 => Err(StoreError::Missing("anything")),
                    1 => {
                        let _ = tx.attempt(|tx| event(tx).and(Err::<(), _>(StoreError::Missing("anything"))));
                        event(tx)
                    }
                    _ => event(tx),
                }
            }).map(|()| expected += 2);
        }
        let page = look(&store, |tx| tx.events(Some(0), 1_000, &[]));
        let seqs: Vec<u64> = page.events.iter().filter_map(|e| e.seq).collect();
        prop_assert_eq!(seqs, (1..=expected).collect::<Vec<_>>());
    }
}
