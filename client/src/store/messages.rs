//! Lines of chats: texts and notices.

use std::collections::BTreeMap;

use rusqlite::{Row, params};
use subrosa_protocol::{MessageId, SafeText, Username};

use super::{
    StoreError, Tx,
    codes::Code,
    error::Result,
    limits::{HISTORY_PAGE, IDEMPOTENCY_KEY_BYTES, PLACED_AT_ONCE, READ_AT_ONCE, REASON_BYTES},
    rows::{Columns, bounded, clamped, page},
};
use crate::{
    api::{
        Direction, HistoryPage, Marks, Message, MessageKind, MessageState, Role, RoomReceipts, SignOf,
        time::Timestamp,
    },
    chat::ChatId,
};

/// A line that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Chosen by its writer; of a notice, random.
    pub id: MessageId,
    /// The chat.
    pub chat: ChatId,
    /// Whose it is.
    pub direction: Direction,
    /// Who wrote it; of a notice, whom it is about.
    pub from: Username,
    /// The device that wrote it; 0 for notices about a whole account.
    pub device: u32,
    /// What it says.
    pub kind: MessageKind,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The writer's clock.
    pub sent_at: Timestamp,
    /// This device's clock.
    pub stored_at: Timestamp,
    /// How far it is.
    pub state: MessageState,
    /// Why it is held.
    pub reason: Option<SafeText>,
    /// Whether its writer is verified.
    pub verified: bool,
    /// The idempotency key it was sent with.
    pub key: Option<String>,
    /// Whether it mentions this account, in a room.
    pub mention: bool,
}

/// A message of somebody else: its sender may be told that it came or was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMessage {
    /// Its place.
    pub order: i64,
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub from: Username,
    /// On which device.
    pub device: u32,
}

/// What [`read`] reads. The chat of a room is shown by its label.
pub(super) const COLUMNS: &str = "place, id, CASE WHEN chat >= '#' AND chat < '$' THEN \
                                  coalesce((SELECT '#' || rooms.label FROM rooms WHERE rooms.chat = messages.chat), \
                                  chat) ELSE chat END, direction, sender, device, kind, number, text, reply_to, sent_at, \
                                  stored_at, state, reason, verified, edited, pinned, \
                                  (SELECT group_concat(sign || char(31) || account, char(30)) FROM reactions \
                                  WHERE reactions.place = messages.place), \
                                  CASE WHEN direction = 0 AND chat >= '#' AND chat < '$' THEN \
                                  (SELECT count(*) FROM room_receipts WHERE message_id = messages.id) END, \
                                  CASE WHEN direction = 0 AND chat >= '#' AND chat < '$' THEN \
                                  (SELECT sum(read) FROM room_receipts WHERE message_id = messages.id) END, \
                                  CASE WHEN direction = 0 AND chat >= '#' AND chat < '$' THEN \
                                  (SELECT members FROM rooms WHERE rooms.chat = messages.chat) END, mention, deleted_by";

/// The stored form of a kind: its number, a number that belongs to it, its text.
fn kind_columns(kind: &MessageKind) -> (i64, i64, Option<&str>) {
    match kind {
        MessageKind::Text { text } => (0, 0, Some(text.as_str())),
        MessageKind::Missing { count } => (1, clamped(*count), None),
        MessageKind::Undecryptable {} => (2, 0, None),
        MessageKind::NewerVersion {} => (3, 0, None),
        MessageKind::IdentityChanged {} => (4, 0, None),
        MessageKind::IdentityTrusted {} => (5, 0, None),
        MessageKind::IdentityVerified {} => (6, 0, None),
        MessageKind::DeviceAdded { device } => (7, i64::from(*device), None),
        MessageKind::DeviceRemoved { device } => (8, i64::from(*device), None),
        MessageKind::ListForked {} => (9, 0, None),
        MessageKind::RoomCreated {} => (20, 0, None),
        MessageKind::MemberInvited { name } => (21, 0, Some(name)),
        MessageKind::MemberJoined {} => (22, 0, None),
        MessageKind::MemberLeft {} => (23, 0, None),
        MessageKind::MemberRemoved { name } => (24, 0, Some(name)),
        MessageKind::MemberBanned { name } => (25, 0, Some(name)),
        MessageKind::MemberUnbanned { name } => (26, 0, Some(name)),
        MessageKind::MemberMuted { name } => (27, 0, Some(name)),
        MessageKind::MemberUnmuted { name } => (28, 0, Some(name)),
        MessageKind::RoleChanged { name, role } => (29, role.code(), Some(name)),
        MessageKind::TopicChanged { topic } => (30, 0, Some(topic.as_str())),
        MessageKind::RoomRenamed { name } => (31, 0, Some(name.as_str())),
        MessageKind::CommitRefused { why } => (32, 0, Some(why.as_str())),
        MessageKind::RoomRenewed {} => (33, 0, None),
        MessageKind::RoomCutOff {} => (34, 0, None),
        MessageKind::RoomChanged {} => (35, 0, None),
        MessageKind::Deleted { .. } => (36, 0, None),
        MessageKind::RoomDenied {} => (37, 0, None),
        MessageKind::RoomAnswered {} => (38, 0, None),
        MessageKind::MemberSilent { name, device } => (39, i64::from(*device), Some(name)),
        MessageKind::SilentRemoved { name, device } => (40, i64::from(*device), Some(name)),
        MessageKind::MemberDeclined {} => (41, 0, None),
        MessageKind::InvitationEnded { name } => (42, 0, Some(name)),
    }
}

fn kind_of(code: i64, number: u64, text: Option<String>) -> Result<MessageKind> {
    let device = u32::try_from(number).map_err(|_| StoreError::Corrupt("device id"));
    let said = || text.ok_or(StoreError::Corrupt("message"));
    Ok(match code {
        0 => MessageKind::Text { text: SafeText::multi_line(&said()?) },
        1 => MessageKind::Missing { count: number },
        2 => MessageKind::Undecryptable {},
        3 => MessageKind::NewerVersion {},
        4 => MessageKind::IdentityChanged {},
        5 => MessageKind::IdentityTrusted {},
        6 => MessageKind::IdentityVerified {},
        7 => MessageKind::DeviceAdded { device: device? },
        8 => MessageKind::DeviceRemoved { device: device? },
        9 => MessageKind::ListForked {},
        20 => MessageKind::RoomCreated {},
        21 => MessageKind::MemberInvited { name: said()? },
        22 => MessageKind::MemberJoined {},
        23 => MessageKind::MemberLeft {},
        24 => MessageKind::MemberRemoved { name: said()? },
        25 => MessageKind::MemberBanned { name: said()? },
        26 => MessageKind::MemberUnbanned { name: said()? },
        27 => MessageKind::MemberMuted { name: said()? },
        28 => MessageKind::MemberUnmuted { name: said()? },
        29 => MessageKind::RoleChanged { name: said()?, role: Role::from_code(clamped(number))? },
        30 => MessageKind::TopicChanged { topic: SafeText::single_line(&said()?) },
        31 => MessageKind::RoomRenamed { name: SafeText::single_line(&said()?) },
        32 => MessageKind::CommitRefused { why: SafeText::single_line(&said()?) },
        33 => MessageKind::RoomRenewed {},
        34 => MessageKind::RoomCutOff {},
        35 => MessageKind::RoomChanged {},
        36 => MessageKind::Deleted { by: None },
        37 => MessageKind::RoomDenied {},
        38 => MessageKind::RoomAnswered {},
        39 => MessageKind::MemberSilent { device: device?, name: said()? },
        40 => MessageKind::SilentRemoved { device: device?, name: said()? },
        41 => MessageKind::MemberDeclined {},
        42 => MessageKind::InvitationEnded { name: said()? },
        _ => return Err(StoreError::Corrupt("message kind")),
    })
}

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Result<Message> {
    let reply_to: Option<[u8; 16]> = row.get(9)?;
    let reason: Option<String> = row.get(13)?;
    Ok(Message {
        order: row.get(0)?,
        id: row.message_id(1)?.to_string(),
        chat: row.get(2)?,
        direction: row.value(3)?,
        from: row.get(4)?,
        device: row.get(5)?,
        kind: match kind_of(row.get(6)?, row.number(7)?, row.get(8)?)? {
            MessageKind::Deleted { .. } => MessageKind::Deleted { by: row.get(22)? },
            kind => kind,
        },
        reply_to: reply_to.map(|id| MessageId::from_bytes(id).to_string()),
        sent_at: Timestamp(row.number(10)?),
        stored_at: Timestamp(row.number(11)?),
        state: row.value(12)?,
        reason: reason.map(|text| SafeText::single_line(&text)),
        verified: row.get(14)?,
        marks: Marks {
            edited: row.get(15)?,
            pinned: row.get(16)?,
            reactions: signs(row.get(17)?),
            receipts: receipts(row)?,
            mention: row.get(21)?,
        },
    })
}

/// `sign US account`, separated by RS; neither stands in a sign or a name.
fn signs(joined: Option<String>) -> Vec<SignOf> {
    let mut by_sign = BTreeMap::<&str, Vec<String>>::new();
    let joined = joined.unwrap_or_default();
    for (sign, account) in joined.split('\u{1e}').filter_map(|one| one.split_once('\u{1f}')) {
        by_sign.entry(sign).or_default().push(account.to_owned());
    }
    let sorted = by_sign.into_iter().map(|(sign, mut by)| {
        by.sort();
        SignOf { sign: SafeText::single_line(sign), by }
    });
    sorted.collect()
}

fn receipts(row: &Row<'_>) -> Result<Option<RoomReceipts>> {
    let Some(delivered) = row.get::<_, Option<u32>>(18)?.filter(|count| *count > 0) else { return Ok(None) };
    let read = row.get::<_, Option<u32>>(19)?.unwrap_or(0);
    let members = row.get::<_, Option<u32>>(20)?.unwrap_or(0);
    Ok(Some(RoomReceipts { of: members.saturating_sub(1), delivered, read }))
}

fn read_place(row: &Row<'_>) -> Result<ReadMessage> {
    Ok(ReadMessage { order: row.get(0)?, id: row.message_id(1)?, from: row.account(2)?, device: row.get(3)? })
}

impl Tx<'_> {
    /// Stores a line at the end of its chat, which is opened if need be. `None`, and nothing is changed, when its writer's
    /// message of this id is stored already.
    pub fn insert_message(&self, message: &NewMessage) -> Result<Option<Message>> {
        bounded(message.key.as_ref().map_or(0, String::len), IDEMPOTENCY_KEY_BYTES, "idempotency key")?;
        bounded(message.reason.as_ref().map_or(0, |r| r.len()), REASON_BYTES, "reason")?;
        let known = "SELECT 1 FROM messages WHERE id = ?1 AND sender = ?2";
        let params = params![message.id.as_bytes(), message.from.as_str()];
        if self.one(known, params, |_| Ok(()))?.is_some() {
            return Ok(None);
        }
        let (kind, number, text) = kind_columns(&message.kind);
        let sql = "INSERT INTO messages (id, chat, direction, sender, device, kind, number, text, reply_to, sent_at,
                   stored_at, state, reason, verified, key, mention)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
        self.run(
            sql,
            params![
                message.id.as_bytes(),
                message.chat.to_string(),
                message.direction.code(),
                message.from.as_str(),
                message.device,
                kind,
                number,
                text,
                message.reply_to.as_ref().map(MessageId::as_bytes),
                clamped(message.sent_at.0),
                clamped(message.stored_at.0),
                message.state.code(),
                message.reason.as_deref(),
                message.verified,
                message.key,
                message.mention,
            ],
        )?;
        let order = self.inserted();
        self.raise_chat(&message.chat, order)?;
        Ok(Some(Message {
            order,
            id: message.id.to_string(),
            chat: self.shown(&message.chat)?,
            direction: message.direction,
            from: message.from.to_string(),
            device: message.device,
            kind: message.kind.clone(),
            reply_to: message.reply_to.map(|id| id.to_string()),
            // As the columns hold them: a hostile clock may say more.
            sent_at: Timestamp(message.sent_at.0.min(i64::MAX.unsigned_abs())),
            stored_at: Timestamp(message.stored_at.0.min(i64::MAX.unsigned_abs())),
            state: message.state,
            reason: message.reason.clone(),
            verified: message.verified,
            marks: Marks::default(),
        }))
    }

    /// The line at a place.
    pub fn message_at(&self, order: i64) -> Result<Option<Message>> {
        self.one(&format!("SELECT {COLUMNS} FROM messages WHERE place = ?1"), [order], read)
    }

    /// The chat of the line at a place.
    pub fn chat_of(&self, order: i64) -> Result<Option<ChatId>> {
        self.one("SELECT chat FROM messages WHERE place = ?1", [order], |row| row.chat(0))
    }

    /// How far the line at a place is.
    pub fn message_state(&self, order: i64) -> Result<Option<MessageState>> {
        self.one("SELECT state FROM messages WHERE place = ?1", [order], |row| row.value(0))
    }

    /// The message of this id that an account wrote.
    pub fn message_from(&self, from: &Username, id: MessageId) -> Result<Option<Message>> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1 AND sender = ?2");
        self.one(&sql, params![id.as_bytes(), from.as_str()], read)
    }

    /// The message of this id; of several accounts that chose the same id, the first that was stored.
    pub fn message(&self, id: MessageId) -> Result<Option<Message>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE place = (SELECT min(place) FROM messages WHERE id = ?1)"
        );
        self.one(&sql, [id.as_bytes()], read)
    }

    /// The message that was sent to a chat with this idempotency key.
    pub fn message_by_key(&self, chat: &ChatId, key: &str) -> Result<Option<Message>> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE chat = ?1 AND key = ?2");
        self.one(&sql, (chat.to_string(), key), read)
    }

    /// Sets how far a line is and why it is not further. Whether there is such a line.
    pub fn set_message_state(
        &self,
        order: i64,
        state: MessageState,
        reason: Option<&SafeText>,
    ) -> Result<bool> {
        bounded(reason.map_or(0, |r| r.len()), REASON_BYTES, "reason")?;
        let sql = "UPDATE messages SET state = ?2, reason = ?3 WHERE place = ?1";
        Ok(self.run(sql, params![order, state.code(), reason.map(SafeText::as_str)])? > 0)
    }

    /// Moves a message forward: held, queued, accepted, delivered, read. The message when that changed it; `None` when it
    /// was there or further already, or is not one that was sent. A failed one moves forward only to delivered or read,
    /// since then it did arrive.
    pub fn advance_message(&self, order: i64, state: MessageState) -> Result<Option<Message>> {
        let Some(message) = self.message_at(order)? else { return Ok(None) };
        let forward = match (message.state, state) {
            (MessageState::Received, _) | (_, MessageState::Received | MessageState::Failed) => false,
            (MessageState::Failed, to) => matches!(to, MessageState::Delivered | MessageState::Read),
            (from, to) => to.code() > from.code(),
        };
        if !forward {
            return Ok(None);
        }
        self.set_message_state(order, state, None)?;
        Ok(Some(Message { state, reason: None, ..message }))
    }

    /// Puts a line behind all others of its chat, if something of others came since it was written: so it stands where the log of its room
    /// has it. Own lines that wait still go with it, behind it. The places before and after, in this order; `order` comes first.
    pub fn place_last(&self, order: i64) -> Result<Vec<(i64, i64)>> {
        let Some(chat) = self.chat_of(order)? else { return Ok(Vec::new()) };
        let (out, failed) = (Direction::Out.code(), MessageState::Failed.code());
        let (held, queued) = (MessageState::Held.code(), MessageState::Queued.code());
        let others = format!(
            "SELECT 1 FROM messages WHERE chat = ?1 AND place > ?2
             AND NOT (direction = {out} AND state IN ({held}, {queued}, {failed})) LIMIT 1"
        );
        if self.one(&others, (chat.to_string(), order), |_| Ok(()))?.is_none() {
            return Ok(Vec::new());
        }
        let waiting = format!(
            "SELECT place FROM messages WHERE chat = ?1 AND place > ?2
             AND direction = {out} AND state IN ({held}, {queued}) ORDER BY place LIMIT {PLACED_AT_ONCE}"
        );
        let waiting = self.all(&waiting, (chat.to_string(), order), |row| Ok(row.get(0)?))?;
        let mut placed = Vec::with_capacity(waiting.len().saturating_add(1));
        for before in std::iter::once(order).chain(waiting) {
            placed.push((before, self.place_anew(before)?));
        }
        if let Some((_, last)) = placed.last() {
            self.raise_chat(&chat, *last)?;
        }
        Ok(placed)
    }

    /// Gives a line a place behind all lines that ever were.
    fn place_anew(&self, before: i64) -> Result<i64> {
        let next = "SELECT max((SELECT coalesce(max(place), 0) FROM messages),
                    (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages')) + 1";
        let after: i64 = self.row(next, [], |row| Ok(row.get(0)?))?;
        // With its text goes its entry in the index of texts.
        self.run("UPDATE messages SET place = ?2, text = text WHERE place = ?1", (before, after))?;
        self.run("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'messages'", [after])?;
        self.run("UPDATE reactions SET place = ?2 WHERE place = ?1", (before, after))?;
        Ok(after)
    }

    /// What had not reached the relay never will.
    pub(super) fn fail_unsent(&self, reason: &str) -> Result<()> {
        let (held, queued) = (MessageState::Held.code(), MessageState::Queued.code());
        let sql = "UPDATE messages SET state = ?1, reason = ?2 WHERE direction = ?3 AND state IN (?4, ?5)";
        self.run(sql, params![MessageState::Failed.code(), reason, Direction::Out.code(), held, queued])?;
        Ok(())
    }

    /// Sets the number of a [`MessageKind::Missing`] notice.
    pub fn set_notice_count(&self, order: i64, missing: u64) -> Result<bool> {
        let sql = "UPDATE messages SET number = ?2 WHERE place = ?1 AND kind = 1";
        Ok(self.run(sql, (order, clamped(missing)))? > 0)
    }

    /// A part of a chat's history, ascending: with `after`, the oldest that are newer; with `before`, the newest that are
    /// older; with neither, the newest; with both, the oldest between them. At most `limit`, up to [`HISTORY_PAGE`].
    pub fn history(
        &self,
        chat: &ChatId,
        before: Option<i64>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage> {
        let (low, high) = (after.unwrap_or(0), before.unwrap_or(i64::MAX));
        let direction = if after.is_some() { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE chat = ?1 AND place > ?2 AND place < ?3 ORDER BY place {direction} LIMIT ?4"
        );
        let mut messages = self.all(&sql, (chat.to_string(), low, high, page(limit, HISTORY_PAGE)), read)?;
        if after.is_none() {
            messages.reverse();
        }
        let first = messages.first().map_or(low.saturating_add(1), |m| m.order);
        let last = messages.last().map_or(high.saturating_sub(1), |m| m.order);
        let more_before = "SELECT 1 FROM messages WHERE chat = ?1 AND place < ?2 LIMIT 1";
        let more_after = "SELECT 1 FROM messages WHERE chat = ?1 AND place > ?2 LIMIT 1";
        Ok(HistoryPage {
            more_before: self.one(more_before, (chat.to_string(), first), |_| Ok(()))?.is_some(),
            more_after: self.one(more_after, (chat.to_string(), last), |_| Ok(()))?.is_some(),
            messages,
        })
    }

    /// Marks everything received in a chat up to a place as read, and moves its read position there. The messages that were
    /// unread, ascending, at most [`READ_AT_ONCE`] (the oldest; call again for the rest).
    pub fn mark_read(&self, chat: &ChatId, up_to: i64) -> Result<Vec<ReadMessage>> {
        let unread = MessageState::Received.code();
        // The literal state lets the partial index be used.
        let sql = format!(
            "SELECT place, id, sender, device FROM messages WHERE chat = ?1 AND place <= ?2 AND state = {unread}
             ORDER BY place LIMIT {READ_AT_ONCE}"
        );
        let found = self.all(&sql, (chat.to_string(), up_to), read_place)?;
        for message in &found {
            self.set_message_state(message.order, MessageState::Read, None)?;
        }
        self.set_read_up_to(chat, up_to)?;
        Ok(found)
    }

    /// How many received messages of a chat are unread.
    pub fn unread(&self, chat: &ChatId) -> Result<u64> {
        let unread = MessageState::Received.code();
        let sql = format!("SELECT count(*) FROM messages WHERE chat = ?1 AND state = {unread}");
        self.row(&sql, [chat.to_string()], |row| row.number(0))
    }

    /// How many texts an account wrote in its chat, such as those a stranger's request consists of.
    pub fn texts_from(&self, chat: &ChatId, from: &Username) -> Result<u64> {
        let sql = "SELECT count(*) FROM messages WHERE chat = ?1 AND sender = ?2 AND kind = 0";
        self.row(sql, (chat.to_string(), from.as_str()), |row| row.number(0))
    }

    /// The texts that others wrote in a chat, oldest first, at most `max`.
    pub fn incoming_texts(&self, chat: &ChatId, max: usize) -> Result<Vec<ReadMessage>> {
        let sql =
            "SELECT place, id, sender, device FROM messages WHERE chat = ?1 AND direction = 1 AND kind = 0
                   ORDER BY place LIMIT ?2";
        self.all(sql, (chat.to_string(), super::rows::count(max)), read_place)
    }

    /// Deletes a line with its text, its index entry, what waits to be encrypted of it and what events say of it. Whether
    /// there was one. The last traces in the file end with [`Store::scrub`](super::Store::scrub).
    pub fn delete_message(&self, order: i64) -> Result<bool> {
        let there = self.run("DELETE FROM messages WHERE place = ?1", [order])? > 0;
        if there {
            self.scrub_is_due()?;
        }
        Ok(there)
    }
}
