//! One envelope: opened, decrypted, checked, understood; in the caller's transaction. Whatever is wrong with it, the
//! envelope is dealt with and acknowledged; what cannot be read is told, what does not fit is counted, nothing is shown
//! that its session does not vouch for (R14, R16).

use subrosa_crypto::{
    binding::{self, Expected, Party},
    padding,
    prekeys::PrekeySecret,
    sealed,
    session::{Decrypted, PrekeySource, SessionError},
    verify::{device_list::DeviceEntry, prekey::PrekeyKind},
};
use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, Payload, Username, frames::MailboxEnvelope};
use zeroize::Zeroizing;

use super::{Fault, contents, gaps, gossip, heal, seal, work::Work};
use crate::{
    api::Trust,
    store::{Counter, KnownList, NewDeferred, StoreError, Tx},
};

/// The device that sent a message, as its session vouches for it.
pub(super) struct Sender {
    pub(super) account: Username,
    pub(super) device: DeviceId,
}

/// A message whose header fits its session.
pub(super) struct Read {
    pub(super) message: MessageId,
    /// The other side of the conversation: of a copy from an own device, whom it was written to.
    pub(super) chat: Username,
    pub(super) counter: u64,
    pub(super) prev_hash: [u8; 32],
    pub(super) hash: [u8; 32],
}

/// An envelope on its way in.
struct Envelope<'e> {
    id: EnvelopeId,
    accepted_at: u64,
    sealed: &'e [u8],
    /// It was put aside before: its sender's list is as new as can be.
    again: bool,
}

/// An envelope from the mailbox.
pub(super) fn take(w: &mut Work<'_>, envelope: &MailboxEnvelope) -> Result<(), Fault> {
    if !w.tx.see_envelope(envelope.id, w.now)? {
        return Ok(w.tx.count(Counter::DiscardedDuplicate)?);
    }
    let envelope = Envelope {
        id: envelope.id,
        accepted_at: envelope.accepted_at,
        sealed: &envelope.sealed,
        again: false,
    };
    alone(w, &envelope)
}

/// The envelopes of an account that were put aside because its list was not known or not new enough.
pub(super) fn take_deferred(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if w.tx.peer(account)?.is_some_and(|peer| peer.trust == Trust::Changed) {
        return Ok(());
    }
    for deferred in w.tx.deferred_from(account, usize::MAX)? {
        w.tx.remove_deferred(deferred.id)?;
        let envelope = Envelope {
            id: deferred.envelope,
            accepted_at: deferred.accepted_at,
            sealed: &deferred.sealed,
            again: true,
        };
        alone(w, &envelope)?;
    }
    Ok(())
}

/// One envelope must never keep the others back: what the store refuses of it alone is undone and counted.
fn alone(w: &mut Work<'_>, envelope: &Envelope<'_>) -> Result<(), Fault> {
    let tx = w.tx;
    let told = w.done.events.len();
    match tx.attempt(|_| open(w, envelope)) {
        Err(fault) if fault.is_of_one_row() => {
            tracing::warn!(%fault, "an envelope was not stored");
            w.done.events.truncate(told);
            Ok(tx.count(Counter::DiscardedMismatch)?)
        }
        other => other,
    }
}

fn open(w: &mut Work<'_>, envelope: &Envelope<'_>) -> Result<(), Fault> {
    let (account, device) = (w.me.account.as_str(), w.me.device.get());
    let Ok(opened) = sealed::open(w.me.secrets()?, account, device, envelope.sealed) else {
        return Ok(w.tx.count(Counter::DiscardedSealed)?);
    };
    let (Ok(account), Ok(device)) =
        (Username::new(opened.sender_account), DeviceId::new(opened.sender_device))
    else {
        return Ok(w.tx.count(Counter::DiscardedSealed)?);
    };
    let sender = Sender { account, device };
    if w.is_me(&sender.account) && sender.device == w.me.device {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    }
    if !envelope.again && w.tx.has_deferred(&sender.account)? {
        return defer(w, &sender, envelope);
    }
    let Some(known) = w.list(&sender.account)? else { return defer(w, &sender, envelope) };
    match known.list.device(sender.device.get()).cloned() {
        Some(entry) => decrypt(w, &sender, &known, &entry, envelope, &opened.message),
        // Even the newest list does not have the device: nobody vouches for it.
        None if envelope.again => Ok(w.tx.count(Counter::DiscardedMismatch)?),
        None => defer(w, &sender, envelope),
    }
}

/// Puts an envelope aside until its sender's list was fetched.
fn defer(w: &mut Work<'_>, sender: &Sender, envelope: &Envelope<'_>) -> Result<(), Fault> {
    let stored = w.tx.defer_envelope(&NewDeferred {
        envelope: envelope.id,
        account: &sender.account,
        device: sender.device,
        sealed: envelope.sealed,
        accepted_at: envelope.accepted_at,
        next_try: 0,
        stored_at: w.now,
    })?;
    w.done.pending = true;
    if stored { Ok(()) } else { Ok(w.tx.count(Counter::DiscardedDeferred)?) }
}

fn decrypt(
    w: &mut Work<'_>,
    sender: &Sender,
    known: &KnownList,
    entry: &DeviceEntry,
    envelope: &Envelope<'_>,
    message: &[u8],
) -> Result<(), Fault> {
    let peer = seal::peer_device(&sender.account, known.list.account_key, entry);
    let mut record = seal::load(w, &sender.account, sender.device)?;
    let mut prekeys = StoredPrekeys { tx: w.tx, failed: None };
    let local = w.me.local()?;
    let decrypted = record.decrypt(&local, &peer, message, &mut prekeys, w.now, &mut w.rng);
    if let Some(error) = prekeys.failed {
        return Err(error.into());
    }
    let decrypted = match decrypted {
        Ok(decrypted) => decrypted,
        Err(SessionError::Duplicate) => return Ok(w.tx.count(Counter::DiscardedDuplicate)?),
        Err(SessionError::Replay) => return heal::replayed(w, sender),
        // Broken or hostile: there is nothing to mend.
        Err(SessionError::NonContributory(_)) => return Ok(w.tx.count(Counter::DiscardedMismatch)?),
        // The sender's key changed: what the new one wrote is read once a person trusts it.
        Err(_) if w.tx.peer(&sender.account)?.is_some_and(|peer| peer.trust == Trust::Changed) => {
            return defer(w, sender, envelope);
        }
        Err(error) => return heal::undecryptable(w, sender, envelope.id, error),
    };
    w.tx.put_session(&sender.account, sender.device, &record.to_bytes(), w.now)?;
    used_up(w, sender, &decrypted)?;
    understand(w, sender, known, &decrypted.plaintext)
}

/// What an initial message used is gone (R15).
fn used_up(w: &Work<'_>, sender: &Sender, decrypted: &Decrypted) -> Result<(), Fault> {
    if let Some(id) = decrypted.consumed_one_time {
        w.tx.delete_prekey(PrekeyKind::OneTimeEc, id)?;
    }
    if let Some(id) = decrypted.consumed_kem {
        w.tx.delete_prekey(PrekeyKind::OneTimeKem, id)?;
    }
    if let Some(base_key) = &decrypted.base_key {
        w.tx.remember_base_key(&sender.account, sender.device, base_key, w.now)?;
    }
    Ok(())
}

fn understand(w: &mut Work<'_>, sender: &Sender, known: &KnownList, padded: &[u8]) -> Result<(), Fault> {
    let peer = Party {
        account: sender.account.as_str(),
        account_key: known.list.account_key,
        device: sender.device.get(),
    };
    let expected = Expected::Pairwise { peer, local: w.me.party() };
    let Ok(plaintext) = padding::unpad(padded).map(|plaintext| Zeroizing::new(plaintext.to_vec())) else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    };
    let checked = binding::parse(&plaintext)
        .and_then(|(header, content)| binding::check(&header, &expected).map(|()| (header, content)));
    let Ok((header, content)) = checked else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    };
    let Some(chat) = other_side(w, sender, &header.conversation) else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    };
    let read = Read {
        message: MessageId::from_bytes(header.message_id),
        chat,
        counter: header.counter,
        prev_hash: header.prev_hash,
        hash: binding::message_hash(&plaintext),
    };
    let payload = Payload::decode(content).ok();
    if let Some(payload) = &payload
        && contents::is_beyond_a_request(w, sender, &payload.content)?
    {
        return Ok(w.tx.count(Counter::DiscardedRequest)?);
    }
    if !gaps::place(w, sender, &read)? {
        return Ok(());
    }
    let Some(payload) = payload else { return contents::newer_version(w, sender, &read) };
    if let Some(gossip) = &payload.gossip {
        gossip::hear(w, sender, known, gossip)?;
    }
    contents::take(w, sender, &read, payload.content)
}

/// Whom, besides this account, the conversation is with.
fn other_side(w: &Work<'_>, sender: &Sender, conversation: &binding::Conversation) -> Option<Username> {
    let binding::Conversation::Direct { a, b } = conversation else { return None };
    let other = if w.is_me(&sender.account) {
        if a == w.me.account.as_str() { b } else { a }
    } else {
        sender.account.as_str()
    };
    Username::new(other).ok()
}

/// The prekeys in the store, for a session to be opened with.
struct StoredPrekeys<'w> {
    tx: &'w Tx<'w>,
    failed: Option<StoreError>,
}

impl StoredPrekeys<'_> {
    fn find(&mut self, kind: PrekeyKind, id: u32) -> Option<PrekeySecret> {
        match self.tx.prekey(kind, id) {
            Ok(found) => found,
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

impl PrekeySource for StoredPrekeys<'_> {
    fn signed(&mut self, id: u32) -> Option<PrekeySecret> {
        self.find(PrekeyKind::SignedEc, id)
    }

    fn one_time(&mut self, id: u32) -> Option<PrekeySecret> {
        self.find(PrekeyKind::OneTimeEc, id)
    }

    fn kem(&mut self, id: u32, last_resort: bool) -> Option<PrekeySecret> {
        self.find(if last_resort { PrekeyKind::LastResortKem } else { PrekeyKind::OneTimeKem }, id)
    }

    fn base_key_seen(&mut self, peer_account: &str, peer_device: u32, base_key: &[u8; 32]) -> bool {
        match self.tx.base_key_seen(peer_account, peer_device, base_key) {
            Ok(seen) => seen,
            Err(error) => {
                self.failed = Some(error);
                true
            }
        }
    }
}
