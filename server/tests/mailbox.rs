//! Envelopes: sending, order, fetching, acknowledging, pushes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{
    Client, Fixture, Person,
    client::{BoundedFrom, IntoBounded, code, envelopes},
    lifted, limited,
};
use subrosa_protocol::{EnvelopeId, ErrorCode, frames::*};
use subrosa_server::limits::Quota;

async fn two(relay: &Fixture) -> (Person, Person) {
    (Person::registered(relay, "alice").await, Person::registered(relay, "bobby").await)
}

fn ids(envelopes: &[MailboxEnvelope]) -> Vec<(u64, u128)> {
    envelopes.iter().map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes()))).collect()
}

#[tokio::test]
async fn what_is_accepted_is_fetched_in_order_and_gone_when_acknowledged() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    let Response::EnvelopeAccepted(accepted) = sender.send_envelopes(&bob, 1, &[11, 12, 13]).await else {
        panic!()
    };
    assert!(accepted.accepted_at.abs_diff(common::now()) < 60_000);
    // The same again is accepted and not there twice.
    assert!(matches!(sender.send_envelopes(&bob, 1, &[11, 12, 13]).await, Response::EnvelopeAccepted(_)));

    let mut receiver = Client::connect(&relay).await;
    let answer = receiver.authenticate(&bob, 1).await;
    assert_eq!(answer.next_seq, 4);
    let page = receiver.fetch(0).await;
    assert_eq!(ids(&page.envelopes), [(1, 11), (2, 12), (3, 13)]);
    assert_eq!(page.envelopes[0].sealed.to_vec(), 11u128.to_le_bytes().repeat(8));
    assert_eq!(page.envelopes[0].accepted_at, accepted.accepted_at);
    assert!(!page.more);
    let some = Request::MailboxFetch(MailboxFetch { after: 1, max: 1 });
    let Response::MailboxPage(page) = receiver.ask(some).await else { panic!() };
    assert_eq!((ids(&page.envelopes), page.more), (vec![(2, 12)], true));

    receiver.acknowledge(2).await;
    assert_eq!(ids(&receiver.fetch(0).await.envelopes), [(3, 13)]);
    receiver.acknowledge(3).await;
    assert!(receiver.fetch(0).await.envelopes.is_empty());
    // A repetition after the acknowledgement is accepted and does not come back.
    assert!(matches!(sender.send_envelopes(&bob, 1, &[11, 12, 13]).await, Response::EnvelopeAccepted(_)));
    assert!(receiver.fetch(0).await.envelopes.is_empty());
    assert!(receiver.is_quiet().await);
    assert_eq!(relay.metric("rosad_envelopes_accepted_total"), 3);
    assert_eq!(relay.metric("rosad_envelopes_acknowledged_total"), 3);
    common::quiet(&relay);
}

#[tokio::test]
async fn connected_devices_get_pushes_in_the_order_of_the_mailbox() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let carol = Person::registered(&relay, "carol").await;
    let mut first = Client::of(&relay, &bob, 1).await;
    let mut second = Client::of(&relay, &bob, 1).await;
    let (mut a, mut c) = (Client::of(&relay, &alice, 1).await, Client::of(&relay, &carol, 1).await);
    // Many sends of two senders, none waiting for the one before.
    let (mut of_a, mut of_c) = (Vec::new(), Vec::new());
    for n in 0..20u128 {
        of_a.push(a.send(envelopes(&bob, 1, &[1000 + n])).await);
        of_c.push(c.send(envelopes(&bob, 1, &[2000 + n])).await);
    }
    for (client, mut sent) in [(&mut a, of_a), (&mut c, of_c)] {
        // Answers come when they are there, in any order.
        while !sent.is_empty() {
            let FromRelay::Response(of, response) = client.heard().await.unwrap() else { panic!() };
            assert!(matches!(response, Response::EnvelopeAccepted(_)), "{response:?}");
            let at = sent.iter().position(|id| *id == of).expect("one answer each");
            sent.swap_remove(at);
        }
    }
    let stored = ids(&first.fetch(0).await.envelopes);
    assert_eq!(stored.len(), 40);
    for client in [&mut first, &mut second] {
        let mut pushed = Vec::new();
        while pushed.len() < 40 {
            let Push::Deliver(envelope) = client.push().await else { panic!() };
            pushed.push(envelope);
        }
        assert_eq!(ids(&pushed), stored);
        assert!(client.is_quiet().await);
    }
    for sender in [1000, 2000] {
        let of_sender: Vec<_> =
            stored.iter().map(|(_, id)| *id).filter(|id| id / 1000 == sender / 1000).collect();
        assert!(of_sender.is_sorted() && of_sender.len() == 20, "{of_sender:?}");
    }
    common::quiet(&relay);
}

#[tokio::test]
async fn sends_of_one_connection_keep_their_order_without_waiting() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    let mut last = 0;
    for n in 0..200u128 {
        last = sender.send(envelopes(&bob, 1, &[n])).await;
    }
    let mut answers = 0;
    while answers < 200 {
        if let FromRelay::Response(_, response) = sender.heard().await.unwrap() {
            assert!(matches!(response, Response::EnvelopeAccepted(_)), "{response:?}");
            answers += 1;
        }
    }
    assert!(last > 0);
    let mut receiver = Client::of(&relay, &bob, 1).await;
    let (mut got, mut after) = (Vec::new(), 0);
    loop {
        let page = receiver.fetch(after).await;
        got.extend(ids(&page.envelopes));
        after = got.last().map_or(0, |(seq, _)| *seq);
        if !page.more {
            break;
        }
    }
    assert_eq!(got, (0..200).map(|n| (n + 1, u128::from(n))).collect::<Vec<(u64, u128)>>());
}

#[tokio::test]
async fn an_old_device_list_is_told_what_changed_and_nothing_is_accepted() {
    let relay = Fixture::open().await;
    let (alice, mut bob) = two(&relay).await;
    let mut owner = Client::of(&relay, &bob, 1).await;
    let list = bob.next_list(&[], None);
    let publish = Request::DeviceListPublish(DeviceListPublish { device_list: bob.sign(&list) });
    assert!(matches!(owner.ask(publish).await, Response::Done(_)));
    let mut sender = Client::of(&relay, &alice, 1).await;
    let Response::StaleDeviceList(stale) = sender.send_envelopes(&bob, 1, &[1]).await else { panic!() };
    assert_eq!((stale.version, stale.missing.len(), stale.extra.len()), (2, 0, 0));
    assert!(owner.is_quiet().await);
    bob.list = list;
    assert!(matches!(sender.send_envelopes(&bob, 1, &[1]).await, Response::EnvelopeAccepted(_)));
    assert_eq!(ids(&owner.fetch(0).await.envelopes), [(1, 1)]);
    assert_eq!(code(sender.send_envelopes(&bob, 7, &[2]).await), ErrorCode::NotFound);
    let nothing = EnvelopeSend {
        to: bob.name.clone(),
        device: common::person::Device::id(1),
        list_version: 2,
        generation: 0,
        envelopes: Default::default(),
    };
    assert_eq!(sender.refused(Request::EnvelopeSend(nothing)).await.code, ErrorCode::BadRequest);
}

#[tokio::test]
async fn pages_fit_a_frame_whatever_the_envelopes_size() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    let sizes = [70_656usize, 1, 30_000, 30_000, 30_000, 70_656, 70_656, 5, 5];
    for (n, size) in sizes.iter().enumerate() {
        let envelope = OutgoingEnvelope {
            id: EnvelopeId::from_bytes([u8::try_from(n).unwrap(); 16]),
            sealed: vec![u8::try_from(n).unwrap(); *size].try_into_bounded(),
        };
        let send = EnvelopeSend {
            to: bob.name.clone(),
            device: common::person::Device::id(1),
            list_version: 1,
            generation: 0,
            envelopes: BoundedFrom::bounded(vec![envelope]),
        };
        assert!(matches!(sender.ask(Request::EnvelopeSend(send)).await, Response::EnvelopeAccepted(_)));
    }
    let mut receiver = Client::of(&relay, &bob, 1).await;
    let (mut got, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = receiver.fetch(after).await;
        got.extend(page.envelopes.iter().map(|envelope| envelope.sealed.len()));
        after = page.envelopes.last().unwrap().seq;
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(got, sizes);
    assert!(pages >= 5, "{pages}");
}

#[tokio::test]
async fn r23_the_highest_generation_is_remembered() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut client = Client::of(&relay, &alice, 1).await;
    let mut send = envelopes(&bob, 1, &[1]);
    if let Request::EnvelopeSend(send) = &mut send {
        send.generation = 41;
    }
    assert!(matches!(client.ask(send).await, Response::EnvelopeAccepted(_)));
    for generation in [57, 3] {
        let ack = Request::MailboxAck(MailboxAck { up_to: 0, generation });
        assert!(matches!(client.ask(ack).await, Response::Done(_)));
    }
    let mut again = Client::connect(&relay).await;
    assert_eq!(again.authenticate(&alice, 1).await.generation, 57);
}

#[tokio::test]
async fn r43_sends_are_limited_by_recipient_device_and_by_account() {
    let relay = Fixture::with(limited(|limits| {
        limits.envelopes_per_device = Quota::new(10, 10, Duration::from_secs(1));
        limits.envelopes_per_account = Quota::new(15, 1, Duration::from_secs(60));
    }))
    .await;
    let (alice, bob) = two(&relay).await;
    let mut client = Client::of(&relay, &alice, 1).await;
    let batch: Vec<u128> = (0..10).collect();
    assert!(matches!(client.send_envelopes(&bob, 1, &batch).await, Response::EnvelopeAccepted(_)));
    let refused = client.refused(envelopes(&bob, 1, &[10])).await;
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after_ms.unwrap();
    assert!((1..=100).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(matches!(
        client.send_envelopes(&bob, 1, &[10, 11, 12, 13, 14]).await,
        Response::EnvelopeAccepted(_)
    ));
    let refused = client.refused(envelopes(&alice, 1, &[99])).await;
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.unwrap() > 50_000);
}

#[tokio::test]
async fn r44_a_full_mailbox_is_told_and_takes_again_when_there_is_room() {
    let mut config = lifted();
    config.limits.mailbox_envelopes = 3;
    let relay = Fixture::with(config).await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    assert!(matches!(sender.send_envelopes(&bob, 1, &[1, 2]).await, Response::EnvelopeAccepted(_)));
    assert_eq!(code(sender.send_envelopes(&bob, 1, &[3, 4]).await), ErrorCode::MailboxFull);
    let mut receiver = Client::of(&relay, &bob, 1).await;
    assert_eq!(ids(&receiver.fetch(0).await.envelopes), [(1, 1), (2, 2)], "all or none");
    receiver.acknowledge(1).await;
    assert!(matches!(sender.send_envelopes(&bob, 1, &[3, 4]).await, Response::EnvelopeAccepted(_)));
    assert_eq!(ids(&receiver.fetch(1).await.envelopes), [(2, 2), (3, 3), (4, 4)]);
}

#[tokio::test]
async fn r57_a_relay_without_room_delivers_and_refuses_sends() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    assert!(matches!(sender.send_envelopes(&bob, 1, &[1]).await, Response::EnvelopeAccepted(_)));
    drop(sender);
    let mut config = lifted();
    config.limits.disk_free_min = u64::MAX;
    let relay = relay.restart(config, |_| ()).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    assert_eq!(code(sender.send_envelopes(&bob, 1, &[2]).await), ErrorCode::StorageFull);
    let mut stranger = Client::connect(&relay).await;
    assert_eq!(code(stranger.register(&Person::new("carol"), None).await), ErrorCode::StorageFull);
    let mut receiver = Client::of(&relay, &bob, 1).await;
    assert_eq!(ids(&receiver.fetch(0).await.envelopes), [(1, 1)]);
    receiver.acknowledge(1).await;
    assert_eq!(relay.metric("rosad_storage_full_total"), 1);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_pushes_and_is_told_to_fetch() {
    let mut config = lifted();
    config.limits.push_queue = 4;
    let relay = Fixture::with(config).await;
    let (alice, bob) = two(&relay).await;
    let mut slow = Client::of(&relay, &bob, 1).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    let large = |n: u8| {
        let sealed = vec![n; 60_000].try_into_bounded();
        let envelope = OutgoingEnvelope { id: EnvelopeId::from_bytes([n; 16]), sealed };
        Request::EnvelopeSend(EnvelopeSend {
            to: bob.name.clone(),
            device: common::person::Device::id(1),
            list_version: 1,
            generation: 0,
            envelopes: BoundedFrom::bounded(vec![envelope]),
        })
    };
    for n in 0..60 {
        assert!(matches!(sender.ask(large(n)).await, Response::EnvelopeAccepted(_)));
    }
    let (mut pushed, mut hinted) = (Vec::new(), false);
    while !hinted {
        match slow.push().await {
            Push::Deliver(envelope) => pushed.push(envelope.seq),
            Push::SyncHint(_) => hinted = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(pushed.len() < 60 && pushed.is_sorted(), "{pushed:?}");
    assert!(relay.metric("rosad_pushes_dropped_total") > 0);
    // The mailbox has all of it, and new ones are pushed again.
    let (mut after, mut got) = (0, 0);
    loop {
        let page = slow.fetch(after).await;
        got += page.envelopes.len();
        after = page.envelopes.last().unwrap().seq;
        if !page.more {
            break;
        }
    }
    assert_eq!((got, after), (60, 60));
    slow.pushes.clear();
    assert!(matches!(sender.ask(large(100)).await, Response::EnvelopeAccepted(_)));
    assert!(matches!(slow.push().await, Push::Deliver(envelope) if envelope.seq == 61));
    common::quiet(&relay);
}

#[tokio::test]
async fn what_is_accepted_survives_a_restart() {
    let relay = Fixture::open().await;
    let (alice, bob) = two(&relay).await;
    let mut sender = Client::of(&relay, &alice, 1).await;
    for n in 0..20 {
        assert!(matches!(sender.send_envelopes(&bob, 1, &[n]).await, Response::EnvelopeAccepted(_)));
    }
    let address = relay.address();
    let relay = relay.restart(lifted(), |_| ()).await;
    assert_eq!(relay.address().fingerprint, address.fingerprint, "the key stays");
    let mut receiver = Client::of(&relay, &bob, 1).await;
    assert_eq!(receiver.fetch(0).await.envelopes.len(), 20);
    assert!(relay.first_invite().is_none());
}
