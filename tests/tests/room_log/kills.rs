//! `kill -9` of the relay while a room is written to: what was answered is there, at its place; what was stored and not
//! answered is answered as the first time when it is sent again; a commit is there with its invitation, its Welcome and its
//! roster, or not at all. And a disk that fails once: the relay stops when it cannot know what the disk holds, and what it
//! answered is there all the same.

use std::time::{Duration, Instant};

use subrosa_tests::{
    World,
    faults::{
        Dice, setting,
        strace::{SYNCS, inject, works_for},
    },
    relay::RelayOptions,
    report::did,
    world::FAST,
};
use tokio::time::sleep;

use super::ledger::Scene;

/// How long a relay may take to come to its last system call.
const PATIENCE: Duration = Duration::from_secs(60);

fn plain() -> RelayOptions {
    RelayOptions { config: FAST.into(), ..RelayOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_kills_between_an_entry_stored_and_its_answer_lose_nothing_and_double_nothing() {
    let kills = setting("SUBROSA_ROOM_KILLS", 8);
    let seed = setting("SUBROSA_ROOM_KILLS_SEED", std::process::id().into());
    println!("{kills} kills, seed {seed}");
    let mut dice = Dice::new(seed);
    let traced = works_for("kills of the relay within a commit of a room");
    let mut world = World::with(plain());
    let mut scene = Scene::new(&world).await;
    let (mut hits, mut exact) = (0, 0);
    for round in 0..kills {
        let under = traced && round % 2 == 0;
        if under {
            world.relay.kill();
            let kill = inject(SYNCS, &format!("signal=KILL:when={}", 9 + dice.below(25)));
            world.restart_relay_as(RelayOptions { under: kill, ..plain() });
        }
        let work = scene.work(&world).await;
        let (began, enough) = (Instant::now(), scene.answered() + 1 + dice.below(60) as usize);
        while if under { world.relay.ended().is_none() } else { scene.answered() < enough } {
            assert!(began.elapsed() < PATIENCE, "no end, seed {seed}: {}", world.relay.log());
            assert!(work.goes_on(), "a client gave up, seed {seed}");
            sleep(Duration::from_millis(1)).await;
        }
        world.relay.kill();
        work.stop().await;
        world.restart_relay_as(plain());
        let hit = scene.settle(&world).await;
        hits += hit;
        exact += u64::from(under && hit > 0);
    }
    assert!(!traced || exact > 0, "no kill came between an entry stored and its answer, seed {seed}");
    did(&format!(
        "kills of a relay with rooms: {kills}, {hits} entries stored and not answered (kills that hit it exactly: {exact}), \
         {}, seed {seed}",
        scene.told()
    ));
}

/// What the relay may be told by its system calls. SQLite tries again after the last one by itself.
const FAULTS: [(&str, &str); 4] =
    [(SYNCS, "EIO"), ("pwrite64", "EIO"), (SYNCS, "ENOSPC"), ("pwrite64", "EINTR")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_single_faults_of_the_disk_break_no_room() {
    if !works_for("single faults of the disk while a room is written to") {
        return;
    }
    let faults = setting("SUBROSA_ROOM_FAULTS", 4);
    let seed = setting("SUBROSA_ROOM_FAULTS_SEED", std::process::id().into());
    println!("{faults} faults, seed {seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::with(plain());
    let mut scene = Scene::new(&world).await;
    let (mut stopped, mut hits) = (0, 0);
    for number in 0..faults {
        let (calls, error) = FAULTS[usize::try_from(number).unwrap() % FAULTS.len()];
        let when = if calls == SYNCS { 6 + dice.below(12) } else { 60 + dice.below(120) };
        let what = format!("{error} at {calls} {when}, seed {seed}");
        world.relay.kill();
        let under = inject(calls, &format!("error={error}:when={when}"));
        world.restart_relay_as(RelayOptions { under, ..plain() });
        let work = scene.work(&world).await;
        let (began, enough) = (Instant::now(), scene.answered() + 120);
        while world.relay.ended().is_none() && scene.answered() < enough {
            assert!(began.elapsed() < PATIENCE, "neither ended nor done: {what}: {}", world.relay.log());
            sleep(Duration::from_millis(1)).await;
        }
        if let Some(status) = world.relay.ended() {
            assert_eq!(status.code(), Some(1), "{what}: {}", world.relay.log());
            assert!(world.relay.log().contains("the disk failed to keep a write"), "{}", world.relay.log());
            stopped += 1;
        } else {
            world.relay.kill();
        }
        work.stop().await;
        world.restart_relay_as(plain());
        hits += scene.settle(&world).await;
    }
    assert!(
        stopped >= faults / 4,
        "its disk failed {faults} times and it stopped {stopped} times, seed {seed}"
    );
    did(&format!(
        "disk faults of a relay with rooms: {faults}, it stopped {stopped} times, {hits} entries stored and not answered, \
         {}, seed {seed}",
        scene.told()
    ));
}
