//! Members whose only device is another one now, of which nobody of the room was told.

use subrosa_client::{
    Reply, Request,
    api::{Kind, Role, RoomState},
};

use crate::world::World;

impl World {
    fn log_out(&mut self, handle: &str, force: bool) -> Result<Reply, subrosa_client::ApiError> {
        self.ask(handle, Request::AccountLogout { force })
    }
}

#[test]
fn the_only_device_of_an_only_owner_is_not_logged_out_by_accident() {
    let mut world = World::with_rooms(730, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    let error = world.log_out("alice", false).unwrap_err();
    assert_eq!(error.kind, Kind::Refused, "{error:?}");
    assert!(error.message.contains("only owner of #ops"), "{error:?}");
    assert!(error.hint.unwrap().contains("rosa room role '#ops' NAME owner"));
    world.agree(&["alice", "bob"], "#ops");
    // Somebody who owns nothing just goes, and so does who has another device.
    world.log_out("bob", false).unwrap();
    world.login("alice", "alice2");
    world.run_for(60_000);
    world.log_out("alice", false).unwrap();
}

#[test]
fn an_owner_who_makes_another_one_logs_out() {
    let mut world = World::with_rooms(731, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.give_role("alice", "#ops", "bob", Role::Owner);
    world.log_out("alice", false).unwrap();
}

#[test]
fn who_logs_out_and_in_again_comes_back_into_private_and_public_rooms() {
    for (seed, others_away) in [(732, false), (733, true)] {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        world.gather(&["alice", "bob"]);
        world.create_public("alice", "Lobby");
        for who in ["bob", "carol"] {
            world.join(who, "lobby").unwrap();
            world.settle();
        }
        world.run_for(10 * 60_000);
        if others_away {
            world.disconnect("bob");
            world.disconnect("carol");
        }
        world.log_out("alice", true).unwrap();
        world.run_for(20_000);
        world.login("alice", "alice2");
        world.run_for(1_000);
        if others_away {
            world.connect("bob");
            world.connect("carol");
        }
        world.run_for(180_000);
        for room in ["#ops", "#lobby"] {
            assert_eq!(world.shown("alice2", room).state, Some(RoomState::Invited), "{seed} {room}");
            world.join("alice2", room).unwrap();
            world.run_for(60_000);
        }
        world.agree(&["alice2", "bob"], "#ops");
        world.agree(&["alice2", "bob", "carol"], "#lobby");
        let devices = |world: &mut World, room: &str| {
            let members = world.members("bob", room);
            members.into_iter().find(|member| member.name == "alice").unwrap().devices
        };
        assert_eq!(
            (devices(&mut world, "#ops"), devices(&mut world, "#lobby")),
            (vec![2], vec![2]),
            "{seed}"
        );
        world.send("alice2", "#lobby", "back");
        world.settle();
        assert_eq!(world.texts("carol", "#lobby"), ["back"]);
    }
}

#[test]
fn who_logs_in_again_is_let_in_by_a_member_who_was_restarted_meanwhile() {
    let mut world = World::with_rooms(736, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.run_for(10 * 60_000);
    world.log_out("alice", true).unwrap();
    world.disconnect("bob");
    world.login("alice", "alice2");
    world.connect("bob");
    // He knows her new list, and dies before he has done anything about it.
    let alice = crate::world::name("alice");
    let newest = |world: &mut World| {
        world.peek("bob", |tx| {
            tx.device_list(&alice).unwrap().unwrap().list.devices.first().unwrap().device_id
        })
    };
    while newest(&mut world) == 1 {
        assert!(
            world.step() || {
                world.run_for(500);
                true
            }
        );
    }
    world.crash("bob");
    world.restart("bob");
    world.run_for(200_000);
    assert_eq!(world.shown("alice2", "#ops").state, Some(RoomState::Invited));
    world.join("alice2", "#ops").unwrap();
    world.run_for(60_000);
    world.agree(&["alice2", "bob"], "#ops");
}

#[test]
fn who_logs_out_for_good_is_taken_out_by_the_others() {
    let mut world = World::with_rooms(734, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.run_for(60_000);
    world.log_out("carol", false).unwrap();
    world.run_for(5 * 60_000);
    world.agree(&["alice", "bob"], "#ops");
    assert_eq!(world.members("bob", "#ops").len(), 2);
}

#[test]
fn who_joins_at_once_after_logging_in_again_comes_in() {
    let mut world = World::with_rooms(735, &["alice", "bob"]);
    world.create_public("alice", "Lobby");
    world.join("bob", "lobby").unwrap();
    world.run_for(10 * 60_000);
    world.log_out("bob", false).unwrap();
    world.login("bob", "bob2");
    world.run_for(500);
    let join = world.ask_later("bob2", Request::RoomJoin { room: "lobby".into() });
    world.run_for(31_000);
    // Nobody of the room has seen the new device yet, or somebody has: both within minutes.
    if let Err(error) = world.answer("bob2", join).unwrap() {
        assert!(error.message.contains("a device of yours is in the room still"), "{error:?}");
        world.run_for(180_000);
        world.join("bob2", "lobby").unwrap();
    }
    world.run_for(60_000);
    world.agree(&["alice", "bob2"], "#lobby");
}

#[test]
fn an_owner_who_logs_out_and_in_again_has_the_key_again() {
    for (seed, by_member) in [(736, false), (737, true)] {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        let room = super::id_of(&world.gather(&["alice", "bob", "carol"]));
        world.give_role("alice", "#ops", "bob", Role::Owner);
        world.run_for(10 * 60_000);
        world.disconnect(if by_member { "bob" } else { "carol" });
        world.log_out("alice", false).unwrap();
        world.login("alice", "alice2");
        world.run_for(200_000);
        for who in ["bob", "carol"] {
            world.connect(who);
        }
        world.run_for(30_000);
        assert_eq!(world.join("alice2", "#ops").unwrap().role, Some(Role::Owner), "{seed}");
        world.run_for(60_000);
        world.agree(&["alice2", "bob", "carol"], "#ops");
        let secret = world.peek_room("alice2", room).unwrap().owner_secret.expect("given by bob");
        let public = subrosa_rooms::OwnerKey::from_bytes(&secret).public();
        assert_eq!(public, world.relay.rooms.rooms[&room].owner_key, "{seed}");
    }
}

/// The devices of an account in a room, as somebody sees them.
fn devices_of(world: &mut World, handle: &str, room: &str, account: &str) -> Vec<u32> {
    let members = world.members(handle, room);
    members.into_iter().find(|member| member.name == account).map_or_else(Vec::new, |member| member.devices)
}

#[test]
fn a_device_that_is_removed_is_taken_out_of_rooms_at_once() {
    let mut world = World::with_rooms(737, &["alice", "bob"]);
    world.create_private("alice", "alone");
    world.gather(&["alice", "bob"]);
    world.login("alice", "alice2");
    world.run_for(60_000);
    assert_eq!(devices_of(&mut world, "alice", "#alone", "alice"), [1, 2]);
    world.ask("alice", Request::DeviceRemove { device: 2 }).unwrap();
    world.run_for(5_000);
    for room in ["#alone", "#ops"] {
        assert_eq!(devices_of(&mut world, "alice", room, "alice"), [1], "{room}");
    }
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn a_device_that_was_removed_is_taken_out_though_who_removed_it_died() {
    for point in 0..8 {
        let mut world = World::with_rooms(738, &["alice"]);
        world.create_private("alice", "alone");
        world.login("alice", "alice2");
        world.run_for(60_000);
        world.client("alice").crash_in = Some(point);
        world.ask_later("alice", Request::DeviceRemove { device: 2 });
        world.run_for(5_000);
        if world.client("alice").core.is_none() {
            world.restart("alice");
        }
        world.client("alice").crash_in = None;
        world.run_for(20_000);
        let alice = crate::world::name("alice");
        let listed = world.peek("alice", |tx| tx.device_list(&alice).unwrap().unwrap().list.devices.len());
        // It died before the relay heard of it, or the room follows.
        let there = devices_of(&mut world, "alice", "#alone", "alice");
        assert_eq!(there.len(), listed, "{point}: {there:?}");
    }
}
