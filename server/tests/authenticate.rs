//! The proof of a device, again and again; revocation; two connections a device.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Client, Fixture, Person, lifted, limited};
use subrosa_protocol::{ErrorCode, Username, frames::*};

#[tokio::test]
async fn a_proof_seen_on_one_connection_is_worth_nothing_on_another() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut victim = Client::connect(&relay).await;
    let seen = person.authenticate(1, &victim.exporter, &victim.nonce);

    let mut thief = Client::connect(&relay).await;
    let replayed = PreAuthRequest::Authenticate(seen.clone());
    assert_eq!(thief.pre_refused(replayed).await.code, ErrorCode::AuthenticationFailed);
    // The relay's nonce alone, or the exporter alone, does not make it right either.
    for (exporter, nonce) in [(victim.exporter, thief.nonce), (thief.exporter, victim.nonce)] {
        let proof = PreAuthRequest::Authenticate(person.authenticate(1, &exporter, &nonce));
        assert_eq!(thief.pre_refused(proof).await.code, ErrorCode::AuthenticationFailed);
    }
    assert_eq!(thief.closing().await, Some(CloseReason::Abuse), "three wrong proofs are enough");
    assert!(matches!(victim.pre(PreAuthRequest::Authenticate(seen)).await, Response::Authenticated(_)));
}

#[tokio::test]
async fn unknown_accounts_unknown_devices_and_wrong_proofs_get_the_same_bytes() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut frames = Vec::new();
    for change in 0..3 {
        let mut client = Client::connect(&relay).await;
        let mut proof = person.authenticate(1, &client.exporter, &client.nonce);
        match change {
            0 => proof.signature[0] ^= 1,
            1 => proof.account = Username::new("nobody").unwrap(),
            _ => proof.device = common::person::Device::id(2),
        }
        client.write(&PreAuthRequest::Authenticate(proof).to_raw(5).unwrap()).await;
        frames.push(client.frame().await.unwrap());
    }
    assert!(frames.iter().all(|frame| frame == &frames[0]), "{frames:?}");
    let Response::Error(error) = Response::from_raw(&frames[0]).unwrap() else { panic!() };
    assert_eq!(error.code, ErrorCode::AuthenticationFailed);
}

#[tokio::test]
async fn r7_two_connections_a_device_and_the_newer_wins() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut first = Client::of(&relay, &person, 1).await;
    let mut second = Client::of(&relay, &person, 1).await;
    let mut third = Client::of(&relay, &person, 1).await;
    assert_eq!(first.closing().await, Some(CloseReason::Replaced));
    assert!(second.fetch(0).await.envelopes.is_empty());
    assert!(third.fetch(0).await.envelopes.is_empty());
}

#[tokio::test]
async fn r7_the_account_has_a_limit_too() {
    let mut config = lifted();
    config.limits.connections_per_account = 1;
    let relay = Fixture::with(config).await;
    let person = Person::registered(&relay, "alice").await;
    let _held = Client::of(&relay, &person, 1).await;
    let mut second = Client::connect(&relay).await;
    let proof = PreAuthRequest::Authenticate(person.authenticate(1, &second.exporter, &second.nonce));
    assert_eq!(second.pre_refused(proof).await.code, ErrorCode::TooManyConnections);
}

#[tokio::test]
async fn the_relay_asks_for_the_proof_again_and_the_connection_goes_on() {
    let relay = Fixture::with(limited(|limits| limits.proof_lifetime_s = 1)).await;
    let person = Person::registered(&relay, "alice").await;
    let mut client = Client::of(&relay, &person, 1).await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let Push::ReauthChallenge(challenge) = client.push().await else { panic!() };
        assert_eq!(challenge.within_s, 30);
        let nonce: [u8; 32] = *challenge.nonce;
        nonces.push(nonce);
        let signature = person.auth_signature(1, &client.exporter, &nonce).into();
        let answer = client.ask(Request::Reauthenticate(Reauthenticate { signature })).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
        // Requests go on meanwhile.
        assert!(client.fetch(0).await.envelopes.is_empty());
    }
    assert_ne!(nonces[0], nonces[1]);
    // A proof that nobody asked for is refused and changes nothing.
    let signature = person.auth_signature(1, &client.exporter, &nonces[1]).into();
    let refused = client.refused(Request::Reauthenticate(Reauthenticate { signature })).await;
    assert_eq!(refused.code, ErrorCode::BadRequest);
    common::quiet(&relay);
}

#[tokio::test]
async fn a_wrong_old_or_missing_proof_ends_the_connection() {
    let relay = Fixture::with(limited(|limits| {
        limits.proof_lifetime_s = 1;
        limits.proof_deadline_s = 1;
    }))
    .await;
    let person = Person::registered(&relay, "alice").await;
    // The first proof's nonce again.
    let mut replaying = Client::of(&relay, &person, 1).await;
    let Push::ReauthChallenge(_) = replaying.push().await else { panic!() };
    let signature = person.auth_signature(1, &replaying.exporter, &replaying.nonce).into();
    let refused = replaying.refused(Request::Reauthenticate(Reauthenticate { signature })).await;
    assert_eq!(refused.code, ErrorCode::AuthenticationFailed);
    assert_eq!(replaying.closing().await, Some(CloseReason::ProofExpired));

    let mut silent = Client::of(&relay, &person, 1).await;
    let began = std::time::Instant::now();
    assert_eq!(silent.closing().await, Some(CloseReason::ProofExpired));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1800) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_revoked_device_is_gone_at_once_and_the_others_are_told() {
    let relay = Fixture::open().await;
    let (mut person, bob) =
        (Person::registered(&relay, "alice").await, Person::registered(&relay, "bobby").await);
    // Three devices, written down as if they had logged in.
    for number in [2, 3] {
        let device = common::person::Device::new(number);
        add_device(&relay, &mut person, device).await;
    }
    let mut one = Client::of(&relay, &person, 1).await;
    let mut two = Client::of(&relay, &person, 2).await;
    let mut three = Client::of(&relay, &person, 3).await;
    let mut sender = Client::of(&relay, &bob, 1).await;
    assert!(matches!(sender.send_envelopes(&person, 2, &[1]).await, Response::EnvelopeAccepted(_)));
    two.push().await;

    let list = person.next_list(&[2], None);
    let publish = DeviceListPublish { device_list: person.sign(&list) };
    assert!(matches!(one.ask(Request::DeviceListPublish(publish.clone())).await, Response::Done(_)));
    assert_eq!(two.closing().await, Some(CloseReason::Revoked));
    assert_eq!(three.push().await, Push::DeviceListChanged(DeviceListChanged { version: 4 }));
    assert_eq!(one.refused(Request::DeviceListPublish(publish)).await.code, ErrorCode::Conflict, "again");
    let old = person.list.clone();
    person.list = list;

    let mut back = Client::connect(&relay).await;
    let proof = PreAuthRequest::Authenticate(person.authenticate(2, &back.exporter, &back.nonce));
    assert_eq!(back.pre_refused(proof).await.code, ErrorCode::AuthenticationFailed);
    assert_eq!(common::client::code(sender.send_envelopes(&person, 2, &[2]).await), ErrorCode::NotFound);

    // A list that adds is not for publishing; one that goes back is no successor.
    let four = common::person::Device::new(4);
    let adding = DeviceListPublish { device_list: person.sign(&person.next_list(&[], Some(&four))) };
    assert_eq!(one.refused(Request::DeviceListPublish(adding)).await.code, ErrorCode::Refused);
    let back = DeviceListPublish { device_list: person.sign(&old) };
    assert_eq!(one.refused(Request::DeviceListPublish(back)).await.code, ErrorCode::Conflict);

    // A device that removes itself gets its answer first.
    let alone = DeviceListPublish { device_list: person.sign(&person.next_list(&[3], None)) };
    assert!(matches!(three.ask(Request::DeviceListPublish(alone)).await, Response::Done(_)));
    assert_eq!(three.closing().await, Some(CloseReason::Revoked));
    common::quiet(&relay);
}

/// Adds a device as `login.rs` shows. The account's record is replaced by that of a passphrase of the test's.
async fn add_device(relay: &Fixture, person: &mut Person, device: common::person::Device) {
    use common::{client::IntoBounded, person};
    let number = device.number;
    let list = person.next_list(&[], Some(&device));
    let mut client = Client::connect(relay).await;
    let (state, request) = person::registration_request(b"x");
    let setup = std::fs::read(relay.data_dir().join("opaque-setup")).unwrap();
    let opaque = subrosa_verify::opaque::RelayOpaque::from_bytes(&setup).unwrap();
    let response = opaque.registration_response(person.name.as_str(), &request).unwrap();
    let record = person::record(state, person.name.as_str(), b"x", &response);
    let database = rusqlite::Connection::open(relay.data_dir().join("rosad.db")).unwrap();
    let changed = database
        .execute("UPDATE accounts SET opaque_record = ?1 WHERE name = ?2", (&record, person.name.as_str()))
        .unwrap();
    assert_eq!(changed, 1);
    let (state, ke1) = person::ke1(b"x");
    let start = LoginStart { account: person.name.clone(), opaque: ke1.try_into_bounded() };
    let Response::LoginChallenge(challenge) = client.pre(PreAuthRequest::LoginStart(start)).await else {
        panic!()
    };
    let ke3 = person::ke3(state, person.name.as_str(), b"x", &challenge.opaque, &client.exporter).unwrap();
    let finish = LoginFinish { opaque: ke3.try_into_bounded(), renew: None };
    assert!(matches!(client.pre(PreAuthRequest::LoginFinish(finish)).await, Response::LoginGranted(_)));
    person.devices.push(device);
    let add = DeviceAdd {
        device_list: person.sign(&list),
        device: person::Device::id(number),
        prekeys: person.prekeys(number),
    };
    assert!(matches!(client.pre(PreAuthRequest::DeviceAdd(add)).await, Response::Done(_)));
    person.list = list;
}
