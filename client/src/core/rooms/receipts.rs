//! Receipts for messages of rooms. They go between two devices, from contact to contact, as for messages between two people
//! (R45): a room's log carries none, and who is no contact of the writer tells nothing. In large rooms nobody does.

use subrosa_protocol::{MessageId, RoomId, Username, content::ReceiptKind};

use super::super::{Fault, contacts, receipts, work::Work};
use crate::{
    api::{Direction, EventBody, Message, MessageState, Receipted, RoomReceipts, RoomState},
    limits::RECEIPTS_IN_ROOMS_OF,
    store::{ReadMessage, StoredRoom, Tx},
};

/// A receipt for a message of a room is due, where any are given.
pub(super) fn note(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    author: &Username,
    message: MessageId,
    kind: ReceiptKind,
) -> Result<(), Fault> {
    let small = stored.members <= RECEIPTS_IN_ROOMS_OF;
    if small && !w.is_me(author) && contacts::is_accepted(w, author)? {
        receipts::note(w, author, message, kind)?;
    }
    Ok(())
}

/// These messages of a room were seen.
pub(in crate::core) fn read(w: &mut Work<'_>, room: RoomId, messages: &[ReadMessage]) -> Result<(), Fault> {
    let Some(stored) = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined) else {
        return Ok(());
    };
    for message in messages {
        note(w, &stored, &message.from, message.id, ReceiptKind::Read)?;
    }
    Ok(())
}

/// An account has, or has seen, a message of this one; `line` is the message. Only members count.
pub(in crate::core) fn receipted(
    w: &mut Work<'_>,
    account: &Username,
    line: &Message,
    id: MessageId,
    kind: ReceiptKind,
) -> Result<(), Fault> {
    let Some(room) = w.tx.chat_of(line.order)?.and_then(|chat| chat.room()) else { return Ok(()) };
    if line.direction != Direction::Out {
        return Ok(());
    }
    let Some(group) = w.group(room)? else { return Ok(()) };
    let member = !group.devices_of(account.as_str()).is_empty();
    w.loaded.keep(group);
    let read = kind == ReceiptKind::Read;
    if !member || !w.tx.note_room_receipt(id, account, read)? {
        return Ok(());
    }
    let to = if read { MessageState::Read } else { MessageState::Delivered };
    w.tx.advance_message(line.order, to)?;
    w.done.moved = true;
    let all = w.tx.room_receipts(id)?;
    let count = |found: usize| u32::try_from(found).unwrap_or(u32::MAX);
    let receipts = RoomReceipts {
        of: w.tx.room(room)?.map_or(0, |stored| stored.members.saturating_sub(1)),
        delivered: count(all.len()),
        read: count(all.iter().filter(|(_, read)| *read).count()),
    };
    let message = Receipted {
        id: line.id.clone(),
        chat: line.chat.clone(),
        by: Some(account.to_string()),
        receipts: Some(receipts),
    };
    w.emit(if read { EventBody::MessageRead { message } } else { EventBody::MessageDelivered { message } })
}

/// Receipts that came before this device's copy of what another own device wrote.
pub(super) fn early(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    line: &Message,
    id: MessageId,
) -> Result<(), Fault> {
    if stored.members > RECEIPTS_IN_ROOMS_OF {
        return Ok(());
    }
    let Some(group) = w.group(stored.id)? else { return Ok(()) };
    let members: std::collections::BTreeSet<String> =
        group.members().into_iter().map(|device| device.account).collect();
    w.loaded.keep(group);
    for account in members.into_iter().filter_map(|name| Username::new(name).ok()) {
        for kind in w.tx.take_early_receipts(&account, id)? {
            receipted(w, &account, line, id, kind)?;
        }
    }
    Ok(())
}

/// Which members have an own message of a room, and which have seen it.
pub(in crate::core) fn who_has(tx: &Tx<'_>, line: &Message) -> Result<(Vec<String>, Vec<String>), Fault> {
    if line.direction != Direction::Out || !line.chat.starts_with('#') {
        return Ok((Vec::new(), Vec::new()));
    }
    let id = line.id.parse().map_err(|_| Fault::Internal("message id"))?;
    let all = tx.room_receipts(id)?;
    let read = all.iter().filter(|(_, read)| *read).map(|(account, _)| account.to_string()).collect();
    Ok((all.iter().map(|(account, _)| account.to_string()).collect(), read))
}
