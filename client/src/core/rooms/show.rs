//! Rooms for front ends: one, all public ones, members.

use subrosa_protocol::{
    BoundedStr, SafeText, Username,
    frames::{Request, Response, RoomDirectory, RoomInfo, RoomName, RoomShow, Standing},
};

use super::{
    super::{Core, Effect, Fault, Turn},
    RoomAsked,
    change::shown_role,
};
use crate::{
    api::{ApiError, Kind, ListedRoom, Member, Reply, Role, Room, RoomState, Trust, Visibility},
    limits::LISTED_ROOMS,
    net::refused,
    store::{StoredRoom, Tx},
};

/// A room as front ends see it.
pub(in crate::core) fn shown(tx: &Tx<'_>, stored: &StoredRoom) -> Result<Room, Fault> {
    Ok(tx.shown_room(stored)?)
}

impl Core {
    /// A room of this device, as a reply.
    pub(super) fn room_reply(&self, room: subrosa_protocol::RoomId) -> Result<Reply, Fault> {
        self.store.read(|tx| {
            let stored = tx.room(room)?.ok_or_else(super::requests::no_such_room)?;
            Ok(Reply::Room { room: Box::new(shown(tx, &stored)?) })
        })
    }

    /// `room.members`.
    pub(super) fn members(&mut self, turn: &mut Turn<'_>, stored: &StoredRoom) -> Result<Reply, Fault> {
        if stored.state != RoomState::Joined {
            return Err(super::mls::not_in());
        }
        let members = self.transact(turn, |w| {
            let group = w.group_of(stored.id)?;
            let invited = w.tx.invited_to_room(stored.id)?;
            let mut members: Vec<Member> = Vec::new();
            for device in group.members() {
                let invited = invited.contains(&(device.account.clone(), device.device));
                match members.iter_mut().find(|member| member.name == device.account) {
                    Some(member) => {
                        member.devices.push(device.device);
                        member.invited &= invited;
                    }
                    None => {
                        let account = Username::new(device.account.clone());
                        let trust = match account {
                            Ok(account) if w.is_me(&account) => Trust::Verified,
                            Ok(account) => w.tx.peer(&account)?.map_or(Trust::Unverified, |peer| peer.trust),
                            Err(_) => Trust::Unverified,
                        };
                        members.push(Member {
                            role: shown_role(group.policy().role(&device.account)),
                            muted: group.policy().muted.contains(&device.account),
                            name: device.account,
                            devices: vec![device.device],
                            trust,
                            invited,
                        });
                    }
                }
            }
            w.loaded.keep(group);
            members.sort_by(|a, b| b.role.cmp(&a.role).then_with(|| a.name.cmp(&b.name)));
            Ok(members)
        })?;
        Ok(Reply::Members { members })
    }

    /// Asks the relay about a room that this device does not know.
    pub(super) fn ask_to_show(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        name: RoomName,
    ) -> Result<(), Fault> {
        self.need_relay()?;
        self.ask_room(turn, RoomAsked::Show { token }, &Request::RoomShow(RoomShow { room: name }))
    }

    pub(super) fn on_room_shown(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        response: Response,
    ) -> Result<(), Fault> {
        let result = match response {
            Response::RoomInfo(info) => {
                let mut room = public(&info);
                // One that this device knows, and is not in.
                if let Some(stored) = self.store.read(|tx| tx.room(info.room))? {
                    (room.chat, room.state) = (stored.shown(), Some(stored.state));
                    room.invited_by = stored.invited_by.map(|by| by.to_string());
                }
                Ok(Reply::Room { room: Box::new(room) })
            }
            Response::Error(frame) => {
                let error = refused(&frame);
                Err(match error.kind {
                    Kind::NotFound => {
                        error.hint("rosa room list; a room of yours is named with #: rosa ls rooms")
                    }
                    _ => error,
                })
            }
            _ => return Err(Fault::Relay("another answer to a question about a room than there is")),
        };
        turn.out.push(Effect::Reply { token, result });
        Ok(())
    }

    /// `room.list`.
    pub(super) fn list_rooms(&mut self, turn: &mut Turn<'_>, token: u64, prefix: &str) -> Result<(), Fault> {
        self.need_relay()?;
        let prefix = prefix.trim_start_matches('#').to_owned();
        self.ask_directory(turn, token, Vec::new(), prefix)
    }

    fn ask_directory(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        rooms: Vec<ListedRoom>,
        prefix: String,
    ) -> Result<(), Fault> {
        let wrong = || ApiError::new(Kind::Usage, "a slug begins with a small letter or a digit");
        let bounded = BoundedStr::new(prefix.as_str()).map_err(|_| wrong())?;
        let after = rooms.last().and_then(|room| room.slug.parse().ok());
        let request = Request::RoomDirectory(RoomDirectory { prefix: bounded, after });
        self.ask_room(turn, RoomAsked::Directory { token, rooms, prefix }, &request)
    }

    pub(super) fn on_directory(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        mut rooms: Vec<ListedRoom>,
        prefix: String,
        response: Response,
    ) -> Result<(), Fault> {
        let result = match response {
            Response::RoomDirectoryPage(page) => {
                let more = page.more && !page.rooms.is_empty();
                self.store.read(|tx| {
                    for found in page.rooms.iter() {
                        let known = tx.room(found.room)?;
                        rooms.push(ListedRoom {
                            slug: found.listing.slug.to_string(),
                            name: SafeText::name(&found.listing.name),
                            description: SafeText::single_line(&found.listing.description),
                            id: found.room.to_string(),
                            members: found.accounts,
                            state: known.as_ref().map(|stored| stored.state),
                            chat: known.map(|stored| stored.shown()),
                        });
                    }
                    Ok::<_, Fault>(())
                })?;
                if more && rooms.len() < LISTED_ROOMS {
                    return self.ask_directory(turn, token, rooms, prefix);
                }
                Ok(Reply::Rooms { rooms })
            }
            Response::Error(frame) => Err(refused(&frame)),
            _ => return Err(Fault::Relay("another answer to the directory than there is")),
        };
        turn.out.push(Effect::Reply { token, result });
        Ok(())
    }
}

/// A public room that this device is not in.
fn public(info: &RoomInfo) -> Room {
    let listing = info.listing.as_ref();
    let slug = listing.map(|listing| listing.slug.to_string());
    Room {
        chat: slug.clone().unwrap_or_else(|| info.room.to_string()),
        id: info.room.to_string(),
        name: listing.map(|listing| SafeText::name(&listing.name)).unwrap_or_default(),
        topic: SafeText::default(),
        description: listing.map(|listing| SafeText::single_line(&listing.description)).unwrap_or_default(),
        slug,
        visibility: if listing.is_some() { Visibility::Public } else { Visibility::Private },
        state: match info.standing {
            Standing::Removed => Some(RoomState::Removed),
            Standing::Invited => Some(RoomState::Invited),
            Standing::Joined | Standing::Stranger | Standing::Banned => None,
        },
        role: None::<Role>,
        members: info.accounts,
        suite: String::new(),
        epoch: info.epoch,
        invited_by: None,
        muted: false,
        denied: false,
        mentions: 0,
    }
}
