//! Requests, answers and pushes of an authenticated device.
//!
//! One task serves the connection. Requests are carried out side by side, at most so many at once; each is polled once
//! when it is read, which puts its write in its place, so sends are stored in the order in which they came. Answers and
//! pushes that are ready at the same time go out in one write.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use subrosa_protocol::{
    FrameError, RawFrame,
    frames::{
        ClientFirst, CloseReason, Empty, MailboxEnvelope, PreAuthRequest, Push, ReauthChallenge, Request,
    },
    limits::FRAME_MAX,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Carrier, End, Wire,
    breach::{Frames, Verdict},
    channel::Turn,
    pushes::Pushes,
    running::{Finished, Running, Work},
};
use crate::{
    bus::{Event, Signal, Subscription, deliver_bytes},
    handlers::{
        Caller, Context, Handling, Refusal, authenticate, handle, mailbox, register::Channel as Proofs,
    },
    memory::Share,
    metrics::Metrics,
    random,
    rate::RetryAfter,
};

/// A connection of a device that has proved its key.
pub(super) struct Authenticated<C: Carrier> {
    wire: Wire<C>,
    cx: Context,
    frames: Frames,
    subscription: Subscription,
    pushes: Pushes,
    proof: Proof,
    in_flight: FuturesUnordered<Running>,
    /// Requests in flight whose answers are large.
    large: usize,
}

/// The device's proof, and when the next one is due.
struct Proof {
    proofs: Proofs,
    /// When to ask, or by when the answer must be there.
    due: Instant,
    /// The nonce of a challenge that waits for its answer.
    challenge: Option<[u8; 32]>,
    /// An answer is being checked.
    checking: bool,
}

/// How often a slow client is looked at.
const SLOW: Duration = Duration::from_secs(1);
/// How long a client may hold room in the relay's buffers while they are short.
const SHORT: Duration = Duration::from_secs(1);
/// How long a large answer waits for room in the relay's buffers, and how often it looks.
const ROOM: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(20));

impl<C: Carrier> Authenticated<C> {
    pub(super) fn new(
        mut wire: Wire<C>,
        proofs: Proofs,
        caller: Arc<Caller>,
        subscription: Subscription,
        next_seq: u64,
        frames: Frames,
    ) -> Self {
        wire.admission.authenticated();
        wire.channel.raise_limits();
        wire.carrier.raise_limits();
        let cx = Context { core: Arc::clone(&wire.core), caller, held: wire.core.held.begin() };
        let due = Instant::now() + Duration::from_secs(u64::from(wire.core.limits.proof_lifetime_s));
        Self {
            wire,
            cx,
            frames,
            subscription,
            pushes: Pushes::new(next_seq),
            proof: Proof { proofs, due, challenge: None, checking: false },
            in_flight: FuturesUnordered::new(),
            large: 0,
        }
    }

    /// To the end of the connection. Requests that were begun are carried out, and answered if the client is there.
    pub(super) async fn serve(mut self) -> (Wire<C>, End) {
        let end = match self.run().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let Self { mut wire, in_flight, subscription, .. } = self;
        drop(subscription);
        let patience = Duration::from_secs(wire.core.limits.shutdown_s);
        match &end {
            End::Gone => {
                // What was accepted must still be pushed to those who receive it.
                if !in_flight.is_empty() {
                    tokio::spawn(timeout(patience, in_flight.for_each(|_| std::future::ready(()))));
                }
            }
            _ => {
                let mut in_flight = pin!(in_flight);
                let deadline = Instant::now() + patience;
                while let Ok(Some(finished)) = tokio::time::timeout_at(deadline, in_flight.next()).await {
                    answer(&mut wire, finished);
                }
            }
        }
        (wire, end)
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, End> {
        let mut timer = pin!(sleep_until(self.next_deadline()));
        loop {
            self.read_requests().await?;
            self.check_room(Instant::now())?;
            let deadline = self.next_deadline();
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            let may_read = self.may_read();
            if !may_read {
                self.wire.channel.excuse_half(Instant::now());
            }
            let may_push = !self.wire.channel.is_clogged();
            tokio::select! {
                biased;
                Some(finished) = self.in_flight.next(), if !self.in_flight.is_empty() => self.on_finished(finished)?,
                event = self.subscription.next(), if may_push => self.on_event(event)?,
                turn = self.wire.channel.turn(may_read) => match turn? {
                    Turn::Ended => return Err(End::Gone),
                    Turn::Read | Turn::Wrote | Turn::Waits => {}
                },
                () = timer.as_mut() => self.on_time(Instant::now())?,
            }
            // Whatever else is ready now goes out in the same write.
            while let Some(Some(finished)) = self.in_flight.next().now_or_never() {
                self.on_finished(finished)?;
            }
            while !self.wire.channel.is_clogged()
                && let Some(event) = self.subscription.try_next()
            {
                self.on_event(event)?;
            }
        }
    }

    fn may_read(&self) -> bool {
        self.in_flight.len() < self.wire.core.limits.requests_in_flight.max(1)
            && self.large == 0
            && !self.wire.channel.is_clogged()
    }

    /// Takes the requests that were read, as far as there is room to carry them out.
    async fn read_requests(&mut self) -> Result<(), End> {
        while self.may_read() {
            let now = Instant::now();
            let Some(frame) = self.wire.channel.next_frame(now)? else { break };
            self.on_frame(frame, now).await?;
        }
        Ok(())
    }

    async fn on_frame(&mut self, frame: RawFrame, now: Instant) -> Result<(), End> {
        match self.frames.admit(now) {
            Verdict::Go => {}
            Verdict::Refuse(after) => {
                self.refuse(frame.id, after.into());
                return Ok(());
            }
            Verdict::Close(after) => {
                self.refuse(frame.id, after.into());
                return Err(End::Closing(CloseReason::Abuse));
            }
        }
        let request = match Request::from_raw(&frame) {
            Ok(request) => request,
            Err(error) => {
                if let Some(refusal) = Refusal::of_frame(&error, is_known(&error)) {
                    self.refuse(frame.id, refusal);
                }
                return Ok(());
            }
        };
        drop(frame.body);
        Metrics::count(&self.wire.core.metrics.requests, request.name());
        let (id, large) = (frame.id, largest_answer(&request));
        let small = match &request {
            Request::MailboxFetch(fetch) => Some(fetch.clone()),
            _ => None,
        };
        let (handling, proof) = self.begin(request);
        let work = match large {
            None => Work::Plain(handling),
            Some(bytes) => {
                self.large += 1;
                let (cx, mut share) = (self.cx.clone(), self.wire.core.buffers.share());
                Work::Large(Box::pin(async move {
                    let small = match (share.cover(bytes), small) {
                        (false, Some(fetch)) => mailbox::fetch_small(cx, fetch).await,
                        _ => None,
                    };
                    match small {
                        Some(answer) => (answer, None),
                        None if room(&mut share, bytes).await => (handling.await, Some(share)),
                        None => (Err(RetryAfter(SLOW).into()), None),
                    }
                }))
            }
        };
        let mut running = Running { id, began: now, proof, work };
        match poll_fn(|task| Poll::Ready(pin!(&mut running).poll(task))).await {
            Poll::Ready(finished) => self.on_finished(finished),
            Poll::Pending => {
                self.in_flight.push(running);
                Ok(())
            }
        }
    }

    fn begin(&mut self, request: Request) -> (Handling, bool) {
        match request {
            Request::Reauthenticate(request) => match self.proof.challenge.take() {
                Some(nonce) => {
                    self.proof.checking = true;
                    let proofs = Proofs { nonce, ..self.proof.proofs };
                    (Box::pin(authenticate::reauthenticate(self.cx.clone(), proofs, request)), true)
                }
                None => (handle(self.cx.clone(), Request::Reauthenticate(request)), false),
            },
            request => (handle(self.cx.clone(), request), false),
        }
    }

    fn on_finished(&mut self, finished: Finished) -> Result<(), End> {
        let proved = finished.proof.then_some(finished.answer.is_ok());
        self.large = if finished.large { self.large.saturating_sub(1) } else { self.large };
        answer(&mut self.wire, finished);
        match proved {
            None => Ok(()),
            Some(true) => {
                self.proof.checking = false;
                let lifetime = u64::from(self.wire.core.limits.proof_lifetime_s);
                self.proof.due = Instant::now() + Duration::from_secs(lifetime);
                Ok(())
            }
            Some(false) => Err(End::Closing(CloseReason::ProofExpired)),
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Signal(Signal::Deliver(envelope)) => {
                if self.pushes.is_next(envelope.seq) {
                    self.send_pushes(std::slice::from_ref(&envelope), false);
                } else {
                    let ready = self.pushes.accept(envelope, Instant::now());
                    self.send_pushes(&ready.envelopes, ready.hint);
                }
            }
            Event::Signal(Signal::Push(frame)) => {
                self.wire.core.metrics.pushes.inc();
                self.wire.channel.send_bytes(&frame);
            }
            Event::Signal(Signal::Room(push)) => {
                self.wire.core.metrics.pushes.inc();
                match push.frame() {
                    Some(frame) if self.wire.channel.has_room(frame.len()) => {
                        self.wire.channel.send_bytes(frame);
                    }
                    _ => self.wire.channel.send_bytes(push.hint()),
                }
            }
            Event::Lost => self.expire_pushes(),
            Event::End(reason) => return Err(End::Closing(reason)),
        }
        Ok(())
    }

    fn expire_pushes(&mut self) {
        let ready = self.pushes.expire();
        self.send_pushes(&ready.envelopes, ready.hint);
    }

    fn send_pushes(&mut self, envelopes: &[Arc<MailboxEnvelope>], mut hint: bool) {
        for envelope in envelopes {
            if hint || !self.wire.channel.has_room(deliver_bytes(envelope)) {
                // It is in the mailbox: the client fetches it.
                hint = true;
                continue;
            }
            self.wire.core.metrics.pushes.inc();
            self.wire.channel.deliver(envelope);
        }
        if hint {
            self.wire.channel.push(&Push::SyncHint(Empty {}));
        }
    }

    /// Whether what is half read and what is not yet taken may go on waiting.
    fn check_room(&mut self, now: Instant) -> Result<(), End> {
        if !self.wire.channel.settle(now) {
            return Err(End::Crowded);
        }
        let Some(since) = self.wire.channel.slow_since() else { return Ok(()) };
        let patience = Duration::from_secs(self.wire.core.limits.half_frame_timeout_s);
        let patience = if self.wire.channel.is_short() { SHORT } else { patience };
        if since + patience <= now { Err(End::Closing(CloseReason::Idle)) } else { Ok(()) }
    }

    /// The earliest of what time brings.
    fn next_deadline(&self) -> Instant {
        let half_frame = Duration::from_secs(self.wire.core.limits.half_frame_timeout_s);
        let half = self.wire.channel.half_since().filter(|_| self.may_read()).map(|since| since + half_frame);
        let slow = self.wire.channel.slow_since().map(|_| Instant::now() + SLOW);
        [half, slow, self.pushes.deadline()].into_iter().flatten().fold(self.proof.due, Instant::min)
    }

    fn on_time(&mut self, now: Instant) -> Result<(), End> {
        if self.pushes.deadline().is_some_and(|deadline| deadline <= now) {
            self.expire_pushes();
        }
        let half_frame = Duration::from_secs(self.wire.core.limits.half_frame_timeout_s);
        if self.may_read() && self.wire.channel.half_since().is_some_and(|since| since + half_frame <= now) {
            return Err(End::Closing(CloseReason::Idle));
        }
        if self.proof.due <= now {
            let limits = &self.wire.core.limits;
            let within = Duration::from_secs(u64::from(limits.proof_deadline_s));
            if self.proof.challenge.is_some() {
                return Err(End::Closing(CloseReason::ProofExpired));
            }
            self.proof.due = now + within;
            if !self.proof.checking {
                let nonce = random::bytes();
                self.proof.challenge = Some(nonce);
                let within_s = limits.proof_deadline_s;
                self.wire
                    .channel
                    .push(&Push::ReauthChallenge(ReauthChallenge { nonce: nonce.into(), within_s }));
            }
        }
        Ok(())
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) {
        Metrics::count(&self.wire.core.metrics.errors, refusal.code.name());
        self.wire.channel.respond(id, &refusal.to_response());
    }
}

/// Bytes of the answer, where they may be many.
fn largest_answer(request: &Request) -> Option<usize> {
    match request {
        Request::MailboxFetch(_) => Some(FRAME_MAX),
        Request::RoomSync(_) | Request::RoomLists(_) | Request::ObjectGet(_) | Request::RoomCommit(_) => {
            Some(FRAME_MAX)
        }
        Request::RoomDirectory(_) | Request::KeyPackageClaim(_) => Some(FRAME_MAX / 2),
        // 16 lists of at most 759 bytes with their signatures: what a connection may always have.
        Request::DeviceListFetch(_) => Some(0),
        _ => None,
    }
}

/// Room for a large answer; a client that comes while there is none waits a little.
async fn room(share: &mut Share, bytes: usize) -> bool {
    let deadline = Instant::now() + ROOM.0;
    while !share.cover(bytes) {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(ROOM.1).await;
    }
    true
}

fn answer<C: Carrier>(wire: &mut Wire<C>, finished: Finished) {
    wire.core.metrics.answered(finished.began.elapsed());
    let response = finished.answer.unwrap_or_else(|refusal| {
        Metrics::count(&wire.core.metrics.errors, refusal.code.name());
        refusal.to_response()
    });
    if let Some(room) = finished.room {
        wire.channel.give_room(room);
    }
    wire.channel.respond(finished.id, &response);
}

/// Whether a kind that was not understood is one of the protocol's, only not of this state.
fn is_known(error: &FrameError) -> bool {
    match error {
        FrameError::UnknownKind { kind, .. } => {
            PreAuthRequest::KINDS.iter().chain(ClientFirst::KINDS).any(|(known, _)| known == kind)
        }
        _ => false,
    }
}
