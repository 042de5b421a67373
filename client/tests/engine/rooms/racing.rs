//! Many members change a room at the same time, round after round.
//!
//! By default a few of them, a few times; `SUBROSA_RACE_MEMBERS=20 SUBROSA_RACE_ROUNDS=50` is the long version.

use std::{collections::BTreeSet, io::Write};

use subrosa_client::{
    Request,
    api::{Kind, Role},
};
use subrosa_protocol::{codec, content::RoomInvitation, frames::EntryKind};

use super::id_of;
use crate::world::World;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn two_who_invite_the_same_person_at_once_bring_her_in() {
    let mut world = World::with_rooms(501, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob"]));
    let role = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Moderator };
    world.room("alice", role).unwrap();
    world.run_for(30_000);
    let invite = Request::RoomInvite { room: "#ops".into(), name: "carol".into() };
    for name in ["alice", "bob"] {
        // They have looked her up before.
        world.befriend(name, "carol");
    }
    for name in ["alice", "bob"] {
        world.ask_later(name, invite.clone());
    }
    world.run_for(30_000);
    // One commit was taken. The other one's invitation came too, after it, and names a Welcome that nobody has.
    assert_eq!(world.relay.rooms.losers.iter().filter(|commit| commit.welcome.is_some()).count(), 1);
    let invitation = world.peek_room("carol", room).unwrap().invitation.unwrap();
    let invitation: RoomInvitation = codec::decode(&invitation).unwrap();
    assert!(world.relay.rooms.void.contains(&invitation.welcome));
    world.join("carol", "#ops").unwrap();
    world.settle();
    world.agree(&["alice", "bob", "carol"], "#ops");
    world.send("carol", "#ops", "in");
    world.settle();
    assert!(world.texts("alice", "#ops").contains(&"in".to_owned()));
}

#[test]
fn r31_rounds_of_many_committers_have_one_winner_an_epoch() {
    let members = number("SUBROSA_RACE_MEMBERS", 6);
    let rounds = number("SUBROSA_RACE_ROUNDS", 4);
    let names: Vec<String> = (0..members).map(|n| format!("user_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with_rooms(500, &names);
    let room = id_of(&world.gather(&names));
    for name in &names[1..] {
        let role = Request::RoomRole { room: "#ops".into(), name: (*name).into(), role: Role::Moderator };
        world.room(names[0], role).unwrap();
        world.settle();
    }
    let (mut won, mut gave_up) = (0, 0);
    for round in 0..rounds {
        let before = world.relay.rooms.rooms[&room].epoch;
        let tokens: Vec<_> = names
            .iter()
            .map(|name| {
                let topic = Request::RoomTopic { room: "#ops".into(), topic: format!("{round} by {name}") };
                (*name, world.ask_later(name, topic))
            })
            .collect();
        // All are merged within ten seconds.
        world.run_for(10_000);
        world.agree(&names, "#ops");
        let after = world.relay.rooms.rooms[&room].epoch;
        let mut accepted = 0;
        for (name, token) in tokens {
            match world.answer(name, token).expect("answered") {
                Ok(_) => accepted += 1,
                Err(error) => {
                    assert_eq!(error.kind, Kind::Refused, "{error:?}");
                    gave_up += 1;
                }
            }
        }
        assert!(accepted > 0, "round {round}: nobody came through");
        assert_eq!(after - before, accepted, "round {round}: one commit an epoch");
        won += accepted;
    }
    // No two entries of the log changed the same epoch.
    let log = &world.relay.rooms.rooms[&room].log;
    let commits: Vec<u64> =
        log.iter().filter(|entry| entry.kind == EntryKind::Commit).map(|entry| entry.epoch).collect();
    assert_eq!(commits.len(), commits.iter().collect::<BTreeSet<_>>().len());
    let lost = world.relay.rooms.lost;
    assert!(lost > 0, "nobody raced");
    let did = format!(
        "did: rooms: {members} members committed at once for {rounds} rounds: {won} won, {lost} times another was faster, \
         {gave_up} gave up; all merged within 10 s"
    );
    writeln!(std::io::stderr(), "{did}").unwrap();
}
