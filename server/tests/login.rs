//! Login with the passphrase, and adding devices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{
    Client, Fixture, Person,
    client::{IntoBounded, code},
    limited,
    person::{Device, ke1, ke3},
};
use subrosa_protocol::{ErrorCode, Username, frames::*};
use subrosa_server::limits::Quota;

const PASSPHRASE: &[u8] = b"correct horse";

async fn start(client: &mut Client, name: &str, ke1: Vec<u8>) -> Response {
    let account = Username::new(name).unwrap();
    client.pre(PreAuthRequest::LoginStart(LoginStart { account, opaque: ke1.try_into_bounded() })).await
}

async fn finish(client: &mut Client, ke3: Vec<u8>, renew: Option<u32>) -> Response {
    let renew = renew.map(Device::id);
    client.pre(PreAuthRequest::LoginFinish(LoginFinish { opaque: ke3.try_into_bounded(), renew })).await
}

/// Logs in; what a wrong passphrase makes of it is 64 bytes that are no proof.
async fn login(client: &mut Client, name: &str, passphrase: &[u8], renew: Option<u32>) -> Response {
    let (state, message) = ke1(passphrase);
    let ke2 = match start(client, name, message).await {
        Response::LoginChallenge(challenge) => challenge.opaque,
        other => return other,
    };
    assert_eq!(ke2.len(), 320);
    let ke3 = ke3(state, name, passphrase, &ke2, &client.exporter).unwrap_or_else(|| vec![7; 64]);
    finish(client, ke3, renew).await
}

/// A login that fails, without the time that stretching a passphrase takes.
async fn fail(client: &mut Client, name: &str) {
    let (_, message) = ke1(b"wrong");
    let answer = start(client, name, message).await;
    assert!(matches!(answer, Response::LoginChallenge(_)), "{answer:?}");
    assert_eq!(code(finish(client, vec![7; 64], None).await), ErrorCode::LoginFailed);
}

/// Adds a device to a person's account on a connection that has logged in.
async fn add(client: &mut Client, person: &mut Person, device: Device) -> Response {
    let list = person.next_list(&[], Some(&device));
    let number = device.number;
    person.devices.push(device);
    client.stage(person, number, vec![1, 2], vec![1, 2]).await;
    let request = DeviceAdd {
        device_list: person.sign(&list),
        device: Device::id(number),
        prekeys: person.prekeys(number),
    };
    let answer = client.pre(PreAuthRequest::DeviceAdd(request)).await;
    if matches!(answer, Response::Done(_)) {
        person.list = list;
    }
    answer
}

#[tokio::test]
async fn a_second_device_logs_in_is_added_and_authenticates_and_the_first_is_told() {
    let relay = Fixture::open().await;
    let mut person = Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut first = Client::of(&relay, &person, 1).await;

    let mut client = Client::connect(&relay).await;
    let Response::LoginGranted(granted) = login(&mut client, "alice", PASSPHRASE, None).await else {
        panic!()
    };
    assert_eq!(granted.device_list, person.signed_list());
    assert!(matches!(add(&mut client, &mut person, Device::new(2)).await, Response::Done(_)));
    let answer = client.authenticate(&person, 2).await;
    assert_eq!((answer.list_version, answer.next_seq), (2, 1));
    assert_eq!(answer.prekeys, PrekeyCounts { one_time: 2, kem: 2 });
    assert_eq!(first.push().await, Push::DeviceListChanged(DeviceListChanged { version: 2 }));
    common::quiet(&relay);
}

#[tokio::test]
async fn r40_a_wrong_passphrase_and_an_unknown_name_get_the_same_bytes() {
    let relay = Fixture::open().await;
    Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut answers = Vec::new();
    for (name, passphrase) in [("alice", &b"wrong"[..]), ("nobody", PASSPHRASE), ("nobody", b"wrong")] {
        let mut client = Client::connect(&relay).await;
        let (state, message) = ke1(passphrase);
        let Response::LoginChallenge(challenge) = start(&mut client, name, message).await else { panic!() };
        assert_eq!(challenge.opaque.len(), 320);
        assert!(ke3(state, name, passphrase, &challenge.opaque, &client.exporter).is_none());
        let id = client.id();
        let request = LoginFinish { opaque: vec![9; 64].try_into_bounded(), renew: None };
        client.write(&PreAuthRequest::LoginFinish(request).to_raw(id).unwrap()).await;
        answers.push(client.frame().await.unwrap());
    }
    assert!(answers.iter().all(|answer| (answer.kind, &answer.body) == (answers[0].kind, &answers[0].body)));
    let Response::Error(error) = Response::from_raw(&answers[0]).unwrap() else { panic!() };
    assert_eq!(error.code, ErrorCode::LoginFailed);
}

#[tokio::test]
async fn r40_a_login_belongs_to_its_connection() {
    let relay = Fixture::open().await;
    Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut client = Client::connect(&relay).await;
    let (state, message) = ke1(PASSPHRASE);
    let Response::LoginChallenge(challenge) = start(&mut client, "alice", message).await else { panic!() };
    assert!(ke3(state, "alice", PASSPHRASE, &challenge.opaque, &[0; 32]).is_none(), "another connection");
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let relay = Fixture::open().await;
    let mut person = Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut client = Client::connect(&relay).await;
    assert_eq!(code(finish(&mut client, vec![0; 64], None).await), ErrorCode::BadRequest);
    let device = Device::new(2);
    let list = person.next_list(&[], Some(&device));
    person.devices.push(device);
    let add = |person: &Person| {
        let device_list = person.sign(&list);
        PreAuthRequest::DeviceAdd(DeviceAdd {
            device_list,
            device: Device::id(2),
            prekeys: person.prekeys(2),
        })
    };
    assert_eq!(client.pre_refused(add(&person)).await.code, ErrorCode::BadRequest, "not logged in");
    // A login that failed permits nothing.
    assert_eq!(code(login(&mut client, "alice", b"wrong", None).await), ErrorCode::LoginFailed);
    assert_eq!(client.pre_refused(add(&person)).await.code, ErrorCode::BadRequest);
    assert_eq!(
        code(finish(&mut client, vec![0; 64], None).await),
        ErrorCode::BadRequest,
        "a state is used once"
    );
}

#[tokio::test]
async fn r28_device_lists_that_do_not_follow_are_refused_and_six_are_the_most() {
    let relay = Fixture::open().await;
    let mut person = Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut client = Client::connect(&relay).await;
    assert!(matches!(login(&mut client, "alice", PASSPHRASE, None).await, Response::LoginGranted(_)));
    let request = |person: &Person, list| {
        let device_list = person.sign(&list);
        PreAuthRequest::DeviceAdd(DeviceAdd {
            device_list,
            device: Device::id(2),
            prekeys: person.prekeys(2),
        })
    };
    let second = Device::new(2);
    person.devices.push(second.clone());
    let mut forked = person.next_list(&[], Some(&second));
    forked.prev_hash = [9; 32];
    assert_eq!(client.pre_refused(request(&person, forked)).await.code, ErrorCode::Conflict);
    let mut skipped = person.next_list(&[], Some(&second));
    skipped.version = 5;
    assert_eq!(client.pre_refused(request(&person, skipped)).await.code, ErrorCode::Conflict);
    let swapped = person.next_list(&[1], Some(&second));
    assert_eq!(client.pre_refused(request(&person, swapped)).await.code, ErrorCode::InvalidSignature);
    let same = person.next_list(&[], None);
    assert_eq!(client.pre_refused(request(&person, same)).await.code, ErrorCode::InvalidSignature);
    let foreign = Person::new("alice");
    let other_key = foreign.next_list(&[], Some(&second));
    let refused = client.pre_refused(PreAuthRequest::DeviceAdd(DeviceAdd {
        device_list: foreign.sign(&other_key),
        device: Device::id(2),
        prekeys: person.prekeys(2),
    }));
    assert_eq!(refused.await.code, ErrorCode::Conflict, "another account key");
    person.devices.pop();

    for number in 2..=6 {
        let answer = add(&mut client, &mut person, Device::new(number)).await;
        assert!(matches!(answer, Response::Done(_)), "{number}: {answer:?}");
    }
    let seventh = person.next_list(&[], None);
    assert_eq!(client.pre_refused(request(&person, seventh)).await.code, ErrorCode::Refused);
    Client::of(&relay, &person, 6).await;
    common::quiet(&relay);
}

#[tokio::test]
async fn r41_delays_grow_logins_are_limited_and_nobody_is_locked_out() {
    let relay = Fixture::with(limited(|limits| {
        limits.logins_per_account = Quota::new(8, 1, Duration::from_secs(3600));
    }))
    .await;
    let person = Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    for name in ["alice", "nobody"] {
        let mut waits = Vec::new();
        for _ in 0..2 {
            // Two attempts fail; after the second the delay has doubled.
            let mut client = Client::connect_from(&relay, 77).await;
            fail(&mut client, name).await;
            let (_, message) = ke1(b"wrong");
            let Response::Error(error) = start(&mut client, name, message).await else { panic!() };
            assert_eq!(error.code, ErrorCode::RateLimited);
            waits.push(error.retry_after_ms.unwrap());
            tokio::time::sleep(Duration::from_millis(waits[waits.len() - 1])).await;
        }
        assert!(waits[0] <= 1000 && waits[1] > 500 && waits[1] <= 2000, "{name}: {waits:?}");
    }
    // From other networks the whole account's budget is used up, by somebody who means harm.
    let mut refused = None;
    for network in 100..110 {
        let mut client = Client::connect_from(&relay, network).await;
        let (_, message) = ke1(b"wrong");
        if let Response::Error(error) = start(&mut client, "alice", message).await {
            refused = Some(error.code);
            break;
        }
    }
    assert_eq!(refused, Some(ErrorCode::RateLimited));
    // Devices that are logged in do not notice.
    let mut client = Client::of(&relay, &person, 1).await;
    assert!(client.fetch(0).await.envelopes.is_empty());
    common::quiet(&relay);
}

#[tokio::test]
async fn a_device_unused_for_too_long_logs_in_with_the_passphrase_again() {
    let relay = Fixture::open().await;
    let person = Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let relay = relay
        .restart(common::lifted(), |data| {
            let database = rusqlite::Connection::open(data.join("rosad.db")).unwrap();
            let changed = database.execute("UPDATE devices SET last_seen_day = 0", []).unwrap();
            assert_eq!(changed, 1);
        })
        .await;
    let mut client = Client::connect(&relay).await;
    let proof = person.authenticate(1, &client.exporter, &client.nonce);
    assert_eq!(client.pre_refused(PreAuthRequest::Authenticate(proof)).await.code, ErrorCode::LoginRequired);
    // A wrong proof does not learn that much.
    let mut wrong = person.authenticate(1, &client.exporter, &client.nonce);
    wrong.signature[0] ^= 1;
    let refused = client.pre_refused(PreAuthRequest::Authenticate(wrong)).await;
    assert_eq!(refused.code, ErrorCode::AuthenticationFailed);

    let mut client = Client::connect(&relay).await;
    let answer = login(&mut client, "alice", PASSPHRASE, Some(1)).await;
    assert!(matches!(answer, Response::LoginGranted(_)), "{answer:?}");
    client.authenticate(&person, 1).await;
}

/// From `LoginStart` to the refusal of `LoginFinish`, names known and unknown in turn. The client's own work is not measured.
#[tokio::test]
async fn r40_unknown_names_take_as_long_as_wrong_passphrases() {
    let relay = Fixture::open().await;
    Person::with_passphrase(&relay, "alice", PASSPHRASE).await;
    let mut last = (0.0, 0.0);
    // A busy machine may spoil a round, and the next ones, not all of them.
    for _ in 0..10 {
        let mut client = Client::connect(&relay).await;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            for (name, times) in [("alice", &mut known), ("nobody", &mut unknown)] {
                let (_, message) = ke1(b"wrong");
                let began = std::time::Instant::now();
                assert!(matches!(start(&mut client, name, message).await, Response::LoginChallenge(_)));
                assert_eq!(code(finish(&mut client, vec![7; 64], None).await), ErrorCode::LoginFailed);
                times.push(began.elapsed().as_secs_f64());
            }
        }
        known.sort_by(f64::total_cmp);
        unknown.sort_by(f64::total_cmp);
        last = (known[150], unknown[150]);
        if (last.0 - last.1).abs() <= 0.05 * last.0 {
            return;
        }
    }
    panic!("medians in seconds: {last:?}");
}
