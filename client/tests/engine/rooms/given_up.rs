//! A change of which a person was told that it may have been done: it is, or it never is. It does not happen later.

use subrosa_client::{Request, api::Kind};

use super::id_of;
use crate::world::World;

fn topic(text: &str) -> Request {
    Request::RoomTopic { room: "#ops".into(), topic: text.into() }
}

/// Alice asks for a topic, and the connection breaks before she hears what became of it.
fn broken(seed: u64, arrives: bool) -> World {
    let mut world = World::with_rooms(seed, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.run_for(60_000);
    let before = world.relay.rooms.rooms[&room].clone();
    world.client("alice").deaf = true;
    let token = world.ask_later("alice", topic("lost?"));
    if !arrives {
        // It never came to the relay.
        for client in ["alice", "bob"] {
            world.client(client).take_waiting();
        }
        world.relay.rooms.rooms.insert(room, before);
    }
    world.disconnect("alice");
    world.client("alice").deaf = false;
    world.run_for(35_000);
    let error = world.answer("alice", token).expect("told").unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(error.message.contains("may have been done"), "{error:?}");
    world
}

#[test]
fn r32_what_the_relay_had_is_merged() {
    let mut world = broken(630, true);
    world.connect("alice");
    world.run_for(30_000);
    world.agree(&["alice", "bob"], "#ops");
    assert_eq!(world.shown("alice", "#ops").topic.as_str(), "lost?");
    world.room("bob", Request::RoomShow { room: "#ops".into() }).unwrap();
    world.room("alice", topic("next")).unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn r32_what_the_relay_never_had_is_void_and_not_done_later() {
    let mut world = broken(631, false);
    world.connect("alice");
    world.run_for(30_000);
    world.agree(&["alice", "bob"], "#ops");
    assert_eq!(world.shown("alice", "#ops").topic.as_str(), "", "done after its person was told");
    // Whatever comes next goes on from there.
    world.room("alice", topic("next")).unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
    assert_eq!(world.shown("bob", "#ops").topic.as_str(), "next");
    world.run_for(60_000);
    assert_eq!(world.shown("bob", "#ops").topic.as_str(), "next");
}

#[test]
fn what_is_asked_for_without_a_connection_is_not_done_and_says_so() {
    let mut world = World::with_rooms(632, &["alice"]);
    world.create_private("alice", "ops");
    world.disconnect("alice");
    let error = world.ask("alice", topic("never")).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.message.contains("nothing was done"), "{error:?}");
    assert!(error.hint.unwrap().contains("not tried again"));
    world.connect("alice");
    world.run_for(60_000);
    assert_eq!(world.shown("alice", "#ops").topic.as_str(), "");
}

#[test]
fn a_room_of_which_the_relay_did_not_tell_may_have_been_made_and_is_told_so() {
    for arrives in [true, false] {
        let mut world = World::with_rooms(633, &["alice"]);
        world.client("alice").deaf = true;
        let token = world.ask_later("alice", Request::RoomCreate(super::create("ops", false)));
        if !arrives {
            world.relay.rooms.rooms.clear();
        }
        world.disconnect("alice");
        world.client("alice").deaf = false;
        let error = world.answer("alice", token).expect("told").unwrap_err();
        assert_eq!(error.kind, Kind::Timeout, "{error:?}");
        assert!(error.message.contains("may have been made"), "{error:?}");
        world.connect("alice");
        world.run_for(30_000);
        let made = world.room("alice", Request::RoomShow { room: "#ops".into() }).is_ok();
        assert_eq!(made, arrives, "there, and usable; or not there at all");
    }
}

#[test]
fn who_does_not_hear_whether_they_left_is_told_so() {
    let mut world = World::with_rooms(634, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.run_for(60_000);
    world.client("bob").deaf = true;
    let token = world.ask_later("bob", Request::RoomLeave { room: "#ops".into() });
    world.disconnect("bob");
    world.client("bob").deaf = false;
    let error = world.answer("bob", token).expect("told").unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error:?}");
    assert!(error.message.contains("you may have left"), "{error:?}");
    world.connect("bob");
    world.run_for(30_000);
    world.agree(&["alice"], "#ops");
    assert_eq!(world.members("alice", "#ops").len(), 1);
}
