//! A sender's chain: counters without gaps, each message naming the one before. What is missing is shown, asked for, and
//! taken back when it comes late.

use subrosa_protocol::{
    Payload,
    content::{Content, ResendRequest},
    limits::RECEIPT_IDS,
};

use super::{
    Fault, contacts,
    receive::{Read, Sender},
    work::{Work, devices_of},
};
use crate::{
    api::{EventBody, MessageKind},
    limits::{ASK_AGAIN_EVERY_MS, GAP_MAX, GAPS_ASKED_FOR},
    store::{Counter, HeldFor, Incoming, NewPending, Placed},
};

/// The setting that says when everybody was last asked for what is missing.
const ASKED_AT: &str = "gaps.asked_at";

/// Places a message in its sender's chain. Whether it is one that was not there before; `false` for a message that is
/// dropped and counted.
pub(super) fn place(w: &mut Work<'_>, sender: &Sender, read: &Read) -> Result<bool, Fault> {
    let before = w.tx.incoming_chain(&sender.account, sender.device)?;
    let follows = read.counter != before.highest.saturating_add(1) || read.prev_hash == before.last_hash;
    if !follows || read.counter > before.highest.saturating_add(GAP_MAX) {
        w.tx.count(Counter::DiscardedMismatch)?;
        return Ok(false);
    }
    let Incoming { placed, missing } =
        w.tx.record_incoming(&sender.account, sender.device, read.counter, &read.hash)?;
    match placed {
        Placed::Next => Ok(true),
        Placed::Old => {
            w.tx.count(Counter::DiscardedDuplicate)?;
            Ok(false)
        }
        Placed::Ahead { from, to } => {
            tell(w, sender, missing)?;
            // The newest gap first; older ones too, since what was asked for may have been lost as well.
            ask_again(w, sender, from, to)?;
            ask_for_ranges(w, sender, GAPS_ASKED_FOR)?;
            Ok(true)
        }
        Placed::Late => {
            tell(w, sender, missing)?;
            Ok(true)
        }
    }
}

/// The line in the chat, and the event. One line counts up and down until nothing is missing any more.
fn tell(w: &mut Work<'_>, sender: &Sender, missing: u64) -> Result<(), Fault> {
    if !w.is_me(&sender.account) && contacts::is_contact(w, &sender.account)? {
        let notice = w.tx.incoming_chain(&sender.account, sender.device)?.notice;
        let updated = match notice {
            Some(order) => w.tx.set_notice_count(order, missing)?,
            None => false,
        };
        let standing = if updated {
            notice
        } else {
            w.notice(&sender.account, sender.device.get(), MessageKind::Missing { count: missing })?
        };
        w.tx.set_missing_notice(&sender.account, sender.device, standing.filter(|_| missing > 0))?;
    }
    let (chat, from) = (sender.account.to_string(), sender.account.to_string());
    w.emit(EventBody::MessageMissing { chat, from, device: sender.device.get(), count: missing })
}

fn ask_for_ranges(w: &mut Work<'_>, sender: &Sender, max: usize) -> Result<(), Fault> {
    let ranges = w.tx.missing_ranges(&sender.account, sender.device)?;
    for (from, to) in ranges.into_iter().rev().skip(1).take(max) {
        ask_again(w, sender, from, to)?;
    }
    Ok(())
}

/// Asks everybody again, now and then, for what never came: requests and answers get lost too.
pub(super) fn ask_for_everything(w: &mut Work<'_>) -> Result<(), Fault> {
    let asked = w.tx.setting(ASKED_AT)?.and_then(|at| at.parse::<u64>().ok());
    if asked.is_some_and(|at| w.is_recent(at, ASK_AGAIN_EVERY_MS)) {
        return Ok(());
    }
    w.tx.set_setting(ASKED_AT, Some(&w.now.to_string()))?;
    let mut accounts = vec![w.me.account.clone()];
    accounts.extend(w.tx.peers()?.into_iter().map(|peer| peer.account));
    for account in accounts {
        let Some(list) = w.list(&account)? else { continue };
        for device in devices_of(&list) {
            let sender = Sender { account: account.clone(), device };
            let missing = w.tx.missing_ranges(&sender.account, device)?;
            if let Some((from, to)) = missing.last().copied() {
                ask_again(w, &sender, from, to)?;
                ask_for_ranges(w, &sender, GAPS_ASKED_FOR)?;
            }
        }
    }
    Ok(())
}

/// Asks a device to send again what is missing of it, if it is one that may make us send anything.
pub(super) fn ask_again(w: &mut Work<'_>, sender: &Sender, from: u64, to: u64) -> Result<(), Fault> {
    if !w.is_me(&sender.account) && !contacts::is_accepted(w, &sender.account)? {
        return Ok(());
    }
    let to = to.min(from.saturating_add(RECEIPT_IDS as u64 - 1));
    let payload = Payload { gossip: None, content: Content::ResendRequest(ResendRequest { from, to }) };
    let content = payload.encode().map_err(|_| Fault::Internal("payload"))?;
    let message = w.random_message_id();
    w.tx.push_pending(&NewPending {
        account: &sender.account,
        device: Some(sender.device),
        content: &content,
        chat: &sender.account,
        message,
        reason: HeldFor::Session,
        queued_at: w.now,
    })?;
    w.done.pending = true;
    w.done.drains.insert(sender.account.clone());
    Ok(())
}
