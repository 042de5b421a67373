//! What is done with a message after it was written: another text, taken back, signs beside it, pinned.

use rusqlite::params;
use subrosa_protocol::{SafeText, Username};

use super::{
    Tx,
    error::Result,
    limits::{PINS, REACTIONS_OF_ONE},
    messages::{COLUMNS, read},
};
use crate::{api::Message, chat::ChatId};

/// What came of a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reacted {
    /// It is there now, or is not any more.
    Changed,
    /// It was so before, or there is no text there.
    Unchanged,
    /// [`REACTIONS_OF_ONE`] others of the account stand there.
    TooMany,
}

impl Tx<'_> {
    /// The text at a place is another one from now on, and mentions this account or not; whether there is a text there and it was
    /// another.
    pub fn change_text(&self, order: i64, text: &SafeText, mention: bool) -> Result<bool> {
        let sql = "UPDATE messages SET text = ?2, edited = 1, mention = ?3 WHERE place = ?1 AND kind = 0 AND text <> ?2";
        let changed = self.run(sql, (order, text.as_str(), mention))? > 0;
        if changed {
            self.scrub_is_due()?;
        }
        Ok(changed)
    }

    /// Takes back the text at a place: its line stays, and says so, and by whom. Whether there was a text.
    pub fn take_back(&self, order: i64, by: &Username) -> Result<bool> {
        // An unread one (6) is read (4): there is nothing to read any more.
        let sql =
            "UPDATE messages SET kind = 36, number = 0, text = NULL, edited = 0, pinned = 0, mention = 0, deleted_by = ?2,
                   state = CASE state WHEN 6 THEN 4 ELSE state END WHERE place = ?1 AND kind = 0";
        let there = self.run(sql, params![order, by.as_str()])? > 0;
        if there {
            self.run("DELETE FROM reactions WHERE place = ?1", [order])?;
            self.scrub_is_due()?;
        }
        Ok(there)
    }

    /// Puts an account's sign beside the text at a place, or takes it away. Of one account there are at most
    /// [`REACTIONS_OF_ONE`] beside a message.
    pub fn set_reaction(
        &self,
        order: i64,
        account: &Username,
        sign: &SafeText,
        there: bool,
    ) -> Result<Reacted> {
        let done = |rows: usize| if rows > 0 { Reacted::Changed } else { Reacted::Unchanged };
        let what = params![order, account.as_str(), sign.as_str()];
        if !there {
            let sql = "DELETE FROM reactions WHERE place = ?1 AND account = ?2 AND sign = ?3";
            return Ok(done(self.run(sql, what)?));
        }
        let others = "SELECT count(*) FROM reactions WHERE place = ?1 AND account = ?2 AND sign <> ?3";
        if self.row(others, what, |row| Ok(row.get::<_, u32>(0)?))? >= REACTIONS_OF_ONE {
            return Ok(Reacted::TooMany);
        }
        let sql = "INSERT OR IGNORE INTO reactions (place, account, sign)
                   SELECT ?1, ?2, ?3 FROM messages WHERE place = ?1 AND kind = 0";
        Ok(done(self.run(sql, what)?))
    }

    /// Pins the text at a place to its chat, or takes the pin away; whether that changed anything. Of more than [`PINS`] the
    /// one that was pinned first is not any more.
    pub fn set_pinned(&self, chat: &ChatId, order: i64, there: bool) -> Result<bool> {
        if !there {
            let sql = "UPDATE messages SET pinned = 0 WHERE place = ?1 AND chat = ?2 AND pinned > 0";
            return Ok(self.run(sql, (order, chat.to_string()))? > 0);
        }
        let sql = "UPDATE messages SET pinned = (SELECT coalesce(max(pinned), 0) + 1 FROM messages
                   WHERE chat = ?2 AND pinned > 0) WHERE place = ?1 AND chat = ?2 AND pinned = 0 AND kind = 0";
        let changed = self.run(sql, (order, chat.to_string()))? > 0;
        let excess = "UPDATE messages SET pinned = 0 WHERE chat = ?1 AND pinned > 0 AND place NOT IN
                      (SELECT place FROM messages WHERE chat = ?1 AND pinned > 0 ORDER BY pinned DESC LIMIT ?2)";
        self.run(excess, (chat.to_string(), PINS))?;
        Ok(changed)
    }

    /// What is pinned to a chat, in the order in which it was pinned.
    pub fn pinned(&self, chat: &ChatId) -> Result<Vec<Message>> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE chat = ?1 AND pinned > 0 ORDER BY pinned");
        self.all(&sql, [chat.to_string()], read)
    }
}
