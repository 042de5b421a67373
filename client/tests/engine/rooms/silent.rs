//! Devices of which nothing is heard (R34): told after 45 days, taken out by an owner's device after 90.

use subrosa_client::{
    Reply, Request,
    api::{EventBody, EventKind, MessageKind, Role, RoomState},
    core::{Effect, Input},
};
use subrosa_protocol::frames::EntryKind;

use super::id_of;
use crate::{rng::SeededRng, world::World};

const HOUR: u64 = 60 * 60_000;
const DAY: u64 = 24 * HOUR;

/// A room of all of these, in which the last one's device is off from now on.
fn without(seed: u64, accounts: &[&str]) -> World {
    let mut world = World::new(seed);
    world.in_memory = true;
    world.relay.rooms.open = true;
    for account in accounts {
        world.register(account);
        world.connect(account);
    }
    world.settle();
    world.gather(accounts);
    world.run_for(2 * HOUR);
    world.disconnect(accounts.last().unwrap());
    world
}

/// So many days go by, on each of which somebody writes something: the log's clock is its newest entry's.
fn days(world: &mut World, who: &str, days: u64) {
    for _ in 0..days {
        world.run_for(DAY);
        world.send(who, "#ops", "good morning");
        world.settle();
    }
    world.run_for(2 * HOUR);
}

/// How often somebody was told so, and for how many days it was then.
fn told(world: &World, who: &str) -> Vec<(String, u64, bool)> {
    let told = world.told(who, EventKind::RoomMemberSilent).into_iter();
    told.map(|body| match body {
        EventBody::RoomMemberSilent { chat, name, device, days, removed } => {
            assert_eq!((chat.as_str(), device), ("#ops", 1));
            (name, days, removed)
        }
        other => panic!("{other:?}"),
    })
    .collect()
}

fn silent(name: &str) -> MessageKind {
    MessageKind::MemberSilent { name: name.into(), device: 1 }
}

fn make(world: &mut World, name: &str, role: Role) {
    let request = Request::RoomRole { room: "#ops".into(), name: name.into(), role };
    world.room("alice", request).unwrap();
    world.settle();
}

#[test]
fn r34_silent_for_45_days_is_told_to_those_who_may_remove_and_for_90_an_owners_device_does() {
    let mut world = without(800, &["alice", "mona", "carol", "bob"]);
    make(&mut world, "mona", Role::Moderator);
    days(&mut world, "carol", 44);
    for who in ["alice", "mona", "carol"] {
        assert!(told(&world, who).is_empty(), "{who}");
    }
    days(&mut world, "carol", 2);
    for who in ["alice", "mona"] {
        assert_eq!(told(&world, who), [("bob".to_owned(), 45, false)], "{who}");
        assert_eq!(world.notices(who, "#ops").iter().filter(|kind| **kind == silent("bob")).count(), 1);
    }
    assert!(told(&world, "carol").is_empty(), "it is nothing to her");
    days(&mut world, "carol", 43);
    assert_eq!(world.names("alice", "#ops").len(), 4, "89 days");
    days(&mut world, "carol", 2);
    assert_eq!(world.names("alice", "#ops").len(), 3);
    world.agree(&["alice", "mona", "carol"], "#ops");
    let out = ("bob".to_owned(), 90, true);
    assert_eq!(told(&world, "alice"), [("bob".to_owned(), 45, false), out]);
    assert_eq!(told(&world, "mona").len(), 1, "told once");
    let gone = MessageKind::SilentRemoved { name: "bob".into(), device: 1 };
    assert!(world.notices("alice", "#ops").contains(&gone));
    assert!(world.notices("carol", "#ops").contains(&MessageKind::MemberRemoved { name: "bob".into() }));
    // He comes back, reads nothing of what is written now, and is invited like anybody.
    world.send("alice", "#ops", "without bob");
    // Keys of his at the relay are past their time; his device brings others.
    let at_relay = world.relay.device("bob", 1);
    at_relay.one_time.clear();
    at_relay.kem.clear();
    world.relay.rooms.packages.retain(|(place, _), _| place.0 != "bob");
    world.relay.rooms.last_resorts.retain(|(place, _), _| place.0 != "bob");
    world.connect("bob");
    world.run_for(HOUR);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Removed));
    assert!(!world.texts("bob", "#ops").contains(&"without bob".to_owned()));
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.join("bob", "#ops").unwrap();
    days(&mut world, "carol", 2);
    world.agree(&["alice", "mona", "carol", "bob"], "#ops");
    assert_eq!(told(&world, "alice").len(), 2, "he counts as heard of since he was added");
}

#[test]
fn r34_several_owners_devices_take_out_who_is_silent_by_one_commit() {
    let mut world = without(801, &["alice", "olga", "oscar", "bob"]);
    for owner in ["olga", "oscar"] {
        make(&mut world, owner, Role::Owner);
    }
    days(&mut world, "olga", 92);
    world.agree(&["alice", "olga", "oscar"], "#ops");
    assert_eq!(world.names("alice", "#ops").len(), 3);
    let room = id_of(&world.shown("alice", "#ops"));
    let log = &world.relay.rooms.rooms[&room].log;
    let commits = log.iter().filter(|entry| entry.kind == EntryKind::Commit);
    let removals =
        commits.filter(|entry| entry.delta.as_ref().is_some_and(|delta| !delta.removed.is_empty()));
    assert_eq!(removals.count(), 1, "the others saw that it was done");
    let out: usize = ["alice", "olga", "oscar"]
        .iter()
        .map(|who| told(&world, who).iter().filter(|(_, _, removed)| *removed).count())
        .sum();
    assert_eq!(out, 1, "one of them did it");
    world.send("olga", "#ops", "we go on");
    world.settle();
    assert_eq!(world.texts("oscar", "#ops").last().map(String::as_str), Some("we go on"));
}

#[test]
fn r34_owners_stay_and_whoever_is_heard_of_begins_anew() {
    // The owner is the silent one: moderators are told, and nobody takes an owner out.
    let mut world = World::new(802);
    world.in_memory = true;
    world.relay.rooms.open = true;
    for account in ["alice", "mona", "bob"] {
        world.register(account);
        world.connect(account);
    }
    world.settle();
    world.gather(&["alice", "mona", "bob"]);
    make(&mut world, "mona", Role::Moderator);
    world.disconnect("alice");
    world.disconnect("bob");
    days(&mut world, "mona", 44);
    // Bob's device shows itself in time.
    world.connect("bob");
    world.send("bob", "#ops", "I am here");
    world.run_for(HOUR);
    world.disconnect("bob");
    days(&mut world, "mona", 44);
    assert_eq!(told(&world, "mona"), [("alice".to_owned(), 45, false)]);
    days(&mut world, "mona", 10);
    assert_eq!(world.names("mona", "#ops").len(), 3, "a moderator's device takes nobody out");
    let names: Vec<String> = told(&world, "mona").into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["alice", "bob"]);
    // Back after 98 days, the owner's device takes out nobody before it has read the log, nor itself.
    world.connect("alice");
    world.connect("bob");
    days(&mut world, "mona", 1);
    assert_eq!(world.names("alice", "#ops").len(), 3);
    world.agree(&["alice", "mona", "bob"], "#ops");
}

#[test]
fn r34_neither_the_relays_clock_nor_a_wrong_one_here_takes_anybody_out() {
    for lie in [0, u64::MAX] {
        let mut world = without(803, &["alice", "carol", "bob"]);
        let room = id_of(&world.shown("alice", "#ops"));
        world.disconnect("alice");
        for text in ["one", "two"] {
            world.send("carol", "#ops", text);
            world.settle();
        }
        // The relay says that this was long ago, or that it will be.
        for entry in world.relay.rooms.rooms.get_mut(&room).unwrap().log.iter_mut().rev().take(1) {
            entry.accepted_at = lie;
        }
        world.connect("alice");
        days(&mut world, "carol", 40);
        assert!(told(&world, "alice").is_empty(), "{lie}");
        assert_eq!(world.names("alice", "#ops").len(), 3, "{lie}");
    }
    // The clock of alice's machine jumps a year ahead: by the log's, nothing happened.
    let mut world = without(804, &["alice", "carol", "bob"]);
    let ahead = world.now + 365 * DAY;
    let mut rng = SeededRng::new(1);
    let core = world.client("alice").core.as_mut().unwrap();
    let effects = core.handle_all(vec![Input::Wake], ahead, &mut rng);
    let told = |effect: &Effect| matches!(effect, Effect::Event(event) if event.body.kind() == EventKind::RoomMemberSilent);
    assert!(!effects.iter().any(told));
    let Some(Reply::Members { members }) = world.ask("alice", members()).ok() else { panic!() };
    assert_eq!(members.len(), 3);
    let commits = world.relay.rooms.commits;
    world.run_for(HOUR);
    assert_eq!(world.relay.rooms.commits, commits);
}

fn members() -> Request {
    Request::RoomMembers { room: "#ops".into() }
}
