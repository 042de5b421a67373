//! What may be asked of rooms.

use rusqlite::{Connection, params};
use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedVec, RoomId, Slug,
    frames::{
        AccountLists, KnownList, PublicRoom, RoomHead, RoomInfo, RoomName, RosterDevice, SignedList, Standing,
    },
    limits::DEVICE_LISTS_PER_PAGE,
};

use super::{
    super::{accounts, devices},
    log, objects,
    row::{DeviceRow, JOINED, Member, Room, count, is_banned, listing, read_device, read_listing},
};
use crate::store::{
    Asker, Joined, LogPage, RoomRefusal, RosterLists, RosterPage, StoreError,
    sqlite::rows::{cached, damaged, fixed, int, nat, optional},
};

type Refused<T> = Result<Result<T, RoomRefusal>, StoreError>;

/// A room as somebody sees it who is in it, or visits it while it is public. Everybody else gets one answer.
fn visited(
    conn: &Connection,
    room: Option<Room>,
    asker: &Asker,
) -> Result<Result<(Room, Option<Member>), RoomRefusal>, StoreError> {
    let Some(room) = room else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = match DeviceRow::of(conn, &asker.account, asker.device)? {
        Some(row) => Member::of(conn, room.row, row.device)?,
        None => None,
    };
    Ok(if member.is_some() || room.public { Ok((room, member)) } else { Err(RoomRefusal::Unknown) })
}

pub(in crate::store::sqlite) fn entries(
    conn: &Connection,
    room: RoomId,
    asker: &Asker,
    after: u64,
    max: usize,
    max_bytes: usize,
) -> Refused<LogPage> {
    let (room, member) = match visited(conn, Room::of(conn, room)?, asker)? {
        Ok(seen) => seen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(member) = member else {
        // A visitor learns where the room is when it lost a race to join; it reads nothing.
        return Ok(Err(room.closed_to(conn, &asker.account, false)?));
    };
    let (after, head) = (after.max(member.since), member.last(room.head()));
    let (entries, more) = log::read(conn, room.row, after, head, max, max_bytes)?;
    Ok(Ok(LogPage {
        gap: after < head && after + 1 < room.first_seq,
        entries,
        more,
        head,
        generation: room.generation,
        epoch: room.epoch,
    }))
}

pub(in crate::store::sqlite) fn info(conn: &Connection, name: &RoomName, asker: &Asker) -> Refused<RoomInfo> {
    let (room, member) = match visited(conn, Room::named(conn, name)?, asker)? {
        Ok(seen) => seen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let banned = is_banned(conn, room.row, &asker.account)?;
    let standing = match member {
        Some(member) if member.state <= JOINED => member.standing(),
        _ if banned => Standing::Banned,
        Some(member) => member.standing(),
        None => Standing::Stranger,
    };
    let size = |what: &str| {
        let sql = format!("SELECT count({what}) FROM room_members WHERE room = ?1 AND state < 2");
        count(conn, &sql, [room.row]).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    };
    Ok(Ok(RoomInfo {
        room: room.id,
        listing: listing(conn, room.row)?,
        generation: room.generation,
        epoch: room.epoch,
        head: member.map_or(room.head(), |member| member.last(room.head())),
        devices: size("*")?,
        accounts: size("DISTINCT account")?,
        owner_key: ByteArray::new(room.owner_key),
        group_info: if banned { None } else { objects::group_info(conn, room.row)? },
        standing,
        cursor: member.map_or(0, |member| member.cursor.max(member.since)),
    }))
}

/// Rosters and lists are for those in the room, and for visitors who are not banned.
fn in_or_visiting(conn: &Connection, room: RoomId, asker: &Asker) -> Refused<Room> {
    Ok(match visited(conn, Room::of(conn, room)?, asker)? {
        Err(refusal) => Err(refusal),
        Ok((room, member)) => {
            let in_it = member.is_some_and(|member| member.state <= JOINED);
            if in_it || room.public && !is_banned(conn, room.row, &asker.account)? {
                Ok(room)
            } else {
                Err(room.closed_to(conn, &asker.account, member.is_some())?)
            }
        }
    })
}

pub(in crate::store::sqlite) fn roster(
    conn: &Connection,
    room: RoomId,
    asker: &Asker,
    after: Option<&Asker>,
    max: usize,
) -> Refused<RosterPage> {
    let room = match in_or_visiting(conn, room, asker)? {
        Ok(room) => room,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let sql = "SELECT a.name, d.device, m.state FROM room_members m
               JOIN devices d ON d.id = m.device JOIN accounts a ON a.id = m.account
               WHERE m.room = ?1 AND m.state < 2 AND (a.name, d.device) > (?2, ?3)
               ORDER BY a.name, d.device LIMIT ?4";
    let (account, device) = after.map_or(("", 0), |after| (after.account.as_str(), after.device.get()));
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![room.row, account, device, int(max as u64).saturating_add(1)])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        if devices.len() == max {
            return Ok(Ok(RosterPage { devices, more: true, head: room.head() }));
        }
        devices.push(RosterDevice { device: read_device(row, 0)?, joined: row.get::<_, u8>(2)? == JOINED });
    }
    Ok(Ok(RosterPage { devices, more: false, head: room.head() }))
}

pub(in crate::store::sqlite) fn lists(
    conn: &Connection,
    room: RoomId,
    asker: &Asker,
    asked: &[KnownList],
    max_bytes: usize,
) -> Refused<RosterLists> {
    let room = match in_or_visiting(conn, room, asker)? {
        Ok(room) => room,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (answered, known) in asked.iter().enumerate() {
        let sql = "SELECT a.id, a.display_name, a.list_version FROM accounts a WHERE a.name = ?1
                   AND EXISTS (SELECT 1 FROM room_members m WHERE m.account = a.id AND m.room = ?2)";
        let account = optional(&mut *cached(conn, sql)?, params![known.account.as_str(), room.row], |row| {
            Ok((row.get::<_, i64>(0)?, accounts::display_name(row.get(1)?)?, nat(row, 2)?))
        })?;
        let Some((id, display_name, newest)) = account else { continue };
        let since = if known.since == 0 { newest - 1 } else { known.since };
        let (lists, more) = lists_of(conn, id, since)?;
        let size: usize =
            lists.iter().map(|list| list.bytes.len() + 70).sum::<usize>() + display_name.len() + 48;
        bytes += size;
        if bytes > max_bytes && !found.is_empty() {
            return Ok(Ok(RosterLists { accounts: found, answered }));
        }
        found.push(AccountLists {
            account: known.account.clone(),
            lists: BoundedVec::new(lists).map_err(|_| damaged("device lists"))?,
            more,
            display_name,
        });
    }
    Ok(Ok(RosterLists { accounts: found, answered: asked.len() }))
}

fn lists_of(conn: &Connection, account: i64, since: u64) -> Result<(Vec<SignedList>, bool), StoreError> {
    let sql = "SELECT bytes, signature FROM device_lists WHERE account = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![account, int(since), int(DEVICE_LISTS_PER_PAGE as u64) + 1])?;
    let mut lists = Vec::new();
    while let Some(row) = rows.next()? {
        if lists.len() == DEVICE_LISTS_PER_PAGE {
            return Ok((lists, true));
        }
        lists.push(devices::signed_list(row, 0)?);
    }
    Ok((lists, false))
}

pub(in crate::store::sqlite) fn joined(
    conn: &Connection,
    room: RoomId,
) -> Result<Option<Joined>, StoreError> {
    let Some(room) = Room::of(conn, room)? else { return Ok(None) };
    let sql = "SELECT a.name, d.device FROM room_members m
               JOIN devices d ON d.id = m.device JOIN accounts a ON a.id = m.account
               WHERE m.room = ?1 AND m.state = 1";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query([room.row])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        devices.push(read_device(row, 0)?);
    }
    Ok(Some(Joined { devices, head: room.head() }))
}

pub(in crate::store::sqlite) fn directory(
    conn: &Connection,
    prefix: &str,
    after: Option<&Slug>,
    max: usize,
) -> Result<Vec<PublicRoom>, StoreError> {
    // A slug is ASCII: whatever begins with the prefix lies before the prefix with a later character behind it.
    let sql = "SELECT r.room, l.slug, l.name, l.description,
                      (SELECT count(DISTINCT account) FROM room_members m WHERE m.room = r.id AND m.state < 2)
               FROM room_listings l JOIN rooms r ON r.id = l.room
               WHERE l.slug > ?1 AND l.slug >= ?2 AND l.slug < ?3 ORDER BY l.slug LIMIT ?4";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![
        after.map_or("", Slug::as_str),
        prefix,
        format!("{prefix}\u{7f}"),
        int(max as u64)
    ])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        rooms.push(PublicRoom {
            room: RoomId::from_bytes(fixed(row, 0)?),
            listing: read_listing(row, 1)?,
            accounts: row.get(4)?,
        });
    }
    Ok(rooms)
}

pub(in crate::store::sqlite) fn of_device(
    conn: &Connection,
    asker: &Asker,
    after: Option<RoomId>,
    max: usize,
) -> Result<Vec<RoomHead>, StoreError> {
    let Some(row) = DeviceRow::of(conn, &asker.account, asker.device)? else { return Ok(Vec::new()) };
    let sql = "SELECT r.room, m.state, m.until, r.generation, r.epoch, r.next_seq
               FROM room_members m JOIN rooms r ON r.id = m.room
               WHERE m.device = ?1 AND (m.state < 2 OR m.until > 0) AND r.room > ?2 AND r.gone = 0 ORDER BY r.room LIMIT ?3";
    let after = after.map_or(Vec::new(), |after| after.as_bytes().to_vec());
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![row.device, after, int(max as u64)])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        let until: Option<i64> = row.get(2)?;
        let until = until.map(|until| u64::try_from(until).unwrap_or(0));
        let member = Member { state: row.get(1)?, since: 0, until, cursor: 0 };
        rooms.push(RoomHead {
            room: RoomId::from_bytes(fixed(row, 0)?),
            standing: member.standing(),
            generation: row.get(3)?,
            epoch: nat(row, 4)?,
            head: member.last(nat(row, 5)? - 1),
        });
    }
    Ok(rooms)
}

/// A room's row by its name, whether or not anybody is in it.
pub(super) fn row_of(conn: &Connection, name: &RoomName) -> Result<Option<(i64, RoomId)>, StoreError> {
    Ok(Room::named(conn, name)?.map(|room| (room.row, room.id)))
}
