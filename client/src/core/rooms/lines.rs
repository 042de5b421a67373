//! What a commit changed, as lines and events: an account once, however many devices it has (R33).

use std::collections::BTreeSet;

use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{RoomId, SafeText, Username};
use subrosa_rooms::{Change, Merged, Room};

use super::{
    super::{Fault, work::Work},
    change::shown_role,
};
use crate::{
    api::{Direction, EventBody, MessageKind, MessageState, Role, time::Timestamp},
    chat::ChatId,
    store::{NewMessage, StoredRoom},
};

impl Work<'_> {
    /// A line of the program itself in a room, about what `who` did.
    pub(in crate::core) fn room_notice(
        &mut self,
        room: RoomId,
        who: &Username,
        kind: MessageKind,
    ) -> Result<Option<i64>, Fault> {
        let id = self.random_message_id();
        let stored = self.tx.insert_message(&NewMessage {
            id,
            chat: ChatId::from(room),
            direction: Direction::Notice,
            from: who.clone(),
            device: 0,
            kind,
            reply_to: None,
            sent_at: Timestamp(self.now),
            stored_at: Timestamp(self.now),
            state: MessageState::Read,
            reason: None,
            verified: false,
            key: None,
            mention: false,
        })?;
        Ok(stored.map(|line| line.order))
    }
}

/// Brings the row of a room up to its group.
pub(super) fn refresh(w: &Work<'_>, stored: &mut StoredRoom, group: &Room) {
    let policy = group.policy();
    let accounts: BTreeSet<String> = group.members().into_iter().map(|device| device.account).collect();
    stored.members = u32::try_from(accounts.len()).unwrap_or(u32::MAX);
    let before = stored.role;
    stored.role = group.is_member().then(|| shown_role(policy.role(w.me.account.as_str())));
    stored.name = SafeText::name(&policy.name);
    stored.topic = SafeText::single_line(&policy.topic);
    stored.suite = group.suite().name().to_owned();
    stored.generation = group.generation();
    stored.epoch = group.epoch();
    // Somebody who is to be an owner may have the key before the commit that makes them one is read.
    if before == Some(Role::Owner) && stored.role != Some(Role::Owner) {
        stored.owner_secret = None;
    }
}

fn accounts(devices: &BTreeSet<RoomDevice>) -> BTreeSet<&str> {
    devices.iter().map(|device| device.account.as_str()).collect()
}

/// The accounts of these devices that are more than invited.
pub(super) fn came(
    w: &Work<'_>,
    room: RoomId,
    devices: &BTreeSet<RoomDevice>,
) -> Result<BTreeSet<String>, Fault> {
    let invited = w.tx.invited_to_room(room)?;
    let came = devices.iter().filter(|device| !invited.contains(&(device.account.clone(), device.device)));
    Ok(came.map(|device| device.account.clone()).collect())
}

/// Shows what a merged commit changed.
pub(super) fn show(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    merged: &Merged,
    (before, after): (&BTreeSet<RoomDevice>, &BTreeSet<RoomDevice>),
    declined: Option<&Username>,
) -> Result<(), Fault> {
    let Ok(actor) = Username::new(merged.actor.account.clone()) else { return Ok(()) };
    let had_come = came(w, stored.id, before)?;
    let (before, after) = (accounts(before), accounts(after));
    let mut told = BTreeSet::new();
    let mut rules = false;
    for change in &merged.changes {
        let account = match change {
            Change::Joined(device)
            | Change::Added(device)
            | Change::Removed(device)
            | Change::Left(device)
            | Change::Dropped(device) => Some(device.account.as_str()),
            Change::Banned(account)
            | Change::Unbanned(account)
            | Change::Muted(account)
            | Change::Unmuted(account)
            | Change::Role(account, _) => Some(account.as_str()),
            _ => None,
        };
        let name = account.unwrap_or_default().to_owned();
        // Devices of somebody who was there, and stays there, are no news to people.
        let came = after.contains(name.as_str()) && !before.contains(name.as_str());
        let went = before.contains(name.as_str()) && !after.contains(name.as_str());
        let banned = merged.changes.contains(&Change::Banned(name.clone()));
        let line = match change {
            Change::Joined(_) if came => Some((actor.clone(), MessageKind::MemberJoined {})),
            Change::Added(_) if came => {
                Some((actor.clone(), MessageKind::MemberInvited { name: name.clone() }))
            }
            Change::Removed(_) if went && declined.is_some_and(|declined| declined.as_str() == name) => {
                Some((
                    Username::new(name.clone()).unwrap_or_else(|_| actor.clone()),
                    MessageKind::MemberDeclined {},
                ))
            }
            Change::Removed(_) if went && !banned && !had_come.contains(&name) => {
                Some((actor.clone(), MessageKind::InvitationEnded { name: name.clone() }))
            }
            Change::Removed(_) if went && !banned => {
                Some((actor.clone(), MessageKind::MemberRemoved { name: name.clone() }))
            }
            Change::Left(_) | Change::Dropped(_) if went => Some((
                Username::new(name.clone()).unwrap_or_else(|_| actor.clone()),
                MessageKind::MemberLeft {},
            )),
            Change::Banned(_) => Some((actor.clone(), MessageKind::MemberBanned { name: name.clone() })),
            Change::Unbanned(_) => Some((actor.clone(), MessageKind::MemberUnbanned { name: name.clone() })),
            Change::Muted(_) => Some((actor.clone(), MessageKind::MemberMuted { name: name.clone() })),
            Change::Unmuted(_) => Some((actor.clone(), MessageKind::MemberUnmuted { name: name.clone() })),
            // Who is removed or banned loses a role with the rest.
            Change::Role(_, role) if !went && !banned => {
                let role = shown_role(*role);
                Some((actor.clone(), MessageKind::RoleChanged { name: name.clone(), role }))
            }
            Change::Renamed(name) => {
                Some((actor.clone(), MessageKind::RoomRenamed { name: SafeText::name(name) }))
            }
            Change::Topic(topic) => {
                Some((actor.clone(), MessageKind::TopicChanged { topic: SafeText::single_line(topic) }))
            }
            Change::Invite(_) | Change::Timer(_) => Some((actor.clone(), MessageKind::RoomChanged {})),
            _ => None,
        };
        if let Change::Face(face) = change {
            stored.slug = Some(face.slug.clone());
            stored.description = SafeText::single_line(&face.description);
        }
        let Some((from, kind)) = line else { continue };
        if !told.insert((from.clone(), format!("{kind:?}"))) {
            continue;
        }
        let (chat, by) = (stored.shown(), from.to_string());
        match &kind {
            MessageKind::MemberJoined {} => {
                w.emit(EventBody::RoomMemberAdded { chat, name: by.clone(), by })?;
            }
            MessageKind::MemberInvited { name } => {
                w.emit(EventBody::RoomMemberAdded { chat, name: name.clone(), by })?;
            }
            MessageKind::MemberLeft {} | MessageKind::MemberDeclined {} => {
                w.emit(EventBody::RoomMemberRemoved { chat, name: by.clone(), by })?;
            }
            MessageKind::MemberRemoved { name } | MessageKind::InvitationEnded { name } => {
                w.emit(EventBody::RoomMemberRemoved { chat, name: name.clone(), by })?;
            }
            MessageKind::MemberBanned { name } => {
                rules = true;
                if before.contains(name.as_str()) {
                    w.emit(EventBody::RoomMemberRemoved { chat, name: name.clone(), by })?;
                }
            }
            _ => rules = true,
        }
        w.room_notice(stored.id, &from, kind)?;
    }
    if rules {
        w.emit(EventBody::RoomChanged { chat: stored.shown(), by: actor.to_string() })?;
    }
    Ok(())
}
