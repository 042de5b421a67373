//! What states are called: one word for each, the same everywhere.

use subrosa_client::api::{ContactState, MessageKind, MessageState, Trust};

pub use crate::app::words::marks;
use crate::app::words::room_notice;

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
        MessageKind::ListForked {} => {
            format!(
                "-- the device lists of {from} contradict each other: the relay, or somebody, lies; sending is stopped"
            )
        }
        _ => room_notice(from, kind).map(|line| format!("-- {line}")).unwrap_or_default(),
    }
}
