use subrosa_protocol::frames::PrekeyCounts;

use crate::store::{Claim, ClaimedBundle, PrekeyRefill, Uploaded, conformance::*};

pub(in crate::store) async fn r37_one_time_prekeys_are_handed_out_once_and_the_reserve_is_kept(
    store: AnyStore,
) {
    join(&store, "alice").await;
    let first = claim(&store, 0).await;
    assert_eq!(numbers(&first), (1, Some(1), (4, 1)));
    assert_eq!(first.left, PrekeyCounts { one_time: 2, kem: 2 });
    // Nothing but the last-resort prekey, and nothing used up by it.
    assert_eq!(numbers(&claim(&store, Claim::NO_ONE_TIME).await), (1, None, (3, 1)));
    // Two are left: a claim that must leave two gets none, one that must leave one gets one.
    assert_eq!(numbers(&claim(&store, 2).await), (1, None, (3, 1)));
    assert_eq!(numbers(&claim(&store, 1).await), (1, Some(2), (4, 2)));
    assert_eq!(numbers(&claim(&store, 1).await), (1, None, (3, 1)));
    assert_eq!(numbers(&claim(&store, 0).await), (1, Some(3), (4, 3)));
    // Empty: a bundle there is all the same, again and again.
    for _ in 0..3 {
        let bundle = claim(&store, 0).await;
        assert_eq!(numbers(&bundle), (1, None, (3, 1)));
        assert_eq!(bundle.left, PrekeyCounts { one_time: 0, kem: 0 });
    }

    join(&store, "bob").await;
    let ask = |account: &str, devices: &[u32]| {
        let devices = devices.iter().map(|number| device(*number)).collect();
        store.claim_bundles(Claim { account: name(account), devices, leave: 0 })
    };
    // A device asked for twice gives once; an unknown one is left out; an unknown account is told apart.
    let bundles = ask("bob", &[1, 9, 1]).await.unwrap().unwrap();
    assert_eq!(bundles.len(), 1);
    assert_eq!(bundles[0].left, PrekeyCounts { one_time: 2, kem: 2 });
    assert_eq!(ask("bob", &[7]).await.unwrap(), Some(vec![]));
    assert_eq!(ask("nobody", &[1]).await.unwrap(), None);
}

pub(in crate::store) async fn r21_an_upload_may_be_repeated_and_a_used_number_never_returns(store: AnyStore) {
    join(&store, "alice").await;
    let batch = PrekeyRefill { one_time: many(2, 4..=8), kem: many(4, 4..=6), ..empty() };
    for _ in 0..3 {
        assert_eq!(upload(&store, batch.clone()).await, counts(8, 6));
    }
    for expected in 1..=5 {
        assert_eq!(numbers(&claim(&store, 0).await), (1, Some(expected), (4, expected)));
    }
    // 4 and 5 were handed out meanwhile: they do not come back, nor do those of the registration.
    assert_eq!(upload(&store, batch.clone()).await, counts(3, 1));
    let again = PrekeyRefill { one_time: many(2, 1..=8), kem: many(4, 1..=6), ..empty() };
    assert_eq!(upload(&store, again).await, counts(3, 1));
    // Out of order within one upload, and doubled, is fine.
    let mut mixed = many(2, 9..=12);
    mixed.reverse();
    mixed.push(prekey(2, 10));
    assert_eq!(upload(&store, PrekeyRefill { one_time: mixed, ..empty() }).await, counts(7, 1));
    // One number for two prekeys: refused whole, whether the other one is stored or beside it.
    let mut forged = prekey(2, 7);
    forged.bytes[100] ^= 1;
    let with_stored = PrekeyRefill { one_time: vec![forged.clone(), prekey(2, 50)], ..empty() };
    assert_eq!(upload(&store, with_stored).await, Uploaded::Conflict);
    forged.key_id = 60;
    let with_each_other =
        PrekeyRefill { one_time: vec![forged, prekey(2, 60)], kem: many(4, 70..=70), ..empty() };
    assert_eq!(upload(&store, with_each_other).await, Uploaded::Conflict);
    assert_eq!(upload(&store, empty()).await, counts(7, 1));
    for expected in 6..=12 {
        assert_eq!(numbers(&claim(&store, 0).await).1, Some(expected));
    }
    assert_eq!(upload(&store, PrekeyRefill { device: device(2), ..empty() }).await, Uploaded::NotFound);
    assert_eq!(upload(&store, PrekeyRefill { account: name("nobody"), ..empty() }).await, Uploaded::NotFound);
}

pub(in crate::store) async fn r36_two_sets_at_most(store: AnyStore) {
    join(&store, "alice").await;
    assert_eq!(upload(&store, PrekeyRefill { one_time: many(2, 4..=103), ..empty() }).await, counts(103, 3));
    let too_many = PrekeyRefill { one_time: many(2, 104..=201), signed: Some(prekey(1, 2)), ..empty() };
    assert_eq!(upload(&store, too_many).await, Uploaded::TooMany);
    assert_eq!(numbers(&claim(&store, Claim::NO_ONE_TIME).await).0, 1);
    assert_eq!(
        upload(&store, PrekeyRefill { one_time: many(2, 104..=200), ..empty() }).await,
        counts(200, 3)
    );
    assert_eq!(upload(&store, PrekeyRefill { kem: many(4, 4..=53), ..empty() }).await, counts(200, 53));
    assert_eq!(store.prekey_counts(&name("alice"), device(1)).await.unwrap().unwrap().one_time, 200);
}

pub(in crate::store) async fn the_newest_signed_prekey_stays(store: AnyStore) {
    join(&store, "alice").await;
    let lasting = |number| PrekeyRefill {
        signed: Some(prekey(1, number)),
        last_resort: Some(prekey(3, number)),
        ..empty()
    };
    for (uploaded, current) in [(5, 5), (4, 5), (5, 5), (6, 6), (1, 6)] {
        assert_eq!(upload(&store, lasting(uploaded)).await, counts(3, 3));
        assert_eq!(numbers(&claim(&store, Claim::NO_ONE_TIME).await), (current, None, (3, current)));
    }
    let mut forged = prekey(3, 6);
    forged.bytes[1000] ^= 1;
    let refill = PrekeyRefill { signed: Some(prekey(1, 7)), last_resort: Some(forged), ..empty() };
    assert_eq!(upload(&store, refill).await, Uploaded::Conflict);
    assert_eq!(numbers(&claim(&store, Claim::NO_ONE_TIME).await), (6, None, (3, 6)));
}

async fn claim(store: &AnyStore, leave: u32) -> ClaimedBundle {
    let claim = Claim { account: name("alice"), devices: vec![device(1)], leave };
    store.claim_bundles(claim).await.unwrap().unwrap().remove(0)
}

/// Numbers of the signed prekey, the one-time prekey, and kind and number of the ML-KEM prekey.
fn numbers(claimed: &ClaimedBundle) -> (u32, Option<u32>, (u8, u32)) {
    let bundle = &claimed.bundle;
    assert_eq!(bundle.signed[116], 1);
    assert!(bundle.one_time.iter().all(|prekey| prekey[116] == 2));
    let one_time = bundle.one_time.as_ref().map(|prekey| number_of(&prekey[..]));
    (number_of(&bundle.signed[..]), one_time, (bundle.kem[1268], number_of(&bundle.kem[..])))
}

fn empty() -> PrekeyRefill {
    PrekeyRefill {
        account: name("alice"),
        device: device(1),
        signed: None,
        last_resort: None,
        one_time: vec![],
        kem: vec![],
    }
}

async fn upload(store: &AnyStore, refill: PrekeyRefill) -> Uploaded {
    store.upload_prekeys(refill).await.unwrap()
}

fn counts(one_time: u32, kem: u32) -> Uploaded {
    Uploaded::Done(PrekeyCounts { one_time, kem })
}
