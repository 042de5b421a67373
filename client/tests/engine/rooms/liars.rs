//! Members whose clients keep to no rule. The relay cannot see it: the other members' clients refuse it, show it, and go on.
//! `SUBROSA_ROOM_PROPOSALS`: how many proposals one of them sends (150; the long run takes 10,000).

use std::collections::BTreeSet;

use subrosa_client::{
    api::{EventKind, MessageKind, Role, RoomState},
    store::Counter,
};
use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, EntryId, MessageId, Payload, RoomId,
    content::{Content, Text},
    frames::{
        CommitBody, EntryKind, Invitations, ListingChange, Request as Frame, Response, RoomCommit, RoomDelta,
    },
};
use subrosa_rooms::{Delta, Policy, Role as PolicyRole, Room, RoomError};

use super::id_of;
use crate::{relay_rooms::device_of, world::World};

/// A room of alice, who owns it, bob, carol, and mallory, whose client lies from now on.
fn room(seed: u64) -> (World, RoomId) {
    let mut world = World::with_rooms(seed, &["alice", "bob", "carol", "mallory"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol", "mallory"]));
    world.run_for(60_000);
    world.agree(&["alice", "bob", "carol", "mallory"], "#ops");
    world.disconnect("mallory");
    (world, room)
}

/// What mallory's client hands to the relay, which sees nothing wrong with it.
fn commit(world: &mut World, id: RoomId, removed: Option<&str>, change: impl FnOnce(&mut Policy)) {
    let (generation, epoch) = {
        let room = &world.relay.rooms.rooms[&id];
        (room.generation, room.epoch)
    };
    let gone: BTreeSet<_> = removed.map(|name| RoomDevice::new(name, 1)).into_iter().collect();
    let delta = Delta { removed: gone, ..Delta::default() };
    let bytes = world.with_store("mallory", |tx, me, rng| {
        let mut room = Room::load(tx, *id.as_bytes())?.ok_or(RoomError::NoRoom)?;
        let mut policy = room.policy().clone();
        change(&mut policy);
        let policy = Some(policy).filter(|policy| policy != room.policy());
        room.lying_commit(tx, rng, me, &delta, policy.as_ref())
    });
    let removed = removed.map(|name| device_of(&(name.to_owned(), 1))).into_iter().collect();
    let request = RoomCommit {
        room: id,
        id: EntryId::from_bytes([0xaa; 16]),
        generation,
        epoch,
        after: u64::MAX,
        commit: CommitBody::Inline(BoundedBytes::new(bytes).unwrap()),
        delta: RoomDelta {
            added: BoundedVec::default(),
            removed: BoundedVec::new(removed).unwrap(),
            banned: BoundedVec::default(),
            unbanned: BoundedVec::default(),
            listing: ListingChange::Keep,
            owner_key: None,
        },
        group_info: None,
        welcome: None,
        invitations: Invitations::default(),
        state_generation: 0,
    };
    let place = world.client("mallory").place.clone();
    let (response, pushes) = world.relay.request(&place, Frame::RoomCommit(request));
    assert!(matches!(response, Response::RoomAccepted(_)), "{response:?}");
    world.push(pushes);
}

fn go_on(world: &mut World, members: &[&str]) {
    world.agree(members, "#ops");
    for (from, text) in members.iter().zip(["one", "two", "three"]) {
        world.send(from, "#ops", text);
        world.settle();
    }
    for who in members {
        let texts = world.texts(who, "#ops");
        assert_eq!(texts[texts.len() - 3..], ["one", "two", "three"], "{who}");
    }
}

#[test]
fn r33_a_commit_without_the_right_is_refused_shown_and_mended_and_the_others_go_on() {
    type Lie = (Option<&'static str>, fn(&mut Policy));
    let lies: [Lie; 4] = [
        (None, |policy| policy.topic = "mine".into()),
        (None, |policy| policy.set_role("mallory", PolicyRole::Owner)),
        (None, |policy| policy.owner_key = [7; 32]),
        (Some("bob"), |_| {}),
    ];
    for (number, (removed, change)) in lies.into_iter().enumerate() {
        let (mut world, id) = room(840);
        world.send("bob", "#ops", "before");
        world.settle();
        commit(&mut world, id, removed, change);
        world.run_for(60_000);
        for who in ["alice", "bob", "carol"] {
            let told = world.told(who, EventKind::RoomRefused);
            assert!(!told.is_empty(), "{number}: {who}");
            let lines = world.notices(who, "#ops");
            let refused = |kind: &MessageKind| matches!(kind, MessageKind::CommitRefused { .. });
            assert!(lines.iter().any(refused), "{number}: {who}");
            assert!(lines.contains(&MessageKind::RoomRenewed {}), "{number}: {who}, within a minute");
            let shown = world.shown(who, "#ops");
            assert_eq!((shown.state, shown.topic.as_str()), (Some(RoomState::Joined), ""), "{number}: {who}");
            let names = world.names(who, "#ops");
            assert_eq!(names.len(), 4, "{number}: {names:?}");
            let owners = names.iter().filter(|(_, role)| *role == Role::Owner);
            assert_eq!(owners.count(), 1, "{number}: {names:?}");
        }
        go_on(&mut world, &["alice", "bob", "carol"]);
        assert_eq!(world.texts("carol", "#ops")[0], "before", "{number}");
    }
}

#[test]
fn r14_a_text_under_anothers_name_is_not_shown_and_the_others_go_on() {
    let (mut world, id) = room(841);
    let key = world.client("alice").account.public();
    let text = |text: &str| {
        let text = Text { text: BoundedStr::new(text).unwrap(), reply_to: None, sent_at: 1 };
        Payload { gossip: None, content: Content::Text(text) }.encode().unwrap()
    };
    let count = |world: &World| {
        let store = world.clients["bob"].store().unwrap();
        store.read(|tx| tx.counted(Counter::DiscardedMismatch)).unwrap()
    };
    let before = count(&world);
    let now = world.now;
    for forged in [true, false] {
        let content = text(if forged { "I am alice" } else { "I am mallory" });
        let bytes = world.with_store("mallory", |tx, me, rng| {
            let mut room = Room::load(tx, *id.as_bytes())?.ok_or(RoomError::NoRoom)?;
            let change = |header: &mut subrosa_crypto::binding::Header| {
                header.message_id = *MessageId::from_bytes([u8::from(forged); 16]).as_bytes();
                if forged {
                    (header.sender_account, header.sender_account_key) = ("alice".into(), key);
                }
            };
            room.lying_message(tx, rng, me, change, &content, now)
        });
        let pushes = world.relay.append(id, EntryKind::Application, bytes);
        world.push(pushes);
        world.settle();
    }
    assert_eq!(count(&world), before + 1);
    for who in ["alice", "bob", "carol"] {
        assert_eq!(world.texts(who, "#ops"), ["I am mallory"], "{who}: the same client, under its own name");
        let line = world.line(who, "#ops", "I am mallory");
        assert_eq!(line.from, "mallory");
        assert!(world.told(who, EventKind::RoomRefused).is_empty());
    }
    go_on(&mut world, &["alice", "bob", "carol"]);
}

#[test]
fn r30_thousands_of_proposals_are_passed_over_and_the_others_go_on() {
    let count = std::env::var("SUBROSA_ROOM_PROPOSALS").map_or(150, |count| count.parse().unwrap());
    let (mut world, id) = room(842);
    let now = world.now;
    let proposals = world.with_store("mallory", |tx, me, rng| {
        let mut room = Room::load(tx, *id.as_bytes())?.ok_or(RoomError::NoRoom)?;
        room.lying_proposals(tx, rng, me, count, now)
    });
    assert_eq!(proposals.len(), count);
    let epoch = world.relay.rooms.rooms[&id].epoch;
    let began = std::time::Instant::now();
    // Some come one by one, the rest while two of the three are away.
    let (some, rest) = proposals.split_at(count / 10);
    for proposal in some {
        let pushes = world.relay.append(id, EntryKind::Proposal, proposal.clone());
        world.push(pushes);
    }
    world.settle();
    world.disconnect("bob");
    world.disconnect("carol");
    for proposal in rest {
        let pushes = world.relay.append(id, EntryKind::Proposal, proposal.clone());
        world.push(pushes);
    }
    world.settle();
    world.connect("bob");
    world.connect("carol");
    world.settle();
    use std::io::Write as _;
    let took = began.elapsed().as_millis() / 3;
    let line =
        format!("did: {count} proposals of a lying member passed over, {took} ms at each of 3 members\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    for who in ["alice", "bob", "carol"] {
        assert_eq!(world.names(who, "#ops").len(), 4, "{who}: nobody is removed");
        assert!(world.told(who, EventKind::RoomRefused).is_empty(), "{who}");
    }
    go_on(&mut world, &["alice", "bob", "carol"]);
    assert_eq!(world.relay.rooms.rooms[&id].epoch, epoch, "no commit came of it");
}
