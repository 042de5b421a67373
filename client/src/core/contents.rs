//! What a message that was read means.

use subrosa_protocol::{
    DeviceId, SafeText, Username,
    content::{Content, Receipt, ReceiptKind, RoomDeclined, RoomOwnerKey, RoomRejected, RoomState, Text},
    limits::REQUEST_TEXT_BYTES,
};

use super::{
    Fault, contacts, heal, receipts,
    receive::{Read, Sender},
    rooms,
    work::{Work, is_verified, message_event},
};
use crate::{
    api::{self, ContactState, Direction, EventBody, Message, MessageKind, MessageState, time::Timestamp},
    limits::REQUESTS_PER_STRANGER,
    store::{Counter, NewMessage},
};

/// Whether a stranger says more than a request may (R43). Such a message is not even counted in its chain: should the
/// stranger be accepted, it is found missing and asked for.
pub(super) fn is_beyond_a_request(
    w: &mut Work<'_>,
    sender: &Sender,
    content: &Content,
) -> Result<bool, Fault> {
    if w.is_me(&sender.account) {
        return Ok(false);
    }
    let contact = w.tx.peer(&sender.account)?.and_then(|peer| peer.contact);
    Ok(match (contact, content) {
        (None, Content::Text(text)) => text.text.len() > REQUEST_TEXT_BYTES,
        (Some(ContactState::RequestReceived), Content::Text(text)) => {
            text.text.len() > REQUEST_TEXT_BYTES
                || w.tx.texts_from(&(&sender.account).into(), &sender.account)? >= REQUESTS_PER_STRANGER
        }
        // Who may invite is looked at when the invitation is taken.
        (None | Some(ContactState::RequestReceived), Content::RoomInvitation(_)) => false,
        // Members of a room may tell each other of it.
        (
            None | Some(ContactState::RequestReceived),
            Content::RoomRejected(RoomRejected { room, .. })
            | Content::RoomDeclined(RoomDeclined { room, .. })
            | Content::RoomState(RoomState { room, .. }),
        ) => !rooms::shares(w, &sender.account, *room)?,
        // And give the owner key to somebody who is asked: only they know the room by its id.
        (None | Some(ContactState::RequestReceived), Content::RoomOwnerKey(RoomOwnerKey { room, .. })) => {
            let asked = w.tx.room(*room)?.is_some_and(|stored| stored.state == api::RoomState::Invited);
            !asked && !rooms::shares(w, &sender.account, *room)?
        }
        (None | Some(ContactState::RequestReceived), _) => true,
        _ => false,
    })
}

/// Takes a content that was placed in its sender's chain.
pub(super) fn take(w: &mut Work<'_>, sender: &Sender, read: &Read, content: Content) -> Result<(), Fault> {
    let mine = w.is_me(&sender.account);
    match content {
        Content::Text(text) if mine => own_text(w, sender, read, &text),
        Content::Text(text) => text_of(w, sender, read, &text),
        Content::Receipt(receipt) => receipted(w, sender, &receipt),
        Content::ResendRequest(request) => heal::send_again(w, sender, &request),
        Content::RequestAccepted(_) if mine => contacts::accepted_elsewhere(w, &read.chat),
        Content::RequestAccepted(_) => contacts::accepted_by(w, &sender.account),
        // In rooms only, so far.
        Content::Edit(_)
        | Content::Delete(_)
        | Content::Reaction(_)
        | Content::Typing(_)
        | Content::Pin(_) => Ok(w.tx.count(Counter::DiscardedMismatch)?),
        Content::RoomInvitation(invitation) => rooms::invited(w, sender, &invitation),
        Content::RoomRejected(rejected) => rooms::rejected(w, sender, &rejected),
        Content::RoomOwnerKey(given) => rooms::owner_key(w, sender, &given),
        Content::RoomDeclined(declined) => rooms::declined(w, sender, &declined),
        Content::RoomState(state) => rooms::heard(w, sender, read.message, &state),
        Content::Unknown(unknown) if unknown.optional => Ok(w.tx.count(Counter::SkippedOptional)?),
        Content::Unknown(_) => newer_version(w, sender, read),
    }
}

/// A message of a kind, or in a form, that this version does not understand.
pub(super) fn newer_version(w: &mut Work<'_>, sender: &Sender, read: &Read) -> Result<(), Fault> {
    if contacts::is_contact(w, &read.chat)? {
        let from = sender.account.clone();
        let line = line(w, sender, read, from, MessageKind::NewerVersion {}, w.now)?;
        w.tx.insert_message(&line)?;
    }
    Ok(())
}

fn text_of(w: &mut Work<'_>, sender: &Sender, read: &Read, text: &Text) -> Result<(), Fault> {
    contacts::wrote(w, &sender.account)?;
    let kind = MessageKind::Text { text: SafeText::multi_line(&text.text) };
    let mut new = line(w, sender, read, sender.account.clone(), kind, text.sent_at)?;
    new.reply_to = text.reply_to;
    let Some(stored) = w.tx.insert_message(&new)? else {
        return Ok(w.tx.count(Counter::DiscardedDuplicate)?);
    };
    w.emit(EventBody::MessageReceived { message: message_event(&stored) })?;
    if contacts::is_accepted(w, &sender.account)? {
        receipts::note(w, &sender.account, read.message, ReceiptKind::Delivered)?;
    }
    Ok(())
}

/// What another device of this account wrote.
fn own_text(w: &mut Work<'_>, sender: &Sender, read: &Read, text: &Text) -> Result<(), Fault> {
    if w.is_me(&read.chat) {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    }
    contacts::wrote_elsewhere(w, &read.chat)?;
    let kind = MessageKind::Text { text: SafeText::multi_line(&text.text) };
    let mut new = line(w, sender, read, sender.account.clone(), kind, text.sent_at)?;
    new.direction = Direction::Out;
    new.state = MessageState::Accepted;
    new.reply_to = text.reply_to;
    let Some(stored) = w.tx.insert_message(&new)? else {
        return Ok(w.tx.count(Counter::DiscardedDuplicate)?);
    };
    w.emit(EventBody::MessageQueued { message: message_event(&stored) })?;
    // Whoever got it may have said so before this copy came.
    for kind in w.tx.take_early_receipts(&read.chat, read.message)? {
        w.advance_line(read.message, state_after(kind))?;
    }
    Ok(())
}

fn line(
    w: &Work<'_>,
    sender: &Sender,
    read: &Read,
    from: Username,
    kind: MessageKind,
    sent_at: u64,
) -> Result<NewMessage, Fault> {
    let verified = w.is_me(&sender.account) || w.tx.peer(&sender.account)?.as_ref().is_some_and(is_verified);
    Ok(NewMessage {
        id: read.message,
        chat: (&read.chat).into(),
        direction: Direction::In,
        from,
        device: sender.device.get(),
        kind,
        reply_to: None,
        sent_at: Timestamp(sent_at),
        stored_at: Timestamp(w.now),
        state: MessageState::Received,
        reason: None,
        verified,
        key: None,
        mention: false,
    })
}

/// A peer device stored, or its person saw, what this account wrote.
fn receipted(w: &mut Work<'_>, sender: &Sender, receipt: &Receipt) -> Result<(), Fault> {
    acknowledged(w, &sender.account, sender.device, receipt.through)?;
    if receipt.ids.is_empty() || w.is_me(&sender.account) {
        return Ok(());
    }
    contacts::accepted_by(w, &sender.account)?;
    // The receipt does not come again: what another device of this account wrote may come after it.
    let mut early = Vec::new();
    for id in receipt.ids.iter() {
        let known: Option<Message> = w.own_line(*id)?;
        match known {
            Some(line) if line.chat == sender.account.as_str() => {
                w.advance_line(*id, state_after(receipt.kind))?;
            }
            Some(line) => rooms::receipted(w, &sender.account, &line, *id, receipt.kind)?,
            None => early.push(*id),
        }
    }
    if !early.is_empty() {
        w.tx.keep_early_receipts(&sender.account, &early, receipt.kind, w.now)?;
    }
    Ok(())
}

const fn state_after(kind: ReceiptKind) -> MessageState {
    match kind {
        ReceiptKind::Delivered => MessageState::Delivered,
        ReceiptKind::Read => MessageState::Read,
    }
}

/// A peer device stored everything up to a counter: there may be room to send more (R19).
fn acknowledged(w: &mut Work<'_>, account: &Username, device: DeviceId, through: u64) -> Result<(), Fault> {
    let before = w.tx.outgoing_chain(account, device)?.acked;
    let after = w.tx.acknowledge_outgoing(account, device, through)?;
    if after.acked > before && w.tx.has_pending(account, Some(device))? {
        w.done.drains.insert(account.clone());
    }
    Ok(())
}
