//! Relay and clients are killed at random moments while messages go both ways; the ledger judges (I1 to I3, and the
//! sessions' own checks I4).
//!
//! Long version: `SUBROSA_CRASH_ROUNDS` (kills, 60) and `SUBROSA_CRASH_SEED`; the seed of a failure is printed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{thread, time::Duration};

use subrosa_tests::{
    World,
    faults::{
        Dice, Side, setting,
        side::{judge_both, quiesce},
    },
    relay::RelayOptions,
    report::did,
    world::FAST,
};

#[test]
fn r21_r56_kills_at_random_moments_lose_nothing_and_double_nothing() {
    let rounds = setting("SUBROSA_CRASH_ROUNDS", 60);
    let seed = setting("SUBROSA_CRASH_SEED", std::process::id().into());
    println!("crash test: {rounds} rounds, seed {seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let limit = rounds * 12;
    let mut sides = [Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice")];
    for side in &mut sides {
        side.start(limit);
    }
    let mut kills = [0u32; 3];
    for _ in 0..rounds {
        // Long enough that work happens, short enough that starting up is hit as well.
        thread::sleep(Duration::from_millis(20 + dice.below(500)));
        match dice.below(5) {
            0 | 1 => {
                kills[0] += 1;
                sides[0].kill();
                sides[0].start(limit);
            }
            2 | 3 => {
                kills[1] += 1;
                sides[1].kill();
                sides[1].start(limit);
            }
            _ => {
                kills[2] += 1;
                world.relay.kill();
                thread::sleep(Duration::from_millis(dice.below(100)));
                world.restart_relay();
            }
        }
    }
    quiesce(&mut sides, [limit; 2], &format!("seed {seed}"));
    thread::sleep(Duration::from_secs(2));
    for side in &mut sides {
        side.kill();
    }
    let judged = judge_both(&sides);
    did(&format!(
        "random kills: {} of alice, {} of bob, {} of the relay, seed {seed}{judged}",
        kills[0], kills[1], kills[2]
    ));
}
