//! A message that cannot be read: told, and the session made anew, rarely enough that nobody can drive us by garbage.

use subrosa_crypto::session::SessionError;
use subrosa_protocol::{EnvelopeId, content::ResendRequest, limits::RECEIPT_IDS};

use super::{Fault, contacts, gaps, receive::Sender, seal, seal::Target, work::Work};
use crate::{
    api::{ApiError, EventBody, FailureReason, Kind, MessageKind},
    limits::HEAL_EVERY_MS,
    store::Counter,
};

/// A message of a known device cannot be decrypted. What arrives within ten minutes after that is only counted: lines and
/// events are for people, and anybody who knows this device can claim to be anybody.
pub(super) fn undecryptable(
    w: &mut Work<'_>,
    sender: &Sender,
    envelope: EnvelopeId,
    error: SessionError,
) -> Result<(), Fault> {
    w.tx.count(Counter::Undecryptable)?;
    if !may_heal(w, sender)? {
        return Ok(());
    }
    let newer = matches!(error, SessionError::UnsupportedVersion(_));
    let mine = w.is_me(&sender.account);
    let contact = contacts::is_contact(w, &sender.account)?;
    if contact && !mine {
        let kind = if newer { MessageKind::NewerVersion {} } else { MessageKind::Undecryptable {} };
        w.notice(&sender.account, sender.device.get(), kind)?;
    }
    let hint = if newer { "update this program" } else { "it was asked for again" };
    let failure = FailureReason {
        id: envelope.to_string(),
        chat: (contact || mine).then(|| sender.account.to_string()),
        error: Some(ApiError::new(Kind::Refused, error.to_string()).hint(hint)),
    };
    w.emit(EventBody::MessageUndecryptable { failure })?;
    if newer { Ok(()) } else { renew(w, sender) }
}

/// A message came again that once opened a session which is gone. Nothing was lost with it, but when its sender still
/// sends in that session, everything it sends fails alike.
pub(super) fn replayed(w: &mut Work<'_>, sender: &Sender) -> Result<(), Fault> {
    w.tx.count(Counter::DiscardedReplay)?;
    if may_heal(w, sender)? { renew(w, sender) } else { Ok(()) }
}

/// Once in ten minutes a device.
fn may_heal(w: &Work<'_>, sender: &Sender) -> Result<bool, Fault> {
    let healed = w.tx.healed_at(&sender.account, sender.device)?;
    if healed.is_some_and(|at| w.is_recent(at, HEAL_EVERY_MS)) {
        return Ok(false);
    }
    w.tx.set_healed(&sender.account, sender.device, w.now)?;
    Ok(true)
}

/// Gives the session up and opens a new one, in which the first thing said is what to send again.
fn renew(w: &mut Work<'_>, sender: &Sender) -> Result<(), Fault> {
    // It may be that the device's list is another than the one known here.
    w.done.want_chains.insert(sender.account.clone());
    if !w.is_me(&sender.account) && !contacts::is_accepted(w, &sender.account)? {
        return Ok(());
    }
    w.tx.count(Counter::Healed)?;
    let mut record = seal::load(w, &sender.account, sender.device)?;
    record.archive_active();
    w.tx.put_session(&sender.account, sender.device, &record.to_bytes(), w.now)?;
    let highest = w.tx.incoming_chain(&sender.account, sender.device)?.highest;
    gaps::ask_again(w, sender, highest.saturating_add(1), highest.saturating_add(RECEIPT_IDS as u64))
}

/// A device asks for what it could not read: the very same messages, under their old counters, encrypted anew.
pub(super) fn send_again(w: &mut Work<'_>, sender: &Sender, request: &ResendRequest) -> Result<(), Fault> {
    if !w.is_me(&sender.account) && !contacts::is_accepted(w, &sender.account)? {
        return Ok(());
    }
    let Some(list) = w.list(&sender.account)? else { return Ok(()) };
    let to = request.to.min(request.from.saturating_add(RECEIPT_IDS as u64 - 1));
    let lost = w.tx.sent_between(&sender.account, sender.device, request.from, to)?;
    let waiting = w.tx.outbox_head(&sender.account, sender.device, usize::MAX, usize::MAX)?;
    let Some(mut target) = Target::open(w, &sender.account, sender.device, &list)? else { return Ok(()) };
    if !target.has_session() {
        return Ok(());
    }
    for sent in lost {
        // Still on its way: it may well arrive.
        if waiting.iter().any(|row| row.counter == sent.counter) {
            continue;
        }
        target.envelop(w, &sent)?;
    }
    target.close(w)
}
