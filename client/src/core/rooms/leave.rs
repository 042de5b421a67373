//! Getting out of rooms, and taking out who left.

use std::collections::BTreeSet;

use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{
    BoundedBytes, EntryId, RoomId, Username,
    content::{Content, RoomDeclined},
    frames::{LeaveProposal, Request, Response, RoomLeave},
};
use subrosa_rooms::{Role as PolicyRole, Room};

use super::{
    super::{Core, Effect, Fault, Turn, work::Work},
    RoomAsked,
    act::{Act, Wanted, jitter},
    mls::fault,
};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, Reply, RoomState},
    limits::DEFAULT_WAIT_MS,
    net::refused,
    store::StoredRoom,
};

/// Rooms that are named in one refusal.
const ROOMS_NAMED: usize = 5;

impl Core {
    /// `room.leave`: out of a room, or an invitation declined.
    pub(super) fn leave_room(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        stored: &StoredRoom,
    ) -> Result<(), Fault> {
        let room = stored.id;
        match stored.state {
            RoomState::Left | RoomState::Removed => {
                let what = format!("you are not in {}", stored.shown());
                return Err(ApiError::new(Kind::Refused, what).into());
            }
            RoomState::CutOff | RoomState::Invited | RoomState::Joining | RoomState::Joined => {}
        }
        self.need_relay()?;
        if stored.goes_on() {
            return self.want(turn, room, Act::Leave, Some(token));
        }
        if stored.state == RoomState::Joining {
            let what = format!("you are joining {} just now", stored.shown());
            return Err(ApiError::new(Kind::Refused, what).hint("try again when that is done").into());
        }
        if stored.state == RoomState::Joined && !stored.denied && stored.owner_secret.is_some() {
            // It stands still, and this device can renew it.
            self.transact(turn, |w| {
                let Some(group) = w.group(room)? else { return Ok(()) };
                let may = may_leave(w, &group, stored);
                w.loaded.keep(group);
                may
            })?;
        }
        self.ask_to_leave(turn, room, (token, turn.now.saturating_add(DEFAULT_WAIT_MS)), None)
    }

    /// This device is the only one of its account in a room that it leaves: now it asks for its own removal.
    pub(super) fn only_this_device(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        (token, deadline): (u64, u64),
    ) -> Result<(), Fault> {
        let proposal = self.transact(turn, |w| {
            let Some(stored) = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined) else {
                return Ok(None);
            };
            let mut group = w.group_of(room)?;
            let (leaf, tx) = (w.leaf()?, w.tx);
            let bytes = group.leave(tx, &mut w.rng, leaf, w.now).map_err(fault)?;
            let proposal = LeaveProposal {
                id: EntryId::from_bytes(w.random()),
                generation: group.generation(),
                epoch: group.epoch(),
                bytes: BoundedBytes::new(bytes).map_err(|_| Fault::Internal("proposal"))?,
            };
            w.loaded.keep(group);
            w.tx.put_room(&StoredRoom { leaving: true, ..stored })?;
            Ok(Some(proposal))
        });
        match proposal {
            Ok(proposal) => self.ask_to_leave(turn, room, (token, deadline), proposal),
            Err(Fault::Refused(error)) => {
                turn.out.push(Effect::Reply { token, result: Err(error) });
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// The only device of this account is to be logged out: rooms in which nobody else is an owner would lose the owner key with it. Refused
    /// if there are such rooms.
    pub(in crate::core) fn owns_alone(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let own = self.store.read(|tx| tx.device_list(&self.me.account))?;
        if own.is_some_and(|own| own.list.devices.len() > 1) {
            return Ok(());
        }
        let rooms = self.transact(turn, |w| {
            let mut rooms = Vec::new();
            for stored in w.tx.rooms()?.into_iter().filter(|stored| stored.state == RoomState::Joined) {
                let Some(group) = w.group(stored.id)? else { continue };
                let may = may_leave(w, &group, &stored);
                w.loaded.keep(group);
                match may {
                    Ok(()) => {}
                    Err(Fault::Refused(_)) => rooms.push(stored.shown()),
                    Err(other) => return Err(other),
                }
            }
            Ok(rooms)
        })?;
        let Some(first) = rooms.first() else { return Ok(()) };
        let shown: Vec<&str> = rooms.iter().map(String::as_str).take(ROOMS_NAMED).collect();
        let more = if rooms.len() > ROOMS_NAMED { " and others" } else { "" };
        let what = format!(
            "this is your only device, and you are the only owner of {}{more}: nobody would have the owner key any more",
            shown.join(", ")
        );
        let hint = format!(
            "make somebody an owner first: rosa room role '{first}' NAME owner; or, for good: rosa logout --force"
        );
        Err(ApiError::new(Kind::Refused, what).hint(hint).into())
    }

    fn ask_to_leave(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        (token, deadline): (u64, u64),
        proposal: Option<LeaveProposal>,
    ) -> Result<(), Fault> {
        let state_generation = self.store.read(|tx| tx.generation())?;
        let leave = RoomLeave { room, account: true, proposal, state_generation };
        self.rooms.live(room).leaving = true;
        self.ask_room(turn, RoomAsked::Leave { room, token, deadline }, &Request::RoomLeave(leave))
    }

    pub(super) fn on_left(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        (token, deadline): (u64, u64),
        response: Response,
    ) -> Result<(), Fault> {
        self.rooms.live(room).leaving = false;
        let result = match response {
            Response::RoomAccepted(_) | Response::Done(_) => {
                self.transact(turn, |w| left(w, room))?;
                self.forget_live(turn, room);
                Ok(Reply::Done {})
            }
            // The room changed meanwhile: with what is new, until there is no time left.
            Response::EpochPassed(passed) => {
                self.transact(turn, |w| stay(w, room))?;
                self.take_page(turn, room, &passed.entries, passed.more)?;
                self.rooms.live(room).behind |= passed.more || passed.entries.is_empty();
                return self.leave_again(turn, room, (token, deadline));
            }
            // The relay knows of no such member: there is nothing to leave there.
            Response::Error(frame) if super::deny::puts_out(frame.code) => {
                self.transact(turn, |w| left(w, room))?;
                self.forget_live(turn, room);
                Ok(Reply::Done {})
            }
            Response::Error(frame) => {
                self.transact(turn, |w| stay(w, room))?;
                Err(refused(&frame))
            }
            _ => return Err(Fault::Relay("another answer to leaving a room than there is")),
        };
        turn.out.push(Effect::Reply { token, result });
        Ok(())
    }

    fn leave_again(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        (token, deadline): (u64, u64),
    ) -> Result<(), Fault> {
        if self.store.read(|tx| tx.room(room))?.is_none_or(|stored| stored.state != RoomState::Joined) {
            // Somebody took it out meanwhile: it is where its person wants it.
            turn.out.push(Effect::Reply { token, result: Ok(Reply::Done {}) });
            return Ok(());
        }
        let not_before = turn.now.saturating_add(jitter(turn));
        self.rooms.again(not_before);
        let (act, token) = (Act::Leave, Some(token));
        self.rooms.wanted.push(Wanted { room, act, token, deadline, tries: 0, not_before, made: false });
        Ok(())
    }

    /// Takes out who left, after a random while, if nobody else has.
    pub(super) fn pump_settling(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let due: Vec<RoomId> = self
            .rooms
            .live
            .iter()
            .filter(|(_, live)| live.settle_at.is_some_and(|at| at <= turn.now))
            .map(|(room, _)| *room)
            .collect();
        for room in due {
            self.rooms.live(room).settle_at = None;
            self.want(turn, room, Act::Settle, None)?;
            self.rooms.again(turn.now);
        }
        Ok(())
    }
}

/// The other accounts in a room, without those who have asked to leave and those who are invited and have not come.
fn company(w: &Work<'_>, group: &Room, stored: &StoredRoom) -> Result<BTreeSet<String>, Fault> {
    let (me, leaving) = (w.me.account.as_str(), group.leaving());
    let stays = |device: &RoomDevice| device.account != me && !leaving.contains(device);
    let others = group.members().into_iter().filter(stays).collect();
    super::lines::came(w, stored.id, &others)
}

/// The devices that go before this one leaves: the account's others; and those who are invited to a room that is closed with its
/// only owner.
pub(super) fn before_leaving(
    w: &Work<'_>,
    group: &Room,
    stored: &StoredRoom,
) -> Result<BTreeSet<RoomDevice>, Fault> {
    let me = w.me.account.as_str();
    let closes = group.policy().role(me) == PolicyRole::Owner && company(w, group, stored)?.is_empty();
    let mut go: BTreeSet<RoomDevice> = if closes {
        let leaving = group.leaving();
        group.members().into_iter().filter(|device| !leaving.contains(device)).collect()
    } else {
        group.devices_of(me)
    };
    go.remove(&RoomDevice::new(me, w.me.device.get()));
    Ok(go)
}

/// Whether this device gives up its account's role by a commit before it asks to leave: owners who leave in the same moment, each seeing
/// the other, would leave nobody who has the owner key. Of commits one is the first, and the other owner sees it (decision 0050).
pub(super) fn gives_up(w: &Work<'_>, group: &Room, stored: &StoredRoom) -> Result<bool, Fault> {
    let owner = group.policy().role(w.me.account.as_str()) == PolicyRole::Owner;
    Ok(owner && !company(w, group, stored)?.is_empty())
}

/// The only owner does not leave others without one: nobody could give roles, or renew the room (R31). Owners of whom the log says
/// that they left are none, and those whose devices in the room were all signed out.
pub(super) fn may_leave(w: &Work<'_>, group: &Room, stored: &StoredRoom) -> Result<(), Fault> {
    let (policy, me) = (group.policy(), w.me.account.as_str());
    let others = company(w, group, stored)?;
    let fresh = BTreeSet::new();
    let dropped = group.dropped_members(&super::mls::lists(w.tx, w.me, &fresh));
    let there = group.members().into_iter().filter(|device| !dropped.contains(device));
    let there: BTreeSet<String> = there.map(|device| device.account).collect();
    let owns = |account: &String| policy.owners.contains(account) && there.contains(account);
    if policy.role(me) != PolicyRole::Owner || others.is_empty() || others.iter().any(owns) {
        return Ok(());
    }
    let room = stored.shown();
    let what = format!("you are the only owner of {room}: the others would be left without one");
    let hint = format!("make somebody an owner first: rosa room role '{room}' NAME owner");
    Err(ApiError::new(Kind::Refused, what).hint(hint).into())
}

/// This device asked to leave, and is in the room still.
pub(super) fn stay(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    let Some(stored) = w.tx.room(room)?.filter(|stored| stored.leaving) else { return Ok(()) };
    if let Some(mut group) = w.group(room)? {
        let tx = w.tx;
        group.stay(tx, &mut w.rng, w.now).map_err(fault)?;
        w.loaded.keep(group);
    }
    Ok(w.tx.put_room(&StoredRoom { leaving: false, ..stored })?)
}

/// This device is in a room no more, by its person's own act.
pub(super) fn left(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(room)? else { return Ok(()) };
    let was_in = stored.state == RoomState::Joined;
    if stored.state == RoomState::Invited {
        super::answer::declined(w, &stored)?;
    }
    if stored.state == RoomState::Invited
        && let Some(inviter) = stored.invited_by.clone().filter(|inviter| !w.is_me(inviter))
    {
        let declined = RoomDeclined { room, generation: stored.generation, account: true };
        super::renew::tell(w, &inviter, Content::RoomDeclined(declined))?;
    }
    stored.state = RoomState::Left;
    close(w, &mut stored)?;
    if was_in {
        let me = w.me.account.clone();
        w.room_notice(room, &me, MessageKind::MemberLeft {})?;
    }
    w.emit(EventBody::RoomLeft { chat: stored.shown(), by: None })
}

/// This device was taken out of a room.
pub(super) fn out(w: &mut Work<'_>, room: RoomId, by: Option<&Username>) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined) else {
        return Ok(());
    };
    stored.state = RoomState::Removed;
    close(w, &mut stored)?;
    w.emit(EventBody::RoomLeft { chat: stored.shown(), by: by.map(ToString::to_string) })
}

/// What only members have and do ends.
pub(super) fn close(w: &mut Work<'_>, stored: &mut StoredRoom) -> Result<(), Fault> {
    (stored.role, stored.owner_secret, stored.invitation, stored.invited_by) = (None, None, None, None);
    (stored.refused, stored.next_secret, stored.denied) = (None, None, false);
    stored.leaving = false;
    w.tx.put_room(stored)?;
    super::change::drop_pending(w, stored.id)?;
    let error = ApiError::new(Kind::Refused, format!("you are not in {} any more", stored.shown()));
    for message in w.tx.remove_room_posts(stored.id)? {
        w.fail_line(message, &error)?;
    }
    forget_group(w, stored.id)
}

/// The keys of a room's group end.
pub(super) fn forget_group(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    w.tx.forget_seats(room)?;
    match w.group(room)? {
        Some(group) => group.forget(w.tx).map_err(fault),
        None => Ok(()),
    }
}
