use std::collections::HashSet;

use tokio::task::JoinSet;

use crate::store::{Claim, Invite, PrekeyRefill, Published, Registered, conformance::*};

pub(in crate::store) async fn fifty_claimers_never_get_the_same_prekey(store: AnyStore) {
    join(&store, "alice").await;
    let refill = PrekeyRefill {
        account: name("alice"),
        device: device(1),
        signed: None,
        last_resort: None,
        one_time: many(2, 4..=103),
        kem: many(4, 4..=53),
    };
    store.upload_prekeys(refill).await.unwrap();
    let mut claimers = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        claimers.spawn(async move {
            let mut got = Vec::new();
            for _ in 0..3 {
                let claim = Claim { account: name("alice"), devices: vec![device(1)], leave: 0 };
                got.push(store.claim_bundles(claim).await.unwrap().unwrap().remove(0).bundle);
            }
            got
        });
    }
    let bundles: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();
    let one_time: Vec<u32> =
        bundles.iter().filter_map(|b| b.one_time.as_ref()).map(|p| number_of(&p[..])).collect();
    let kem: Vec<u32> = bundles.iter().filter(|b| b.kem[1268] == 4).map(|b| number_of(&b.kem[..])).collect();
    assert_eq!((bundles.len(), one_time.len(), kem.len()), (150, 103, 53));
    assert_eq!(one_time.into_iter().collect::<HashSet<_>>(), (1..=103).collect());
    assert_eq!(kem.into_iter().collect::<HashSet<_>>(), (1..=53).collect());
}

pub(in crate::store) async fn fifty_registrations_of_one_name_give_one(store: AnyStore) {
    let mut registrations = JoinSet::new();
    for key in 0..50 {
        let store = store.clone();
        registrations.spawn(async move {
            let mut registration = registration("alice", None);
            registration.account_key = [key; 32];
            (key, store.register(registration).await.unwrap())
        });
    }
    let answers = registrations.join_all().await;
    let won: Vec<u8> =
        answers.iter().filter(|(_, answer)| *answer == Registered::Done).map(|(key, _)| *key).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|(_, answer)| matches!(answer, Registered::Done | Registered::NameTaken)));
    assert_eq!(store.account(&name("alice")).await.unwrap().unwrap().account_key, [won[0]; 32]);
    assert_eq!(store.statistics().await.unwrap().accounts, 1);
}

pub(in crate::store) async fn fifty_uses_of_a_single_use_invite_give_one(store: AnyStore) {
    let invite = Invite { hash: [1; 32], uses: 1, created_at: NOW, expires_at: NOW + DAY, admin: false };
    store.create_invite(invite).await.unwrap();
    let mut registrations = JoinSet::new();
    for number in 0..50 {
        let store = store.clone();
        registrations.spawn(async move {
            store.register(registration(&format!("user{number}"), Some([1; 32]))).await.unwrap()
        });
    }
    let answers = registrations.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer == Registered::Done).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Registered::InviteInvalid).count(), 49);
    assert_eq!(store.statistics().await.unwrap().accounts, 1);
}

pub(in crate::store) async fn of_twenty_lists_at_once_one_is_published(store: AnyStore) {
    join(&store, "alice").await;
    let mut publishers = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        publishers.spawn(async move { store.publish_list(&name("alice"), list(2, &[1])).await.unwrap() });
    }
    let answers = publishers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| **answer != Published::Conflict).count(), 1);
}

pub(in crate::store) async fn a_mailbox_filled_from_many_sides_has_no_gap(store: AnyStore) {
    join(&store, "bob").await;
    let mut senders = JoinSet::new();
    for sender in 0..10u128 {
        let store = store.clone();
        senders.spawn(async move {
            let account = format!("sender{sender}");
            join(&store, &account).await;
            for number in 0..30 {
                let id = sender * 1000 + number;
                send(&store, &account, "bob", envelopes(id..id + 1)).await;
            }
        });
    }
    senders.join_all().await;
    let all = mailbox(&store, "bob").await;
    assert!(all.iter().map(|(seq, _)| *seq).eq(1..=300));
    for sender in 0..10u128 {
        let own: Vec<u128> = all.iter().map(|(_, id)| *id).filter(|id| id / 1000 == sender).collect();
        assert!(own.iter().copied().eq(sender * 1000..sender * 1000 + 30), "each sender's order is kept");
    }
}
