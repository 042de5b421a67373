//! A room that nobody can follow any more is renewed by an owner; members who are shown different rooms find out; who declines
//! an invitation goes; new accounts join the lobby.

use sha2::Digest;
use subrosa_client::{
    Request,
    api::{EventBody, EventKind, Kind, MessageKind, Role, RoomState, WaitFor},
};
use subrosa_protocol::frames::{CommitBody, EntryBody, EntryKind};

use super::id_of;
use crate::world::World;

fn brick(world: &mut World, room: subrosa_protocol::RoomId) {
    let pushes = world.relay.brick(room);
    world.push(pushes);
}

#[test]
fn r31_a_room_that_a_commit_broke_is_usable_again_within_a_minute() {
    for public in [false, true] {
        let mut world = World::with_rooms(600, &["alice", "bob", "carol"]);
        let room = if public {
            let room = world.create_public("alice", "ops");
            for who in ["bob", "carol"] {
                world.join(who, "ops").unwrap();
                world.settle();
            }
            id_of(&room)
        } else {
            id_of(&world.gather(&["alice", "bob", "carol"]))
        };
        world.send("bob", "#ops", "before");
        world.settle();
        brick(&mut world, room);
        let queued = world.send("carol", "#ops", "meanwhile");
        world.run_for(60_000);
        assert_eq!(world.relay.rooms.rooms[&room].generation, 1);
        world.agree(&["alice", "bob", "carol"], "#ops");
        for who in ["alice", "bob", "carol"] {
            world.send(who, "#ops", &format!("{who} is here"));
            world.settle();
        }
        for who in ["alice", "bob", "carol"] {
            let texts = world.texts(who, "#ops");
            for text in ["before", "meanwhile", "alice is here", "bob is here", "carol is here"] {
                assert_eq!(
                    texts.iter().filter(|said| *said == text).count(),
                    1,
                    "{who}: {text} in {texts:?}"
                );
            }
            assert!(world.notices(who, "#ops").contains(&MessageKind::RoomRenewed {}), "{who}");
            assert_eq!(world.told(who, EventKind::RoomRefused).len(), 1, "{who}: it is shown");
            assert_eq!(world.told(who, EventKind::RoomRekeyed).len(), 1, "{who}");
            assert!(world.told(who, EventKind::MessageMissing).is_empty(), "{who}");
        }
        assert_eq!(world.state("carol", &queued), subrosa_client::api::MessageState::Accepted);
        // It can be changed again.
        world.kick("alice", "#ops", "carol").unwrap();
        world.settle();
        world.agree(&["alice", "bob"], "#ops");
    }
}

#[test]
fn r31_a_new_owner_has_the_key_and_the_one_who_made_the_room_follows_later() {
    let mut world = World::with_rooms(601, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let role = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Owner };
    world.room("alice", role).unwrap();
    world.run_for(30_000);
    let secret = |world: &mut World, who: &str| {
        world.peek(who, |tx| tx.room(room).unwrap().unwrap().owner_secret.map(|secret| *secret))
    };
    let key = secret(&mut world, "alice");
    assert!(key.is_some() && secret(&mut world, "bob") == key);
    assert_eq!(secret(&mut world, "carol"), None, "for owners only");
    world.disconnect("alice");
    brick(&mut world, room);
    world.run_for(60_000);
    world.agree(&["bob", "carol"], "#ops");
    world.send("carol", "#ops", "without alice");
    world.connect("alice");
    world.run_for(20_000);
    world.agree(&["alice", "bob", "carol"], "#ops");
    assert_eq!(world.relay.rooms.rooms[&room].generation, 1);
    assert_eq!(world.texts("alice", "#ops"), ["without alice"]);
}

#[test]
fn r31_who_is_no_owner_any_more_has_no_key_that_counts() {
    let mut world = World::with_rooms(608, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let role = |name: &str, role| Request::RoomRole { room: "#ops".into(), name: name.into(), role };
    for who in ["bob", "carol"] {
        world.room("alice", role(who, Role::Owner)).unwrap();
        world.run_for(30_000);
    }
    let first = world.relay.rooms.rooms[&room].owner_key;
    world.room("alice", role("bob", Role::Member)).unwrap();
    world.run_for(30_000);
    assert_ne!(world.relay.rooms.rooms[&room].owner_key, first);
    let secret = |world: &mut World, who: &str| {
        world.peek(who, |tx| tx.room(room).unwrap().unwrap().owner_secret.map(|secret| *secret))
    };
    let key = secret(&mut world, "alice");
    assert!(key.is_some() && secret(&mut world, "carol") == key, "the other owner has the new one");
    assert_eq!(secret(&mut world, "bob"), None);
    world.agree(&["alice", "bob", "carol"], "#ops");
    world.disconnect("alice");
    brick(&mut world, room);
    world.run_for(60_000);
    world.agree(&["bob", "carol"], "#ops");
}

#[test]
fn r31_two_owners_at_once_renew_it_once() {
    let mut world = World::with_rooms(602, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let role = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Owner };
    world.room("alice", role).unwrap();
    world.run_for(30_000);
    let renew = Request::RoomRenew { room: "#ops".into() };
    let tokens = ["alice", "bob"].map(|who| (who, world.ask_later(who, renew.clone())));
    world.run_for(30_000);
    let answers = tokens.map(|(who, token)| world.answer(who, token).expect("answered").is_ok());
    assert_eq!(answers.iter().filter(|won| **won).count(), 1, "{answers:?}");
    assert_eq!(world.relay.rooms.rooms[&room].generation, 1);
    world.agree(&["alice", "bob", "carol"], "#ops");
    world.send("carol", "#ops", "once");
    world.settle();
    for who in ["alice", "bob"] {
        assert_eq!(world.texts(who, "#ops"), ["once"], "{who}");
    }
    let error = world.room("carol", Request::RoomRenew { room: "#ops".into() }).unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("no right"), "{error:?}");
}

#[test]
fn r31_a_renewal_that_the_owner_key_did_not_sign_is_refused_and_shown() {
    let mut world = World::with_rooms(603, &["alice", "bob"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    world.disconnect("bob");
    world.room("alice", Request::RoomRenew { room: "#ops".into() }).unwrap();
    world.settle();
    let log = &mut world.relay.rooms.rooms.get_mut(&room).unwrap().log;
    let entry = log.iter_mut().find(|entry| entry.kind == EntryKind::Reboot).unwrap();
    let EntryBody::Reboot(notice) = &mut entry.body else { panic!() };
    notice.signature[7] ^= 1;
    world.connect("bob");
    world.settle();
    assert_eq!(world.told("bob", EventKind::RoomRefused).len(), 1);
    assert!(world.told("bob", EventKind::RoomRekeyed).is_empty());
}

#[test]
fn who_declines_goes_out_of_the_group() {
    let mut world = World::with_rooms(604, &["alice", "bob"]);
    world.create_private("alice", "ops");
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    assert_eq!(world.names("alice", "#ops").len(), 2);
    world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap();
    world.run_for(30_000);
    assert_eq!(world.names("alice", "#ops").len(), 1);
    // And may be asked again.
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.join("bob", "#ops").unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn who_was_cut_off_joins_a_public_room_again_by_its_own_act_only() {
    let mut world = World::with_rooms(607, &["alice", "bob"]);
    let room = id_of(&world.create_public("alice", "ops"));
    world.join("bob", "ops").unwrap();
    world.settle();
    world.disconnect("bob");
    for n in 0..10 {
        world.send("alice", "#ops", &format!("message {n}"));
        world.settle();
    }
    let head = world.relay.rooms.rooms[&room].log.len() as u64;
    world.relay.forget_before(room, head - 2);
    world.connect("bob");
    world.run_for(60_000);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::CutOff), "nothing brings it back by itself");
    assert_eq!(world.told("bob", EventKind::RoomCutOff).len(), 1);
    assert_eq!(world.names("alice", "#ops").len(), 1, "its leaf is of no use");
    world.join("bob", "#ops").unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
    world.send("alice", "#ops", "welcome back");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["welcome back"]);
}

#[test]
fn r29_members_who_are_shown_different_commits_find_out() {
    let mut world = World::with_rooms(605, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let role = Request::RoomRole { room: "#ops".into(), name: "carol".into(), role: Role::Moderator };
    world.room("alice", role).unwrap();
    world.send("bob", "#ops", "I am here");
    world.settle();
    world.disconnect("bob");
    // Two commits of one epoch. The relay shows bob the one that lost.
    for who in ["alice", "carol"] {
        world.ask_later(who, Request::RoomTopic { room: "#ops".into(), topic: format!("by {who}") });
    }
    let (first, loser) = loop {
        assert!(world.step(), "nobody lost");
        if let Some(loser) = world.relay.rooms.losers.last() {
            let log = &world.relay.rooms.rooms[&room].log;
            let first = log.iter().rposition(|entry| entry.kind == EntryKind::Commit).unwrap();
            break (first, loser.clone());
        }
    };
    for who in ["alice", "carol"] {
        world.disconnect(who);
    }
    let honest = world.relay.rooms.rooms[&room].clone();
    {
        let shown = world.relay.rooms.rooms.get_mut(&room).unwrap();
        let CommitBody::Inline(bytes) = loser.commit else { panic!() };
        shown.log.truncate(first + 1);
        (shown.log[first].body, shown.log[first].delta) = (EntryBody::Inline(bytes), Some(loser.delta));
    }
    world.connect("bob");
    world.settle();
    world.disconnect("bob");
    world.relay.rooms.rooms.insert(room, honest);
    assert!(world.told("bob", EventKind::RoomRefused).is_empty(), "it is a commit like any other");
    // Carol stays away: her change would be tried again.
    world.connect("alice");
    world.settle();
    world.connect("bob");
    world.settle();
    // Until somebody who sees the room otherwise writes to him.
    world.send("alice", "bob", "do you see what I see?");
    world.run_for(30_000);
    let told = world.told("bob", EventKind::RoomRefused);
    assert!(format!("{told:?}").contains("different histories"), "{told:?}");
    let error = world.try_send("bob", "#ops", "hello?", WaitFor::Queued).error.unwrap();
    assert_eq!(error.kind, Kind::Identity, "{error:?}");
    // Both have proof: their own head and the commit that led there, and what the other one told.
    let (theirs, ours) = (world.evidence("bob"), world.evidence("alice"));
    assert_eq!((theirs.len(), ours.len()), (1, 1), "{theirs:?} {ours:?}");
    let (theirs, ours) = (&theirs[0], &ours[0]);
    assert_eq!((theirs.epoch, theirs.generation), (ours.epoch, ours.generation));
    let (told_bob, told_alice) = (theirs.theirs.as_ref().unwrap(), ours.theirs.as_ref().unwrap());
    assert_eq!((told_bob.by.as_str(), told_alice.by.as_str()), ("alice", "bob"));
    assert_eq!(theirs.our_head.as_ref(), Some(&told_alice.head));
    assert_eq!(ours.our_head.as_ref(), Some(&told_bob.head));
    let commits = [theirs.our_commit.as_ref().unwrap(), ours.our_commit.as_ref().unwrap()];
    assert_eq!(commits[0].epoch, commits[1].epoch);
    assert_ne!(commits[0].hash, commits[1].hash, "two commits of one epoch, each signed by who made it");
    assert_eq!(commits.map(|commit| commit.by.as_deref()), [Some("carol/1"), Some("alice/1")]);
    for commit in commits {
        let bytes = data_encoding::HEXLOWER.decode(commit.commit.as_ref().unwrap().as_bytes()).unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes)), commit.hash);
    }
    for who in ["alice", "bob"] {
        assert_eq!(world.told(who, EventKind::RoomForked).len(), 1, "{who}");
    }
    // It is kept whatever happens to the program.
    world.crash("bob");
    world.restart("bob");
    world.settle();
    assert_eq!(world.evidence("bob").len(), 1);
}

#[test]
fn r29_a_relay_that_gives_two_commits_of_an_epoch_leaves_proof() {
    let mut world = World::with_rooms(607, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    let role = Request::RoomRole { room: "#ops".into(), name: "carol".into(), role: Role::Moderator };
    world.room("alice", role).unwrap();
    world.settle();
    world.disconnect("bob");
    for who in ["alice", "carol"] {
        world.ask_later(who, Request::RoomTopic { room: "#ops".into(), topic: format!("by {who}") });
    }
    world.settle();
    let loser = world.relay.rooms.losers.last().unwrap().clone();
    let CommitBody::Inline(bytes) = loser.commit else { panic!() };
    let log = &mut world.relay.rooms.rooms.get_mut(&room).unwrap().log;
    let mut other = log.iter().rfind(|entry| entry.kind == EntryKind::Commit).unwrap().clone();
    (other.seq, other.id) = (log.len() as u64 + 1, subrosa_protocol::EntryId::from_bytes([5; 16]));
    (other.epoch, other.body, other.delta) = (loser.epoch, EntryBody::Inline(bytes), Some(loser.delta));
    log.push(other);
    world.connect("bob");
    world.settle();
    let told = world.told("bob", EventKind::RoomForked);
    assert!(matches!(told[..], [EventBody::RoomForked { by: None, .. }]), "{told:?}");
    let evidence = world.evidence("bob");
    let [found] = &evidence[..] else { panic!("{evidence:?}") };
    let (ours, theirs) = (found.our_commit.as_ref().unwrap(), found.their_commit.as_ref().unwrap());
    assert_eq!((found.epoch, ours.epoch, theirs.epoch), (loser.epoch, loser.epoch, loser.epoch));
    assert!(ours.hash != theirs.hash && ours.commit.is_some() && theirs.commit.is_some(), "{found:?}");
    // What was followed stays, and the room goes on.
    assert!(world.told("bob", EventKind::RoomRefused).is_empty());
    world.send("bob", "#ops", "still here");
    world.settle();
    assert!(world.texts("bob", "#ops").contains(&"still here".to_owned()));
    let row = world.line("bob", "#ops", "still here");
    assert_ne!(row.state, subrosa_client::api::MessageState::Failed);
}

#[test]
fn new_accounts_join_the_lobby_and_stay_out_once_they_left() {
    let mut world = World::with_rooms(606, &["alice"]);
    world.create_public("alice", "Lobby");
    world.relay.rooms.lobby = Some("lobby".parse().unwrap());
    world.register("dave");
    world.connect("dave");
    world.run_for(20_000);
    assert_eq!(world.shown("dave", "#lobby").state, Some(RoomState::Joined));
    world.agree(&["alice", "dave"], "#lobby");
    world.ask("dave", Request::RoomLeave { room: "#lobby".into() }).unwrap();
    world.disconnect("dave");
    world.restart("dave");
    world.run_for(20_000);
    assert_eq!(world.shown("dave", "#lobby").state, Some(RoomState::Left));
    assert_eq!(world.names("alice", "#lobby").len(), 1);
}
