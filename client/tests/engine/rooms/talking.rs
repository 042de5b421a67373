//! Messages in rooms: order, replies, mentions, offline writers, missed entries, being cut off.

use subrosa_client::{
    Request,
    api::{EventBody, EventKind, MessageKind, MessageState, RoomState, SendMessage, WaitFor},
};
use subrosa_protocol::{RawFrame, frames::Request as WireRequest};

use super::id_of;
use crate::{relay_rooms::device_of, world::World};

#[test]
fn what_is_written_offline_is_sent_in_order_when_connected() {
    let mut world = World::with_rooms(40, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.disconnect("bob");
    let ids: Vec<_> = (0..5).map(|n| world.send("bob", "#ops", &format!("offline {n}"))).collect();
    // The room goes on without him, further than his epoch is taken for.
    for n in 0..6 {
        let topic = Request::RoomTopic { room: "#ops".into(), topic: format!("topic {n}") };
        world.room("alice", topic).unwrap();
    }
    world.send("alice", "#ops", "meanwhile");
    world.settle();
    assert_eq!(world.status("bob").queued, 5);
    world.connect("bob");
    world.settle();
    let mut expected = vec!["meanwhile".to_owned()];
    expected.extend((0..5).map(|n| format!("offline {n}")));
    assert_eq!(world.texts("alice", "#ops"), expected);
    for id in ids {
        assert_eq!(world.state("bob", &id), MessageState::Accepted);
    }
    assert!(world.told("alice", EventKind::MessageMissing).is_empty());
    assert_eq!(world.status("bob").queued, 0);
}

#[test]
fn missed_entries_are_fetched_page_after_page() {
    let mut world = World::with_rooms(41, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.disconnect("bob");
    for n in 0..40 {
        world.send("alice", "#ops", &format!("message {n}"));
        if n % 10 == 0 {
            world.settle();
        }
    }
    world.settle();
    world.connect("bob");
    world.settle();
    let expected: Vec<_> = (0..40).map(|n| format!("message {n}")).collect();
    assert_eq!(world.texts("bob", "#ops"), expected);
    let room = id_of(&world.shown("bob", "#ops"));
    let cursors: Vec<_> =
        world.relay.rooms.rooms[&room].roster.values().map(|member| member.cursor).collect();
    let head = world.relay.rooms.rooms[&room].log.len() as u64;
    assert_eq!(cursors, [head, head], "what is stored is acknowledged");
}

#[test]
fn pushes_that_are_reordered_or_lost_change_nothing() {
    for (reorder, silent) in [(true, false), (false, true)] {
        let mut world = World::with_rooms(42, &["alice", "bob", "carol"]);
        world.gather(&["alice", "bob", "carol"]);
        world.reorder = reorder;
        world.relay.silent = silent;
        for n in 0..10 {
            world.send("alice", "#ops", &format!("a{n}"));
            world.send("carol", "#ops", &format!("c{n}"));
        }
        world.settle();
        world.relay.silent = false;
        world.send("bob", "#ops", "and me");
        world.settle();
        for who in ["alice", "bob", "carol"] {
            world.disconnect(who);
            world.connect(who);
        }
        world.settle();
        let texts = world.texts("bob", "#ops");
        assert_eq!(texts.len(), 21);
        for letter in ["a", "c"] {
            let of: Vec<_> =
                texts.iter().filter(|text| text.starts_with(letter) && text.len() == 2).collect();
            let expected: Vec<_> = (0..10).map(|n| format!("{letter}{n}")).collect();
            assert_eq!(of, expected.iter().collect::<Vec<_>>(), "I3");
        }
    }
}

#[test]
fn replies_and_mentions() {
    let mut world = World::with_rooms(43, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    let first = world.send("alice", "#ops", "question?");
    world.settle();
    let reply = SendMessage {
        to: vec!["#ops".into()],
        text: "answer, @alice".into(),
        reply_to: Some(first.clone()),
        key: Some("k".into()),
        wait: WaitFor::Accepted,
        timeout_ms: None,
    };
    world.ask("bob", Request::MessageSend(reply.clone())).unwrap();
    world.ask("bob", Request::MessageSend(reply)).unwrap();
    world.settle();
    let line = world.history("alice", "#ops").pop().unwrap();
    assert_eq!((line.from.as_str(), line.reply_to.as_deref()), ("bob", Some(first.as_str())));
    assert_eq!(world.texts("alice", "#ops").len(), 2, "a key names one message");
    let told = world.told("alice", EventKind::MessageReceived);
    let Some(EventBody::MessageReceived { message }) = told.last() else { panic!() };
    assert!(message.mention && message.chat == "#ops", "{message:?}");
    assert_eq!(world.shown("alice", "#ops").mentions, 1);
    world.ask("alice", Request::ChatRead { chat: "#ops".into(), up_to: line.order }).unwrap();
    assert_eq!(world.shown("alice", "#ops").mentions, 0);
    // Alice is an owner: @room is for all.
    world.send("alice", "#ops", "@room look");
    world.send("bob", "#ops", "@room no");
    world.settle();
    assert_eq!(world.shown("bob", "#ops").mentions, 1);
    assert_eq!(world.shown("alice", "#ops").mentions, 0);
}

#[test]
fn a_room_of_which_the_relay_forgot_too_much_says_so() {
    let mut world = World::with_rooms(44, &["alice", "bob"]);
    let room = world.gather(&["alice", "bob"]);
    world.disconnect("bob");
    for n in 0..10 {
        world.send("alice", "#ops", &format!("message {n}"));
        world.settle();
    }
    let head = world.relay.rooms.rooms[&id_of(&room)].log.len() as u64;
    world.relay.forget_before(id_of(&room), head - 2);
    world.connect("bob");
    world.settle();
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::CutOff));
    assert_eq!(world.told("bob", EventKind::RoomCutOff).len(), 1);
    assert!(world.notices("bob", "#ops").contains(&MessageKind::RoomCutOff {}));
    let error = world.try_send("bob", "#ops", "?", WaitFor::Queued).error.unwrap();
    assert!(error.message.contains("cut off"), "{error:?}");
    // Alice's device has taken the lost leaf out; she adds it again.
    world.run_for(10_000);
    assert_eq!(world.names("alice", "#ops").len(), 1);
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.join("bob", "#ops").unwrap();
    world.send("alice", "#ops", "welcome back");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["welcome back"]);
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn r44_who_writes_moves_on_in_the_log_and_acknowledges_what_it_wrote() {
    let mut world = World::with_rooms(860, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.disconnect("bob");
    for text in ["one", "two", "three"] {
        world.send("alice", "#ops", text);
    }
    world.run_for(10_000);
    let alice = device_of(&world.clients["alice"].place);
    let at_relay = &world.relay.rooms.rooms[&room];
    let head = at_relay.log.len() as u64;
    assert_eq!(at_relay.roster[&alice].cursor, head, "the relay keeps nothing for her that she wrote");
    let asked = world.client("alice").sent.len();
    world.crash("alice");
    world.restart("alice");
    world.settle();
    let is_sync = |sent: &&RawFrame| matches!(WireRequest::from_raw(sent), Ok(WireRequest::RoomSync(_)));
    let syncs = world.client("alice").sent[asked..].iter().filter(is_sync).count();
    assert_eq!(syncs, 0, "and she does not read it again");
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["one", "two", "three"]);
    assert_eq!(world.texts("alice", "#ops"), ["one", "two", "three"]);
    world.agree(&["alice", "bob"], "#ops");
}
