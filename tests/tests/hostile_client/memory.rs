//! A thousand connections, each doing its worst: what that costs the relay, and that it gives it back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use subrosa_protocol::{
    frames::{DeviceListFetch, Empty, MailboxFetch, Request, Response},
    limits::{FRAME_MAX, FRAME_MAX_UNAUTHENTICATED},
};
use subrosa_tests::{
    faults::strace,
    raw_client::{
        Gauge, Holes, Identity, Manners, Network, Probe, Session,
        gauge::{MIB, mib},
        session::envelopes,
    },
    report::did,
};
use tokio::sync::Semaphore;

use crate::fixture::{Relay, SLACK, size, until};

/// What 1,000 hostile connections may cost.
const MOST: u64 = 128 * MIB;
/// Connections that are opened at the same time.
const AT_ONCE: usize = 24;
/// Unauthenticated connections of a network (R7).
const PER_NETWORK: usize = 16;

fn connections() -> usize {
    size("SUBROSA_HOSTILE_CONNECTIONS", 1_000)
}

fn waves() -> usize {
    size("SUBROSA_HOSTILE_WAVES", 3)
}

/// Growth allowed for so many connections: 128 MiB for 1,000.
fn most() -> u64 {
    MOST * u64::try_from(connections()).unwrap() / 1_000
}

/// Looks at a relay's memory all the time and keeps the highest.
struct Peak {
    highest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Peak {
    fn of(gauge: &Gauge) -> Self {
        let (highest, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (gauge, seen, stopped) = (gauge.clone(), Arc::clone(&highest), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                seen.fetch_max(gauge.resident(), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        Self { highest, stop }
    }

    fn highest(&self) -> u64 {
        self.highest.load(Ordering::SeqCst)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// One wave: brings connections into their state, then tells what they cost and lets them go.
struct Wave<'a> {
    relay: &'a Relay,
    before: u64,
    peak: Peak,
    began: Instant,
}

impl<'a> Wave<'a> {
    fn begin(relay: &'a Relay) -> Self {
        let peak = Peak::of(&relay.gauge);
        Self { relay, before: relay.gauge.resident(), peak, began: Instant::now() }
    }

    /// What the connections cost while they were there.
    fn cost(self, what: &str, base: u64, alive: usize) -> u64 {
        let now = self.relay.gauge.resident();
        let growth = self.peak.highest().max(now).saturating_sub(base);
        did(&format!(
            "memory: {alive} connections, {what}: {} before the first, {} before these, highest growth {} ({} KiB each), {:.1} s",
            mib(base),
            mib(self.before),
            mib(growth),
            growth / 1024 / u64::try_from(alive.max(1)).unwrap(),
            self.began.elapsed().as_secs_f64(),
        ));
        growth
    }

    /// The same for connections that are all there, by the relay's own count: what it has ended costs it nothing.
    fn cost_of_all(self, what: &str, base: u64) -> u64 {
        let (open, all) = (open(&self.relay.gauge), connections());
        assert!(open >= u64::try_from(all).unwrap(), "{what}: {open} of {all} connections are open");
        self.cost(what, base, all)
    }
}

/// Connections that are up now, as the relay counts them.
fn open(gauge: &Gauge) -> u64 {
    gauge.count("rosad_connections_opened_total") - gauge.count("rosad_connections_closed_total")
}

/// Does one thing from many networks, some at a time; what it made is held.
async fn everywhere<T: Send + 'static, F: Future<Output = Option<T>> + Send + 'static>(
    networks: &[Network],
    count: usize,
    act: impl Fn(Network, usize) -> F,
) -> Vec<T> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (places, doing) = (Arc::clone(&places), act(networks[number / PER_NETWORK].clone(), number));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                doing.await
            })
        })
        .collect();
    let mut made = Vec::with_capacity(count);
    for task in tasks {
        made.extend(task.await.unwrap());
    }
    made
}

/// What a connection does that is there for the harm.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worst {
    /// Nothing more.
    Nothing,
    /// Most of a frame of the largest size.
    HalfFrame,
    /// A window full behind a byte that never comes.
    Holes,
    /// Many requests with large answers, which it does not read.
    NeverReads,
    /// Many requests with large answers, whose packets it does not acknowledge.
    NeverAcks,
    /// Reads nothing, and fills a window behind a byte that never comes.
    Everything,
    /// More streams than it may have, each filled.
    Streams,
}

impl Worst {
    /// Before authentication.
    const BEFORE: [Self; 3] = [Self::Holes, Self::HalfFrame, Self::Nothing];
    /// After authentication.
    const AFTER: [Self; 6] =
        [Self::Everything, Self::NeverReads, Self::HalfFrame, Self::Holes, Self::NeverAcks, Self::Streams];

    fn manners(self) -> Manners {
        let mut manners = Manners::default();
        match self {
            Self::Holes => {
                manners.transport.pad_to_mtu(true);
            }
            // The small window: what the relay writes waits in the relay.
            Self::NeverReads => {
                manners.transport.stream_receive_window(2_048u32.into());
            }
            Self::Everything => {
                manners.transport.stream_receive_window(2_048u32.into()).pad_to_mtu(true);
            }
            _ => {}
        }
        manners
    }

    /// Connects and says hello.
    async fn open(self, network: &Network) -> Option<(Session, Holes)> {
        let holes = Holes::default();
        let mut session = network.open_with(self.manners().spoilt_by(&holes)).await.ok()?;
        session.hello().await;
        Some((session, holes))
    }

    /// Does it.
    async fn act(self, session: &mut Session, holes: &Holes, own: Option<&Identity>) {
        match self {
            Self::Nothing => {}
            Self::HalfFrame => {
                let most = if own.is_some() { FRAME_MAX } else { FRAME_MAX_UNAUTHENTICATED };
                session.bytes(&u32::try_from(most).unwrap().to_le_bytes()).await;
                session.bytes_within(&vec![0; most - 1], Duration::from_secs(5)).await;
            }
            Self::Holes => fill_behind_a_hole(session, holes).await,
            Self::NeverReads => never_read(session, own.unwrap(), 64).await,
            Self::NeverAcks => {
                never_read(session, own.unwrap(), 4).await;
                holes.set(true);
                // Packets that say nothing keep the connection.
                session.bytes_within(&[0; 100], Duration::from_millis(100)).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Self::Everything => {
                // Few requests, so that the window has room for what comes behind the hole.
                never_read(session, own.unwrap(), 4).await;
                let filling = fill_behind_a_hole(session, holes);
                let _ = tokio::time::timeout(Duration::from_secs(10), filling).await;
            }
            Self::Streams => fill_streams(session).await,
        }
    }
}

/// Fills the stream's window behind a byte that never arrives, in small pieces of large packets: what costs a receiver
/// that keeps packets most.
async fn fill_behind_a_hole(session: &mut Session, holes: &Holes) {
    session.skip_byte(holes).await;
    let piece = [0x55; 600];
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let sent = session.connection.stats().frame_tx.stream;
        if session.bytes_within(&piece, Duration::from_millis(500)).await < piece.len() {
            // The window is full.
            break;
        }
        // Each piece in a packet of its own.
        while session.connection.stats().frame_tx.stream == sent && began.elapsed() < Duration::from_secs(20)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Puts large envelopes into the own mailbox, asks for them again and again, and reads nothing. The relay stops to read,
/// and then this is over.
async fn never_read(session: &mut Session, own: &Identity, pages: usize) {
    let asking = async {
        for number in 0..8u128 {
            session.send(envelopes(&own.name, 1, &[number], 60_000)).await;
        }
        for _ in 0..pages {
            session.send(Request::MailboxFetch(MailboxFetch { after: 0, max: 48 })).await;
            session
                .send(Request::DeviceListFetch(DeviceListFetch { account: own.name.clone(), since: 0 }))
                .await;
            session.send(Request::PrekeyStatus(Empty {})).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(4), asking).await;
}

/// Opens more streams than it may and fills them.
async fn fill_streams(session: &mut Session) {
    for _ in 0..20 {
        let open = tokio::time::timeout(Duration::from_millis(500), session.connection.open_uni());
        let Ok(Ok(mut stream)) = open.await else { break };
        let _ = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&[0; 256 * 1024])).await;
    }
}

/// The last wave adds next to nothing to what those before it left.
#[track_caller]
fn gives_back(after: &[u64], base: u64) {
    let (last, earlier) = after.split_last().unwrap();
    let most_before = earlier.iter().max().copied().unwrap_or(*last);
    let each = after.iter().map(|bytes| mib(*bytes)).collect::<Vec<_>>().join(", ");
    did(&format!("memory: {} at first, after the waves {each}", mib(base)));
    assert!(*last < most_before + 8 * MIB, "each wave leaves more: {after:?}");
    assert!(*last < base + most(), "nothing is given back: {after:?}");
}

/// The times that end such connections are raised, so that all are there at once however slow the machine is; that they
/// end is what `slow` shows.
const PATIENT: &str =
    "unauthenticated_timeout_s = 300\nhalf_frame_timeout_s = 300\nhandshake_timeout_s = 60\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_that_never_authenticate_cost_little_and_give_it_back() {
    let relay = Relay::alone("open", PATIENT).await;
    let probe = Probe::start(&relay.world.relay).await;
    let base = relay.gauge.resident();
    let mut after = Vec::new();
    for wave in 0..waves() {
        let kind = Worst::BEFORE[wave % Worst::BEFORE.len()];
        let networks = Network::several(relay.to, connections().div_ceil(PER_NETWORK));
        let measured = Wave::begin(&relay);
        let sessions = everywhere(&networks, connections(), |network, _| async move {
            let (mut session, holes) = kind.open(&network).await?;
            kind.act(&mut session, &holes, None).await;
            Some(session)
        })
        .await;
        assert_eq!(alive(&sessions), connections());
        let growth = measured.cost_of_all(&format!("not authenticated, {kind:?}, wave {wave}"), base);
        assert!(growth < most(), "{kind:?} connections cost {}", mib(growth));
        drop(sessions);
        until("all connections are gone", SLACK * 6, || open(&relay.gauge) <= 3).await;
        after.push(relay.gauge.resident());
    }
    gives_back(&after, base);
    probe.finish("waves of connections that never authenticate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_authenticated_connections_cost_little_whatever_they_do() {
    waves_of_devices(&Relay::alone("open", PATIENT).await, waves()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_authenticated_connections_cost_little_also_while_the_disk_is_slow() {
    if strace::works_for("a thousand hostile devices and a slow disk") {
        // What they send waits for the disk in the relay's memory.
        let under = strace::slow_syncs(100_000);
        waves_of_devices(&Relay::alone_under(under, "open", PATIENT).await, 1).await;
    }
}

async fn waves_of_devices(relay: &Relay, waves: usize) {
    // A device may have two connections.
    let people = Arc::new(relay.people(connections().div_ceil(2)).await);
    let probe = Probe::start(&relay.world.relay).await;
    let base = relay.gauge.resident();
    let mut after = Vec::new();
    for wave in 0..waves {
        let kind = Worst::AFTER[wave % Worst::AFTER.len()];
        let networks = Network::several(relay.to, connections().div_ceil(PER_NETWORK));
        let measured = Wave::begin(relay);
        let sessions = everywhere(&networks, connections(), |network, number| {
            let people = Arc::clone(&people);
            async move {
                let (mut session, holes) = kind.open(&network).await?;
                session.authenticate(&people[number / 2]).await;
                Some((number, session, holes))
            }
        })
        .await;
        let growth = measured.cost_of_all(&format!("authenticated and idle, wave {wave}"), base);
        assert!(growth < most(), "{}", mib(growth));

        let measured = Wave::begin(relay);
        let tasks: Vec<_> = sessions
            .into_iter()
            .map(|(number, mut session, holes)| {
                let people = Arc::clone(&people);
                tokio::spawn(async move {
                    kind.act(&mut session, &holes, Some(&people[number / 2])).await;
                    session
                })
            })
            .collect();
        let mut sessions = Vec::with_capacity(connections());
        for task in tasks {
            sessions.push(task.await.unwrap());
        }
        // All were there when it began, and the highest growth is of all that time. The relay ends those that would make it
        // keep more than `buffer_bytes`, and nothing else ends one.
        let ends = ends(&sessions);
        if !ends.is_empty() {
            did(&format!("memory: {kind:?}, ended meanwhile: {ends}"));
        }
        let by_the_relay =
            |reason: &str| reason.contains("closed by peer") || reason.contains("reset by peer");
        assert!(ends.split(", ").all(|reason| reason.is_empty() || by_the_relay(reason)), "{kind:?}: {ends}");
        let all = connections();
        let what = format!("authenticated, {kind:?}, wave {wave}, the last of {all}");
        assert!(alive(&sessions) > 0, "{what}: nobody is left");
        let growth = measured.cost(&what, base, alive(&sessions));
        assert!(growth < most(), "{kind:?} devices cost {}", mib(growth));
        drop(sessions);
        until("all connections are gone", SLACK * 6, || open(&relay.gauge) <= 3).await;
        after.push(relay.gauge.resident());
    }
    gives_back(&after, base);
    probe.finish("waves of hostile devices").await;
}

/// Why connections ended, and how many.
fn ends(sessions: &[Session]) -> String {
    let mut ends = BTreeMap::<String, usize>::new();
    for reason in sessions.iter().filter_map(|session| session.connection.close_reason()) {
        *ends.entry(reason.to_string()).or_default() += 1;
    }
    ends.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

/// Those that the relay has not ended.
fn alive(sessions: &[Session]) -> usize {
    sessions.iter().filter(|session| session.connection.close_reason().is_none()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_claimed_4_gib_costs_nothing() {
    let relay = Relay::alone("open", "").await;
    let people = Arc::new(relay.people(50).await);
    let networks = Network::several(relay.to, 20);
    let base = relay.gauge.resident();
    let measured = Wave::begin(&relay);
    let endings = everywhere(&networks, 200, |network, number| {
        let people = Arc::clone(&people);
        async move {
            let mut session = network.open_with(Manners::default()).await.ok()?;
            session.hello().await;
            if number % 2 == 0 {
                session.authenticate(&people[number / 4]).await;
            }
            session.bytes(&[0xff; 4]).await;
            session.bytes(&[0x77; 512]).await;
            session.ending(SLACK).await
        }
    })
    .await;
    assert_eq!(endings.len(), 200);
    for ending in &endings {
        assert_eq!(ending.error, Some(subrosa_protocol::ErrorCode::TooLarge), "{ending:?}");
    }
    let growth = measured.cost("each claims 4 GiB", base, 200);
    assert!(growth < 32 * MIB, "{}", mib(growth));
    let mut good = people[49].session(relay.to).await;
    assert!(matches!(good.ask(Request::PrekeyStatus(Empty {})).await, Response::PrekeyCounts(_)));
}
