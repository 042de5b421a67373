//! Commits that do not fit a frame, and several that carry objects at once: the relay keeps four objects of a connection.

use subrosa_client::{
    Request,
    api::{ConnectionState, RoomState},
};
use subrosa_protocol::{frames::EntryBody, limits::ROOM_COMMIT_INLINE};

use super::id_of;
use crate::world::World;

#[test]
fn r4_a_commit_of_more_than_40_kib_that_also_adds_comes_through_in_a_public_room() {
    let guests: Vec<String> = (0..44).map(|number| format!("guest_{number}")).collect();
    let mut world = World::new(860);
    world.in_memory = true;
    world.relay.rooms.open = true;
    let named = ["alice", "bob", "carol", "zoe"];
    for account in named.into_iter().chain(guests.iter().map(String::as_str)) {
        world.register(account);
        world.connect(account);
    }
    world.settle();
    let id = id_of(&world.create_public("alice", "Crowd"));
    for who in ["bob", "carol"] {
        world.join(who, "crowd").unwrap();
        world.settle();
    }
    // Leaves of those who have not come yet: a commit with a path has a secret for each of them.
    for guest in &guests {
        world.invite("alice", "#crowd", guest).unwrap();
    }
    world.settle();
    world.disconnect("alice");
    world.disconnect("carol");
    world.ask("bob", Request::RoomLeave { room: "#crowd".into() }).unwrap();
    let before = world.relay.rooms.rooms[&id].log.len();
    world.connect("alice");
    let is_up = |world: &mut World| matches!(world.status("alice").connection, ConnectionState::Up { .. });
    while !is_up(&mut world) {
        assert!(world.step());
    }
    let token = world.ask_later("alice", Request::RoomInvite { room: "#crowd".into(), name: "zoe".into() });
    world.settle();
    world.answer("alice", token).unwrap().unwrap();
    let log = &world.relay.rooms.rooms[&id].log;
    let entry = log[before..].iter().find(|entry| entry.delta.is_some()).unwrap();
    let delta = entry.delta.as_ref().unwrap();
    assert_eq!((delta.added.len(), delta.removed.len()), (1, 1), "one commit does both");
    let EntryBody::Object(object) = &entry.body else { panic!("{:?}", entry.body) };
    assert!(object.size as usize > ROOM_COMMIT_INLINE, "{} bytes", object.size);
    assert_eq!(world.relay.rooms.too_many, 0);
    // Those who are there follow it, those who were away read it later, and who was added comes in.
    world.connect("carol");
    world.settle();
    world.join("zoe", "#crowd").unwrap();
    world.run_for(60_000);
    world.agree(&["alice", "carol", "zoe"], "#crowd");
    world.send("zoe", "#crowd", "hello");
    world.settle();
    for who in ["alice", "carol"] {
        assert_eq!(world.texts(who, "#crowd"), ["hello"], "{who}");
    }
    assert_eq!(world.relay.rooms.too_many, 0);
}

#[test]
fn r4_changes_of_many_public_rooms_at_once_keep_to_the_objects_that_the_relay_holds() {
    let mut world = World::with_rooms(861, &["alice", "bob"]);
    // Of a stranger only a few invitations are taken.
    world.befriend("alice", "bob");
    let names: Vec<String> = (0..6).map(|number| format!("Room {number}")).collect();
    let chats: Vec<String> = names.iter().map(|name| world.create_public("alice", name).chat).collect();
    let topics = |topic: &str| {
        let topic = topic.to_owned();
        move |room: &String| Request::RoomTopic { room: room.clone(), topic: topic.clone() }
    };
    let invite = |room: &String| Request::RoomInvite { room: room.clone(), name: "bob".into() };
    let all: [&dyn Fn(&String) -> Request; 2] = [&topics("new"), &invite];
    for request in all {
        let tokens: Vec<u64> = chats.iter().map(|chat| world.ask_later("alice", request(chat))).collect();
        world.settle();
        for token in tokens {
            world.answer("alice", token).expect("answered at once").unwrap();
        }
        assert_eq!(world.relay.rooms.too_many, 0);
    }
    for chat in &chats {
        world.join("bob", chat.trim_start_matches('#')).unwrap();
        world.settle();
        assert_eq!(world.shown("bob", chat).state, Some(RoomState::Joined));
        assert_eq!(world.shown("bob", chat).topic.as_str(), "new");
    }
}
