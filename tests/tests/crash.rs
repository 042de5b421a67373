//! Relay and clients are killed at random moments while messages go both ways; the ledger judges (I1 to I3, and the
//! sessions' own checks I4).
//!
//! `SUBROSA_CRASH_ROUNDS` and `SUBROSA_CRASH_SEED` make a long run of it; the seed of a failure is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use subrosa_tests::{
    Person, World,
    ledger::{Ledger, judge},
    programs::program,
    relay::RelayOptions,
    world::FAST,
};

/// A small generator, so that a run can be repeated from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Side {
    person: Person,
    peer: String,
    ledger: PathBuf,
    limit: u64,
    child: Option<Child>,
    errors: PathBuf,
}

impl Side {
    fn new(world: &World, person: Person, peer: &str, limit: u64) -> Self {
        let ledger = world.path().join(format!("{}.ledger", person.name));
        let errors = world.path().join(format!("{}.errors", person.name));
        Self { person, peer: peer.into(), ledger, limit, child: None, errors }
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(program("ledger-client"));
        command.arg(mode).arg(self.person.profile()).arg(self.person.passphrase_file()).arg(&self.peer);
        command.stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&self.errors).unwrap();
        let mut command = self.command("run");
        command.arg(&self.ledger).arg(self.limit.to_string()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{} ended by itself with {status}: {}", self.person.name, self.said());
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    fn dump(&self) -> Value {
        let output = self.command("dump").stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn r21_r56_kills_at_random_moments_lose_nothing_and_double_nothing() {
    let rounds = setting("SUBROSA_CRASH_ROUNDS", 200);
    let seed = setting("SUBROSA_CRASH_SEED", std::process::id().into());
    println!("crash test: {rounds} rounds, seed {seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let limit = rounds * 12;
    let mut sides = [Side::new(&world, alice, "bob", limit), Side::new(&world, bob, "alice", limit)];
    for side in &mut sides {
        side.start();
    }
    let mut kills = [0u32; 3];
    for _ in 0..rounds {
        // Long enough that work happens, short enough that starting up is hit as well.
        thread::sleep(Duration::from_millis(20 + dice.below(700)));
        match dice.below(5) {
            0 | 1 => {
                kills[0] += 1;
                sides[0].kill();
                sides[0].start();
            }
            2 | 3 => {
                kills[1] += 1;
                sides[1].kill();
                sides[1].start();
            }
            _ => {
                kills[2] += 1;
                world.relay.kill();
                thread::sleep(Duration::from_millis(dice.below(100)));
                world.restart_relay();
            }
        }
    }
    println!("killed {} times alice, {} times bob, {} times the relay", kills[0], kills[1], kills[2]);

    // Quiescence: everything that was asked is accepted.
    let began = Instant::now();
    while sides.iter().any(|side| {
        let entries = Ledger::read(&side.ledger);
        entries.accepted.len() < entries.asked.len() || entries.asked.len() < usize::try_from(limit).unwrap()
    }) {
        for side in &mut sides {
            let ended = side.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "{} ended by itself: {}", side.person.name, side.said());
        }
        assert!(
            began.elapsed() < Duration::from_secs(180),
            "seed {seed}: not quiet after three minutes: {:#?}",
            sides.each_ref().map(|side| {
                let entries = Ledger::read(&side.ledger);
                (entries.asked.len(), entries.accepted.len(), side.said())
            })
        );
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_secs(2));
    for side in &mut sides {
        side.kill();
    }
    for (side, other) in [(0, 1), (1, 0)] {
        let dump = sides[side].dump();
        let numbers = |name: &str| -> Vec<u64> {
            dump[name].as_array().unwrap().iter().filter_map(Value::as_u64).collect()
        };
        let entries = Ledger::read(&sides[other].ledger);
        let who = &sides[other].person.name;
        println!(
            "{who}: {} asked, {} accepted, {} displayed",
            entries.asked.len(),
            entries.accepted.len(),
            numbers("displayed").len()
        );
        judge(who, &entries, &numbers("displayed"), dump["missing"].as_u64().unwrap());
        judge(&format!("{who} (events)"), &entries, &numbers("told"), 0);
        assert_eq!(dump["unreadable"], 0, "{dump}");
        assert_eq!(dump["queued"], 0, "{dump}");
        assert_eq!(dump["check"], true, "{}", dump["checked"]);
    }
}
