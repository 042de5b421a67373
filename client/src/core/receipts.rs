//! Receipts: delivered, read, and the acknowledgement that lets a sender go on (R19, R45).

use subrosa_protocol::{
    BoundedVec, DeviceId, MessageId, Username,
    content::{Content, Receipt, ReceiptKind},
    limits::RECEIPT_IDS,
};

use super::{
    Core, Fault, Turn, contacts, drain,
    seal::{Outgoing, Target},
    work::{Work, devices_of},
};
use crate::{
    limits::{ACKNOWLEDGE_AFTER, RECEIPT_DELAY_MS, RECEIPTS_AT_ONCE, RETRY_MAX_MS},
    store::{DueReceipt, KnownList},
};

/// A receipt is to be given, after a random while.
pub(super) fn note(
    w: &mut Work<'_>,
    account: &Username,
    message: MessageId,
    kind: ReceiptKind,
) -> Result<(), Fault> {
    let due = w.now.saturating_add(u64::from(w.rng.next_u32()) % RECEIPT_DELAY_MS);
    w.tx.note_receipt(account, message, kind, due)?;
    Ok(())
}

impl Core {
    /// Gives what is due.
    pub(super) fn pump_receipts(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.me.refusal().is_some() {
            // Nothing is given any more: no use in being woken for it, again and again.
            self.upkeep.receipt_at = None;
            return Ok(());
        }
        let next = self.store.read(|tx| tx.next_receipt())?;
        self.upkeep.receipt_at = next;
        if next.is_none_or(|at| at > turn.now) {
            return Ok(());
        }
        self.upkeep.receipt_at = self.transact(turn, |w| {
            for account in w.tx.receipt_targets(w.now)? {
                give(w, &account)?;
            }
            Ok(w.tx.next_receipt()?)
        })?;
        Ok(())
    }
}

fn give(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if !contacts::is_accepted(w, account)? {
        return Ok(w.tx.drop_receipts(account)?);
    }
    let later = w.now.saturating_add(RETRY_MAX_MS);
    let stopped = w.tx.peer(account)?.is_some_and(|peer| peer.is_stopped());
    let list = w.list(account)?.filter(|_| !stopped);
    let Some(list) = list else { return Ok(w.tx.postpone_receipts(account, later)?) };
    let due = w.tx.receipts_for(account, RECEIPTS_AT_ONCE as usize)?;
    let mut given = false;
    for device in devices_of(&list) {
        given |= give_to(w, account, device, &list, &due)?;
    }
    if given { Ok(w.tx.receipts_given(&due)?) } else { Ok(w.tx.postpone_receipts(account, later)?) }
}

/// Receipts for one device of their account. Whether it could be told: a receipt opens no session.
fn give_to(
    w: &mut Work<'_>,
    account: &Username,
    device: DeviceId,
    list: &KnownList,
    due: &[DueReceipt],
) -> Result<bool, Fault> {
    let Some(mut target) = Target::open(w, account, device, list)? else { return Ok(false) };
    let through = w.tx.incoming_chain(account, device)?.highest;
    let mut told = false;
    for kind in [ReceiptKind::Delivered, ReceiptKind::Read] {
        let ids: Vec<_> =
            due.iter().filter(|receipt| receipt.kind == kind).map(|receipt| receipt.message).collect();
        for ids in ids.chunks(RECEIPT_IDS) {
            told |= say(w, &mut target, kind, ids.to_vec(), through)?;
        }
    }
    if told {
        w.tx.set_told(account, device, through)?;
    }
    target.close(w)?;
    Ok(told)
}

fn say(
    w: &mut Work<'_>,
    target: &mut Target<'_>,
    kind: ReceiptKind,
    ids: Vec<MessageId>,
    through: u64,
) -> Result<bool, Fault> {
    let ids = BoundedVec::new(ids).map_err(|_| Fault::Internal("receipt"))?;
    let content = Content::Receipt(Receipt { kind, ids, through });
    let unacknowledged = w.tx.outgoing_chain(target.account, target.device)?.unacknowledged();
    if !target.has_session() || unacknowledged >= drain::window_of(&content) {
        return Ok(false);
    }
    let (message, chat) = (w.random_message_id(), target.account.clone());
    target.send(w, Outgoing { message, chat, content })?;
    Ok(true)
}

/// Tells devices that sent much and were told nothing for long what is stored, so that they can go on (R19). Texts are
/// acknowledged by their receipts; this is for everything else.
pub(super) fn acknowledge(w: &mut Work<'_>) -> Result<(), Fault> {
    for chain in w.tx.chains_to_acknowledge(ACKNOWLEDGE_AFTER)? {
        let (account, device) = (&chain.account, chain.device);
        if !w.is_me(account) && !contacts::is_accepted(w, account)? {
            continue;
        }
        if w.tx.peer(account)?.is_some_and(|peer| peer.is_stopped()) {
            continue;
        }
        let Some(list) = w.list(account)? else { continue };
        let Some(mut target) = Target::open(w, account, device, &list)? else { continue };
        if say(w, &mut target, ReceiptKind::Delivered, Vec::new(), chain.highest)? {
            w.tx.set_told(account, device, chain.highest)?;
        }
        target.close(w)?;
    }
    Ok(())
}
