//! From a content to a sealed envelope in the outbox: binding header, padding, ratchet, seal, and everything that must
//! change with it, in the caller's transaction (R14, R21, R46).

use subrosa_crypto::{
    binding::{self, Conversation, Header, Recipient},
    padding, sealed,
    session::{PeerDevice, SessionError, SessionRecord},
    verify::{bundle::PrekeyBundle, device_list::DeviceEntry},
};
use subrosa_protocol::{
    DeviceId, EnvelopeId, MessageId, Payload, Username,
    content::{Content, Gossip},
};
use zeroize::Zeroizing;

use super::{Fault, work::Work};
use crate::{
    limits::GOSSIP_EVERY,
    store::{KnownList, NewOutbox, Sent},
};

/// A device to which is sent, with its session in hand.
pub(super) struct Target<'l> {
    pub(super) account: &'l Username,
    pub(super) device: DeviceId,
    entry: &'l DeviceEntry,
    list: &'l KnownList,
    record: SessionRecord,
    changed: bool,
    /// The session was opened just now and nothing was sent in it.
    fresh: bool,
}

/// One content on its way out.
pub(super) struct Outgoing {
    pub(super) message: MessageId,
    /// The other side of the conversation it belongs to; the own account when it belongs to none.
    pub(super) chat: Username,
    pub(super) content: Content,
}

impl<'l> Target<'l> {
    /// `None` when the list does not have the device.
    pub(super) fn open(
        w: &mut Work<'_>,
        account: &'l Username,
        device: DeviceId,
        list: &'l KnownList,
    ) -> Result<Option<Self>, Fault> {
        let Some(entry) = list.list.device(device.get()) else { return Ok(None) };
        let mut record = load(w, account, device)?;
        record.expire(w.now);
        let fresh = w.done.fresh.contains(&(account.clone(), device));
        Ok(Some(Self { account, device, entry, list, record, changed: false, fresh }))
    }

    pub(super) fn has_session(&self) -> bool {
        self.record.has_active()
    }

    pub(super) const fn entry(&self) -> &DeviceEntry {
        self.entry
    }

    /// Opens a session from a bundle that was verified.
    pub(super) fn initiate(&mut self, w: &mut Work<'_>, bundle: &PrekeyBundle) -> Result<(), SessionError> {
        let (Ok(local), peer) = (w.me.local(), self.peer()) else { return Err(SessionError::NoSession) };
        self.record.initiate(&local, &peer, bundle, w.now, &mut w.rng)?;
        self.changed = true;
        Ok(())
    }

    pub(super) fn peer(&self) -> PeerDevice<'l> {
        peer_device(self.account, self.list.list.account_key, self.entry)
    }

    /// Stores the session when it was used.
    pub(super) fn close(self, w: &Work<'_>) -> Result<(), Fault> {
        if self.changed {
            w.tx.put_session(self.account, self.device, &self.record.to_bytes(), w.now)?;
        }
        Ok(())
    }

    /// Encrypts a content as the next envelope of the chain to this device. The caller has checked that there is a session.
    pub(super) fn send(&mut self, w: &mut Work<'_>, outgoing: Outgoing) -> Result<(), Fault> {
        let sent = self.next(w, outgoing)?;
        self.envelop(w, &sent)
    }

    /// The same, for an envelope that travels with something else than the outbox: its id, ciphertext and counter.
    pub(super) fn seal(
        &mut self,
        w: &mut Work<'_>,
        outgoing: Outgoing,
    ) -> Result<(EnvelopeId, Vec<u8>, u64), Fault> {
        let sent = self.next(w, outgoing)?;
        let sealed = self.encrypt(w, &sent)?;
        Ok((w.random_envelope_id(), sealed, sent.counter))
    }

    /// The next message of the chain to this device.
    fn next(&mut self, w: &mut Work<'_>, outgoing: Outgoing) -> Result<Sent, Fault> {
        let chain = w.tx.outgoing_chain(self.account, self.device)?;
        let counter = chain.counter.saturating_add(1);
        let due = self.fresh || counter % GOSSIP_EVERY == 1;
        let gossip = if due { self.gossip(w)? } else { None };
        if std::mem::take(&mut self.fresh) {
            w.done.fresh.remove(&(self.account.clone(), self.device));
        }
        let payload = Payload { gossip, content: outgoing.content };
        let payload = payload.encode().map_err(|_| Fault::Internal("payload"))?;
        let header = Header {
            sender_account: w.me.account.to_string(),
            sender_account_key: w.me.account_key,
            sender_device: w.me.device.get(),
            recipient: Recipient::Device {
                account: self.account.to_string(),
                account_key: self.list.list.account_key,
                device: self.device.get(),
            },
            conversation: Conversation::direct(w.me.account.as_str(), outgoing.chat.as_str()),
            message_id: *outgoing.message.as_bytes(),
            counter,
            prev_hash: chain.last_hash,
        };
        let plaintext = binding::encode(&header, &payload);
        let hash = binding::message_hash(&plaintext);
        if w.tx.advance_outgoing(self.account, self.device, &hash)? != counter {
            return Err(Fault::Internal("sender counter"));
        }
        let sent = Sent { counter, message: outgoing.message, plaintext: Zeroizing::new(plaintext) };
        w.tx.put_sent(self.account, self.device, &sent, w.now)?;
        Ok(sent)
    }

    /// Encrypts the very message that was sent under a counter: the first time, or once more because the device asked for
    /// it.
    pub(super) fn envelop(&mut self, w: &mut Work<'_>, sent: &Sent) -> Result<(), Fault> {
        let sealed = self.encrypt(w, sent)?;
        let envelope = w.random_envelope_id();
        w.tx.push_outbox(&NewOutbox {
            account: self.account,
            device: self.device,
            envelope,
            sealed: &sealed,
            message: sent.message,
            counter: sent.counter,
            queued_at: w.now,
        })?;
        w.done.outbox = true;
        Ok(())
    }

    fn encrypt(&mut self, w: &mut Work<'_>, sent: &Sent) -> Result<Vec<u8>, Fault> {
        let padded = padding::pad(sent.plaintext.to_vec()).map_err(|_| Fault::Internal("padding"))?;
        let padded = Zeroizing::new(padded);
        let peer = self.peer();
        let local = w.me.local()?;
        self.changed = true;
        let inner = self
            .record
            .encrypt(&local, &peer, &padded, w.now, &mut w.rng)
            .map_err(|_: SessionError| Fault::Internal("encryption"))?;
        sealed::seal(
            &self.entry.sealing_key,
            self.account.as_str(),
            self.device.get(),
            w.me.account.as_str(),
            w.me.device.get(),
            &inner,
            &mut w.rng,
        )
        .map_err(|_| Fault::Internal("sealing"))
    }

    /// The heads of both lists (R29).
    fn gossip(&self, w: &Work<'_>) -> Result<Option<Gossip>, Fault> {
        let Some(own) = w.tx.device_list(&w.me.account)? else { return Ok(None) };
        Ok(Some(Gossip { own: (own.list.version, own.hash), peer: (self.list.list.version, self.list.hash) }))
    }
}

/// The sessions with a peer device. A record that does not parse any more counts as none: the session heals.
pub(super) fn load(w: &Work<'_>, account: &Username, device: DeviceId) -> Result<SessionRecord, Fault> {
    let bytes = w.tx.session(account, device)?;
    Ok(bytes.and_then(|bytes| SessionRecord::from_bytes(&bytes).ok()).unwrap_or_default())
}

/// A device as a session knows it.
pub(super) fn peer_device<'l>(
    account: &'l Username,
    account_key: [u8; 32],
    entry: &DeviceEntry,
) -> PeerDevice<'l> {
    PeerDevice {
        account: account.as_str(),
        account_key,
        device_id: entry.device_id,
        identity_key: entry.identity_key,
    }
}
