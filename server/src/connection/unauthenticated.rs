//! Registration, login, and the proof of a device: one request at a time.

use std::{sync::Arc, time::Duration};

use subrosa_protocol::{
    FrameError, RawFrame,
    frames::{CloseReason, Empty, PreAuthRequest, Request, Response},
};
use tokio::time::Instant;

use super::{
    CROWDED, Carrier, End, Wire,
    authenticated::Authenticated,
    breach::{Frames, Verdict},
};
use crate::{
    bus::Subscription,
    handlers::{
        Caller, Refusal, authenticate, login,
        register::{self, Channel as Proofs, Staged},
    },
    limits::{JOINING_TIMES, Limits},
    listener::Network,
    memory::Share,
    metrics::Metrics,
    rate::RetryAfter,
};

/// Wrong proofs after which the connection ends.
const FAILED_PROOFS: u32 = 3;

/// A connection of a client that has not proved a device.
pub(super) struct Unauthenticated<C: Carrier> {
    wire: Wire<C>,
    proofs: Proofs,
    network: Network,
    deadline: Instant,
    /// Whatever it does, it ends then.
    end: Instant,
    frames: Frames,
    progress: Progress,
    staged: Staged,
    /// What covers the staged prekeys.
    room: Share,
    failed_proofs: u32,
    /// A login was begun on this connection: that earns time once.
    began_login: bool,
}

/// How far registration or login has come.
enum Progress {
    Nothing,
    Registering(register::Started),
    LoggingIn(Box<login::Started>),
    LoggedIn(login::Granted),
}

/// What a request led to.
enum Step {
    Stay(Response),
    Authenticated(Box<(Caller, Subscription, Response)>),
}

impl<C: Carrier> Unauthenticated<C> {
    pub(super) fn new(wire: Wire<C>, proofs: Proofs, network: Network, deadline: Instant) -> Self {
        let frames = Frames::new(&wire.core.limits, Instant::now());
        let room = wire.core.buffers.share();
        let end = Instant::now() + patience(&wire.core.limits) * JOINING_TIMES;
        Self {
            wire,
            proofs,
            network,
            deadline,
            end,
            frames,
            progress: Progress::Nothing,
            staged: Staged::default(),
            room,
            failed_proofs: 0,
            began_login: false,
        }
    }

    /// To the end of the connection, as an authenticated one if it comes to that.
    pub(super) async fn serve(mut self) -> (Wire<C>, End) {
        loop {
            let frame = match self.wire.next_frame(self.deadline).await {
                Ok(frame) => frame,
                Err(end) => return (self.wire, end),
            };
            // On the heap, and only while it lasts: what registration and login need would otherwise be part of every
            // connection's task for as long as that lives.
            match Box::pin(self.on_frame(frame)).await {
                Ok(None) => {}
                Ok(Some((id, proved))) => {
                    let (caller, subscription, response) = *proved;
                    self.wire.channel.respond(id, &response);
                    let next_seq = match response {
                        Response::Authenticated(authenticated) => authenticated.next_seq,
                        _ => 1,
                    };
                    let Self { wire, proofs, frames, .. } = self;
                    return Authenticated::new(
                        wire,
                        proofs,
                        Arc::new(caller),
                        subscription,
                        next_seq,
                        frames,
                    )
                    .serve()
                    .await;
                }
                Err(end) => return (self.wire, end),
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "the answer's id, and what the authenticated state is made of")]
    async fn on_frame(
        &mut self,
        frame: RawFrame,
    ) -> Result<Option<(u32, Box<(Caller, Subscription, Response)>)>, End> {
        match self.frames.admit(Instant::now()) {
            Verdict::Go => {}
            Verdict::Refuse(after) => {
                self.refuse(frame.id, after.into());
                return Ok(None);
            }
            Verdict::Close(after) => {
                self.refuse(frame.id, after.into());
                return Err(End::Closing(CloseReason::Abuse));
            }
        }
        let request = match PreAuthRequest::from_raw(&frame) {
            Ok(request) => request,
            Err(error) => {
                if let Some(refusal) = Refusal::of_frame(&error, is_known(&error)) {
                    self.refuse(frame.id, refusal);
                }
                return Ok(None);
            }
        };
        Metrics::count(&self.wire.core.metrics.requests, request.name());
        let began = Instant::now();
        let proof = matches!(request, PreAuthRequest::Authenticate(_));
        let step = self.carry_out(request).await;
        self.wire.core.metrics.answered(began.elapsed());
        match step {
            Ok(Step::Stay(response)) => self.wire.channel.respond(frame.id, &response),
            Ok(Step::Authenticated(proved)) => return Ok(Some((frame.id, proved))),
            Err(refusal) => {
                self.refuse(frame.id, refusal);
                self.failed_proofs += u32::from(proof);
                if self.failed_proofs >= FAILED_PROOFS {
                    return Err(End::Closing(CloseReason::Abuse));
                }
            }
        }
        Ok(None)
    }

    async fn carry_out(&mut self, request: PreAuthRequest) -> Result<Step, Refusal> {
        let core = Arc::clone(&self.wire.core);
        let done = Step::Stay(Response::Done(Empty {}));
        Ok(match request {
            PreAuthRequest::Authenticate(request) => {
                let (caller, subscription, answer) =
                    authenticate::authenticate(&core, self.proofs, self.network, request).await?;
                Step::Authenticated(Box::new((caller, subscription, Response::Authenticated(answer))))
            }
            PreAuthRequest::RegisterStart(request) => {
                self.progress = Progress::Nothing;
                let (started, answer) = register::start(&core, self.network, request).await?;
                self.progress = Progress::Registering(started);
                self.extend();
                Step::Stay(Response::RegisterChallenge(answer))
            }
            PreAuthRequest::StagePrekeys(request) => {
                if matches!(self.progress, Progress::Nothing | Progress::LoggingIn(_)) {
                    return Err(Refusal::bad_request("begin a registration or finish a login first"));
                }
                let bytes = self.staged.bytes_with(&request);
                if !self.room.cover(bytes) {
                    return Err(RetryAfter(CROWDED).into());
                }
                self.staged.stage(request)?;
                self.extend();
                done
            }
            PreAuthRequest::RegisterFinish(request) => {
                let Progress::Registering(started) = self.take_progress() else {
                    return Err(Refusal::bad_request("begin the registration first"));
                };
                let staged = self.staged.take();
                let finished = register::finish(&core, self.proofs, started, staged, request).await;
                let _ = self.room.cover(0);
                finished?;
                done
            }
            PreAuthRequest::LoginStart(request) => {
                self.progress = Progress::Nothing;
                let (started, answer) =
                    login::start(&core, self.network, &self.proofs.exporter, request).await?;
                self.progress = Progress::LoggingIn(Box::new(started));
                // The passphrase is stretched over there now.
                if !std::mem::replace(&mut self.began_login, true) {
                    self.extend();
                }
                Step::Stay(Response::LoginChallenge(answer))
            }
            PreAuthRequest::LoginFinish(request) => {
                let Progress::LoggingIn(started) = self.take_progress() else {
                    return Err(Refusal::bad_request("begin the login first"));
                };
                let (granted, answer) = login::finish(&core, self.network, *started, request).await?;
                self.progress = Progress::LoggedIn(granted);
                self.extend();
                Step::Stay(Response::LoginGranted(answer))
            }
            PreAuthRequest::DeviceAdd(request) => {
                let Progress::LoggedIn(granted) = &self.progress else {
                    return Err(Refusal::bad_request("log in first"));
                };
                let added = login::add_device(&core, granted, self.staged.take(), request).await;
                let _ = self.room.cover(0);
                added?;
                done
            }
        })
    }

    fn take_progress(&mut self) -> Progress {
        std::mem::replace(&mut self.progress, Progress::Nothing)
    }

    /// Who goes on with a registration or a login has time for the next step, up to the end of all of it.
    fn extend(&mut self) {
        self.deadline = self.deadline.max(Instant::now() + patience(&self.wire.core.limits)).min(self.end);
    }

    fn refuse(&mut self, id: u32, refusal: Refusal) {
        Metrics::count(&self.wire.core.metrics.errors, refusal.code.name());
        self.wire.channel.respond(id, &refusal.to_response());
    }
}

fn patience(limits: &Limits) -> Duration {
    Duration::from_secs(limits.unauthenticated_timeout_s)
}

/// Whether a kind that was not understood is one of the protocol's, only not of this state.
fn is_known(error: &FrameError) -> bool {
    match error {
        FrameError::UnknownKind { kind, .. } => Request::KINDS.iter().any(|(known, _)| known == kind),
        _ => false,
    }
}
