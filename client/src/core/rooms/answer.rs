//! Invitations: answered by one device for all of its account, and over when the relay has this device as invited no more.
//!
//! That an invitation is over is the relay's word alone. It ends no more than what the relay could have kept back; a later invitation counts.

use subrosa_protocol::{
    RoomId,
    content::{Content, RoomDeclined, RoomInvitation},
    frames::{Request, Response, RoomHead, RoomName, RoomShow, Standing},
};

use super::{
    super::{Core, Fault, Turn, work::Work},
    RoomAsked,
    enter::invitation_of,
    renew::tell,
};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, RoomState, Visibility},
    chat::ChatId,
    limits::INVITATIONS,
    store::{StoredRoom, Tx},
};

impl Core {
    /// The heads are known: invitations that they do not name are looked at one by one, for one may have come since they were asked for.
    pub(super) fn look_at_invitations(
        &mut self,
        turn: &mut Turn<'_>,
        rooms: &[StoredRoom],
        known: &[RoomHead],
    ) -> Result<(), Fault> {
        let named = |room: RoomId| {
            let head = known.iter().find(|head| head.room == room);
            head.is_some_and(|head| matches!(head.standing, Standing::Invited | Standing::Joined))
        };
        let invited = |stored: &&StoredRoom| stored.state == RoomState::Invited && !named(stored.id);
        for stored in rooms.iter().filter(invited).take(INVITATIONS) {
            self.ask_invitation(turn, stored)?;
        }
        Ok(())
    }

    /// Whether an invitation still stands.
    pub(super) fn ask_invitation(&mut self, turn: &mut Turn<'_>, stored: &StoredRoom) -> Result<(), Fault> {
        let enters = self.rooms.entering.iter().any(|entering| entering.room == Some(stored.id));
        if stored.state != RoomState::Invited || enters {
            return Ok(());
        }
        if std::mem::replace(&mut self.rooms.live(stored.id).invitation_asked, true) {
            return Ok(());
        }
        let asked = RoomAsked::Invitation { room: stored.id, at: (stored.generation, stored.epoch) };
        self.ask_room(turn, asked, &Request::RoomShow(RoomShow { room: RoomName::Id(stored.id) }))
    }

    pub(super) fn on_invitation_shown(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        at: (u32, u64),
        response: &Response,
    ) -> Result<(), Fault> {
        self.rooms.live(room).invitation_asked = false;
        let over = match response {
            Response::RoomInfo(info) => !matches!(info.standing, Standing::Invited | Standing::Joined),
            Response::Error(frame) => super::deny::puts_out(frame.code),
            _ => return Err(Fault::Relay("another answer to a question about a room than there is")),
        };
        if over { self.transact(turn, |w| end(w, room, at)) } else { Ok(()) }
    }
}

/// The invitation of this generation and epoch is over.
pub(super) fn end(w: &mut Work<'_>, room: RoomId, at: (u32, u64)) -> Result<(), Fault> {
    let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Invited);
    let Some(mut stored) = stored.filter(|stored| (stored.generation, stored.epoch) == at) else {
        return Ok(());
    };
    let asked = stored.invited_by.as_ref().is_some_and(|by| !w.is_me(by));
    stored.state = RoomState::Removed;
    super::leave::close(w, &mut stored)?;
    if !asked {
        return Ok(());
    }
    let me = w.me.account.clone();
    w.room_notice(room, &me, MessageKind::InvitationEnded { name: me.to_string() })?;
    w.emit(EventBody::RoomInvitationEnded { chat: stored.shown() })
}

/// Why there is nothing to accept in a room, if an invitation to it is over.
pub(super) fn ended(tx: &Tx<'_>, stored: &StoredRoom, me: &str) -> Result<Option<ApiError>, Fault> {
    let last = tx.history(&ChatId::from(stored.id), None, None, 1)?.messages.pop();
    let over = last.is_some_and(
        |line| matches!(line.kind, MessageKind::InvitationEnded { name } if line.from == me && name == me),
    );
    Ok(over.then(|| is_over(stored)))
}

/// An invitation that is over, for whoever accepts it.
pub(super) fn is_over(stored: &StoredRoom) -> ApiError {
    let what =
        format!("the invitation to {} is over: it was taken back, or the room is gone", stored.shown());
    let error = ApiError::new(Kind::Refused, what);
    match (&stored.slug, stored.visibility) {
        (Some(slug), Visibility::Public) => error.hint(format!("the room is public: rosa room join {slug}")),
        _ => error.hint("ask a member for another one"),
    }
}

/// This device accepted: so do the account's others.
pub(super) fn accepted(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    invitation: &RoomInvitation,
) -> Result<(), Fault> {
    if stored.invited_by.as_ref().is_some_and(|by| !w.is_me(by)) {
        let me = w.me.account.clone();
        tell(w, &me, Content::RoomInvitation(invitation.clone()))?;
    }
    Ok(())
}

/// This device declined: so do the account's others.
pub(super) fn declined(w: &mut Work<'_>, stored: &StoredRoom) -> Result<(), Fault> {
    let me = w.me.account.clone();
    let declined = RoomDeclined { room: stored.id, generation: stored.generation, account: true };
    tell(w, &me, Content::RoomDeclined(declined))
}

/// Another device of this account declined an invitation. Whether that was news here.
pub(super) fn declined_elsewhere(w: &mut Work<'_>, room: RoomId) -> Result<bool, Fault> {
    let Some(mut stored) = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Invited) else {
        return Ok(false);
    };
    stored.state = RoomState::Left;
    super::leave::close(w, &mut stored)?;
    w.emit(EventBody::RoomLeft { chat: stored.shown(), by: None })?;
    Ok(true)
}

/// What of two invitations to one room counts: the one of an own device says that the person has accepted, and may name an earlier
/// Welcome, which was for that device.
pub(super) fn newer_of(known: Option<&StoredRoom>, mine: bool, told: &RoomInvitation) -> RoomInvitation {
    let known = known.filter(|known| mine && known.state == RoomState::Invited).and_then(invitation_of);
    let newer = |known: &RoomInvitation| (known.generation, known.epoch) > (told.generation, told.epoch);
    known.filter(newer).unwrap_or_else(|| told.clone())
}
