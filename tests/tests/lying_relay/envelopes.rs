//! Ciphertexts that are altered, repeated, dropped, turned round or given to somebody else: each text is there once, in
//! order or with the gap shown, and nothing forged ever.

use std::sync::{Arc, Mutex};

use subrosa_client::api::{EventKind, MessageKind, MessageState};
use subrosa_protocol::{BoundedBytes, EnvelopeId, frames::OutgoingEnvelope};
use subrosa_tests::lying_relay::{Place, Scene, forge, random, rng};

use crate::{goes_on, size, with_before};

/// What becomes of the envelopes from alice to bob.
fn alter(
    scene: &Scene,
    mut lie: impl FnMut(&Place, OutgoingEnvelope) -> Vec<(Place, OutgoingEnvelope)> + Send + 'static,
) {
    scene.relay.lie(|lies| {
        lies.stores(
            move |from, to, envelope| {
                if from.0 == "alice" { lie(to, envelope) } else { vec![(to.clone(), envelope)] }
            },
        );
    });
}

fn bytes(envelope: OutgoingEnvelope, change: impl FnOnce(&mut Vec<u8>)) -> OutgoingEnvelope {
    let mut sealed = envelope.sealed.into_inner();
    change(&mut sealed);
    OutgoingEnvelope { id: envelope.id, sealed: BoundedBytes::new(sealed).unwrap() }
}

fn missing(kinds: &[MessageKind]) -> Option<u64> {
    kinds.iter().rev().find_map(|kind| match kind {
        MessageKind::Missing { count } => Some(*count),
        _ => None,
    })
}

/// alice writes with the lie, then without it: bob sees that something is missing, and then gets it, once.
async fn found_missing(scene: &Scene, lost: &[&str]) {
    let before = scene.bob.status().await.discarded;
    for text in lost {
        scene.alice.send("bob", text).await;
    }
    scene.relay.until_dealt_with("bob", 1).await;
    assert_eq!(scene.bob.texts("alice").await, with_before(&[]), "nothing of it is shown");
    let discarded = scene.bob.status().await.discarded - before;
    scene.relay.be_honest();
    scene.alice.send("bob", "the next one").await;
    scene.bob.until_heard(EventKind::MessageMissing, |_| true).await;
    for text in lost {
        scene.bob.until_text("alice", text).await;
    }
    assert_eq!(missing(&scene.bob.notices("alice").await), Some(0), "the gap was shown and has closed");
    assert_eq!(scene.bob.texts("alice").await.len(), 3 + lost.len());
    println!("{} envelopes lost or altered, {discarded} counted as discarded", lost.len());
    goes_on(scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_envelope_altered_anywhere_is_not_shown() {
    let flips = size("SUBROSA_LYING_FLIPS", 12).max(5);
    // As many as one request to send again may ask for, and fewer.
    for first in (0..flips).step_by(90) {
        let scene = Scene::friends().await;
        let mut turn = first;
        // The version, the key, the ciphertext from its first byte to its last.
        alter(&scene, move |to, envelope| {
            let altered = bytes(envelope, |sealed| {
                let place = match turn {
                    0 => 0,
                    1 => 1,
                    2 => 32,
                    3 => 33,
                    _ => 33 + (sealed.len() - 34) * (turn - 3) / (flips - 4),
                };
                sealed[place] ^= 1 << (turn % 8);
            });
            turn += 1;
            vec![(to.clone(), altered)]
        });
        let lost: Vec<_> = (first..flips.min(first + 90)).map(|i| format!("altered {i}")).collect();
        found_missing(&scene, &lost.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_envelope_cut_or_lengthened_is_not_shown() {
    let scene = Scene::friends().await;
    let mut turn = 0;
    alter(&scene, move |to, envelope| {
        turn += 1;
        let altered = bytes(envelope, |sealed| match turn {
            1 => sealed.clear(),
            2 => sealed.truncate(1),
            3 => sealed.truncate(33),
            4 => drop(sealed.pop()),
            5 => sealed.push(0),
            _ => sealed.resize(70_000, 7),
        });
        vec![(to.clone(), altered)]
    });
    found_missing(&scene, &["empty", "a byte", "a key", "one less", "one more", "huge"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_envelope_is_shown_as_a_gap_and_sent_again() {
    let scene = Scene::friends().await;
    alter(&scene, |_, _| Vec::new());
    found_missing(&scene, &["one", "two", "three"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_and_dropped_is_never_called_delivered() {
    let scene = Scene::friends().await;
    alter(&scene, |_, _| Vec::new());
    let id = scene.alice.send("bob", "into the void").await;
    scene.alice.reconnect().await;
    scene.alice.until_synced().await;
    assert_eq!(scene.alice.line(&id).await.state, MessageState::Accepted);
    scene.relay.be_honest();
    scene.alice.send("bob", "are you there?").await;
    scene.bob.until_text("alice", "into the void").await;
    scene.alice.until_state(&id, MessageState::Delivered).await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_a_repeated_envelope_is_shown_once() {
    let scene = Scene::friends().await;
    alter(&scene, |to, envelope| {
        // Under its own id twice, and under another one.
        let other = OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), ..envelope.clone() };
        vec![(to.clone(), envelope.clone()), (to.clone(), envelope), (to.clone(), other)]
    });
    let before = scene.bob.status().await.discarded;
    scene.alice.send("bob", "once").await;
    scene.bob.until_text("alice", "once").await;
    scene.relay.until_dealt_with("bob", 1).await;
    assert!(scene.bob.status().await.discarded >= before + 2);
    goes_on(&scene).await;
    assert_eq!(scene.bob.heard(EventKind::MessageReceived).len(), 2, "once, and the one afterwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_an_envelope_repeated_after_its_acknowledgement_and_a_restart_is_shown_once() {
    let Scene { relay, alice, bob, carol, folder } = Scene::friends().await;
    alice.send("bob", "once").await;
    bob.until_text("alice", "once").await;
    relay.until_dealt_with("bob", 1).await;
    let sent = relay.sent_to("alice", "bob");
    let again = |relay: &subrosa_tests::lying_relay::LyingRelay| {
        for envelope in &sent {
            let other = OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), ..envelope.clone() };
            relay.state(|state| {
                state.put(&("bob".into(), 1), envelope.clone());
                state.put(&("bob".into(), 1), other);
            });
        }
    };
    again(&relay);
    relay.until_dealt_with("bob", 1).await;
    let bob = bob.restart(&relay, |_| {}).await;
    again(&relay);
    bob.until_synced().await;
    relay.until_dealt_with("bob", 1).await;
    assert_eq!(bob.texts("alice").await, with_before(&["once"]));
    assert!(bob.heard(EventKind::MessageReceived).is_empty());
    goes_on(&Scene { relay, alice, bob, carol, folder }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_in_another_order_show_a_gap_until_all_are_there() {
    let scene = Scene::friends().await;
    let held: Arc<Mutex<Vec<_>>> = Arc::default();
    let keep = Arc::clone(&held);
    alter(&scene, move |to, envelope| {
        keep.lock().unwrap().push((to.clone(), envelope));
        Vec::new()
    });
    for text in ["first", "second", "third"] {
        scene.alice.send("bob", text).await;
    }
    scene.relay.be_honest();
    let mut held = std::mem::take(&mut *held.lock().unwrap());
    held.reverse();
    scene.relay.state(|state| held.into_iter().for_each(|(to, envelope)| _ = state.put(&to, envelope)));
    for text in ["third", "second", "first"] {
        scene.bob.until_text("alice", text).await;
    }
    scene.bob.until_heard(EventKind::MessageMissing, |_| true).await;
    scene.relay.until_dealt_with("bob", 1).await;
    assert_eq!(missing(&scene.bob.notices("alice").await), Some(0));
    assert_eq!(scene.bob.texts("alice").await, with_before(&["third", "second", "first"]));
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_envelope_of_another_conversation_is_not_shown() {
    let scene = Scene::friends().await;
    // What alice writes to bob goes to carol, who knows neither.
    alter(&scene, |to, envelope| {
        let elsewhere = OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), ..envelope.clone() };
        vec![(("carol".into(), 1), elsewhere), (to.clone(), envelope)]
    });
    scene.alice.send("bob", "not for carol").await;
    scene.bob.until_text("alice", "not for carol").await;
    scene.relay.until_dealt_with("carol", 1).await;
    assert!(scene.carol.texts("alice").await.is_empty() && scene.carol.contact("alice").await.is_none());
    assert_eq!(scene.carol.status().await.discarded, 1);
    assert!(!scene.carol.told().contains("not for carol"));
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_envelope_of_another_device_is_not_shown_twice() {
    let scene = Scene::friends().await;
    let second = scene.bob.another_device(&scene.relay).await;
    second.until_synced().await;
    // The first device gets what is for the second one, and the other way round, beside its own.
    alter(&scene, |to, envelope| {
        let other = (to.0.clone(), 3 - to.1);
        let copy = OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), ..envelope.clone() };
        vec![(other, copy), (to.clone(), envelope)]
    });
    scene.alice.send("bob", "to each its own").await;
    for device in [&scene.bob, &second] {
        device.until_text("alice", "to each its own").await;
        scene.relay.until_dealt_with("bob", device.device).await;
        assert!(device.status().await.discarded >= 1);
    }
    goes_on(&scene).await;
    assert_eq!(scene.bob.texts("alice").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_own_envelope_that_comes_back_is_not_shown() {
    let scene = Scene::friends().await;
    alter(&scene, |to, envelope| {
        let back = OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), ..envelope.clone() };
        vec![(("alice".into(), 1), back), (to.clone(), envelope)]
    });
    scene.alice.send("bob", "to bob").await;
    scene.bob.until_text("alice", "to bob").await;
    scene.relay.until_dealt_with("alice", 1).await;
    let list = scene.relay.state(|state| state.newest("alice")).unwrap();
    // One that opens, and claims to be of this very device.
    scene.relay.inject("alice", 1, &forge::envelope(&list, 1, ("alice", 1), &[7; 400])).await;
    assert!(scene.alice.status().await.discarded >= 2);
    assert_eq!(scene.alice.texts("bob").await, with_before(&["to bob"]));
    assert!(scene.alice.texts("alice").await.is_empty());
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_an_envelope_that_claims_to_be_a_friends_shows_one_line_and_no_text() {
    let scene = Scene::friends().await;
    let list = scene.relay.state(|state| state.newest("bob")).unwrap();
    for i in 0..20u8 {
        scene.relay.inject("bob", 1, &forge::envelope(&list, 1, ("alice", 1), &[i; 600])).await;
    }
    let undecryptable = |kind: &&MessageKind| matches!(kind, MessageKind::Undecryptable {});
    assert_eq!(scene.bob.notices("alice").await.iter().filter(undecryptable).count(), 1);
    assert_eq!(scene.bob.heard(EventKind::MessageUndecryptable).len(), 1);
    assert!(scene.bob.status().await.discarded >= 20);
    assert_eq!(scene.bob.texts("alice").await, with_before(&[]));
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_envelopes_of_people_and_devices_that_are_not_there_are_counted() {
    let scene = Scene::friends().await;
    let list = scene.relay.state(|state| state.newest("bob")).unwrap();
    let before = scene.bob.status().await.discarded;
    for claimed in [("nobody_at_all", 1), ("alice", 77), ("bob", 9)] {
        scene.relay.inject("bob", 1, &forge::envelope(&list, 1, claimed, &[1; 300])).await;
    }
    let mut garbage = vec![0; 900];
    rand_core::Rng::fill_bytes(&mut rng(), &mut garbage);
    scene.relay.inject("bob", 1, &garbage).await;
    let counted = |status: &subrosa_client::api::Status| status.discarded >= before + 4;
    scene.bob.until_status("all are counted", counted).await;
    assert!(scene.bob.contact("nobody_at_all").await.is_none());
    assert!(scene.bob.notices("alice").await.is_empty());
    goes_on(&scene).await;
}
