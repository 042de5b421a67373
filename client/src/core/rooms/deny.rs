//! A relay that says that this device is not in a room. Its word is no proof: only a commit that members may make takes a device out,
//! and it stands in the log. So the group and everything of it stay, nothing is sent there meanwhile, and it is taken up
//! again as soon as the relay answers for the room. It ends for good by its person's own act, `room leave`.

use subrosa_protocol::{
    ErrorCode, RoomId,
    frames::{RoomHead, Standing},
};

use super::super::{Core, Fault, Turn, work::Work};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, MessageState, RoomState},
    limits::ROOM_DENIED_ASK_EVERY_MS,
    store::StoredRoom,
};

/// Whether a relay says by this that one is in no such room.
pub(super) const fn puts_out(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UnknownRoom | ErrorCode::NotAMember | ErrorCode::Banned)
}

/// What is said of a room that the relay denies.
pub(super) fn error(stored: &StoredRoom) -> ApiError {
    ApiError::new(
        Kind::Refused,
        format!(
            "the relay says that you are not in {}, or keeps its log from you; nobody took you out, as far as is known here",
            stored.shown()
        ),
    )
    .hint(format!(
        "this is not kept; the room goes on by itself when the relay answers for it again; to give it up: rosa room leave '{}'",
        stored.shown()
    ))
}

impl Core {
    /// The relay says that this device is in no such room.
    pub(super) fn denied(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let told = self.transact(turn, |w| deny(w, room))?;
        if let Some(stored) = &told {
            // Who waits for a message to be taken is told so, and has the text still. What was written before waits.
            let waited = self.waited_for(&room.into())?;
            self.transact(turn, |w| {
                for order in waited {
                    give_back(w, order, &error(stored))?;
                }
                Ok(())
            })?;
        }
        let live = self.rooms.live(room);
        live.behind = false;
        live.ask_again_at = Some(turn.now.saturating_add(ROOM_DENIED_ASK_EVERY_MS));
        if let Some(stored) = told {
            let error = error(&stored);
            self.fail_acts(
                turn,
                |wanted| wanted.room == room && wanted.token.is_some() && !wanted.made,
                &error,
            );
        }
        Ok(())
    }

    /// What the relay says now of a room in which this device is by its group; whether it is in it.
    pub(super) fn stands(
        &mut self,
        turn: &mut Turn<'_>,
        stored: &StoredRoom,
        head: &RoomHead,
    ) -> Result<bool, Fault> {
        match head.standing {
            Standing::Joined | Standing::Invited => {
                let live = self.rooms.live(stored.id);
                live.let_in = true;
                if stored.denied && head.head <= stored.cursor {
                    self.let_in_again(turn, stored.id)?;
                }
                Ok(true)
            }
            Standing::Removed | Standing::Stranger | Standing::Banned => Ok(false),
        }
    }

    /// Entries of the log were dealt with: the relay lets this device in, if it says so too.
    pub(super) fn log_goes_on(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let denied = self.store.read(|tx| tx.room(room))?.is_some_and(|stored| stored.denied);
        if denied && self.rooms.live(room).let_in { self.let_in_again(turn, room) } else { Ok(()) }
    }

    fn let_in_again(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        self.rooms.live(room).ask_again_at = None;
        self.transact(turn, |w| answered(w, room))
    }

    /// The relay goes on with the log further on than this device has read: it keeps entries back, or this device was taken
    /// out and added again while it was away.
    pub(super) fn kept_back(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        self.added_again(turn, room)?;
        self.denied(turn, room)
    }

    /// This device was taken out and added again while it was away: the relay has it as invited, and there is an invitation of a
    /// member. Its person is asked, as for any other.
    pub(super) fn added_again(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let invited = self.transact(turn, |w| {
            let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
            let Some(mut stored) = stored.filter(|stored| stored.invitation.is_some()) else {
                return Ok(false);
            };
            let Some(by) = stored.invited_by.clone() else { return Ok(false) };
            (stored.state, stored.role) = (RoomState::Invited, None);
            w.tx.put_room(&stored)?;
            super::change::void(w, room)?;
            w.done.rooms = true;
            if !w.is_me(&by) {
                w.emit(EventBody::RoomInvited {
                    chat: stored.shown(),
                    name: stored.name.clone(),
                    by: by.to_string(),
                })?;
            }
            Ok(true)
        })?;
        if invited {
            self.forget_live(turn, room);
        }
        Ok(())
    }

    /// Rooms that the relay denied are asked for again, now and then; and at once when it tells something of them.
    pub(super) fn pump_denied(&mut self, turn: &Turn<'_>) {
        let due = self.rooms.live.values().filter_map(|live| live.ask_again_at).min();
        match due {
            Some(at) if at <= turn.now => {
                for live in self.rooms.live.values_mut() {
                    live.ask_again_at = None;
                }
                self.rooms.heads_asked = false;
            }
            Some(at) => self.rooms.again(at),
            None => {}
        }
    }
}

/// A message that the relay has not taken is not sent any more.
fn give_back(w: &mut Work<'_>, order: i64, error: &ApiError) -> Result<(), Fault> {
    let Some(line) = w.tx.message_at(order)?.filter(|line| line.state == MessageState::Queued) else {
        return Ok(());
    };
    let id = line.id.parse().map_err(|_| Fault::Internal("message id"))?;
    w.tx.remove_room_post_of(id)?;
    w.fail_line(id, error)
}

/// The room, when it is news that the relay denies it.
fn deny(w: &mut Work<'_>, room: RoomId) -> Result<Option<StoredRoom>, Fault> {
    let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined && !stored.denied);
    let Some(mut stored) = stored else { return Ok(None) };
    tracing::warn!(room = %room, "the relay denies a room");
    stored.denied = true;
    w.tx.put_room(&stored)?;
    if let Some(head) = w.tx.room_post_head(room)? {
        w.hold_line(head.message, MessageState::Queued, Some(&error(&stored).message))?;
    }
    let me = w.me.account.clone();
    w.room_notice(room, &me, MessageKind::RoomDenied {})?;
    w.emit(EventBody::RoomDenied { chat: stored.shown() })?;
    Ok(Some(stored))
}

fn answered(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(room)?.filter(|stored| stored.denied) else { return Ok(()) };
    stored.denied = false;
    w.tx.put_room(&stored)?;
    let me = w.me.account.clone();
    w.room_notice(room, &me, MessageKind::RoomAnswered {})?;
    w.emit(EventBody::RoomAnswered { chat: stored.shown() })
}
