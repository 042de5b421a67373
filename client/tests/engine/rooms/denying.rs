//! A relay that says that a device is not in a room. Its word is no proof: only a commit that members may make, or the
//! person's own act, ends a room here.

use subrosa_client::{
    Reply, Request,
    api::{EventBody, EventKind, Kind, MessageKind, MessageState, RoomState, WaitFor},
};
use subrosa_protocol::RoomId;

use super::id_of;
use crate::{relay_rooms::device_of, world::World};

const HALF_AN_HOUR_MS: u64 = 30 * 60_000;

impl World {
    /// The relay says that this device is in no such room; or not any more.
    fn deny(&mut self, handle: &str, room: RoomId, denies: bool) {
        let device = device_of(&self.client(handle).place.clone());
        if denies {
            self.relay.rooms.denied.insert((room, device));
        } else {
            self.relay.rooms.denied.remove(&(room, device));
        }
    }
}

fn denied(seed: u64) -> (World, RoomId) {
    let (world, room, _) = denied_with(seed, &[]);
    (world, room)
}

/// These were written before it was known.
fn denied_with(seed: u64, texts: &[&str]) -> (World, RoomId, Vec<String>) {
    let mut world = World::with_rooms(seed, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.send("alice", "#ops", "before");
    world.settle();
    world.deny("bob", room, true);
    world.disconnect("bob");
    let ids = texts.iter().map(|text| world.send("bob", "#ops", text)).collect();
    world.connect("bob");
    world.settle();
    (world, room, ids)
}

fn is_kept(world: &mut World) {
    let shown = world.shown("bob", "#ops");
    assert_eq!((shown.state, shown.denied), (Some(RoomState::Joined), true));
    assert_eq!(world.names("bob", "#ops").len(), 2, "its group is there");
    assert_eq!(world.told("bob", EventKind::RoomDenied), [EventBody::RoomDenied { chat: "#ops".into() }]);
    let lines = world.notices("bob", "#ops");
    assert_eq!(lines.iter().filter(|kind| **kind == MessageKind::RoomDenied {}).count(), 1, "told once");
}

#[test]
fn r33_the_relays_word_puts_nobody_out_and_the_room_goes_on_by_itself() {
    let (mut world, room, ids) = denied_with(700, &["first", "second"]);
    is_kept(&mut world);
    // What was written waits; a further text and a change are refused and say why.
    let first = &ids[0];
    let refused = world.try_send("bob", "#ops", "third", WaitFor::Queued);
    let error = refused.error.unwrap();
    assert!(error.kind == Kind::Refused && error.message.contains("the relay says"), "{error:?}");
    assert_eq!((refused.id, refused.state), (None, MessageState::Failed), "nothing is left here");
    let error = world.kick("bob", "#ops", "alice").unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("the relay says"), "{error:?}");
    let before = world.relay.rooms.rooms[&room].log.len();
    world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "meanwhile".into() }).unwrap();
    world.send("alice", "#ops", "are you there?");
    world.run_for(HALF_AN_HOUR_MS);
    assert_eq!(world.state("bob", first), MessageState::Queued, "nothing is lost");
    assert_eq!(world.relay.rooms.rooms[&room].log.len(), before + 2, "bob's device posts nothing");
    for _ in 0..3 {
        world.disconnect("bob");
        world.connect("bob");
        world.settle();
    }
    is_kept(&mut world);
    // The relay answers for the room again: nobody has to do anything.
    world.deny("bob", room, false);
    world.run_for(HALF_AN_HOUR_MS);
    assert_eq!(world.told("bob", EventKind::RoomAnswered).len(), 1);
    assert!(!world.shown("bob", "#ops").denied);
    world.agree(&["alice", "bob"], "#ops");
    assert_eq!(world.shown("bob", "#ops").topic.as_str(), "meanwhile");
    for who in ["alice", "bob"] {
        let mut texts = world.texts(who, "#ops");
        texts.sort();
        assert_eq!(texts, ["are you there?", "before", "first", "second"], "{who}");
    }
}

#[test]
fn i3_entries_that_the_relay_keeps_back_are_missed_at_once_and_read_later_in_order() {
    let mut world = World::with_rooms(707, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.disconnect("bob");
    for text in ["one", "two", "three"] {
        world.send("alice", "#ops", text);
        world.settle();
    }
    let at_relay = world.relay.rooms.rooms.get_mut(&room).unwrap();
    let second = at_relay.log.len() as u64 - 1;
    at_relay.holes.insert(second);
    let waits = world.send("bob", "#ops", "I see nothing");
    let before = world.client("bob").sent.len();
    world.connect("bob");
    world.run_for(HALF_AN_HOUR_MS);
    is_kept(&mut world);
    assert_eq!(world.texts("bob", "#ops"), ["I see nothing", "one"], "nothing out of order");
    let asked = world.client("bob").sent.len() - before;
    assert!(asked < 40, "{asked} requests in half an hour");
    assert_eq!(world.state("bob", &waits), MessageState::Queued);
    world.relay.rooms.rooms.get_mut(&room).unwrap().holes.clear();
    world.run_for(HALF_AN_HOUR_MS);
    for who in ["alice", "bob"] {
        assert_eq!(world.texts(who, "#ops"), ["one", "two", "three", "I see nothing"], "{who}");
    }
    assert!(!world.shown("bob", "#ops").denied);
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn r32_a_crash_while_the_relay_denies_a_room_loses_nothing() {
    for point in 0..4 {
        let mut world = World::with_rooms(701, &["alice", "bob"]);
        let room = id_of(&world.gather(&["alice", "bob"]));
        world.deny("bob", room, true);
        world.disconnect("bob");
        world.send("bob", "#ops", "kept?");
        world.send("bob", "#ops", "after");
        world.client("bob").crash_in = Some(point);
        world.connect("bob");
        world.settle();
        if world.client("bob").core.is_none() {
            world.restart("bob");
        }
        world.client("bob").crash_in = None;
        world.settle();
        world.crash("bob");
        world.restart("bob");
        world.settle();
        assert!(world.shown("bob", "#ops").denied, "point {point}");
        world.deny("bob", room, false);
        world.run_for(HALF_AN_HOUR_MS);
        world.agree(&["alice", "bob"], "#ops");
        let own = world.texts("bob", "#ops");
        assert_eq!(own.last().map(String::as_str), Some("after"));
        assert_eq!(world.texts("alice", "#ops"), own, "point {point}");
    }
}

#[test]
fn r33_a_commit_that_members_may_make_ends_it_and_so_does_its_person() {
    let (mut world, room) = denied(702);
    world.kick("alice", "#ops", "bob").unwrap();
    world.settle();
    is_kept(&mut world);
    world.deny("bob", room, false);
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Removed));
    let by = Some("alice".to_owned());
    assert_eq!(world.told("bob", EventKind::RoomLeft), [EventBody::RoomLeft { chat: "#ops".into(), by }]);

    let (mut world, _) = denied(703);
    assert_eq!(world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap(), Reply::Done {});
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Left));
    let error = world.try_send("bob", "#ops", "?", WaitFor::Queued).error.unwrap();
    assert_eq!(error.kind, Kind::Refused);
}

#[test]
fn r31_a_change_and_a_renewal_under_way_survive_a_relay_that_denies_the_room() {
    let mut world = World::with_rooms(704, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    for (number, change) in [
        Request::RoomTopic { room: "#ops".into(), topic: "new".into() },
        Request::RoomRenew { room: "#ops".into() },
    ]
    .into_iter()
    .enumerate()
    {
        world.deny("alice", room, true);
        let token = world.ask_later("alice", change.clone());
        world.run_for(HALF_AN_HOUR_MS);
        assert!(world.answer("alice", token).unwrap().is_err(), "{number}");
        world.deny("alice", room, false);
        world.disconnect("alice");
        world.connect("alice");
        world.run_for(60_000);
        let shown = world.shown("alice", "#ops");
        assert_eq!((shown.state, shown.denied), (Some(RoomState::Joined), false), "{number}");
        let again = world.room("alice", change);
        assert!(again.is_ok(), "{number}: {again:?}");
        world.run_for(60_000);
        world.agree(&["alice", "bob"], "#ops");
        let text = format!("text {number}");
        world.send("bob", "#ops", &text);
        world.settle();
        assert_eq!(world.texts("alice", "#ops").last(), Some(&text));
    }
}

#[test]
fn r33_an_account_that_leaves_takes_its_other_devices_with_it_by_a_commit() {
    let mut world = World::with_rooms(705, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.login("bob", "bob2");
    world.run_for(60_000);
    world.agree(&["alice", "bob", "bob2"], "#ops");
    assert_eq!(world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap(), Reply::Done {});
    world.run_for(60_000);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Left));
    assert_eq!(world.shown("bob2", "#ops").state, Some(RoomState::Removed));
    assert!(world.told("bob2", EventKind::RoomDenied).is_empty(), "it saw the commit");
    assert_eq!(world.names("alice", "#ops").len(), 1);
}

#[test]
fn r33_who_was_removed_long_ago_may_be_invited_again() {
    let (mut world, _) = denied(706);
    // The removal is not in the log any more when bob comes back: the relay only says that he is not in the room.
    world.kick("alice", "#ops", "bob").unwrap();
    world.settle();
    is_kept(&mut world);
    let device = device_of(&world.client("bob").place.clone());
    world.relay.rooms.denied.retain(|(_, denied)| *denied != device);
    let room = id_of(&world.shown("alice", "#ops"));
    world.relay.rooms.rooms.get_mut(&room).unwrap().removed.remove(&device);
    world.run_for(HALF_AN_HOUR_MS);
    is_kept(&mut world);
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Invited));
    world.join("bob", "#ops").unwrap();
    world.send("alice", "#ops", "welcome back");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["before", "welcome back"]);
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn who_waits_for_a_text_that_finds_the_room_gone_is_told_at_once_that_it_was_not_sent() {
    let mut world = World::with_rooms(708, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    // No push tells of it: the answer to the text does.
    world.deny("bob", room, true);
    let result = world.try_send("bob", "#ops", "are you there?", WaitFor::Accepted);
    let error = result.error.unwrap();
    assert_eq!((error.kind, result.state), (Kind::Refused, MessageState::Failed), "{error:?}");
    assert!(error.message.contains("the relay says that you are not in #ops"), "{error:?}");
    assert!(world.shown("bob", "#ops").denied);
    world.deny("bob", room, false);
    world.run_for(HALF_AN_HOUR_MS);
    assert!(world.texts("alice", "#ops").is_empty(), "it was given up");
}
