//! Over real QUIC.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{
    Client, Fixture, Person,
    client::{BoundedFrom, IntoBounded, envelopes},
    lifted,
    quic::{self, Options},
};
use subrosa_protocol::{EnvelopeId, Fingerprint, frames::*};
use tokio::time::timeout;

#[tokio::test]
async fn register_authenticate_send_push_fetch_acknowledge() {
    let relay = Fixture::open().await;
    let (alice, bob) = (Person::new("alice"), Person::new("bobby"));
    let (mut a, _a) = quic::client(&relay).await;
    assert!(matches!(a.register(&alice, None).await, Response::Done(_)));
    a.authenticate(&alice, 1).await;
    let (mut b, _b) = quic::client(&relay).await;
    assert!(matches!(b.register(&bob, None).await, Response::Done(_)));
    b.authenticate(&bob, 1).await;

    assert!(matches!(a.send_envelopes(&bob, 1, &[1, 2, 3]).await, Response::EnvelopeAccepted(_)));
    for seq in 1..=3 {
        let Push::Deliver(envelope) = b.push().await else { panic!() };
        assert_eq!(envelope.seq, seq);
    }
    // Large ones, more than the window before authentication.
    for n in 0..20u8 {
        let sealed = vec![n; 69 * 1024].try_into_bounded();
        let envelope = OutgoingEnvelope { id: EnvelopeId::from_bytes([n + 100; 16]), sealed };
        let send = EnvelopeSend {
            to: bob.name.clone(),
            device: common::person::Device::id(1),
            list_version: 1,
            generation: 0,
            envelopes: BoundedFrom::bounded(vec![envelope]),
        };
        assert!(matches!(a.ask(Request::EnvelopeSend(send)).await, Response::EnvelopeAccepted(_)));
    }
    let Push::Deliver(envelope) = b.push().await else { panic!() };
    assert_eq!((envelope.seq, envelope.sealed.len()), (4, 69 * 1024));
    b.acknowledge(23).await;
    assert!(b.fetch(0).await.envelopes.is_empty());
    common::quiet(&relay);
}

#[tokio::test]
async fn a_proof_is_bound_to_the_tls_connection() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let (mut one, _one) = quic::client(&relay).await;
    let (mut two, _two) = quic::client(&relay).await;
    assert_ne!(one.exporter, two.exporter);
    // A relay in the middle has another exporter, even when it hands on the nonce.
    let proof = person.authenticate(1, &one.exporter, &two.nonce);
    let refused = two.pre_refused(PreAuthRequest::Authenticate(proof)).await;
    assert_eq!(refused.code, subrosa_protocol::ErrorCode::AuthenticationFailed);
    one.authenticate(&person, 1).await;
}

#[tokio::test]
async fn r1_another_key_another_protocol_and_early_data_do_not_pass() {
    let relay = Fixture::open().await;
    let wrong_key = Options { fingerprint: Some(Fingerprint([7; 32])), ..Options::of(&relay) };
    assert!(quic::connect(relay.quic_addr(), wrong_key).await.is_err());
    let wrong_alpn = Options { alpn: b"h3".to_vec(), ..Options::of(&relay) };
    assert!(quic::connect(relay.quic_addr(), wrong_alpn).await.is_err());
    // The relay gives no ticket, so there is nothing to resume with and no early data to send.
    let (endpoint, connection) = quic::connect(relay.quic_addr(), Options::of(&relay)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(connection);
    let again = endpoint.connect(relay.quic_addr(), "relay").unwrap();
    assert!(again.into_0rtt().is_err());
}

#[tokio::test]
async fn r1_post_quantum_key_exchange_is_what_both_choose_first() {
    let relay = Fixture::open().await;
    let only = |group: rustls::NamedGroup| {
        let mut options = Options::of(&relay);
        options.provider.kx_groups.retain(|kx| kx.name() == group);
        assert_eq!(options.provider.kx_groups.len(), 1);
        options
    };
    let hybrid = quic::connect(relay.quic_addr(), only(rustls::NamedGroup::X25519MLKEM768)).await;
    assert!(hybrid.is_ok(), "the relay speaks it");
    assert!(quic::connect(relay.quic_addr(), only(rustls::NamedGroup::X25519)).await.is_ok());
}

#[tokio::test]
async fn r5_one_stream_before_authentication_and_strange_streams_are_turned_away_after() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let (mut client, connection) = quic::client(&relay).await;
    let second = timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(second.is_err(), "no second stream yet");
    assert!(timeout(Duration::from_millis(300), connection.open_uni()).await.is_err());
    client.authenticate(&person, 1).await;
    for _ in 0..30 {
        let (mut writer, mut reader) =
            timeout(Duration::from_secs(5), connection.open_bi()).await.unwrap().unwrap();
        let _ = writer.write_all(b"hello").await;
        assert!(reader.read_to_end(10).await.is_err(), "turned away");
        let mut uni = timeout(Duration::from_secs(5), connection.open_uni()).await.unwrap().unwrap();
        let _ = uni.write_all(b"hello").await;
    }
    assert!(client.fetch(0).await.envelopes.is_empty(), "the session stream goes on");
    common::quiet(&relay);
}

#[tokio::test]
async fn r6_who_opens_no_stream_or_says_nothing_is_closed() {
    let mut config = lifted();
    config.limits.unauthenticated_timeout_s = 1;
    let relay = Fixture::with(config).await;
    let (_endpoint, connection) = quic::connect(relay.quic_addr(), Options::of(&relay)).await.unwrap();
    timeout(Duration::from_secs(4), connection.closed()).await.expect("closed");
    let (mut silent, connection) = quic::raw(&relay).await;
    silent.bytes(&[1]).await;
    assert_eq!(silent.closing().await, Some(CloseReason::Idle));
    timeout(Duration::from_secs(4), connection.closed()).await.expect("closed");
    assert_eq!(relay.metric("rosad_handshakes_failed_total"), 1);
}

#[tokio::test]
async fn r59_shutdown_answers_what_was_asked_says_why_and_loses_nothing() {
    let relay = Fixture::open().await;
    let (alice, bob) = (Person::registered(&relay, "alice").await, Person::registered(&relay, "bobby").await);
    let (mut sender, _s) = quic::client(&relay).await;
    sender.authenticate(&alice, 1).await;
    let (mut idle, _i) = quic::client(&relay).await;
    let (mut receiver, _r) = quic::client(&relay).await;
    receiver.authenticate(&bob, 1).await;
    for n in 0..30 {
        sender.send(envelopes(&bob, 1, &[n])).await;
    }
    let Fixture { relay, dir } = relay;
    let began = std::time::Instant::now();
    let (accepted, idle_reason, ()) = tokio::join!(
        async {
            let (mut accepted, mut reason) = (0, None);
            while let Some(heard) = sender.heard().await {
                match heard {
                    FromRelay::Response(_, Response::EnvelopeAccepted(_)) => accepted += 1,
                    FromRelay::Push(Push::Closing(closing)) => reason = Some(closing.reason),
                    _ => {}
                }
            }
            assert_eq!(reason, Some(CloseReason::ShuttingDown));
            accepted
        },
        idle.closing(),
        relay.shutdown(),
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(idle_reason, Some(CloseReason::ShuttingDown));
    assert_eq!(receiver.closing().await, Some(CloseReason::ShuttingDown));

    let data = dir.path().join("data");
    let relay = subrosa_server::Relay::start(subrosa_server::Config { data, ..lifted() }).await.unwrap();
    let mut receiver = Client::of(&relay, &bob, 1).await;
    let stored = receiver.fetch(0).await.envelopes.len();
    assert!(stored >= accepted, "{accepted} acknowledged, {stored} stored");
    relay.shutdown().await;
}

#[tokio::test]
async fn r7_too_many_connections_of_a_network_are_refused() {
    let mut config = lifted();
    config.limits.unauthenticated_per_network = 3;
    let relay = Fixture::with(config).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(quic::client(&relay).await);
    }
    assert!(quic::connect(relay.quic_addr(), Options::of(&relay)).await.is_err());
    assert!(relay.metrics().contains("rosad_connections_refused_total{kind=\"too_many_unauthenticated\"} 1"));
    held.pop();
    common::eventually("a place is given back", || relay.metric("rosad_connections_closed_total") == 1).await;
    let (_again, _connection) = quic::client(&relay).await;
}

#[tokio::test]
async fn r5_addresses_prove_themselves_when_many_handshakes_are_under_way() {
    let mut config = lifted();
    config.limits.handshakes_before_retry = 0;
    let relay = Fixture::with(config).await;
    // With Retry for everybody, an honest client still gets in.
    let (mut client, _connection) = quic::client(&relay).await;
    let person = Person::new("alice");
    assert!(matches!(client.register(&person, None).await, Response::Done(_)));
}
