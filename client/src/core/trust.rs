//! Whose key is believed: the first one seen, until it changes or contradicts itself; then nothing is sent, nothing is
//! lost, and a person decides (R27).

use std::collections::BTreeSet;

use subrosa_crypto::{safety_number::SafetyNumber, verify::device_list::SignedDeviceList};
use subrosa_protocol::{
    BoundedStr, MessageId, Payload, Username,
    content::{Content, Text},
};
use zeroize::Zeroizing;

use super::{
    Fault,
    work::{Work, devices_of},
};
use crate::{
    api::{
        ApiError, EventBody, KeyChange, Kind, Message, MessageKind, MessageState, SafetyNumberInfo, Trust,
    },
    store::{ChangedKey, HeldFor, NewPending, Peer},
};

/// The number that this account and another share, for a key of the other.
fn number(w: &Work<'_>, account: &Username, key: &[u8; 32]) -> String {
    SafetyNumber::compute(w.me.account.as_str(), &w.me.account_key, account.as_str(), key).to_string()
}

/// An account shows another key than the one that is trusted.
pub(super) fn changed(
    w: &mut Work<'_>,
    account: &Username,
    key: [u8; 32],
    newest: &SignedDeviceList,
) -> Result<(), Fault> {
    let mut peer = w.peer(account)?;
    let known = peer.changed.as_ref().is_some_and(|changed| changed.account_key == key);
    peer.changed = Some(ChangedKey { account_key: key, list: newest.clone() });
    peer.trust = Trust::Changed;
    w.tx.put_peer(&peer)?;
    if known {
        return Ok(());
    }
    hold(w, account)?;
    if peer.contact.is_some() {
        w.notice(account, 0, MessageKind::IdentityChanged {})?;
        let change = KeyChange {
            name: account.to_string(),
            old_number: peer.account_key.map(|old| number(w, account, &old)),
            new_number: Some(number(w, account, &key)),
            held: w.tx.held_count(account, HeldFor::Identity)?,
        };
        w.emit(EventBody::IdentityChanged { change })?;
    }
    Ok(())
}

/// Device lists of an account contradict each other. The evidence is stored already.
pub(super) fn forked(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    let mut peer = w.peer(account)?;
    if peer.is_stopped() {
        return Ok(());
    }
    peer.trust = Trust::Forked;
    w.tx.put_peer(&peer)?;
    hold(w, account)?;
    if peer.contact.is_some() {
        w.notice(account, 0, MessageKind::ListForked {})?;
        let current = peer.account_key.map(|key| number(w, account, &key));
        let change = KeyChange {
            name: account.to_string(),
            old_number: current.clone(),
            new_number: current,
            held: w.tx.held_count(account, HeldFor::Identity)?,
        };
        w.emit(EventBody::IdentityChanged { change })?;
    }
    Ok(())
}

/// Why nothing is sent to an account, and what to do.
pub(super) fn why_stopped(peer: &Peer) -> String {
    let account = &peer.account;
    match peer.trust {
        Trust::Forked => {
            format!("{account}'s device lists contradict each other; ask {account}, then: /trust {account}")
        }
        _ => format!("{account}'s key changed; compare numbers, then: /trust {account}"),
    }
}

/// One content that goes back from envelopes and single devices to waiting for the whole account.
struct Returned {
    message: MessageId,
    content: Zeroizing<Vec<u8>>,
    reason: HeldFor,
    queued_at: u64,
    /// The place of the text, by which they are ordered again; `None` of what is no text.
    place: Option<i64>,
}

/// Takes everything for an account back from the way out: it waits for a person, in order.
pub(super) fn hold(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    let pending = w.tx.pending_for(account, usize::MAX)?;
    let settled = |reason| matches!(reason, HeldFor::Identity | HeldFor::Request);
    let mut devices: BTreeSet<_> = w.tx.device_list(account)?.iter().flat_map(devices_of).collect();
    devices.extend(pending.iter().filter_map(|row| row.device));
    let mut back = Vec::new();
    let mut seen = BTreeSet::new();
    let mut on_the_way = Vec::new();
    for device in devices {
        on_the_way.extend(w.tx.remove_outbox_for_device(account, device)?);
    }
    if on_the_way.is_empty() && pending.iter().all(|row| row.device.is_none() && settled(row.reason)) {
        return Ok(());
    }
    on_the_way.sort_by_key(|row| row.id);
    for row in on_the_way {
        if let Some(line) = w.own_line(row.message)?
            && let Some(content) = content_of(&line)
            && seen.insert(row.message)
        {
            let (message, queued_at, place) = (row.message, row.queued_at, Some(line.order));
            back.push(Returned { message, content, reason: HeldFor::Identity, queued_at, place });
        }
    }
    for row in pending {
        w.tx.remove_pending(row.id)?;
        let place = w.own_line(row.message)?.map(|line| line.order);
        let own = row.device.is_none() || place.is_some();
        if own && seen.insert(row.message) {
            let reason = if settled(row.reason) { row.reason } else { HeldFor::Identity };
            back.push(Returned {
                message: row.message,
                content: row.content,
                reason,
                queued_at: row.queued_at,
                place,
            });
        }
    }
    // What one device had already may still wait for another one.
    back.sort_by_key(|returned| returned.place);
    let why = w.tx.peer(account)?.as_ref().map(why_stopped).unwrap_or_default();
    for Returned { message, content, reason, queued_at, .. } in back {
        w.tx.push_pending(&NewPending {
            account,
            device: None,
            content: &content,
            chat: account,
            message,
            reason,
            queued_at,
        })?;
        w.hold_line(message, MessageState::Held, Some(&why))?;
    }
    Ok(())
}

/// What was held for an account goes on.
pub(super) fn release(w: &mut Work<'_>, account: &Username, held: HeldFor) -> Result<(), Fault> {
    w.tx.change_pending_reason(account, held, HeldFor::DeviceList)?;
    for row in w.tx.pending_for(account, usize::MAX)? {
        if row.reason == HeldFor::DeviceList {
            w.hold_line(row.message, MessageState::Queued, None)?;
        }
    }
    w.done.pending = true;
    w.done.drains.insert(account.clone());
    Ok(())
}

/// The encoded content of an own text, made from its line once more.
pub(super) fn content_of(line: &Message) -> Option<Zeroizing<Vec<u8>>> {
    let MessageKind::Text { text } = &line.kind else { return None };
    let text = Text {
        text: BoundedStr::new(text.as_str()).ok()?,
        reply_to: line.reply_to.as_ref().and_then(|id| id.parse().ok()),
        sent_at: line.sent_at.0,
    };
    Payload { gossip: None, content: Content::Text(text) }.encode().ok().map(Zeroizing::new)
}

/// `contact.safety_number`.
pub(super) fn safety_number(w: &Work<'_>, account: &Username) -> Result<SafetyNumberInfo, Fault> {
    let peer = w.tx.peer(account)?.ok_or_else(|| super::contacts::no_such_contact(account))?;
    let (current, previous) = numbers(w, &peer)?;
    Ok(SafetyNumberInfo { name: account.to_string(), number: current, previous, trust: peer.trust })
}

/// The number of the key that is shown now, and of the trusted one while they differ.
fn numbers(w: &Work<'_>, peer: &Peer) -> Result<(String, Option<String>), Fault> {
    let trusted = peer.account_key.map(|key| number(w, &peer.account, &key));
    match (&peer.changed, trusted) {
        (Some(changed), trusted) => Ok((number(w, &peer.account, &changed.account_key), trusted)),
        (None, Some(trusted)) => Ok((trusted, None)),
        (None, None) => {
            Err(ApiError::new(Kind::NotFound, format!("{}'s key is not known yet", peer.account))
                .hint("it is fetched when the relay can be reached; try again then")
                .into())
        }
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// `contact.verify`: a person compared the numbers.
pub(super) fn verify(w: &mut Work<'_>, account: &Username, compared: &str) -> Result<(), Fault> {
    let mut peer = w.tx.peer(account)?.ok_or_else(|| super::contacts::no_such_contact(account))?;
    let (current, _) = numbers(w, &peer)?;
    if digits(&current) != digits(compared) {
        return Err(other_number(account).into());
    }
    let was_stopped = peer.is_stopped();
    if peer.changed.is_some() {
        adopt(w, &mut peer)?;
    }
    peer.trust = Trust::Verified;
    w.tx.put_peer(&peer)?;
    if peer.contact.is_some() {
        w.notice(account, 0, MessageKind::IdentityVerified {})?;
    }
    w.emit(EventBody::IdentityVerified { name: account.to_string(), compared: true })?;
    if was_stopped { settled(w, account) } else { Ok(()) }
}

/// `contact.trust`: a person accepts the key that is shown now.
pub(super) fn trust(w: &mut Work<'_>, account: &Username, expected: Option<&str>) -> Result<(), Fault> {
    let mut peer = w.tx.peer(account)?.ok_or_else(|| super::contacts::no_such_contact(account))?;
    if !peer.is_stopped() {
        return Err(ApiError::new(Kind::Refused, format!("{account}'s key has not changed")).into());
    }
    let (current, _) = numbers(w, &peer)?;
    if expected.is_some_and(|expected| digits(expected) != digits(&current)) {
        return Err(other_number(account).into());
    }
    if peer.changed.is_some() {
        adopt(w, &mut peer)?;
    } else {
        // Forked: the chain that the relay shows now is believed from here on, under the same account key.
        w.tx.delete_device_list(account)?;
        super::rooms::others_changed(w, account)?;
    }
    peer.trust = Trust::Unverified;
    w.tx.put_peer(&peer)?;
    if peer.contact.is_some() {
        w.notice(account, 0, MessageKind::IdentityTrusted {})?;
    }
    w.emit(EventBody::IdentityVerified { name: account.to_string(), compared: false })?;
    settled(w, account)
}

fn other_number(account: &Username) -> ApiError {
    ApiError::new(Kind::Identity, format!("this is not the safety number shared with {account}"))
        .hint("compare again, over a way that nobody else can change; if it differs, do not send")
}

/// The changed key becomes the trusted one: other devices, other sessions, other chains.
fn adopt(w: &Work<'_>, peer: &mut Peer) -> Result<(), Fault> {
    let Some(changed) = peer.changed.take() else { return Ok(()) };
    peer.account_key = Some(changed.account_key);
    w.tx.delete_sessions(&peer.account)?;
    w.tx.delete_all_chains(&peer.account)?;
    w.tx.forget_former_devices(&peer.account)?;
    w.tx.put_device_list(&peer.account, &changed.list, w.now)?;
    Ok(())
}

/// A person decided: what was held goes out by itself, what was put aside is read.
fn settled(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    release(w, account, HeldFor::Identity)?;
    super::receive::take_deferred(w, account)?;
    // The list that was put aside may not be the newest any more.
    w.done.want_chains.insert(account.clone());
    Ok(())
}
