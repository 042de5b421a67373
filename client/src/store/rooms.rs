//! Rooms as this device knows them. What MLS keeps of them stands beside it.

use rusqlite::{Row, params};
use subrosa_protocol::{RoomId, SafeText, Username};
use zeroize::Zeroizing;

use super::{
    StoreError, Tx,
    codes::Code,
    error::Result,
    limits::{EARLIER_INVITATIONS, EARLIER_INVITATIONS_OF_ONE, ROOMS},
    rows::{Columns, clamped, counter},
};
use crate::{
    api::{Role, Room, RoomState, Visibility},
    chat::ChatId,
    label::skeleton,
};

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its id.
    pub id: RoomId,
    /// What people type, without `#`; it never changes.
    pub label: String,
    /// Where this device stands.
    pub state: RoomState,
    /// Who can find and join it.
    pub visibility: Visibility,
    /// Its name in the relay's directory.
    pub slug: Option<String>,
    /// What it is called.
    pub name: SafeText,
    /// What it is about.
    pub topic: SafeText,
    /// What the directory says of it.
    pub description: SafeText,
    /// What this account may do.
    pub role: Option<Role>,
    /// Accounts that are members.
    pub members: u32,
    /// The MLS cipher suite; empty while it is not known.
    pub suite: String,
    /// The MLS group's generation.
    pub generation: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The highest `seq` of the log that was dealt with.
    pub cursor: u64,
    /// The secret half of the room's owner key, on devices of owners.
    pub owner_secret: Option<Zeroizing<[u8; 32]>>,
    /// The one that follows, until the commit that brings it is read.
    pub next_secret: Option<Zeroizing<[u8; 32]>>,
    /// Who invited this account, while it has not answered.
    pub invited_by: Option<Username>,
    /// The invitation as it came, while it was not accepted.
    pub invitation: Option<Vec<u8>>,
    /// Whether its messages make no noise here.
    pub muted: bool,
    /// Why its log cannot be followed any further before an owner makes the group anew.
    pub refused: Option<SafeText>,
    /// Whether the relay says that this device is not in it, though nobody took it out.
    pub denied: bool,
    /// Whether a Welcome was processed, and the relay has not been told so.
    pub accepting: bool,
    /// Whether this device asked to leave, and has not heard whether it did.
    pub leaving: bool,
}

impl StoredRoom {
    /// A room of which nothing is known yet.
    #[must_use]
    pub fn new(id: RoomId, label: String, visibility: Visibility) -> Self {
        Self {
            id,
            label,
            state: RoomState::Joining,
            visibility,
            slug: None,
            name: SafeText::default(),
            topic: SafeText::default(),
            description: SafeText::default(),
            role: None,
            members: 0,
            suite: String::new(),
            generation: 0,
            epoch: 0,
            cursor: 0,
            owner_secret: None,
            next_secret: None,
            invited_by: None,
            invitation: None,
            muted: false,
            refused: None,
            denied: false,
            accepting: false,
            leaving: false,
        }
    }

    /// `#ops`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("#{}", self.label)
    }

    /// Whether this device is in it and it goes on: its log can be followed, and the relay does not deny it.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.state == RoomState::Joined && self.refused.is_none() && !self.denied
    }
}

const COLUMNS: &str = "room, label, state, public, slug, name, topic, description, role, members, suite, generation, epoch, \
                       cursor, owner_secret, invited_by, invitation, muted, refused, next_secret, denied, accepting, \
                       leaving";

fn read(row: &Row<'_>) -> Result<StoredRoom> {
    let name = |column| Ok::<_, StoreError>(SafeText::single_line(&row.get::<_, String>(column)?));
    let secret: Option<[u8; 32]> = row.get(14)?;
    let by: Option<String> = row.get(15)?;
    Ok(StoredRoom {
        id: row.room(0)?,
        label: row.get(1)?,
        state: row.value(2)?,
        visibility: if row.get(3)? { Visibility::Public } else { Visibility::Private },
        slug: row.get(4)?,
        name: name(5)?,
        topic: name(6)?,
        description: name(7)?,
        role: row.get::<_, Option<i64>>(8)?.map(Role::from_code).transpose()?,
        members: row.get(9)?,
        suite: row.get(10)?,
        generation: row.get(11)?,
        epoch: row.number(12)?,
        cursor: row.number(13)?,
        owner_secret: secret.map(Zeroizing::new),
        next_secret: row.get::<_, Option<[u8; 32]>>(19)?.map(Zeroizing::new),
        invited_by: by
            .map(|name| Username::new(name).map_err(|_| StoreError::Corrupt("username")))
            .transpose()?,
        invitation: row.get(16)?,
        muted: row.get(17)?,
        refused: row.get::<_, Option<String>>(18)?.map(|text| SafeText::single_line(&text)),
        denied: row.get(20)?,
        accepting: row.get(21)?,
        leaving: row.get(22)?,
    })
}

impl Tx<'_> {
    /// A room.
    pub fn room(&self, id: RoomId) -> Result<Option<StoredRoom>> {
        self.one(&format!("SELECT {COLUMNS} FROM rooms WHERE room = ?1"), [id.as_bytes()], read)
    }

    /// The room that people call by this label, without `#`.
    pub fn room_labelled(&self, label: &str) -> Result<Option<StoredRoom>> {
        self.one(&format!("SELECT {COLUMNS} FROM rooms WHERE label = ?1"), [label], read)
    }

    /// All rooms, by label.
    pub fn rooms(&self) -> Result<Vec<StoredRoom>> {
        self.all(&format!("SELECT {COLUMNS} FROM rooms ORDER BY label"), [], read)
    }

    /// Stores a room over what was there; its chat is opened. Its label is kept as it was.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when it is new and there are [`ROOMS`] of them.
    pub fn put_room(&self, room: &StoredRoom) -> Result<()> {
        if self.room(room.id)?.is_none() && self.room_count()? >= ROOMS {
            return Err(StoreError::Limit("the number of rooms"));
        }
        let chat = ChatId::from(room.id);
        let sql = "INSERT INTO rooms (room, chat, label, state, public, slug, name, topic, description, role, members,
                   suite, generation, epoch, cursor, owner_secret, invited_by, invitation, muted, refused, next_secret,
                   denied, accepting, leaving)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                   ?22, ?23, ?24)
                   ON CONFLICT (room) DO UPDATE SET state = excluded.state, public = excluded.public,
                   slug = excluded.slug, name = excluded.name, topic = excluded.topic,
                   description = excluded.description, role = excluded.role, members = excluded.members,
                   suite = excluded.suite, generation = excluded.generation, epoch = excluded.epoch,
                   cursor = excluded.cursor, owner_secret = excluded.owner_secret, invited_by = excluded.invited_by,
                   invitation = excluded.invitation, muted = excluded.muted, refused = excluded.refused,
                   next_secret = excluded.next_secret, denied = excluded.denied,
                   accepting = excluded.accepting,
                   leaving = excluded.leaving";
        self.run(
            sql,
            params![
                room.id.as_bytes(),
                chat.to_string(),
                room.label,
                room.state.code(),
                room.visibility == Visibility::Public,
                room.slug,
                room.name.as_str(),
                room.topic.as_str(),
                room.description.as_str(),
                room.role.map(Code::code),
                room.members,
                room.suite,
                room.generation,
                counter(room.epoch)?,
                counter(room.cursor)?,
                room.owner_secret.as_ref().map(|secret| secret.as_slice()),
                room.invited_by.as_ref().map(Username::as_str),
                room.invitation,
                room.muted,
                room.refused.as_deref(),
                room.next_secret.as_ref().map(|secret| secret.as_slice()),
                room.denied,
                room.accepting,
                room.leaving,
            ],
        )?;
        if room.invitation.is_none() {
            self.run("DELETE FROM earlier_invitations WHERE room = ?1", [room.id.as_bytes()])?;
        }
        self.open_chat(&chat)
    }

    /// Keeps an invitation that came before the one of the room's row: of one account the newest
    /// [`EARLIER_INVITATIONS_OF_ONE`], [`EARLIER_INVITATIONS`] in all.
    pub fn keep_earlier_invitation(&self, room: RoomId, by: &Username, invitation: &[u8]) -> Result<()> {
        let room = room.as_bytes();
        let sql = "INSERT INTO earlier_invitations (room, invited_by, invitation) VALUES (?1, ?2, ?3)";
        self.run(sql, params![room, by.as_str(), invitation])?;
        let sql = "DELETE FROM earlier_invitations WHERE room = ?1 AND invited_by = ?2 AND number NOT IN
                   (SELECT number FROM earlier_invitations WHERE room = ?1 AND invited_by = ?2
                    ORDER BY number DESC LIMIT ?3)";
        self.run(sql, params![room, by.as_str(), EARLIER_INVITATIONS_OF_ONE])?;
        let sql = "DELETE FROM earlier_invitations WHERE room = ?1 AND number NOT IN
                   (SELECT number FROM earlier_invitations WHERE room = ?1 ORDER BY number DESC LIMIT ?2)";
        self.run(sql, params![room, EARLIER_INVITATIONS])?;
        Ok(())
    }

    /// The newest of a room's earlier invitations, which is none of them any more: who sent it, and the invitation.
    pub fn take_earlier_invitation(&self, room: RoomId) -> Result<Option<(Username, Vec<u8>)>> {
        let sql = "DELETE FROM earlier_invitations WHERE number =
                   (SELECT max(number) FROM earlier_invitations WHERE room = ?1) RETURNING invited_by, invitation";
        self.one(sql, [room.as_bytes()], |row| Ok((row.account(0)?, row.get(1)?)))
    }

    /// The log of a room was dealt with up to `seq`.
    pub fn set_room_cursor(&self, id: RoomId, seq: u64) -> Result<()> {
        self.run("UPDATE rooms SET cursor = ?2 WHERE room = ?1", params![id.as_bytes(), clamped(seq)])?;
        Ok(())
    }

    /// How many rooms there are.
    pub fn room_count(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM rooms", [], |row| row.number(0))
    }

    /// A label that no room has, and that looks like none of another script: `wish`, or `wish-2` and so on.
    pub fn free_label(&self, wish: &str) -> Result<String> {
        let taken: Vec<String> = self.all("SELECT label FROM rooms", [], |row| Ok(row.get(0)?))?;
        // Among plain letters, what is written differently is different.
        let same = |known: &String, label: &str| {
            known == label || !(known.is_ascii() && label.is_ascii()) && skeleton(known) == skeleton(label)
        };
        let mut label = wish.to_owned();
        for number in 2u32.. {
            if !taken.iter().any(|known| same(known, &label)) {
                break;
            }
            label = format!("{wish}-{number}");
        }
        Ok(label)
    }

    /// What people call a chat: a name, or `#` and a room's label.
    pub fn shown(&self, chat: &ChatId) -> Result<String> {
        Ok(match chat.room() {
            Some(id) => self.room(id)?.map_or_else(|| chat.to_string(), |room| room.shown()),
            None => chat.to_string(),
        })
    }

    /// Unread messages of a room that mention this account.
    pub fn mentions(&self, chat: &ChatId) -> Result<u64> {
        let unread = crate::api::MessageState::Received.code();
        let sql =
            format!("SELECT count(*) FROM messages WHERE chat = ?1 AND state = {unread} AND mention = 1");
        self.row(&sql, [chat.to_string()], |row| row.number(0))
    }

    /// The newest message of a device in a room: its counter and hash. (0, zeros) before the first.
    pub fn room_chain(&self, room: RoomId, account: &Username, device: u32) -> Result<(u64, [u8; 32])> {
        let sql = "SELECT counter, hash FROM room_chains WHERE room = ?1 AND account = ?2 AND device = ?3";
        let found = self.one(sql, params![room.as_bytes(), account.as_str(), device], |row| {
            Ok((row.number(0)?, row.get(1)?))
        })?;
        Ok(found.unwrap_or((0, [0; 32])))
    }

    /// Sets it.
    pub fn set_room_chain(
        &self,
        room: RoomId,
        account: &Username,
        device: u32,
        to: u64,
        hash: &[u8; 32],
    ) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO room_chains (room, account, device, counter, hash) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, params![room.as_bytes(), account.as_str(), device, counter(to)?, hash])?;
        Ok(())
    }

    /// Rooms in which an account wrote, at most `max`.
    pub fn rooms_of_writer(&self, account: &Username, max: usize) -> Result<Vec<RoomId>> {
        let sql = "SELECT DISTINCT room FROM room_chains WHERE account = ?1 ORDER BY room LIMIT ?2";
        self.all(sql, params![account.as_str(), super::rows::count(max)], |row| row.room(0))
    }

    /// Whether an account is to be told where this device is in a room: it was not since `before` (ms since 1970). It counts
    /// as told at `now` then.
    pub fn tell_room_state(&self, room: RoomId, account: &Username, before: u64, now: u64) -> Result<bool> {
        let sql = "INSERT INTO room_states_told (room, account, told_at) VALUES (?1, ?2, ?3)
                   ON CONFLICT (room, account) DO UPDATE SET told_at = excluded.told_at WHERE told_at <= ?4";
        let told = params![room.as_bytes(), account.as_str(), clamped(now), clamped(before)];
        Ok(self.run(sql, told)? > 0)
    }

    /// Forgets the chains of a room's other devices: after joining anew they begin anywhere.
    pub fn forget_room_chains(&self, room: RoomId) -> Result<()> {
        self.run("DELETE FROM room_chains WHERE room = ?1", [room.as_bytes()])?;
        Ok(())
    }

    /// Deletes a room that came to nothing, and its chat.
    pub fn delete_room(&self, room: RoomId) -> Result<()> {
        self.run("DELETE FROM chats WHERE chat = ?1", [ChatId::from(room).to_string()])?;
        self.run("DELETE FROM rooms WHERE room = ?1", [room.as_bytes()])?;
        self.run("DELETE FROM room_commits_seen WHERE room = ?1", [room.as_bytes()])?;
        self.run("DELETE FROM room_evidence WHERE room = ?1", [room.as_bytes()])?;
        self.forget_seats(room)?;
        Ok(())
    }

    /// A room as front ends see it. How many members one has that this device is not in, it does not know.
    pub fn shown_room(&self, stored: &StoredRoom) -> Result<Room> {
        let out = matches!(stored.state, RoomState::Left | RoomState::Removed);
        Ok(Room {
            chat: stored.shown(),
            id: stored.id.to_string(),
            name: stored.name.clone(),
            topic: stored.topic.clone(),
            description: stored.description.clone(),
            slug: stored.slug.clone(),
            visibility: stored.visibility,
            state: Some(stored.state),
            role: stored.role,
            members: if out { 0 } else { stored.members },
            suite: stored.suite.clone(),
            epoch: stored.epoch,
            invited_by: stored.invited_by.as_ref().map(ToString::to_string),
            muted: stored.muted,
            denied: stored.denied,
            mentions: self.mentions(&ChatId::from(stored.id))?,
        })
    }

    /// Notes that a member has stored, or seen, a message of this account; whether that is news.
    pub fn note_room_receipt(
        &self,
        message: subrosa_protocol::MessageId,
        account: &Username,
        read: bool,
    ) -> Result<bool> {
        let sql = "INSERT INTO room_receipts (message_id, account, read) VALUES (?1, ?2, ?3)
                   ON CONFLICT (message_id, account) DO UPDATE SET read = 1 WHERE read = 0 AND excluded.read = 1";
        Ok(self.run(sql, params![message.as_bytes(), account.as_str(), read])? > 0)
    }

    /// Which members have stored a message of this account, and whether each has seen it; by name.
    pub fn room_receipts(&self, message: subrosa_protocol::MessageId) -> Result<Vec<(Username, bool)>> {
        let sql = "SELECT account, read FROM room_receipts WHERE message_id = ?1 ORDER BY account";
        self.all(sql, [message.as_bytes()], |row| Ok((row.account(0)?, row.get(1)?)))
    }
}
