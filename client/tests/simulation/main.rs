//! The deterministic simulation: machines of several accounts and devices with real cryptography and stores in memory, a
//! relay in memory, one clock, one source of chance. Everything that happens in a world is a function of its seed, also
//! every fault: crashes between any two inputs and inside a step, disk errors, lost and doubled frames, reordered pushes,
//! partitions, answers that never come, crashes of the relay, clock jumps, days that pass, devices that come and go, old
//! copies of stores, lost sessions, lost envelopes, used-up prekeys. A ledger outside the stores holds the machines to the
//! invariants (REQUIREMENTS.md, "The ledger").
//!
//! | file | what is in it |
//! |---|---|
//! | `options` | what to run: the environment variables below |
//! | `run` | many seeds on several threads, and what is printed |
//! | `dice` | chance |
//! | `template` | the worlds that seeds start from |
//! | `world`, `device`, `network` | the machines, their crashes, and what lies between them and the relay |
//! | `events` | what may happen, and how often |
//! | `faults` | what may go wrong |
//! | `ledger` | what was asked, accepted and displayed, and what must hold at every step |
//! | `rooms` | a room in which all are, in every fourth world: what happens and what must hold there |
//! | `rest` | the kind end of a world, and what must hold there |
//! | `mutations` | the list of deliberate mistakes in `mutations/` fits the code |
//!
//! | variable | default | |
//! |---|---|---|
//! | `SUBROSA_SIMULATION_FROM`, `SUBROSA_SIMULATION_TO` | 0, 120 | seeds, the second one not included |
//! | `SUBROSA_SIMULATION_EVENTS` | 500 | events of each seed before its kind end |
//! | `SUBROSA_SIMULATION_THREADS` | 2 | |
//! | `SUBROSA_SIMULATION_KEEP_GOING` | | goes on after a broken seed and lists all of them in the end |
//! | `SUBROSA_SIMULATION_SEED` | | runs this seed alone |
//! | `SUBROSA_SIMULATION_TRACE` | | prints every event of it |
//!
//! `scripts/simulation` sets them and builds with optimisation.
#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// Ten thousand worlds are millions of small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod device;
mod dice;
mod events;
mod faults;
mod ledger;
mod mutations;
mod network;
mod options;
#[allow(dead_code, reason = "the tests of the engine use more of it")]
#[path = "../engine/relay.rs"]
mod relay;
#[path = "../engine/relay_rooms.rs"]
#[allow(dead_code)]
mod relay_rooms;
mod rest;
#[path = "../engine/room_judge.rs"]
mod room_judge;
mod rooms;
mod run;
mod template;
mod world;

#[test]
fn i1_i2_i3_i4_hold_whatever_happens() {
    run::run(&options::Options::from_environment());
}

#[test]
fn seeds_that_broke_once_hold() {
    // Of rooms: what a device did that was signed out since; somebody taken out and invited again while away; texts that overtook the
    // invitation of a commit that was lost; an invitation for a device that was signed out; a leave that was never handed over;
    // two members who invite the same device at once; a change that was made before the log was read; a leave that was taken back
    // on a disk that failed; a message that came to the relay a day after its epoch had ended.
    for seed in [44, 184, 348, 360, 568, 748, 1452, 1576, 1892, 2020, 3112, 3404, 6836] {
        let one = seed..seed + 1;
        run::run(&options::Options {
            seeds: one,
            events: 500,
            threads: 1,
            keep_going: false,
            replay: Some(false),
        });
    }
}

#[test]
fn a_seed_repeats_exactly() {
    let template = template::Templates::new();
    let life = |seed| {
        // The same life uses the same keys again.
        subrosa_crypto::ratchet::ledger::clear();
        let mut world = world::World::new(&template, seed, true);
        for _ in 0..200 {
            world.one_event();
        }
        world.trace.into_lines()
    };
    // The second is a world with a room.
    for seed in [7, 12] {
        let (first, second) = (life(seed), life(seed));
        assert!(first.len() > 200, "the trace is empty");
        assert_eq!(first, second);
        assert_ne!(first, life(seed + 1));
    }
}
