//! The chat list.

use subrosa_client::api::{
    Chat, Contact, ContactState, Direction, Message, MessageKind, MessageState, RoomState, Trust,
};

/// The chat list: most recent first, as long as nobody looks; the order stays while unread counts change.
#[derive(Debug, Default)]
pub struct Chats {
    list: Vec<Chat>,
}

impl Chats {
    /// Takes the engine's list.
    pub fn replace(&mut self, list: Vec<Chat>) {
        self.list = list;
    }

    /// The chats, in the order they are shown.
    #[must_use]
    pub fn all(&self) -> &[Chat] {
        &self.list
    }

    /// A chat by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Chat> {
        self.list.iter().find(|chat| chat.chat == name)
    }

    /// A chat by name.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Chat> {
        self.list.iter_mut().find(|chat| chat.chat == name)
    }

    /// The place of a chat in the list.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|chat| chat.chat == name)
    }

    /// The chat at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Chat> {
        self.list.get(place)
    }

    /// The chat `by` places from another one, around the ends.
    #[must_use]
    pub fn step(&self, from: Option<&str>, by: isize) -> Option<&Chat> {
        let count = isize::try_from(self.list.len()).ok().filter(|count| *count > 0)?;
        let at = from.and_then(|name| self.place(name)).and_then(|at| isize::try_from(at).ok());
        let next = at.map_or(if by < 0 { count - 1 } else { 0 }, |at| (at + by).rem_euclid(count));
        self.at(usize::try_from(next).ok()?)
    }

    /// The next chat with something unread after another one.
    #[must_use]
    pub fn next_unread(&self, from: Option<&str>) -> Option<&Chat> {
        let start = from.and_then(|name| self.place(name)).map_or(0, |at| at + 1);
        let (before, after) = self.list.split_at_checked(start)?;
        after.iter().chain(before).find(|chat| chat.unread > 0 && Some(chat.chat.as_str()) != from)
    }

    /// A message came or was written: the chat moves to the top. Tells whether the chat is known.
    pub fn touch(&mut self, message: &Message) -> bool {
        let Some(at) = self.place(&message.chat) else { return false };
        let mut chat = self.list.remove(at);
        if message.direction == Direction::In && matches!(message.kind, MessageKind::Text { .. }) {
            chat.unread = chat.unread.saturating_add(1);
        }
        if chat.last.as_ref().is_none_or(|last| last.order <= message.order) {
            chat.last = Some(message.clone());
        }
        self.list.insert(0, chat);
        true
    }

    /// Everything of a chat up to a message was read here.
    pub fn read(&mut self, name: &str, up_to: i64) {
        if let Some(chat) = self.find_mut(name) {
            chat.unread = 0;
            if let Some(room) = &mut chat.room {
                room.mentions = 0;
            }
            chat.read_up_to = chat.read_up_to.max(up_to);
        }
    }

    /// Labels of rooms, for completion.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|chat| chat.chat.as_str()).filter(|name| name.starts_with('#'))
    }

    /// Names of chats and of people, for completion, each once.
    pub fn names<'a>(&'a self, people: &'a [Contact]) -> Vec<String> {
        let mut names: Vec<String> = self
            .list
            .iter()
            .map(|chat| &chat.chat)
            .chain(people.iter().map(|who| &who.name))
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What stands at the end of a chat's line in the list: attention first, then unread messages, then how far the last own
/// message is. Always text, never colour alone.
#[must_use]
pub fn mark(chat: &Chat) -> String {
    if is_stopped(chat) {
        "!key".to_owned()
    } else if is_request(chat) {
        String::new()
    } else if let Some(mentions) = chat.room.as_ref().map(|room| room.mentions).filter(|count| *count > 0) {
        format!("@{}", mentions.min(999))
    } else if chat.unread > 0 {
        format!("*{}{}", chat.unread.min(999), if is_muted(chat) { "M" } else { "" })
    } else if is_muted(chat) {
        "M".to_owned()
    } else {
        match &chat.last {
            Some(last) if last.direction == Direction::Out => match last.state {
                MessageState::Held | MessageState::Queued => "..".to_owned(),
                MessageState::Failed => "!".to_owned(),
                _ => String::new(),
            },
            _ => String::new(),
        }
    }
}

/// Whether a room makes no noise here.
#[must_use]
pub fn is_muted(chat: &Chat) -> bool {
    chat.room.as_ref().is_some_and(|room| room.muted)
}

/// Whether a chat is a request that waits for an answer.
#[must_use]
pub fn is_request(chat: &Chat) -> bool {
    chat.contact.as_ref().is_some_and(|who| who.state == ContactState::RequestReceived)
        || chat.room.as_ref().is_some_and(|room| room.state == Some(RoomState::Invited))
}

/// Whether nothing is sent to a chat before a person decides.
#[must_use]
pub fn is_stopped(chat: &Chat) -> bool {
    chat.contact.as_ref().is_some_and(|who| matches!(who.trust, Trust::Changed | Trust::Forked))
}
