//! One pair: a sender, a receiver, and what they have under way. The receiver acknowledges as the real client does: after
//! 48 envelopes, or 50 ms after the first.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use subrosa_bench::{
    client::{Client, Reader, Writer},
    echo::histogram,
    person::Person,
    tls,
};
use subrosa_protocol::frames::{FromRelay, MailboxAck, Push, Request, Response};
use tokio::{sync::Notify, task::JoinSet, time::sleep_until};

const ACK_DELAY: Duration = Duration::from_millis(50);
const ACK_AT_ONCE: u64 = 48;

/// When messages leave.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many under way in each pair.
    Closed(u64),
    /// One in each period, beginning so much later.
    Open { period: Duration, offset: Duration },
}

/// What all pairs of a run share.
pub(crate) struct Shared {
    began: Instant,
    pub(crate) measuring: AtomicBool,
    /// Microseconds from the (scheduled) send to the answer.
    pub(crate) accepted: Mutex<Histogram<u64>>,
    /// Microseconds from the (scheduled) send to the push.
    pub(crate) delivered: Mutex<Histogram<u64>>,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            measuring: AtomicBool::new(false),
            accepted: Mutex::new(histogram()),
            delivered: Mutex::new(histogram()),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    fn record(&self, times: &Mutex<Histogram<u64>>, stamp: u64) {
        if self.measuring.load(Relaxed) {
            times.lock().unwrap().saturating_record((self.now().saturating_sub(stamp) / 1000).max(1));
        }
    }
}

/// Both ends of a pair.
struct Flow {
    shared: Arc<Shared>,
    accepted: AtomicU64,
    delivered: AtomicU64,
    stamps: Mutex<VecDeque<u64>>,
    moved: Notify,
}

/// Connects a pair and lets it run until `tasks` is dropped.
pub(crate) async fn start(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    relay: SocketAddr,
    (sender, receiver): (Person, Person),
    size: usize,
    pace: Pace,
) {
    let (one, other) = (tls::endpoint(), tls::endpoint());
    let (sending, _) = Client::of(&one, relay, &sender).await;
    let (receiving, _) = Client::of(&other, relay, &receiver).await;
    let flow = Arc::new(Flow {
        shared: Arc::clone(shared),
        accepted: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        stamps: Mutex::default(),
        moved: Notify::new(),
    });
    let Client { writer, reader, connection, .. } = sending;
    let (a, b, c) = (Arc::clone(&flow), Arc::clone(&flow), flow);
    tasks.spawn(async move {
        let _held = (one, connection);
        a.send(writer, &receiver, size, pace).await;
    });
    tasks.spawn(async move { b.answers(reader).await });
    tasks.spawn(async move {
        let _held = other;
        c.receive(receiving).await;
    });
}

impl Flow {
    async fn send(&self, mut writer: Writer, to: &Person, size: usize, pace: Pace) {
        let start = tokio::time::Instant::now();
        let mut sent = 0u64;
        loop {
            let stamp = match pace {
                Pace::Closed(window) => {
                    while sent >= self.accepted.load(Relaxed).min(self.delivered.load(Relaxed)) + window {
                        self.moved.notified().await;
                    }
                    self.shared.now()
                }
                Pace::Open { period, offset } => {
                    let due = start + offset + period * u32::try_from(sent).unwrap();
                    sleep_until(due).await;
                    // Late or not: the time counts from when it was due.
                    u64::try_from((due.into_std() - self.shared.began).as_nanos()).unwrap()
                }
            };
            self.stamps.lock().unwrap().push_back(stamp);
            writer.send(&to.envelope(sent, stamp, size)).await;
            sent += 1;
        }
    }

    async fn answers(&self, mut reader: Reader) {
        loop {
            match reader.next().await {
                FromRelay::Response(_, Response::EnvelopeAccepted(_)) => {
                    let stamp = self.stamps.lock().unwrap().pop_front().unwrap();
                    self.shared.record(&self.shared.accepted, stamp);
                    self.accepted.fetch_add(1, Relaxed);
                    self.moved.notify_one();
                }
                FromRelay::Push(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn receive(&self, client: Client) {
        let Client { mut reader, mut writer, connection: _held, .. } = client;
        let (mut highest, mut acked) = (0, 0);
        let mut ack_at = None;
        loop {
            let heard = match ack_at {
                None => reader.next().await,
                Some(at) => tokio::select! {
                    heard = reader.next() => heard,
                    () = sleep_until(at) => {
                        ack_at = None;
                        acked = highest;
                        writer.send(&Request::MailboxAck(MailboxAck { up_to: highest, generation: 1 })).await;
                        continue;
                    }
                },
            };
            match heard {
                FromRelay::Push(Push::Deliver(envelope)) => {
                    assert_eq!(envelope.seq, highest + 1, "a push out of order or left out");
                    highest = envelope.seq;
                    self.shared.record(
                        &self.shared.delivered,
                        u64::from_le_bytes(*envelope.sealed.first_chunk().unwrap()),
                    );
                    self.delivered.fetch_add(1, Relaxed);
                    self.moved.notify_one();
                    let now = tokio::time::Instant::now();
                    let at = if highest - acked >= ACK_AT_ONCE { now } else { now + ACK_DELAY };
                    ack_at = Some(ack_at.map_or(at, |earlier: tokio::time::Instant| earlier.min(at)));
                }
                FromRelay::Response(_, Response::Done(_)) | FromRelay::Push(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
