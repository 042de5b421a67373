//! Invitations: one device answers for all of its account, and what is over goes.

use subrosa_client::{
    Request,
    api::{EventKind, Kind, MessageKind, Role, RoomState, Visibility},
};

use super::id_of;
use crate::world::World;

/// Alice invites bob, who has two devices.
fn invited(seed: u64) -> World {
    let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
    world.login("bob", "bob2");
    world.run_for(60_000);
    world.gather(&["alice", "carol"]);
    world.invite("alice", "#ops", "bob").unwrap();
    world.run_for(10_000);
    for device in ["bob", "bob2"] {
        assert_eq!(world.shown(device, "#ops").state, Some(RoomState::Invited), "{device}");
    }
    world
}

#[test]
fn who_accepts_on_one_device_is_in_with_all() {
    for (seed, away) in [(700, false), (701, true)] {
        let mut world = invited(seed);
        if away {
            world.disconnect("bob2");
        }
        world.join("bob", "#ops").unwrap();
        world.run_for(30_000);
        if away {
            world.connect("bob2");
            world.run_for(30_000);
        }
        world.agree(&["alice", "bob", "bob2", "carol"], "#ops");
        world.send("bob2", "#ops", "here too");
        world.settle();
        assert_eq!(world.texts("alice", "#ops"), ["here too"]);
        assert!(world.members("alice", "#ops").iter().all(|member| !member.invited));
    }
}

#[test]
fn who_accepts_on_both_devices_at_once_is_in_with_both() {
    for seed in 702..710 {
        let mut world = invited(seed);
        let tokens =
            ["bob", "bob2"].map(|who| (who, world.ask_later(who, Request::RoomJoin { room: "#ops".into() })));
        while world.step_anywhere() {}
        world.run_for(30_000);
        for (who, token) in tokens {
            world.answer(who, token).unwrap().unwrap_or_else(|error| panic!("{seed} {who}: {error:?}"));
        }
        world.agree(&["alice", "bob", "bob2", "carol"], "#ops");
    }
}

#[test]
fn who_declines_on_one_device_has_declined_on_all() {
    for (seed, away) in [(710, false), (711, true)] {
        let mut world = invited(seed);
        if away {
            world.disconnect("bob2");
        }
        world.leave("bob", "#ops").unwrap();
        world.run_for(30_000);
        if away {
            world.connect("bob2");
            world.run_for(30_000);
        }
        for device in ["bob", "bob2"] {
            assert_eq!(world.shown(device, "#ops").state, Some(RoomState::Left), "{device}");
            assert_eq!(world.told(device, EventKind::RoomLeft).len(), 1, "{device}");
            assert!(world.told(device, EventKind::RoomInvitationEnded).is_empty(), "{device}");
        }
        assert_eq!(world.members("carol", "#ops").len(), 2);
        // And can be invited again.
        world.invite("alice", "#ops", "bob").unwrap();
        world.run_for(10_000);
        world.join("bob2", "#ops").unwrap();
        world.run_for(30_000);
        world.agree(&["alice", "bob", "bob2", "carol"], "#ops");
    }
}

#[test]
fn an_invitation_that_is_taken_back_goes() {
    for (seed, ban, away) in [(712, false, false), (713, false, true), (714, true, false), (715, true, true)]
    {
        let mut world = invited(seed);
        if away {
            world.disconnect("bob2");
        }
        let name = String::from("bob");
        let request = if ban {
            Request::RoomBan { room: "#ops".into(), name }
        } else {
            Request::RoomKick { room: "#ops".into(), name }
        };
        world.room("alice", request).unwrap();
        world.settle();
        if away {
            assert_eq!(world.shown("bob2", "#ops").state, Some(RoomState::Invited), "{seed}");
            world.connect("bob2");
            world.settle();
        }
        for device in ["bob", "bob2"] {
            assert_eq!(world.shown(device, "#ops").state, Some(RoomState::Removed), "{seed} {device}");
            assert_eq!(world.told(device, EventKind::RoomInvitationEnded).len(), 1, "{seed} {device}");
            let ended = MessageKind::InvitationEnded { name: "bob".into() };
            assert_eq!(world.notices(device, "#ops"), [ended], "{seed} {device}");
            let error = world.join(device, "#ops").unwrap_err();
            assert_eq!(error.kind, Kind::Refused, "{seed} {error:?}");
            assert!(error.message.contains("the invitation to #ops is over"), "{seed} {error:?}");
        }
        if ban {
            world.room("alice", Request::RoomUnban { room: "#ops".into(), name: "bob".into() }).unwrap();
        }
        // Another invitation counts.
        world.invite("alice", "#ops", "bob").unwrap();
        world.run_for(10_000);
        world.join("bob", "#ops").unwrap();
        world.run_for(30_000);
        world.agree(&["alice", "bob", "bob2", "carol"], "#ops");
    }
}

#[test]
fn who_accepts_what_was_taken_back_meanwhile_is_told_so() {
    let mut world = World::with_rooms(716, &["alice", "bob"]);
    world.create_private("alice", "ops");
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    // The notice is lost.
    world.relay.silent = true;
    let room = world.relay.rooms.rooms.keys().copied().next().unwrap();
    world.kick("alice", "#ops", "bob").unwrap();
    world.client("bob").take_waiting();
    world.relay.silent = false;
    if world.peek_room("bob", room).unwrap().state == RoomState::Invited {
        let error = world.join("bob", "#ops").unwrap_err();
        assert!(error.message.contains("is over"), "{error:?}");
    }
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Removed));
    assert_eq!(world.told("bob", EventKind::RoomInvitationEnded).len(), 1);
}

#[test]
fn an_invitation_goes_with_its_room() {
    let mut world = World::with_rooms(717, &["alice", "bob"]);
    let room = world.create_public("alice", "rust");
    world.invite("alice", "#rust", "bob").unwrap();
    world.settle();
    world.disconnect("bob");
    world.relay.rooms.rooms.remove(&id_of(&room));
    world.connect("bob");
    world.settle();
    assert_eq!(world.shown("bob", "#rust").state, Some(RoomState::Removed));
    assert_eq!(world.told("bob", EventKind::RoomInvitationEnded).len(), 1);
}

#[test]
fn an_invitation_of_a_member_who_has_left_is_accepted() {
    let mut world = World::with_rooms(718, &["alice", "bob", "carol"]);
    world.gather(&["alice", "carol"]);
    world.give_role("alice", "#ops", "carol", Role::Owner);
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.leave("alice", "#ops").unwrap();
    world.run_for(30_000);
    let joined = world.join("bob", "#ops").unwrap();
    assert_eq!((joined.state, joined.visibility), (Some(RoomState::Joined), Visibility::Private));
    world.run_for(30_000);
    world.agree(&["bob", "carol"], "#ops");
}
