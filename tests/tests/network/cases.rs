//! What is done to the network, and what must hold whatever it is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use subrosa_tests::{
    chaos::{ChaosProxy, Faults, Profile, Stats},
    ledger::{Entries, judge},
};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    figures::Times,
    side::Side,
    world::{NAMES, Template, World},
};

/// From the return of the network until a client is connected.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How long what is outstanding may take at the end, beside the length of the outage.
const QUIET_WITHIN: Duration = Duration::from_secs(90);
/// The least time between two address changes.
const REBIND_PAUSE: Duration = Duration::from_millis(400);
/// How long messages queue up.
const BACKLOG: Duration = Duration::from_secs(6);
/// How long a relay is away.
const AWAY: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) flow: Duration,
    pub(crate) rate: u64,
    pub(crate) blackhole: Duration,
    pub(crate) rebinds: u64,
    pub(crate) seed: u64,
}

/// One row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Quiet,
    Loss1,
    Loss10,
    Loss30,
    FarAway,
    Blackhole,
    DeadUp,
    DeadDown,
    Vanishes,
    Rebinds,
    SlowBacklog,
}

impl Case {
    pub(crate) const ALL: [Self; 11] = [
        Self::Quiet,
        Self::Loss1,
        Self::Loss10,
        Self::Loss30,
        Self::FarAway,
        Self::Blackhole,
        Self::DeadUp,
        Self::DeadDown,
        Self::Vanishes,
        Self::Rebinds,
        Self::SlowBacklog,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "no faults",
            Self::Loss1 => "1 % loss",
            Self::Loss10 => "10 % loss",
            Self::Loss30 => "30 % loss",
            Self::FarAway => "300 ms, 25 % reorder, 5 % twice",
            Self::Blackhole => "blackhole",
            Self::DeadUp => "way to the relay dead",
            Self::DeadDown => "way from the relay dead",
            Self::Vanishes => "relay killed, away 3 s",
            Self::Rebinds => "address changes",
            Self::SlowBacklog => "a backlog at 64 kbit/s",
        }
    }

    fn faults(self) -> Faults {
        match self {
            Self::Loss1 => Faults::lossy(0.01),
            Self::Loss10 => Faults::lossy(0.1),
            Self::Loss30 => Faults::lossy(0.3),
            Self::FarAway => Faults {
                delay: Duration::from_millis(300),
                reorder: 0.25,
                duplicate: 0.05,
                ..Faults::default()
            },
            _ => Faults::default(),
        }
    }
}

/// What came of a case.
pub(crate) struct Outcome {
    pub(crate) case: Case,
    messages: usize,
    accepted: Times,
    displayed: Times,
    back: Option<Back>,
    downs: usize,
    stats: Stats,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, messages, accepted, displayed, back, downs, stats } = self;
        let back = back.map_or_else(String::new, |back| {
            let (connected, talking) = (back.connected.as_secs_f64(), back.talking.as_secs_f64());
            format!(", back after {connected:.1} s, talking after {talking:.1} s")
        });
        let lost = stats.up.lost + stats.down.lost + stats.up.swallowed + stats.down.swallowed;
        let came = stats.up.came + stats.down.came;
        write!(
            f,
            "{:<32} {messages:>5} messages, accepted p50/p99 {accepted}, displayed p50/p99 {displayed}{back}, \
             {downs} times down; {came} datagrams, {lost} lost, {} reordered, {} twice, {} address changes",
            case.name(),
            stats.up.reordered + stats.down.reordered,
            stats.up.doubled + stats.down.doubled,
            stats.rebinds,
        )
    }
}

/// Two people who write to each other over a network that has its faults.
pub(crate) async fn run(case: Case, settings: Settings, template: Arc<Template>) -> Outcome {
    let mut world = template.copy().await;
    let upstream = world.relay.quic.parse().unwrap();
    let usual = Profile::both(case.faults());
    let proxy = ChaosProxy::start(settings.seed, upstream, usual).await.unwrap();
    let port = proxy.address().port();
    let (alice, bob) = tokio::join!(world.side(NAMES[0], port), world.side(NAMES[1], port));
    for side in [&alice, &bob] {
        side.wait("the first connection", QUIET_WITHIN, |notes| !notes.ups.is_empty()).await;
    }
    let done = AtomicBool::new(false);
    let fault = async {
        let back = happens(case, settings, &mut world, &proxy, [&alice, &bob]).await;
        done.store(true, Ordering::Relaxed);
        back
    };
    let (back, (), ()) = tokio::join!(
        fault,
        keep_sending(&alice, "bob", settings, &done),
        keep_sending(&bob, "alice", settings, &done)
    );
    quiet(&alice, &bob, QUIET_WITHIN + settings.blackhole).await;
    let outcome = Outcome {
        case,
        messages: alice.asked().len() + bob.asked().len(),
        accepted: Times::of(both(&alice, &bob, time_to_accepted)),
        displayed: Times::of(both(&alice, &bob, time_to_displayed)),
        back,
        downs: alice.notes().downs.len() + bob.notes().downs.len(),
        stats: proxy.stats(),
    };
    for (reader, writer) in [(&alice, &bob), (&bob, &alice)] {
        judge_side(reader, writer).await;
    }
    assert_eq!(world.counter("rosad_panics_total").await, 0);
    alice.shutdown().await;
    bob.shutdown().await;
    outcome
}

/// Asks for a message at a steady rate until it is done, whatever becomes of them.
async fn keep_sending(side: &Side, to: &str, settings: Settings, done: &AtomicBool) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(settings.rate).unwrap());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !done.load(Ordering::Relaxed) {
        ticks.tick().await;
        side.send_next(to).await;
    }
}

/// The case itself, while messages flow. Returns how long it took until both were back, where they were away.
async fn happens(
    case: Case,
    settings: Settings,
    world: &mut World,
    proxy: &ChaosProxy,
    sides: [&Side; 2],
) -> Option<Back> {
    let usual = proxy.profile();
    let dead = Faults::dead();
    match case {
        Case::Quiet | Case::Loss1 | Case::Loss10 | Case::Loss30 | Case::FarAway => {
            sleep(settings.flow).await;
            None
        }
        Case::Blackhole => Some(outage(settings, proxy, Profile::both(dead), sides).await),
        Case::DeadUp => Some(outage(settings, proxy, Profile { up: dead, ..usual }, sides).await),
        Case::DeadDown => Some(outage(settings, proxy, Profile { down: dead, ..usual }, sides).await),
        Case::Vanishes => {
            sleep(Duration::from_secs(1)).await;
            world.relay.kill();
            sleep(AWAY).await;
            world.restart().await;
            let returned = Instant::now();
            Some(back_since(returned, sides).await)
        }
        Case::Rebinds => {
            let opened = world.counter("rosad_connections_opened_total").await;
            let pause = (settings.flow / u32::try_from(settings.rebinds).unwrap()).max(REBIND_PAUSE);
            for _ in 0..settings.rebinds {
                sleep(pause).await;
                assert_eq!(proxy.rebind().await, 2, "both have a new address");
            }
            // Messages of after the last change arrive as well, on the same connections.
            back_since(Instant::now(), sides).await;
            assert_eq!(world.counter("rosad_connections_opened_total").await, opened, "a new login");
            for side in sides {
                assert_eq!(side.notes().downs, [], "{}", side.name);
            }
            None
        }
        Case::SlowBacklog => {
            proxy.set(Profile::both(dead));
            sleep(BACKLOG).await;
            // A frame full of what has queued up takes longer over this than the relay waits for the end of a small one.
            proxy.set(Profile::both(Faults { rate: Some(64_000), ..Faults::default() }));
            None
        }
    }
}

/// A network that is gone for a while.
async fn outage(settings: Settings, proxy: &ChaosProxy, faults: Profile, sides: [&Side; 2]) -> Back {
    let usual = proxy.profile();
    sleep(Duration::from_secs(1)).await;
    proxy.set(faults);
    sleep(settings.blackhole).await;
    proxy.set(usual);
    back_since(Instant::now(), sides).await
}

/// After the network's return, of the slower of the two.
#[derive(Clone, Copy)]
pub(crate) struct Back {
    /// Until the relay was known to be there: a connection came up, or one that had survived brought an acceptance.
    connected: Duration,
    /// Until an own message was accepted and one of the other's displayed, behind whatever had queued up meanwhile.
    talking: Duration,
}

/// Waits until both are back after `returned`.
///
/// # Panics
/// When one was connected later than [`BACK_WITHIN`].
async fn back_since(returned: Instant, sides: [&Side; 2]) -> Back {
    let mut back = Back { connected: Duration::ZERO, talking: Duration::ZERO };
    for side in sides {
        let first = |times: &mut dyn Iterator<Item = Instant>| times.filter(|at| *at > returned).min();
        side.wait("back", QUIET_WITHIN, |notes| {
            first(&mut notes.accepted.values().copied()).is_some()
                && first(&mut notes.displayed.iter().map(|(_, at)| *at)).is_some()
        })
        .await;
        let notes = side.notes();
        let accepted = first(&mut notes.accepted.values().copied()).unwrap();
        let displayed = first(&mut notes.displayed.iter().map(|(_, at)| *at)).unwrap();
        let up = first(&mut notes.ups.iter().copied());
        let connected = up.map_or(accepted, |up| up.min(accepted)) - returned;
        let (times, last) = (notes.downs.len(), notes.downs.last());
        assert!(
            connected <= BACK_WITHIN,
            "{} was back {connected:?} after the network; {times} times down, last {last:?}",
            side.name,
        );
        back.connected = back.connected.max(connected);
        back.talking = back.talking.max(accepted.max(displayed) - returned);
    }
    back
}

/// Waits until everything that was asked is accepted and displayed.
async fn quiet(alice: &Side, bob: &Side, limit: Duration) {
    for (side, other) in [(alice, bob), (bob, alice)] {
        let (asked, to_come) = (side.asked(), other.asked().len());
        side.wait("quiet", limit, |notes| {
            asked.iter().all(|asked| notes.accepted.contains_key(&asked.id))
                && notes.displayed.len() >= to_come
        })
        .await;
    }
}

async fn judge_side(reader: &Side, writer: &Side) {
    let notes = writer.notes();
    let mut entries = Entries::default();
    for asked in writer.asked() {
        entries.asked.insert(asked.number);
        if notes.accepted.contains_key(&asked.id) {
            entries.accepted.insert(asked.number);
        }
    }
    let history = reader.history(writer.name).await;
    judge(writer.name, &entries, &history.numbers, history.missing);
    let told: Vec<u64> = reader.notes().displayed.iter().map(|(number, _)| *number).collect();
    judge(&format!("{} (events)", writer.name), &entries, &told, 0);
    assert_eq!(history.unreadable, 0);
}

fn both(alice: &Side, bob: &Side, of: fn(&Side, &Side) -> Vec<Duration>) -> Vec<Duration> {
    let mut times = of(alice, bob);
    times.extend(of(bob, alice));
    times
}

fn time_to_accepted(writer: &Side, _: &Side) -> Vec<Duration> {
    let notes = writer.notes();
    writer.asked().iter().map(|asked| notes.accepted[&asked.id].duration_since(asked.at)).collect()
}

fn time_to_displayed(writer: &Side, reader: &Side) -> Vec<Duration> {
    let told: BTreeMap<_, _> = reader.notes().displayed.into_iter().collect();
    writer.asked().iter().map(|asked| told[&asked.number].duration_since(asked.at)).collect()
}
