//! Envelopes that lie, get lost, or cannot be read.

use subrosa_client::api::{EventKind, MessageKind, Request};
use subrosa_client::store::Counter;
use subrosa_crypto::sealed;
use subrosa_protocol::{EnvelopeId, ErrorCode, frames::ErrorFrame};

use crate::world::{World, device, name};

fn count(world: &mut World, handle: &str, what: Counter) -> u64 {
    world.peek(handle, |tx| tx.counted(what).unwrap())
}

fn sealing_key(world: &World, account: &str) -> [u8; 32] {
    world.relay.newest(account).unwrap().devices[0].sealing_key
}

/// An envelope to alice that anybody can make: it claims to be from `claimed` and holds `inner`.
fn forge(world: &mut World, claimed: &str, number: u32, inner: &[u8]) {
    let key = sealing_key(world, "alice");
    let sealed = sealed::seal(&key, "alice", 1, claimed, number, inner, &mut world.rng).unwrap();
    let mut id = [0; 16];
    rand_core::Rng::fill_bytes(&mut world.rng, &mut id);
    let id = EnvelopeId::from_bytes(id);
    world.relay.inject("alice", 1, id, sealed);
    world.disconnect("alice");
    world.connect("alice");
    world.settle();
}

/// Drops the newest envelope in bob's mailbox.
fn lose(world: &mut World) {
    world.relay.device("bob", 1).mailbox.pop().unwrap();
}

#[test]
fn r14_a_forged_sender_is_never_shown() {
    let mut world = World::friends(400);
    forge(&mut world, "bob", 1, b"not a session message");
    assert_eq!(world.texts("alice", "bob").len(), 2);
    assert_eq!(world.notices("alice", "bob"), [MessageKind::Undecryptable {}]);
    world.send("bob", "alice", "the real one");
    world.settle();
    assert_eq!(world.texts("alice", "bob").last().unwrap(), "the real one");
    // More of it within ten minutes is only counted: nobody can fill the screen, or drive us to new sessions.
    let claims = world.relay.claims;
    for i in 10..20 {
        forge(&mut world, "bob", 1, &[i; 99]);
    }
    assert_eq!(world.notices("alice", "bob").len(), 1);
    assert_eq!(world.told("alice", EventKind::MessageUndecryptable).len(), 1);
    assert_eq!(world.relay.claims, claims);
    assert!(count(&mut world, "alice", Counter::Undecryptable) >= 11);
}

#[test]
fn r14_an_unknown_sender_or_device_is_discarded_and_counted() {
    let mut world = World::friends(401);
    forge(&mut world, "nobody_at_all", 1, b"x");
    assert_eq!(count(&mut world, "alice", Counter::DiscardedDeferred), 1);
    forge(&mut world, "bob", 77, b"x");
    world.run_for(120_000);
    assert_eq!(count(&mut world, "alice", Counter::DiscardedMismatch), 1);
    world.relay.inject("alice", 1, EnvelopeId::from_bytes([8; 16]), vec![1; 400]);
    world.disconnect("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(count(&mut world, "alice", Counter::DiscardedSealed), 1);
    assert!(world.notices("alice", "bob").is_empty());
    assert!(world.contact("alice", "nobody_at_all").is_none());
}

#[test]
fn r14_an_envelope_for_somebody_else_is_not_read() {
    let mut world = World::with(402, &["alice", "bob", "carol"]);
    world.send("bob", "carol", "for carol alone");
    world.settle();
    let (_, _, sealed) = world.relay.log.iter().find(|(place, _, _)| place.0 == "carol").unwrap().clone();
    world.relay.inject("alice", 1, EnvelopeId::from_bytes([1; 16]), sealed);
    world.disconnect("alice");
    world.connect("alice");
    world.settle();
    assert!(world.history("alice", "bob").is_empty());
    assert_eq!(count(&mut world, "alice", Counter::DiscardedSealed), 1);
}

#[test]
fn r15_a_replayed_envelope_is_dropped_also_under_another_id() {
    let mut world = World::with(403, &["alice", "bob"]);
    world.send("bob", "alice", "once");
    world.settle();
    let (_, id, sealed) = world.relay.log.iter().find(|(place, _, _)| place.0 == "alice").unwrap().clone();
    for id in [id, EnvelopeId::from_bytes([2; 16])] {
        world.relay.inject("alice", 1, id, sealed.clone());
    }
    world.disconnect("alice");
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["once"]);
    assert_eq!(count(&mut world, "alice", Counter::DiscardedDuplicate), 2);
    assert!(world.notices("alice", "bob").is_empty());
}

#[test]
fn a_gap_is_shown_and_filled() {
    let mut world = World::friends(404);
    world.relay.silent = true;
    for text in ["lost one", "lost two"] {
        world.send("alice", "bob", text);
        world.settle();
        lose(&mut world);
    }
    world.relay.silent = false;
    world.send("alice", "bob", "arrives");
    world.settle();
    let told = world.told("bob", EventKind::MessageMissing);
    assert!(!told.is_empty(), "the gap was told");
    // What was lost was asked for again and came: nothing is missing any more.
    let mut texts = world.texts("bob", "alice")[2..].to_vec();
    texts.sort();
    assert_eq!(texts, ["arrives", "lost one", "lost two"]);
    assert_eq!(world.notices("bob", "alice"), [MessageKind::Missing { count: 0 }]);
}

#[test]
fn a_gap_that_nobody_can_fill_stays() {
    let mut world = World::friends(405);
    world.relay.silent = true;
    world.send("alice", "bob", "lost for good");
    world.settle();
    lose(&mut world);
    // Alice's program forgets what it sent: as after 1,000 further messages.
    world.disconnect("alice");
    let core = world.client("alice").core.take().unwrap();
    let mut store = core.into_store();
    store
        .transaction(|tx| {
            for i in 0..1_000u64 {
                let sent = subrosa_client::store::Sent {
                    counter: 10_000 + i,
                    message: subrosa_protocol::MessageId::from_bytes([0; 16]),
                    plaintext: zeroize::Zeroizing::new(vec![0]),
                };
                tx.put_sent(&name("bob"), device(1), &sent, 0)?;
            }
            Ok::<_, subrosa_client::store::StoreError>(())
        })
        .unwrap();
    store.close().unwrap();
    world.relay.silent = false;
    world.restart("alice");
    world.send("alice", "bob", "arrives");
    world.run_for(600_000);
    assert_eq!(world.notices("bob", "alice"), [MessageKind::Missing { count: 1 }]);
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "arrives");
}

#[test]
fn an_unreadable_message_heals_and_is_sent_again() {
    let mut world = World::friends(406);
    // Bob's program loses its session.
    world.disconnect("bob");
    let mut store = world.client("bob").core.take().unwrap().into_store();
    store.transaction(|tx| tx.delete_session(&name("alice"), device(1)).map(drop)).unwrap();
    store.close().unwrap();
    world.restart("bob");
    world.send("alice", "bob", "into the void");
    world.settle();
    assert!(world.notices("bob", "alice").contains(&MessageKind::Undecryptable {}));
    assert_eq!(world.told("bob", EventKind::MessageUndecryptable).len(), 1);
    assert_eq!(
        world.texts("bob", "alice").last().unwrap(),
        "into the void",
        "it was asked for and came again"
    );
    world.send("bob", "alice", "got it");
    world.send("alice", "bob", "good");
    world.settle();
    assert_eq!(world.texts("alice", "bob")[2..], ["into the void", "good", "got it"]);
    assert_eq!(world.texts("bob", "alice")[2..], ["into the void", "got it", "good"]);
    assert_eq!(count(&mut world, "bob", Counter::Healed), 1);
}

#[test]
fn a_stranger_who_cannot_be_looked_up_waits_and_keeps_order() {
    let mut world = World::with(407, &["alice", "bob"]);
    world.relay.refuse_lookups = Some(ErrorFrame::rate_limited(5_000));
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    world.relay.refuse_lookups = None;
    world.send("alice", "bob", "hello");
    world.run_for(1_000);
    world.relay.refuse_lookups = Some(ErrorFrame::rate_limited(5_000));
    world.run_for(2_000);
    world.relay.refuse_lookups = None;
    world.run_for(700_000);
    assert_eq!(world.texts("bob", "alice"), ["hello"]);
    assert_eq!(world.peek("bob", |tx| tx.deferred_count().unwrap()), 0);
}

#[test]
fn r43_a_stranger_who_floods_is_bounded() {
    let mut world = World::with(408, &["alice", "bob"]);
    world.send("alice", "bob", "request");
    world.settle();
    // A client that does not keep to the rules: as far as alice's store says, bob has accepted.
    world.disconnect("alice");
    let mut store = world.client("alice").core.take().unwrap().into_store();
    store
        .transaction(|tx| {
            let mut peer = tx.peer(&name("bob"))?.unwrap();
            peer.contact = Some(subrosa_client::api::ContactState::Accepted);
            tx.put_peer(&peer)
        })
        .unwrap();
    store.close().unwrap();
    world.restart("alice");
    for i in 0..10 {
        world.send("alice", "bob", &format!("flood {i}"));
    }
    world.send("alice", "bob", &"x".repeat(600));
    world.settle();
    assert_eq!(world.texts("bob", "alice").len(), 3);
    assert_eq!(count(&mut world, "bob", Counter::DiscardedRequest), 9);
    assert_eq!(world.told("alice", EventKind::MessageDelivered).len(), 0);
    // Accepted after all: what was not stored is found missing and asked for.
    world.ask("bob", Request::ContactAccept { name: "alice".into() }).unwrap();
    world.send("alice", "bob", "thanks");
    world.settle();
    assert_eq!(world.texts("bob", "alice").len(), 13);
}

#[test]
fn r16_garbage_in_a_session_changes_no_byte_of_it() {
    let mut world = World::friends(409);
    let session = |world: &mut World| {
        world.peek("alice", |tx| tx.session(&name("bob"), device(1)).unwrap().unwrap().to_vec())
    };
    // The first garbage heals; from then on the session must not move.
    forge(&mut world, "bob", 1, &[9; 50]);
    world.settle();
    let before = session(&mut world);
    for i in 0..20u8 {
        let inner: Vec<u8> = (0..200).map(|j| i.wrapping_mul(31).wrapping_add(j)).collect();
        forge(&mut world, "bob", 1, &inner);
    }
    assert_eq!(session(&mut world), before);
}

#[test]
fn r43_a_full_mailbox_is_told_and_tried_again() {
    let mut world = World::friends(410);
    world.relay.refuse_sends = Some(ErrorFrame::new(ErrorCode::MailboxFull, ""));
    world.send("alice", "bob", "squeeze in");
    world.settle();
    let line = world.history("alice", "bob").pop().unwrap();
    assert!(line.reason.unwrap().contains("mailbox is full"));
    world.relay.refuse_sends = None;
    world.run_for(120_000);
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "squeeze in");
}

#[test]
fn r18_a_thousand_hostile_envelopes_cost_little_and_show_one_line() {
    let mut world = World::friends(411);
    world.disconnect("alice");
    let key = sealing_key(&world, "alice");
    for i in 0..1_000u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&i.to_le_bytes());
        let sealed = sealed::seal(&key, "alice", 1, "bob", 1, &[7; 1_500], &mut world.rng).unwrap();
        world.relay.inject("alice", 1, EnvelopeId::from_bytes(id), sealed);
    }
    let started = std::time::Instant::now();
    world.connect("alice");
    world.settle();
    // 2 ms each is the promise of a release build on an idle machine; this one may be neither.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert_eq!(world.notices("alice", "bob").len(), 1);
    assert_eq!(count(&mut world, "alice", Counter::Undecryptable), 1_000);
    assert!(world.relay.device("alice", 1).mailbox.is_empty());
}

#[test]
fn r15_a_replay_of_a_session_that_is_gone_heals_once() {
    let mut world = World::friends(412);
    let first = world.relay.log.iter().find(|(place, _, _)| place.0 == "bob").unwrap().2.clone();
    world.disconnect("bob");
    let mut store = world.client("bob").core.take().unwrap().into_store();
    store.transaction(|tx| tx.delete_session(&name("alice"), device(1)).map(drop)).unwrap();
    store.close().unwrap();
    for i in 0..3 {
        world.relay.inject("bob", 1, EnvelopeId::from_bytes([i; 16]), first.clone());
    }
    world.restart("bob");
    world.settle();
    assert_eq!(count(&mut world, "bob", Counter::DiscardedReplay), 3);
    assert_eq!(count(&mut world, "bob", Counter::Healed), 1);
    assert!(world.notices("bob", "alice").is_empty(), "nothing was lost");
    assert_eq!(world.texts("bob", "alice").len(), 2);
    world.send("alice", "bob", "still here");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "still here");
}
