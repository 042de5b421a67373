//! Following an account's device lists: signature, chain, the key that is trusted; and what a new list changes (R28).

use subrosa_crypto::verify::device_list::{DeviceList, SignedDeviceList};
use subrosa_protocol::{DeviceId, MessageId, SafeText, Username};

use super::{
    Fault, outbox, trust,
    work::{Work, devices_of},
};
use crate::{
    api::{ApiError, EventBody, MessageKind, MessageState, Trust},
    store::{Evidence, HeldFor, KnownList, NewPending},
};

/// What became of lists that a relay returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// The newest one is stored, or what stands against it is.
    Done,
    /// They do not follow what is known: the whole chain must show why.
    Contradiction,
    /// They are no valid lists at all. Nothing was changed.
    Invalid,
    /// The relay shows other lists of this very account than this device knows.
    OwnContradiction,
}

/// Follows `chain`: from the list known when `whole` is false, from version 1 otherwise.
pub(super) fn follow(
    w: &mut Work<'_>,
    account: &Username,
    chain: &[SignedDeviceList],
    whole: bool,
    display_name: &str,
) -> Result<Followed, Fault> {
    let verified: Result<Vec<_>, _> = chain.iter().map(|signed| signed.verify(account.as_str())).collect();
    let Ok(lists) = verified else { return Ok(Followed::Invalid) };
    if !w.is_me(account) {
        let mut peer = w.peer(account)?;
        let name = SafeText::name(display_name);
        if peer.display_name != name {
            peer.display_name = name;
            w.tx.put_peer(&peer)?;
        }
    }
    let known = w.list(account)?;
    if let (false, Some(known)) = (whole, &known) {
        return follow_on(w, account, known, &lists, chain);
    }
    let (Some(first), Some(newest), Some(signed)) = (lists.first(), lists.last(), chain.last()) else {
        return Ok(Followed::Invalid);
    };
    let steps = lists.iter().zip(lists.iter().skip(1));
    if first.version != 1 || steps.into_iter().any(|(before, after)| after.check_follows(before).is_err()) {
        return Ok(Followed::Invalid);
    }
    if w.is_me(account) {
        let fits = newest.account_key == w.me.account_key
            && known.as_ref().is_none_or(|known| agrees(known, &lists));
        return if fits {
            adopt(w, account, known.as_ref(), &lists, signed)
        } else {
            Ok(Followed::OwnContradiction)
        };
    }
    let mut peer = w.peer(account)?;
    match peer.account_key {
        None => {
            peer.account_key = Some(newest.account_key);
            w.tx.put_peer(&peer)?;
        }
        Some(key) if key != newest.account_key => {
            trust::changed(w, account, newest.account_key, signed)?;
            return Ok(Followed::Done);
        }
        Some(_) => {}
    }
    match &known {
        Some(known) if !agrees(known, &lists) => return contradicts(w, account, known, &lists, chain),
        // The relay shows an older state than it did before. What is known stays.
        Some(known) if newest.version < known.list.version => return Ok(Followed::Done),
        _ => {}
    }
    if peer.trust == Trust::Changed {
        // The relay shows the trusted key again.
        peer.changed = None;
        peer.trust = Trust::Unverified;
        w.tx.put_peer(&peer)?;
        trust::release(w, account, HeldFor::Identity)?;
        super::rooms::others_changed(w, account)?;
    }
    adopt(w, account, known.as_ref(), &lists, signed)
}

/// The newest list of an account that is met in a room for the first time: its key is the one first seen.
pub(super) fn first_seen(
    w: &mut Work<'_>,
    account: &Username,
    chain: &[SignedDeviceList],
    display_name: &SafeText,
) -> Result<(), Fault> {
    let Some(signed) = chain.last() else { return Ok(()) };
    let Ok(list) = signed.verify(account.as_str()) else { return Ok(()) };
    let mut peer = w.peer(account)?;
    if peer.account_key.is_some_and(|key| key != list.account_key) {
        // The whole chain must show why.
        w.done.want_chains.insert(account.clone());
        return Ok(());
    }
    peer.account_key = Some(list.account_key);
    peer.display_name = display_name.clone();
    w.tx.put_peer(&peer)?;
    adopt(w, account, None, &[list], signed).map(drop)
}

/// Whether the chain has the known list in its place, or ends before it.
fn agrees(known: &KnownList, lists: &[DeviceList]) -> bool {
    lists.iter().find(|list| list.version == known.list.version).is_none_or(|list| list.hash() == known.hash)
}

fn follow_on(
    w: &mut Work<'_>,
    account: &Username,
    known: &KnownList,
    lists: &[DeviceList],
    chain: &[SignedDeviceList],
) -> Result<Followed, Fault> {
    let before = std::iter::once(&known.list).chain(lists);
    if before.zip(lists).any(|(before, after)| after.check_follows(before).is_err()) {
        return Ok(Followed::Contradiction);
    }
    match (lists.last(), chain.last()) {
        (Some(_), Some(signed)) => adopt(w, account, Some(known), lists, signed),
        _ => {
            w.tx.device_list_confirmed(account, w.now)?;
            w.done.drains.insert(account.clone());
            Ok(Followed::Done)
        }
    }
}

/// The account key signed two different lists of one version: proof that it, or who holds it, lies.
fn contradicts(
    w: &mut Work<'_>,
    account: &Username,
    known: &KnownList,
    lists: &[DeviceList],
    chain: &[SignedDeviceList],
) -> Result<Followed, Fault> {
    let theirs = lists.iter().zip(chain).find(|(list, _)| list.version == known.list.version);
    w.tx.put_evidence(&Evidence {
        account: account.clone(),
        found_at: w.now,
        ours: known.signed.clone(),
        theirs: theirs.map(|(_, signed)| signed.clone()),
        claim: None,
    })?;
    trust::forked(w, account)?;
    Ok(Followed::Done)
}

/// The last of the lists that follow becomes the known one.
fn adopt(
    w: &mut Work<'_>,
    account: &Username,
    before: Option<&KnownList>,
    lists: &[DeviceList],
    signed: &SignedDeviceList,
) -> Result<Followed, Fault> {
    let Some(newest) = lists.last() else { return Ok(Followed::Done) };
    let all = before.map(|before| &before.list).into_iter().chain(lists);
    let listed = all.flat_map(|list| &list.devices);
    w.tx.put_former_devices(account, listed.filter(|entry| newest.device(entry.device_id).is_none()))?;
    w.tx.put_device_list(account, signed, w.now)?;
    if let Some(before) = before.filter(|before| before.list.version != newest.version) {
        reconcile(w, account, before, newest)?;
    }
    w.done.drains.insert(account.clone());
    Ok(Followed::Done)
}

/// Devices came and went: what is on its way goes to those that are there.
pub(super) fn reconcile(
    w: &mut Work<'_>,
    account: &Username,
    before: &KnownList,
    now: &DeviceList,
) -> Result<(), Fault> {
    let is_in = |list: &DeviceList, device: DeviceId| list.device(device.get()).is_some();
    let came: Vec<_> = now.devices.iter().filter_map(|entry| DeviceId::new(entry.device_id).ok()).collect();
    let came: Vec<_> = came.into_iter().filter(|device| !is_in(&before.list, *device)).collect();
    let mut gone = devices_of(before);
    gone.retain(|device| !is_in(now, *device));
    let under_way = under_way(w, account)?;
    for device in &gone {
        w.tx.remove_outbox_for_device(account, *device)?;
        w.tx.remove_pending_for_device(account, *device)?;
        w.tx.delete_session(account, *device)?;
        w.tx.delete_chains(account, *device)?;
        tell(w, account, *device, false)?;
    }
    for device in &came {
        if w.is_me(account) && *device == w.me.device {
            continue;
        }
        tell(w, account, *device, true)?;
        if w.is_me(account) {
            super::contacts::introduce(w, *device)?;
        }
        for message in &under_way {
            requeue(w, account, Some(*device), *message)?;
        }
    }
    for message in under_way {
        // With no device left it waits for the account to have one.
        if now.devices.is_empty() {
            requeue(w, account, None, message)?;
        }
        outbox::settle(w, account, message)?;
    }
    w.done.outbox = true;
    super::rooms::others_changed(w, account)
}

/// Texts that have not reached the relay for every device of an account, in the order they were written in.
fn under_way(w: &Work<'_>, account: &Username) -> Result<Vec<MessageId>, Fault> {
    let mut messages = w.tx.outbox_messages(account)?;
    for row in w.tx.pending_for(account, usize::MAX)? {
        if row.device.is_some() && !messages.contains(&row.message) {
            messages.push(row.message);
        }
    }
    let mut places = Vec::with_capacity(messages.len());
    for message in messages {
        places.push((w.own_line(message)?.map(|line| line.order), message));
    }
    places.sort_by_key(|(place, _)| *place);
    Ok(places.into_iter().map(|(_, message)| message).collect())
}

fn requeue(
    w: &Work<'_>,
    account: &Username,
    device: Option<DeviceId>,
    message: MessageId,
) -> Result<(), Fault> {
    let Some(line) = w.own_line(message)? else { return Ok(()) };
    let (Some(content), Ok(chat)) = (trust::content_of(&line), Username::new(line.chat)) else {
        return Ok(());
    };
    let sent_on = !matches!(line.state, MessageState::Held | MessageState::Queued) && !w.is_me(account);
    if sent_on {
        return Ok(());
    }
    w.tx.push_pending(&NewPending {
        account,
        device,
        content: &content,
        chat: &chat,
        message,
        reason: if device.is_some() { HeldFor::Session } else { HeldFor::DeviceList },
        queued_at: w.now,
    })?;
    Ok(())
}

fn tell(w: &mut Work<'_>, account: &Username, device: DeviceId, came: bool) -> Result<(), Fault> {
    let (name, device) = (account.to_string(), device.get());
    if w.is_me(account) || super::contacts::is_contact(w, account)? {
        if !w.is_me(account) {
            let kind = if came {
                MessageKind::DeviceAdded { device }
            } else {
                MessageKind::DeviceRemoved { device }
            };
            w.notice(account, device, kind)?;
        }
        let event = if came {
            EventBody::DeviceLinked { name, device }
        } else {
            EventBody::DeviceRemoved { name, device }
        };
        w.emit(event)?;
    }
    Ok(())
}

/// The relay knows no such account: what was written to it is given up, unless the account was known before.
pub(super) fn not_found(w: &mut Work<'_>, account: &Username, error: &ApiError) -> Result<(), Fault> {
    if w.tx.device_list(account)?.is_some() {
        return Ok(());
    }
    for row in w.tx.pending_for(account, usize::MAX)? {
        w.tx.remove_pending(row.id)?;
        w.fail_line(row.message, error)?;
    }
    for row in w.tx.deferred_from(account, usize::MAX)? {
        w.tx.remove_deferred(row.id)?;
        w.tx.count(crate::store::Counter::DiscardedDeferred)?;
    }
    if let Some(mut peer) = w.tx.peer(account)? {
        (peer.contact, peer.request_used) = (None, false);
        w.tx.put_peer(&peer)?;
    }
    Ok(())
}
