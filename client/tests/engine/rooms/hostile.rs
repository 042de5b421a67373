//! A relay that lies about a room: what it changes is refused and shown, what it leaves out is seen, what it repeats is not.

use sha2::{Digest, Sha256};
use subrosa_client::{
    Request,
    api::{EventBody, EventKind, Kind, MessageKind, RoomState, WaitFor},
};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, EntryId,
    frames::{EntryBody, EntryKind, ObjectHash, ObjectRef, Push, RoomEntry},
};

use super::id_of;
use crate::{
    relay_rooms::{Member, device_of},
    world::{World, name},
};

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

#[test]
fn r33_a_commit_that_is_left_out_is_missed() {
    let twice = |world: &mut World| {
        topic(world);
        world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "more".into() }).unwrap();
    };
    let mut world = behind_his_back(85, twice, |log| {
        let last = log.len() - 1;
        log.remove(last - 1);
        log[last - 1].seq -= 1;
    });
    stands_still(&mut world);
}

#[test]
fn i3_messages_that_are_swapped_are_shown_as_missing_and_never_out_of_order() {
    let mut world = behind_his_back(86, three, |log| {
        let last = log.len() - 1;
        log.swap(last - 1, last);
        (log[last - 1].seq, log[last].seq) = (log[last].seq, log[last - 1].seq);
    });
    assert_eq!(world.texts("bob", "#ops"), ["m1", "m3"]);
    assert!(world.notices("bob", "#ops").contains(&MessageKind::Missing { count: 1 }));
}

#[test]
fn r33_a_device_that_the_relay_adds_by_itself_is_no_member_and_reads_nothing() {
    let mut world = World::with_rooms(87, &["alice", "bob", "mallory"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    let device = device_of(&world.client("mallory").place.clone());
    let at_relay = world.relay.rooms.rooms.get_mut(&room).unwrap();
    at_relay.roster.insert(device, Member { joined: true, cursor: 0, from: 0 });
    world.disconnect("mallory");
    world.connect("mallory");
    world.send("alice", "#ops", "for members");
    world.settle();
    for who in ["alice", "bob"] {
        assert_eq!(world.names(who, "#ops").len(), 2, "{who}");
        assert_eq!(world.texts(who, "#ops"), ["for members"], "{who}");
    }
    let known = world.peek("mallory", |tx| tx.rooms().unwrap());
    assert!(known.is_empty(), "{known:?}");
}

#[test]
fn r33_a_forged_group_info_lets_nobody_into_another_room() {
    for flip in [false, true] {
        let mut world = World::with_rooms(88, &["alice", "bob", "mallory"]);
        let room = id_of(&world.create_public("alice", "Rust"));
        let other = id_of(&world.create_public("mallory", "Trap"));
        // The relay hands out a damaged one, or the one of mallory's room under this room's name.
        let forged = if flip {
            let hash = world.relay.rooms.rooms[&room].group_info.unwrap().hash;
            let mut bytes = world.relay.rooms.objects[&hash].clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        } else {
            let hash = world.relay.rooms.rooms[&other].group_info.unwrap().hash;
            world.relay.rooms.objects[&hash].clone()
        };
        let hash = ObjectHash(Sha256::digest(&forged).into());
        let size = forged.len() as u32;
        world.relay.rooms.objects.insert(hash, forged);
        world.relay.rooms.rooms.get_mut(&room).unwrap().group_info = Some(ObjectRef { hash, size });
        let error = world.join("bob", "rust").unwrap_err();
        assert_eq!(error.kind, Kind::Refused, "{error:?}");
        let known = world.peek("bob", |tx| tx.rooms().unwrap());
        assert!(known.iter().all(|room| room.state != RoomState::Joined), "{known:?}");
    }
}

#[test]
fn r33_a_forged_welcome_is_refused_and_the_genuine_one_works_afterwards() {
    let mut world = World::with_rooms(89, &["alice", "bob"]);
    world.create_private("alice", "ops");
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    let genuine = world.relay.rooms.objects.clone();
    for bytes in world.relay.rooms.objects.values_mut() {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    world.client("bob").notices_expected = true;
    let token = world.ask_later("bob", Request::RoomJoin { room: "#ops".into() });
    world.run_for(40_000);
    let error = world.answer("bob", token).unwrap().unwrap_err();
    assert!(matches!(error.kind, Kind::Refused | Kind::Unreachable | Kind::Timeout), "{error:?}");
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Invited), "it can be tried again");
    world.relay.rooms.objects = genuine;
    if !world.client("bob").connected {
        world.connect("bob");
        world.settle();
    }
    world.join("bob", "#ops").unwrap();
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn r15_an_invitation_that_is_played_again_is_not_heard() {
    let mut world = World::with_rooms(90, &["alice", "bob"]);
    world.create_private("alice", "ops");
    let before = world.relay.log.len();
    world.relay.silent = true;
    world.invite("alice", "#ops", "bob").unwrap();
    let place = world.client("bob").place.clone();
    let invitation = world.relay.device(&place.0, place.1).mailbox.last().unwrap().clone();
    world.relay.silent = false;
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    world.join("bob", "#ops").unwrap();
    world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap();
    world.run_for(30_000);
    assert!(world.relay.log.len() >= before);
    let mut again = invitation;
    let device = world.relay.device(&place.0, place.1);
    device.last_seq += 1;
    (again.seq, again.id) = (device.last_seq, subrosa_protocol::EnvelopeId::from_bytes([7; 16]));
    device.mailbox.push(again.clone());
    world.push(vec![(place, Push::Deliver(again))]);
    world.settle();
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Left));
    assert_eq!(world.told("bob", EventKind::RoomInvited).len(), 1);
    assert!(world.join("bob", "#ops").is_err());
}
