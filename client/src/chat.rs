//! Which chat.

use std::{fmt, str::FromStr};

use subrosa_protocol::{RoomId, Username};

/// Which chat: the one with a person, or a room.
///
/// Its text is a username, or `#` and a room's id. It is what the store keeps. What people type and read of a room is its
/// label (`#ops`), which is this device's alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChatId {
    /// With this account.
    Person(Username),
    /// In this room.
    Room(RoomId),
}

/// A text that names no chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chat is a username, or # and a room's id")]
pub struct NotAChat;

impl ChatId {
    /// The account, of a chat with a person.
    #[must_use]
    pub const fn person(&self) -> Option<&Username> {
        match self {
            Self::Person(account) => Some(account),
            Self::Room(_) => None,
        }
    }

    /// The room, of a room.
    #[must_use]
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Person(_) => None,
            Self::Room(room) => Some(*room),
        }
    }
}

impl fmt::Display for ChatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(account) => account.fmt(f),
            Self::Room(room) => write!(f, "#{room}"),
        }
    }
}

impl FromStr for ChatId {
    type Err = NotAChat;

    fn from_str(text: &str) -> Result<Self, NotAChat> {
        match text.strip_prefix('#') {
            Some(room) => room.parse().map(Self::Room).map_err(|_| NotAChat),
            None => text.parse().map(Self::Person).map_err(|_| NotAChat),
        }
    }
}

impl From<Username> for ChatId {
    fn from(account: Username) -> Self {
        Self::Person(account)
    }
}

impl From<&Username> for ChatId {
    fn from(account: &Username) -> Self {
        Self::Person(account.clone())
    }
}

impl From<RoomId> for ChatId {
    fn from(room: RoomId) -> Self {
        Self::Room(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_has_one_text() {
        let room = RoomId::from_bytes([7; 16]);
        let chats = [ChatId::from(room), ChatId::from(Username::new("bob").unwrap())];
        assert_eq!(chats.each_ref().map(ChatId::to_string), [format!("#{room}"), "bob".to_owned()]);
        for chat in chats {
            assert_eq!(chat.to_string().parse::<ChatId>().unwrap(), chat);
        }
        for bad in ["", "#", "#ops", "#bob", "Bob", "##", "bob#"] {
            assert!(bad.parse::<ChatId>().is_err(), "{bad}");
        }
    }
}
