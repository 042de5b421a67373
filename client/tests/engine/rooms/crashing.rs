//! The program ends at every commit of its store; what it said is kept, and nothing is done twice (R21, R22, R32).
//!
//! By default it ends at the first few points; `SUBROSA_ROOM_CRASHES=N` goes through N points of each story.

use subrosa_client::{Request, api::RoomState};

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
