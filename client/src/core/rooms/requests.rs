//! What front ends ask about rooms: one method a line.

use subrosa_protocol::{RoomId, Slug, frames::RoomName};

use super::{
    super::{Core, Fault, Turn},
    act::Act,
    create::{valid_line, valid_name},
    enter::invitation_of,
};
use crate::{
    api::{ApiError, ConnectionState, Kind, Reply, Request, Role, RoomState, Visibility, echo},
    chat::ChatId,
    store::{StoredRoom, Tx},
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
                return match self.here_or_at_the_relay(&room)? {
                    Named::Here(stored) => self.room_reply(stored.id).map(Some),
                    Named::AtTheRelay(name) => self.ask_to_show(turn, token, name).map(|()| None),
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
            // Who gives up the own role needs nobody for that.
            Request::RoomRole { room, name, role } => (room, Act::Role(self.any_account_named(&name)?, role)),
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
        let (name, room, invitation) = match self.here_or_at_the_relay(text)? {
            Named::Here(stored) => match stored.state {
                RoomState::Joined => return Err(in_already(&stored).into()),
                RoomState::Joining => {
                    let error =
                        ApiError::new(Kind::Refused, format!("you are joining {} already", stored.shown()));
                    return Err(error.into());
                }
                // The relay tells nobody of a private room that one is not in.
                RoomState::Left | RoomState::Removed
                    if stored.visibility == Visibility::Private && stored.invitation.is_none() =>
                {
                    let me = self.me.account.as_str();
                    if let Some(over) = self.store.read(|tx| super::answer::ended(tx, &stored, me))? {
                        return Err(over.into());
                    }
                    let what = format!("there is no invitation to {}", stored.shown());
                    let hint = format!(
                        "ask a member for one; the relay's rooms are named without #: {}",
                        stored.label
                    );
                    return Err(ApiError::new(Kind::NotFound, what).hint(hint).into());
                }
                RoomState::CutOff
                    if stored.visibility == Visibility::Private && stored.invitation.is_none() =>
                {
                    let shown = stored.shown();
                    let what = format!("this device is cut off from {shown}: it was away for too long");
                    let hint = "ask an owner or moderator of the room for another invitation";
                    return Err(ApiError::new(Kind::Refused, what).hint(hint).into());
                }
                _ => (RoomName::Id(stored.id), Some(stored.id), invitation_of(&stored)),
            },
            Named::AtTheRelay(name) => (name, None, None),
        };
        self.need_relay()?;
        self.enter(turn, Some(token), name, room, invitation);
        Ok(())
    }

    /// A room that this device knows: by its id; with `#`, by its label; without, by its slug where this account is in it, or
    /// else by its label.
    pub(in crate::core) fn find_room(&self, text: &str) -> Result<Option<StoredRoom>, Fault> {
        let (bare, own) = bare(text);
        self.store.read(|tx| {
            if let Ok(id) = bare.parse::<RoomId>()
                && let Some(stored) = tx.room(id)?
            {
                return Ok(Some(stored));
            }
            let slugged = if own { None } else { in_with_slug(tx, bare)? };
            Ok(slugged.map_or_else(|| tx.room_labelled(bare), |stored| Ok(Some(stored)))?)
        })
    }

    /// What a text means where it may be one of the relay's rooms too: `#label` is this profile's own; a slug or an id is the
    /// relay's. What somebody else called a room here (an invitation is enough) must not stand for what the relay has by
    /// that name.
    fn here_or_at_the_relay(&self, text: &str) -> Result<Named, Fault> {
        let (bare, own) = bare(text);
        if own {
            return match self.find_room(text)? {
                Some(stored) => Ok(Named::Here(Box::new(stored))),
                None => {
                    let what = format!("no room here is called {}", echo(text));
                    let hint = format!("the relay's rooms are named without #: {}", echo(bare));
                    Err(ApiError::new(Kind::NotFound, what).hint(hint).into())
                }
            };
        }
        let name = name_of(bare)?;
        let known = self.store.read(|tx| match &name {
            RoomName::Id(id) => Ok::<_, Fault>(tx.room(*id)?),
            RoomName::Slug(slug) => in_with_slug(tx, slug.as_str()),
        })?;
        Ok(known.map_or_else(|| Named::AtTheRelay(name), |stored| Named::Here(Box::new(stored))))
    }

    /// The same, where there must be one.
    pub(in crate::core) fn room_named(&self, text: &str) -> Result<StoredRoom, Fault> {
        let missing = || {
            let (bare, _) = bare(text);
            ApiError::new(Kind::NotFound, format!("you are in no room {}", echo(text)))
                .hint(format!("rosa ls rooms; a public one is joined first: rosa room join {}", echo(bare)))
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

/// What somebody means by the name of a room.
enum Named {
    Here(Box<StoredRoom>),
    AtTheRelay(RoomName),
}

/// The name without its `#`, and whether one stood there: then it is this profile's own.
fn bare(text: &str) -> (&str, bool) {
    let text = text.trim();
    (text.trim_start_matches('#'), text.starts_with('#'))
}

/// The room with a slug in which this account is; or the private one that it calls so, of whose name the relay hears nothing.
fn in_with_slug(tx: &Tx<'_>, slug: &str) -> Result<Option<StoredRoom>, Fault> {
    let is_in =
        |room: &StoredRoom| matches!(room.state, RoomState::Joined | RoomState::Joining | RoomState::CutOff);
    let slugged = tx.rooms()?.into_iter().find(|room| room.slug.as_deref() == Some(slug) && is_in(room));
    let private = |room: &StoredRoom| room.visibility == Visibility::Private && is_in(room);
    Ok(match slugged {
        Some(stored) => Some(stored),
        None => tx.room_labelled(slug)?.filter(private),
    })
}

fn in_already(stored: &StoredRoom) -> ApiError {
    ApiError::new(Kind::Refused, format!("you are in {} already", stored.shown()))
}

/// How the relay is asked for a room.
fn name_of(text: &str) -> Result<RoomName, ApiError> {
    if let Ok(slug) = text.parse::<Slug>() {
        // A room's id is a slug too, by its letters.
        return Ok(match text.parse::<RoomId>() {
            Ok(id) => RoomName::Id(id),
            Err(_) => RoomName::Slug(slug),
        });
    }
    Err(ApiError::new(Kind::Usage, format!("{}: a room is named by its slug or its id", echo(text)))
        .hint("rosa room list"))
}
