//! Programs die at any moment, and copies of stores come back.

use subrosa_client::api::{ConnectionState, Kind, MessageState, Request, WaitFor};

use crate::world::World;

/// Alice writes three texts and bob answers, while `victim` dies at its `at`-th step. In the end everybody has everything,
/// once.
fn conversation_with_a_crash(victim: &str, at: usize) -> bool {
    let mut world = World::friends(100);
    world.client(victim).crash_in = Some(at);
    for i in 0..3 {
        for (handle, other) in [("alice", "bob"), ("bob", "alice")] {
            let key = format!("{handle}-{i}");
            // Like a script: whoever gets no answer sends again, under the same key.
            for _ in 0..2 {
                if world.clients[handle].core.is_some() {
                    let text = format!("{handle} says {i}");
                    let message = subrosa_client::api::SendMessage {
                        to: vec![other.into()],
                        text,
                        reply_to: None,
                        key: Some(key.clone()),
                        wait: WaitFor::Queued,
                        timeout_ms: None,
                    };
                    let token = world.ask_later(handle, Request::MessageSend(message));
                    if world.answer(handle, token).is_some() {
                        break;
                    }
                }
                if world.clients[handle].core.is_none() {
                    world.restart(handle);
                }
            }
        }
        world.settle();
        if world.clients[victim].core.is_none() {
            world.restart(victim);
        }
    }
    let crashed = world.clients[victim].crash_in.is_none();
    world.client(victim).crash_in = None;
    for handle in ["alice", "bob"] {
        world.disconnect(handle);
        world.connect(handle);
    }
    world.run_for(60_000);
    for (handle, other) in [("alice", "bob"), ("bob", "alice")] {
        let mut texts = world.texts(handle, other);
        texts.sort();
        let mut expected = vec!["hello bob".to_owned(), "hello alice".to_owned()];
        for i in 0..3 {
            expected.push(format!("alice says {i}"));
            expected.push(format!("bob says {i}"));
        }
        expected.sort();
        assert_eq!(texts, expected, "{handle}'s view, {victim} died at {at}");
        assert!(world.notices(handle, other).is_empty(), "{victim} died at {at}");
        assert_eq!(world.status(handle).queued, 0);
        for line in world.history(handle, other) {
            assert!(!matches!(line.state, MessageState::Queued | MessageState::Failed), "{line:?}");
        }
    }
    crashed
}

#[test]
fn r21_whenever_a_sender_dies_nothing_is_lost_and_nothing_comes_twice() {
    let mut at = 0;
    while conversation_with_a_crash("alice", at) {
        at += 1;
    }
    assert!(at > 10, "{at}");
}

#[test]
fn r21_whenever_a_recipient_dies_nothing_is_lost_and_nothing_comes_twice() {
    let mut at = 0;
    while conversation_with_a_crash("bob", at) {
        at += 1;
    }
    assert!(at > 10, "{at}");
}

#[test]
fn r21_nothing_is_sent_that_is_not_durable() {
    let mut world = World::friends(101);
    // The commit that follows is not seen by anybody: its effects are thrown away with the process.
    world.client("alice").crash_in = Some(0);
    world.send_later("alice", "bob", "durable", WaitFor::Queued);
    assert!(world.clients["alice"].core.is_none());
    assert!(world.relay.log.iter().all(|(place, _, _)| place.0 != "nobody"));
    let sealed = world.peek("alice", |tx| {
        let bob = crate::world::name("bob");
        tx.outbox_head(&bob, crate::world::device(1), 9, usize::MAX).unwrap().pop().unwrap().sealed
    });
    let before = world.relay.log.len();
    world.restart("alice");
    world.settle();
    let sent = &world.relay.log[before];
    assert_eq!(sent.2, sealed, "the bytes that were committed are the bytes that are sent");
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "durable");
}

#[test]
fn r23_a_restored_copy_does_not_catch_up_by_writing_without_a_connection() {
    let mut world = World::friends(103);
    let old = world.copy_store("alice");
    world.send("alice", "bob", "after the copy");
    world.settle();
    world.restore_store_without_connection("alice", &old);
    for _ in 0..20 {
        world.send("alice", "bob", "as if nothing had happened");
    }
    let before = world.relay.log.len();
    world.connect("alice");
    world.settle();
    assert!(matches!(world.status("alice").connection, ConnectionState::Blocked { .. }), "it noticed");
    assert!(world.relay.log[before..].iter().all(|(place, _, _)| place.0 == "alice"), "nothing left alice");
    // Writing without a connection does not make a copy of a profile that is none.
    world.disconnect("bob");
    for _ in 0..20 {
        world.send("bob", "alice", "later");
    }
    world.crash("bob");
    world.restart("bob");
    world.settle();
    assert_eq!(world.status("bob").queued, 0);
}

#[test]
fn r23_a_restored_copy_is_quarantined() {
    let mut world = World::friends(102);
    let old = world.copy_store("alice");
    world.send("alice", "bob", "after the copy");
    world.settle();
    world.restore_store("alice", &old);
    world.settle();
    let ConnectionState::Blocked { error } = world.status("alice").connection else { panic!("not blocked") };
    assert_eq!(error.kind, Kind::NotReady);
    let before = world.relay.log.len();
    world.send("bob", "alice", "are you there?");
    let refused = world.ask(
        "alice",
        Request::MessageSend(subrosa_client::api::SendMessage {
            to: vec!["bob".into()],
            text: "with old keys".into(),
            reply_to: None,
            key: None,
            wait: WaitFor::Queued,
            timeout_ms: None,
        }),
    );
    assert_eq!(refused.unwrap_err().kind, Kind::NotReady);
    world.settle();
    assert!(world.relay.log[before..].iter().all(|(place, _, _)| place.0 == "alice"), "nothing left alice");
    assert_eq!(world.texts("alice", "bob"), ["hello bob", "hello alice"], "what is stored stays readable");
    world.crash("alice");
    world.restart("alice");
    assert!(
        matches!(world.status("alice").connection, ConnectionState::Blocked { .. }),
        "also after a restart"
    );
}

#[test]
fn r23_a_quarantined_copy_that_owes_receipts_is_not_woken_for_them() {
    let mut world = World::friends(104);
    world.send("bob", "alice", "read this");
    while world.texts("alice", "bob").last().unwrap() != "read this" {
        assert!(world.step(), "never arrived");
    }
    let old = world.copy_store("alice");
    world.send("alice", "bob", "after the copy");
    // No time passes: the receipt is still to be given when the copy finds out that it is one.
    while world.step() {}
    world.restore_store("alice", &old);
    let due = world.peek("alice", |tx| tx.next_receipt().unwrap());
    assert!(due.is_some_and(|at| at > world.now), "no receipt waits: {due:?}, now {}", world.now);
    while world.step() {}
    assert!(matches!(world.status("alice").connection, ConnectionState::Blocked { .. }), "it noticed");
    world.settle();
    let now = world.now;
    let core = world.client("alice").core.as_ref().unwrap();
    assert!(core.wake_at().is_none_or(|at| at > now), "woken at {:?}, now {now}", core.wake_at());
}
