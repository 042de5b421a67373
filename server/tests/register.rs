//! Registration and invites.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{
    Client, Fixture, Person,
    client::{BoundedFrom, IntoBounded, code, refusal},
    lifted, limited,
    person::{Device, array},
};
use subrosa_protocol::{ErrorCode, InviteSecret, frames::*};
use subrosa_server::{Config, Registration, limits::Quota};
use subrosa_verify::prekey::PrekeyKind;

fn invite_only() -> Config {
    Config { registration: Registration::Invite, ..lifted() }
}

async fn invite(relay: &Fixture, uses: u32, lifetime: Duration) -> [u8; 16] {
    let link = relay.create_invite(uses, lifetime).await.unwrap();
    let InviteSecret(secret) = link.invite.unwrap();
    secret
}

#[tokio::test]
async fn a_registration_is_whole_and_the_device_can_authenticate_at_once() {
    let relay = Fixture::open().await;
    let mut person = Person::new("alice");
    person.display_name = "  Alice\u{202e} ä ".to_owned();
    person.one_time_count = 100;
    let mut client = Client::connect(&relay).await;
    assert!(matches!(client.register(&person, None).await, Response::Done(_)));
    let answer = client.authenticate(&person, 1).await;
    assert_eq!((answer.list_version, answer.next_seq, answer.generation), (1, 1, 0));
    assert_eq!(answer.prekeys, PrekeyCounts { one_time: 100, kem: 100 });
    assert_eq!(answer.proof_lifetime_s, 900);
    assert!(answer.relay_time.abs_diff(common::now()) < 60_000);
    let fetch = DeviceListFetch { account: person.name.clone(), since: 0 };
    let Response::DeviceLists(lists) = client.ask(Request::DeviceListFetch(fetch)).await else { panic!() };
    assert_eq!(lists.lists.to_vec(), [person.signed_list()]);
    assert_eq!(&*lists.display_name, "Alice ä", "what could mislead is taken out");
    assert_eq!(relay.metric("rosad_registrations_total"), 1);
    common::quiet(&relay);
}

#[tokio::test]
async fn a_name_is_given_once() {
    let relay = Fixture::open().await;
    let first = Person::registered(&relay, "alice").await;
    let mut client = Client::connect(&relay).await;
    assert_eq!(code(client.register(&Person::new("alice"), None).await), ErrorCode::NameTaken);
    // Two that race: both pass the early check, one is registered.
    let (one, two) = (Person::new("carol"), Person::new("carol"));
    let (mut a, mut b) = (Client::connect(&relay).await, Client::connect(&relay).await);
    let (a, b) = tokio::join!(a.register(&one, None), b.register(&two, None));
    let done = [&a, &b].iter().filter(|answer| matches!(answer, Response::Done(_))).count();
    assert_eq!(done, 1, "{a:?} {b:?}");
    Client::of(&relay, &first, 1).await;
}

#[tokio::test]
async fn r42_unknown_used_and_expired_invites_get_one_answer() {
    let relay = Fixture::with(invite_only()).await;
    let good = invite(&relay, 2, Duration::from_secs(60)).await;
    let short = invite(&relay, 1, Duration::from_secs(1)).await;
    for name in ["alice", "bobby"] {
        let mut client = Client::connect(&relay).await;
        assert_eq!(client.policy, RegistrationPolicy::Invite);
        assert!(matches!(client.register(&Person::new(name), Some(good)).await, Response::Done(_)));
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mut answers = Vec::new();
    for secret in [Some(good), Some(short), Some(common::random()), None] {
        let mut client = Client::connect(&relay).await;
        // A taken name makes no difference: who has no invite learns nothing about names.
        for name in ["carol", "alice"] {
            answers.push(refusal(client.register(&Person::new(name), secret).await));
        }
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(answers[0].code, ErrorCode::InviteInvalid);
}

#[tokio::test]
async fn r42_an_invite_with_one_use_is_used_once_also_in_a_race() {
    let relay = Fixture::with(invite_only()).await;
    let secret = invite(&relay, 1, Duration::from_secs(60)).await;
    let people: Vec<_> = ["anna", "bert", "cleo", "dora"].map(Person::new).into_iter().collect();
    let tries = people.iter().map(|person| {
        let relay = &relay;
        async move { Client::connect(relay).await.register(person, Some(secret)).await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let done = answers.iter().filter(|answer| matches!(answer, Response::Done(_))).count();
    assert_eq!(done, 1, "{answers:?}");
}

#[tokio::test]
async fn a_closed_relay_says_so() {
    let relay = Fixture::with(Config { registration: Registration::Closed, ..lifted() }).await;
    let mut client = Client::connect(&relay).await;
    assert_eq!(client.policy, RegistrationPolicy::Closed);
    assert_eq!(code(client.register(&Person::new("alice"), None).await), ErrorCode::RegistrationClosed);
}

#[tokio::test]
async fn r42_open_registration_is_limited_by_network() {
    let relay = Fixture::with(limited(|limits| {
        limits.registrations_per_network = subrosa_server::Limits::default().registrations_per_network;
    }))
    .await;
    let start = |name: String| {
        PreAuthRequest::RegisterStart(RegisterStart {
            account: subrosa_protocol::Username::new(name).unwrap(),
            invite: None,
            opaque: Person::new("any").opaque_request().try_into_bounded(),
        })
    };
    let mut client = Client::connect_from(&relay, 1).await;
    for number in 0..6 {
        let answer = client.pre(start(format!("name{number}"))).await;
        assert!(matches!(answer, Response::RegisterChallenge(_)), "{answer:?}");
    }
    let refused = client.pre_refused(start("name6".into())).await;
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after_ms.unwrap();
    assert!((20_000..=30_000).contains(&wait), "{wait}");
    let mut other = Client::connect_from(&relay, 2).await;
    assert!(matches!(other.pre(start("name6".into())).await, Response::RegisterChallenge(_)));
}

#[tokio::test]
async fn a_registration_that_proves_too_little_is_refused() {
    let relay = Fixture::open().await;
    let person = Person::new("alice");
    let other = Person::new("other");
    type Change = Box<dyn Fn(&mut RegisterFinish, &Client)>;
    let cases: Vec<(&str, Change)> = vec![
        (
            "proof for another connection",
            Box::new(|finish, client| {
                finish.proof = Person::new("alice").register_finish(&[1; 32], &client.nonce).proof;
            }),
        ),
        ("list of another account", Box::new(move |finish, _| finish.device_list = other.signed_list())),
        ("list with a wrong signature", Box::new(|finish, _| finish.device_list.signature[5] ^= 1)),
        (
            "list of version 2",
            Box::new({
                let alice = Person::new("alice");
                move |finish, client| {
                    let mut next = Person::new("alice");
                    next.list = alice.next_list(&[], None);
                    next.account_key = alice.account_key.clone();
                    *finish = next.register_finish(&client.exporter, &client.nonce);
                }
            }),
        ),
        (
            "list with two devices",
            Box::new(|finish, client| {
                let mut two = Person::new("alice");
                let second = Device::new(2);
                two.list.devices.push(second.entry());
                two.list.next_device_id = 3;
                *finish = two.register_finish(&client.exporter, &client.nonce);
            }),
        ),
        ("prekey signed by nobody", Box::new(|finish, _| finish.prekeys.signed[116] ^= 1)),
        (
            "prekey of another kind",
            Box::new({
                let alice = Person::new("alice");
                move |finish, _| finish.prekeys.signed = array(alice.prekey(1, PrekeyKind::OneTimeEc, 1))
            }),
        ),
    ];
    for (what, change) in cases {
        let mut client = Client::connect(&relay).await;
        let start = RegisterStart {
            account: person.name.clone(),
            invite: None,
            opaque: person.opaque_request().try_into_bounded(),
        };
        assert!(matches!(
            client.pre(PreAuthRequest::RegisterStart(start)).await,
            Response::RegisterChallenge(_)
        ));
        let mut finish = person.register_finish(&client.exporter, &client.nonce);
        change(&mut finish, &client);
        let answer = client.pre(PreAuthRequest::RegisterFinish(finish)).await;
        assert_eq!(code(answer), ErrorCode::InvalidSignature, "{what}");
        // The attempt is over: nothing of it is left.
        let finish = person.register_finish(&client.exporter, &client.nonce);
        let again = client.pre(PreAuthRequest::RegisterFinish(finish)).await;
        assert_eq!(code(again), ErrorCode::BadRequest, "{what}");
    }
    // The name was not used up by any of it.
    person.register_on(&relay).await;
    common::quiet(&relay);
}

#[tokio::test]
async fn malformed_opaque_messages_are_refused() {
    let relay = Fixture::open().await;
    let person = Person::new("alice");
    let mut client = Client::connect(&relay).await;
    for bad in [vec![], vec![0; 31], vec![0xff; 32], vec![0; 512]] {
        let start =
            RegisterStart { account: person.name.clone(), invite: None, opaque: bad.try_into_bounded() };
        assert_eq!(
            client.pre_refused(PreAuthRequest::RegisterStart(start)).await.code,
            ErrorCode::BadRequest
        );
    }
    let start = RegisterStart {
        account: person.name.clone(),
        invite: None,
        opaque: person.opaque_request().try_into_bounded(),
    };
    client.pre(PreAuthRequest::RegisterStart(start)).await;
    let mut finish = person.register_finish(&client.exporter, &client.nonce);
    finish.opaque = vec![0xff; 192].try_into_bounded();
    assert_eq!(client.pre_refused(PreAuthRequest::RegisterFinish(finish)).await.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn r36_one_prekey_past_a_hundred_is_refused_while_it_is_staged() {
    let relay = Fixture::open().await;
    let person = Person::new("alice");
    let mut client = Client::connect(&relay).await;
    let stage = |ids: std::ops::Range<u32>| {
        let one_time = BoundedFrom::bounded(ids.map(|id| person.ec(1, id)).collect());
        PreAuthRequest::StagePrekeys(StagePrekeys { one_time, kem: Default::default() })
    };
    assert_eq!(client.pre_refused(stage(1..2)).await.code, ErrorCode::BadRequest, "nothing was begun");
    let start = RegisterStart {
        account: person.name.clone(),
        invite: None,
        opaque: person.opaque_request().try_into_bounded(),
    };
    client.pre(PreAuthRequest::RegisterStart(start)).await;
    assert!(matches!(client.pre(stage(1..61)).await, Response::Done(_)));
    assert!(matches!(client.pre(stage(61..101)).await, Response::Done(_)));
    assert_eq!(client.pre_refused(stage(101..102)).await.code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn r38_names_cannot_be_enumerated_by_registering_them() {
    let relay = Fixture::with(limited(|limits| {
        limits.lookups_per_network = Quota::new(3, 1, Duration::from_secs(3600));
    }))
    .await;
    Person::registered(&relay, "alice").await;
    let mut client = Client::connect_from(&relay, 5).await;
    for _ in 0..3 {
        assert_eq!(code(client.register(&Person::new("alice"), None).await), ErrorCode::NameTaken);
    }
    assert_eq!(code(client.register(&Person::new("alice"), None).await), ErrorCode::RateLimited);
}
