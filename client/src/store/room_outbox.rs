//! What is on its way to rooms: messages, and this device's own commits. Bytes that the relay may have seen never change
//! under their entry's id, unless the relay said that it did not take them (R21).

use rusqlite::{Row, params};
use subrosa_protocol::{EntryId, MessageId, RoomId, limits::PAYLOAD_BYTES};
use zeroize::Zeroizing;

use super::{
    StoreError, Tx,
    error::Result,
    limits::{OBJECT_BYTES, PENDING},
    rows::{Columns, bounded, clamped, counter},
};

/// A message to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPostRow {
    /// Ascending in the order of queueing.
    pub id: i64,
    /// The room.
    pub room: RoomId,
    /// The entry's id.
    pub entry: EntryId,
    /// The message's id.
    pub message: MessageId,
    /// The encoded payload.
    pub content: Zeroizing<Vec<u8>>,
    /// The ciphertext, once there is one.
    pub sealed: Option<SealedPost>,
    /// Its place in this device's chain, once it was encrypted: counter, and hash of the message before.
    pub place: Option<(u64, [u8; 32])>,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// Not to be sent before this time, ms since 1970.
    pub next_try: u64,
    /// ms since 1970.
    pub queued_at: u64,
}

/// A message to a room, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPost {
    /// The MLS message.
    pub bytes: Vec<u8>,
    /// The generation of the group it was made in.
    pub generation: u32,
    /// The epoch.
    pub epoch: u64,
}

/// A commit of this device that the relay has neither taken nor refused yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommit {
    /// The room.
    pub room: RoomId,
    /// The entry's id.
    pub entry: EntryId,
    /// The generation of the group it was made in.
    pub generation: u32,
    /// The epoch it was made in.
    pub epoch: u64,
    /// The newest `seq` that was dealt with when it was made.
    pub after: u64,
    /// The encoded delta.
    pub delta: Vec<u8>,
    /// The MLS commit.
    pub bytes: Vec<u8>,
    /// The Welcome for whom it adds.
    pub welcome: Option<Vec<u8>>,
    /// The GroupInfo of the epoch it begins.
    pub group_info: Option<Vec<u8>>,
    /// The encoded invitations.
    pub invitations: Vec<u8>,
    /// What it is for, to try it again when another commit wins.
    pub act: Vec<u8>,
    /// How often another commit won, or the relay could not take it.
    pub attempts: u32,
    /// Not to be sent before this time, ms since 1970.
    pub next_try: u64,
}

const COLUMNS: &str = "id, room, entry, message_id, content, sealed, generation, epoch, counter, prev_hash, attempts, next_try, \
                       queued_at";

fn read(row: &Row<'_>) -> Result<RoomPostRow> {
    let sealed = match row.get::<_, Option<Vec<u8>>>(5)? {
        Some(bytes) => Some(SealedPost { bytes, generation: row.get(6)?, epoch: row.number(7)? }),
        None => None,
    };
    let place = row.number_or_null(8)?.zip(row.get(9)?);
    Ok(RoomPostRow {
        id: row.get(0)?,
        room: row.room(1)?,
        entry: EntryId::from_bytes(row.get(2)?),
        message: row.message_id(3)?,
        content: row.secret(4)?,
        sealed,
        place,
        attempts: row.get(10)?,
        next_try: row.number(11)?,
        queued_at: row.number(12)?,
    })
}

impl Tx<'_> {
    /// Queues a message to a room; its place in the queue.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when [`PENDING`] of them wait.
    pub fn push_room_post(
        &self,
        room: RoomId,
        entry: EntryId,
        message: MessageId,
        content: &[u8],
        now: u64,
    ) -> Result<i64> {
        bounded(content.len(), PAYLOAD_BYTES, "content")?;
        if self.room_posts_waiting()? >= PENDING {
            return Err(StoreError::Limit("what waits to be sent"));
        }
        let sql = "INSERT INTO room_outbox (room, entry, message_id, content, generation, epoch, attempts, next_try,
                   queued_at) VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0, ?5)";
        self.run(sql, params![room.as_bytes(), entry.as_bytes(), message.as_bytes(), content, clamped(now)])?;
        Ok(self.inserted())
    }

    /// The first message to a room that the relay does not have.
    pub fn room_post_head(&self, room: RoomId) -> Result<Option<RoomPostRow>> {
        let sql =
            format!("SELECT {COLUMNS} FROM room_outbox WHERE room = ?1 AND seq IS NULL ORDER BY id LIMIT 1");
        self.one(&sql, [room.as_bytes()], read)
    }

    /// The rooms for which messages wait, each once.
    pub fn room_post_targets(&self) -> Result<Vec<RoomId>> {
        self.all("SELECT DISTINCT room FROM room_outbox WHERE seq IS NULL ORDER BY room", [], |row| {
            row.room(0)
        })
    }

    /// How many messages to rooms the relay does not have.
    pub fn room_posts_waiting(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM room_outbox WHERE seq IS NULL", [], |row| row.number(0))
    }

    /// A message to a room by its row.
    pub fn room_post_row(&self, id: i64) -> Result<Option<RoomPostRow>> {
        self.one(&format!("SELECT {COLUMNS} FROM room_outbox WHERE id = ?1"), [id], read)
    }

    /// A message to a room by its entry's id, also one that the relay has and whose place the log has not reached.
    pub fn room_post(&self, room: RoomId, entry: EntryId) -> Result<Option<RoomPostRow>> {
        let sql = format!("SELECT {COLUMNS} FROM room_outbox WHERE room = ?1 AND entry = ?2");
        self.one(&sql, params![room.as_bytes(), entry.as_bytes()], read)
    }

    /// A message to a room was encrypted, and has this place in this device's chain from now on.
    pub fn room_post_sealed(&self, id: i64, sealed: &SealedPost, place: (u64, [u8; 32])) -> Result<()> {
        let sql =
            "UPDATE room_outbox SET sealed = ?2, generation = ?3, epoch = ?4, counter = ?5, prev_hash = ?6
                   WHERE id = ?1";
        let (number, before) = place;
        self.run(
            sql,
            params![id, sealed.bytes, sealed.generation, counter(sealed.epoch)?, counter(number)?, before],
        )?;
        Ok(())
    }

    /// The relay said that it did not take a message: it has to be encrypted once more.
    pub fn room_post_unsealed(&self, id: i64) -> Result<()> {
        self.run("UPDATE room_outbox SET sealed = NULL WHERE id = ?1", [id])?;
        Ok(())
    }

    /// The relay has a message to a room.
    pub fn room_post_accepted(&self, id: i64, seq: u64) -> Result<()> {
        self.run("UPDATE room_outbox SET seq = ?2 WHERE id = ?1", params![id, counter(seq)?])?;
        Ok(())
    }

    /// A message to a room was sent in vain.
    pub fn retry_room_post(&self, id: i64, next_try: u64) -> Result<()> {
        let sql = "UPDATE room_outbox SET attempts = attempts + 1, next_try = ?2 WHERE id = ?1";
        self.run(sql, params![id, clamped(next_try)])?;
        Ok(())
    }

    /// Everything for rooms may be sent at once again: after connecting anew.
    pub fn retry_rooms_now(&self) -> Result<()> {
        self.run("UPDATE room_outbox SET next_try = 0 WHERE next_try > 0", [])?;
        self.run("UPDATE room_commits SET next_try = 0 WHERE next_try > 0", [])?;
        Ok(())
    }

    /// Removes a message to a room that passed in the log, or was given up.
    pub fn remove_room_post(&self, id: i64) -> Result<()> {
        self.run("DELETE FROM room_outbox WHERE id = ?1", [id])?;
        Ok(())
    }

    /// The same, by the message's id.
    pub fn remove_room_post_of(&self, message: MessageId) -> Result<()> {
        self.run("DELETE FROM room_outbox WHERE message_id = ?1", [message.as_bytes()])?;
        Ok(())
    }

    /// Removes all messages to a room that the relay does not have; what was removed.
    pub fn remove_room_posts(&self, room: RoomId) -> Result<Vec<MessageId>> {
        let sql = "DELETE FROM room_outbox WHERE room = ?1 AND seq IS NULL RETURNING message_id";
        self.all(sql, [room.as_bytes()], |row| row.message_id(0))
    }

    /// Messages to rooms queued before a time (ms since 1970): those to give up.
    pub fn room_posts_before(&self, queued_before: u64, max: usize) -> Result<Vec<RoomPostRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM room_outbox WHERE seq IS NULL AND queued_at < ?1 ORDER BY id LIMIT ?2"
        );
        self.all(&sql, (clamped(queued_before), super::rows::count(max)), read)
    }

    /// The pending commit of a room.
    pub fn pending_commit(&self, room: RoomId) -> Result<Option<PendingCommit>> {
        let sql = "SELECT room, entry, generation, epoch, after, delta, bytes, welcome, group_info, invitations, act, attempts,
                   next_try FROM room_commits WHERE room = ?1";
        self.one(sql, [room.as_bytes()], |row| {
            Ok(PendingCommit {
                room: row.room(0)?,
                entry: EntryId::from_bytes(row.get(1)?),
                generation: row.get(2)?,
                epoch: row.number(3)?,
                after: row.number(4)?,
                delta: row.get(5)?,
                bytes: row.get(6)?,
                welcome: row.get(7)?,
                group_info: row.get(8)?,
                invitations: row.get(9)?,
                act: row.get(10)?,
                attempts: row.get(11)?,
                next_try: row.number(12)?,
            })
        })
    }

    /// The rooms that have a pending commit, and when each may be sent (ms since 1970).
    pub fn pending_commits(&self) -> Result<Vec<(RoomId, u64)>> {
        self.all("SELECT room, next_try FROM room_commits ORDER BY room", [], |row| {
            Ok((row.room(0)?, row.number(1)?))
        })
    }

    /// The encoded invitations beside the pending commits that are handed over by a time.
    pub fn pending_invitations(&self, by: u64) -> Result<Vec<Vec<u8>>> {
        let sql = "SELECT invitations FROM room_commits WHERE next_try <= ?1";
        self.all(sql, [clamped(by)], |row| Ok(row.get(0)?))
    }

    /// Stores the pending commit of a room, over what was there.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when a part of it is larger than an object may be.
    pub fn put_pending_commit(&self, commit: &PendingCommit) -> Result<()> {
        let empty = Vec::new();
        let objects = [&commit.welcome, &commit.group_info].map(|part| part.as_ref().unwrap_or(&empty));
        for part in [&commit.bytes, &commit.invitations].into_iter().chain(objects) {
            bounded(part.len(), OBJECT_BYTES, "commit")?;
        }
        let sql = "INSERT OR REPLACE INTO room_commits (room, entry, generation, epoch, after, delta, bytes,
                   welcome, group_info, invitations, act, attempts, next_try)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        self.run(
            sql,
            params![
                commit.room.as_bytes(),
                commit.entry.as_bytes(),
                commit.generation,
                counter(commit.epoch)?,
                counter(commit.after)?,
                commit.delta,
                commit.bytes,
                commit.welcome,
                commit.group_info,
                commit.invitations,
                commit.act,
                commit.attempts,
                clamped(commit.next_try),
            ],
        )?;
        Ok(())
    }

    /// A pending commit could not be handed over: not before `next_try` again.
    pub fn retry_pending_commit(&self, room: RoomId, next_try: u64) -> Result<()> {
        let sql = "UPDATE room_commits SET attempts = attempts + 1, next_try = ?2 WHERE room = ?1";
        self.run(sql, params![room.as_bytes(), clamped(next_try)])?;
        Ok(())
    }

    /// The relay took a pending commit, or another one won; whether there was one.
    pub fn remove_pending_commit(&self, room: RoomId) -> Result<bool> {
        Ok(self.run("DELETE FROM room_commits WHERE room = ?1", [room.as_bytes()])? > 0)
    }
}
