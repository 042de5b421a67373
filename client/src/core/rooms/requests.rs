//! What front ends ask about rooms: one method a line.

use subrosa_protocol::{RoomId, SafeText, Slug, frames::RoomName};

use super::{
    super::{Core, Fault, Turn},
    act::Act,
    create::{valid_line, valid_name},
    enter::invitation_of,
};
use crate::{
    api::{ApiError, ConnectionState, Kind, Reply, Request, Role, RoomState, Visibility},
    chat::ChatId,
    store::StoredRoom,
};

pub(super) fn no_such_room() -> ApiError {
    ApiError::new(Kind::NotFound, "there is no such room here").hint("rosa room list")
}

impl Core {
    /// The reply; `None` when it comes later.
    pub(in crate::core) fn room_request(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        request: Request,
    ) -> Result<Option<Reply>, Fault> {
        self.me.keys()?;
        let (room, act) = match request {
            Request::RoomCreate(create) => return self.create_room(turn, token, &create).map(|()| None),
            Request::RoomList { prefix } => return self.list_rooms(turn, token, &prefix).map(|()| None),
            Request::RoomShow { room } => {
                return match self.find_room(&room)? {
                    Some(stored) => self.room_reply(stored.id).map(Some),
                    None => {
                        let name = name_of(&room)?;
                        self.ask_to_show(turn, token, name).map(|()| None)
                    }
                };
            }
            Request::RoomJoin { room } => return self.join_room(turn, token, &room).map(|()| None),
            Request::RoomLeave { room } => {
                let stored = self.room_named(&room)?;
                return self.leave_room(turn, token, &stored).map(|()| None);
            }
            Request::RoomEvidence { room } => {
                let stored = self.room_named(&room)?;
                return self.evidence(&stored).map(Some);
            }
            Request::RoomMembers { room } => {
                let stored = self.room_named(&room)?;
                return self.members(turn, &stored).map(Some);
            }
            Request::RoomHistory { room, before, limit } => {
                let chat = ChatId::from(self.room_named(&room)?.id);
                let page = self.store.read(|tx| tx.history(&chat, before, None, limit))?;
                return Ok(Some(Reply::History(page)));
            }
            Request::RoomMute { room, name: None, undo } => {
                let mut stored = self.room_named(&room)?;
                stored.muted = !undo;
                self.transact(turn, |w| Ok(w.tx.put_room(&stored)?))?;
                return self.room_reply(stored.id).map(Some);
            }
            Request::RoomInvite { room, name } => (room, Act::Invite(self.account_named(&name)?)),
            Request::RoomKick { room, name } => (room, Act::Kick(self.account_named(&name)?)),
            Request::RoomBan { room, name } => (room, Act::Ban(self.account_named(&name)?)),
            Request::RoomUnban { room, name } => (room, Act::Unban(self.account_named(&name)?)),
            Request::RoomRole { room, name, role } => (room, Act::Role(self.account_named(&name)?, role)),
            Request::RoomMute { room, name: Some(name), undo } => {
                let account = self.account_named(&name)?;
                (room, if undo { Act::Unmute(account) } else { Act::Mute(account) })
            }
            Request::RoomRenew { room } => (room, Act::Renewal),
            Request::RoomTopic { room, topic } => (room, Act::Topic(valid_line(&topic, "topic")?)),
            Request::RoomRename { room, name } => (room, Act::Rename(valid_name(&name)?)),
            _ => return Err(Fault::Internal("method")),
        };
        let stored = self.room_named(&room)?;
        if stored.state != RoomState::Joined {
            return Err(super::mls::not_in());
        }
        if act == Act::Renewal && stored.role != Some(Role::Owner) {
            return Err(ApiError::new(Kind::Refused, "you have no right to renew the room")
                .hint("ask an owner of the room")
                .into());
        }
        if stored.denied {
            return Err(super::deny::error(&stored).into());
        }
        if let Some(why) = stored.refused.as_ref().filter(|_| act != Act::Renewal) {
            let error = ApiError::new(
                Kind::Refused,
                format!("{} stands still: a change of it was refused ({why})", stored.shown()),
            );
            return Err(error.hint("an owner has to renew it").into());
        }
        self.need_relay()?;
        self.want(turn, stored.id, act, Some(token))?;
        Ok(None)
    }

    fn join_room(&mut self, turn: &mut Turn<'_>, token: u64, text: &str) -> Result<(), Fault> {
        // A room that this device is in no more does not stand before the public one that has its name now; nor does one that was
        // declined. What a private room was called in which it was is not told to the relay.
        let gone = |stored: &StoredRoom| {
            let gone = matches!(stored.state, RoomState::Left | RoomState::Removed | RoomState::CutOff);
            let public = stored.slug.as_deref() == Some(&stored.label);
            let declined = stored.visibility == Visibility::Private && stored.suite.is_empty();
            let by_slug = name_of(text).is_ok_and(|name| matches!(name, RoomName::Slug(_)));
            gone && by_slug && (public || declined)
        };
        let stored = self.find_room(text)?.filter(|stored| !gone(stored));
        let (name, room, invitation) = match &stored {
            Some(stored) => match stored.state {
                RoomState::Joined => {
                    let error =
                        ApiError::new(Kind::Refused, format!("you are in {} already", stored.shown()));
                    return Err(error.into());
                }
                RoomState::Joining => {
                    let error =
                        ApiError::new(Kind::Refused, format!("you are joining {} already", stored.shown()));
                    return Err(error.into());
                }
                _ => (RoomName::Id(stored.id), Some(stored.id), invitation_of(stored)),
            },
            None => (name_of(text)?, None, None),
        };
        self.need_relay()?;
        self.enter(turn, Some(token), name, room, invitation);
        Ok(())
    }

    /// A room that this device knows, by label, slug or id.
    pub(in crate::core) fn find_room(&self, text: &str) -> Result<Option<StoredRoom>, Fault> {
        let text = text.trim().trim_start_matches('#');
        self.store.read(|tx| {
            if let Some(stored) = tx.room_labelled(text)? {
                return Ok(Some(stored));
            }
            match text.parse::<RoomId>() {
                Ok(id) => Ok(tx.room(id)?),
                Err(_) => Ok(tx.rooms()?.into_iter().find(|room| room.slug.as_deref() == Some(text))),
            }
        })
    }

    /// The same, where there must be one.
    pub(in crate::core) fn room_named(&self, text: &str) -> Result<StoredRoom, Fault> {
        let missing = || {
            let text = SafeText::single_line(text.trim());
            ApiError::new(Kind::NotFound, format!("you are in no room {text}")).hint("rosa ls rooms")
        };
        Ok(self.find_room(text)?.ok_or_else(missing)?)
    }

    /// What the relay must know of at once.
    pub(super) fn need_relay(&self) -> Result<(), Fault> {
        if self.link.is_up() {
            return Ok(());
        }
        if let ConnectionState::Blocked { error } = self.link.state() {
            return Err(error.into());
        }
        Err(ApiError::new(Kind::Unreachable, "nothing was done: the relay must know, and cannot be reached")
            .hint("it is not tried again by itself: ask again when connected")
            .into())
    }
}

/// How the relay is asked for a room.
fn name_of(text: &str) -> Result<RoomName, ApiError> {
    let text = text.trim().trim_start_matches('#');
    if let Ok(slug) = text.parse::<Slug>() {
        // A room's id is a slug too, by its letters.
        return Ok(match text.parse::<RoomId>() {
            Ok(id) => RoomName::Id(id),
            Err(_) => RoomName::Slug(slug),
        });
    }
    let text = SafeText::single_line(text);
    Err(ApiError::new(Kind::Usage, format!("{text}: a room is named by its slug or its id"))
        .hint("rosa room list"))
}
