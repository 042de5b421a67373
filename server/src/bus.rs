//! Wake-ups between connections: who sent something tells who receives it.
//!
//! A push is a hint, the mailbox is the truth. Queues are bounded; what does not fit is dropped and becomes one
//! [`Event::Lost`], after which the connection tells its client to fetch. The trait is what a cluster replaces;
//! [`InProcess`] serves one relay.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use subrosa_protocol::{
    DeviceId, Username,
    frames::{CloseReason, MailboxEnvelope},
    limits::{FRAME_HEADER, FRAME_PREFIX},
};
use tokio::sync::{Notify, mpsc};

use crate::{
    limits::PUSHES_FREE,
    memory::{Budget, Share},
};

const SHARDS: usize = 16;
/// Bytes of a `Deliver` frame besides the sealed ones, at most: `seq` (9), id (16), time (9), length (5).
const DELIVER_OVERHEAD: usize = FRAME_PREFIX + FRAME_HEADER + 9 + 16 + 9 + 5;

/// What a line is charged for a push that it shares with others.
const SHARED: usize = 64;

/// Something for a connected device.
#[derive(Debug, Clone)]
pub enum Signal {
    /// An envelope of its mailbox, to be pushed.
    Deliver(Arc<MailboxEnvelope>),
    /// Another push in wire form.
    Push(Bytes),
    /// An entry of a room, shared by everybody in it.
    Room(Arc<RoomPush>),
}

impl Signal {
    /// Bytes of the push, or a few more; of one that others share, what a line is charged for it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Deliver(envelope) => deliver_bytes(envelope),
            Self::Push(frame) => frame.len(),
            Self::Room(_) => SHARED,
        }
    }
}

/// Bytes of the `Deliver` frame of an envelope, or a few more.
#[must_use]
pub fn deliver_bytes(envelope: &MailboxEnvelope) -> usize {
    envelope.sealed.len() + DELIVER_OVERHEAD
}

/// A `RoomDeliver` that many connections share, and the `RoomHint` for those that have no room for it.
#[derive(Debug)]
pub struct RoomPush {
    frame: Option<Bytes>,
    hint: Bytes,
    /// What covers the frame, however many queues it stands in.
    _share: Share,
}

impl RoomPush {
    /// Without room in the relay's buffers it is only the hint.
    #[must_use]
    pub fn new(frame: Bytes, hint: Bytes, buffers: &Arc<Budget>) -> Self {
        let mut share = buffers.share();
        let frame = share.cover(frame.len()).then_some(frame);
        Self { frame, hint, _share: share }
    }

    /// The entry in wire form.
    #[must_use]
    pub fn frame(&self) -> Option<&Bytes> {
        self.frame.as_ref()
    }

    /// That there is an entry, in wire form.
    #[must_use]
    pub const fn hint(&self) -> &Bytes {
        &self.hint
    }
}

/// What a connection hears.
#[derive(Debug)]
pub enum Event {
    /// Pass it on.
    Signal(Signal),
    /// Signals were dropped: the client must fetch.
    Lost,
    /// The connection must end.
    End(CloseReason),
}

/// The account has as many connections as it may (R7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account has too many connections")]
pub struct AccountFull;

/// How connections reach each other. Nothing here waits.
pub trait Bus: Send + Sync + 'static {
    /// Registers a connection of a device. When the device has too many, its oldest one ends as replaced (R7).
    ///
    /// # Errors
    /// [`AccountFull`].
    fn subscribe(&self, account: &Username, device: DeviceId) -> Result<Subscription, AccountFull>;
    /// Envelopes of a device's mailbox, in order, to every connection of the device.
    fn deliver(&self, account: &Username, device: DeviceId, envelopes: Vec<Arc<MailboxEnvelope>>);
    /// To every connection of a device.
    fn to_device(&self, account: &Username, device: DeviceId, signal: Signal);
    /// To every connection of an account, one device's apart.
    fn to_account(&self, account: &Username, except: Option<DeviceId>, signal: Signal);
    /// Ends every connection of a device.
    fn end_device(&self, account: &Username, device: DeviceId, reason: CloseReason);
    /// Ends every connection.
    fn end_all(&self, reason: CloseReason);
}

/// A connection's place on the bus; it leaves when dropped.
#[derive(Debug)]
pub struct Subscription {
    signals: mpsc::Receiver<(Signal, Share)>,
    line: Arc<Line>,
    bus: Arc<Lines>,
    account: Username,
}

impl Subscription {
    /// The next thing to do. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            tokio::select! {
                biased;
                () = self.line.wake.notified() => {}
                signal = self.signals.recv() => match signal {
                    Some((signal, _)) => return Event::Signal(signal),
                    // Cannot be: the line holds a sender. Ending is the safe answer.
                    None => return Event::End(CloseReason::ShuttingDown),
                },
            }
        }
    }

    /// Like [`Subscription::next`], when there is something now.
    pub fn try_next(&mut self) -> Option<Event> {
        if let Some(reason) = *lock(&self.line.ending) {
            return Some(Event::End(reason));
        }
        match self.signals.try_recv() {
            Ok((signal, _)) => Some(Event::Signal(signal)),
            Err(_) if self.line.lost.swap(false, Ordering::AcqRel) => Some(Event::Lost),
            Err(_) => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut shard = self.bus.shard(&self.account);
        if let Some(lines) = shard.get_mut(&self.account) {
            lines.retain(|line| line.id != self.line.id);
            if lines.is_empty() {
                shard.remove(&self.account);
            }
        }
    }
}

/// One connection as the bus knows it.
#[derive(Debug)]
struct Line {
    id: u64,
    device: DeviceId,
    /// Each signal with its share of the line's own little, or of the relay's buffers.
    signals: mpsc::Sender<(Signal, Share)>,
    own: Arc<Budget>,
    lost: AtomicBool,
    ending: Mutex<Option<CloseReason>>,
    wake: Notify,
}

impl Line {
    /// `false` when the signal was dropped.
    fn send(&self, signal: Signal, buffers: &Arc<Budget>) -> bool {
        let mut share = self.own.share();
        if !share.cover(signal.bytes()) {
            share = buffers.share();
            if !share.cover(signal.bytes()) {
                return self.lose();
            }
        }
        if self.signals.try_send((signal, share)).is_ok() {
            return true;
        }
        self.lose()
    }

    fn lose(&self) -> bool {
        self.lost.store(true, Ordering::Release);
        self.wake.notify_one();
        false
    }

    fn end(&self, reason: CloseReason) {
        lock(&self.ending).get_or_insert(reason);
        self.wake.notify_one();
    }
}

#[derive(Debug)]
struct Lines {
    shards: Vec<Mutex<HashMap<Username, Vec<Arc<Line>>>>>,
    /// Where a key finds no shard, which cannot be; kept so that nothing can panic.
    spare: Mutex<HashMap<Username, Vec<Arc<Line>>>>,
    next_id: AtomicU64,
}

impl Lines {
    fn shard(&self, account: &Username) -> MutexGuard<'_, HashMap<Username, Vec<Arc<Line>>>> {
        // Any spread will do: the map inside has a keyed hash.
        let index = account.as_str().bytes().fold(0, |sum, byte| sum + usize::from(byte)) % SHARDS;
        lock(self.shards.get(index).unwrap_or(&self.spare))
    }
}

/// The bus of a relay that is one process.
#[derive(Debug)]
pub struct InProcess {
    lines: Arc<Lines>,
    queue: usize,
    per_device: usize,
    per_account: usize,
    buffers: Arc<Budget>,
    /// Called once for each signal that was dropped.
    dropped: prometheus_client::metrics::counter::Counter,
}

impl InProcess {
    /// Queues of `queue` signals, whose bytes come out of `buffers`; at most so many connections a device and an account.
    /// Dropped signals are counted.
    #[must_use]
    pub fn new(
        queue: usize,
        per_device: usize,
        per_account: usize,
        buffers: Arc<Budget>,
        dropped: prometheus_client::metrics::counter::Counter,
    ) -> Self {
        let lines = Lines {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            spare: Mutex::default(),
            next_id: AtomicU64::new(1),
        };
        Self {
            lines: Arc::new(lines),
            queue: queue.max(1),
            per_device: per_device.max(1),
            per_account,
            buffers,
            dropped,
        }
    }

    fn send(&self, account: &Username, signal: &Signal, to: impl Fn(DeviceId) -> bool) {
        if let Some(lines) = self.lines.shard(account).get(account) {
            for line in lines.iter().filter(|line| to(line.device)) {
                if !line.send(signal.clone(), &self.buffers) {
                    self.dropped.inc();
                }
            }
        }
    }
}

impl Bus for InProcess {
    fn subscribe(&self, account: &Username, device: DeviceId) -> Result<Subscription, AccountFull> {
        let mut shard = self.lines.shard(account);
        let lines = shard.entry(account.clone()).or_default();
        let of_device = lines.iter().filter(|line| line.device == device).count();
        // Lines are in the order in which they came: the first of the device is its oldest.
        if of_device >= self.per_device
            && let Some(oldest) = lines.iter().position(|line| line.device == device)
        {
            lines.remove(oldest).end(CloseReason::Replaced);
        }
        if lines.len() >= self.per_account {
            return Err(AccountFull);
        }
        let (sender, signals) = mpsc::channel(self.queue);
        let line = Arc::new(Line {
            id: self.lines.next_id.fetch_add(1, Ordering::Relaxed),
            device,
            signals: sender,
            own: Budget::new(PUSHES_FREE),
            lost: AtomicBool::new(false),
            ending: Mutex::default(),
            wake: Notify::new(),
        });
        lines.push(Arc::clone(&line));
        drop(shard);
        Ok(Subscription { signals, line, bus: Arc::clone(&self.lines), account: account.clone() })
    }

    fn deliver(&self, account: &Username, device: DeviceId, envelopes: Vec<Arc<MailboxEnvelope>>) {
        if let Some(lines) = self.lines.shard(account).get(account) {
            for line in lines.iter().filter(|line| line.device == device) {
                for envelope in &envelopes {
                    if !line.send(Signal::Deliver(Arc::clone(envelope)), &self.buffers) {
                        self.dropped.inc();
                    }
                }
            }
        }
    }

    fn to_device(&self, account: &Username, device: DeviceId, signal: Signal) {
        self.send(account, &signal, |id| id == device);
    }

    fn to_account(&self, account: &Username, except: Option<DeviceId>, signal: Signal) {
        self.send(account, &signal, |id| Some(id) != except);
    }

    fn end_device(&self, account: &Username, device: DeviceId, reason: CloseReason) {
        if let Some(lines) = self.lines.shard(account).get(account) {
            lines.iter().filter(|line| line.device == device).for_each(|line| line.end(reason));
        }
    }

    fn end_all(&self, reason: CloseReason) {
        for shard in self.lines.shards.iter().chain([&self.lines.spare]) {
            lock(shard).values().flatten().for_each(|line| line.end(reason));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus(queue: usize) -> InProcess {
        InProcess::new(queue, 2, 3, Budget::new(PUSHES_FREE + 100), Default::default())
    }
    fn alice() -> Username {
        Username::new("alice").unwrap()
    }
    fn device(number: u32) -> DeviceId {
        DeviceId::new(number).unwrap()
    }
    fn push(byte: u8) -> Signal {
        Signal::Push(Bytes::from(vec![byte]))
    }

    #[tokio::test]
    async fn r7_the_oldest_of_three_connections_of_a_device_is_replaced() {
        let bus = bus(4);
        let mut first = bus.subscribe(&alice(), device(1)).unwrap();
        let mut second = bus.subscribe(&alice(), device(1)).unwrap();
        let _third = bus.subscribe(&alice(), device(1)).unwrap();
        assert!(matches!(first.next().await, Event::End(CloseReason::Replaced)));
        assert!(second.try_next().is_none());
        let _other = bus.subscribe(&alice(), device(2)).unwrap();
        assert_eq!(bus.subscribe(&alice(), device(3)).unwrap_err(), AccountFull);
        drop(second);
        bus.subscribe(&alice(), device(3)).unwrap();
    }

    #[tokio::test]
    async fn a_slow_connection_loses_pushes_and_is_told_once_after_those_it_got() {
        let bus = bus(2);
        let mut line = bus.subscribe(&alice(), device(1)).unwrap();
        for byte in 0..5 {
            bus.to_device(&alice(), device(1), push(byte));
        }
        for byte in 0..2 {
            assert!(matches!(line.next().await, Event::Signal(Signal::Push(b)) if b[0] == byte));
        }
        assert!(matches!(line.next().await, Event::Lost));
        assert!(line.try_next().is_none());
        assert_eq!(bus.dropped.get(), 3);
    }

    #[tokio::test]
    async fn signals_beyond_the_relays_buffers_are_dropped_and_their_bytes_are_given_back() {
        let bus = bus(4);
        let mut line = bus.subscribe(&alice(), device(1)).unwrap();
        for _ in 0..2 {
            bus.to_device(&alice(), device(1), Signal::Push(Bytes::from(vec![0; PUSHES_FREE + 60])));
        }
        assert!(matches!(line.next().await, Event::Signal(_)));
        assert!(matches!(line.next().await, Event::Lost));
        bus.to_device(&alice(), device(1), Signal::Push(Bytes::from(vec![0; PUSHES_FREE + 100])));
        assert!(matches!(line.next().await, Event::Signal(_)));
        bus.to_device(&alice(), device(1), Signal::Push(Bytes::from(vec![0; PUSHES_FREE + 100])));
        drop(line);
        let mut again = bus.subscribe(&alice(), device(1)).unwrap();
        bus.to_device(&alice(), device(1), Signal::Push(Bytes::from(vec![0; PUSHES_FREE + 100])));
        assert!(
            matches!(again.next().await, Event::Signal(_)),
            "what waited in a line that ended is given back"
        );
    }

    #[tokio::test]
    async fn signals_go_where_they_should_and_the_last_leaves_nothing() {
        let bus = bus(4);
        let mut one = bus.subscribe(&alice(), device(1)).unwrap();
        let mut two = bus.subscribe(&alice(), device(2)).unwrap();
        bus.to_account(&alice(), Some(device(1)), push(7));
        assert!(one.try_next().is_none());
        assert!(matches!(two.next().await, Event::Signal(_)));
        bus.end_device(&alice(), device(1), CloseReason::Revoked);
        bus.end_all(CloseReason::ShuttingDown);
        assert!(matches!(one.next().await, Event::End(CloseReason::Revoked)));
        assert!(matches!(two.next().await, Event::End(CloseReason::ShuttingDown)));
        drop((one, two));
        assert!(bus.lines.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
