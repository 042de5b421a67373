use subrosa_protocol::frames::SignedList;

use crate::store::{Appended, Claim, DeviceAddition, ListVersion, Published, conformance::*};

pub(in crate::store) async fn lists_come_in_pages(store: AnyStore) {
    join(&store, "alice").await;
    for version in 2..=20 {
        assert_eq!(publish(&store, list(version, &[1])).await, done(&[]));
    }
    let page = |since| store.device_lists(&name("alice"), since, 16);
    let first = page(0).await.unwrap().unwrap();
    assert_eq!(first.lists, signed(1..=16));
    assert!(first.more);
    let second = page(16).await.unwrap().unwrap();
    assert_eq!((second.lists, second.more), (signed(17..=20), false));
    let exactly = page(4).await.unwrap().unwrap();
    assert_eq!((exactly.lists, exactly.more), (signed(5..=20), false));
    for beyond in [20, 21, u64::MAX] {
        assert!(page(beyond).await.unwrap().unwrap().lists.is_empty());
    }
}

pub(in crate::store) async fn a_list_follows_the_current_one_or_is_refused(store: AnyStore) {
    join(&store, "alice").await;
    for (wrong, why) in [
        (list(1, &[1]), "the current version again"),
        (list(3, &[1]), "one left out"),
        (list(0, &[1]), "no version"),
        (list(u64::MAX, &[1]), "far ahead"),
        (list(2, &[1, 2]), "a device that was never added"),
    ] {
        assert_eq!(publish(&store, wrong).await, Published::Conflict, "{why}");
    }
    assert_eq!(store.publish_list(&name("nobody"), list(2, &[1])).await.unwrap(), Published::NotFound);
    assert_eq!(publish(&store, list(2, &[1])).await, done(&[]));
    assert_eq!(publish(&store, list(2, &[])).await, Published::Conflict);
    assert_eq!(store.account(&name("alice")).await.unwrap().unwrap().list, list(2, &[1]));
    assert_eq!(store.device(&name("alice"), device(1)).await.unwrap().unwrap().list_version, 2);
}

pub(in crate::store) async fn a_removed_device_loses_everything(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    assert_eq!(add(&store, list(2, &[1, 2]), 2).await, done(&[]));
    let to_second = |list_version| {
        let mut delivery = delivery("bob", "alice", envelopes(0..5));
        (delivery.device, delivery.list_version) = (device(2), list_version);
        delivery
    };
    assert!(matches!(store.append_envelopes(to_second(2)).await.unwrap(), Appended::Accepted { .. }));
    assert_eq!(store.statistics().await.unwrap().envelopes, 5);

    assert_eq!(publish(&store, list(3, &[1])).await, done(&[2]));
    let (alice, second) = (name("alice"), device(2));
    assert_eq!(store.device(&alice, second).await.unwrap(), None);
    assert_eq!(store.fetch_mailbox(&alice, second, 0, 10, 1000).await.unwrap(), None);
    assert_eq!(store.ack_mailbox(&alice, second, 5, 1).await.unwrap(), None);
    assert_eq!(store.prekey_counts(&alice, second).await.unwrap(), None);
    assert_eq!(store.raise_generation(&alice, second, 1).await.unwrap(), None);
    assert!(!store.touch_device(&alice, second, NOW).await.unwrap());
    let claim = Claim { account: alice.clone(), devices: vec![device(1), second], leave: 0 };
    assert_eq!(store.claim_bundles(claim).await.unwrap().unwrap().len(), 1);
    assert!(matches!(store.append_envelopes(to_second(2)).await.unwrap(), Appended::Stale(_)));
    assert_eq!(store.append_envelopes(to_second(3)).await.unwrap(), Appended::NotFound);
    let statistics = store.statistics().await.unwrap();
    assert_eq!((statistics.devices, statistics.envelopes, statistics.envelope_bytes), (2, 0, 0));
    // It can no longer send either.
    let mut from_second = delivery("alice", "bob", envelopes(9..10));
    from_second.sender.device = second;
    assert_eq!(store.append_envelopes(from_second).await.unwrap(), Appended::SenderGone);
    assert!(mailbox(&store, "bob").await.is_empty());
    // The last device may go, too: the account stays and cannot be taken.
    assert_eq!(publish(&store, list(4, &[])).await, done(&[1]));
    assert!(!store.name_available(&alice).await.unwrap());
}

pub(in crate::store) async fn a_device_number_is_given_once(store: AnyStore) {
    join(&store, "alice").await;
    assert_eq!(add(&store, list(2, &[1]), 2).await, Published::Conflict);
    assert_eq!(add(&store, list(2, &[1, 2, 2]), 2).await, Published::Conflict);
    assert_eq!(add(&store, list(2, &[1, 2, 3]), 3).await, Published::Conflict);
    assert_eq!(add(&store, list(3, &[1, 2]), 2).await, Published::Conflict);
    assert_eq!(add(&store, list(2, &[1]), 1).await, Published::Conflict);
    assert_eq!(store.device(&name("alice"), device(2)).await.unwrap(), None);
    assert_eq!(add(&store, list(2, &[1, 5]), 5).await, done(&[]));
    assert_eq!(publish(&store, list(3, &[1])).await, done(&[5]));
    assert_eq!(add(&store, list(4, &[1, 5]), 5).await, Published::Conflict);
    assert_eq!(add(&store, list(4, &[1, 4]), 4).await, Published::Conflict);
    assert_eq!(add(&store, list(4, &[1, 6]), 6).await, done(&[]));
    // Adding may remove as well.
    assert_eq!(add(&store, list(5, &[6, 7]), 7).await, done(&[1]));
    let state = store.device(&name("alice"), device(7)).await.unwrap().unwrap();
    assert_eq!((state.signing_key, state.next_seq, state.list_version), ([7; 32], 1, 5));
    let missing =
        DeviceAddition { account: name("nobody"), list: list(2, &[2]), device: new_device(2, 0), now: NOW };
    assert_eq!(store.add_device(missing).await.unwrap(), Published::NotFound);
}

pub(in crate::store) async fn use_is_noted_to_the_day(store: AnyStore) {
    join(&store, "alice").await;
    let (alice, first) = (name("alice"), device(1));
    let midnight = NOW - NOW % DAY;
    assert_eq!(store.device(&alice, first).await.unwrap().unwrap().last_seen, midnight);
    assert!(store.touch_device(&alice, first, NOW + 3 * DAY + 1).await.unwrap());
    assert_eq!(store.device(&alice, first).await.unwrap().unwrap().last_seen, midnight + 3 * DAY);
    // A clock that was set back does not make a device look unused.
    assert!(store.touch_device(&alice, first, NOW).await.unwrap());
    assert_eq!(store.device(&alice, first).await.unwrap().unwrap().last_seen, midnight + 3 * DAY);
    assert!(!store.touch_device(&alice, device(2), NOW).await.unwrap());
    assert!(!store.touch_device(&name("nobody"), first, NOW).await.unwrap());
}

pub(in crate::store) async fn r23_the_highest_generation_wins(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let raise = |generation| store.raise_generation(&name("alice"), device(1), generation);
    assert_eq!(raise(5).await.unwrap(), Some(5));
    assert_eq!(raise(3).await.unwrap(), Some(5));
    let mut sent = delivery("alice", "bob", envelopes(0..1));
    sent.sender.generation = 9;
    assert!(matches!(store.append_envelopes(sent.clone()).await.unwrap(), Appended::Accepted { .. }));
    assert_eq!(raise(0).await.unwrap(), Some(9));
    // A repetition counts, too; a refusal does not.
    sent.sender.generation = 10;
    assert!(matches!(store.append_envelopes(sent.clone()).await.unwrap(), Appended::Accepted { .. }));
    (sent.sender.generation, sent.list_version) = (99, 7);
    assert!(matches!(store.append_envelopes(sent).await.unwrap(), Appended::Stale(_)));
    assert_eq!(raise(0).await.unwrap(), Some(10));
    let acknowledged = store.ack_mailbox(&name("alice"), device(1), 0, 12).await.unwrap().unwrap();
    assert_eq!((acknowledged.deleted, acknowledged.generation), (0, 12));
    assert_eq!(store.device(&name("alice"), device(1)).await.unwrap().unwrap().generation, 12);
    assert_eq!(raise(u64::MAX).await.unwrap(), Some(i64::MAX as u64));
    assert_eq!(store.device(&name("bob"), device(1)).await.unwrap().unwrap().generation, 0);
}

async fn publish(store: &AnyStore, list: ListVersion) -> Published {
    store.publish_list(&name("alice"), list).await.unwrap()
}

async fn add(store: &AnyStore, list: ListVersion, number: u32) -> Published {
    let addition = DeviceAddition { account: name("alice"), list, device: new_device(number, 2), now: NOW };
    store.add_device(addition).await.unwrap()
}

fn done(removed: &[u32]) -> Published {
    Published::Done { removed: removed.iter().map(|number| device(*number)).collect() }
}

fn signed(versions: std::ops::RangeInclusive<u64>) -> Vec<SignedList> {
    versions.map(|version| list(version, &[1]).signed).collect()
}
