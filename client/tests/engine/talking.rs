//! Two people talk.

use subrosa_client::api::{ContactState, EventKind, Kind, MessageKind, MessageState, Request, WaitFor};
use subrosa_protocol::{ErrorCode, frames::ErrorFrame};

use crate::world::World;

#[test]
fn a_text_goes_both_ways() {
    let mut world = World::with(1, &["alice", "bob"]);
    let first = world.try_send("alice", "bob", "hi bob", WaitFor::Accepted);
    assert_eq!((first.state, first.error), (MessageState::Accepted, None));
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["hi bob"]);
    assert_eq!(world.contact("bob", "alice").unwrap().state, ContactState::RequestReceived);
    assert_eq!(world.told("bob", EventKind::ContactRequested).len(), 1);

    let answer = world.send("bob", "alice", "hi alice");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["hi bob", "hi alice"]);
    for (handle, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(world.contact(handle, other).unwrap().state, ContactState::Accepted);
    }
    assert_eq!(world.state("bob", &answer), MessageState::Delivered);
    assert_eq!(world.state("alice", first.id.as_deref().unwrap()), MessageState::Delivered);
    assert_eq!(world.status("alice").discarded + world.status("bob").discarded, 0);
}

#[test]
fn both_start_at_once_and_converge() {
    let mut world = World::with(2, &["alice", "bob"]);
    world.send_later("alice", "bob", "from alice", WaitFor::Queued);
    world.send_later("bob", "alice", "from bob", WaitFor::Queued);
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["from alice", "from bob"]);
    assert_eq!(world.texts("bob", "alice"), ["from bob", "from alice"]);
    for i in 0..10 {
        world.send("alice", "bob", &format!("a{i}"));
        world.send("bob", "alice", &format!("b{i}"));
        world.settle();
    }
    assert_eq!(world.texts("alice", "bob").len(), 22);
    assert_eq!(world.texts("bob", "alice").len(), 22);
    assert!(world.notices("alice", "bob").is_empty() && world.notices("bob", "alice").is_empty());
}

#[test]
fn an_offline_recipient_gets_everything_in_order() {
    let mut world = World::friends(3);
    world.disconnect("bob");
    let sent: Vec<_> = (0..60).map(|i| format!("line {i}")).collect();
    for text in &sent {
        world.send("alice", "bob", text);
    }
    world.settle();
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice")[2..], sent);
    assert!(world.relay.device("bob", 1).mailbox.is_empty(), "acknowledged and deleted");
    let done = world.told("bob", EventKind::SyncDone);
    assert!(!done.is_empty());
}

#[test]
fn r21_duplicates_and_reordered_pushes_change_nothing() {
    let mut world = World::friends(4);
    world.relay.pushes = 3;
    world.reorder = true;
    let sent: Vec<_> = (0..20).map(|i| format!("line {i}")).collect();
    for text in &sent {
        world.send_later("alice", "bob", text, WaitFor::Queued);
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice")[2..], sent);
    assert!(world.notices("bob", "alice").is_empty());
}

#[test]
fn r21_retries_send_identical_bytes_and_r45_nothing_arrives_twice() {
    let mut world = World::friends(5);
    world.relay.refuse_sends = Some(ErrorFrame::new(ErrorCode::StorageFull, ""));
    let id = world.send("alice", "bob", "patience");
    world.settle();
    assert_eq!(world.state("alice", &id), MessageState::Queued);
    world.relay.refuse_sends = None;
    world.run_for(60_000);
    assert_eq!(world.state("alice", &id), MessageState::Delivered);
    let sends = world.clients["alice"].sent.iter().filter(|frame| frame.kind == 0x30);
    let bodies: Vec<_> = sends.map(|frame| frame.body.clone()).collect();
    let last = bodies.last().unwrap();
    assert!(bodies.iter().filter(|body| *body == last).count() >= 2, "the same bytes at every try");
    assert_eq!(world.texts("bob", "alice").iter().filter(|text| *text == "patience").count(), 1);
}

#[test]
fn whoever_waits_too_long_is_told_what_the_relay_answered() {
    let mut world = World::friends(5);
    world.relay.refuse_sends = Some(ErrorFrame::new(ErrorCode::StorageFull, ""));
    let token = world.send_later("alice", "bob", "patience", WaitFor::Accepted);
    world.run_for(120_000);
    let subrosa_client::api::Reply::Sent { results } = world.answer("alice", token).unwrap().unwrap() else {
        panic!()
    };
    let error = results[0].error.as_ref().unwrap();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(error.message.as_str().contains("the relay's disk is full"), "{}", error.message);
    assert!(error.message.as_str().contains("goes out by itself"), "{}", error.message);
}

#[test]
fn an_idempotency_key_sends_once() {
    let mut world = World::friends(6);
    let first = world.send_with_key("alice", "bob", "once", "key-1");
    let again = world.send_with_key("alice", "bob", "once", "key-1");
    let other = world.send_with_key("alice", "bob", "twice", "key-2");
    world.settle();
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(world.texts("bob", "alice")[2..], ["once", "twice"]);
}

#[test]
fn r43_a_request_is_one_short_text_and_the_rest_waits() {
    let mut world = World::with(7, &["alice", "bob"]);
    let long = world.try_send("alice", "bob", &"x".repeat(513), WaitFor::Queued);
    assert_eq!(long.error.unwrap().kind, Kind::Refused);
    world.send("alice", "bob", &"x".repeat(512));
    let held = world.try_send("alice", "bob", "second", WaitFor::Accepted);
    assert_eq!((held.state, held.error.unwrap().kind), (MessageState::Held, Kind::Timeout));
    world.settle();
    assert_eq!(world.texts("bob", "alice").len(), 1);
    assert_eq!(world.status("alice").held, 1);
    assert!(
        world.told("alice", EventKind::MessageDelivered).is_empty(),
        "no receipts before acceptance (R45)"
    );

    world.ask("bob", Request::ContactAccept { name: "alice".into() }).unwrap();
    world.settle();
    assert_eq!(world.texts("bob", "alice")[1..], ["second"]);
    assert_eq!(world.contact("alice", "bob").unwrap().state, ContactState::Accepted);
    assert_eq!(world.told("alice", EventKind::MessageDelivered).len(), 2);
    assert_eq!(world.state("alice", &held.id.unwrap()), MessageState::Delivered);
}

#[test]
fn r45_receipts_are_given_once_and_read_after_delivered() {
    let mut world = World::friends(8);
    let id = world.send("alice", "bob", "did you see?");
    world.settle();
    assert_eq!(world.state("alice", &id), MessageState::Delivered);
    let last = world.history("bob", "alice").last().unwrap().order;
    for _ in 0..3 {
        world.ask("bob", Request::ChatRead { chat: "alice".into(), up_to: last }).unwrap();
        world.settle();
    }
    assert_eq!(world.state("alice", &id), MessageState::Read);
    assert_eq!(world.told("alice", EventKind::MessageRead).len(), 2, "one for each of alice's two texts");
    let to_alice = world.relay.log.iter().filter(|(place, _, _)| place.0 == "alice").count();
    world.run_for(3_600_000);
    assert_eq!(world.relay.log.iter().filter(|(place, _, _)| place.0 == "alice").count(), to_alice);
}

#[test]
fn r19_a_sender_stops_at_500_and_goes_on_when_answered() {
    let mut world = World::friends(9);
    world.disconnect("bob");
    for i in 0..600 {
        world.send_later("alice", "bob", &format!("{i}"), WaitFor::Queued);
    }
    world.settle();
    assert!(world.relay.device("bob", 1).mailbox.len() <= 500);
    let waiting = world.history("alice", "bob").pop().unwrap();
    assert_eq!(waiting.state, MessageState::Queued);
    assert!(waiting.reason.unwrap().contains("waiting for bob"));
    world.connect("bob");
    world.run_for(60_000);
    assert_eq!(world.texts("bob", "alice").len(), 602);
    assert_eq!(world.status("alice").queued, 0);
}

#[test]
fn r19_one_sided_traffic_never_deadlocks() {
    let mut world = World::friends(10);
    for i in 0..1_300 {
        world.send_later("alice", "bob", &format!("{i}"), WaitFor::Queued);
        if i % 50 == 0 {
            world.settle();
        }
    }
    world.run_for(60_000);
    assert_eq!(world.texts("bob", "alice").len(), 1_302);
    assert_eq!(world.status("alice").queued, 0);
    assert_eq!(world.status("bob").queued, 0);
    // Bob sent nothing but receipts, and they are acknowledged all the same.
    let unacknowledged = world.peek("bob", |tx| {
        tx.outgoing_chain(&crate::world::name("alice"), crate::world::device(1)).unwrap().unacknowledged()
    });
    assert!(unacknowledged < 200, "{unacknowledged}");
}

#[test]
fn r19_both_at_the_limit_release_each_other() {
    let mut world = World::friends(11);
    world.relay.silent = true;
    for (handle, other) in [("alice", "bob"), ("bob", "alice")] {
        for i in 0..520 {
            world.send_later(handle, other, &format!("{i}"), WaitFor::Queued);
        }
    }
    world.settle();
    world.relay.silent = false;
    for handle in ["alice", "bob"] {
        world.disconnect(handle);
        world.connect(handle);
    }
    world.run_for(60_000);
    for handle in ["alice", "bob"] {
        assert_eq!(world.status(handle).queued, 0, "{handle}");
    }
}

#[test]
fn an_unknown_account_is_not_found() {
    let mut world = World::with(12, &["alice"]);
    let result = world.try_send("alice", "nobody", "hi", WaitFor::Accepted);
    assert_eq!((result.state, result.error.unwrap().kind), (MessageState::Failed, Kind::NotFound));
    assert!(world.contact("alice", "nobody").is_none());
    let again = world.try_send("alice", "nobody", "hi", WaitFor::Accepted);
    assert_eq!((again.state, again.error.unwrap().kind), (MessageState::Failed, Kind::NotFound));
    assert_eq!(world.status("alice").queued, 0);
    let error = world.ask("alice", Request::ContactAdd { name: "nobody".into() }).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let error = world.ask("alice", Request::ContactAdd { name: "bob@elsewhere".into() }).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
}

#[test]
fn what_is_sent_offline_is_queued_and_goes_out_later() {
    let mut world = World::friends(13);
    world.disconnect("alice");
    let token = world.send_later("alice", "bob", "from the tunnel", WaitFor::Accepted);
    world.run_for(31_000);
    let late = world.answer("alice", token).unwrap().unwrap();
    let subrosa_client::api::Reply::Sent { results } = late else { panic!() };
    assert_eq!(results[0].error.as_ref().unwrap().kind, Kind::Timeout);
    assert_eq!(results[0].error.as_ref().unwrap().id, results[0].id);
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "from the tunnel");
}

#[test]
fn r36_prekeys_are_refilled_and_rotated() {
    let mut world = World::with(14, &["alice", "bob"]);
    world.relay.device("bob", 1).one_time.clear();
    world.relay.device("bob", 1).kem.clear();
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    let bob = world.relay.device("bob", 1).clone();
    assert_eq!((bob.one_time.len(), bob.kem.len()), (100, 100));
    let day = 24 * 3600 * 1000;
    for _ in 0..8 {
        world.run_for(day);
    }
    let after = world.relay.device("bob", 1).clone();
    assert_ne!(after.signed, bob.signed);
    assert_ne!(after.last_resort, bob.last_resort);
    world.send("alice", "bob", "to the new prekey");
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["to the new prekey"]);
}

#[test]
fn a_text_is_sent_as_it_is_shown() {
    let mut world = World::friends(15);
    world.send("alice", "bob", "a\u{202e}b\x1b[31m\nc");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), world.texts("bob", "alice"));
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "ab[31m\nc");
    assert!(matches!(world.history("bob", "alice").last().unwrap().kind, MessageKind::Text { .. }));
    let empty = world.ask(
        "alice",
        Request::MessageSend(subrosa_client::api::SendMessage {
            to: vec!["bob".into()],
            text: " \n".into(),
            reply_to: None,
            key: None,
            wait: WaitFor::Queued,
            timeout_ms: None,
        }),
    );
    assert_eq!(empty.unwrap_err().kind, Kind::Usage);
}

#[test]
fn requests_have_bounds_and_are_always_answered() {
    let mut world = World::friends(16);
    let send = |to: Vec<String>| {
        Request::MessageSend(subrosa_client::api::SendMessage {
            to,
            text: "hi".into(),
            reply_to: None,
            key: None,
            wait: WaitFor::Queued,
            timeout_ms: None,
        })
    };
    let many = vec!["bob".to_owned(); subrosa_client::limits::RECIPIENTS + 1];
    assert_eq!(world.ask("alice", send(many)).unwrap_err().kind, Kind::Usage);
    assert_eq!(world.ask("alice", send(Vec::new())).unwrap_err().kind, Kind::Usage);

    world.disconnect("alice");
    let waiting: Vec<_> = (0..subrosa_client::limits::WAITING_REQUESTS)
        .map(|_| world.ask_later("alice", Request::SyncWait { timeout_ms: 10_000 }))
        .collect();
    let refused = world.ask("alice", Request::SyncWait { timeout_ms: 10_000 }).unwrap_err();
    assert_eq!(refused.kind, Kind::RateLimited);
    world.run_for(11_000);
    for token in waiting {
        assert_eq!(world.answer("alice", token).unwrap().unwrap_err().kind, Kind::Unreachable);
    }
    let offline = world.ask("alice", Request::DeviceRemove { device: 2 }).unwrap_err();
    assert_eq!(offline.kind, Kind::Unreachable);
}

#[test]
fn a_dead_relay_is_noticed() {
    let mut world = World::friends(17);
    // Requests go out, nothing comes back.
    world.client("alice").deaf = true;
    world.send("alice", "bob", "anybody?");
    world.run_for(31_000);
    assert!(!world.clients["alice"].connected, "given up after 30 s");
    world.client("alice").deaf = false;
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "anybody?");
    assert_eq!(world.texts("bob", "alice").iter().filter(|text| *text == "anybody?").count(), 1);
}

#[test]
fn r44_what_nobody_takes_for_30_days_is_given_up_and_told() {
    let mut world = World::friends(18);
    world.relay.refuse_sends = Some(ErrorFrame::new(ErrorCode::MailboxFull, ""));
    let id = world.send("alice", "bob", "nobody wants this");
    for _ in 0..31 {
        world.run_for(24 * 3_600_000);
    }
    assert_eq!(world.state("alice", &id), MessageState::Failed);
    let told = world.told("alice", EventKind::MessageFailed);
    assert_eq!(told.len(), 1);
    assert_eq!(world.status("alice").queued, 0);
}

#[test]
fn when_a_person_must_act_whoever_waits_is_told_at_once_and_the_text_stays() {
    let mut world = World::friends(19);
    world.relay.refuse_sends = Some(ErrorFrame::new(ErrorCode::Internal, ""));
    let token = world.send_later("alice", "bob", "stays", WaitFor::Accepted);
    let sync = world.ask_later("alice", Request::ContactAdd { name: "carol".into() });
    let error = subrosa_client::api::ApiError::new(Kind::Identity, "the relay has another key");
    world.feed("alice", subrosa_client::core::Input::Blocked(error));
    let subrosa_client::api::Reply::Sent { results } = world.answer("alice", token).unwrap().unwrap() else {
        panic!()
    };
    assert_eq!(results[0].error.as_ref().unwrap().kind, Kind::Identity);
    assert_eq!(world.answer("alice", sync).unwrap().unwrap_err().kind, Kind::Identity);
    assert_eq!(
        world.try_send("alice", "bob", "so does this", WaitFor::Accepted).error.unwrap().kind,
        Kind::Identity
    );
    world.relay.refuse_sends = None;
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("bob", "alice")[2..], ["stays", "so does this"]);
}
