//! Events as `rosa recv` prints them for people.

use subrosa_client::{
    Event,
    api::{ConnectionState, EventBody, MessageEvent},
};

use super::time::Clock;

/// One event, in a line or, for a text of several lines, more.
#[must_use]
pub fn event(event: &Event, clock: &Clock) -> String {
    format!("{} {}", clock.short(event.ts), told(event))
}

fn told(event: &Event) -> String {
    match &event.body {
        EventBody::MessageReceived { message } if message.chat.starts_with('#') => {
            text(&format!("{} to {}", message.from, message.chat), message)
        }
        EventBody::MessageReceived { message } => text(&message.from, message),
        EventBody::MessageQueued { message } => text(&format!("you to {}", message.chat), message),
        EventBody::MessageAccepted { message } => {
            format!("-- accepted by the relay: {} to {}", message.id, message.chat)
        }
        EventBody::MessageMoved { id, chat, order } => {
            format!("-- {id} stands at {order} in {chat}, where the room has it")
        }
        EventBody::MessageDelivered { message } => match (&message.by, message.receipts) {
            (Some(by), Some(count)) => format!(
                "-- delivered: {} in {} to {by}: {} of {} have it",
                message.id, message.chat, count.delivered, count.of
            ),
            _ => format!("-- delivered: {} to {}", message.id, message.chat),
        },
        EventBody::MessageRead { message } => match (&message.by, message.receipts) {
            (Some(by), Some(count)) => {
                format!("-- read: {} in {} by {by}: {} of {}", message.id, message.chat, count.read, count.of)
            }
            _ => format!("-- read: {} by {}", message.id, message.chat),
        },
        EventBody::MessageEdited { message } => {
            text(&format!("{} changed {}:", message.from, message.id), message)
        }
        EventBody::MessageDeleted { touched } => {
            if touched.by == touched.author {
                format!("-- {} took back {} in {}", touched.by, touched.id, touched.chat)
            } else {
                format!(
                    "-- {} of {} in {}: deleted by {}",
                    touched.id, touched.author, touched.chat, touched.by
                )
            }
        }
        EventBody::MessagePinned { touched } => {
            format!("-- {} pinned {} to {}", touched.by, touched.id, touched.chat)
        }
        EventBody::MessageUnpinned { touched } => {
            format!("-- {} took the pin from {} in {}", touched.by, touched.id, touched.chat)
        }
        EventBody::ReactionAdded { touched, sign } => {
            format!("-- {} put {sign} beside {} in {}", touched.by, touched.id, touched.chat)
        }
        EventBody::ReactionRemoved { touched, sign } => {
            format!("-- {} took {sign} from {} in {}", touched.by, touched.id, touched.chat)
        }
        EventBody::TypingStarted { chat, from } => format!("-- {from} writes in {chat}"),
        EventBody::TypingStopped { chat, from } => format!("-- {from} stopped writing in {chat}"),
        EventBody::MessageFailed { failure } => failed("not sent", failure),
        EventBody::MessageUndecryptable { failure } => failed("could not be read", failure),
        EventBody::MessageMissing { from, count, .. } => format!("-- {count} messages of {from} are missing"),
        EventBody::ContactRequested { name } => {
            format!("-- {name} asks to write to you: `rosa accept {name}`")
        }
        EventBody::ContactAdded { name } => format!("-- {name} is a contact"),
        EventBody::IdentityChanged { change } => {
            format!(
                "-- the key of {} changed; {} messages are held: `rosa trust {}`",
                change.name, change.held, change.name
            )
        }
        EventBody::IdentityVerified { name, compared: true } => format!("-- {name} was verified"),
        EventBody::IdentityVerified { name, compared: false } => {
            format!("-- the new key of {name} was accepted")
        }
        EventBody::DeviceLinked { name, device } => format!("-- {name} has a new device ({device})"),
        EventBody::DeviceRemoved { name, device } => format!("-- {name} removed device {device}"),
        EventBody::RoomInvited { chat, name, by } => {
            format!("-- {by} invites you to {chat} ({name}); `rosa room join '{chat}'` accepts")
        }
        EventBody::RoomInvitationEnded { chat } => format!("-- the invitation to {chat} is over"),
        EventBody::RoomJoined { chat } => format!("-- you are in {chat}"),
        EventBody::RoomLeft { chat, by: None } => format!("-- you left {chat}"),
        EventBody::RoomLeft { chat, by: Some(by) } => format!("-- {by} removed you from {chat}"),
        EventBody::RoomMemberAdded { chat, name, by } if name == by => format!("-- {name} joined {chat}"),
        EventBody::RoomMemberAdded { chat, name, by } => format!("-- {by} invited {name} to {chat}"),
        EventBody::RoomMemberRemoved { chat, name, by } if name == by => format!("-- {name} left {chat}"),
        EventBody::RoomMemberRemoved { chat, name, by } => format!("-- {by} removed {name} from {chat}"),
        EventBody::RoomChanged { chat, by } => format!("-- {by} changed {chat}"),
        EventBody::RoomRekeyed { chat } => format!("-- {chat} was renewed by an owner"),
        EventBody::RoomRefused { chat, why, .. } => format!("-- a change of {chat} was refused: {why}"),
        EventBody::RoomCutOff { chat } => {
            format!("-- the relay has not kept what was said in {chat} while you were away")
        }
        EventBody::RoomDenied { chat } => {
            format!("-- the relay says that you are not in {chat}, but nobody took you out")
        }
        EventBody::RoomAnswered { chat } => format!("-- the relay answers for {chat} again"),
        EventBody::RoomMemberSilent { chat, name, device, days, removed } => {
            let then = if *removed { "; it was taken out" } else { "" };
            format!("-- nothing was heard of {name}'s device {device} in {chat} for {days} days{then}")
        }
        EventBody::RoomForked { chat, by, epoch } => {
            let by = by.as_deref().map(|by| format!(", as {by} tells")).unwrap_or_default();
            format!(
                "-- the relay shows the members of {chat} different histories at epoch {epoch}{by}; \
                 `rosa room evidence '{chat}'` writes the proof"
            )
        }
        EventBody::ServerNotice { text } => format!("-- {text}"),
        EventBody::ProfileFault { error: Some(error) } => {
            let hint = error.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("-- this profile: {error}{hint}")
        }
        EventBody::ProfileFault { error: None } => "-- this profile: it works again".to_owned(),
        EventBody::SystemReady { version } => format!("-- rosa {version} runs"),
        EventBody::SystemGap { from, to } => format!("-- events {from} to {to} are no longer there"),
        EventBody::SystemShutdown {} => "-- rosa ends".to_owned(),
        EventBody::ConnectionUp { connection } | EventBody::ConnectionDown { connection } => {
            connected(connection)
        }
        EventBody::SyncDone {} => "-- everything was fetched".to_owned(),
    }
}

fn text(who: &str, message: &MessageEvent) -> String {
    format!("{who}  {}", message.text.replace('\n', "\n    "))
}

fn failed(what: &str, failure: &subrosa_client::api::FailureReason) -> String {
    let whose = failure.chat.as_ref().map(|chat| format!(" ({chat})")).unwrap_or_default();
    let why = failure.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("-- {what}: {}{whose}{why}", failure.id)
}

/// The connection in a line.
#[must_use]
pub fn connected(connection: &ConnectionState) -> String {
    match connection {
        ConnectionState::Connecting {} => "-- connecting".to_owned(),
        ConnectionState::Up { transport, rtt_ms } => format!("-- connected, {transport} {rtt_ms} ms"),
        ConnectionState::Down { reason, .. } => format!("-- not connected: {reason}"),
        ConnectionState::Blocked { error } => format!("-- not connected: {error}"),
    }
}
