//! The connection to the relay as the machine sees it: authentication, requests in flight, and how it ends.

use std::collections::HashMap;

use serde_bytes::ByteArray;
use subrosa_crypto::verify::{auth::AuthTranscript, device_list::SignedDeviceList, prekey::PrekeyKind};
use subrosa_protocol::{
    DeviceId, ErrorCode, SafeText, Username,
    frames::{
        Authenticate, Authenticated, CloseReason, ErrorFrame, FromRelay, PreAuthRequest, PrekeyCounts, Push,
        Reauthenticate, Request, Response,
    },
};

use super::{Core, Effect, Fault, Turn, fault::own_reason, sending::Sending, waits::NOT_DONE};
use crate::{
    api::{ApiError, ConnectionState, EventBody, Kind, Trust},
    limits::REQUEST_TIMEOUT_MS,
    net::refused,
    store::Progress,
};

/// What a request in flight was for.
#[derive(Debug)]
pub(super) enum Asked {
    Authenticate,
    Reauthenticate,
    Lists { account: Username, chain: Vec<SignedDeviceList>, whole: bool },
    Claim { account: Username },
    Upload { published: Vec<(PrekeyKind, Vec<u32>)> },
    Publish(super::devices::Publishing),
    Send { account: Username, device: DeviceId, rows: Vec<i64> },
    Fetch,
    Ack,
    Room(Box<super::rooms::RoomAsked>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Down,
    Authenticating,
    Up,
    /// The connection was given up; frames that still come are of no interest.
    Dropping,
    Blocked,
}

/// The connection.
pub(super) struct Link {
    phase: Phase,
    pub(super) shown: ConnectionState,
    pub(super) round_trip_ms: u32,
    pub(super) prekeys: Option<PrekeyCounts>,
    /// Envelopes in flight.
    pub(super) sending: Sending,
    /// When an envelope that was put off may be sent again.
    pub(super) outbox_at: Option<u64>,
    /// The own fault for which this connection was given up.
    pub(super) given_up_for: Option<ApiError>,
    /// Connections that failed since the last one that worked.
    pub(super) failures: u32,
    exporter: [u8; 32],
    next_id: u32,
    asked: HashMap<u32, (Asked, u64)>,
}

impl Link {
    /// Looks at the outbox by then.
    pub(super) fn wake_outbox(&mut self, at: u64) {
        self.outbox_at = Some(self.outbox_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn new(refusal: Option<ApiError>) -> Self {
        let (phase, shown) = match refusal {
            Some(error) => (Phase::Blocked, ConnectionState::Blocked { error }),
            None => (Phase::Down, ConnectionState::Connecting {}),
        };
        Self {
            phase,
            shown,
            round_trip_ms: 0,
            prekeys: None,
            sending: Sending::default(),
            outbox_at: None,
            given_up_for: None,
            failures: 0,
            exporter: [0; 32],
            next_id: 0,
            asked: HashMap::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Whether there is a connection to be given up.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Authenticating | Phase::Up)
    }

    /// Whether a challenge was answered and the relay has not said yes yet.
    fn is_proving(&self) -> bool {
        self.asked.values().any(|(asked, _)| matches!(asked, Asked::Reauthenticate))
    }

    /// How the connection is, for people.
    pub(super) fn state(&self) -> ConnectionState {
        match &self.shown {
            ConnectionState::Up { transport, .. } => {
                ConnectionState::Up { transport: transport.clone(), rtt_ms: self.round_trip_ms }
            }
            other => other.clone(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.asked.values().map(|(_, deadline)| *deadline).min()
    }
}

impl Core {
    /// Sends a request to the relay.
    pub(super) fn ask(&mut self, turn: &mut Turn<'_>, asked: Asked, request: &Request) -> Result<(), Fault> {
        let id = self.remember(turn, asked);
        let frame = request.to_raw(id).map_err(|_| Fault::Internal("frame"))?;
        turn.out.push(Effect::Send(frame));
        Ok(())
    }

    fn remember(&mut self, turn: &Turn<'_>, asked: Asked) -> u32 {
        self.link.next_id = self.link.next_id.wrapping_add(1).max(1);
        let deadline = turn.now.saturating_add(REQUEST_TIMEOUT_MS);
        self.link.asked.insert(self.link.next_id, (asked, deadline));
        self.link.next_id
    }

    pub(super) fn on_connecting(&mut self, turn: &mut Turn<'_>) {
        if self.me.refusal().is_some() {
            return;
        }
        self.forget_connection(turn);
        self.link.phase = Phase::Down;
        self.link.shown = ConnectionState::Connecting {};
    }

    pub(super) fn on_up(
        &mut self,
        turn: &mut Turn<'_>,
        exporter: [u8; 32],
        nonce: [u8; 32],
        round_trip_ms: u32,
    ) -> Result<(), Fault> {
        self.forget_connection(turn);
        let Ok(secrets) = self.me.secrets() else {
            turn.out.push(Effect::Block);
            return Ok(());
        };
        self.link.phase = Phase::Authenticating;
        self.link.given_up_for = None;
        self.link.exporter = exporter;
        self.link.round_trip_ms = round_trip_ms;
        let transcript = AuthTranscript {
            exporter,
            nonce,
            account: self.me.account.as_str(),
            device_id: self.me.device.get(),
        };
        let signature = ByteArray::new(secrets.sign_auth(&transcript));
        let request = PreAuthRequest::Authenticate(Authenticate {
            account: self.me.account.clone(),
            device: self.me.device,
            signature,
        });
        let id = self.remember(turn, Asked::Authenticate);
        let frame = request.to_raw(id).map_err(|_| Fault::Internal("frame"))?;
        turn.out.push(Effect::Send(frame));
        Ok(())
    }

    pub(super) fn on_frame(&mut self, turn: &mut Turn<'_>, frame: FromRelay) -> Result<(), Fault> {
        if !matches!(self.link.phase, Phase::Authenticating | Phase::Up) {
            return Ok(());
        }
        match frame {
            FromRelay::Response(id, response) => match self.link.asked.remove(&id) {
                Some((asked, _)) => self.on_response(turn, asked, response),
                None => Ok(()),
            },
            FromRelay::Push(push) => self.on_push(turn, push),
            FromRelay::Skipped(_) => Ok(()),
        }
    }

    fn on_response(&mut self, turn: &mut Turn<'_>, asked: Asked, response: Response) -> Result<(), Fault> {
        match asked {
            Asked::Authenticate => match response {
                Response::Authenticated(state) => self.on_authenticated(turn, &state),
                Response::Error(frame) => {
                    self.on_not_authenticated(turn, &frame);
                    Ok(())
                }
                _ => Err(Fault::Relay("another answer to a proof than there is")),
            },
            Asked::Reauthenticate => match response {
                Response::Done(_) => Ok(()),
                _ => {
                    self.drop_connection(turn);
                    Ok(())
                }
            },
            Asked::Lists { account, chain, whole } => self.on_lists(turn, account, chain, whole, response),
            Asked::Claim { account } => self.on_bundles(turn, &account, response),
            Asked::Upload { published } => self.on_uploaded(turn, &published, response),
            Asked::Publish(publishing) => self.on_published(turn, publishing, response),
            Asked::Send { account, device, rows } => self.on_sent(turn, account, device, &rows, response),
            Asked::Fetch => self.on_page(turn, response),
            Asked::Room(asked) => self.on_room_response(turn, *asked, response),
            Asked::Ack => {
                self.on_acked(turn, &response);
                Ok(())
            }
        }
    }

    fn on_push(&mut self, turn: &mut Turn<'_>, push: Push) -> Result<(), Fault> {
        match push {
            Push::Deliver(envelope) => self.on_deliver(turn, envelope),
            Push::SyncHint(_) => {
                self.mailbox.hint();
                Ok(())
            }
            Push::PrekeysLow(counts) => {
                self.link.prekeys = Some(counts);
                self.upkeep.prekeys_at = self.upkeep.refill_after;
                Ok(())
            }
            // Proofs are not given faster than the relay takes them.
            Push::ReauthChallenge(_) if self.link.is_proving() => {
                Err(Fault::Relay("a challenge while the one before is not answered"))
            }
            Push::ReauthChallenge(challenge) => {
                let transcript = AuthTranscript {
                    exporter: self.link.exporter,
                    nonce: challenge.nonce.into_array(),
                    account: self.me.account.as_str(),
                    device_id: self.me.device.get(),
                };
                let signature = ByteArray::new(self.me.secrets()?.sign_auth(&transcript));
                self.ask(turn, Asked::Reauthenticate, &Request::Reauthenticate(Reauthenticate { signature }))
            }
            Push::DeviceListChanged(_) => {
                self.lookups.want([self.me.account.clone()].into(), [].into());
                Ok(())
            }
            Push::Closing(closing) => {
                self.on_closing(turn, closing.reason);
                Ok(())
            }
            Push::KeyPackagesLow(_)
            | Push::RoomDeliver(_)
            | Push::RoomHint(_)
            | Push::RoomSignal(_)
            | Push::RoomChanged(_) => self.on_room_push(turn, push),
        }
    }

    fn on_authenticated(&mut self, turn: &mut Turn<'_>, state: &Authenticated) -> Result<(), Fault> {
        let (generation, own_version) = self.store.read(|tx| {
            let own = tx.device_list(&self.me.account)?.map_or(0, |known| known.list.version);
            Ok::<_, Fault>((tx.generation_shown()?, own))
        })?;
        if state.generation > generation {
            return self.quarantine(turn);
        }
        self.link.phase = Phase::Up;
        self.link.failures = 0;
        self.link.prekeys = Some(state.prekeys);
        self.link.shown = ConnectionState::Up { transport: "quic".into(), rtt_ms: self.link.round_trip_ms };
        self.tell(turn, EventBody::ConnectionUp { connection: self.link.state() });
        self.transact(turn, |w| {
            for peer in w.tx.peers()? {
                // The relay may show the trusted key again.
                if peer.trust == Trust::Changed {
                    w.done.want_chains.insert(peer.account);
                }
            }
            w.tx.online()?;
            w.tx.retry_rooms_now()?;
            Ok(w.tx.retry_outbox_now()?)
        })?;
        self.mailbox_went_back(turn, state.next_seq)?;
        if state.list_version > own_version {
            self.lookups.want([self.me.account.clone()].into(), [].into());
        }
        self.mailbox.on_up(state.next_seq);
        self.lookups.on_up();
        self.claims.on_up();
        self.dirty.outbox = true;
        self.dirty.pending = true;
        self.dirty.rooms = true;
        Ok(())
    }

    /// R23: the relay has seen a newer state of this device than this one.
    fn quarantine(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.transact(turn, |w| Ok(w.tx.set_progress(&Progress::Quarantined)?))?;
        self.me.retired = Some(super::me::Retired::Quarantined);
        if let Some(error) = self.me.refusal() {
            self.block(turn, error);
        }
        Ok(())
    }

    fn on_not_authenticated(&mut self, turn: &mut Turn<'_>, frame: &ErrorFrame) {
        match frame.code {
            ErrorCode::AuthenticationFailed | ErrorCode::LoginRequired | ErrorCode::UnsupportedVersion => {
                self.block(turn, refused(frame));
            }
            _ => self.drop_connection(turn),
        }
    }

    fn on_closing(&mut self, turn: &mut Turn<'_>, reason: CloseReason) {
        match reason {
            CloseReason::Revoked if self.waits.logging_out.is_some() => self.finish_logout(turn),
            CloseReason::Revoked => self.block(turn, said_to_be_removed()),
            CloseReason::Replaced => {
                let error = ApiError::new(Kind::NotReady, "this device is connected from somewhere else")
                    .hint("a copy of this profile may be in use; /reconnect takes over");
                self.block(turn, error);
            }
            _ => {}
        }
    }

    /// Nothing is sent or received before a person acts.
    pub(super) fn block(&mut self, turn: &mut Turn<'_>, error: ApiError) {
        turn.out.push(Effect::Block);
        self.on_blocked(turn, error);
    }

    pub(super) fn on_blocked(&mut self, turn: &mut Turn<'_>, error: ApiError) {
        self.forget_connection(turn);
        self.link.phase = Phase::Blocked;
        self.link.shown = ConnectionState::Blocked { error: error.clone() };
        self.tell(turn, EventBody::ConnectionDown { connection: self.link.state() });
        self.waits.fail_relay(turn, &error);
        self.dirty.lines = true;
    }

    /// Something went wrong with this connection: a new one may do better.
    pub(super) fn drop_connection(&mut self, turn: &mut Turn<'_>) {
        if self.link.is_open() {
            self.link.phase = Phase::Dropping;
            turn.out.push(Effect::Drop);
        }
    }

    pub(super) fn on_down(&mut self, turn: &mut Turn<'_>, reason: &str, retry_in_ms: u64) {
        if self.link.phase == Phase::Blocked {
            return;
        }
        self.forget_connection(turn);
        self.link.phase = Phase::Down;
        self.link.failures = self.link.failures.saturating_add(1);
        let own = self.link.given_up_for.take();
        let reason = own.as_ref().map_or_else(|| SafeText::single_line(reason), own_reason);
        self.link.shown = ConnectionState::Down { reason: reason.clone(), retry_in_ms };
        self.tell(turn, EventBody::ConnectionDown { connection: self.link.state() });
        match own {
            Some(error) => self.waits.fail_relay(turn, &error),
            None if self.link.failures > 1 => {
                let error = ApiError::new(Kind::Unreachable, reason.as_str()).hint(NOT_DONE);
                self.waits.fail_relay(turn, &error);
            }
            None => {}
        }
    }

    /// Requests in flight will not be answered any more. Most are made again by themselves; who waits for one that is not,
    /// is told.
    pub(super) fn forget_connection(&mut self, turn: &mut Turn<'_>) {
        for (asked, _) in std::mem::take(&mut self.link.asked).into_values() {
            match asked {
                Asked::Publish(publishing) => self.not_published(turn, &publishing),
                Asked::Room(asked) => Self::room_unanswered(turn, &asked),
                _ => {}
            }
        }
        self.link.sending.broke();
        self.mailbox.on_down();
        self.lookups.on_down();
        self.claims.on_down();
        self.upkeep.on_down();
        self.fail_creating(turn);
        self.rooms.on_down();
    }

    /// An unanswered request means that the connection is dead.
    pub(super) fn expire_requests(&mut self, turn: &mut Turn<'_>) {
        if self.link.next_deadline().is_some_and(|deadline| deadline <= turn.now) {
            self.forget_connection(turn);
            self.drop_connection(turn);
        }
    }
}

/// The relay says so, and a relay may lie: the list that would prove it was not seen.
fn said_to_be_removed() -> ApiError {
    ApiError::new(Kind::NotReady, "the relay says that this device was removed from its account")
        .hint("ask your other devices; /reconnect tries again; otherwise log in as a new device: rosa login --profile NAME")
}

/// The account's own list, signed, does not have this device any more.
pub(super) fn removed() -> ApiError {
    ApiError::new(Kind::NotReady, "this device was removed from its account")
        .hint("log in as a new device: rosa login --profile NAME; the messages stored here stay readable")
}
