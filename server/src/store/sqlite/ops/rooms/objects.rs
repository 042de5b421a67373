//! Objects, in pieces of 64 KiB.

use rusqlite::{Connection, params};
use subrosa_protocol::{
    BoundedBytes, RoomId,
    frames::{ObjectHash, ObjectPiece, ObjectRef},
    limits::OBJECT_PIECE_BYTES,
};

use super::{
    super::Txn,
    row::{DeviceRow, JOINED, Member, Room, is_banned},
};
use crate::store::{
    Asker, Object, RoomRefusal, StoreError,
    sqlite::{
        body,
        rows::{cached, damaged, fixed, int, nat, optional},
    },
};

/// What an object is, and hence who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those in the room from before the commit.
    Commit = 1,
    /// Those whom the commit added.
    Welcome = 2,
    /// Those in the room.
    Reboot = 3,
    /// Everybody who is not banned; the room is public.
    GroupInfo = 4,
}

/// Keeps an object with the entry at `seq`; a `GroupInfo` with the room, in the place of the one before.
pub(super) fn put(
    txn: &Txn<'_>,
    room: i64,
    seq: u64,
    kind: Kind,
    object: &Object,
) -> Result<ObjectRef, StoreError> {
    let seq = if kind == Kind::GroupInfo { 0 } else { seq };
    if kind == Kind::GroupInfo {
        delete_group_info(txn, room)?;
    }
    let sql = "INSERT INTO room_objects (room, seq, kind, hash, size) VALUES (?1, ?2, ?3, ?4, ?5)";
    let size = u32::try_from(object.bytes.len()).map_err(|_| damaged("an object that is too long"))?;
    cached(txn, sql)?.execute(params![room, int(seq), kind as u8, object.hash, size])?;
    let row = txn.last_insert_rowid();
    for (number, piece) in object.bytes.chunks(OBJECT_PIECE_BYTES).enumerate() {
        cached(txn, "INSERT INTO room_bodies (body) VALUES (?1)")?.execute([body::lay_out(piece)?])?;
        let body = txn.last_insert_rowid();
        cached(txn, "INSERT INTO room_pieces (object, number, body) VALUES (?1, ?2, ?3)")?
            .execute(params![row, int(number as u64), body])?;
    }
    Ok(ObjectRef { hash: ObjectHash(object.hash), size })
}

/// Deletes the objects of the entries up to a place.
pub(super) fn delete_up_to(txn: &Txn<'_>, room: i64, up_to: u64) -> Result<(), StoreError> {
    delete(txn, room, 1, up_to)
}

/// Deletes the room's `GroupInfo`.
pub(super) fn delete_group_info(txn: &Txn<'_>, room: i64) -> Result<(), StoreError> {
    delete(txn, room, 0, 0)
}

fn delete(txn: &Txn<'_>, room: i64, from: u64, up_to: u64) -> Result<(), StoreError> {
    let (from, up_to) = (int(from), int(up_to));
    let sql = "DELETE FROM room_bodies WHERE id IN (SELECT p.body FROM room_objects o JOIN room_pieces p ON p.object = o.id
               WHERE o.room = ?1 AND o.seq BETWEEN ?2 AND ?3)";
    if cached(txn, sql)?.execute(params![room, from, up_to])? > 0 {
        txn.note_deletion();
    }
    cached(txn, "DELETE FROM room_objects WHERE room = ?1 AND seq BETWEEN ?2 AND ?3")?
        .execute(params![room, from, up_to])?;
    Ok(())
}

pub(super) fn group_info(conn: &Connection, room: i64) -> Result<Option<ObjectRef>, StoreError> {
    let sql = "SELECT hash, size FROM room_objects WHERE room = ?1 AND seq = 0";
    optional(&mut *cached(conn, sql)?, [room], |row| {
        Ok(ObjectRef { hash: ObjectHash(fixed(row, 0)?), size: row.get(1)? })
    })
}

/// A piece of an object that the asker may read.
pub(in crate::store::sqlite) fn piece(
    conn: &Connection,
    room: RoomId,
    asker: &Asker,
    hash: &[u8; 32],
    offset: u32,
) -> Result<Result<ObjectPiece, RoomRefusal>, StoreError> {
    let Some(room) = Room::of(conn, room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let Some(device) = DeviceRow::of(conn, &asker.account, asker.device)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let member = Member::of(conn, room.row, device.device)?;
    if member.is_none() && !room.public {
        return Ok(Err(RoomRefusal::Unknown));
    }
    let mut statement =
        cached(conn, "SELECT id, seq, kind, size FROM room_objects WHERE room = ?1 AND hash = ?2")?;
    let mut rows = statement.query(params![room.row, hash])?;
    while let Some(row) = rows.next()? {
        let (object, seq): (i64, u64) = (row.get(0)?, nat(row, 1)?);
        let allowed = match (row.get::<_, u8>(2)?, &member) {
            (1, Some(m)) => seq > m.since && seq <= m.last(room.head()),
            (2, Some(m)) => m.since == seq && m.until.is_none(),
            (3, Some(m)) => m.state <= JOINED,
            (4, _) => room.public && !is_banned(conn, room.row, &asker.account)?,
            _ => false,
        };
        if allowed {
            let number = offset / u32::try_from(OBJECT_PIECE_BYTES).unwrap_or(u32::MAX);
            let sql = "SELECT b.body FROM room_pieces p JOIN room_bodies b ON b.id = p.body
                       WHERE p.object = ?1 AND p.number = ?2";
            let found = optional(&mut *cached(conn, sql)?, params![object, number], |row| {
                let stored = row.get_ref(0)?.as_blob().map_err(|_| damaged("an object's piece"))?;
                BoundedBytes::new(body::sealed(stored)?).map_err(|_| damaged("an object's piece"))
            })?;
            let size = row.get(3)?;
            return Ok(found.map(|piece| ObjectPiece { size, piece }).ok_or(RoomRefusal::NoObject));
        }
    }
    Ok(Err(RoomRefusal::NoObject))
}
