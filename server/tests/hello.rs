//! Hellos, and what a connection may do before it has authenticated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::{Client, Fixture, Person, client::code, client::refusal, limited};
use subrosa_protocol::{ErrorCode, FrameError, RawFrame, frame::FLAG_OPTIONAL, frames::*};

fn hello(min_version: u16, max_version: u16) -> RawFrame {
    ClientFirst::Hello(ClientHello { min_version, max_version, features: u64::MAX }).to_raw(0).unwrap()
}

#[tokio::test]
async fn r9_no_common_version_is_a_typed_error_and_the_end() {
    let relay = Fixture::open().await;
    for (min, max) in [(2, 9), (0, 0), (9, 1)] {
        let mut client = Client::raw(&relay);
        client.write(&hello(min, max)).await;
        let frame = client.frame().await.unwrap();
        let RelayFirst::Error(error) = RelayFirst::from_raw(&frame).unwrap() else { panic!("{frame:?}") };
        assert_eq!(error.code, ErrorCode::UnsupportedVersion);
        assert!(client.frame().await.is_none());
    }
    let mut newer = Client::raw(&relay);
    newer.write(&hello(1, 7)).await;
    let RelayFirst::Hello(answer) = RelayFirst::from_raw(&newer.frame().await.unwrap()).unwrap() else {
        panic!()
    };
    assert_eq!((answer.version, answer.features), (1, 0), "the newest both speak, the features both have");
    common::quiet(&relay);
}

#[tokio::test]
async fn the_first_frame_must_be_a_hello_and_nonces_differ() {
    let relay = Fixture::open().await;
    let mut client = Client::raw(&relay);
    client.write(&Request::PrekeyStatus(Empty {}).to_raw(1).unwrap()).await;
    let RelayFirst::Error(error) = RelayFirst::from_raw(&client.frame().await.unwrap()).unwrap() else {
        panic!()
    };
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert!(client.frame().await.is_none());

    let (one, two) = (Client::connect(&relay).await, Client::connect(&relay).await);
    assert_ne!(one.nonce, two.nonce);
    assert_eq!(one.policy, RegistrationPolicy::Open);
}

#[tokio::test]
async fn unauthenticated_connections_cannot_ask_for_anything_else() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut client = Client::connect(&relay).await;
    let fetch = DeviceListFetch { account: person.name.clone(), since: 0 };
    let requests = [
        Request::DeviceListFetch(fetch),
        Request::PrekeyClaim(PrekeyClaim { account: person.name.clone(), devices: Default::default() }),
        Request::PrekeyStatus(Empty {}),
        Request::DeviceListPublish(DeviceListPublish { device_list: person.signed_list() }),
        common::client::envelopes(&person, 1, &[1]),
        Request::MailboxFetch(MailboxFetch { after: 0, max: 1 }),
        Request::MailboxAck(MailboxAck { up_to: 1, generation: 1 }),
        Request::Reauthenticate(Reauthenticate { signature: [0; 64].into() }),
    ];
    for request in requests {
        let name = request.name();
        assert_eq!(client.refused(request).await.code, ErrorCode::BadRequest, "{name}");
    }
    client.authenticate(&person, 1).await;
    // And the other way round.
    let again = PreAuthRequest::Authenticate(person.authenticate(1, &client.exporter, &client.nonce));
    assert_eq!(client.pre_refused(again).await.code, ErrorCode::BadRequest);
    common::quiet(&relay);
}

#[tokio::test]
async fn unknown_frames_are_refused_or_skipped() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    for authenticated in [false, true] {
        let mut client = Client::connect(&relay).await;
        if authenticated {
            client.authenticate(&person, 1).await;
        }
        let unknown = |flags, id| RawFrame { kind: 0x0fff, flags, id, body: Bytes::from_static(b"xyz") };
        client.write(&unknown(FLAG_OPTIONAL, 70)).await;
        client.write(&unknown(0, 71)).await;
        assert_eq!(code(client.answer(71).await), ErrorCode::UnknownFrame, "the optional one got no answer");
        let kind = if authenticated { 0x0031 } else { 0x0010 };
        client.write(&RawFrame { kind, flags: 0, id: 72, body: Bytes::from_static(b"\xff\xff") }).await;
        assert_eq!(code(client.answer(72).await), ErrorCode::BadRequest, "a malformed body");
        if authenticated {
            assert!(client.fetch(0).await.envelopes.is_empty(), "the connection goes on");
        }
    }
    common::quiet(&relay);
}

#[tokio::test]
async fn r3_frames_beyond_the_limit_of_the_state_are_told_and_end_the_connection() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    for (authenticated, claim) in
        [(false, 8 * 1024 + 1), (false, u32::MAX), (true, 72 * 1024 + 1), (true, u32::MAX)]
    {
        let mut client = Client::connect(&relay).await;
        if authenticated {
            client.authenticate(&person, 1).await;
        }
        client.bytes(&claim.to_le_bytes()).await;
        let error = refusal(client.answer(0).await);
        assert_eq!(error.code, ErrorCode::TooLarge);
        assert!(client.frame().await.is_none());
    }
    // A frame of 8 KiB passes before authentication, one of 72 KiB after it.
    let mut client = Client::connect(&relay).await;
    let full = |len: usize, id| RawFrame { kind: 0x0fff, flags: 0, id, body: vec![0; len - 7].into() };
    client.write(&full(8 * 1024, 9)).await;
    assert_eq!(code(client.answer(9).await), ErrorCode::UnknownFrame);
    client.authenticate(&person, 1).await;
    client.write(&full(72 * 1024, 10)).await;
    assert_eq!(code(client.answer(10).await), ErrorCode::UnknownFrame);
    common::quiet(&relay);
}

#[tokio::test]
async fn undefined_flags_and_too_short_frames_end_the_connection() {
    let relay = Fixture::open().await;
    for bytes in [&b"\x07\0\0\0\x30\0\x02\0\0\0\0"[..], b"\x06\0\0\0\0\0\0\0\0\0"] {
        let mut client = Client::connect(&relay).await;
        client.bytes(bytes).await;
        assert_eq!(code(client.answer(0).await), ErrorCode::BadRequest);
        assert!(client.frame().await.is_none());
    }
    assert!(matches!(full_frame_error(), FrameError::TooLarge { .. }));
}

fn full_frame_error() -> FrameError {
    let frame = RawFrame { kind: 1, flags: 0, id: 0, body: vec![0; 80_000].into() };
    frame.write_to(&mut bytes::BytesMut::new()).unwrap_err()
}

#[tokio::test]
async fn r6_half_frames_and_silent_connections_end() {
    let relay = Fixture::with(limited(|limits| {
        limits.unauthenticated_timeout_s = 3;
        limits.half_frame_timeout_s = 1;
    }))
    .await;
    let person = Person::registered(&relay, "alice").await;
    for authenticated in [false, true] {
        let mut client = Client::connect(&relay).await;
        if authenticated {
            client.authenticate(&person, 1).await;
        }
        let began = std::time::Instant::now();
        client.bytes(&[40, 0, 0, 0, 1]).await;
        assert_eq!(client.closing().await, Some(CloseReason::Idle));
        let took = began.elapsed().as_millis();
        assert!((900..2500).contains(&took), "{took} ms");
    }
    let began = std::time::Instant::now();
    let mut silent = Client::raw(&relay);
    assert_eq!(silent.closing().await, Some(CloseReason::Idle));
    let took = began.elapsed().as_millis();
    assert!((2900..4500).contains(&took), "{took} ms");
    // An authenticated connection may be silent.
    let mut quiet = Client::of(&relay, &person, 1).await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(quiet.fetch(0).await.envelopes.is_empty());
    common::quiet(&relay);
}

/// Valid requests with bits flipped, bytes cut and bytes added, in both states: answered, skipped or the end, and never
/// a panic.
#[tokio::test]
async fn r9_damaged_requests_never_cost_more_than_their_connection() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut seed: u64 = 0x5eed;
    let mut next = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for authenticated in [false, true] {
        let mut client = Client::connect(&relay).await;
        if authenticated {
            client.authenticate(&person, 1).await;
        }
        for _ in 0..1500 {
            let samples = samples(&person, &client);
            let raw = &samples[next(samples.len())];
            let mut body = raw.body.to_vec();
            match next(4) {
                0 => body.truncate(next(body.len() + 1)),
                1 => body.push(0),
                _ if body.is_empty() => {}
                _ => {
                    for _ in 0..=next(3) {
                        let at = next(body.len());
                        body[at] ^= 1 << next(8);
                    }
                }
            }
            let id = client.id();
            client.write(&RawFrame { kind: raw.kind, flags: 0, id, body: body.into() }).await;
            let answered = loop {
                match client.heard().await {
                    Some(FromRelay::Response(of, _)) if of == id => break true,
                    Some(_) => {}
                    None => break false,
                }
            };
            if !answered {
                // Three wrong proofs, or a list that revoked the device: begin again.
                client = Client::connect(&relay).await;
                if authenticated {
                    client.authenticate(&person, 1).await;
                }
            }
        }
    }
    common::quiet(&relay);
}

fn samples(person: &Person, client: &Client) -> Vec<RawFrame> {
    use common::client::{BoundedFrom, IntoBounded};
    let pre = [
        PreAuthRequest::Authenticate(person.authenticate(1, &client.exporter, &client.nonce)),
        PreAuthRequest::RegisterStart(RegisterStart {
            account: subrosa_protocol::Username::new("carol").unwrap(),
            invite: None,
            opaque: vec![3; 32].try_into_bounded(),
        }),
        PreAuthRequest::StagePrekeys(StagePrekeys {
            one_time: BoundedFrom::bounded(vec![person.ec(1, 1)]),
            kem: Default::default(),
        }),
        PreAuthRequest::RegisterFinish(person.register_finish(&client.exporter, &client.nonce)),
        PreAuthRequest::LoginStart(LoginStart {
            account: person.name.clone(),
            opaque: vec![1; 96].try_into_bounded(),
        }),
        PreAuthRequest::LoginFinish(LoginFinish { opaque: vec![1; 64].try_into_bounded(), renew: None }),
        PreAuthRequest::DeviceAdd(DeviceAdd {
            device_list: person.signed_list(),
            device: common::person::Device::id(1),
            prekeys: person.prekeys(1),
        }),
    ];
    let requests = [
        Request::DeviceListFetch(DeviceListFetch { account: person.name.clone(), since: 0 }),
        Request::PrekeyClaim(PrekeyClaim {
            account: person.name.clone(),
            devices: BoundedFrom::bounded(vec![common::person::Device::id(1)]),
        }),
        Request::PrekeyUpload(PrekeyUpload {
            signed: None,
            last_resort: None,
            one_time: BoundedFrom::bounded(vec![person.ec(1, 9)]),
            kem: Default::default(),
        }),
        Request::DeviceListPublish(DeviceListPublish { device_list: person.signed_list() }),
        common::client::envelopes(person, 1, &[1, 2]),
        Request::MailboxFetch(MailboxFetch { after: 0, max: 1 }),
        Request::MailboxAck(MailboxAck { up_to: 1, generation: 1 }),
        Request::Reauthenticate(Reauthenticate { signature: [0; 64].into() }),
    ];
    let pre = pre.iter().map(|request| request.to_raw(1).unwrap());
    pre.chain(requests.iter().map(|request| request.to_raw(1).unwrap())).collect()
}
