//! Getting out of rooms, and taking out who left.

use subrosa_protocol::{
    BoundedBytes, EntryId, RoomId, Username,
    content::{Content, RoomDeclined},
    frames::{LeaveProposal, Request, Response, RoomLeave},
};

use super::{
    super::{Core, Effect, Fault, Turn, work::Work},
    RoomAsked,
    act::Act,
    mls::fault,
};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, Reply, RoomState},
    limits::ACT_TRIES,
    net::refused,
    store::StoredRoom,
};

impl Core {
    /// `room.leave`: out of a room, or an invitation declined.
    pub(super) fn leave_room(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        stored: &StoredRoom,
        tries: u32,
    ) -> Result<Option<Reply>, Fault> {
        let room = stored.id;
        match stored.state {
            RoomState::Left | RoomState::Removed => {
                let what = format!("you are not in {}", stored.shown());
                return Err(ApiError::new(Kind::Refused, what).into());
            }
            RoomState::CutOff | RoomState::Invited | RoomState::Joining | RoomState::Joined => {}
        }
        self.need_relay()?;
        if self.store.read(|tx| tx.pending_commit(room))?.is_some() {
            return Err(ApiError::new(Kind::Refused, "a change of the room is on its way")
                .hint("try again")
                .into());
        }
        if tries == 0 && stored.goes_on() {
            let alone = self.transact(turn, |w| {
                let Some(group) = w.group(room)? else { return Ok(true) };
                let own = group.devices_of(w.me.account.as_str()).len();
                w.loaded.keep(group);
                Ok(own <= 1)
            })?;
            if !alone {
                return self.want(turn, room, Act::Leave, Some(token)).map(|()| None);
            }
        }
        let (proposal, state_generation) = self.transact(turn, |w| {
            let mut proposal = None;
            if stored.state == RoomState::Joined
                && let Some(mut group) = w.group(room)?
                && group.members().len() > 1
            {
                let (leaf, tx) = (w.leaf()?, w.tx);
                let bytes = group.leave(tx, &mut w.rng, leaf, w.now).map_err(fault)?;
                proposal = Some(LeaveProposal {
                    id: EntryId::from_bytes(w.random()),
                    generation: group.generation(),
                    epoch: group.epoch(),
                    bytes: BoundedBytes::new(bytes).map_err(|_| Fault::Internal("proposal"))?,
                });
                w.loaded.keep(group);
                w.tx.put_room(&StoredRoom { leaving: true, ..stored.clone() })?;
            }
            Ok((proposal, w.tx.generation()?))
        })?;
        let leave = RoomLeave { room, account: true, proposal, state_generation };
        self.ask_room(turn, RoomAsked::Leave { room, token, tries }, &Request::RoomLeave(leave))?;
        Ok(None)
    }

    pub(super) fn on_left(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        (token, tries): (u64, u32),
        response: Response,
    ) -> Result<(), Fault> {
        let result = match response {
            Response::RoomAccepted(_) | Response::Done(_) => {
                self.transact(turn, |w| left(w, room))?;
                self.forget_live(turn, room);
                Ok(Reply::Done {})
            }
            Response::EpochPassed(passed) => {
                self.take_page(turn, room, &passed.entries, passed.more)?;
                // The room changed meanwhile.
                let stored = self.store.read(|tx| tx.room(room))?.filter(|_| tries < ACT_TRIES);
                match stored.map(|stored| self.leave_room(turn, token, &stored, tries.saturating_add(1))) {
                    Some(Ok(None)) => return Ok(()),
                    Some(Ok(Some(reply))) => Ok(reply),
                    Some(Err(Fault::Refused(error))) => Err(error),
                    Some(Err(other)) => return Err(other),
                    None => Err(ApiError::new(Kind::Refused, "the room changed meanwhile").hint("try again")),
                }
            }
            // The relay knows of no such member: there is nothing to leave there.
            Response::Error(frame) if super::deny::puts_out(frame.code) => {
                self.transact(turn, |w| left(w, room))?;
                self.forget_live(turn, room);
                Ok(Reply::Done {})
            }
            Response::Error(frame) => Err(refused(&frame)),
            _ => return Err(Fault::Relay("another answer to leaving a room than there is")),
        };
        turn.out.push(Effect::Reply { token, result });
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

/// This device is in a room no more, by its person's own act.
pub(super) fn left(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(room)? else { return Ok(()) };
    let was_in = stored.state == RoomState::Joined;
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
fn close(w: &mut Work<'_>, stored: &mut StoredRoom) -> Result<(), Fault> {
    (stored.role, stored.owner_secret, stored.invitation, stored.invited_by) = (None, None, None, None);
    (stored.refused, stored.next_secret, stored.denied) = (None, None, false);
    stored.leaving = false;
    w.tx.put_room(stored)?;
    w.tx.remove_pending_commit(stored.id)?;
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
