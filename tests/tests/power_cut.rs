//! Power fails. A program runs while every change of its files is recorded; from the recording the disk is made anew as it
//! could be at any moment: with everything that was synced, and of the rest whatever a seed keeps, torn or whole. What
//! was promised before that moment must be there. The control runs do not sync each commit, and must lose data.
//!
//! Long version: `SUBROSA_CUTS` for each run (40), `SUBROSA_CUT_MESSAGES` sent in each (240), `SUBROSA_CUT_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use subrosa_client::store::StoreError;
use subrosa_server::store::{SqliteStore, Store as _, sqlite::SqliteOptions};
use subrosa_tests::{
    World,
    faults::{
        Dice, Disk, Recording, Side, setting, stores,
        strace::{finished, record, works_for},
    },
    ledger::{Entries, Ledger, micros},
    programs::program,
    relay::RelayOptions,
    report::did,
    world::FAST,
};

/// Each sync takes so much longer: what is told before it ends is then told long before.
const SYNC_DELAY_US: u32 = 1_500;

/// What a run's cuts showed.
#[derive(Debug, Default)]
struct Shown {
    cuts: u64,
    /// Changes that had not been synced when power failed, in all.
    unsynced: usize,
    /// What was promised before the cuts, in all.
    promised: usize,
    /// What was promised and is gone, or stores that do not open or are damaged: a line each.
    lost: Vec<String>,
}

impl Shown {
    fn tell(&self, what: &str) {
        did(&format!(
            "power cuts, {what}: {} cuts with {} changes unsynced; of {} promises {} were broken",
            self.cuts,
            self.unsynced,
            self.promised,
            self.lost.len()
        ));
    }

    fn assert_nothing_lost(&self, what: &str) {
        self.tell(what);
        assert!(self.promised as u64 > self.cuts && self.unsynced > 0, "{self:?}");
        assert!(self.lost.is_empty(), "{what}: {:#?}", self.lost);
    }

    /// A test whose control loses nothing is blind.
    fn assert_lost(&self, what: &str) {
        self.tell(what);
        assert!(!self.lost.is_empty(), "the control run lost nothing: {self:?}");
    }
}

/// Makes the disk as it could be after each of some cuts, and lets `look` see it with the time of the cut and whether the
/// cut is one to look at thoroughly.
fn cut(
    before: Disk,
    trace: &Path,
    folder: &Path,
    seed: u64,
    mut look: impl FnMut(&Path, u64, &mut Shown, bool),
) -> Shown {
    let events = Recording::read(trace, folder);
    let mut disk = before;
    let mut dice = Dice::new(seed);
    let cuts = setting("SUBROSA_CUTS", 40).min(events.len() as u64);
    let mut at: Vec<usize> =
        (0..cuts).map(|_| usize::try_from(dice.below(events.len() as u64)).unwrap()).collect();
    at.sort_unstable();
    let mut shown = Shown::default();
    for (number, event) in events.iter().enumerate() {
        disk.apply(event);
        while at.first() == Some(&number) {
            at.remove(0);
            let target = tempfile::tempdir().unwrap();
            shown.cuts += 1;
            shown.unsynced += disk.cut(target.path(), &mut dice);
            let thorough = shown.cuts % 16 == 1;
            look(target.path(), event.ended, &mut shown, thorough);
        }
    }
    disk.assert_is(folder);
    shown
}

/// How many entries of a kind were noted before a time.
fn before(entries: &Entries, kind: &str, time: u64) -> Vec<u64> {
    let noted = entries.times.iter().filter(|((what, _), at)| what == kind && **at < time);
    noted.map(|((_, number), _)| *number).collect()
}

// --- the relay ----------------------------------------------------------------------------------------------------

/// What is known of a run of the relay besides its recording.
struct RelayRun {
    world: World,
    before: Disk,
    trace: PathBuf,
    alice: Side,
    /// What waited for bob when it began.
    base: u64,
    /// When bob was away since, and how far he had read then.
    away: Vec<(u64, u64)>,
}

/// Alice sends, bob comes and goes; the relay is killed in the end.
fn relay_run(options: RelayOptions) -> RelayRun {
    let mut world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let (mut alice, mut bob) = (Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice"));
    world.relay.terminate();
    let trace = world.path().join("trace");
    let data = world.relay.data.clone();
    let before = Disk::of(&data);
    let base = stores::relay(&data, "bob").unwrap().next_seq - 1;
    let cursor = |bob: &Side| stores::client(&bob.folder(), &bob.key, "alice").unwrap().cursor;
    let mut away = vec![(0, cursor(&bob))];
    world.restart_relay_as(RelayOptions { under: record(&trace, SYNC_DELAY_US, &[]), ..options });
    let messages = setting("SUBROSA_CUT_MESSAGES", 240);
    // A third while bob is away, a third while he reads, a third while he is away again.
    alice.start(messages);
    for third in 1..=3 {
        if third == 2 {
            bob.start(0);
        }
        while (Ledger::read(&alice.ledger).accepted.len() as u64) < messages * third / 3 {
            assert!(alice.ended().is_none(), "{}", alice.said());
            thread::sleep(Duration::from_millis(10));
        }
        if third == 2 {
            bob.kill();
            away.push((micros(), cursor(&bob)));
        }
    }
    alice.kill();
    let pid = world.relay.pid();
    world.relay.kill();
    finished(&trace, pid);
    RelayRun { world, before, trace, alice, base, away }
}

/// Every envelope whose acceptance alice saw is there, unless bob has read it.
fn relay_cuts(run: &RelayRun, seed: u64) -> Shown {
    let data = run.world.relay.data.clone();
    let entries = Ledger::read(&run.alice.ledger);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    // The same place holds the same envelope, whenever power fails.
    let mut places: BTreeMap<u64, ([u8; 16], Vec<u8>)> = BTreeMap::new();
    cut(run.before.clone(), &run.trace, &data, seed, |folder, time, shown, thorough| {
        let promised = before(&entries, "accepted", time).len() as u64;
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
            rosad_is_content(folder, &data, &run.world.relay.quic);
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
        if path.is_file() && !target.exists() && !path.to_string_lossy().ends_with("-shm") {
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

#[test]
fn r56_a_power_cut_takes_nothing_that_the_relay_accepted() {
    if !works_for("power cuts of the relay") {
        return;
    }
    let seed = setting("SUBROSA_CUT_SEED", std::process::id().into());
    println!("power cuts of the relay: seed {seed}");
    let run = relay_run(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    relay_cuts(&run, seed).assert_nothing_lost(&format!("relay, seed {seed}"));
}

#[test]
fn the_control_relay_that_syncs_at_checkpoints_only_loses_what_it_accepted() {
    if !works_for("power cuts of the relay, control") {
        return;
    }
    let run = relay_run(RelayOptions { program: "weak-relay", ..RelayOptions::default() });
    relay_cuts(&run, 1).assert_lost("control relay with synchronous=NORMAL, which must lose");
}

// --- the client ---------------------------------------------------------------------------------------------------

/// Alice's files while she and bob write to each other.
fn client_run(seed: u64, weak: bool) -> Shown {
    let world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let (mut alice, mut bob) = (Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice"));
    alice.weak = weak;
    let trace = world.path().join("trace");
    let before_run = Disk::of(&alice.folder());
    let messages = setting("SUBROSA_CUT_MESSAGES", 240) / 2;
    bob.start(messages);
    alice.start_under(messages, &record(&trace, SYNC_DELAY_US, &[]));
    let done = |side: &Side| Ledger::read(&side.ledger).displayed.len() as u64 >= messages;
    while !alice.is_done(messages) || !bob.is_done(messages) || !done(&alice) {
        assert!(alice.ended().is_none() && bob.ended().is_none(), "{}{}", alice.said(), bob.said());
        thread::sleep(Duration::from_millis(10));
    }
    let pid = alice.pid();
    alice.kill();
    bob.kill();
    finished(&trace, pid);
    let entries = Ledger::read(&alice.ledger);
    cut(before_run, &trace, &alice.folder(), seed, |folder, time, shown, _| {
        let view = stores::client_at(folder, &alice.key, "bob");
        let own: Vec<u64> = before(&entries, "queued", time);
        let displayed: Vec<u64> = before(&entries, "displayed", time);
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
fn r21_r26_a_power_cut_takes_nothing_that_the_client_told() {
    if !works_for("power cuts of the client") {
        return;
    }
    let seed = setting("SUBROSA_CUT_SEED", std::process::id().into());
    println!("power cuts of the client: seed {seed}");
    client_run(seed, false).assert_nothing_lost(&format!("client, seed {seed}"));
}

#[test]
fn the_control_client_that_syncs_at_checkpoints_only_loses_what_it_told() {
    if !works_for("power cuts of the client, control") {
        return;
    }
    client_run(1, true).assert_lost("control client with synchronous=NORMAL, which must lose");
}
