//! Messages, proposals, joining, leaving, cursors.

use rusqlite::params;
use subrosa_protocol::{
    BoundedBytes, RoomId,
    frames::{EntryBody, EntryKind, RoomDevice},
    limits::ROOM_LEAVES,
};

use super::{
    super::Txn,
    log::{self, Incoming},
    objects,
    row::{DeviceRow, INVITED, JOINED, Member, Room, read_device, rooms_of},
};
use crate::store::{
    Accepted, Leaving, Left, NewPost, Posted, RoomRefusal, Sender, StoreError,
    sqlite::{
        SqliteOptions,
        rows::{cached, damaged, int, scalar},
    },
};

/// Messages of so many epochs before the room's are accepted,
const PAST_EPOCHS: u64 = 3;
/// of those that ended so lately, ms: members keep the keys for a day of the log.
const PAST_EPOCH_MS: u64 = 60 * 60 * 1_000;

pub(in crate::store::sqlite) fn post(
    txn: &Txn<'_>,
    post: &NewPost,
    options: &SqliteOptions,
) -> Result<Result<Posted, RoomRefusal>, StoreError> {
    let Some(from) = DeviceRow::of_sender(txn, &post.sender)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(mut room) = Room::of(txn, post.room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = Member::of(txn, room.row, from.device)?;
    if member.is_some()
        && let Some(first) = log::repeated(txn, &room, post.id)?
    {
        return Ok(Ok(first));
    }
    if member.is_none_or(|member| member.state != JOINED) {
        return Ok(Err(room.closed_to(txn, &post.sender.account, member.is_some())?));
    }
    let oldest = room.epoch.saturating_sub(PAST_EPOCHS);
    let open = post.epoch == room.epoch
        || (oldest..room.epoch).contains(&post.epoch)
            && log::ended(txn, &room, post.epoch)?
                .is_some_and(|ended| post.now <= ended.saturating_add(PAST_EPOCH_MS));
    if post.generation != room.generation || !open {
        return Ok(Ok(Posted::Passed { generation: room.generation, epoch: room.epoch }));
    }
    let entry = log::append(
        txn,
        &mut room,
        Incoming {
            id: post.id,
            kind: EntryKind::Application,
            generation: post.generation,
            epoch: post.epoch,
            body: inline(&post.bytes)?,
            delta: None,
            beside: 0,
            now: post.now,
        },
        options,
    )?;
    Ok(Ok(Posted::Accepted(Box::new(Accepted {
        seq: entry.seq,
        accepted_at: post.now,
        fresh: Some(entry),
        envelopes: Vec::new(),
        uninvited: Vec::new(),
        joined: false,
    }))))
}

pub(super) fn inline(bytes: &[u8]) -> Result<EntryBody, StoreError> {
    BoundedBytes::new(bytes).map(EntryBody::Inline).map_err(|_| damaged("an entry that is too long"))
}

pub(in crate::store::sqlite) fn accept(
    txn: &Txn<'_>,
    room: RoomId,
    by: &Sender,
    options: &SqliteOptions,
) -> Result<Result<bool, RoomRefusal>, StoreError> {
    let Some(from) = DeviceRow::of_sender(txn, by)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(room) = Room::of(txn, room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = Member::of(txn, room.row, from.device)?;
    match member {
        Some(member) if member.state == JOINED => Ok(Ok(false)),
        Some(member) if member.state == INVITED => {
            if rooms_of(txn, from.account)? >= options.rooms_per_account
                && !super::row::account_joined(txn, room.row, from.account)?
            {
                return Ok(Err(RoomRefusal::TooManyRooms));
            }
            let sql = "UPDATE room_members SET state = 1, cursor = max(cursor, since) WHERE room = ?1 AND device = ?2";
            cached(txn, sql)?.execute(params![room.row, from.device])?;
            Ok(Ok(true))
        }
        _ => Ok(Err(room.closed_to(txn, &by.account, member.is_some())?)),
    }
}

pub(in crate::store::sqlite) fn leave(
    txn: &Txn<'_>,
    leaving: &Leaving,
    options: &SqliteOptions,
) -> Result<Result<Left, RoomRefusal>, StoreError> {
    let Some(from) = DeviceRow::of_sender(txn, &leaving.sender)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(mut room) = Room::of(txn, leaving.room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = Member::of(txn, room.row, from.device)?;
    let Some(member) = member.filter(|member| member.state <= JOINED) else {
        return Ok(Err(room.closed_to(txn, &leaving.sender.account, member.is_some())?));
    };
    if leaving.proposal.is_some() && member.state == INVITED {
        return Ok(Err(RoomRefusal::Malformed("who has not joined proposes nothing")));
    }
    if let Some((_, generation, epoch, _)) = &leaving.proposal
        && (*generation, *epoch) != (room.generation, room.epoch)
    {
        return Ok(Ok(Left::Passed { generation: room.generation, epoch: room.epoch }));
    }
    let entry = match &leaving.proposal {
        None => None,
        Some((id, generation, epoch, bytes)) => {
            if log::repeated(txn, &room, *id)?.is_some() {
                return Ok(Err(RoomRefusal::Malformed("the entry's id was used before")));
            }
            if log::leaves(txn, &room, 0)? >= ROOM_LEAVES as u64 {
                return Ok(Err(RoomRefusal::Full));
            }
            let incoming = Incoming {
                id: *id,
                kind: EntryKind::Proposal,
                generation: *generation,
                epoch: *epoch,
                body: inline(bytes)?,
                delta: None,
                beside: 0,
                now: leaving.now,
            };
            Some(Box::new(log::append(txn, &mut room, incoming, options)?))
        }
    };
    let devices = leaving_devices(txn, &room, from, leaving)?;
    let sql = "UPDATE room_members SET state = 2, until = 0, removed_at = ?5
               WHERE room = ?1 AND state < 2 AND account = ?2 AND (?3 OR device = ?4)";
    let now = int(leaving.now);
    cached(txn, sql)?.execute(params![room.row, from.account, leaving.account, from.device, now])?;
    close_if_left(txn, room.row, room.public)?;
    Ok(Ok(Left::Done { devices, entry }))
}

fn leaving_devices(
    txn: &Txn<'_>,
    room: &Room,
    from: DeviceRow,
    leaving: &Leaving,
) -> Result<Vec<RoomDevice>, StoreError> {
    let sql = "SELECT a.name, d.device FROM room_members m JOIN devices d ON d.id = m.device JOIN accounts a ON a.id = m.account
               WHERE m.room = ?1 AND m.state < 2 AND m.account = ?2 AND (?3 OR m.device = ?4)";
    let mut statement = cached(txn, sql)?;
    let mut rows = statement.query(params![room.row, from.account, leaving.account, from.device])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        devices.push(read_device(row, 0)?);
    }
    Ok(devices)
}

/// Closes a room that nobody is in any more (decision 0047): nobody could take out who left last, so nobody could come in. A public
/// one is closed when nobody has joined, a private one when nobody is invited either. Its slug is free from then on; devices
/// that were removed lately may still read what was for them. Whether nothing of it is left.
pub(super) fn close_if_left(txn: &Txn<'_>, room: i64, public: bool) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM room_members WHERE room = ?1 AND (state = 1 OR state = 0 AND NOT ?2) LIMIT 1";
    if scalar::<i64>(txn, sql, params![room, public])?.is_some() {
        return Ok(false);
    }
    cached(txn, "DELETE FROM room_members WHERE room = ?1 AND state = 0")?.execute([room])?;
    let sql = "SELECT 1 FROM room_members WHERE room = ?1 AND (state < 2 OR until > 0) LIMIT 1";
    if scalar::<i64>(txn, sql, [room])?.is_none() {
        retire(txn, room)?;
        return Ok(true);
    }
    cached(txn, "DELETE FROM room_listings WHERE room = ?1")?.execute([room])?;
    objects::delete_group_info(txn, room)?;
    Ok(false)
}

/// Nobody is in the room any more: its slug is free, and what is left of it goes bit by bit.
pub(super) fn retire(txn: &Txn<'_>, room: i64) -> Result<(), StoreError> {
    cached(txn, "DELETE FROM room_listings WHERE room = ?1")?.execute([room])?;
    cached(txn, "DELETE FROM room_members WHERE room = ?1")?.execute([room])?;
    cached(txn, "DELETE FROM room_bans WHERE room = ?1")?.execute([room])?;
    cached(txn, "UPDATE rooms SET gone = 1 WHERE id = ?1")?.execute([room])?;
    Ok(())
}

pub(in crate::store::sqlite) fn cursor(
    txn: &Txn<'_>,
    room: RoomId,
    up_to: u64,
    by: &Sender,
) -> Result<Result<u64, RoomRefusal>, StoreError> {
    let Some(from) = DeviceRow::of_sender(txn, by)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(mut room) = Room::of(txn, room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = Member::of(txn, room.row, from.device)?;
    let Some(member) = member.filter(|member| member.state != INVITED) else {
        return Ok(Err(room.closed_to(txn, &by.account, member.is_some())?));
    };
    if up_to > room.head() {
        return Ok(Err(RoomRefusal::Malformed("a cursor beyond the end of the log")));
    }
    if up_to <= member.cursor {
        return Ok(Ok(0));
    }
    cached(txn, "UPDATE room_members SET cursor = ?3 WHERE room = ?1 AND device = ?2")?.execute(params![
        room.row,
        from.device,
        int(up_to)
    ])?;
    // Only the slowest one's step can free an entry.
    if member.cursor >= room.first_seq {
        return Ok(Ok(0));
    }
    let all_have = log::acknowledged(txn, &room)?;
    Ok(Ok(log::delete(txn, &mut room, all_have)?))
}
