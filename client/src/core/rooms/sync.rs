//! The log of each room: in the order of `seq`, without gaps; pushes where they fit, pages otherwise; acknowledged after
//! the commit (R21).

use subrosa_protocol::{
    RoomId,
    frames::{
        EntryBody, Request, Response, RoomChange, RoomChanged, RoomCursor, RoomDeliver, RoomEntry, RoomHead,
        RoomHeads, RoomSync, Standing,
    },
    limits::ROOM_ENTRIES_PER_PAGE,
};

use super::{
    super::{Core, Fault, Turn},
    RoomAsked,
    entry::{self, Missing},
};
use crate::{
    api::{EventBody, Kind, MessageKind, RoomState},
    limits::{ROOM_DENIED_ASK_EVERY_MS, WITHOUT_LIST_TRIES},
};

impl Core {
    /// After connecting: where are the rooms of this device?
    pub(super) fn ask_heads(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.rooms.heads_asked, true) {
            return Ok(());
        }
        let asked = RoomAsked::Heads { known: Vec::new() };
        self.ask_room(turn, asked, &Request::RoomHeads(RoomHeads { after: None }))
    }

    pub(super) fn on_heads(
        &mut self,
        turn: &mut Turn<'_>,
        mut known: Vec<RoomHead>,
        response: Response,
    ) -> Result<(), Fault> {
        let Response::RoomHeadsPage(page) = response else {
            self.rooms.heads_known = true;
            return Ok(());
        };
        let last = page.rooms.last().map(|head| head.room);
        known.extend(page.rooms.into_inner());
        if page.more
            && let Some(last) = last
        {
            let asked = RoomAsked::Heads { known };
            return self.ask_room(turn, asked, &Request::RoomHeads(RoomHeads { after: Some(last) }));
        }
        self.rooms.heads_known = true;
        let rooms = self.store.read(|tx| tx.rooms())?;
        self.dirty.rooms |= rooms.iter().any(|stored| stored.state == RoomState::Invited);
        self.look_at_invitations(turn, &rooms, &known)?;
        for stored in rooms {
            let head = known.iter().find(|head| head.room == stored.id);
            let inside = |head: &RoomHead| matches!(head.standing, Standing::Joined | Standing::Invited);
            let asked = stored.leaving && !self.rooms.live(stored.id).leaving;
            if asked && stored.state == RoomState::Joined {
                // It had asked to leave, and the answer was lost; or the relay has not heard of it, and its person was told that
                // it may not have come to that.
                if !head.is_some_and(inside) {
                    self.transact(turn, |w| super::leave::left(w, stored.id))?;
                    self.forget_live(turn, stored.id);
                    continue;
                }
                self.transact(turn, |w| super::leave::stay(w, stored.id))?;
            }
            match (stored.state, head) {
                (RoomState::Joined, Some(head)) => {
                    self.add_own_devices(turn, stored.id)?;
                    self.take_out_own_devices(turn, stored.id)?;
                    self.look_at_roster_soon(turn, stored.id);
                    self.rooms.live(stored.id).behind |= head.head > stored.cursor;
                    if !self.stands(turn, &stored, head)? && head.head <= stored.cursor {
                        // All of the log is known that this device may read, and nothing in it took it out.
                        self.denied(turn, stored.id)?;
                    }
                    match head.standing {
                        Standing::Invited if stored.accepting => self.accept_at_relay(turn, stored.id)?,
                        Standing::Invited => self.added_again(turn, stored.id)?,
                        Standing::Joined => self.entered(turn, stored.id)?,
                        _ => {}
                    }
                }
                // It is not told of any more: the log says why.
                (RoomState::Joined, None) => self.rooms.live(stored.id).behind = true,
                (RoomState::Joining, head) => self.found_joining(turn, &stored, head)?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn on_room_changed(&mut self, turn: &mut Turn<'_>, changed: RoomChanged) -> Result<(), Fault> {
        match changed.change {
            RoomChange::Roster | RoomChange::Gone => self.rooms.live(changed.room).behind = true,
        }
        self.roster_changed(turn, changed.room);
        match self.store.read(|tx| tx.room(changed.room))? {
            Some(stored) => self.ask_invitation(turn, &stored),
            None => Ok(()),
        }
    }

    pub(super) fn on_room_entry(&mut self, turn: &mut Turn<'_>, deliver: RoomDeliver) -> Result<(), Fault> {
        let RoomDeliver { room, entry } = deliver;
        let stored = self.store.read(|tx| tx.room(room))?;
        let Some(stored) = stored.filter(|stored| stored.state == RoomState::Joined) else { return Ok(()) };
        if entry.seq <= stored.cursor {
            return Ok(());
        }
        self.rooms.heads_asked &= !stored.denied;
        let live = self.rooms.live(room);
        if live.syncing
            || live.behind
            || !live.needs.is_empty()
            || entry.seq != stored.cursor.saturating_add(1)
        {
            live.behind = true;
            return Ok(());
        }
        self.take_page(turn, room, std::slice::from_ref(&*entry), false)
    }

    pub(super) fn pump_sync(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let behind = |live: &super::Live| {
            live.behind && !live.syncing && live.needs.is_empty() && live.object.is_none()
        };
        let rooms: Vec<RoomId> =
            self.rooms.live.iter().filter(|(_, live)| behind(live)).map(|(room, _)| *room).collect();
        for room in rooms {
            let stored = self.store.read(|tx| tx.room(room))?;
            let live = self.rooms.live(room);
            if let Some(at) = live.sync_at.filter(|at| *at > turn.now) {
                self.rooms.again(at);
                continue;
            }
            live.behind = false;
            let Some(stored) = stored.filter(|stored| stored.state == RoomState::Joined) else { continue };
            live.syncing = true;
            let max = u16::try_from(ROOM_ENTRIES_PER_PAGE).unwrap_or(1);
            let sync = RoomSync { room, after: stored.cursor, max };
            self.ask_room(turn, RoomAsked::Sync(room), &Request::RoomSync(sync))?;
        }
        Ok(())
    }

    pub(super) fn on_room_page(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: Response,
    ) -> Result<(), Fault> {
        self.rooms.live(room).syncing = false;
        match response {
            Response::RoomPage(page) if page.gap => self.cut_off(turn, room),
            Response::RoomPage(page) => {
                let stored = self.store.read(|tx| tx.room(room))?;
                if stored.as_ref().is_some_and(|stored| stored.denied) {
                    // Whether this device is in the room, the heads say.
                    let at = turn.now.saturating_add(ROOM_DENIED_ASK_EVERY_MS);
                    self.rooms.live(room).ask_again_at.get_or_insert(at);
                }
                let cursor = stored.map_or(0, |stored| stored.cursor);
                let next = page.entries.iter().map(|entry| entry.seq).find(|seq| *seq > cursor);
                if next.is_some_and(|seq| seq != cursor.saturating_add(1)) {
                    return self.kept_back(turn, room);
                }
                let news = next.is_some();
                self.take_page(turn, room, &page.entries, page.more && news)
            }
            Response::Error(frame) => match frame.code {
                code if super::deny::puts_out(code) => self.denied(turn, room),
                _ => {
                    self.drop_connection(turn);
                    Ok(())
                }
            },
            _ => Err(Fault::Relay("another answer to a sync of a room than there is")),
        }
    }

    /// Entries of a log, ascending: those that follow are dealt with, as far as what they need is known.
    pub(super) fn take_page(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        entries: &[RoomEntry],
        more: bool,
    ) -> Result<(), Fault> {
        let fresh = self.rooms.live(room).fresh.clone();
        let without_list = self.rooms.live(room).without_list >= WITHOUT_LIST_TRIES;
        let objects = std::mem::take(&mut self.rooms.objects);
        let taken =
            self.transact(turn, |w| entry::take_all(w, room, entries, (&fresh, without_list), &objects));
        self.rooms.objects = objects;
        let taken = taken?;
        let live = self.rooms.live(room);
        if taken.moved {
            live.fresh.clear();
            (live.without_list, live.sync_at) = (0, None);
            self.rooms.acknowledge_soon(room, turn.now);
        }
        self.rooms.live(room).behind |= more || taken.gap;
        if taken.moved && !taken.out {
            self.log_goes_on(turn, room)?;
        }
        let live = self.rooms.live(room);
        if taken.renewed {
            live.renew_at = None;
            self.rooms.wanted.retain(|wanted| {
                wanted.room != room || wanted.made || wanted.act != super::act::Act::Renewal
            });
        }
        let live = self.rooms.live(room);
        if !live.typing.is_empty() && !taken.wrote.is_empty() {
            self.typing_done(turn, room, &taken.wrote)?;
        }
        let live = self.rooms.live(room);
        if taken.leavers {
            let wait = turn.rng.next_u32() % crate::limits::SETTLE_WITHIN_MS;
            live.settle_at.get_or_insert(turn.now.saturating_add(u64::from(wait)));
        } else if taken.moved {
            live.settle_at = None;
        }
        match taken.missing {
            Some(Missing::Lists(accounts)) => self.need_lists(turn, room, accounts),
            Some(Missing::Object(hash)) => {
                live.object = Some(hash);
                self.get_object(turn, room, hash)?;
            }
            None => {}
        }
        if taken.lost {
            self.act_lost(turn, room);
        }
        if taken.merged {
            self.after_merge(turn, room)?;
        }
        if taken.out {
            self.forget_live(turn, room);
        }
        Ok(())
    }

    /// Nothing of a room is under way any more.
    pub(super) fn forget_live(&mut self, turn: &mut Turn<'_>, room: RoomId) {
        self.rooms.live.remove(&room);
        // Whoever was leaving is where its person wants it.
        for wanted in self.rooms.wanted.iter_mut().filter(|wanted| wanted.room == room) {
            if wanted.act == super::Act::Leave
                && let Some(token) = wanted.token.take()
            {
                let result = Ok(crate::api::Reply::Done {});
                turn.out.push(super::super::Effect::Reply { token, result });
            }
        }
        let error = crate::api::ApiError::new(Kind::Refused, "you are not in this room any more");
        self.fail_acts(turn, |wanted| wanted.room == room, &error);
    }

    /// An object came: what waited for it goes on.
    pub(super) fn object_came(&mut self, room: RoomId, hash: subrosa_protocol::frames::ObjectHash) {
        let live = self.rooms.live(room);
        if live.object == Some(hash) {
            live.object = None;
            live.behind = true;
        }
    }

    pub(super) fn object_missing(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        hash: subrosa_protocol::frames::ObjectHash,
        error: &crate::api::ApiError,
    ) -> Result<(), Fault> {
        let live = self.rooms.live(room);
        if live.object == Some(hash) {
            live.object = None;
            return self.cut_off(turn, room);
        }
        // The GroupInfo that was named is another by now; or a Welcome is that of a commit that lost, or gone.
        if error.kind == Kind::NotFound {
            self.transact(turn, |w| super::invite::no_welcome(w, room, hash))?;
        }
        self.all_enter_later(turn, room, error)
    }

    /// The relay does not have all that this device has not seen.
    fn cut_off(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        self.transact(turn, |w| {
            let Some(mut stored) = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined) else {
                return Ok(());
            };
            super::renew::tell_that_lost(w, &stored)?;
            stored.state = RoomState::CutOff;
            stored.role = None;
            w.tx.put_room(&stored)?;
            let me = w.me.account.clone();
            w.room_notice(room, &me, MessageKind::RoomCutOff {})?;
            super::leave::forget_group(w, room)?;
            w.emit(EventBody::RoomCutOff { chat: stored.shown() })
        })?;
        self.forget_live(turn, room);
        Ok(())
    }

    /// Acknowledges what is stored.
    pub(super) fn pump_cursors(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let due = |live: &super::Live| !live.acking && live.ack_at.is_some_and(|at| at <= turn.now);
        let rooms: Vec<RoomId> =
            self.rooms.live.iter().filter(|(_, live)| due(live)).map(|(room, _)| *room).collect();
        for room in rooms {
            let (stored, state_generation) =
                self.store.read(|tx| Ok::<_, Fault>((tx.room(room)?, tx.generation()?)))?;
            let live = self.rooms.live(room);
            live.ack_at = None;
            let Some(stored) = stored.filter(|stored| stored.state == RoomState::Joined) else { continue };
            live.acking = true;
            let cursor = RoomCursor { room, up_to: stored.cursor, state_generation };
            self.ask_room(turn, RoomAsked::Cursor(room), &Request::RoomCursor(cursor))?;
        }
        self.pump_settling(turn)
    }
}

/// The object in which the bytes of an entry stand, if they do.
pub(super) const fn object_of(entry: &RoomEntry) -> Option<subrosa_protocol::frames::ObjectHash> {
    match &entry.body {
        EntryBody::Object(object) => Some(object.hash),
        EntryBody::Reboot(notice) => match &notice.welcome {
            Some(object) => Some(object.hash),
            None => None,
        },
        EntryBody::Inline(_) => None,
    }
}
