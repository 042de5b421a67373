//! Who writes in a room: sent to those who are online, told for a few seconds, kept nowhere (R45).

use subrosa_protocol::{
    BoundedBytes, Payload, RoomId, Username,
    content::{Content, Typing},
    frames::{Request, RoomEphemeral},
};
use subrosa_rooms::{RoomError, Slot};

use super::{
    super::{Core, Fault, Turn, work::Work},
    RoomAsked,
    act::Act,
    mls::{fault, lists},
    post::may_write,
};
use crate::{
    api::{EventBody, Reply, RoomState},
    limits::{TYPING_EVERY_MS, TYPING_IN_ROOM, TYPING_SHOWN_MS},
};

/// Of a setting that is `off`, nobody is told when this account writes (R45).
const TYPING: &str = "typing.send";

impl Core {
    /// `chat.typing`.
    pub(in crate::core) fn typing(
        &mut self,
        turn: &mut Turn<'_>,
        chat: &str,
        stopped: bool,
    ) -> Result<Reply, Fault> {
        self.me.keys()?;
        let stored = self.room_named(chat)?;
        let room = stored.id;
        self.transact(turn, |w| may_write(w, &stored))?;
        let off = self.store.read(|tx| tx.setting(TYPING))?.as_deref() == Some("off");
        let (up, now) = (self.link.is_up(), turn.now);
        let live = self.rooms.live(room);
        let told = live.typing_told_at;
        let due = if stopped {
            told.is_some()
        } else {
            told.is_none_or(|at| at.saturating_add(TYPING_EVERY_MS) <= now)
        };
        // What is under way in the room would make it unreadable.
        if off || !up || !due || live.behind || live.syncing {
            return Ok(Reply::Done {});
        }
        live.typing_told_at = if stopped { None } else { Some(now) };
        match self.transact(turn, |w| seal(w, room, Typing { stopped }))? {
            Sealed::Bytes(bytes) => {
                let bytes = BoundedBytes::new(bytes).map_err(|_| Fault::Internal("typing"))?;
                let request = Request::RoomEphemeral(RoomEphemeral { room, bytes });
                self.ask_room(turn, RoomAsked::Put, &request)?;
            }
            // Signals that nobody keeps make gaps in the chain of keys: it begins anew before they grow large.
            Sealed::Renew => self.want(turn, room, Act::Renew, None)?,
            Sealed::NotNow => {}
        }
        Ok(Reply::Done {})
    }

    /// Somebody writes, or stopped.
    pub(super) fn on_room_signal(
        &mut self,
        turn: &mut Turn<'_>,
        signal: &RoomEphemeral,
    ) -> Result<(), Fault> {
        let stored = self.store.read(|tx| tx.room(signal.room))?;
        let Some(stored) = stored.filter(|stored| stored.state == RoomState::Joined) else { return Ok(()) };
        let heard = self.transact(turn, |w| open(w, signal))?;
        let Some((account, Typing { stopped })) = heard else { return Ok(()) };
        let until = turn.now.saturating_add(TYPING_SHOWN_MS);
        let typing = &mut self.rooms.live(stored.id).typing;
        let (chat, from) = (stored.shown(), account.to_string());
        if stopped {
            if typing.remove(&account).is_some() {
                self.tell(turn, EventBody::TypingStopped { chat, from });
            }
        } else if (typing.contains_key(&account) || typing.len() < TYPING_IN_ROOM)
            && typing.insert(account, until).is_none()
        {
            self.tell(turn, EventBody::TypingStarted { chat, from });
        }
        Ok(())
    }

    /// Somebody wrote: they are done.
    pub(super) fn typing_done(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        who: &[Username],
    ) -> Result<(), Fault> {
        for account in who {
            if self.rooms.live(room).typing.remove(account).is_some() {
                self.tell_stopped(turn, room, account)?;
            }
        }
        Ok(())
    }

    fn tell_stopped(&self, turn: &mut Turn<'_>, room: RoomId, account: &Username) -> Result<(), Fault> {
        if let Some(stored) = self.store.read(|tx| tx.room(room))? {
            let (chat, from) = (stored.shown(), account.to_string());
            self.tell(turn, EventBody::TypingStopped { chat, from });
        }
        Ok(())
    }

    /// Who was not heard of again is done.
    pub(super) fn pump_typing(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut over = Vec::new();
        for (room, live) in &mut self.rooms.live {
            live.typing.retain(|account, until| {
                let goes_on = *until > turn.now;
                if !goes_on {
                    over.push((*room, account.clone()));
                }
                goes_on
            });
        }
        for (room, account) in over {
            self.tell_stopped(turn, room, &account)?;
        }
        Ok(())
    }
}

enum Sealed {
    Bytes(Vec<u8>),
    Renew,
    NotNow,
}

fn seal(w: &mut Work<'_>, room: RoomId, typing: Typing) -> Result<Sealed, Fault> {
    let mut group = w.group_of(room)?;
    if group.update_due(w.now).is_some() {
        w.loaded.keep(group);
        return Ok(Sealed::Renew);
    }
    let content = Payload { gossip: None, content: Content::Typing(typing) };
    let content = content.encode().map_err(|_| Fault::Internal("payload"))?;
    let id = w.random();
    let (leaf, tx) = (w.leaf()?, w.tx);
    let sealed = match group.seal(tx, &mut w.rng, leaf, id, Slot::Ephemeral, &content, w.now) {
        Ok(sealed) => Sealed::Bytes(sealed.bytes),
        Err(RoomError::Leaving | RoomError::Pending | RoomError::Refused(_)) => Sealed::NotNow,
        Err(error) => return Err(fault(error)),
    };
    w.loaded.keep(group);
    Ok(sealed)
}

/// Who says what; nothing when it cannot be read, or is something else that must not come this way.
fn open(w: &mut Work<'_>, signal: &RoomEphemeral) -> Result<Option<(Username, Typing)>, Fault> {
    let Some(mut group) = w.group(signal.room)? else { return Ok(None) };
    let tx = w.tx;
    let known = std::collections::BTreeSet::new();
    let directory = lists(tx, w.me, &known);
    let opened = match group.open(tx, &mut w.rng, &signal.bytes, &directory, w.now) {
        Ok(opened) => opened,
        Err(RoomError::NeedLists(_) | RoomError::Pending) => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    w.loaded.keep(group);
    let Ok(opened) = opened else { return Ok(None) };
    let fleeting = opened.place.counter == 1 && opened.place.prev_hash == [0; 32];
    let (Ok(payload), Ok(account)) = (Payload::decode(&opened.content), Username::new(opened.sender.account))
    else {
        return Ok(None);
    };
    Ok(match payload.content {
        Content::Typing(typing) if fleeting && !w.is_me(&account) => Some((account, typing)),
        _ => None,
    })
}
