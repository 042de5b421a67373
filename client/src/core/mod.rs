//! The machine that decides: requests, frames and time go in, effects come out. No socket, no clock, no randomness of its
//! own, no task: it is what a simulation drives, and it owns the store.
//!
//! | file | what it decides |
//! |---|---|
//! | `effect` | what goes in and out |
//! | `group` | several inputs in one commit |
//! | `work` | one transaction: events and lines that change with it |
//! | `connection` | authentication, requests in flight, the end of connections |
//! | `mailbox`, `receive` | what comes: order, acknowledgement; opening one envelope |
//! | `contents` | what a message that was read means |
//! | `gaps`, `heal` | what is missing, what cannot be read |
//! | `send`, `drain`, `seal`, `outbox`, `sending` | what goes: queueing, encrypting, sealing, handing to the relay, how much at a time |
//! | `lookup`, `lists` | fetching device lists, following them |
//! | `claims` | fetching prekey bundles, opening sessions |
//! | `trust`, `gossip` | changed keys, forked lists, verification |
//! | `contacts` | requests and acceptance |
//! | `receipts` | delivered, read, acknowledged |
//! | `prekeys`, `devices` | this device's prekeys, this account's devices |
//! | `requests`, `queries`, `waits` | what front ends ask, and answering later |
//! | `rooms` | all of the above for rooms |
//! | `upkeep` | what happens by the clock |

mod claims;
mod connection;
mod contacts;
mod contents;
mod devices;
mod drain;
mod effect;
mod fault;
mod gaps;
mod gossip;
mod group;
mod heal;
mod lists;
mod lookup;
mod mailbox;
mod me;
mod outbox;
mod prekeys;
mod queries;
mod receipts;
mod receive;
mod requests;
mod rooms;
mod seal;
mod send;
mod sending;
mod trust;
mod upkeep;
mod waits;
mod work;

pub use effect::{Effect, Input};

use rand_core::CryptoRng;

use self::{
    claims::Claims,
    connection::{Asked, Link},
    fault::{Fault, Faults},
    lookup::Lookups,
    mailbox::Mailbox,
    me::Me,
    rooms::{Loaded, Rooms},
    upkeep::Upkeep,
    waits::Waits,
    work::{Done, Work},
};
use crate::{
    api::{ApiError, Event, EventBody, Kind, time::Timestamp},
    limits::{RETRY_MAX_MS, RETRY_MIN_MS},
    store::Store,
};

/// What the machine cannot know by itself, for `status.show`.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The profile's folder.
    pub profile: String,
    /// Process id of the owner.
    pub pid: u32,
    /// The program's version.
    pub version: String,
}

/// One call of [`Core::handle`].
struct Turn<'t> {
    /// ms since 1970.
    now: u64,
    rng: &'t mut dyn CryptoRng,
    out: Vec<Effect>,
}

/// What has to be looked at again.
#[derive(Debug, Clone, Copy, Default)]
struct Dirty {
    outbox: bool,
    pending: bool,
    lines: bool,
    rooms: bool,
}

/// The machine.
pub struct Core {
    store: Store,
    me: Me,
    facts: Facts,
    link: Link,
    mailbox: Mailbox,
    lookups: Lookups,
    claims: Claims,
    waits: Waits,
    upkeep: Upkeep,
    rooms: Rooms,
    loaded: Loaded,
    dirty: Dirty,
    faults: Faults,
    wake_at: Option<u64>,
}

impl Core {
    /// Takes over a store.
    ///
    /// # Errors
    /// `NotReady` when nobody has joined or logged in with this store yet, or the store fails.
    pub fn new(store: Store, facts: Facts) -> Result<Self, ApiError> {
        let identity = store.read(|tx| tx.identity())?.ok_or_else(|| {
            ApiError::new(Kind::NotReady, "this profile belongs to no account yet").hint("rosa join LINK")
        })?;
        let me = Me::new(identity)?;
        let cursor = store.read(|tx| tx.mailbox_cursor())?;
        let link = Link::new(me.refusal());
        Ok(Self {
            store,
            me,
            facts,
            link,
            mailbox: Mailbox::new(cursor),
            lookups: Lookups::default(),
            claims: Claims::default(),
            waits: Waits::default(),
            upkeep: Upkeep::default(),
            rooms: Rooms::default(),
            loaded: Loaded::default(),
            dirty: Dirty { outbox: true, pending: true, lines: false, rooms: true },
            faults: Faults::default(),
            wake_at: None,
        })
    }

    /// Whether there is any use in connecting: not when the profile is logged out or quarantined.
    #[must_use]
    pub fn may_connect(&self) -> bool {
        self.me.refusal().is_none()
    }

    /// The relay of this profile.
    #[must_use]
    pub const fn relay(&self) -> &subrosa_protocol::RelayAddress {
        &self.me.relay
    }

    /// `alice@relay.example`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.me.address
    }

    /// Deals with one input at `now` (ms since 1970). The effects are to be carried out in their order; everything they
    /// tell of is durable.
    pub fn handle(&mut self, input: Input, now: u64, rng: &mut dyn CryptoRng) -> Vec<Effect> {
        let mut turn = Turn { now, rng, out: Vec::new() };
        if let Err(fault) = self.step(&mut turn, input) {
            self.failed(&mut turn, fault);
        }
        if let Err(fault) = self.pump(&mut turn) {
            self.failed(&mut turn, fault);
        }
        self.look_whether_it_is_over(&mut turn);
        turn.out
    }

    /// When [`Input::Wake`] is due, ms since 1970.
    #[must_use]
    pub const fn wake_at(&self) -> Option<u64> {
        self.wake_at
    }

    /// Whether everything is told that can be told now: receipts that are due within two seconds, acknowledgements,
    /// envelopes in the outbox. Without a connection there is nothing to wait for.
    #[must_use]
    pub fn is_settled(&self, now: u64) -> bool {
        if !self.link.is_up() {
            return true;
        }
        let soon = now.saturating_add(crate::limits::RECEIPT_DELAY_MS);
        let receipts = self.upkeep.receipt_at.is_some_and(|at| at <= soon);
        let outbox =
            self.link.outbox_at.is_none() && self.store.read(|tx| tx.outbox_count()).is_ok_and(|n| n > 0);
        !receipts && !outbox && self.mailbox.is_acknowledged()
    }

    /// The store, to look at.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Ends the machine and gives the store back.
    #[must_use]
    pub fn into_store(self) -> Store {
        self.store
    }

    fn step(&mut self, turn: &mut Turn<'_>, input: Input) -> Result<(), Fault> {
        match input {
            Input::Request { token, request } => {
                self.on_request(turn, token, request);
                Ok(())
            }
            Input::Connecting => {
                self.on_connecting(turn);
                Ok(())
            }
            Input::Up { exporter, nonce, round_trip_ms } => self.on_up(turn, exporter, nonce, round_trip_ms),
            Input::Frame(frame) => self.on_frame(turn, frame),
            Input::RoundTrip(ms) => {
                self.link.round_trip_ms = ms;
                Ok(())
            }
            Input::Down { reason, retry_in_ms } => {
                self.on_down(turn, &reason, retry_in_ms);
                Ok(())
            }
            Input::Blocked(error) => {
                self.on_blocked(turn, error);
                Ok(())
            }
            Input::Wake => Ok(()),
        }
    }

    /// What follows from whatever happened: everything that can be sent is sent, everything that waited is answered.
    fn pump(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.wake_at = None;
        self.heed_contradiction(turn);
        self.expire_requests(turn);
        self.pump_upkeep(turn)?;
        self.pump_receipts(turn)?;
        self.pump_rooms(turn)?;
        if self.link.is_up() {
            self.pump_pending(turn)?;
            self.pump_lookups(turn)?;
            self.pump_claims(turn)?;
            if std::mem::take(&mut self.dirty.outbox) || self.link.outbox_at.is_some_and(|at| at <= turn.now)
            {
                self.link.outbox_at = None;
                self.pump_outbox(turn)?;
            }
            self.pump_mailbox(turn)?;
            self.pump_prekeys(turn)?;
        }
        self.pump_waits(turn)?;
        self.plan_wake();
        Ok(())
    }

    /// One transaction. What it tells of goes out after the commit only (R21).
    fn transact<T>(
        &mut self,
        turn: &mut Turn<'_>,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut done = Done::default();
        let (me, loaded, now, rng) = (&self.me, &self.loaded, turn.now, &mut *turn.rng);
        let online = self.link.is_up();
        let value = self.store.transaction(|tx| {
            let mut w = Work { tx, me, loaded, now, rng, done: &mut done };
            let value = work(&mut w)?;
            drain::drain_all(&mut w)?;
            if !online {
                tx.changed_offline()?;
            }
            Ok::<_, Fault>(value)
        })?;
        self.faults.wrote = true;
        self.dirty.outbox |= done.outbox;
        self.dirty.pending |= done.pending;
        self.dirty.lines |= done.moved;
        self.dirty.rooms |= done.rooms;
        self.rooms.reported.extend(done.broken);
        self.rooms.heads_asked &= !done.ask_heads;
        self.rooms.follows.extend(done.follows);
        self.waits.failed.extend(done.failed);
        self.waits.placed(&done.placed);
        self.lookups.want(done.want_lists, done.want_chains);
        self.lookups.heard(done.heard);
        turn.out.extend(done.events.into_iter().map(Effect::Event));
        Ok(value)
    }

    /// An event that is not stored.
    fn tell(&self, turn: &mut Turn<'_>, body: EventBody) {
        let event =
            Event { v: 1, seq: None, ts: Timestamp(turn.now), account: self.me.address.clone(), body };
        turn.out.push(Effect::Event(event));
    }

    /// Asks to be woken at `at` at the latest.
    fn wake(&mut self, at: u64) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// How long to wait before trying again: as the relay says, or doubling from a second to ten minutes.
fn retry_after(said: Option<u64>, attempts: u32) -> u64 {
    said.unwrap_or_else(|| {
        RETRY_MIN_MS.saturating_mul(1u64.checked_shl(attempts.min(20)).unwrap_or(u64::MAX))
    })
    .clamp(RETRY_MIN_MS, RETRY_MAX_MS)
}
