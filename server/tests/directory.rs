//! Looking up accounts, and claiming and uploading prekeys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{collections::HashSet, time::Duration};

use common::{
    Client, Fixture, Person,
    client::BoundedFrom,
    limited,
    person::{Device, array},
};
use subrosa_protocol::{ErrorCode, Username, frames::*};
use subrosa_server::limits::Quota;
use subrosa_verify::prekey::PrekeyKind;

fn fetch(name: &str, since: u64) -> Request {
    Request::DeviceListFetch(DeviceListFetch { account: Username::new(name).unwrap(), since })
}

fn claim(name: &str, device: u32) -> Request {
    let devices = BoundedFrom::bounded(vec![Device::id(device)]);
    Request::PrekeyClaim(PrekeyClaim { account: Username::new(name).unwrap(), devices })
}

async fn lists(client: &mut Client, name: &str, since: u64) -> DeviceLists {
    match client.ask(fetch(name, since)).await {
        Response::DeviceLists(lists) => lists,
        other => panic!("{other:?}"),
    }
}

async fn claimed(client: &mut Client, name: &str, device: u32) -> Vec<DeviceBundle> {
    match client.ask(claim(name, device)).await {
        Response::PrekeyBundles(bundles) => bundles.bundles.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn device_lists_come_in_order_and_from_where_one_asks() {
    let relay = Fixture::open().await;
    let mut alice = Person::registered(&relay, "alice").await;
    let bob = Person::registered(&relay, "bobby").await;
    let mut owner = Client::of(&relay, &alice, 1).await;
    let mut signed = vec![alice.signed_list()];
    // Lists that change nothing but the version, more than fit one page.
    for _ in 0..17 {
        let list = alice.next_list(&[], None);
        let device_list = alice.sign(&list);
        signed.push(device_list.clone());
        let publish = Request::DeviceListPublish(DeviceListPublish { device_list });
        assert!(matches!(owner.ask(publish).await, Response::Done(_)));
        alice.list = list;
    }
    let mut client = Client::of(&relay, &bob, 1).await;
    let page = lists(&mut client, "alice", 0).await;
    assert_eq!((page.lists.to_vec(), page.more), (signed[..16].to_vec(), true));
    let page = lists(&mut client, "alice", 16).await;
    assert_eq!((page.lists.to_vec(), page.more), (signed[16..].to_vec(), false));
    let page = lists(&mut client, "alice", 18).await;
    assert!(page.lists.is_empty() && !page.more);
    assert!(lists(&mut client, "alice", u64::MAX).await.lists.is_empty());
}

#[tokio::test]
async fn r38_lookups_are_limited_by_account_and_network_and_cost_nothing_twice() {
    let relay = Fixture::with(limited(|limits| {
        limits.lookups_per_account = Quota::new(3, 1, Duration::from_secs(3600));
        limits.lookups_per_network = Quota::new(4, 1, Duration::from_secs(3600));
    }))
    .await;
    let (alice, bob) = (Person::registered(&relay, "alice").await, Person::registered(&relay, "bobby").await);
    let mut client = Client::connect_from(&relay, 9).await;
    client.authenticate(&alice, 1).await;
    for _ in 0..20 {
        lists(&mut client, "bobby", 0).await;
        lists(&mut client, "alice", 0).await;
    }
    // Whether there is such a name or not, asking for a new one costs the same; so does claiming or sending.
    assert_eq!(client.refused(fetch("nobody", 0)).await.code, ErrorCode::NotFound);
    let nobody = Person::new("nobody2");
    let missing = client.send_envelopes(&nobody, 1, &[1]).await;
    assert_eq!(common::client::code(missing), ErrorCode::NotFound);
    for request in [fetch("nobody3", 0), claim("nobody3", 1), common::client::envelopes(&nobody, 1, &[2])] {
        let refused = client.refused(request).await;
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert!(refused.retry_after_ms.unwrap() > 3_000_000);
    }
    lists(&mut client, "bobby", 0).await;
    // Another account of the same network has what the network has left: one.
    let mut other = Client::connect_from(&relay, 9).await;
    other.authenticate(&bob, 1).await;
    assert_eq!(other.refused(fetch("nobody4", 0)).await.code, ErrorCode::NotFound);
    assert_eq!(other.refused(fetch("nobody5", 0)).await.code, ErrorCode::RateLimited);
}

#[tokio::test]
async fn r38_an_unknown_name_gets_the_same_bytes_whatever_is_asked() {
    let relay = Fixture::open().await;
    let alice = Person::registered(&relay, "alice").await;
    let mut client = Client::of(&relay, &alice, 1).await;
    let nobody = Person::new("nobody");
    let mut frames = Vec::new();
    for request in [
        fetch("nobody", 0),
        fetch("nobody", 7),
        claim("nobody", 1),
        common::client::envelopes(&nobody, 1, &[1]),
    ] {
        client.write(&request.to_raw(5).unwrap()).await;
        frames.push(client.frame().await.unwrap());
    }
    assert!(frames.iter().all(|frame| frame == &frames[0]), "{frames:?}");
}

#[tokio::test]
async fn each_one_time_prekey_is_handed_out_once_and_then_the_last_resort() {
    let relay = Fixture::open().await;
    let mut alice = Person::new("alice");
    alice.one_time_count = 23;
    alice.register_on(&relay).await;
    let bob = Person::registered(&relay, "bobby").await;
    let mut owner = Client::of(&relay, &alice, 1).await;
    let mut client = Client::of(&relay, &bob, 1).await;
    let mut seen = HashSet::new();
    // R37: a stranger gets three and leaves twenty.
    for _ in 0..3 {
        let bundle = claimed(&mut client, "alice", 1).await.remove(0);
        assert!(seen.insert(bundle.one_time.unwrap().to_vec()) && seen.insert(bundle.kem.to_vec()));
    }
    let bundle = claimed(&mut client, "alice", 1).await.remove(0);
    assert_eq!((bundle.one_time, bundle.kem), (None, alice.prekeys(1).last_resort));
    assert_eq!(bundle.signed, alice.prekeys(1).signed);
    // Alice writes to bob: now he is her contact and may have the rest.
    assert!(matches!(owner.send_envelopes(&bob, 1, &[1]).await, Response::EnvelopeAccepted(_)));
    for left in (0..20).rev() {
        let bundle = claimed(&mut client, "alice", 1).await.remove(0);
        assert!(seen.insert(bundle.one_time.unwrap().to_vec()) && seen.insert(bundle.kem.to_vec()));
        assert_eq!(owner.push().await, Push::PrekeysLow(PrekeyCounts { one_time: left, kem: left }));
    }
    let bundle = claimed(&mut client, "alice", 1).await.remove(0);
    assert_eq!((bundle.one_time, bundle.kem), (None, alice.prekeys(1).last_resort));
    assert!(claimed(&mut client, "alice", 2).await.is_empty(), "no such device");
    common::quiet(&relay);
}

#[tokio::test]
async fn r37_claims_are_limited_by_asker_and_by_device() {
    let relay = Fixture::with(limited(|limits| {
        limits.prekey_claims_per_device = Quota::new(8, 1, Duration::from_secs(3600));
    }))
    .await;
    let alice = Person::registered(&relay, "alice").await;
    let (bob, carol) = (Person::registered(&relay, "bobby").await, Person::registered(&relay, "carol").await);
    let mut bobs = Client::of(&relay, &bob, 1).await;
    for _ in 0..6 {
        claimed(&mut bobs, "alice", 1).await;
    }
    let refused = bobs.refused(claim("alice", 1)).await;
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after_ms.unwrap();
    assert!((500_000..=600_000).contains(&wait), "{wait}");
    // What strangers may claim together is used up by the next one.
    let mut carols = Client::of(&relay, &carol, 1).await;
    claimed(&mut carols, "alice", 1).await;
    claimed(&mut carols, "alice", 1).await;
    assert_eq!(carols.refused(claim("alice", 1)).await.code, ErrorCode::RateLimited);
    // A contact is not affected by what strangers did.
    let mut owner = Client::of(&relay, &alice, 1).await;
    assert!(matches!(owner.send_envelopes(&carol, 1, &[1]).await, Response::EnvelopeAccepted(_)));
    claimed(&mut carols, "alice", 1).await;
}

#[tokio::test]
async fn uploads_are_repeatable_verified_and_bounded() {
    let relay = Fixture::open().await;
    let alice = Person::registered(&relay, "alice").await;
    let mut client = Client::of(&relay, &alice, 1).await;
    let upload = |ids: &[u32]| PrekeyUpload {
        signed: None,
        last_resort: None,
        one_time: BoundedFrom::bounded(ids.iter().map(|id| alice.ec(1, *id)).collect()),
        kem: BoundedFrom::bounded(ids.iter().map(|id| alice.kem(1, *id)).collect()),
    };
    let counts = |count| Response::PrekeyCounts(PrekeyCounts { one_time: count, kem: count });
    assert_eq!(client.ask(Request::PrekeyStatus(Empty {})).await, counts(3));
    for _ in 0..2 {
        assert_eq!(client.ask(Request::PrekeyUpload(upload(&[4, 5]))).await, counts(5), "the same again");
    }
    // New signed and last-resort prekeys take the old ones' places.
    let rotated = PrekeyUpload {
        signed: Some(array(alice.prekey(1, PrekeyKind::SignedEc, 2))),
        last_resort: Some(array(alice.prekey(1, PrekeyKind::LastResortKem, 2))),
        ..upload(&[])
    };
    assert_eq!(client.ask(Request::PrekeyUpload(rotated.clone())).await, counts(5));
    let bob = Person::registered(&relay, "bobby").await;
    let mut bobs = Client::of(&relay, &bob, 1).await;
    assert_eq!(claimed(&mut bobs, "alice", 1).await[0].signed, rotated.signed.unwrap());

    let mut forged = upload(&[6]);
    let mut bytes = alice.ec(1, 6);
    bytes[116] ^= 1;
    forged.one_time = BoundedFrom::bounded(vec![bytes]);
    assert_eq!(client.refused(Request::PrekeyUpload(forged)).await.code, ErrorCode::InvalidSignature);
    let mut other = upload(&[]);
    other.one_time = BoundedFrom::bounded(vec![array(alice.prekey(1, PrekeyKind::SignedEc, 9))]);
    assert_eq!(client.refused(Request::PrekeyUpload(other)).await.code, ErrorCode::InvalidSignature);
    let mut doubled = upload(&[]);
    doubled.one_time = BoundedFrom::bounded(vec![alice.ec(1, 7), alice.ec(1, 7)]);
    assert_eq!(client.refused(Request::PrekeyUpload(doubled)).await.code, ErrorCode::BadRequest);
    assert_eq!(client.ask(Request::PrekeyStatus(Empty {})).await, counts(5));

    let many: Vec<u32> = (10..60).collect();
    let more: Vec<u32> = (60..110).collect();
    let past: Vec<u32> = (110..160).collect();
    let still: Vec<u32> = (160..210).collect();
    for ids in [&many, &more, &past] {
        assert!(matches!(client.ask(Request::PrekeyUpload(upload(ids))).await, Response::PrekeyCounts(_)));
    }
    assert_eq!(client.refused(Request::PrekeyUpload(upload(&still))).await.code, ErrorCode::TooLarge);
    common::quiet(&relay);
}
