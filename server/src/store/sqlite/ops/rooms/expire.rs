//! What is too old in rooms, and what nobody is in.

use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, params};
use subrosa_protocol::{RoomId, frames::RoomName};

use super::{
    super::Txn,
    log, objects,
    post::{close_if_left, retire},
    row::Room,
    show,
};
use crate::store::{
    RoomsExpired, StoreError, Timestamp,
    sqlite::{
        SqliteOptions,
        rows::{cached, damaged, fixed, int, nat, optional, scalar},
    },
};

/// Rooms that one round looks at.
const ROOMS: usize = 64;
/// Rows that one round deletes, about.
const ROWS: u64 = 1000;
/// Devices that were removed from a room and are remembered.
const REMOVED: u64 = 1000;

pub(in crate::store::sqlite) fn expire(
    txn: &Txn<'_>,
    now: Timestamp,
    options: &SqliteOptions,
    cursor: &AtomicI64,
) -> Result<RoomsExpired, StoreError> {
    let before = |lifetime: std::time::Duration| {
        now.saturating_sub(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
    };
    let (entries_before, ids_before) = (before(options.room_lifetime), before(options.id_memory));
    let mut expired = RoomsExpired::default();
    let sql = "DELETE FROM key_packages WHERE rowid IN (SELECT rowid FROM key_packages WHERE expires_at <= ?1 LIMIT ?2)";
    expired.key_packages = cached(txn, sql)?.execute(params![int(now), int(ROWS)])? as u64;
    let rooms = rooms_after(txn, cursor.load(Ordering::Relaxed))?;
    let at_the_end = rooms.len() < ROOMS;
    for (row, id, gone) in rooms {
        let done = if gone {
            clear(txn, row, &mut expired)?
        } else {
            one(txn, id, entries_before, ids_before, &mut expired)?
        };
        if !done || expired.entries + expired.remembered_ids >= ROWS {
            // Perhaps this one has more: the next round begins with it.
            expired.more = true;
            return Ok(expired);
        }
        cursor.store(row, Ordering::Relaxed);
    }
    expired.more = !at_the_end || expired.key_packages == ROWS;
    if at_the_end {
        cursor.store(0, Ordering::Relaxed);
    }
    Ok(expired)
}

/// One room. `false`: it has more to delete.
fn one(
    txn: &Txn<'_>,
    id: RoomId,
    entries_before: Timestamp,
    ids_before: Timestamp,
    expired: &mut RoomsExpired,
) -> Result<bool, StoreError> {
    let Some(mut room) = Room::of(txn, id)? else { return Ok(true) };
    cached(txn, "DELETE FROM room_members WHERE room = ?1 AND state = 2 AND removed_at < ?2")?
        .execute(params![room.row, int(entries_before)])?;
    let sql = "DELETE FROM room_members WHERE room = ?1 AND state = 2 AND device NOT IN
               (SELECT device FROM room_members WHERE room = ?1 AND state = 2
                ORDER BY until > 0 DESC, removed_at DESC LIMIT ?2)";
    cached(txn, sql)?.execute(params![room.row, int(REMOVED)])?;
    if close_if_left(txn, room.row, room.public)? {
        return clear(txn, room.row, expired);
    }
    let sql = "SELECT max(seq) FROM (SELECT seq, accepted_at FROM room_entries WHERE room = ?1 ORDER BY seq LIMIT ?2)
               WHERE accepted_at < ?3";
    let old: Option<i64> =
        scalar::<Option<i64>>(txn, sql, params![room.row, int(ROWS), int(entries_before)])?.flatten();
    let old = old.map_or(0, |seq| u64::try_from(seq).unwrap_or(0));
    let up_to = old.max(log::acknowledged(txn, &room)?);
    let first = room.first_seq;
    expired.entries += log::delete(txn, &mut room, up_to)?;
    let sql = "DELETE FROM room_entry_ids WHERE room = ?1 AND seq IN
               (SELECT seq FROM room_entry_ids WHERE room = ?1 AND accepted_at < ?2 ORDER BY seq LIMIT ?3)";
    let forgotten = cached(txn, sql)?.execute(params![room.row, int(ids_before), int(ROWS)])? as u64;
    expired.remembered_ids += forgotten;
    Ok((room.first_seq > up_to || room.first_seq == first) && forgotten < ROWS)
}

/// A part of a room that nobody is in; the last part takes its row. `false`: it has more.
fn clear(txn: &Txn<'_>, row: i64, expired: &mut RoomsExpired) -> Result<bool, StoreError> {
    let sql = "SELECT seq FROM room_entries WHERE room = ?1 ORDER BY seq LIMIT 1 OFFSET ?2";
    let beyond = optional(&mut *cached(txn, sql)?, params![row, int(ROWS)], |row| nat(row, 0))?;
    let up_to = beyond.map_or(i64::MAX, |seq| int(seq) - 1);
    let sql =
        "DELETE FROM room_bodies WHERE id IN (SELECT body FROM room_entries WHERE room = ?1 AND seq <= ?2)";
    cached(txn, sql)?.execute(params![row, up_to])?;
    expired.entries += cached(txn, "DELETE FROM room_entries WHERE room = ?1 AND seq <= ?2")?
        .execute(params![row, up_to])? as u64;
    objects::delete_up_to(txn, row, u64::try_from(up_to).unwrap_or(0))?;
    objects::delete_group_info(txn, row)?;
    txn.note_deletion();
    if beyond.is_some() {
        return Ok(false);
    }
    cached(txn, "DELETE FROM rooms WHERE id = ?1")?.execute([row])?;
    expired.rooms += 1;
    Ok(true)
}

pub(in crate::store::sqlite) fn remove(txn: &Txn<'_>, name: &RoomName) -> Result<Option<RoomId>, StoreError> {
    let Some((row, id)) = show::row_of(txn, name)? else { return Ok(None) };
    retire(txn, row)?;
    Ok(Some(id))
}

fn rooms_after(txn: &Txn<'_>, cursor: i64) -> Result<Vec<(i64, RoomId, bool)>, StoreError> {
    let mut statement = cached(txn, "SELECT id, room, gone FROM rooms WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![cursor, ROOMS as i64])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        rooms.push((row.get(0)?, RoomId::from_bytes(fixed(row, 1)?), row.get(2)?));
    }
    Ok(rooms)
}

/// Whether rooms are sound; for the look through everything stored.
pub(in crate::store::sqlite) fn check(conn: &Connection) -> Result<(), StoreError> {
    let questions = [
        (
            "a room whose log has a gap",
            "SELECT count(*) FROM rooms r WHERE gone = 0 AND next_seq - first_seq !=
             (SELECT count(*) FROM room_entries e WHERE e.room = r.id AND e.seq BETWEEN r.first_seq AND r.next_seq - 1)",
        ),
        (
            "a room whose bytes are wrong",
            "SELECT count(*) FROM rooms r WHERE gone = 0 AND bytes !=
             (SELECT coalesce(sum(size), 0) FROM room_entries e WHERE e.room = r.id)",
        ),
        (
            "a public room without its GroupInfo, or a private one with one",
            "SELECT count(*) FROM rooms r WHERE gone = 0 AND
             (SELECT count(*) FROM room_objects o WHERE o.room = r.id AND o.seq = 0) !=
             (SELECT count(*) FROM room_listings l WHERE l.room = r.id)",
        ),
        (
            "a room's body without its owner, or the other way round",
            "SELECT (SELECT count(*) FROM room_bodies) - (SELECT count(*) FROM room_entries) -
             (SELECT count(*) FROM room_pieces)",
        ),
        (
            "an object without its entry",
            "SELECT count(*) FROM room_objects o WHERE seq > 0 AND NOT EXISTS
             (SELECT 1 FROM room_entries e WHERE e.room = o.room AND e.seq = o.seq)",
        ),
    ];
    for (what, sql) in questions {
        if scalar::<i64>(conn, sql, [])? != Some(0) {
            return Err(damaged(what));
        }
    }
    Ok(())
}
