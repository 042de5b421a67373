//! A room's row, its members, bans and listing.

use rusqlite::{Connection, Row, params};
use subrosa_protocol::{
    BoundedStr, DeviceId, RoomId, Slug, Username,
    frames::{Listing, RoomDevice, RoomName, Standing},
};

use super::super::Txn;
use crate::store::{
    RoomRefusal, Sender, StoreError, Timestamp,
    sqlite::rows::{cached, damaged, device_id, fixed, int, nat, optional, scalar},
};

pub(super) const INVITED: u8 = 0;
pub(super) const JOINED: u8 = 1;
/// Taken out: it reads up to `until`. With `until` 0 it left, or never came, and is in no room any more: kept only so that members
/// and visitors get its account's lists, which they need to judge what stands of it in the log and in the group.
pub(super) const REMOVED: u8 = 2;

/// A room.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) row: i64,
    pub(super) id: RoomId,
    pub(super) owner_key: [u8; 32],
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) next_seq: u64,
    pub(super) first_seq: u64,
    pub(super) bytes: u64,
    pub(super) public: bool,
}

const ROOM: &str =
    "SELECT r.id, r.room, r.owner_key, r.generation, r.epoch, r.next_seq, r.first_seq, r.bytes,
                           l.room IS NOT NULL
                    FROM rooms r LEFT JOIN room_listings l ON l.room = r.id WHERE r.gone = 0 AND ";

impl Room {
    pub(super) fn of(conn: &Connection, id: RoomId) -> Result<Option<Self>, StoreError> {
        let sql = format!("{ROOM} r.room = ?1");
        optional(&mut *cached(conn, &sql)?, [id.as_bytes()], Self::read)
    }

    pub(super) fn named(conn: &Connection, name: &RoomName) -> Result<Option<Self>, StoreError> {
        match name {
            RoomName::Id(id) => Self::of(conn, *id),
            RoomName::Slug(slug) => {
                let sql = format!("{ROOM} l.slug = ?1");
                optional(&mut *cached(conn, &sql)?, [slug.as_str()], Self::read)
            }
        }
    }

    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            row: row.get(0)?,
            id: RoomId::from_bytes(fixed(row, 1)?),
            owner_key: fixed(row, 2)?,
            generation: row.get(3)?,
            epoch: nat(row, 4)?,
            next_seq: nat(row, 5)?,
            first_seq: nat(row, 6)?,
            bytes: nat(row, 7)?,
            public: row.get(8)?,
        })
    }

    pub(super) const fn head(&self) -> u64 {
        self.next_seq - 1
    }

    /// What a device that may not act in the room is told.
    pub(super) fn closed_to(
        &self,
        conn: &Connection,
        account: &Username,
        known: bool,
    ) -> Result<RoomRefusal, StoreError> {
        Ok(match (self.public, known) {
            (true, _) if is_banned(conn, self.row, account)? => RoomRefusal::Banned,
            (true, _) | (false, true) => RoomRefusal::NotAMember,
            (false, false) => RoomRefusal::Unknown,
        })
    }
}

/// A device's place in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) state: u8,
    pub(super) since: u64,
    pub(super) until: Option<u64>,
    pub(super) cursor: u64,
}

impl Member {
    pub(super) fn of(conn: &Connection, room: i64, device: i64) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT state, since, until, cursor FROM room_members
                   WHERE room = ?1 AND device = ?2 AND (state < 2 OR until > 0)";
        optional(&mut *cached(conn, sql)?, params![room, device], |row| {
            let until = row.get::<_, Option<i64>>(2)?.map(|until| u64::try_from(until).unwrap_or(0));
            Ok(Self { state: row.get(0)?, since: nat(row, 1)?, until, cursor: nat(row, 3)? })
        })
    }

    pub(super) const fn standing(&self) -> Standing {
        match self.state {
            INVITED => Standing::Invited,
            JOINED => Standing::Joined,
            _ => Standing::Removed,
        }
    }

    /// The newest `seq` it may read.
    pub(super) fn last(&self, head: u64) -> u64 {
        self.until.map_or(head, |until| until.min(head))
    }
}

/// Puts a device into a room, or back into it.
pub(super) fn put_member(
    txn: &Txn<'_>,
    room: i64,
    device: DeviceRow,
    state: u8,
    since: u64,
    cursor: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO room_members (room, device, account, state, since, cursor)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    cached(txn, sql)?.execute(params![
        room,
        device.device,
        device.account,
        state,
        int(since),
        int(cursor)
    ])?;
    Ok(())
}

/// Takes a device out of a room: an invited one reads nothing of it; one that had joined may still read up to `until`.
pub(super) fn remove_member(
    txn: &Txn<'_>,
    room: i64,
    device: i64,
    until: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE room_members SET state = 2, until = 0, removed_at = ?3
               WHERE room = ?1 AND device = ?2 AND state = 0";
    cached(txn, sql)?.execute(params![room, device, int(now)])?;
    let sql = "UPDATE room_members SET state = 2, until = ?3, removed_at = ?4
               WHERE room = ?1 AND device = ?2 AND state = 1";
    cached(txn, sql)?.execute(params![room, device, int(until), int(now)])?;
    Ok(())
}

/// A device's row and its account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeviceRow {
    pub(super) device: i64,
    pub(super) account: i64,
}

impl DeviceRow {
    /// The sender's; `None` when it has been removed from its account.
    pub(super) fn of_sender(conn: &Connection, sender: &Sender) -> Result<Option<Self>, StoreError> {
        Self::of(conn, &sender.account, sender.device)
    }

    pub(super) fn of(
        conn: &Connection,
        account: &Username,
        device: DeviceId,
    ) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT d.id, a.id FROM accounts a JOIN devices d ON d.account = a.id WHERE a.name = ?1 AND d.device = ?2";
        optional(&mut *cached(conn, sql)?, params![account.as_str(), device.get()], |row| {
            Ok(Self { device: row.get(0)?, account: row.get(1)? })
        })
    }
}

pub(super) fn is_banned(conn: &Connection, room: i64, account: &Username) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM room_bans WHERE room = ?1 AND account = ?2";
    Ok(scalar::<i64>(conn, sql, params![room, account.as_str()])?.is_some())
}

/// Whether a device of the account has joined the room.
pub(super) fn account_joined(conn: &Connection, room: i64, account: i64) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM room_members WHERE account = ?1 AND state = 1 AND room = ?2 LIMIT 1";
    Ok(scalar::<i64>(conn, sql, params![account, room])?.is_some())
}

/// Rooms that an account has joined.
pub(super) fn rooms_of(conn: &Connection, account: i64) -> Result<u64, StoreError> {
    count(
        conn,
        "SELECT count(DISTINCT room) FROM room_members WHERE account = ?1 AND state = 1",
        params![account],
    )
}

/// Devices in the roster: invited and joined.
pub(super) fn roster_size(conn: &Connection, room: i64) -> Result<u64, StoreError> {
    count(conn, "SELECT count(*) FROM room_members WHERE room = ?1 AND state < 2", params![room])
}

pub(super) fn count(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<u64, StoreError> {
    Ok(optional(&mut *cached(conn, sql)?, params, |row| nat(row, 0))?.unwrap_or_default())
}

pub(super) fn listing(conn: &Connection, room: i64) -> Result<Option<Listing>, StoreError> {
    let sql = "SELECT slug, name, description FROM room_listings WHERE room = ?1";
    optional(&mut *cached(conn, sql)?, [room], |row| read_listing(row, 0))
}

/// A listing out of three columns, the first of which is `column`.
pub(super) fn read_listing(row: &Row<'_>, column: usize) -> Result<Listing, StoreError> {
    Ok(Listing {
        slug: Slug::new(row.get::<_, String>(column)?).map_err(|_| damaged("a slug"))?,
        name: BoundedStr::new(row.get::<_, String>(column + 1)?).map_err(|_| damaged("a room's name"))?,
        description: BoundedStr::new(row.get::<_, String>(column + 2)?)
            .map_err(|_| damaged("a room's description"))?,
    })
}

/// Whether another room has the slug, or one that looks like it.
pub(super) fn slug_taken(conn: &Connection, room: Option<i64>, slug: &Slug) -> Result<bool, StoreError> {
    let sql = "SELECT room FROM room_listings WHERE skeleton = ?1";
    let owner: Option<i64> = scalar(conn, sql, [slug.skeleton()])?;
    Ok(owner.is_some() && owner != room)
}

pub(super) fn put_listing(txn: &Txn<'_>, room: i64, listing: &Listing) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO room_listings (room, slug, skeleton, name, description)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let Listing { slug, name, description } = listing;
    cached(txn, sql)?.execute(params![room, slug.as_str(), slug.skeleton(), &**name, &**description])?;
    Ok(())
}

/// A device by its name, out of two columns.
pub(super) fn read_device(row: &Row<'_>, column: usize) -> Result<RoomDevice, StoreError> {
    let account = Username::new(row.get::<_, String>(column)?).map_err(|_| damaged("an account's name"))?;
    Ok(RoomDevice { account, device: device_id(row.get(column + 1)?)? })
}
