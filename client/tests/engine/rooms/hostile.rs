//! A relay that lies about a room: what it changes is refused and shown, what it leaves out is seen, what it repeats is not.

use subrosa_client::{
    Request,
    api::{EventBody, EventKind, Kind, MessageKind, WaitFor},
};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, EntryId,
    frames::{EntryBody, EntryKind, RoomEntry},
};

use super::id_of;
use crate::world::{World, name};

/// Bob is away while alice does something; the relay then changes its log, and he comes back.
fn behind_his_back(seed: u64, act: impl FnOnce(&mut World), lie: impl FnOnce(&mut Vec<RoomEntry>)) -> World {
    let mut world = World::with_rooms(seed, &["alice", "bob"]);
    let room = world.gather(&["alice", "bob"]);
    world.disconnect("bob");
    act(&mut world);
    world.settle();
    world.disconnect("alice");
    lie(&mut world.relay.rooms.rooms.get_mut(&id_of(&room)).unwrap().log);
    world.connect("bob");
    world.settle();
    world
}

fn topic(world: &mut World) {
    world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "secret".into() }).unwrap();
}

fn stands_still(world: &mut World) {
    let told = world.told("bob", EventKind::RoomRefused);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(matches!(&told[0], EventBody::RoomRefused { chat, .. } if chat == "#ops"));
    let refused = |kind: &MessageKind| matches!(kind, MessageKind::CommitRefused { .. });
    assert!(world.notices("bob", "#ops").iter().any(refused));
    assert!(world.shown("bob", "#ops").topic.is_empty(), "it was not followed");
    let error = world.kick("bob", "#ops", "alice").unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("stands still"), "{error:?}");
}

#[test]
fn r33_a_delta_that_is_not_the_commits_is_refused_and_shown() {
    let mut world = behind_his_back(80, topic, |log| {
        let delta = log.last_mut().unwrap().delta.as_mut().unwrap();
        delta.banned = BoundedVec::new(vec![name("mallory")]).unwrap();
    });
    stands_still(&mut world);
}

#[test]
fn r31_garbage_in_the_place_of_a_commit_is_refused_and_shown() {
    let mut world = behind_his_back(81, topic, |log| {
        log.last_mut().unwrap().body = EntryBody::Inline(BoundedBytes::new(vec![7; 300]).unwrap());
    });
    stands_still(&mut world);
}

#[test]
fn a_commit_that_is_played_again_changes_nothing() {
    let mut world = behind_his_back(82, topic, |log| {
        let mut again = log.last().unwrap().clone();
        again.seq += 1;
        again.id = EntryId::from_bytes([9; 16]);
        log.push(again);
    });
    assert_eq!(world.shown("bob", "#ops").topic.as_str(), "secret");
    assert!(world.told("bob", EventKind::RoomRefused).is_empty());
    assert_eq!(world.told("bob", EventKind::RoomChanged).len(), 1);
}

fn three(world: &mut World) {
    for n in 1..=3 {
        world.try_send("alice", "#ops", &format!("m{n}"), WaitFor::Accepted);
    }
}

#[test]
fn i3_a_message_that_is_left_out_is_missed() {
    let mut world = behind_his_back(83, three, |log| {
        let last = log.len() - 1;
        log.remove(last - 1);
        log[last - 1].seq -= 1;
    });
    assert_eq!(world.texts("bob", "#ops"), ["m1", "m3"]);
    let missing = MessageKind::Missing { count: 1 };
    assert!(world.notices("bob", "#ops").contains(&missing));
    assert_eq!(world.told("bob", EventKind::MessageMissing).len(), 1);
}

#[test]
fn i2_a_message_that_is_played_again_or_altered_is_not_shown() {
    let mut world = behind_his_back(84, three, |log| {
        for flip in [false, true] {
            let mut again =
                log.iter().rev().find(|entry| entry.kind == EntryKind::Application).unwrap().clone();
            again.seq = log.len() as u64 + 1;
            again.id = EntryId::from_bytes([u8::from(flip); 16]);
            if let (true, EntryBody::Inline(bytes)) = (flip, &again.body) {
                let mut bytes = bytes.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                again.body = EntryBody::Inline(BoundedBytes::new(bytes).unwrap());
            }
            log.push(again);
        }
    });
    assert_eq!(world.texts("bob", "#ops"), ["m1", "m2", "m3"]);
    assert!(world.told("bob", EventKind::MessageMissing).is_empty());
}
