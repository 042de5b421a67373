//! When each device of a room was heard of last (R34).

use std::collections::BTreeSet;

use rusqlite::params;
use subrosa_protocol::RoomId;

use super::{
    Tx,
    error::Result,
    rows::{Columns, clamped},
};

/// A device of a room: the account's name and its number.
pub type Seat = (String, u32);

/// When a device was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub seat: Seat,
    /// For how long nothing was heard of it, in ms: by the log's clock or by this device's, whichever says less.
    pub silent_ms: u64,
}

impl Tx<'_> {
    /// A device was heard of: by the log's clock at `logged_at`, by this device's at `now`. Neither goes back.
    pub fn seen_in_room(&self, room: RoomId, seat: &Seat, logged_at: u64, now: u64) -> Result<()> {
        let sql = "INSERT INTO room_seen (room, account, device, logged_at, heard_at) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (room, account, device) DO UPDATE SET told = 0, invited = 0,
                   logged_at = max(logged_at, excluded.logged_at), heard_at = max(heard_at, excluded.heard_at)";
        let (account, device) = seat;
        self.run(sql, params![room.as_bytes(), account, device, clamped(logged_at), clamped(now)])?;
        Ok(())
    }

    /// A device was added by another one: it counts as heard of, and as invited until it says something.
    pub fn added_to_room(&self, room: RoomId, seat: &Seat, logged_at: u64, now: u64) -> Result<()> {
        self.seen_in_room(room, seat, logged_at, now)?;
        let sql = "UPDATE room_seen SET invited = 1 WHERE room = ?1 AND account = ?2 AND device = ?3";
        self.run(sql, params![room.as_bytes(), seat.0, seat.1])?;
        Ok(())
    }

    /// The devices that were added to a room and have said nothing since.
    pub fn invited_to_room(&self, room: RoomId) -> Result<BTreeSet<Seat>> {
        let sql = "SELECT account, device FROM room_seen WHERE room = ?1 AND invited";
        Ok(self.all(sql, [room.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
    }

    /// An account's devices in a room.
    pub fn devices_in_room(&self, room: RoomId, account: &str) -> Result<Vec<u32>> {
        let sql = "SELECT device FROM room_seen WHERE room = ?1 AND account = ?2";
        self.all(sql, params![room.as_bytes(), account], |row| Ok(row.get(0)?))
    }

    /// Whether a device was added to a room and has said nothing since, as all others of its account there.
    pub fn only_invited_to_room(&self, room: RoomId, (account, device): &Seat) -> Result<bool> {
        let sql = "SELECT invited AND NOT EXISTS (SELECT 1 FROM room_seen
                   WHERE room = ?1 AND account = ?2 AND NOT invited)
                   FROM room_seen WHERE room = ?1 AND account = ?2 AND device = ?3";
        let params = params![room.as_bytes(), account, device];
        Ok(self.one(sql, params, |row| Ok(row.get::<_, bool>(0)?))?.unwrap_or(false))
    }

    /// The devices that are in a room now. Those that were not known count as heard of now; the others are forgotten.
    pub fn seats_of_room(&self, room: RoomId, seats: &BTreeSet<Seat>, now: u64) -> Result<()> {
        let sql = "SELECT account, device FROM room_seen WHERE room = ?1";
        let known: BTreeSet<Seat> =
            self.all(sql, [room.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect();
        for (account, device) in known.difference(seats) {
            let sql = "DELETE FROM room_seen WHERE room = ?1 AND account = ?2 AND device = ?3";
            self.run(sql, params![room.as_bytes(), account, device])?;
        }
        if known.is_superset(seats) {
            return Ok(());
        }
        let clock = self.room_clock(room)?.unwrap_or(now);
        for seat in seats.difference(&known) {
            self.seen_in_room(room, seat, clock, now)?;
        }
        Ok(())
    }

    /// The newest time of a room's log that was seen.
    fn room_clock(&self, room: RoomId) -> Result<Option<u64>> {
        let sql = "SELECT max(logged_at) FROM room_seen WHERE room = ?1";
        self.row(sql, [room.as_bytes()], |row| row.number_or_null(0))
    }

    /// The devices of a room of which nothing was heard for `silent_ms`, at most `max`, the longest silent first; with `news`
    /// those of which the person was not told.
    pub fn silent_in_room(
        &self,
        room: RoomId,
        silent_ms: u64,
        max: usize,
        news: bool,
        now: u64,
    ) -> Result<Vec<Seen>> {
        let Some(clock) = self.room_clock(room)? else { return Ok(Vec::new()) };
        let sql = "SELECT account, device, logged_at, heard_at FROM room_seen
                   WHERE room = ?1 AND logged_at <= ?2 AND heard_at <= ?3 AND NOT (?4 AND told)
                   ORDER BY max(logged_at, heard_at), account, device LIMIT ?5";
        let before = |clock: u64| clock.checked_sub(silent_ms).map_or(-1, clamped);
        let bounds = params![room.as_bytes(), before(clock), before(now), news, super::rows::count(max)];
        self.all(sql, bounds, |row| {
            let (logged, heard) = (row.number(2)?, row.number(3)?);
            Ok(Seen {
                seat: (row.get(0)?, row.get(1)?),
                silent_ms: clock.saturating_sub(logged).min(now.saturating_sub(heard)),
            })
        })
    }

    /// The person was told that a device is silent.
    pub fn told_silent(&self, room: RoomId, seat: &Seat) -> Result<()> {
        let sql = "UPDATE room_seen SET told = 1 WHERE room = ?1 AND account = ?2 AND device = ?3";
        self.run(sql, params![room.as_bytes(), seat.0, seat.1])?;
        Ok(())
    }

    /// Nobody of a room is watched any more.
    pub fn forget_seats(&self, room: RoomId) -> Result<()> {
        self.run("DELETE FROM room_seen WHERE room = ?1", [room.as_bytes()])?;
        Ok(())
    }
}
