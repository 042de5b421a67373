//! What the engine tells by itself.

use subrosa_client::{
    ApiError, Event, Request,
    api::{Direction, EventBody, Marks, Message, MessageEvent, MessageKind, MessageState, time::Timestamp},
};

use super::{
    Effect, Purpose, Want, ask_chats, ask_people, ask_status, conversation, lock, members, notify, select,
};
use crate::app::{
    model::{Model, advance},
    text::cells,
    words,
};

pub(super) fn event(model: &mut Model, event: Event, fx: &mut Vec<Effect>) {
    if model.desk().is_none() {
        return;
    }
    match event.body {
        EventBody::MessageReceived { message } => {
            if message.mention {
                ask_chats(model, fx);
            }
            notify::message(model, &message, fx);
            arrived(model, message, Direction::In, event.ts, fx);
        }
        EventBody::MessageQueued { message } => {
            arrived(model, message, Direction::Out, event.ts, fx);
            ask_status(model, fx);
        }
        EventBody::MessageAccepted { message } => {
            advanced(model, &message.chat, &message.id, MessageState::Accepted);
            ask_status(model, fx);
        }
        EventBody::MessageMoved { id, chat, order } => {
            let open = model.desk_mut().and_then(|desk| desk.open.as_mut());
            if let Some(open) = open.filter(|open| open.chat == chat) {
                open.timeline.place_anew(&id, order);
            }
            ask_chats(model, fx);
        }
        // How many members of a room have it is told by the history.
        EventBody::MessageDelivered { message } | EventBody::MessageRead { message }
            if message.receipts.is_some() =>
        {
            touched(model, &message.chat, &message.id, fx);
            select::ask_holders(model, &message.id, fx);
        }
        EventBody::MessageDelivered { message } => {
            advanced(model, &message.chat, &message.id, MessageState::Delivered);
        }
        EventBody::MessageRead { message } => advanced(model, &message.chat, &message.id, MessageState::Read),
        EventBody::MessageEdited { message } => touched(model, &message.chat, &message.id, fx),
        EventBody::MessageDeleted { touched }
        | EventBody::MessagePinned { touched }
        | EventBody::MessageUnpinned { touched }
        | EventBody::ReactionAdded { touched, .. }
        | EventBody::ReactionRemoved { touched, .. } => self::touched(model, &touched.chat, &touched.id, fx),
        EventBody::TypingStarted { chat, from } => {
            if let Some(desk) = model.desk_mut() {
                desk.typing.insert((chat, from));
            }
        }
        EventBody::TypingStopped { chat, from } => {
            if let Some(desk) = model.desk_mut() {
                desk.typing.remove(&(chat, from));
            }
        }
        EventBody::MessageFailed { failure } => {
            if let Some(chat) = &failure.chat {
                advanced(model, chat, &failure.id, MessageState::Failed);
                changed(model, chat, fx);
            }
            if let Some(error) = &failure.error {
                model.complain(format!("a message was not sent: {}", words::refusal(error)));
            }
            ask_status(model, fx);
        }
        EventBody::MessageUndecryptable { failure } => match &failure.chat {
            Some(chat) => changed(model, chat, fx),
            None => model.complain("an envelope could not be read, and its sender is not known"),
        },
        EventBody::MessageMissing { chat, .. } => changed(model, &chat, fx),
        EventBody::ContactRequested { name } | EventBody::ContactAdded { name } => {
            changed(model, &name, fx);
            ask_people(model, fx);
        }
        EventBody::IdentityChanged { change } => {
            model.complain(format!("{}'s key changed: nothing is sent to {0} until you decide", change.name));
            changed(model, &change.name, fx);
            members::account_changed(model, &change.name, fx);
            ask_status(model, fx);
        }
        EventBody::IdentityVerified { name, .. } => {
            changed(model, &name, fx);
            members::account_changed(model, &name, fx);
            ask_status(model, fx);
        }
        EventBody::DeviceLinked { name, .. } | EventBody::DeviceRemoved { name, .. } => {
            changed(model, &name, fx);
            members::account_changed(model, &name, fx);
        }
        EventBody::RoomInvited { chat, .. }
        | EventBody::RoomJoined { chat }
        | EventBody::RoomLeft { chat, .. }
        | EventBody::RoomInvitationEnded { chat }
        | EventBody::RoomMemberAdded { chat, .. }
        | EventBody::RoomMemberRemoved { chat, .. }
        | EventBody::RoomChanged { chat, .. }
        | EventBody::RoomMemberSilent { chat, .. }
        | EventBody::RoomAnswered { chat }
        | EventBody::RoomRekeyed { chat } => {
            changed(model, &chat, fx);
            members::changed(model, &chat, fx);
        }
        EventBody::RoomRefused { chat, why, .. } => {
            model.complain(format!("{chat}: a change was refused: {}", cells::one_line(&why)));
            changed(model, &chat, fx);
        }
        EventBody::RoomCutOff { chat } => {
            model.complain(format!("{chat}: the relay has not kept what was said while you were away"));
            changed(model, &chat, fx);
        }
        EventBody::RoomDenied { chat } => {
            model.complain(format!("{chat}: the relay says that you are not in it, but nobody took you out"));
            changed(model, &chat, fx);
        }
        EventBody::RoomForked { chat, by, .. } => {
            let by = by.map(|by| format!(" (told by {by})")).unwrap_or_default();
            model.complain(format!(
                "{chat}: the relay shows its members different histories{by}; rosa room evidence '{chat}' writes the proof"
            ));
            changed(model, &chat, fx);
        }
        EventBody::ConnectionUp { connection } | EventBody::ConnectionDown { connection } => {
            if let Some(desk) = model.desk_mut() {
                desk.connection = connection;
            }
            ask_status(model, fx);
        }
        EventBody::SyncDone {} => ask_status(model, fx),
        EventBody::SystemGap { .. } => reload(model, fx),
        EventBody::SystemShutdown {} => lock::ended(model, fx),
        EventBody::ServerNotice { text } => model.tell(format!("relay: {}", cells::one_line(&text))),
        EventBody::ProfileFault { error } => fault(model, error.as_ref(), fx),
        EventBody::SystemReady { .. } => {}
    }
}

/// What this profile cannot do stands there until it can again, or until somebody has seen it.
fn fault(model: &mut Model, error: Option<&ApiError>, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let line = error.map(|error| format!("this profile: {}", words::refusal(error)));
    let before = std::mem::replace(&mut desk.fault, line.clone());
    match line {
        Some(line) => model.complain(line),
        None if model.notice.as_ref().is_some_and(|notice| Some(&notice.text) == before.as_ref()) => {
            model.notice = None;
        }
        None => {}
    }
    ask_status(model, fx);
}

/// Asks for everything anew, after events were left out.
pub(super) fn reload(model: &mut Model, fx: &mut Vec<Effect>) {
    ask_chats(model, fx);
    ask_people(model, fx);
    ask_status(model, fx);
    conversation::load(model, Want::Tail, fx);
    members::ask(model, fx);
}

/// Something was done with a message. One that is far back is asked for by itself.
fn touched(model: &mut Model, chat: &str, id: &str, fx: &mut Vec<Effect>) {
    let open = model.desk().and_then(|desk| desk.open.as_ref()).filter(|open| open.chat == chat);
    if open.is_some_and(|open| open.timeline.is_far(id)) {
        fx.push(Effect::Call(Purpose::Renewed, Request::MessageShow { id: id.to_owned() }));
    } else {
        changed(model, chat, fx);
    }
}

/// Something about a chat changed that the event does not tell in full.
fn changed(model: &mut Model, chat: &str, fx: &mut Vec<Effect>) {
    ask_chats(model, fx);
    if model.desk().and_then(|desk| desk.here()) == Some(chat) {
        conversation::load(model, Want::Tail, fx);
    }
}

/// A message came, or was written here or on another device.
fn arrived(
    model: &mut Model,
    event: MessageEvent,
    direction: Direction,
    at: Timestamp,
    fx: &mut Vec<Effect>,
) {
    let focused = model.focused;
    let Some(desk) = model.desk_mut() else { return };
    let message = message(event, direction, at);
    let in_list = desk.chats.touch(&message);
    if let Some(open) = desk.open.as_mut().filter(|open| open.chat == message.chat) {
        let follows = open.timeline.follows();
        let order = message.order;
        if direction == Direction::In {
            if !follows {
                open.timeline.new_below = open.timeline.new_below.saturating_add(1);
            }
            if (!follows || !focused) && open.new_after.is_none() {
                open.new_after = Some(order.saturating_sub(1));
            }
        }
        open.timeline.push(message);
    }
    if !in_list {
        ask_chats(model, fx);
    }
}

fn message(event: MessageEvent, direction: Direction, at: Timestamp) -> Message {
    let state = if direction == Direction::Out { MessageState::Queued } else { MessageState::Received };
    Message {
        id: event.id,
        chat: event.chat,
        order: event.order,
        direction,
        from: event.from,
        device: event.device,
        kind: MessageKind::Text { text: event.text },
        reply_to: event.reply_to,
        sent_at: event.sent_at,
        stored_at: at,
        state,
        reason: None,
        verified: event.verified,
        marks: Marks { mention: event.mention, ..Marks::default() },
    }
}

fn advanced(model: &mut Model, chat: &str, id: &str, state: MessageState) {
    let Some(desk) = model.desk_mut() else { return };
    if let Some(last) =
        desk.chats.find_mut(chat).and_then(|chat| chat.last.as_mut()).filter(|last| last.id == id)
    {
        advance(last, state);
    }
    if let Some(open) = desk.open.as_mut().filter(|open| open.chat == chat) {
        open.timeline.advance(id, state);
    }
}
