//! Power fails while a room is written to. The relay runs while every change of its files is recorded; from the recording
//! the disk is made anew as it could be at any moment. Every entry that was answered before is there, at its place, with
//! its bytes; every commit with its Welcome, its invitation and its roster. The control run syncs at checkpoints only, and
//! must lose.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use subrosa_protocol::{DeviceId, EntryId, EnvelopeId, frames::*};
use subrosa_server::store::{Asker, SqliteStore, Store as _, sqlite::SqliteOptions};
use subrosa_tests::{
    World,
    faults::{
        Dice, Disk, Shown, cut, setting,
        strace::{SYNCS, finished, record, works_for},
    },
    ledger::micros,
    raw_client::Identity,
    relay::RelayOptions,
    world::FAST,
};
use tokio::{runtime::Runtime, time::sleep};

use super::{
    fixture::*,
    ledger::{Asked, Scene},
};

/// Each sync takes so much longer: what is told before it ends is then told long before.
const SYNC_DELAY_US: u32 = 1_500;

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A recorded run of the relay.
struct Run {
    before: Disk,
    trace: PathBuf,
    /// When it began.
    since: u64,
}

/// The room is written to; the relay is killed in the end. With `failing`, one of its first syncs fails; it is killed then and
/// started again.
async fn run(
    world: &mut World,
    scene: &mut Scene,
    name: &str,
    options: &RelayOptions,
    failing: Option<u64>,
) -> Run {
    let trace = world.path().join(format!("trace-{name}"));
    if world.relay.ended().is_none() {
        world.relay.terminate();
    }
    let run = Run { before: Disk::of(&world.relay.data), trace, since: micros() };
    let under = |failing: Option<u64>| {
        let fault: Vec<String> =
            failing.iter().map(|when| format!("{SYNCS}:error=EIO:when={when}")).collect();
        record(&run.trace, SYNC_DELAY_US, &fault)
    };
    world.restart_relay_as(RelayOptions { under: under(failing), ..options.clone() });
    let mut work = scene.work(world).await;
    let began = Instant::now();
    if failing.is_some() {
        while !world.relay.log().contains("the disk did not keep a write") {
            assert!(began.elapsed() < PATIENCE, "it did not fail: {}", world.relay.log());
            sleep(Duration::from_millis(1)).await;
        }
        // Before it has time to put its database in order.
        let pid = world.relay.pid();
        world.relay.kill();
        finished(&run.trace, pid);
        work.stop().await;
        world.restart_relay_as(RelayOptions { under: under(None), ..options.clone() });
        scene.settle(world).await;
        work = scene.work(world).await;
    }
    let enough = scene.answered() + usize::try_from(setting("SUBROSA_ROOM_CUT_ENTRIES", 80)).unwrap();
    while scene.answered() < enough {
        assert!(work.goes_on() && began.elapsed() < PATIENCE, "it hangs: {}", world.relay.log());
        sleep(Duration::from_millis(1)).await;
    }
    let pid = world.relay.pid();
    world.relay.kill();
    finished(&run.trace, pid);
    work.stop().await;
    run
}

/// What of a room is on a disk.
struct View {
    entries: Vec<RoomEntry>,
    epoch: u64,
    /// Invitations that wait for the third one.
    invited: Vec<EnvelopeId>,
    /// Whether the third one is in the roster.
    is_in: bool,
    /// Whether the Welcome of each asked commit can be read by the third one.
    welcomes: HashSet<ObjectHash>,
}

async fn view(
    store: &SqliteStore,
    reader: &Identity,
    third: &Identity,
    all: &[Asked],
) -> Result<View, String> {
    let failed = |error: subrosa_server::store::StoreError| error.to_string();
    let asker = |who: &Identity| Asker { account: who.name.clone(), device: DeviceId::new(1).unwrap() };
    store.check_integrity().await.map_err(failed)?;
    let (mut entries, mut epoch): (Vec<RoomEntry>, u64) = (Vec::new(), 0);
    loop {
        let after = entries.last().map_or(0, |entry| entry.seq);
        let page = store.room_entries(ROOM, asker(reader), after, 500, 4 << 20).await.map_err(failed)?;
        let page = page.map_err(|refusal| format!("the room: {refusal:?}"))?;
        if page.gap {
            return Err("a gap".into());
        }
        epoch = epoch.max(page.epoch);
        let more = page.more;
        entries.extend(page.entries);
        if !more {
            break;
        }
    }
    let mut invited = Vec::new();
    let mut after = 0;
    let device = DeviceId::new(1).unwrap();
    while let Some(page) =
        store.fetch_mailbox(&third.name, device, after, 500, 4 << 20).await.map_err(failed)?
    {
        invited.extend(page.envelopes.iter().map(|envelope| envelope.id));
        match page.envelopes.last() {
            Some(last) if page.more => after = last.seq,
            _ => break,
        }
    }
    let roster = store.room_roster(ROOM, asker(reader), None, 100).await.map_err(failed)?;
    let roster = roster.map_err(|refusal| format!("the roster: {refusal:?}"))?;
    let is_in = roster.devices.iter().any(|one| one.device.account == third.name);
    let mut welcomes = HashSet::new();
    for hash in all.iter().filter_map(Asked::welcome_hash) {
        let got = store.room_object(ROOM, asker(third), hash.0, 0).await.map_err(failed)?;
        if got.is_ok() {
            welcomes.insert(hash);
        }
    }
    Ok(View { entries, epoch, invited, is_in, welcomes })
}

/// What is wrong with what is there, a line each.
fn judge(view: &View, all: &[Asked], time: u64, seen: &mut HashMap<u64, EntryId>) -> Vec<String> {
    let mut wrong = Vec::new();
    if !view.entries.iter().map(|entry| entry.seq).eq(1..=view.entries.len() as u64) {
        wrong.push("a gap in the log".into());
    }
    let commits = view.entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count() as u64;
    if commits != view.epoch {
        wrong.push(format!("{commits} commits and epoch {}", view.epoch));
    }
    let there: HashMap<EntryId, &RoomEntry> = view.entries.iter().map(|entry| (entry.id, entry)).collect();
    if there.len() != view.entries.len() {
        wrong.push("an entry is there twice".into());
    }
    let mut last = None;
    for asked in all {
        let entry = there.get(&asked.id());
        let promised = asked.seq.filter(|_| asked.heard_at < time);
        match (promised, entry) {
            (Some(seq), None) => wrong.push(format!("{seq} was answered and is gone")),
            (Some(seq), Some(entry)) if entry.seq != seq => wrong.push(format!("{seq} is at {}", entry.seq)),
            (Some(seq), Some(_)) if *seen.entry(seq).or_insert(asked.id()) != asked.id() => {
                wrong.push(format!("{seq} is another one"));
            }
            _ => {}
        }
        if let Some(entry) = entry
            && entry.body != asked.body()
        {
            wrong.push(format!("{} holds other bytes", entry.seq));
        }
        if let Some(id) = asked.invitation() {
            let count = view.invited.iter().filter(|one| **one == id).count();
            if count != usize::from(entry.is_some()) {
                wrong.push(format!("a commit {:?} with {count} invitations", entry.map(|entry| entry.seq)));
            }
        }
        if let (Some(entry), Request::RoomCommit(_)) = (entry, &asked.request) {
            last = last.max(Some((entry.seq, asked.welcome_hash())));
        }
    }
    let welcome = last.and_then(|(_, welcome)| welcome);
    if view.is_in != welcome.is_some() {
        wrong.push("the roster is not the last commit's".into());
    }
    if welcome.is_some_and(|hash| !view.welcomes.contains(&hash)) {
        wrong.push("the Welcome of the last commit is gone".into());
    }
    wrong
}

fn cuts(world: &World, scene: &Scene, runtime: &Runtime, run: &Run, seed: u64) -> Shown {
    let all = scene.ledger.lock().unwrap().clone();
    let mut seen = HashMap::new();
    let many = setting("SUBROSA_ROOM_CUTS", 12);
    let look = |folder: &Path, time: u64, shown: &mut Shown, _: bool| {
        let promised =
            all.iter().filter(|asked| asked.seq.is_some() && (run.since..time).contains(&asked.heard_at));
        shown.promised += promised.count();
        let seen = &mut seen;
        let wrong = runtime.block_on(async {
            let store = SqliteStore::open(&folder.join("rosad.db"), SqliteOptions::default());
            let store = store.map_err(|error| error.to_string())?;
            let view = view(&store, scene.reader(), &scene.carol, &all).await;
            store.close().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(judge(&view?, &all, time, seen))
        });
        let wrong = wrong.unwrap_or_else(|error| vec![error]);
        shown.lost.extend(wrong.into_iter().map(|wrong| format!("at {time}: {wrong}")));
    };
    cut(run.before.clone(), &run.trace, &world.relay.data, seed, many, look)
}

#[test]
fn r56_a_power_cut_takes_no_entry_of_a_room_that_was_answered_and_the_control_loses() {
    if !works_for("power cuts of a relay with rooms") {
        return;
    }
    let seed = setting("SUBROSA_ROOM_CUT_SEED", std::process::id().into());
    println!("power cuts of a relay with rooms: seed {seed}");
    let runtime = Runtime::new().unwrap();
    let options = RelayOptions { config: FAST.into(), ..RelayOptions::default() };
    let mut world = World::with(options.clone());
    let mut scene = runtime.block_on(Scene::new(&world));
    let honest = runtime.block_on(run(&mut world, &mut scene, "honest", &options, None));
    cuts(&world, &scene, &runtime, &honest, seed).assert_nothing_lost(&format!("rooms, seed {seed}"));
    let go_on = |world: &mut World, scene: &mut Scene| {
        world.restart_relay_as(options.clone());
        runtime.block_on(scene.settle(world));
    };
    go_on(&mut world, &mut scene);
    let failing = Some(6 + Dice::new(seed).below(6));
    let failed = runtime.block_on(run(&mut world, &mut scene, "failed", &options, failing));
    cuts(&world, &scene, &runtime, &failed, seed)
        .assert_nothing_lost(&format!("rooms after a failed sync, seed {seed}"));
    go_on(&mut world, &mut scene);
    let weak = RelayOptions { program: "weak-relay", ..RelayOptions::default() };
    let weak = runtime.block_on(run(&mut world, &mut scene, "weak", &weak, None));
    cuts(&world, &scene, &runtime, &weak, seed)
        .assert_lost("rooms of the control relay with synchronous=NORMAL, which must lose");
}
