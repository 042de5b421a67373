//! Devices that are in a room's group, and at the relay not any more: they were signed out, and nobody of the room was told. Their accounts
//! are looked up; what follows from their lists is another matter (`follow`).
//!
//! What the relay says is no more than a reason to look: lists are signed.

use std::collections::BTreeSet;

use subrosa_protocol::{
    RoomId, Username,
    frames::{Request, Response, RoomDevice, RoomRoster},
};

use super::{
    super::{Core, Fault, Turn},
    Act, RoomAsked,
    mls::wire_device,
};
use crate::{
    api::RoomState,
    limits::{ROSTER_ACCOUNTS, ROSTER_AFTER_CHANGE_MS, ROSTER_EVERY_MS, ROSTER_PAGES, ROSTER_WITHIN_MS},
};

impl Core {
    /// The relay says that a room's roster changed without a commit.
    pub(super) fn roster_changed(&mut self, turn: &mut Turn<'_>, room: RoomId) {
        self.look_at_roster_within(turn, room, ROSTER_AFTER_CHANGE_MS);
    }

    /// After connecting: what went while this device was away, or nobody was there.
    pub(super) fn look_at_roster_soon(&mut self, turn: &mut Turn<'_>, room: RoomId) {
        let looked = self.rooms.rosters.get(&room).copied();
        if looked.is_none_or(|at| at.saturating_add(ROSTER_EVERY_MS) <= turn.now) {
            self.look_at_roster_within(turn, room, ROSTER_WITHIN_MS);
        }
    }

    fn look_at_roster_within(&mut self, turn: &mut Turn<'_>, room: RoomId, within_ms: u32) {
        let at = turn.now.saturating_add(u64::from(turn.rng.next_u32() % within_ms));
        let live = self.rooms.live(room);
        live.roster_at = Some(live.roster_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn pump_rosters(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let due = |live: &super::Live| live.roster_at.is_some_and(|at| at <= turn.now) && !live.behind;
        let rooms: Vec<RoomId> =
            self.rooms.live.iter().filter(|(_, live)| due(live)).map(|(room, _)| *room).collect();
        for room in rooms {
            self.rooms.live(room).roster_at = None;
            let stored = self.store.read(|tx| tx.room(room))?;
            if stored.is_none_or(|stored| stored.state != RoomState::Joined || stored.denied) {
                continue;
            }
            self.rooms.rosters.insert(room, turn.now);
            self.ask_roster(turn, room, Vec::new())?;
        }
        Ok(())
    }

    fn ask_roster(&mut self, turn: &mut Turn<'_>, room: RoomId, known: Vec<RoomDevice>) -> Result<(), Fault> {
        let after = known.last().cloned();
        self.ask_room(
            turn,
            RoomAsked::Roster { room, known },
            &Request::RoomRoster(RoomRoster { room, after }),
        )
    }

    pub(super) fn on_roster(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        mut known: Vec<RoomDevice>,
        response: Response,
    ) -> Result<(), Fault> {
        // Another time, if not now.
        let Response::RoomRosterPage(page) = response else { return Ok(()) };
        let before = known.len();
        known.extend(page.devices.into_inner().into_iter().map(|place| place.device));
        if page.more && known.len() > before && before < ROSTER_PAGES {
            return self.ask_roster(turn, room, known);
        }
        let known: BTreeSet<RoomDevice> = known.into_iter().collect();
        let gone = self.transact(turn, |w| {
            let Some(group) = w.group(room)? else { return Ok(BTreeSet::new()) };
            let leaving = group.leaving();
            let stays = group.members().into_iter().filter(|leaf| !leaving.contains(leaf));
            let gone = stays.filter_map(|leaf| wire_device(&leaf)).filter(|device| !known.contains(device));
            let gone: BTreeSet<RoomDevice> = gone.collect();
            w.loaded.keep(group);
            for device in &gone {
                // Their newest list may be known, and what was to follow from it forgotten in a restart.
                let known = w.list(&device.account)?;
                let unlisted = known.is_some_and(|known| known.list.device(device.device.get()).is_none());
                if unlisted && !w.is_me(&device.account) {
                    w.done.follows.push((room, Act::Follow(device.account.clone())));
                }
            }
            Ok(gone.into_iter().map(|device| device.account).collect::<BTreeSet<Username>>())
        })?;
        let others = gone.into_iter().filter(|account| *account != self.me.account);
        self.lookups.want(others.take(ROSTER_ACCOUNTS).collect(), [].into());
        Ok(())
    }
}
