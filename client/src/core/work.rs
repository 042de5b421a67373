//! One transaction of the machine: what every rule works with.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, RoomId, SafeText, Username};

use super::{
    Fault,
    gossip::Heard,
    me::Me,
    rooms::{Act, Loaded},
};
use crate::{
    api::{
        ApiError, Contact, Direction, Event, EventBody, FailureReason, Message, MessageEvent, MessageKind,
        MessageState, Receipted, Trust, time::Timestamp,
    },
    store::{KnownList, NewMessage, Peer, Tx},
};

/// What is told once the transaction is durable.
#[derive(Default)]
pub(super) struct Done {
    pub(super) events: Vec<Event>,
    /// Lines whose state may have changed.
    pub(super) moved: bool,
    /// Lines that have another place in their chat: before, and now.
    pub(super) placed: Vec<(i64, i64)>,
    /// Lines that were given up, and why.
    pub(super) failed: Vec<(i64, ApiError)>,
    /// Something was put into the outbox.
    pub(super) outbox: bool,
    /// Something waits for a device list or a session.
    pub(super) pending: bool,
    /// Somebody was invited to a room.
    pub(super) rooms: bool,
    /// Rooms whose log cannot be followed any more, here or for a member.
    pub(super) broken: BTreeSet<RoomId>,
    /// This device may have been taken out of a room and added again: the relay is asked how its rooms stand.
    pub(super) ask_heads: bool,
    /// Changes of rooms that follow from what was received.
    pub(super) follows: Vec<(RoomId, Act)>,
    /// Accounts of which a newer device list is said to exist.
    pub(super) want_lists: BTreeSet<Username>,
    /// Accounts whose whole chain must be compared with what is known.
    pub(super) want_chains: BTreeSet<Username>,
    /// What others say about device lists.
    pub(super) heard: Heard,
    /// Accounts for which more may be encrypted now; done at the end of the transaction.
    pub(super) drains: BTreeSet<Username>,
    /// Devices with which a session was opened and nothing was sent in it yet.
    pub(super) fresh: BTreeSet<(Username, DeviceId)>,
}

pub(super) struct Work<'w> {
    pub(super) tx: &'w Tx<'w>,
    pub(super) me: &'w Me,
    /// Groups of rooms that were read before.
    pub(super) loaded: &'w Loaded,
    pub(super) now: u64,
    pub(super) rng: &'w mut dyn CryptoRng,
    pub(super) done: &'w mut Done,
}

impl Work<'_> {
    /// Appends an event to the log; it is told after the commit.
    pub(super) fn emit(&mut self, body: EventBody) -> Result<(), Fault> {
        let event = self.tx.append_event(&self.me.address, Timestamp(self.now), body)?;
        self.done.events.push(event);
        Ok(())
    }

    pub(super) fn random_message_id(&mut self) -> MessageId {
        MessageId::from_bytes(self.random())
    }

    pub(super) fn random_envelope_id(&mut self) -> EnvelopeId {
        EnvelopeId::from_bytes(self.random())
    }

    pub(super) fn random(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn is_me(&self, account: &Username) -> bool {
        *account == self.me.account
    }

    /// The verified device list of an account, if it is one of the key that is trusted for it.
    pub(super) fn list(&self, account: &Username) -> Result<Option<KnownList>, Fault> {
        let Some(known) = self.tx.device_list(account)? else { return Ok(None) };
        let trusted = if self.is_me(account) {
            Some(self.me.account_key)
        } else {
            self.tx.peer(account)?.and_then(|peer| peer.account_key)
        };
        Ok(Some(known).filter(|known| Some(known.list.account_key) == trusted))
    }

    /// Whether the account has devices beside this one.
    pub(super) fn has_other_devices(&self) -> Result<bool, Fault> {
        Ok(self.list(&self.me.account)?.is_some_and(|own| own.list.devices.len() > 1))
    }

    /// Whether `at` is less than `within_ms` milliseconds ago. A time ahead, which was written before the clock was set
    /// back, is not.
    pub(super) const fn is_recent(&self, at: u64, within_ms: u64) -> bool {
        at <= self.now && self.now < at.saturating_add(within_ms)
    }

    /// An account, new when it is not known.
    pub(super) fn peer(&self, account: &Username) -> Result<Peer, Fault> {
        Ok(self.tx.peer(account)?.unwrap_or_else(|| Peer::new(account.clone(), self.now)))
    }

    pub(super) fn contact(&self, account: &Username) -> Result<Contact, Fault> {
        self.tx.contact(account)?.ok_or_else(|| super::contacts::no_such_contact(account).into())
    }

    /// A line of the program itself in the chat with an account; its place.
    pub(super) fn notice(
        &mut self,
        account: &Username,
        device: u32,
        kind: MessageKind,
    ) -> Result<Option<i64>, Fault> {
        let id = self.random_message_id();
        let stored = self.tx.insert_message(&NewMessage {
            id,
            chat: account.into(),
            direction: Direction::Notice,
            from: account.clone(),
            device,
            kind,
            reply_to: None,
            sent_at: Timestamp(self.now),
            stored_at: Timestamp(self.now),
            state: MessageState::Read,
            reason: None,
            verified: false,
            key: None,
            mention: false,
        })?;
        Ok(stored.map(|line| line.order))
    }

    /// An own line by the id it is sent under; `None` for receipts and the like.
    pub(super) fn own_line(&self, id: MessageId) -> Result<Option<Message>, Fault> {
        Ok(self.tx.message_from(&self.me.account, id)?)
    }

    /// Sets whether and why an own line waits, where that is news.
    pub(super) fn hold_line(
        &mut self,
        id: MessageId,
        state: MessageState,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let Some(line) = self.own_line(id)? else { return Ok(()) };
        if !matches!(line.state, MessageState::Held | MessageState::Queued) {
            return Ok(());
        }
        let reason = reason.map(SafeText::single_line);
        if line.state != state || line.reason != reason {
            self.tx.set_message_state(line.order, state, reason.as_ref())?;
            self.done.moved = true;
        }
        Ok(())
    }

    /// Moves an own line forward and tells so.
    pub(super) fn advance_line(&mut self, id: MessageId, state: MessageState) -> Result<(), Fault> {
        let Some(line) = self.own_line(id)? else { return Ok(()) };
        if line.direction != Direction::Out || self.tx.advance_message(line.order, state)?.is_none() {
            return Ok(());
        }
        self.done.moved = true;
        let message = Receipted { id: line.id, chat: line.chat, by: None, receipts: None };
        match state {
            MessageState::Accepted => self.emit(EventBody::MessageAccepted { message }),
            MessageState::Delivered => self.emit(EventBody::MessageDelivered { message }),
            MessageState::Read => self.emit(EventBody::MessageRead { message }),
            _ => Ok(()),
        }
    }

    /// An own line stands in a room's log now, and in the chat where the log has it.
    pub(super) fn place_line(&mut self, id: MessageId) -> Result<(), Fault> {
        let Some(line) = self.own_line(id)? else { return Ok(()) };
        for (before, order) in self.tx.place_last(line.order)? {
            self.done.placed.push((before, order));
            let Some(line) = self.tx.message_at(order)? else { continue };
            self.emit(EventBody::MessageMoved { id: line.id, chat: line.chat, order })?;
        }
        Ok(())
    }

    /// Gives an own line up.
    pub(super) fn fail_line(&mut self, id: MessageId, error: &ApiError) -> Result<(), Fault> {
        let Some(line) = self.own_line(id)? else { return Ok(()) };
        if !matches!(line.state, MessageState::Held | MessageState::Queued) {
            return Ok(());
        }
        self.tx.set_message_state(line.order, MessageState::Failed, Some(&error.message))?;
        self.done.moved = true;
        self.done.failed.push((line.order, error.clone()));
        let failure = FailureReason { id: line.id, chat: Some(line.chat), error: Some(error.clone()) };
        self.emit(EventBody::MessageFailed { failure })
    }
}

/// The event that tells of a text.
pub(super) fn message_event(line: &Message) -> MessageEvent {
    let text = match &line.kind {
        MessageKind::Text { text } => text.clone(),
        _ => SafeText::default(),
    };
    MessageEvent {
        id: line.id.clone(),
        chat: line.chat.clone(),
        from: line.from.clone(),
        device: line.device,
        text,
        reply_to: line.reply_to.clone(),
        expires_at: None,
        verified: line.verified,
        replay: false,
        files: Vec::new(),
        sent_at: line.sent_at,
        order: line.order,
        mention: false,
    }
}

/// The device ids of a list, as far as they are ones.
pub(super) fn devices_of(known: &KnownList) -> Vec<DeviceId> {
    known.list.devices.iter().filter_map(|entry| DeviceId::new(entry.device_id).ok()).collect()
}

/// Whether messages of this account are marked as verified.
pub(super) fn is_verified(peer: &Peer) -> bool {
    peer.trust == Trust::Verified
}
