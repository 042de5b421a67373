//! The list of chats.

use super::{
    Tx,
    error::Result,
    limits::DRAFT_BYTES,
    messages::{COLUMNS, read},
    rows::{Columns, bounded},
};
use crate::{api::Chat, chat::ChatId};

impl Tx<'_> {
    /// Opens a chat, empty, at the top of the list. Changes nothing when it is there already.
    pub fn open_chat(&self, chat: &ChatId) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO chats (chat, rank, read_up_to, draft)
                   VALUES (?1, (SELECT coalesce(max(place), 0) FROM messages), 0, '')";
        self.run(sql, [chat.to_string()])?;
        Ok(())
    }

    /// All chats, most recent first. A chat whose account is not a contact is left out.
    pub fn chats(&self) -> Result<Vec<Chat>> {
        let sql = "SELECT chat, read_up_to, draft FROM chats ORDER BY rank DESC";
        let rows = self.all(sql, [], |row| Ok((row.chat(0)?, row.get(1)?, row.get(2)?)))?;
        let mut chats = Vec::with_capacity(rows.len());
        for (chat, read_up_to, draft) in rows {
            chats.extend(self.with_other_side(&chat, read_up_to, draft)?);
        }
        Ok(chats)
    }

    /// One chat; `None` when there is none, or its account is not a contact.
    pub fn chat(&self, chat: &ChatId) -> Result<Option<Chat>> {
        let sql = "SELECT read_up_to, draft FROM chats WHERE chat = ?1";
        match self.one(sql, [chat.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))? {
            Some((read_up_to, draft)) => self.with_other_side(chat, read_up_to, draft),
            None => Ok(None),
        }
    }

    /// Keeps the text somebody is writing; empty removes it. At most [`DRAFT_BYTES`].
    pub fn set_draft(&self, chat: &ChatId, text: &str) -> Result<()> {
        bounded(text.len(), DRAFT_BYTES, "draft")?;
        self.open_chat(chat)?;
        self.run("UPDATE chats SET draft = ?2 WHERE chat = ?1", [chat.to_string().as_str(), text])?;
        Ok(())
    }

    fn with_other_side(&self, chat: &ChatId, read_up_to: i64, draft: String) -> Result<Option<Chat>> {
        let (contact, room) = match chat {
            ChatId::Person(account) => (self.contact(account)?, None),
            ChatId::Room(id) => match self.room(*id)? {
                Some(stored) => (None, Some(self.shown_room(&stored)?)),
                None => (None, None),
            },
        };
        if contact.is_none() && room.is_none() {
            return Ok(None);
        }
        let newest = format!("SELECT {COLUMNS} FROM messages WHERE chat = ?1 ORDER BY place DESC LIMIT 1");
        Ok(Some(Chat {
            chat: self.shown(chat)?,
            contact,
            room,
            unread: self.unread(chat)?,
            read_up_to,
            last: self.one(&newest, [chat.to_string()], read)?,
            draft,
        }))
    }

    /// A line was stored in a chat.
    pub(super) fn raise_chat(&self, chat: &ChatId, order: i64) -> Result<()> {
        let sql = "INSERT INTO chats (chat, rank, read_up_to, draft) VALUES (?1, ?2, 0, '')
                   ON CONFLICT (chat) DO UPDATE SET rank = excluded.rank";
        self.run(sql, (chat.to_string(), order))?;
        Ok(())
    }

    /// Moves a chat's read position forward, never past its newest line.
    pub(super) fn set_read_up_to(&self, chat: &ChatId, up_to: i64) -> Result<()> {
        let sql = "UPDATE chats SET read_up_to = max(read_up_to, min(?2,
                   (SELECT coalesce(max(place), 0) FROM messages WHERE chat = ?1))) WHERE chat = ?1";
        self.run(sql, (chat.to_string(), up_to))?;
        Ok(())
    }

    /// Received messages that are unread, in all chats.
    pub fn unread_total(&self) -> Result<u64> {
        let unread = super::codes::Code::code(crate::api::MessageState::Received);
        self.row(&format!("SELECT count(*) FROM messages WHERE state = {unread}"), [], |row| row.number(0))
    }
}
