//! The program ends at every commit of its store; what it said is kept, and nothing is done twice (R21, R22, R32).
//!
//! By default it ends at the first few points; `SUBROSA_ROOM_CRASHES=N` goes through N points of each story.
//! `SUBROSA_ROOM_CLIENT_KILLS=200` kills that often between a commit accepted and merged; 12 times without it.

use std::io::Write;

use subrosa_client::{Request, api::RoomState};

use super::id_of;
use crate::world::World;

/// How many points of a story the program dies at.
fn points() -> usize {
    std::env::var("SUBROSA_ROOM_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(4)
}

/// Lets alice's program die after each of her inputs in turn while `act` goes on, and start again.
fn at_each_point(seed: u64, act: impl Fn(&mut World), check: impl Fn(&mut World)) {
    for point in 0..points() {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        world.gather(&["alice", "bob"]);
        world.client("alice").crash_in = Some(point);
        act(&mut world);
        world.settle();
        if world.client("alice").core.is_none() {
            world.restart("alice");
        }
        world.client("alice").crash_in = None;
        world.run_for(60_000);
        check(&mut world);
    }
}

#[test]
fn r32_a_crash_around_a_commit_leaves_it_merged_or_void_and_never_both() {
    at_each_point(
        60,
        |world| {
            let topic = Request::RoomTopic { room: "#ops".into(), topic: "new".into() };
            world.ask_later("alice", topic);
        },
        |world| {
            world.agree(&["alice", "bob"], "#ops");
            world.send("alice", "#ops", "still here");
            world.send("bob", "#ops", "me too");
            world.settle();
            for who in ["alice", "bob"] {
                let mut texts = world.texts(who, "#ops");
                texts.sort();
                assert_eq!(texts, ["me too", "still here"], "{who}");
            }
        },
    );
}

#[test]
fn r21_a_crash_around_a_message_loses_and_doubles_nothing() {
    at_each_point(
        61,
        |world| {
            for n in 0..3 {
                if world.client("alice").core.is_some() {
                    world.send_later("alice", "#ops", &format!("m{n}"), subrosa_client::api::WaitFor::Queued);
                }
                world.send("bob", "#ops", &format!("b{n}"));
            }
        },
        |world| {
            let own = world.texts("alice", "#ops");
            let theirs = world.texts("bob", "#ops");
            let of = |texts: &[String], letter: char| -> Vec<String> {
                texts.iter().filter(|text| text.starts_with(letter)).cloned().collect()
            };
            assert_eq!(of(&own, 'm'), of(&theirs, 'm'), "what was stored is sent, once");
            assert_eq!(of(&own, 'b'), ["b0", "b1", "b2"]);
            world.agree(&["alice", "bob"], "#ops");
        },
    );
}

#[test]
fn a_crash_around_an_invitation() {
    at_each_point(
        62,
        |world| {
            world.ask_later("alice", Request::RoomInvite { room: "#ops".into(), name: "carol".into() });
        },
        |world| {
            if world.names("alice", "#ops").len() == 2 {
                world.invite("alice", "#ops", "carol").unwrap();
                world.settle();
            }
            world.join("carol", "#ops").unwrap();
            world.send("carol", "#ops", "hello");
            world.settle();
            world.agree(&["alice", "bob", "carol"], "#ops");
            assert_eq!(world.texts("alice", "#ops"), ["hello"]);
        },
    );
}

#[test]
fn a_crash_of_who_joins() {
    for point in 0..points() {
        let mut world = World::with_rooms(63, &["alice", "bob"]);
        world.create_public("alice", "Rust");
        world.client("bob").crash_in = Some(point);
        world.ask_later("bob", Request::RoomJoin { room: "rust".into() });
        world.settle();
        if world.client("bob").core.is_none() {
            world.restart("bob");
        }
        world.client("bob").crash_in = None;
        world.run_for(60_000);
        if world.shown("bob", "rust").state != Some(RoomState::Joined) {
            world.join("bob", "rust").unwrap();
        }
        world.send("alice", "#rust", "hi");
        world.settle();
        world.agree(&["alice", "bob"], "#rust");
        assert_eq!(world.texts("bob", "#rust"), ["hi"]);
    }
}

/// How many kills.
fn kills() -> usize {
    std::env::var("SUBROSA_ROOM_CLIENT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(12)
}

/// The relay has the commit, and the program dies before it knows: after the restart the same commit is merged, once.
#[test]
fn r32_kills_between_a_commit_accepted_and_merged() {
    let mut world = World::with_rooms(64, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    let (mut with_invitation, mut answered) = (0, 0);
    for kill in 0..kills() {
        let carol = world.names("bob", "#ops").len() == 3;
        let change = match kill % 3 {
            0 => Request::RoomTopic { room: "#ops".into(), topic: format!("topic {kill}") },
            1 => Request::RoomRename { room: "#ops".into(), name: format!("name {kill}") },
            _ if carol => Request::RoomKick { room: "#ops".into(), name: "carol".into() },
            _ => Request::RoomInvite { room: "#ops".into(), name: "carol".into() },
        };
        with_invitation += usize::from(matches!(change, Request::RoomInvite { .. }));
        let (commits, epoch) = (world.relay.rooms.commits, world.relay.rooms.rooms[&room].epoch);
        // Every third time it dies in the step that merges, on either side of what the step does.
        let inside = kill % 6 == 5;
        let token = world.ask_later("alice", change);
        for _ in 0..1_000 {
            if world.relay.rooms.commits > commits {
                break;
            }
            if !world.step() {
                world.run_for(50);
            }
        }
        assert_eq!(world.relay.rooms.commits, commits + 1, "kill {kill}: no commit");
        if inside {
            world.client("alice").crash_in = Some(0);
            world.step_of("alice");
            world.client("alice").crash_in = None;
        }
        if world.client("alice").core.is_some() {
            world.crash("alice");
            let (stored, pending) =
                world.peek("alice", |tx| (tx.room(room).unwrap().unwrap(), tx.pending_commit(room).unwrap()));
            assert!(stored.epoch == epoch && pending.is_some(), "kill {kill}: it was merged before");
        }
        answered += usize::from(world.answer("alice", token).is_some());
        world.restart("alice");
        world.run_for(20_000);
        assert_eq!(world.relay.rooms.commits, commits + 1, "kill {kill}: it is made once");
        let pending = world.peek("alice", |tx| tx.pending_commit(room).unwrap());
        assert!(pending.is_none(), "kill {kill}: it is settled");
        world.agree(&["alice", "bob"], "#ops");
        assert_eq!(world.shown("alice", "#ops").epoch, world.relay.rooms.rooms[&room].epoch);
        let text = format!("after {kill}");
        world.send("alice", "#ops", &text);
        world.settle();
        assert_eq!(world.texts("bob", "#ops").last(), Some(&text));
    }
    assert_eq!(answered, 0, "whoever asked was told before the program died");
    let did = format!(
        "did: rooms: {} kills of a client between its commit accepted and merged, {with_invitation} with an invitation",
        kills()
    );
    writeln!(std::io::stderr(), "{did}").unwrap();
}
