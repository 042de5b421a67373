//! Leaving: owners, the last one, roles of those who are gone, rooms that nobody is in.

use subrosa_client::{
    ApiError, Reply, Request,
    api::{Kind, Role, RoomState},
};

use super::id_of;
use crate::world::World;

impl World {
    pub fn leave(&mut self, handle: &str, room: &str) -> Result<Reply, ApiError> {
        self.ask(handle, Request::RoomLeave { room: room.into() })
    }

    pub fn give_role(&mut self, handle: &str, room: &str, name: &str, role: Role) {
        self.room(handle, Request::RoomRole { room: room.into(), name: name.into(), role }).unwrap();
        self.settle();
    }
}

#[test]
fn the_only_owner_makes_another_one_before_leaving() {
    let mut world = World::with_rooms(601, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    let error = world.leave("alice", "#ops").unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.message.contains("only owner"), "{error:?}");
    assert!(error.hint.unwrap().contains("rosa room role '#ops' NAME owner"));
    world.agree(&["alice", "bob", "carol"], "#ops");
    world.give_role("alice", "#ops", "bob", Role::Owner);
    world.leave("alice", "#ops").unwrap();
    world.run_for(30_000);
    world.agree(&["bob", "carol"], "#ops");
    // Members go as they like.
    world.leave("carol", "#ops").unwrap();
    world.run_for(30_000);
    // And the last one of all, owner or not.
    world.leave("bob", "#ops").unwrap();
    assert!(world.relay.rooms.rooms.is_empty(), "nobody is in it");
}

#[test]
fn who_is_only_invited_holds_no_owner() {
    let mut world = World::with_rooms(607, &["alice", "bob"]);
    world.create_private("alice", "ops");
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.leave("alice", "#ops").unwrap();
    world.run_for(30_000);
    assert!(
        world.relay.rooms.rooms.values().all(|room| room.roster.is_empty()),
        "nobody is in it, or invited"
    );
    let error = world.join("bob", "#ops").unwrap_err();
    assert!(matches!(error.kind, Kind::NotFound | Kind::Refused), "{error:?}");
}

#[test]
fn an_owner_who_left_comes_back_as_a_member_and_knows_no_key() {
    let mut world = World::with_rooms(602, &["alice", "bob", "carol"]);
    let room = id_of(&world.create_public("alice", "Lobby"));
    for who in ["bob", "carol"] {
        world.join(who, "lobby").unwrap();
        world.settle();
    }
    world.give_role("alice", "#lobby", "bob", Role::Owner);
    world.run_for(30_000);
    let known = world.peek_room("alice", room).unwrap().owner_secret.unwrap();
    // Carol alone is there to take her out: she may not give roles, nor the key.
    world.disconnect("bob");
    world.leave("alice", "#lobby").unwrap();
    world.run_for(30_000);
    assert_eq!(world.relay.rooms.rooms[&room].log.last().unwrap().delta.as_ref().unwrap().removed.len(), 1);
    world.connect("bob");
    world.run_for(30_000);
    let back = world.join("alice", "#lobby").unwrap();
    assert_eq!(back.role, Some(Role::Member));
    world.run_for(30_000);
    world.agree(&["alice", "bob", "carol"], "#lobby");
    let expected = [("bob", Role::Owner), ("alice", Role::Member), ("carol", Role::Member)];
    assert_eq!(world.names("carol", "#lobby"), expected.map(|(name, role)| (name.to_owned(), role)));
    // The room has another key since, and bob has it.
    let secret = world.peek_room("bob", room).unwrap().owner_secret.unwrap();
    assert_ne!(*secret, *known);
    let public = subrosa_rooms::OwnerKey::from_bytes(&secret).public();
    assert_eq!(public, world.relay.rooms.rooms[&room].owner_key);
    world.room("bob", Request::RoomRenew { room: "#lobby".into() }).unwrap();
    world.run_for(30_000);
    world.agree(&["alice", "bob", "carol"], "#lobby");
}

#[test]
fn who_is_put_out_has_no_role_when_coming_back() {
    let mut world = World::with_rooms(603, &["alice", "bob"]);
    world.create_public("alice", "Lobby");
    world.join("bob", "lobby").unwrap();
    world.settle();
    for put_out in [true, false] {
        world.give_role("alice", "#lobby", "bob", Role::Moderator);
        if put_out {
            world.kick("alice", "#lobby", "bob").unwrap();
        } else {
            world.leave("bob", "#lobby").unwrap();
        }
        world.run_for(30_000);
        assert_eq!(world.join("bob", "#lobby").unwrap().role, Some(Role::Member), "{put_out}");
        world.run_for(30_000);
    }
}

#[test]
fn a_room_is_gone_with_the_last_who_leaves_though_somebody_was_put_out() {
    let mut world = World::with_rooms(604, &["alice", "bob", "carol", "dave"]);
    let room = id_of(&world.create_public("alice", "Lobby"));
    for who in ["bob", "carol"] {
        world.join(who, "lobby").unwrap();
        world.settle();
    }
    world.give_role("alice", "#lobby", "carol", Role::Owner);
    world.kick("alice", "#lobby", "bob").unwrap();
    // Both leave before anybody can take the other out.
    let tokens = ["alice", "carol"]
        .map(|who| (who, world.ask_later(who, Request::RoomLeave { room: "#lobby".into() })));
    world.run_for(30_000);
    for (who, token) in tokens {
        assert_eq!(world.answer(who, token).unwrap(), Ok(Reply::Done {}), "{who}");
    }
    assert!(world.relay.rooms.rooms.get(&room).is_none_or(|room| room.listing.is_none()));
    for who in ["alice", "bob", "dave"] {
        let error = world.join(who, "lobby").unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{who} {error:?}");
    }
    // Its slug is free, and leads those who were in the old one into the new one.
    let new = world.create_public("dave", "Lobby");
    assert_eq!(new.slug.as_deref(), Some("lobby"));
    for who in ["alice", "bob"] {
        let joined = world.join(who, "lobby").unwrap();
        assert_eq!((joined.id, joined.state), (new.id.clone(), Some(RoomState::Joined)), "{who}");
        world.settle();
    }
    world.run_for(30_000);
    assert_eq!(world.members("dave", &new.chat).len(), 3);
}

#[test]
fn the_only_owner_does_not_leave_somebody_who_has_just_come_in() {
    let mut world = World::with_rooms(605, &["alice", "bob"]);
    world.create_public("alice", "Lobby");
    let id = id_of(&world.shown("alice", "#lobby"));
    let join = world.ask_later("bob", Request::RoomJoin { room: "lobby".into() });
    while world.peek_room("bob", id).is_none_or(|room| room.state != RoomState::Joined) {
        world.step_of("bob");
    }
    world.answer("bob", join).unwrap().unwrap();
    // She does not know of him yet, and is the only owner.
    let token = world.ask_later("alice", Request::RoomLeave { room: "#lobby".into() });
    world.run_for(30_000);
    let error = world.answer("alice", token).unwrap().unwrap_err();
    assert!(error.message.contains("only owner"), "{error:?}");
    world.agree(&["alice", "bob"], "#lobby");
}

#[test]
fn an_owner_gives_up_the_role_when_there_is_another_one() {
    let mut world = World::with_rooms(609, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let give_up = Request::RoomRole { room: "#ops".into(), name: "alice".into(), role: Role::Member };
    let error = world.room("alice", give_up.clone()).unwrap_err();
    assert!(error.message.contains("without an owner"), "{error:?}");
    world.give_role("alice", "#ops", "bob", Role::Owner);
    world.settle();
    let key = world.relay.rooms.rooms[&room].owner_key;
    world.room("alice", give_up).unwrap();
    world.run_for(20_000);
    world.agree(&["alice", "bob", "carol"], "#ops");
    assert_eq!(world.shown("alice", "#ops").role, Some(Role::Member));
    assert_ne!(world.relay.rooms.rooms[&room].owner_key, key, "she knows the old one");
    // Who owns nothing gives no roles.
    let grab = Request::RoomRole { room: "#ops".into(), name: "alice".into(), role: Role::Owner };
    let error = world.room("alice", grab).unwrap_err();
    assert!(error.message.contains("no right to give roles"), "{error:?}");
    let depose = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Member };
    let error = world.room("carol", depose).unwrap_err();
    assert!(error.message.contains("no right to give roles"), "{error:?}");
}

#[test]
fn a_leave_that_never_came_to_the_relay_is_none() {
    let mut world = World::with_rooms(607, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.run_for(60_000);
    let before = world.relay.rooms.rooms[&room].clone();
    world.client("bob").deaf = true;
    let token = world.ask_later("bob", Request::RoomLeave { room: "#ops".into() });
    assert!(world.peek_room("bob", room).unwrap().leaving);
    for client in ["alice", "bob"] {
        world.client(client).take_waiting();
    }
    world.relay.rooms.rooms.insert(room, before);
    world.crash("bob");
    assert_eq!(world.answer("bob", token), None);
    world.restart("bob");
    world.client("bob").deaf = false;
    world.connect("bob");
    world.run_for(30_000);
    // What he writes is not kept back for ever.
    world.send("bob", "#ops", "still here");
    world.settle();
    assert!(world.texts("alice", "#ops").contains(&"still here".to_owned()));
    world.agree(&["alice", "bob"], "#ops");
    // And he can leave.
    assert_eq!(world.ask("bob", Request::RoomLeave { room: "#ops".into() }), Ok(Reply::Done {}));
    world.settle();
    assert_eq!(world.members("alice", "#ops").len(), 1);
}

#[test]
fn a_leave_that_the_relay_refuses_is_none() {
    let mut world = World::with_rooms(608, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.relay.rooms.leaves_refused = 1;
    world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap_err();
    world.send("bob", "#ops", "still here");
    world.settle();
    assert!(world.texts("alice", "#ops").contains(&"still here".to_owned()));
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn who_leaves_right_after_joining_is_out() {
    let mut world = World::with_rooms(606, &["alice", "bob"]);
    world.create_public("alice", "Lobby");
    world.login("bob", "bob2");
    world.run_for(30_000);
    for round in 0..4 {
        let join = world.ask_later("bob", Request::RoomJoin { room: "lobby".into() });
        while world
            .peek_room("bob", world.relay.rooms.rooms.keys().copied().next().unwrap())
            .is_none_or(|room| room.state != RoomState::Joined)
        {
            assert!(world.step(), "round {round}");
        }
        let leave = world.ask_later("bob", Request::RoomLeave { room: "#lobby".into() });
        world.run_for(30_000);
        world.answer("bob", join).unwrap().unwrap();
        assert_eq!(world.answer("bob", leave).unwrap(), Ok(Reply::Done {}), "round {round}");
        world.agree(&["alice"], "#lobby");
        assert_eq!(world.members("alice", "#lobby").len(), 1);
    }
}

#[test]
fn of_two_owners_who_leave_at_once_one_stays_and_has_the_key() {
    for seed in 640..652 {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        let room = id_of(&world.gather(&["alice", "bob", "carol"]));
        world.give_role("alice", "#ops", "bob", Role::Owner);
        world.run_for(30_000);
        if seed % 2 == 0 {
            // A further device has to go first.
            world.login("bob", "bob2");
            world.run_for(60_000);
        }
        let tokens = ["alice", "bob"]
            .map(|who| (who, world.ask_later(who, Request::RoomLeave { room: "#ops".into() })));
        while world.step_anywhere() {}
        world.run_for(30_000);
        let answers = tokens.map(|(who, token)| (who, world.answer(who, token).unwrap()));
        let [(_, first), (_, second)] = &answers;
        assert!(first.is_ok() != second.is_ok(), "{seed}: {answers:?}");
        for (who, answer) in &answers {
            let Err(error) = answer else { continue };
            assert_eq!(error.kind, Kind::Refused, "{seed}: {error:?}");
            assert!(error.message.contains("only owner"), "{seed}: {error:?}");
            world.agree(&[who, "carol"], "#ops");
            assert_eq!(world.shown("carol", "#ops").members, 2, "{seed}");
            assert_eq!(world.shown(who, "#ops").role, Some(Role::Owner), "{seed}");
            let secret = world.peek_room(who, room).unwrap().owner_secret.expect("has the key");
            let public = subrosa_rooms::OwnerKey::from_bytes(&secret).public();
            assert_eq!(public, world.relay.rooms.rooms[&room].owner_key, "{seed}");
            world.room(who, Request::RoomRenew { room: "#ops".into() }).unwrap();
            world.run_for(30_000);
            world.agree(&[who, "carol"], "#ops");
        }
    }
}

#[test]
fn an_owner_who_leaves_gives_up_the_role_first_and_the_key_is_another_then() {
    let mut world = World::with_rooms(665, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    world.give_role("alice", "#ops", "bob", Role::Owner);
    world.run_for(30_000);
    let known = world.peek_room("alice", room).unwrap().owner_secret.unwrap();
    // The connection breaks after the first of the two steps: she is in, as a member, and can leave again.
    let leave = world.ask_later("alice", Request::RoomLeave { room: "#ops".into() });
    while world.shown("alice", "#ops").role == Some(Role::Owner) {
        world.step_of("alice");
    }
    world.disconnect("alice");
    world.run_for(60_000);
    let told = world.answer("alice", leave).unwrap().unwrap_err();
    assert_eq!(told.kind, Kind::Timeout, "{told:?}");
    world.connect("alice");
    world.run_for(30_000);
    let back = world.shown("alice", "#ops");
    assert!(matches!(back.state, Some(RoomState::Joined) | Some(RoomState::Left)), "{back:?}");
    if back.state == Some(RoomState::Joined) {
        assert_eq!(back.role, Some(Role::Member));
        world.leave("alice", "#ops").unwrap();
        world.run_for(30_000);
    }
    world.agree(&["bob", "carol"], "#ops");
    let secret = world.peek_room("bob", room).unwrap().owner_secret.unwrap();
    assert_ne!(*secret, *known);
    let public = subrosa_rooms::OwnerKey::from_bytes(&secret).public();
    assert_eq!(public, world.relay.rooms.rooms[&room].owner_key);
}
