//! What waits to be encrypted, encrypted as far as it can be: in order for each device, across everything that may stop
//! it (trust, an unaccepted request, no list, no session, 500 unacknowledged envelopes).

use std::collections::{BTreeMap, btree_map::Entry};

use subrosa_protocol::{DeviceId, MessageId, Payload, Username, content::Content};

use super::{
    Fault,
    seal::{Outgoing, Target},
    work::{Work, devices_of},
};
use crate::{
    api::{ContactState, MessageState},
    limits::{COPIES_WAITING, PENDING_AT_ONCE, UNACKNOWLEDGED_MAX, UNACKNOWLEDGED_RESERVE},
    store::{HeldFor, KnownList, NewPending, Pending},
};

/// One device while draining.
enum Lane<'l> {
    Open(Box<Target<'l>>),
    /// Later contents must wait behind earlier ones.
    Blocked(HeldFor),
}

/// Encrypts for every account for which something changed that may have stopped it. What the store refuses of it stays
/// where it is and does not undo what led here.
pub(super) fn drain_all(w: &mut Work<'_>) -> Result<(), Fault> {
    while let Some(account) = w.done.drains.pop_first() {
        let (tx, told) = (w.tx, w.done.events.len());
        match tx.attempt(|_| drain(w, &account)) {
            Err(fault) if fault.is_of_one_row() => {
                tracing::warn!(%fault, "what waits cannot be encrypted");
                w.done.events.truncate(told);
            }
            other => other?,
        }
    }
    Ok(())
}

/// Encrypts what waits for an account, as far as it can be.
fn drain(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if !w.is_me(account) {
        let Some(peer) = w.tx.peer(account)? else { return Ok(()) };
        if peer.is_stopped() {
            return super::trust::hold(w, account);
        }
    }
    let Some(list) = w.list(account)? else {
        w.done.pending = true;
        return Ok(());
    };
    drain_to(w, account, &list)
}

fn drain_to(w: &mut Work<'_>, account: &Username, list: &KnownList) -> Result<(), Fault> {
    let mine = w.is_me(account);
    let accepted =
        mine || w.tx.peer(account)?.is_some_and(|peer| peer.contact == Some(ContactState::Accepted));
    let mut lanes = BTreeMap::new();
    let mut copies = false;
    for pending in w.tx.pending_to_encrypt(account, PENDING_AT_ONCE as usize)? {
        if pending.reason == HeldFor::Request && !accepted {
            continue;
        }
        if stands_as_it_is(&lanes, &pending) {
            w.done.pending |= pending.reason == HeldFor::Session;
            continue;
        }
        let Ok(content) = Payload::decode(&pending.content).map(|payload| payload.content) else {
            w.tx.remove_pending(pending.id)?;
            continue;
        };
        match pending.device {
            Some(device) => one_device(w, account, list, &mut lanes, &pending, device, content)?,
            None => copies |= all_devices(w, account, list, &mut lanes, &pending, &content)?,
        }
    }
    for lane in lanes.into_values() {
        if let Lane::Open(target) = lane {
            target.close(w)?;
        }
    }
    if copies {
        w.done.drains.insert(w.me.account.clone());
    }
    Ok(())
}

/// Whether a content waits behind what its device cannot be sent now, and says so already: while a device is away, each
/// send would otherwise read and write again the lines of all that waits for it.
fn stands_as_it_is(lanes: &BTreeMap<DeviceId, Lane<'_>>, pending: &Pending) -> bool {
    let lane = pending.device.and_then(|device| lanes.get(&device));
    matches!(lane, Some(Lane::Blocked(reason)) if *reason == pending.reason)
}

/// A content that waits for one device.
fn one_device<'l>(
    w: &mut Work<'_>,
    account: &'l Username,
    list: &'l KnownList,
    lanes: &mut BTreeMap<DeviceId, Lane<'l>>,
    pending: &Pending,
    device: DeviceId,
    content: Content,
) -> Result<(), Fault> {
    match offer(w, account, list, lanes, pending, device, content)? {
        Offered::Sent => {
            w.tx.remove_pending(pending.id)?;
            if pending.reason == HeldFor::Window && !w.is_me(account) {
                w.hold_line(pending.message, MessageState::Queued, None)?;
            }
        }
        Offered::Gone => {
            w.tx.remove_pending(pending.id)?;
            super::outbox::settle(w, account, pending.message)?;
        }
        Offered::Waits(reason) => {
            if pending.reason != reason {
                w.tx.set_pending_reason(pending.id, reason)?;
            }
            waits(w, account, device, pending.message, reason)?;
        }
    }
    Ok(())
}

/// A content that waits for all devices: from now on each has its own. Whether own devices get copies.
fn all_devices<'l>(
    w: &mut Work<'_>,
    account: &'l Username,
    list: &'l KnownList,
    lanes: &mut BTreeMap<DeviceId, Lane<'l>>,
    pending: &Pending,
    content: &Content,
) -> Result<bool, Fault> {
    let mine = w.is_me(account);
    let mut devices = devices_of(list);
    devices.retain(|device| !(mine && *device == w.me.device));
    if devices.is_empty() && !mine {
        let reason = format!("{account} has no device at the moment");
        w.hold_line(pending.message, MessageState::Queued, Some(&reason))?;
        return Ok(false);
    }
    if !mine {
        w.hold_line(pending.message, MessageState::Queued, None)?;
    }
    for device in devices {
        if let Offered::Waits(reason) = offer(w, account, list, lanes, pending, device, content.clone())? {
            // An own device that is away for long must not use up what others may wait in.
            if mine && w.tx.pending_count()? >= COPIES_WAITING {
                continue;
            }
            w.tx.push_pending(&NewPending {
                account,
                device: Some(device),
                content: &pending.content,
                chat: &pending.chat,
                message: pending.message,
                reason,
                queued_at: pending.queued_at,
            })?;
            waits(w, account, device, pending.message, reason)?;
        }
    }
    w.tx.remove_pending(pending.id)?;
    Ok(!mine && copy_to_own_devices(w, pending, content)?)
}

enum Offered {
    Sent,
    /// The device is not in the list any more.
    Gone,
    Waits(HeldFor),
}

fn offer<'l>(
    w: &mut Work<'_>,
    account: &'l Username,
    list: &'l KnownList,
    lanes: &mut BTreeMap<DeviceId, Lane<'l>>,
    pending: &Pending,
    device: DeviceId,
    content: Content,
) -> Result<Offered, Fault> {
    let lane = match lanes.entry(device) {
        Entry::Occupied(lane) => lane.into_mut(),
        Entry::Vacant(place) => match Target::open(w, account, device, list)? {
            None => return Ok(Offered::Gone),
            Some(target) => place.insert(Lane::Open(Box::new(target))),
        },
    };
    let target = match lane {
        Lane::Blocked(reason) => return Ok(Offered::Waits(*reason)),
        Lane::Open(target) => target,
    };
    let unacknowledged = w.tx.outgoing_chain(account, device)?.unacknowledged();
    let stops = if !target.has_session() {
        Some(HeldFor::Session)
    } else {
        (unacknowledged >= window_of(&content)).then_some(HeldFor::Window)
    };
    if let Some(reason) = stops {
        // What a session was used for before stays stored.
        if let Lane::Open(target) = std::mem::replace(lane, Lane::Blocked(reason)) {
            target.close(w)?;
        }
        return Ok(Offered::Waits(reason));
    }
    target.send(w, Outgoing { message: pending.message, chat: pending.chat.clone(), content })?;
    Ok(Offered::Sent)
}

/// How many unacknowledged envelopes may stand before this content (R19).
pub(super) const fn window_of(content: &Content) -> u64 {
    match content {
        Content::Receipt(_) | Content::ResendRequest(_) => UNACKNOWLEDGED_MAX + UNACKNOWLEDGED_RESERVE,
        _ => UNACKNOWLEDGED_MAX,
    }
}

/// What this device sends, the account's other devices receive too.
fn copy_to_own_devices(w: &mut Work<'_>, pending: &Pending, content: &Content) -> Result<bool, Fault> {
    if !matches!(content, Content::Text(_) | Content::RequestAccepted(_)) {
        return Ok(false);
    }
    let others = w.has_other_devices()?;
    if others {
        w.tx.push_pending(&NewPending {
            account: &w.me.account,
            device: None,
            content: &pending.content,
            chat: &pending.chat,
            message: pending.message,
            reason: HeldFor::Session,
            queued_at: pending.queued_at,
        })?;
    }
    Ok(others)
}

fn waits(
    w: &mut Work<'_>,
    account: &Username,
    device: DeviceId,
    message: MessageId,
    reason: HeldFor,
) -> Result<(), Fault> {
    if reason == HeldFor::Session {
        w.done.pending = true;
    }
    if reason == HeldFor::Window && !w.is_me(account) {
        let reason = format!("waiting for {account}'s device {device}, which has not answered for long");
        w.hold_line(message, MessageState::Queued, Some(&reason))?;
    }
    Ok(())
}
