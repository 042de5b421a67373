//! A client that behaves, and how long it waits: it logs in again and again, sends, and sees that it is received.

use std::{fs, thread, time::Duration};

use subrosa_protocol::frames::Response;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{Gauge, Identity, Network, Session, identity::random, session::envelopes};
use crate::relay::RelayProcess;

/// How often the client logs in. Its network may open ten connections a second (R7).
const PAUSE: Duration = Duration::from_millis(150);

/// How long a login may take (issue: a good client logs in within 2 s throughout).
const MOST: Duration = Duration::from_secs(2);

/// Logs in and sends, in a thread of its own so that it does not wait for hostile clients of this process.
pub struct Probe {
    stop: oneshot::Sender<()>,
    running: thread::JoinHandle<Waits>,
}

/// How long the client waited.
#[derive(Debug, Default)]
pub struct Waits {
    /// From the first packet to the mailbox's first page.
    pub logins: Vec<Duration>,
    /// From a send to the receiver's push.
    pub messages: Vec<Duration>,
    /// Logins that took more than 2 s, and the share of the machine that this test and its relay had or could have had
    /// meanwhile: on a machine that others use as well, 2 s are that much longer.
    pub slow: Vec<(Duration, f64)>,
}

impl Probe {
    /// Registers two people and begins.
    pub async fn start(relay: &RelayProcess) -> Self {
        let (to, gauge) = (relay.quic.parse().unwrap(), Gauge::of(relay));
        let (sender, receiver) =
            (Identity::fresh().registered(to).await, Identity::fresh().registered(to).await);
        let (stop, mut stopped) = oneshot::channel();
        let work = async move {
            let network = Network::new(to);
            let mut listening = receiver.session(to).await;
            let mut waits = Waits::default();
            loop {
                let (began, machine) = (Instant::now(), Machine::now(&gauge));
                let mut session = login(&network, &sender).await;
                let waited = began.elapsed();
                waits.logins.push(waited);
                if waited >= MOST {
                    waits.slow.push((waited, Machine::now(&gauge).share_since(&machine)));
                }
                waits.messages.push(message(&mut session, &mut listening, &receiver).await);
                session.connection.close(0u32.into(), b"");
                tokio::select! {
                    _ = &mut stopped => return waits,
                    () = sleep(PAUSE) => {}
                }
            }
        };
        let running = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
        });
        Self { stop, running }
    }

    /// Ends it, and checks that it never waited 2 s for a login.
    pub async fn finish(self, during: &str) -> Waits {
        let _ = self.stop.send(());
        let running = self.running;
        let joined = tokio::task::spawn_blocking(move || running.join()).await.unwrap();
        let waits = joined.expect("the good client was served throughout");
        let (logins, messages) = (summary(&waits.logins), summary(&waits.messages));
        crate::report::did(&format!("good client during {during}: logins {logins}; messages {messages}"));
        for (waited, share) in &waits.slow {
            let allowed = MOST.div_f64(share.clamp(0.01, 1.0));
            crate::report::did(&format!(
                "good client during {during}: a login took {waited:?} while {:.0} % of the machine were to be had",
                share * 100.0
            ));
            assert!(*waited < allowed, "during {during} a login took {waited:?}, allowed were {allowed:?}");
        }
        waits
    }
}

/// Processor time of the machine so far, in ticks.
struct Machine {
    all: f64,
    /// Nobody's, this process's and the relay's.
    ours: f64,
}

impl Machine {
    fn now(gauge: &Gauge) -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap();
        let ticks: Vec<f64> = text
            .lines()
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(|n| n.parse().unwrap())
            .collect();
        let idle = ticks[3] + ticks[4];
        let own = Gauge::seconds_of(std::process::id()) + gauge.cpu();
        Self { all: ticks.iter().sum(), ours: idle + own * 100.0 }
    }

    fn share_since(&self, before: &Self) -> f64 {
        (self.ours - before.ours) / (self.all - before.all).max(1.0)
    }
}

/// Connects, proves the device and reads the mailbox.
pub async fn login(network: &Network, who: &Identity) -> Session {
    let mut session = network.hello().await;
    session.authenticate(who).await;
    session.fetch(0).await;
    session
}

async fn message(from: &mut Session, at: &mut Session, to: &Identity) -> Duration {
    let (id, began) = (u128::from_le_bytes(random()), Instant::now());
    let sent = from.ask(envelopes(&to.name, 1, &[id], 1_200)).await;
    assert!(matches!(sent, Response::EnvelopeAccepted(_)), "{sent:?}");
    let got = at.delivered().await;
    assert_eq!(*got.id.as_bytes(), id.to_le_bytes());
    began.elapsed()
}

/// Number, median, 99th percentile and longest.
pub fn summary(waits: &[Duration]) -> String {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    let ms = |wait: Option<&Duration>| wait.map_or(0.0, |wait| wait.as_secs_f64() * 1000.0);
    format!(
        "{} p50 {:.1} ms p99 {:.1} ms max {:.1} ms",
        sorted.len(),
        ms(at(50)),
        ms(at(99)),
        ms(sorted.last())
    )
}

/// The median.
pub fn median(waits: &mut [Duration]) -> Duration {
    waits.sort_unstable();
    waits.get(waits.len() / 2).copied().unwrap_or_default()
}
