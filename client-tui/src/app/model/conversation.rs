//! The open chat.

use super::{Laid, Roster, Timeline};

/// The open chat.
#[derive(Debug)]
pub struct Conversation {
    /// Whose.
    pub chat: String,
    /// Its messages.
    pub timeline: Timeline,
    /// `order` of the selected message.
    pub selected: Option<i64>,
    /// The line `new` stands behind the message of this `order`.
    pub new_after: Option<i64>,
    /// What the engine was told that the person has seen.
    pub read_told: i64,
    /// Whether the newest messages were asked for again, and whether they must be once more.
    pub tail: super::Refresh,
    /// Its texts as they were wrapped last.
    pub laid: Laid,
    /// The members, of a room.
    pub roster: Roster,
    /// Who has the message whose details are shown, as the engine told last.
    pub holders: Option<Holders>,
    /// Counts the windows, so that answers for an older one are not looked at.
    pub generation: u32,
}

impl Conversation {
    /// A chat whose messages have not come yet.
    #[must_use]
    pub fn new(chat: impl Into<String>) -> Self {
        Self {
            chat: chat.into(),
            timeline: Timeline::default(),
            selected: None,
            new_after: None,
            read_told: i64::MIN,
            tail: super::Refresh::default(),
            laid: Laid::default(),
            roster: Roster::default(),
            holders: None,
            generation: 0,
        }
    }

    /// Whether it is a room.
    #[must_use]
    pub fn is_room(&self) -> bool {
        self.chat.starts_with('#')
    }
}

/// Which members of a room have an own message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    /// The message.
    pub id: String,
    /// Whose device has stored it, by name.
    pub delivered_to: Vec<String>,
    /// Who of them has seen it.
    pub read_by: Vec<String>,
}
