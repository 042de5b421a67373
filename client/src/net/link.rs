//! The connection task of a running engine: dials, moves frames both ways, and dials again when the connection breaks.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
};

use subrosa_protocol::{RawFrame, RelayAddress, frames::FromRelay};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant, MissedTickBehavior},
};

use super::{
    Backoff, Carrier, FrameReader, FrameWriter, NetError, Wire,
    pulse::{Found, Pulse},
    quic::dial_again,
};
use crate::{
    api::ApiError,
    limits::{LOOK_EVERY, RECONNECT_MAX, ROUND_TRIP_EVERY, STABLE_AFTER},
};

/// What the engine tells the connection.
#[derive(Debug)]
pub enum LinkCommand {
    /// Send this frame on the connection that is up; without one it is dropped.
    Send(RawFrame),
    /// Drop the connection and dial again after the usual wait.
    Drop,
    /// Dial at once, also when a person must act first.
    Reconnect,
    /// Drop the connection and do not dial again by itself.
    Block,
    /// Write what is waiting, end the connection and the task.
    Finish,
}

/// What the connection tells the engine.
#[derive(Debug)]
// It lives from where it is made to where it is used: boxing it would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub enum LinkEvent {
    /// Dialling.
    Connecting,
    /// A connection is up, hellos are exchanged.
    Up {
        /// The TLS exporter value.
        exporter: [u8; 32],
        /// The relay's nonce.
        nonce: [u8; 32],
        /// Milliseconds of a round trip.
        round_trip_ms: u32,
    },
    /// A frame came.
    Frame(FromRelay),
    /// The round trip time, now and then.
    RoundTrip(u32),
    /// The connection broke or could not be made; it is dialled again by itself.
    Down {
        /// Why.
        reason: String,
        /// Milliseconds until then.
        retry_in_ms: u64,
    },
    /// It is not dialled again until [`LinkCommand::Reconnect`].
    Blocked(ApiError),
}

/// The byte streams of one connection.
pub type AnyWire = Wire<Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>>;

/// A way to reach the relay.
pub trait Dial: Send + 'static {
    /// Connects and exchanges hellos.
    fn dial(&mut self) -> Pin<Box<dyn Future<Output = Result<AnyWire, NetError>> + Send + '_>>;
}

/// QUIC.
pub struct QuicDial {
    relay: RelayAddress,
    known: Vec<SocketAddr>,
}

impl QuicDial {
    /// To a relay.
    #[must_use]
    pub const fn new(relay: RelayAddress) -> Self {
        Self { relay, known: Vec::new() }
    }
}

impl Dial for QuicDial {
    fn dial(&mut self) -> Pin<Box<dyn Future<Output = Result<AnyWire, NetError>> + Send + '_>> {
        Box::pin(async {
            let Wire { reader, writer, exporter, hello, carrier } =
                dial_again(&self.relay, &mut self.known).await?;
            Ok(Wire { reader: reader.boxed(), writer: writer.boxed(), exporter, hello, carrier })
        })
    }
}

/// Why a connection, or the wait for one, ended.
enum Ended {
    Error(NetError),
    Dropped,
    Reconnect,
    Blocked,
    Finished,
}

/// Runs until [`LinkCommand::Finish`] or until the engine is gone.
pub async fn run(mut dial: impl Dial, mut commands: Receiver<LinkCommand>, events: Sender<LinkEvent>) {
    let mut backoff = Backoff::default();
    loop {
        let ended = connect_once(&mut dial, &mut commands, &events, &mut backoff).await;
        let wait = match ended {
            Ended::Finished => return,
            Ended::Reconnect => continue,
            Ended::Blocked => None,
            Ended::Error(error) if error.is_final() => {
                if events.send(LinkEvent::Blocked(error.into())).await.is_err() {
                    return;
                }
                None
            }
            Ended::Dropped => Some(("the connection was given up".to_owned(), backoff.next(false, random()))),
            Ended::Error(error) => Some((error.to_string(), backoff.next(error.is_silence(), random()))),
        };
        let until = wait.as_ref().map(|(_, wait)| Instant::now() + *wait);
        if let Some((reason, wait)) = wait {
            let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            if events.send(LinkEvent::Down { reason, retry_in_ms }).await.is_err() {
                return;
            }
        }
        if rest(&mut commands, until).await {
            return;
        }
    }
}

/// Waits until it is time to dial. Returns whether the task is to end.
async fn rest(commands: &mut Receiver<LinkCommand>, mut until: Option<Instant>) -> bool {
    loop {
        // Without a time to dial at, only a command ends the rest.
        let wake = until.unwrap_or_else(|| Instant::now() + RECONNECT_MAX);
        tokio::select! {
            () = tokio::time::sleep_until(wake) => if until.is_some() { return false },
            command = commands.recv() => match command {
                None | Some(LinkCommand::Finish) => return true,
                Some(LinkCommand::Reconnect) => return false,
                Some(LinkCommand::Block) => until = None,
                Some(LinkCommand::Send(_) | LinkCommand::Drop) => {}
            },
        }
    }
}

async fn connect_once(
    dial: &mut impl Dial,
    commands: &mut Receiver<LinkCommand>,
    events: &Sender<LinkEvent>,
    backoff: &mut Backoff,
) -> Ended {
    if events.send(LinkEvent::Connecting).await.is_err() {
        return Ended::Finished;
    }
    let wire = {
        let mut dialling = dial.dial();
        loop {
            tokio::select! {
                result = &mut dialling => match result {
                    Ok(wire) => break wire,
                    Err(error) => return Ended::Error(error),
                },
                command = commands.recv() => match command {
                    None | Some(LinkCommand::Finish) => return Ended::Finished,
                    Some(LinkCommand::Block) => return Ended::Blocked,
                    // Frames for the connection before this one.
                    Some(LinkCommand::Send(_) | LinkCommand::Drop | LinkCommand::Reconnect) => {}
                },
            }
        }
    };
    let up_since = Instant::now();
    let Wire { mut reader, mut writer, exporter, hello, carrier } = wire;
    let up = LinkEvent::Up { exporter, nonce: hello.nonce, round_trip_ms: carrier.signs().round_trip_ms() };
    if events.send(up).await.is_err() {
        return Ended::Finished;
    }
    let owed = AtomicU32::new(0);
    let ended = tokio::select! {
        ended = move_frames(&mut reader, &mut writer, &*carrier, &owed, commands, events) => ended,
        () = silence(&*carrier, &owed) => Ended::Error(NetError::Timeout),
    };
    if up_since.elapsed() >= STABLE_AFTER {
        backoff.reset();
    }
    if matches!(ended, Ended::Finished | Ended::Reconnect | Ended::Blocked) {
        let _ = tokio::time::timeout(Duration::from_secs(1), writer.finish()).await;
    }
    ended
}

/// Pends while the relay acknowledges what is sent, and asks for a sign of life while it owes something.
async fn silence(carrier: &dyn Carrier, owed: &AtomicU32) {
    let mut pulse = Pulse::new(carrier.signs());
    let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match pulse.look(carrier.signs(), owed.load(Ordering::Relaxed) > 0) {
            Found::Life => {}
            Found::Quiet => carrier.nudge(),
            Found::Silence => return,
        }
    }
}

async fn move_frames<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    carrier: &dyn Carrier,
    owed: &AtomicU32,
    commands: &mut Receiver<LinkCommand>,
    events: &Sender<LinkEvent>,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut ticks = tokio::time::interval(ROUND_TRIP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Nothing is read before there is room to hand it on; what is to be written never waits for that.
        let permit = tokio::select! {
            permit = events.reserve() => match permit {
                Ok(permit) => permit,
                Err(_) => return Ended::Finished,
            },
            command = commands.recv() => match write(writer, command, commands, owed).await {
                Ok(None) => continue,
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Error(error),
            },
        };
        let event = tokio::select! {
            frame = reader.next() => match frame.and_then(|frame| Ok(FromRelay::from_raw(&frame)?)) {
                Ok(FromRelay::Skipped(_)) => continue,
                Ok(frame) => {
                    if matches!(frame, FromRelay::Response(..)) {
                        // A relay that answers what nobody asked takes nothing below zero.
                        let _ = owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                    }
                    LinkEvent::Frame(frame)
                }
                Err(error) => return Ended::Error(error),
            },
            command = commands.recv() => match write(writer, command, commands, owed).await {
                Ok(None) => continue,
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Error(error),
            },
            _ = ticks.tick() => LinkEvent::RoundTrip(carrier.signs().round_trip_ms()),
        };
        permit.send(event);
    }
}

/// Writes a frame and every further one that is waiting already, in one go.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut FrameWriter<W>,
    first: Option<LinkCommand>,
    commands: &mut Receiver<LinkCommand>,
    owed: &AtomicU32,
) -> Result<Option<Ended>, NetError> {
    let mut next = Some(first);
    while let Some(command) = next {
        match command {
            None | Some(LinkCommand::Finish) => return Ok(Some(Ended::Finished)),
            Some(LinkCommand::Drop) => return Ok(Some(Ended::Dropped)),
            Some(LinkCommand::Reconnect) => return Ok(Some(Ended::Reconnect)),
            Some(LinkCommand::Block) => return Ok(Some(Ended::Blocked)),
            Some(LinkCommand::Send(frame)) => {
                writer.push(&frame)?;
                // Each request has one answer.
                owed.fetch_add(1, Ordering::Relaxed);
            }
        }
        if writer.is_full() {
            writer.flush().await?;
        }
        next = commands.try_recv().ok().map(Some);
    }
    writer.flush().await.map(|()| None)
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

impl Dial for Box<dyn Dial> {
    fn dial(&mut self) -> Pin<Box<dyn Future<Output = Result<AnyWire, NetError>> + Send + '_>> {
        (**self).dial()
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::frames::{RegistrationPolicy, RelayHello};
    use tokio::{io::DuplexStream, sync::mpsc};

    use super::{super::Signs, *};

    /// Reaches a relay that takes everything and acknowledges nothing.
    #[derive(Default)]
    struct ToTheDeaf {
        relays: Vec<DuplexStream>,
    }

    /// Sends something at each look, and its round trip never changes.
    struct Unheard(AtomicU32);

    impl Carrier for Unheard {
        fn signs(&self) -> Signs {
            Signs { sent: self.0.fetch_add(1, Ordering::Relaxed).into(), ..Signs::default() }
        }

        fn nudge(&self) {}
    }

    impl Dial for ToTheDeaf {
        fn dial(&mut self) -> Pin<Box<dyn Future<Output = Result<AnyWire, NetError>> + Send + '_>> {
            let (ours, theirs) = tokio::io::duplex(1 << 10);
            self.relays.push(theirs);
            let (receive, send) = tokio::io::split(ours);
            let (reader, writer) = (FrameReader::new(receive).boxed(), FrameWriter::new(send).boxed());
            let registration = RegistrationPolicy::Closed;
            let hello = RelayHello { version: 1, features: 0, nonce: [0; 32], registration };
            let carrier = Box::new(Unheard(AtomicU32::new(0)));
            Box::pin(async { Ok(Wire { reader, writer, exporter: [0; 32], hello, carrier }) })
        }
    }

    #[tokio::test]
    async fn who_is_not_heard_leaves_and_dials_again() {
        let (commands, obeyed) = mpsc::channel(8);
        let (events, mut told) = mpsc::channel(64);
        tokio::spawn(run(ToTheDeaf::default(), obeyed, events));
        let mut next = async || loop {
            let event = tokio::time::timeout(Duration::from_secs(30), told.recv()).await.unwrap().unwrap();
            if !matches!(event, LinkEvent::RoundTrip(_)) {
                return event;
            }
        };
        assert!(matches!(next().await, LinkEvent::Connecting));
        assert!(matches!(next().await, LinkEvent::Up { .. }));
        let up = Instant::now();
        let down = next().await;
        let LinkEvent::Down { retry_in_ms, .. } = down else { panic!("{down:?}") };
        assert!(up.elapsed() >= Duration::from_secs(3), "{:?}", up.elapsed());
        assert!(retry_in_ms <= 250, "{retry_in_ms}");
        assert!(matches!(next().await, LinkEvent::Connecting));
        assert!(matches!(next().await, LinkEvent::Up { .. }));
        commands.send(LinkCommand::Finish).await.unwrap();
    }
}
