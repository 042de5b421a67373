use crate::store::{Invite, StoreError, conformance::*};

pub(in crate::store) async fn r44_what_is_too_old_is_deleted(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let invite = Invite { hash: [1; 32], uses: 1, created_at: NOW, expires_at: NOW + 10 * DAY, admin: false };
    store.create_invite(invite).await.unwrap();
    for (day, ids) in [(0, 0..3), (1, 3..5)] {
        let mut sent = delivery("alice", "bob", envelopes(ids));
        sent.now = NOW + day * DAY;
        store.append_envelopes(sent).await.unwrap();
    }
    assert_eq!(expire(&store, NOW + 10 * DAY - 1).await, (0, 0, 0));
    assert_eq!(expire(&store, NOW + 10 * DAY).await, (0, 1, 0));
    assert_eq!(expire(&store, NOW + 30 * DAY).await, (0, 0, 0));
    assert_eq!(expire(&store, NOW + 30 * DAY + 1).await, (3, 0, 0));
    assert_eq!(mailbox(&store, "bob").await, [(4, 3), (5, 4)]);
    assert_eq!(store.statistics().await.unwrap().envelopes, 2);
    // A repetition of what expired is still recognised, until its id is forgotten as well.
    assert_eq!(send(&store, "alice", "bob", envelopes(0..3)).await, Vec::<u64>::new());
    assert_eq!(expire(&store, NOW + 60 * DAY + 1).await, (2, 0, 3));
    assert_eq!(send(&store, "alice", "bob", envelopes(0..5)).await, [6, 7, 8]);
}

pub(in crate::store) async fn expiry_goes_through_all_devices(store: AnyStore) {
    join(&store, "alice").await;
    let mut answers = Vec::new();
    for number in 0..300 {
        let account = format!("user{number}");
        let mut new = registration(&account, None);
        (new.device.prekeys.one_time, new.device.prekeys.kem) = (vec![], vec![]);
        drop(store.register(new));
        answers.push(store.append_envelopes(delivery("alice", &account, envelopes(0..7))));
    }
    for answer in answers {
        answer.await.unwrap();
    }
    let first = store.expire(NOW + 31 * DAY).await.unwrap();
    assert!(first.more && first.envelopes < 2100, "one round's work is bounded: {first:?}");
    assert_eq!(expire(&store, NOW + 31 * DAY).await.0, 2100 - first.envelopes);
    assert_eq!(store.statistics().await.unwrap().envelopes, 0);
    assert_eq!(expire(&store, NOW + 61 * DAY).await.2, 2100);
}

pub(in crate::store) async fn a_closed_store_says_so(store: AnyStore) {
    join(&store, "alice").await;
    let pending = store.raise_generation(&name("alice"), device(1), 4);
    store.close().await.unwrap();
    assert_eq!(pending.await, Ok(Some(4)));
    assert_eq!(store.raise_generation(&name("alice"), device(1), 5).await, Err(StoreError::Closed));
    assert_eq!(store.name_available(&name("bob")).await, Err(StoreError::Closed));
    store.close().await.unwrap();
}

/// All rounds: envelopes, invites, ids.
async fn expire(store: &AnyStore, now: u64) -> (u64, u64, u64) {
    let mut sum = (0, 0, 0);
    loop {
        let round = store.expire(now).await.unwrap();
        sum = (sum.0 + round.envelopes, sum.1 + round.invites, sum.2 + round.remembered_ids);
        if !round.more {
            return sum;
        }
    }
}
