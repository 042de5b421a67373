//! Messages to rooms: encrypted when they are the next to go, in order, one at a time; the same bytes at every try, as long as
//! their epoch lasts (R21).

use subrosa_protocol::{
    BoundedBytes, BoundedStr, EntryId, ErrorCode, MessageId, Payload, RoomId, SafeText,
    content::{Content, Text},
    frames::{EntryKind, ErrorFrame, Request, Response, RoomAccepted, RoomPost},
};
use subrosa_rooms::{Place, RoomError, Slot};

use super::{
    super::{
        Core, Fault, Turn, retry_after,
        work::{Work, message_event},
    },
    RoomAsked,
    act::Act,
    mls::{fault, refused},
};
use crate::{
    api::{
        ApiError, Direction, EventBody, Kind, Message, MessageKind, MessageState, RoomState, time::Timestamp,
    },
    chat::ChatId,
    limits::GIVE_UP_AFTER_MS,
    net::refused as relay_refused,
    store::{NewMessage, RoomPostRow, SealedPost, StoredRoom},
};

/// A text for a room becomes durable, and is sent by itself.
pub(in crate::core) fn queue(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    text: &SafeText,
    reply_to: Option<MessageId>,
    key: Option<&String>,
) -> Result<Message, Fault> {
    let chat = ChatId::from(stored.id);
    if let Some(key) = key
        && let Some(sent) = w.tx.message_by_key(&chat, key)?
    {
        return match &sent.kind {
            MessageKind::Text { text: before } if before != text => Err(ApiError::new(
                Kind::Usage,
                format!("this key was used for another text to {}", stored.shown()),
            )
            .hint("a key names one message for good: choose another one")
            .into()),
            _ => Ok(sent),
        };
    }
    may_write(w, stored)?;
    let id = w.random_message_id();
    let line = w.tx.insert_message(&NewMessage {
        id,
        chat,
        direction: Direction::Out,
        from: w.me.account.clone(),
        device: w.me.device.get(),
        kind: MessageKind::Text { text: text.clone() },
        reply_to,
        sent_at: Timestamp(w.now),
        stored_at: Timestamp(w.now),
        state: MessageState::Queued,
        reason: None,
        verified: true,
        key: key.cloned(),
        mention: false,
    })?;
    let line = line.ok_or(Fault::Internal("message id"))?;
    let text = BoundedStr::new(text.as_str()).map_err(|_| Fault::Internal("text"))?;
    let content = Content::Text(Text { text, reply_to, sent_at: w.now });
    let content = Payload { gossip: None, content }.encode().map_err(|_| Fault::Internal("payload"))?;
    let entry = EntryId::from_bytes(w.random());
    w.tx.push_room_post(stored.id, entry, id, &content, w.now)?;
    w.emit(EventBody::MessageQueued { message: message_event(&line) })?;
    Ok(line)
}

/// Whether this account may write in a room, as far as it knows.
pub(super) fn may_write(w: &Work<'_>, stored: &StoredRoom) -> Result<(), Fault> {
    let shown = stored.shown();
    let error = match stored.state {
        RoomState::Joined if super::state::is_forked(stored) => {
            ApiError::new(Kind::Identity, format!("{shown}: the relay shows its members different histories"))
                .hint(format!(
                    "ask the others by another way; an owner renews the room: rosa room renew '{shown}'"
                ))
        }
        RoomState::Joined if stored.denied => super::deny::error(stored),
        RoomState::Joined => {
            let group = w.group_of(stored.id)?;
            let muted = group.policy().muted.contains(w.me.account.as_str());
            w.loaded.keep(group);
            if !muted {
                return Ok(());
            }
            ApiError::new(Kind::Refused, format!("you are muted in {shown}"))
                .hint("ask a moderator of the room")
        }
        RoomState::Invited => {
            ApiError::new(Kind::Refused, format!("you have not accepted the invitation to {shown}"))
                .hint(format!("rosa room join '{shown}'"))
        }
        RoomState::Joining => {
            ApiError::new(Kind::Refused, format!("the relay has not let you into {shown} yet"))
                .hint("try again")
        }
        RoomState::Left | RoomState::Removed => {
            ApiError::new(Kind::Refused, format!("you are not in {shown} any more"))
                .hint("a public room can be joined again; a private one needs an invitation")
        }
        RoomState::CutOff => ApiError::new(Kind::Refused, format!("this device is cut off from {shown}"))
            .hint("a member must add it again; a public room can be joined again"),
    };
    Err(error.into())
}

/// What a message that was to be encrypted waits for.
enum Sealing {
    Ready(Box<RoomPostRow>),
    /// Who left has to be taken out first.
    Leavers,
    /// The room's group is being made anew.
    Later,
    /// It was given up.
    Failed,
}

impl Core {
    /// Sends the next message of each room.
    pub(super) fn pump_posts(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        for room in self.store.read(|tx| tx.room_post_targets())? {
            self.pump_post(turn, room)?;
        }
        Ok(())
    }

    fn pump_post(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        // What happened while this device was away comes first: it says in which epoch to encrypt; and whoever is muted or out is
        // to be told so, in place of a text that is accepted and seen by nobody.
        if !self.rooms.heads_known {
            return Ok(());
        }
        let live = self.rooms.live(room);
        if live.posting || live.behind || live.syncing || !live.needs.is_empty() || live.object.is_some() {
            return Ok(());
        }
        loop {
            let (stored, row) =
                self.store.read(|tx| Ok::<_, Fault>((tx.room(room)?, tx.room_post_head(room)?)))?;
            let Some((stored, row)) = stored.zip(row) else { return Ok(()) };
            if stored.state != RoomState::Joined || stored.denied || stored.leaving {
                return Ok(());
            }
            if row.next_try > turn.now {
                self.rooms.again(row.next_try);
                return Ok(());
            }
            match self.transact(turn, |w| seal(w, &stored, row))? {
                Sealing::Ready(row) => return self.post(turn, room, *row),
                Sealing::Later => return Ok(()),
                Sealing::Leavers => return self.want(turn, room, Act::Settle, None),
                Sealing::Failed => {}
            }
        }
    }

    fn post(&mut self, turn: &mut Turn<'_>, room: RoomId, row: RoomPostRow) -> Result<(), Fault> {
        let Some(sealed) = row.sealed else { return Ok(()) };
        let state_generation = self.store.read(|tx| tx.generation())?;
        let request = Request::RoomPost(RoomPost {
            room,
            id: row.entry,
            kind: EntryKind::Application,
            generation: sealed.generation,
            epoch: sealed.epoch,
            bytes: BoundedBytes::new(sealed.bytes).map_err(|_| Fault::Internal("message"))?,
            state_generation,
        });
        self.rooms.live(room).posting = true;
        self.ask_room(turn, RoomAsked::Post { room, row: row.id }, &request)
    }

    /// The relay answered a message.
    pub(super) fn on_posted(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        row: i64,
        response: Response,
    ) -> Result<(), Fault> {
        self.rooms.live(room).posting = false;
        match response {
            Response::RoomAccepted(accepted) => {
                if self.transact(turn, |w| post_accepted(w, room, row, accepted))? {
                    self.rooms.acknowledge_soon(room, turn.now);
                }
                Ok(())
            }
            Response::EpochPassed(passed) => {
                self.transact(turn, |w| {
                    w.tx.room_post_unsealed(row)?;
                    // A relay that says so again and again is asked less and less often.
                    let attempts = w.tx.room_post_row(row)?.map_or(0, |post| post.attempts);
                    let wait = if attempts == 0 { 0 } else { retry_after(None, attempts) };
                    Ok(w.tx.retry_room_post(row, w.now.saturating_add(wait))?)
                })?;
                self.take_page(turn, room, &passed.entries, passed.more)?;
                self.rooms.live(room).behind |= passed.more || passed.entries.is_empty();
                Ok(())
            }
            Response::Error(frame) => self.on_post_refused(turn, room, row, &frame),
            _ => Err(Fault::Relay("another answer to a message than there is")),
        }
    }

    fn on_post_refused(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        row: i64,
        frame: &ErrorFrame,
    ) -> Result<(), Fault> {
        let error = relay_refused(frame);
        let hopeless = matches!(
            frame.code,
            ErrorCode::BadRequest | ErrorCode::TooLarge | ErrorCode::UnknownFrame | ErrorCode::Refused
        );
        // Why may be seen in the log.
        let out = super::deny::puts_out(frame.code);
        self.rooms.live(room).behind |= out;
        self.rooms.heads_asked &= !out;
        self.transact(turn, |w| {
            let Some(post) = w.tx.room_post_row(row)? else { return Ok(()) };
            if hopeless {
                w.tx.remove_room_post(row)?;
                return w.fail_line(post.message, &error);
            }
            let at = w.now.saturating_add(retry_after(frame.retry_after_ms, post.attempts));
            w.tx.retry_room_post(row, at)?;
            w.hold_line(post.message, MessageState::Queued, Some(&error.message))
        })
    }
}

/// A message stands in the log. Whether it is the next entry of it: then this device's place moves past it, for the relay sends it to
/// nobody who wrote it, and keeps for this device what it does not acknowledge. Otherwise it is dealt with in its turn.
fn post_accepted(w: &mut Work<'_>, room: RoomId, row: i64, accepted: RoomAccepted) -> Result<bool, Fault> {
    let Some(post) = w.tx.room_post_row(row)? else { return Ok(false) };
    w.advance_line(post.message, MessageState::Accepted)?;
    let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
    let cursor = stored.as_ref().map_or(0, |stored| stored.cursor);
    match stored {
        Some(mut stored) if accepted.seq == cursor.saturating_add(1) => {
            w.tx.remove_room_post(row)?;
            w.place_line(post.message)?;
            super::entry::own_heard(w, room, accepted.accepted_at)?;
            stored.cursor = accepted.seq;
            w.tx.put_room(&stored)?;
            Ok(true)
        }
        _ if accepted.seq <= cursor => {
            w.tx.remove_room_post(row)?;
            Ok(false)
        }
        _ => {
            w.tx.room_post_accepted(row, accepted.seq)?;
            Ok(false)
        }
    }
}

/// Encrypts a message, if it is not yet or not any more, in the transaction that stores the ciphertext.
fn seal(w: &mut Work<'_>, stored: &StoredRoom, mut row: RoomPostRow) -> Result<Sealing, Fault> {
    let Some(mut group) = w.group(stored.id)? else { return Ok(Sealing::Later) };
    let now = (group.generation(), group.epoch());
    if row.sealed.as_ref().is_some_and(|sealed| (sealed.generation, sealed.epoch) == now) {
        w.loaded.keep(group);
        return Ok(Sealing::Ready(Box::new(row)));
    }
    // The relay would still take what was encrypted in one of the last epochs, but members keep their keys for a day only.
    let slot = row.place.map_or(Slot::Next, |(counter, prev_hash)| Slot::Again(Place { counter, prev_hash }));
    let (leaf, tx) = (w.leaf()?, w.tx);
    match group.seal(tx, &mut w.rng, leaf, *row.message.as_bytes(), slot, &row.content, w.now) {
        Ok(sealed) => {
            let post =
                SealedPost { bytes: sealed.bytes, generation: group.generation(), epoch: sealed.epoch };
            let place = (sealed.place.counter, sealed.place.prev_hash);
            w.tx.room_post_sealed(row.id, &post, place)?;
            w.loaded.keep(group);
            row.sealed = Some(post);
            Ok(Sealing::Ready(Box::new(row)))
        }
        Err(RoomError::Leaving) => Ok(Sealing::Leavers),
        Err(RoomError::Pending) => Ok(Sealing::Later),
        Err(RoomError::Refused(refusal)) => {
            w.tx.remove_room_post(row.id)?;
            w.fail_line(row.message, &refused(&refusal))?;
            Ok(Sealing::Failed)
        }
        Err(error) => Err(fault(error)),
    }
}

/// What the relay never took is given up after 30 days.
pub(in crate::core) fn give_up(w: &mut Work<'_>) -> Result<(), Fault> {
    let error = ApiError::new(Kind::Refused, "given up: not taken for 30 days").hint("send it again");
    for row in w.tx.room_posts_before(w.now.saturating_sub(GIVE_UP_AFTER_MS), 1_000)? {
        w.tx.remove_room_post(row.id)?;
        w.fail_line(row.message, &error)?;
    }
    Ok(())
}
