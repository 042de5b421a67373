use crate::store::{Account, Invite, Registered, conformance::*};

pub(in crate::store) async fn what_is_registered_reads_back(store: AnyStore) {
    assert!(store.name_available(&name("alice")).await.unwrap());
    assert_eq!(store.opaque_record(&name("alice")).await.unwrap(), None);
    assert_eq!(store.account(&name("alice")).await.unwrap(), None);
    assert_eq!(store.device_lists(&name("alice"), 0, 16).await.unwrap(), None);
    assert_eq!(store.device(&name("alice"), device(1)).await.unwrap(), None);
    join(&store, "alice").await;

    let given = registration("alice", None);
    assert!(!store.name_available(&name("alice")).await.unwrap());
    assert_eq!(store.opaque_record(&name("alice")).await.unwrap(), Some(given.opaque_record));
    let expected = Account {
        display_name: given.display_name.clone(),
        account_key: given.account_key,
        admin: false,
        list: given.list.clone(),
    };
    assert_eq!(store.account(&name("alice")).await.unwrap(), Some(expected));
    let page = store.device_lists(&name("alice"), 0, 16).await.unwrap().unwrap();
    assert_eq!(
        (page.lists, page.more, page.display_name),
        (vec![given.list.signed], false, given.display_name)
    );
    let state = store.device(&name("alice"), device(1)).await.unwrap().unwrap();
    assert_eq!(state.signing_key, [1; 32]);
    assert_eq!((state.generation, state.next_seq, state.list_version), (0, 1, 1));
    assert_eq!((state.prekeys.one_time, state.prekeys.kem), (3, 3));
    assert_eq!(store.device(&name("alice"), device(2)).await.unwrap(), None);
    let statistics = store.statistics().await.unwrap();
    assert_eq!((statistics.accounts, statistics.devices, statistics.envelopes), (1, 1, 0));
    assert!(statistics.database_bytes > 0 && statistics.schema_version > 0);
}

pub(in crate::store) async fn r39_a_name_is_given_once(store: AnyStore) {
    store.create_invite(invite(1, 1)).await.unwrap();
    join(&store, "alice").await;
    let mut second = registration("alice", Some([1; 32]));
    second.account_key = [8; 32];
    assert_eq!(store.register(second).await.unwrap(), Registered::NameTaken);
    assert_eq!(store.account(&name("alice")).await.unwrap().unwrap().account_key, [9; 32]);
    // The invite was not used.
    assert_eq!(store.register(registration("bob", Some([1; 32]))).await.unwrap(), Registered::Done);
}

pub(in crate::store) async fn r42_an_invite_is_used_as_often_as_it_says(store: AnyStore) {
    assert!(store.create_invite(invite(1, 2)).await.unwrap());
    assert!(!store.create_invite(invite(1, 100)).await.unwrap());
    assert!(!store.create_invite(invite(2, 0)).await.unwrap());
    assert!(store.create_invite(Invite { admin: true, created_at: NOW + 1, ..invite(3, 1) }).await.unwrap());
    assert!(store.invite_usable([1; 32], NOW).await.unwrap());
    assert!(!store.invite_usable([2; 32], NOW).await.unwrap());
    assert!(store.invite_usable([1; 32], NOW + DAY - 1).await.unwrap());
    assert!(!store.invite_usable([1; 32], NOW + DAY).await.unwrap());

    let mut late = registration("late", Some([1; 32]));
    late.now = NOW + DAY;
    assert_eq!(store.register(late).await.unwrap(), Registered::InviteInvalid);
    for (account, expected) in
        [("ann", Registered::Done), ("ben", Registered::Done), ("cid", Registered::InviteInvalid)]
    {
        assert_eq!(
            store.register(registration(account, Some([1; 32]))).await.unwrap(),
            expected,
            "{account}"
        );
    }
    let left = store.invites(NOW, 10).await.unwrap();
    assert_eq!(left.iter().map(|invite| (invite.hash, invite.uses)).collect::<Vec<_>>(), [([3; 32], 1)]);
    assert_eq!(store.register(registration("dan", Some([3; 32]))).await.unwrap(), Registered::Done);
    assert!(store.account(&name("dan")).await.unwrap().unwrap().admin);
    assert!(!store.account(&name("ann")).await.unwrap().unwrap().admin);

    assert!(store.create_invite(invite(4, 5)).await.unwrap());
    assert!(store.revoke_invite([4; 32]).await.unwrap());
    assert!(!store.revoke_invite([4; 32]).await.unwrap());
    assert_eq!(store.register(registration("eve", Some([4; 32]))).await.unwrap(), Registered::InviteInvalid);
    for number in 10..20 {
        let made = Invite { created_at: NOW + u64::from(number), ..invite(number, 1) };
        assert!(store.create_invite(made).await.unwrap());
    }
    let oldest = store.invites(NOW, 3).await.unwrap();
    assert_eq!(oldest.iter().map(|invite| invite.hash[0]).collect::<Vec<_>>(), [10, 11, 12]);
    assert!(store.invites(NOW + DAY, 10).await.unwrap().is_empty());
}

pub(in crate::store) async fn nothing_of_a_refused_registration_remains(store: AnyStore) {
    assert_eq!(store.register(registration("eve", Some([7; 32]))).await.unwrap(), Registered::InviteInvalid);
    assert!(store.name_available(&name("eve")).await.unwrap());
    assert_eq!(store.account(&name("eve")).await.unwrap(), None);
    assert_eq!(store.statistics().await.unwrap().devices, 0);
}

fn invite(hash: u8, uses: u32) -> Invite {
    Invite { hash: [hash; 32], uses, created_at: NOW, expires_at: NOW + DAY, admin: false }
}
