//! The open profile.

use std::collections::BTreeSet;

use subrosa_client::api::{ConnectionState, Contact, Room, RoomState, Status, time::Timestamp};

use super::{Chats, Composer, Conversation, Hits, Openings, Overlay};

/// Asking the engine for something again: one question at a time, however many reasons come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// Nothing asked.
    #[default]
    Idle,
    /// Asked.
    Asked,
    /// Asked, and there was a reason to ask again since.
    Again,
}

impl Refresh {
    /// There is a reason to ask. Tells whether to do it now.
    pub fn ask(&mut self) -> bool {
        let now = *self == Self::Idle;
        *self = if now { Self::Asked } else { Self::Again };
        now
    }

    /// The answer came. Tells whether to ask again.
    pub fn answered(&mut self) -> bool {
        std::mem::take(self) == Self::Again
    }
}

/// Everything of an open profile. Locking drops it.
#[derive(Debug)]
pub struct Desk {
    /// `alice@relay.example`; empty until the engine has told.
    pub account: String,
    /// The connection.
    pub connection: ConnectionState,
    /// Who writes, by room and name, as far as was told.
    pub typing: BTreeSet<(String, String)>,
    /// The room whose members were told that this person writes, and when.
    pub typing_told: Option<(String, Timestamp)>,
    /// What this profile cannot do, as it was told; `None` when all is well.
    pub fault: Option<String>,
    /// Connection, queues, prekeys, as the engine told last.
    pub status: Option<Status>,
    /// The chat list.
    pub chats: Chats,
    /// The people this profile knows.
    pub people: Vec<Contact>,
    /// The open chat.
    pub open: Option<Conversation>,
    /// Chats that were asked for and are not there yet.
    pub openings: Openings,
    /// The composer.
    pub composer: Composer,
    /// What lies over the conversation.
    pub overlay: Option<Overlay>,
    /// What a search found, while the person steps through it.
    pub hits: Option<Hits>,
    /// Whether the chat list was shown or hidden by hand.
    pub sidebar: Option<bool>,
    /// Whether the members were shown or hidden by hand.
    pub members: Option<bool>,
    /// When the draft is written to the store.
    pub draft_due: Option<Timestamp>,
    /// Asking for the chat list.
    pub chats_refresh: Refresh,
    /// Asking for the people.
    pub people_refresh: Refresh,
    /// Asking for the status.
    pub status_refresh: Refresh,
    /// Whether the chat list has come.
    pub loaded: bool,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            account: String::new(),
            connection: ConnectionState::Connecting {},
            typing: BTreeSet::new(),
            typing_told: None,
            fault: None,
            status: None,
            chats: Chats::default(),
            people: Vec::new(),
            open: None,
            openings: Openings::default(),
            composer: Composer::default(),
            overlay: None,
            hits: None,
            sidebar: None,
            members: None,
            draft_due: None,
            chats_refresh: Refresh::default(),
            people_refresh: Refresh::default(),
            status_refresh: Refresh::default(),
            loaded: false,
        }
    }
}

impl Desk {
    /// The open chat's name.
    #[must_use]
    pub fn here(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.chat.as_str())
    }

    /// The open chat, if it is a room.
    #[must_use]
    pub fn room_here(&self) -> Option<&Room> {
        self.chats.find(self.here()?)?.room.as_ref()
    }

    /// Whether the open chat is a room in which this account is.
    #[must_use]
    pub fn inside_room(&self) -> bool {
        self.room_here().is_some_and(|room| room.state == Some(RoomState::Joined))
    }

    /// Somebody, as a chat or the contact list knows them.
    #[must_use]
    pub fn contact(&self, name: &str) -> Option<&Contact> {
        self.chats
            .find(name)
            .and_then(|chat| chat.contact.as_ref())
            .or_else(|| self.people.iter().find(|who| who.name == name))
    }

    /// The open chat's other side.
    #[must_use]
    pub fn partner(&self) -> Option<&Contact> {
        self.here().and_then(|name| self.contact(name))
    }

    /// This account's name, without the relay.
    #[must_use]
    pub fn name(&self) -> &str {
        self.account.split('@').next().unwrap_or_default()
    }

    /// Takes over how somebody is now.
    pub fn set_contact(&mut self, contact: Contact) {
        if let Some(chat) = self.chats.find_mut(&contact.name) {
            chat.contact = Some(contact.clone());
        }
        match self.people.iter_mut().find(|who| who.name == contact.name) {
            Some(who) => *who = contact,
            None => self.people.push(contact),
        }
    }
}
