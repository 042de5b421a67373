//! A room's log: entries in and out, and their deletion.

use rusqlite::{Connection, params};
use subrosa_protocol::{
    EntryId, codec,
    frames::{EntryBody, EntryKind, RoomDelta, RoomEntry},
};

use super::{
    super::Txn,
    objects,
    row::{Room, count},
};
use crate::store::{
    Accepted, Posted, StoreError, Timestamp,
    sqlite::{
        SqliteOptions, body,
        rows::{cached, damaged, fixed, int, nat, optional},
    },
};

/// Entries that one deletion takes, at most: the rest goes with the next.
const AT_ONCE: u64 = 500;

/// Entries that are looked through for the end of an epoch.
const ENDS_AMONG: u64 = 4_096;

/// An entry on its way in.
pub(super) struct Incoming {
    pub(super) id: EntryId,
    pub(super) kind: EntryKind,
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) body: EntryBody,
    pub(super) delta: Option<RoomDelta>,
    /// Bytes of the objects that came with it.
    pub(super) beside: u64,
    pub(super) now: Timestamp,
}

/// Puts an entry at the room's next place. The room's row is brought up to date; the caller's copy as well.
pub(super) fn append(
    txn: &Txn<'_>,
    room: &mut Room,
    entry: Incoming,
    options: &SqliteOptions,
) -> Result<RoomEntry, StoreError> {
    let Incoming { id, kind, generation, epoch, body, delta, beside, now } = entry;
    let seq = room.next_seq;
    let stored = codec::encode(&(&body, &delta)).map_err(|_| damaged("an entry that fits no frame"))?;
    cached(txn, "INSERT INTO room_bodies (body) VALUES (?1)")?.execute([body::lay_out(&stored)?])?;
    let body_row = txn.last_insert_rowid();
    let size = stored.len() as u64 + beside;
    let sql = "INSERT INTO room_entries (room, seq, id, kind, generation, epoch, accepted_at, size, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    cached(txn, sql)?.execute(params![
        room.row,
        int(seq),
        id.as_bytes(),
        number(kind),
        generation,
        int(epoch),
        int(now),
        int(size),
        body_row
    ])?;
    let sql = "INSERT INTO room_entry_ids (room, id, seq, accepted_at) VALUES (?1, ?2, ?3, ?4)";
    cached(txn, sql)?.execute(params![room.row, id.as_bytes(), int(seq), int(now)])?;
    room.next_seq += 1;
    room.bytes += size;
    cached(txn, "UPDATE rooms SET next_seq = ?2, bytes = ?3 WHERE id = ?1")?.execute(params![
        room.row,
        int(room.next_seq),
        int(room.bytes)
    ])?;
    let forgotten = seq.saturating_sub(options.id_memory_count);
    if forgotten > 0 {
        cached(txn, "DELETE FROM room_entry_ids WHERE room = ?1 AND seq <= ?2")?
            .execute(params![room.row, int(forgotten)])?;
    }
    // The oldest go: whoever has not got them is cut off.
    let over = |room: &Room| {
        room.next_seq - room.first_seq > options.room_entries || room.bytes > options.room_bytes
    };
    for _ in 0..AT_ONCE {
        if !over(room) || room.first_seq >= seq {
            break;
        }
        let oldest = room.first_seq;
        delete(txn, room, oldest)?;
    }
    Ok(RoomEntry { seq, id, kind, generation, epoch, accepted_at: now, body, delta })
}

/// What was answered when an entry of this id was accepted; `None`: it never was.
pub(super) fn repeated(txn: &Txn<'_>, room: &Room, id: EntryId) -> Result<Option<Posted>, StoreError> {
    let sql = "SELECT seq, accepted_at FROM room_entry_ids WHERE room = ?1 AND id = ?2";
    optional(&mut *cached(txn, sql)?, params![room.row, id.as_bytes()], |row| {
        let (seq, accepted_at) = (nat(row, 0)?, nat(row, 1)?);
        Ok(Posted::Accepted(Box::new(Accepted {
            seq,
            accepted_at,
            fresh: None,
            envelopes: Vec::new(),
            uninvited: Vec::new(),
            joined: false,
        })))
    })
}

/// How many proposals to leave came in the room's epoch after a place of the log.
pub(super) fn leaves(txn: &Txn<'_>, room: &Room, after: u64) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM room_entries WHERE room = ?1 AND kind = 1 AND generation = ?2 AND epoch = ?3 AND seq > ?4";
    count(txn, sql, params![room.row, room.generation, int(room.epoch), int(after)])
}

/// When an epoch of the room's generation ended, if one of the newest [`ENDS_AMONG`] entries ended it.
pub(super) fn ended(txn: &Txn<'_>, room: &Room, epoch: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT accepted_at FROM room_entries
               WHERE room = ?1 AND seq > ?2 AND kind = 2 AND generation = ?3 AND epoch = ?4 ORDER BY seq DESC";
    let after = int(room.head().saturating_sub(ENDS_AMONG));
    let params = params![room.row, after, room.generation, int(epoch)];
    optional(&mut *cached(txn, sql)?, params, |row| nat(row, 0))
}

/// Entries after a place and up to another.
pub(super) fn read(
    conn: &Connection,
    room: i64,
    after: u64,
    last: u64,
    max: usize,
    max_bytes: usize,
) -> Result<(Vec<RoomEntry>, bool), StoreError> {
    let sql = "SELECT e.seq, e.id, e.kind, e.generation, e.epoch, e.accepted_at, b.body
               FROM room_entries e JOIN room_bodies b ON b.id = e.body
               WHERE e.room = ?1 AND e.seq > ?2 AND e.seq <= ?3 ORDER BY e.seq LIMIT ?4";
    let mut statement = cached(conn, sql)?;
    let limit = int(max as u64).saturating_add(1);
    let mut rows = statement.query(params![room, int(after), int(last), limit])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let stored = body::sealed(row.get_ref(6)?.as_blob().map_err(|_| damaged("an entry's body"))?)?;
        bytes += stored.len();
        if entries.len() == max || (!entries.is_empty() && bytes > max_bytes) {
            return Ok((entries, true));
        }
        let (body, delta) = codec::decode(stored).map_err(|_| damaged("an entry's body"))?;
        entries.push(RoomEntry {
            seq: nat(row, 0)?,
            id: EntryId::from_bytes(fixed(row, 1)?),
            kind: kind(row.get(2)?)?,
            generation: row.get(3)?,
            epoch: nat(row, 4)?,
            accepted_at: nat(row, 5)?,
            body,
            delta,
        });
    }
    Ok((entries, false))
}

/// Deletes entries up to and including a place with their objects, at most so many at once. Answers how many.
pub(super) fn delete(txn: &Txn<'_>, room: &mut Room, up_to: u64) -> Result<u64, StoreError> {
    let up_to = up_to.min(room.next_seq - 1).min(room.first_seq + AT_ONCE - 1);
    if up_to < room.first_seq {
        return Ok(0);
    }
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM room_entries WHERE room = ?1 AND seq <= ?2";
    let (deleted, bytes) = optional(&mut *cached(txn, sql)?, params![room.row, int(up_to)], |row| {
        Ok((nat(row, 0)?, nat(row, 1)?))
    })?
    .unwrap_or_default();
    let sql =
        "DELETE FROM room_bodies WHERE id IN (SELECT body FROM room_entries WHERE room = ?1 AND seq <= ?2)";
    cached(txn, sql)?.execute(params![room.row, int(up_to)])?;
    cached(txn, "DELETE FROM room_entries WHERE room = ?1 AND seq <= ?2")?
        .execute(params![room.row, int(up_to)])?;
    objects::delete_up_to(txn, room.row, up_to)?;
    txn.note_deletion();
    room.first_seq = up_to + 1;
    room.bytes = room.bytes.checked_sub(bytes).ok_or_else(|| damaged("a room's bytes"))?;
    cached(txn, "UPDATE rooms SET first_seq = ?2, bytes = ?3 WHERE id = ?1")?.execute(params![
        room.row,
        int(room.first_seq),
        int(room.bytes)
    ])?;
    Ok(deleted)
}

/// Up to which place all who are to have the entries have acknowledged them.
pub(super) fn acknowledged(txn: &Txn<'_>, room: &Room) -> Result<u64, StoreError> {
    // One that was removed needs what comes before that, and holds nothing when it has it.
    let sql = "SELECT cursor FROM room_members WHERE room = ?1 AND (state < 2 OR cursor < until)
               ORDER BY cursor LIMIT 1";
    let slowest = optional(&mut *cached(txn, sql)?, [room.row], |row| nat(row, 0))?;
    Ok(slowest.unwrap_or(room.next_seq - 1))
}

const fn number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::Application => 0,
        EntryKind::Proposal => 1,
        EntryKind::Commit => 2,
        EntryKind::Reboot => 3,
    }
}

fn kind(number: u8) -> Result<EntryKind, StoreError> {
    Ok(match number {
        0 => EntryKind::Application,
        1 => EntryKind::Proposal,
        2 => EntryKind::Commit,
        3 => EntryKind::Reboot,
        _ => return Err(damaged("an entry's kind")),
    })
}
