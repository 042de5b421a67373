//! Power fails. A program runs while every change of its files is recorded; from the recording the disk is made anew as it
//! could be at any moment: with everything that was synced, and of the rest whatever a seed keeps, torn or whole. What
//! was promised before that moment must be there. The control runs do not sync each commit, and must lose data.
//!
//! Long version: `SUBROSA_CUTS` for each of six runs (24), `SUBROSA_CUT_MESSAGES` sent in each (180, at most 1,400),
//! `SUBROSA_CUT_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use subrosa_client::store::StoreError;
use subrosa_server::store::{SqliteStore, Store as _, sqlite::SqliteOptions};
use subrosa_tests::{
    World,
    faults::{
        Dice, Disk, Shown, Side, cut, setting, stores,
        strace::{SYNCS, finished, record, works_for},
    },
    ledger::{Entries, Ledger, micros},
    programs::program,
    relay::RelayOptions,
    world::FAST,
};

/// Each sync takes so much longer: what is told before it ends is then told long before.
const SYNC_DELAY_US: u32 = 1_500;

/// The numbers that were noted between two times as an entry of a kind.
fn between(entries: &Entries, kind: &str, since: u64, time: u64) -> Vec<u64> {
    let noted = entries.times.iter().filter(|((what, _), at)| what == kind && (since..time).contains(*at));
    noted.map(|((_, number), _)| *number).collect()
}

/// Two people who write to each other.
struct Pair {
    world: World,
    alice: Side,
    bob: Side,
    runs: u64,
}

impl Pair {
    fn new() -> Self {
        let world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
        let (alice, bob) = world.friends("alice", "bob");
        let (alice, bob) = (Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice"));
        Self { world, alice, bob, runs: 0 }
    }

    /// Where the next run is recorded.
    fn trace(&mut self) -> PathBuf {
        self.runs += 1;
        self.world.path().join(format!("trace-{}", self.runs))
    }

    /// What a recorded program runs under; with `failing` that sync of each of its threads fails.
    fn recorder(trace: &Path, failing: Option<u64>) -> Vec<String> {
        let fault: Vec<String> =
            failing.iter().map(|when| format!("{SYNCS}:error=EIO:when={when}")).collect();
        record(trace, SYNC_DELAY_US, &fault)
    }
}

/// Cuts of each run.
fn cuts() -> u64 {
    setting("SUBROSA_CUTS", 24)
}

/// Numbers sent in one run; without a reader a sender stops at 500 (R19), and a third is sent without one.
fn messages() -> u64 {
    setting("SUBROSA_CUT_MESSAGES", 180).min(1_400)
}

/// How long a run may take.
fn patience() -> Duration {
    Duration::from_secs(180 + messages() / 5)
}

// --- the relay ----------------------------------------------------------------------------------------------------

/// What is known of a run of the relay besides its recording.
struct RelayRun {
    before: Disk,
    trace: PathBuf,
    /// When it began.
    since: u64,
    /// What had been accepted for bob when it began.
    base: u64,
    /// When bob was away since, and how far he had read then.
    away: Vec<(u64, u64)>,
}

/// Alice sends, bob comes and goes; the relay is killed in the end. With `failing`, one of its first syncs fails, whatever
/// comes after it: the relay is killed, and started again.
fn relay_run(pair: &mut Pair, options: &RelayOptions, failing: Option<u64>) -> RelayRun {
    let trace = pair.trace();
    let Pair { world, alice, bob, .. } = pair;
    if world.relay.ended().is_none() {
        world.relay.terminate();
    }
    let data = world.relay.data.clone();
    let base = stores::relay(&data, "bob").unwrap().next_seq - 1;
    let cursor = |bob: &Side| stores::client(&bob.folder(), &bob.key, "alice").unwrap().cursor;
    let mut run =
        RelayRun { before: Disk::of(&data), trace, since: micros(), base, away: vec![(0, cursor(bob))] };
    world.restart_relay_as(RelayOptions { under: Pair::recorder(&run.trace, failing), ..options.clone() });
    let (began, messages) = (Ledger::read(&alice.ledger).accepted.len() as u64, messages());
    alice.start(began + messages);
    if failing.is_some() {
        let began = Instant::now();
        while !world.relay.log().contains("the disk did not keep a write") {
            assert!(began.elapsed() < Duration::from_secs(120), "it did not fail: {}", world.relay.log());
            thread::sleep(Duration::from_millis(1));
        }
        // Before it has time to put its database in order.
        let pid = world.relay.pid();
        world.relay.kill();
        finished(&run.trace, pid);
        world.restart_relay_as(RelayOptions { under: Pair::recorder(&run.trace, None), ..options.clone() });
    }
    // A third while bob is away, a third while he reads, a third while he is away again.
    for third in 1..=3 {
        if third == 2 {
            bob.start(0);
        }
        let since = Instant::now();
        while (Ledger::read(&alice.ledger).accepted.len() as u64) < began + messages * third / 3 {
            assert!(alice.ended().is_none(), "{}", alice.said());
            assert!(since.elapsed() < patience(), "{}{}", alice.said(), world.relay.log());
            thread::sleep(Duration::from_millis(10));
        }
        if third == 2 {
            bob.kill();
            run.away.push((micros(), cursor(bob)));
        }
    }
    alice.kill();
    let pid = world.relay.pid();
    world.relay.kill();
    finished(&run.trace, pid);
    run
}

/// Every envelope whose acceptance alice saw is there, unless bob has read it.
fn relay_cuts(pair: &Pair, run: &RelayRun, seed: u64) -> Shown {
    let data = pair.world.relay.data.clone();
    let entries = Ledger::read(&pair.alice.ledger);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    // The same place holds the same envelope, whenever power fails.
    let mut places: BTreeMap<u64, ([u8; 16], Vec<u8>)> = BTreeMap::new();
    cut(run.before.clone(), &run.trace, &data, seed, cuts(), |folder, time, shown, thorough| {
        let promised = between(&entries, "accepted", run.since, time).len() as u64;
        shown.promised += usize::try_from(promised).unwrap();
        // The store itself recovers it, and finds it whole.
        let sound = SqliteStore::open(&folder.join("rosad.db"), SqliteOptions::default())
            .map_err(|error| error.to_string())
            .and_then(|store| {
                runtime.block_on(store.check_integrity()).map_err(|error| error.to_string())?;
                runtime.block_on(store.close()).map_err(|error| error.to_string())
            });
        if let Err(error) = sound {
            shown.lost.push(format!("at {time}: {error}"));
            return;
        }
        let view = stores::relay_at(folder, "bob").unwrap();
        shown.lost.extend(view.wrong.iter().map(|wrong| format!("at {time}: {wrong}")));
        let there = view.next_seq - 1;
        if there < run.base + promised {
            shown
                .lost
                .push(format!("at {time}: {} of {promised} accepted are lost", run.base + promised - there));
        }
        // Bob had read so far at most when he was away last; everything behind that waits for him.
        let read = run.away.iter().rev().find(|(since, _)| *since <= time).unwrap().1;
        let read = if time > run.away[1].0 { read } else { run.away[0].1.max(first_gap(&view, read)) };
        for place in read + 1..view.next_seq {
            match view.waiting.get(&place) {
                None => shown.lost.push(format!("at {time}: place {place} is empty")),
                Some(row) if places.entry(place).or_insert_with(|| row.clone()) != row => {
                    shown.lost.push(format!("at {time}: place {place} holds something else"));
                }
                Some(_) => {}
            }
        }
        if thorough {
            rosad_is_content(folder, &data, &pair.world.relay.quic);
        }
    })
}

/// While bob reads, what he acknowledged goes away from the front: the last place that is empty.
fn first_gap(view: &stores::MailboxView, from: u64) -> u64 {
    view.waiting.keys().next().map_or(view.next_seq - 1, |first| (*first - 1).max(from))
}

/// The real program starts on it and finds nothing wrong.
fn rosad_is_content(folder: &Path, data: &Path, listen: &str) {
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let target = folder.join(path.file_name().unwrap());
        // The keys and the rest; its own log was folded in and is gone, and another one's does not belong to it.
        if path.is_file() && !target.exists() && !path.to_string_lossy().contains("rosad.db") {
            std::fs::copy(&path, target).unwrap();
        }
    }
    let private =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    private(folder, 0o700);
    for entry in std::fs::read_dir(folder).unwrap() {
        private(&entry.unwrap().path(), 0o600);
    }
    std::fs::write(folder.join("rosad.toml"), format!("listen = \"{listen}\"")).unwrap();
    let output =
        Command::new(program("rosad")).args(["check", "--backed-up", "--data"]).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// A failed sync is the worst that can be: what it did not bring to the disk, the system shows as if it were there, and
/// the relay that is started again must not build on it.
#[test]
fn r56_a_power_cut_takes_nothing_that_the_relay_accepted_and_the_control_loses() {
    if !works_for("power cuts of the relay") {
        return;
    }
    let seed = setting("SUBROSA_CUT_SEED", std::process::id().into());
    println!("power cuts of the relay: seed {seed}");
    let mut pair = Pair::new();
    let options = RelayOptions { config: FAST.into(), ..RelayOptions::default() };
    let run = relay_run(&mut pair, &options, None);
    relay_cuts(&pair, &run, seed).assert_nothing_lost(&format!("relay, seed {seed}"));
    let run = relay_run(&mut pair, &options, Some(4 + Dice::new(seed).below(4)));
    relay_cuts(&pair, &run, seed).assert_nothing_lost(&format!("relay after a failed sync, seed {seed}"));
    let run = relay_run(&mut pair, &RelayOptions { program: "weak-relay", ..RelayOptions::default() }, None);
    relay_cuts(&pair, &run, seed).assert_lost("control relay with synchronous=NORMAL, which must lose");
}

// --- the client ---------------------------------------------------------------------------------------------------

/// Alice's files while she and bob write to each other. With `failing`, one of her first syncs fails.
fn client_run(pair: &mut Pair, seed: u64, weak: bool, failing: Option<u64>) -> Shown {
    let trace = pair.trace();
    let Pair { alice, bob, .. } = pair;
    alice.weak = weak;
    let (before, since) = (Disk::of(&alice.folder()), micros());
    let asked = |side: &Side| Ledger::read(&side.ledger).asked.len() as u64;
    let limits = [asked(alice) + messages() / 2, asked(bob) + messages() / 2];
    bob.start(limits[1]);
    alice.start_under(limits[0], &Pair::recorder(&trace, failing));
    if failing.is_some() {
        // When it was the sync of a send, she was asked to send what she could not keep: the program ends. What came in and
        // could not be kept comes again, and she goes on.
        let (pid, began) = (alice.pid(), Instant::now());
        let mut ended = None;
        while ended.is_none() && !alice.is_done(limits[0]) {
            assert!(began.elapsed() < Duration::from_secs(120), "neither ended nor done: {}", alice.said());
            ended = alice.wait(Duration::from_millis(10));
        }
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(101), "{}", alice.said());
            finished(&trace, pid);
        }
        let recorded = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).contains("(INJECTED)");
        assert!(recorded, "no sync failed");
        if ended.is_some() {
            alice.start_under(limits[0], &Pair::recorder(&trace, None));
        }
    }
    let started = Instant::now();
    while !alice.is_done(limits[0]) || !bob.is_done(limits[1]) {
        assert!(alice.ended().is_none() && bob.ended().is_none(), "{}{}", alice.said(), bob.said());
        assert!(started.elapsed() < patience(), "not done: {}{}", alice.said(), bob.said());
        thread::sleep(Duration::from_millis(10));
    }
    let pid = alice.pid();
    alice.kill();
    bob.kill();
    finished(&trace, pid);
    let entries = Ledger::read(&alice.ledger);
    cut(before, &trace, &alice.folder(), seed, cuts(), |folder, time, shown, _| {
        let view = stores::client_at(folder, &alice.key, "bob");
        let own: Vec<u64> = between(&entries, "queued", since, time);
        let displayed: Vec<u64> = between(&entries, "displayed", since, time);
        shown.promised += own.len() + displayed.len();
        match view {
            Err(StoreError::ReadOnly) => panic!("the copy cannot be opened"),
            Err(error) => shown.lost.push(format!("at {time}: {error}")),
            Ok(view) => {
                shown.lost.extend(view.wrong.iter().map(|wrong| format!("at {time}: {wrong}")));
                let gone = own.iter().filter(|number| !view.own.contains_key(number)).count()
                    + displayed.iter().filter(|number| !view.displayed.contains(number)).count();
                if gone > 0 {
                    shown.lost.push(format!("at {time}: {gone} of {}", own.len() + displayed.len()));
                }
            }
        }
    })
}

#[test]
fn r21_r26_a_power_cut_takes_nothing_that_the_client_told_and_the_control_loses() {
    if !works_for("power cuts of the client") {
        return;
    }
    let seed = setting("SUBROSA_CUT_SEED", std::process::id().into());
    println!("power cuts of the client: seed {seed}");
    let mut pair = Pair::new();
    client_run(&mut pair, seed, false, None).assert_nothing_lost(&format!("client, seed {seed}"));
    let failing = Some(5 + Dice::new(seed).below(8));
    let shown = client_run(&mut pair, seed, false, failing);
    shown.assert_nothing_lost(&format!("client after a failed sync, seed {seed}"));
    let shown = client_run(&mut pair, seed, true, None);
    shown.assert_lost("control client with synchronous=NORMAL, which must lose");
}
