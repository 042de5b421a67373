use subrosa_protocol::frames::StaleDeviceList;

use crate::store::{Appended, Delivery, DeviceAddition, Published, conformance::*};

pub(in crate::store) async fn r44_order_pages_and_acknowledgement(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let (bob, first) = (name("bob"), device(1));
    assert_eq!(send(&store, "alice", "bob", vec![]).await, Vec::<u64>::new());
    assert_eq!(send(&store, "alice", "bob", envelopes(0..3)).await, [1, 2, 3]);
    assert_eq!(send(&store, "bob", "bob", envelopes(3..5)).await, [4, 5]);
    assert_eq!(mailbox(&store, "bob").await, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
    assert!(mailbox(&store, "alice").await.is_empty());

    let page = |after, max, bytes| store.fetch_mailbox(&bob, first, after, max, bytes);
    let seqs = |page: Option<crate::store::Page>| {
        let page = page.unwrap();
        (page.envelopes.iter().map(|envelope| envelope.seq).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(seqs(page(0, 2, 1000).await.unwrap()), (vec![1, 2], true));
    assert_eq!(seqs(page(3, 2, 1000).await.unwrap()), (vec![4, 5], false));
    // Each has 40 sealed bytes: two fit into 80, one always comes.
    assert_eq!(seqs(page(0, 9, 80).await.unwrap()), (vec![1, 2], true));
    assert_eq!(seqs(page(0, 9, 79).await.unwrap()), (vec![1], true));
    assert_eq!(seqs(page(0, 9, 0).await.unwrap()), (vec![1], true));
    assert_eq!(seqs(page(0, 0, 1000).await.unwrap()), (vec![], true));
    assert_eq!(seqs(page(5, 9, 1000).await.unwrap()), (vec![], false));
    assert_eq!(seqs(page(u64::MAX, usize::MAX, usize::MAX).await.unwrap()), (vec![], false));
    let whole = page(2, 1, 1000).await.unwrap().unwrap();
    let (got, sent) = (&whole.envelopes[0], envelope(2, 40));
    assert_eq!((got.id, &got.sealed, got.accepted_at), (sent.id, &sent.sealed, NOW));

    let ack = |up_to| store.ack_mailbox(&bob, first, up_to, 0);
    assert_eq!(ack(2).await.unwrap().unwrap().deleted, 2);
    assert_eq!(ack(2).await.unwrap().unwrap().deleted, 0);
    assert_eq!(mailbox(&store, "bob").await, [(3, 2), (4, 3), (5, 4)]);
    let statistics = store.statistics().await.unwrap();
    assert_eq!((statistics.envelopes, statistics.envelope_bytes), (3, 120));
    // Beyond the end, everything there is goes; places go on where they were.
    assert_eq!(ack(u64::MAX).await.unwrap().unwrap().deleted, 3);
    assert_eq!(send(&store, "alice", "bob", envelopes(5..6)).await, [6]);
    assert_eq!(store.device(&bob, first).await.unwrap().unwrap().next_seq, 7);
    assert_eq!(store.fetch_mailbox(&bob, device(2), 0, 1, 1).await.unwrap(), None);
    assert_eq!(store.fetch_mailbox(&name("nobody"), first, 0, 1, 1).await.unwrap(), None);
    assert_eq!(store.ack_mailbox(&name("nobody"), first, 0, 1).await.unwrap(), None);
}

pub(in crate::store) async fn r56_an_envelope_is_accepted_once(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    join(&store, "carol").await;
    assert_eq!(send(&store, "alice", "bob", envelopes(0..3)).await, [1, 2, 3]);
    assert_eq!(send(&store, "alice", "bob", envelopes(0..3)).await, Vec::<u64>::new());
    // Some old, some new, one twice.
    let mixed = [2, 3, 1, 3, 4].map(|id| envelope(id, 40)).to_vec();
    assert_eq!(send(&store, "alice", "bob", mixed).await, [4, 5]);
    assert_eq!(mailbox(&store, "bob").await, [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]);
    // Also when it was fetched and deleted since; and with the time of the first acceptance.
    store.ack_mailbox(&name("bob"), device(1), 4, 0).await.unwrap();
    let mut late = delivery("alice", "bob", envelopes(0..2));
    late.now = NOW + DAY;
    let answer = store.append_envelopes(late).await.unwrap();
    assert_eq!(answer, Appended::Accepted { accepted_at: NOW, fresh: vec![] });
    assert_eq!(mailbox(&store, "bob").await, [(5, 4)]);
    // Another mailbox knows nothing of it.
    assert_eq!(send(&store, "alice", "carol", envelopes(0..1)).await, [1]);
}

pub(in crate::store) async fn an_old_device_list_is_refused(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let add = |version: u64, devices: &[u32], number| DeviceAddition {
        account: name("bob"),
        list: list(version, devices),
        device: new_device(number, 0),
        now: NOW,
    };
    assert!(matches!(store.add_device(add(2, &[1, 2], 2)).await.unwrap(), Published::Done { .. }));
    assert!(matches!(store.add_device(add(3, &[2, 3], 3)).await.unwrap(), Published::Done { .. }));
    let with = |list_version, number: u32| Delivery {
        list_version,
        device: device(number),
        ..delivery("alice", "bob", envelopes(0..1))
    };
    let stale = |missing: &[u32], extra: &[u32]| {
        let devices = |numbers: &[u32]| {
            let devices: Vec<_> = numbers.iter().map(|number| device(*number)).collect();
            subrosa_protocol::BoundedVec::new(devices).unwrap()
        };
        Appended::Stale(StaleDeviceList { version: 3, missing: devices(missing), extra: devices(extra) })
    };
    for (version, number, expected) in [
        (1, 1, stale(&[2, 3], &[1])),
        (2, 2, stale(&[3], &[1])),
        (0, 2, stale(&[2, 3], &[])),
        (4, 2, stale(&[2, 3], &[])),
        (u64::MAX, 2, stale(&[2, 3], &[])),
        (3, 1, Appended::NotFound),
        (3, 9, Appended::NotFound),
    ] {
        assert_eq!(
            store.append_envelopes(with(version, number)).await.unwrap(),
            expected,
            "{version} {number}"
        );
    }
    assert!(matches!(store.append_envelopes(with(3, 2)).await.unwrap(), Appended::Accepted { .. }));
    let nobody = Delivery { to: name("nobody"), ..with(1, 1) };
    assert_eq!(store.append_envelopes(nobody).await.unwrap(), Appended::NotFound);
    let mut nameless = with(3, 2);
    nameless.sender.account = name("nobody");
    assert_eq!(store.append_envelopes(nameless).await.unwrap(), Appended::SenderGone);
    assert_eq!(store.statistics().await.unwrap().envelopes, 1);
}

pub(in crate::store) async fn r44_a_full_mailbox_takes_all_or_nothing(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let almost = (0..9_990).step_by(45).map(|start| delivery("alice", "bob", envelopes(start..start + 45)));
    let answers: Vec<_> = almost.map(|delivery| store.append_envelopes(delivery)).collect();
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Appended::Accepted { .. }));
    }
    let eleven = delivery("alice", "bob", envelopes(20_000..20_011));
    assert_eq!(store.append_envelopes(eleven).await.unwrap(), Appended::Full);
    assert_eq!(store.statistics().await.unwrap().envelopes, 9_990);
    assert_eq!(send(&store, "alice", "bob", envelopes(20_000..20_010)).await.len(), 10);
    let one = delivery("alice", "bob", envelopes(30_000..30_001));
    assert_eq!(store.append_envelopes(one.clone()).await.unwrap(), Appended::Full);
    // A repetition takes no room.
    assert_eq!(send(&store, "alice", "bob", envelopes(20_000..20_010)).await, Vec::<u64>::new());
    // Others' mailboxes have theirs, and what is fetched makes room.
    assert_eq!(send(&store, "bob", "alice", envelopes(0..1)).await, [1]);
    store.ack_mailbox(&name("bob"), device(1), 1, 0).await.unwrap();
    assert!(matches!(store.append_envelopes(one).await.unwrap(), Appended::Accepted { .. }));
    let all = mailbox(&store, "bob").await;
    assert!(all.iter().map(|(seq, _)| *seq).eq(2..=10_001));
}

pub(in crate::store) async fn pipelined_sends_keep_their_order(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    // All are called before the first is awaited, and they are awaited backwards.
    let answers: Vec<_> =
        (0..500).map(|id| store.append_envelopes(delivery("alice", "bob", envelopes(id..id + 1)))).collect();
    for answer in answers.into_iter().rev() {
        assert!(matches!(answer.await.unwrap(), Appended::Accepted { .. }));
    }
    let expected: Vec<_> = (0..500).map(|id| (id as u64 + 1, id)).collect();
    assert_eq!(mailbox(&store, "bob").await, expected);
}

pub(in crate::store) async fn an_abandoned_answer_does_not_undo_its_write(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    for id in 0..20 {
        drop(store.append_envelopes(delivery("alice", "bob", envelopes(id..id + 1))));
    }
    assert_eq!(send(&store, "alice", "bob", envelopes(20..21)).await, [21]);
    assert_eq!(mailbox(&store, "bob").await.len(), 21);
}

pub(in crate::store) async fn every_length_of_envelope_comes_back(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let lengths: Vec<usize> =
        (0..64).chain((64..5000).step_by(61)).chain(8150..8200).chain([16_700, 69 * 1024]).collect();
    let mut answers = Vec::new();
    for (id, length) in lengths.iter().enumerate() {
        let sent = envelope(id as u128, *length);
        answers.push(store.append_envelopes(delivery("alice", "bob", vec![sent])));
    }
    for answer in answers {
        assert!(matches!(answer.await.unwrap(), Appended::Accepted { .. }));
    }
    let mut after = 0;
    for (id, length) in lengths.iter().enumerate() {
        let page = store.fetch_mailbox(&name("bob"), device(1), after, 1, 0).await.unwrap().unwrap();
        let (got, sent) = (&page.envelopes[0], envelope(id as u128, *length));
        assert_eq!((got.id, got.sealed == sent.sealed), (sent.id, true), "{length}");
        after = got.seq;
    }
}
