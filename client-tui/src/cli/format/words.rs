//! What states are called: one word for each, the same everywhere.

use subrosa_client::api::{ContactState, MessageKind, MessageState, Trust};

pub use crate::app::words::marks;
use crate::app::words::role_with_article;

/// How far a message is.
#[must_use]
pub const fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Held => "held",
        MessageState::Queued => "queued",
        MessageState::Accepted => "accepted",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
        MessageState::Failed => "failed",
        MessageState::Received => "received",
    }
}

/// How sure we are of somebody's key.
#[must_use]
pub const fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Unverified => "unverified",
        Trust::Verified => "verified",
        Trust::Changed => "KEY CHANGED",
        Trust::Forked => "LISTS CONTRADICT",
    }
}

/// Where somebody stands.
#[must_use]
pub const fn contact(state: ContactState) -> &'static str {
    match state {
        ContactState::Added => "added",
        ContactState::RequestReceived => "request",
        ContactState::RequestSent => "request sent",
        ContactState::Accepted => "contact",
    }
}

/// What a line of a chat says; `from` is whom a notice is about.
#[must_use]
pub fn line(kind: &MessageKind, from: &str) -> String {
    match kind {
        MessageKind::Text { text } => text.as_str().to_owned(),
        MessageKind::Missing { count: 0 } => format!("-- the missing messages of {from} came late"),
        MessageKind::Missing { count: 1 } => format!("-- 1 message of {from} is missing"),
        MessageKind::Missing { count } => format!("-- {count} messages of {from} are missing"),
        MessageKind::Undecryptable {} => {
            format!("-- a message of {from} could not be read; it was asked for again")
        }
        MessageKind::NewerVersion {} => {
            format!("-- a message of {from} needs a newer version of this program")
        }
        MessageKind::IdentityChanged {} => {
            format!(
                "-- the key of {from} changed; sending is stopped until `rosa trust {from}` or `rosa verify {from}`"
            )
        }
        MessageKind::IdentityTrusted {} => format!("-- the new key of {from} was accepted"),
        MessageKind::IdentityVerified {} => format!("-- {from} was verified"),
        MessageKind::DeviceAdded { device } => format!("-- {from} has a new device ({device})"),
        MessageKind::DeviceRemoved { device } => format!("-- {from} removed device {device}"),
        MessageKind::RoomCreated {} => format!("-- {from} made this room"),
        MessageKind::MemberInvited { name } => format!("-- {from} invited {name}"),
        MessageKind::MemberJoined {} => format!("-- {from} joined"),
        MessageKind::MemberLeft {} => format!("-- {from} left"),
        MessageKind::MemberRemoved { name } => format!("-- {from} removed {name}"),
        MessageKind::MemberBanned { name } => format!("-- {from} banned {name}"),
        MessageKind::MemberUnbanned { name } => format!("-- {from} lifted the ban of {name}"),
        MessageKind::MemberMuted { name } => format!("-- {from} muted {name}"),
        MessageKind::MemberUnmuted { name } => format!("-- {from} lets {name} write again"),
        MessageKind::RoleChanged { name, role } => {
            format!("-- {from} made {name} {}", role_with_article(*role))
        }
        MessageKind::TopicChanged { topic } if topic.is_empty() => format!("-- {from} removed the topic"),
        MessageKind::TopicChanged { topic } => format!("-- {from} set the topic: {topic}"),
        MessageKind::RoomRenamed { name } => format!("-- {from} renamed the room: {name}"),
        MessageKind::RoomChanged {} => format!("-- {from} changed the room's rules"),
        MessageKind::CommitRefused { why } => format!(
            "-- a change of the room was refused: {why}. Nothing can be read here until an owner renews the room"
        ),
        MessageKind::Deleted {} => format!("-- {from} took this back"),
        MessageKind::RoomRenewed {} => format!("-- {from} renewed the room"),
        MessageKind::RoomCutOff {} => {
            "-- the relay has not kept what was said while you were away; somebody must add you again"
                .to_owned()
        }
        MessageKind::ListForked {} => {
            format!(
                "-- the device lists of {from} contradict each other: the relay, or somebody, lies; sending is stopped"
            )
        }
    }
}
