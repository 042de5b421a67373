//! People with two devices each join and leave one public room at the same time, frames waiting everywhere: each of them comes
//! to where they want to be, within the time that a person waits, and all agree.
//!
//! By default a few rounds of a few seeds; `SUBROSA_TOGETHER_SEEDS` and `SUBROSA_TOGETHER_ROUNDS` are for the long version,
//! `SUBROSA_TOGETHER_SEED` for one seed.

use std::io::Write;

use rand_core::Rng;
use subrosa_client::{
    ApiError, Reply, Request,
    api::{Kind, Role, RoomState},
    core::Input,
};

use super::id_of;
use crate::world::World;

const ROOM: &str = "#lobby";
const PEOPLE: [&str; 3] = ["bob", "carol", "dave"];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

impl World {
    /// Lets everything happen that happens within so many milliseconds, each frame when chance has it.
    fn jumble(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            // What is on its way takes a moment.
            self.now += u64::from(self.rng.next_u32() % 4);
            let due = |(handle, client): (&String, &crate::world::Client)| {
                Some((client.core.as_ref()?.wake_at()?, handle.clone()))
            };
            let next = self.clients.iter().filter_map(due).min();
            if let Some((at, handle)) = &next
                && *at <= self.now
            {
                self.feed(handle, Input::Wake);
                continue;
            }
            if self.step_anywhere() {
                continue;
            }
            match next {
                Some((at, _)) if at <= end => self.now = at,
                _ => {
                    self.now = self.now.max(end);
                    return;
                }
            }
        }
    }
}

fn devices(account: &str) -> [String; 2] {
    [account.to_owned(), format!("{account}2")]
}

/// Whether an answer is one that a person understands when their other device did the same just before.
fn fits(wanted_in: bool, answer: &Result<Reply, ApiError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) if error.kind != Kind::Refused => false,
        Err(error) if wanted_in => {
            error.message.contains("are in #lobby already")
                || error.message.contains("joining #lobby already")
        }
        Err(error) => error.message.contains("you are not in"),
    }
}

struct Counts {
    joins: u64,
    leaves: u64,
    slowest_ms: u64,
}

fn rounds(seed: u64, rounds: u64, counts: &mut Counts) {
    let mut world = World::with_rooms(seed, &["alice", "bob", "carol", "dave"]);
    for account in PEOPLE {
        world.login(account, &devices(account)[1]);
    }
    world.run_for(60_000);
    let id = id_of(&world.create_public("alice", "Lobby"));
    for round in 0..rounds {
        let mut asked = Vec::new();
        let begun = world.now;
        for account in PEOPLE {
            let inside = world.peek_room(account, id).is_some_and(|room| room.state == RoomState::Joined);
            let chance = world.rng.next_u32();
            if chance.is_multiple_of(8) {
                continue;
            }
            // Mostly one of the devices, now and then both.
            let both = (chance / 8).is_multiple_of(4);
            let first = (chance / 32 % 2) as usize;
            for (nth, handle) in devices(account).into_iter().enumerate() {
                if nth != first && !both {
                    continue;
                }
                let request = match inside {
                    true => Request::RoomLeave { room: ROOM.into() },
                    false => Request::RoomJoin { room: "lobby".into() },
                };
                let token = world.ask_later(&handle, request);
                asked.push((handle, account, !inside, token));
                let some = u64::from(world.rng.next_u32() % 30);
                world.jumble(some);
            }
        }
        let mut open = asked.clone();
        let mut answers = Vec::new();
        while world.now < begun + 32_000 && !open.is_empty() {
            world.jumble(100);
            open.retain(|(handle, account, wanted_in, token)| {
                let Some(answer) = world.answer(handle, *token) else { return true };
                answers.push((handle.clone(), *account, *wanted_in, answer));
                false
            });
        }
        let context = format!("seed {seed} round {round}");
        assert!(open.is_empty(), "{context}: no answer to {open:?}");
        counts.slowest_ms = counts.slowest_ms.max(world.now - begun);
        for (handle, _, wanted_in, answer) in &answers {
            assert!(fits(*wanted_in, answer), "{context}: {handle} in: {wanted_in} {answer:?}");
            if *wanted_in { counts.joins += 1 } else { counts.leaves += 1 }
        }
        // Now and then the next ones begin before all has settled.
        if world.rng.next_u32().is_multiple_of(3) && round + 1 < rounds {
            continue;
        }
        world.jumble(90_000);
        let mut expected = vec![("alice".to_owned(), Role::Owner)];
        let mut inside = vec!["alice".to_owned()];
        for account in PEOPLE {
            let wanted = answers.iter().find(|(_, who, ..)| *who == account).map(|(_, _, wanted, _)| *wanted);
            let states = devices(account).map(|handle| world.peek_room(&handle, id).map(|room| room.state));
            let joined = states.map(|state| state == Some(RoomState::Joined));
            assert_eq!(joined[0], joined[1], "{context}: {account} {states:?}");
            assert!(
                wanted.is_none_or(|wanted| wanted == joined[0]),
                "{context}: {account} {states:?} {wanted:?}"
            );
            if joined[0] {
                expected.push((account.to_owned(), Role::Member));
                inside.extend(devices(account));
            }
        }
        let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
        world.agree(&inside, ROOM);
        let members = world.members("alice", ROOM);
        assert_eq!(world.names("alice", ROOM), expected, "{context}");
        let leaves: usize = members.iter().map(|member| member.devices.len()).sum();
        assert_eq!(leaves, inside.len(), "{context}");
        assert_eq!(world.relay.rooms.rooms[&id].roster.len(), inside.len(), "{context}");
    }
}

#[test]
fn people_with_two_devices_join_and_leave_at_once() {
    let mut counts = Counts { joins: 0, leaves: 0, slowest_ms: 0 };
    let (all, each) = (number("SUBROSA_TOGETHER_SEEDS", 2), number("SUBROSA_TOGETHER_ROUNDS", 6));
    match number("SUBROSA_TOGETHER_SEED", 0) {
        0 => (0..all).for_each(|seed| rounds(700 + seed, each, &mut counts)),
        seed => rounds(seed, each, &mut counts),
    }
    assert!(counts.joins > 0 && counts.leaves > 0);
    let Counts { joins, leaves, slowest_ms } = counts;
    let did = format!(
        "did: rooms: {joins} joins and {leaves} leaves of people with two devices at once, {all} seeds of {each} rounds; all came \
         through, the slowest within {slowest_ms} ms"
    );
    writeln!(std::io::stderr(), "{did}").unwrap();
}
