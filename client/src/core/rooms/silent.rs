//! Devices of members of which nothing is heard: told to those who may remove them after 45 days, taken out by an owner's device
//! after 90 (R34). A lost device's keys are the oldest in the group: whoever finds it reads along.
//!
//! Heard of means: a message or commit of its own in the log, which a device in use makes at least weekly (R34's renewal of its
//! leaf). How long ago that was, is by two clocks, and the one that says less counts: the log's own, from its newest entry, which
//! a wrong clock here does not move; and this device's, when it read the entry, which a relay that lies about times does not.

use std::collections::BTreeSet;

use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{RoomId, Username};
use subrosa_rooms::{Change, Merged, Plan, Role as PolicyRole, Room};

use super::{
    super::{Fault, work::Work},
    act::Act,
};
use crate::{
    api::{EventBody, MessageKind, Role},
    limits::{SILENT_AT_ONCE, SILENT_OUT_AFTER_MS, SILENT_TOLD_AFTER_MS},
    store::{PendingCommit, StoredRoom, Tx, room_seen::Seat},
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

fn seat(device: &RoomDevice) -> Seat {
    (device.account.clone(), device.device)
}

/// Something of a device came into the log at `logged_at`.
pub(super) fn heard(w: &Work<'_>, room: RoomId, device: &RoomDevice, logged_at: u64) -> Result<(), Fault> {
    Ok(w.tx.seen_in_room(room, &seat(device), logged_at, w.now)?)
}

/// Something of another account's device came into the log: of an account that was invited it is the sign that it came.
pub(super) fn came_in(w: &mut Work<'_>, stored: &StoredRoom, device: &RoomDevice) -> Result<(), Fault> {
    let Ok(account) = Username::new(device.account.clone()) else { return Ok(()) };
    if w.is_me(&account) || !w.tx.only_invited_to_room(stored.id, &seat(device))? {
        return Ok(());
    }
    w.room_notice(stored.id, &account, MessageKind::MemberJoined {})?;
    let name = account.to_string();
    w.emit(EventBody::RoomMemberAdded { chat: stored.shown(), name: name.clone(), by: name })
}

/// A commit came into the log at `logged_at`: who made it is there, and so are those that it added.
pub(super) fn changed(
    w: &Work<'_>,
    room: RoomId,
    merged: &Merged,
    (before, after): (&BTreeSet<RoomDevice>, &BTreeSet<RoomDevice>),
    logged_at: u64,
) -> Result<(), Fault> {
    if merged.removed_me {
        return Ok(());
    }
    for device in after.difference(before) {
        w.tx.added_to_room(room, &seat(device), logged_at, w.now)?;
    }
    if after.contains(&merged.actor) {
        heard(w, room, &merged.actor, logged_at)?;
    }
    Ok(())
}

/// Whether a device of the own account is in a room that the account's list has no more.
pub(super) fn own_device_gone(tx: &Tx<'_>, me: &Username, room: RoomId) -> Result<bool, Fault> {
    let Some(own) = tx.device_list(me)? else { return Ok(false) };
    let there = tx.devices_in_room(room, me.as_str())?;
    Ok(there.iter().any(|device| own.list.device(*device).is_none()))
}

/// Looks at a room, once an hour and when all of its log was read. Own devices are the account's own business: it logs them out.
pub(super) fn look(w: &mut Work<'_>, stored: &StoredRoom, group: &Room) -> Result<(), Fault> {
    let seats: BTreeSet<Seat> = group.members().iter().map(seat).collect();
    w.tx.seats_of_room(stored.id, &seats, w.now)?;
    if own_device_gone(w.tx, &w.me.account, stored.id)? {
        w.done.follows.push((stored.id, Act::Settle));
    }
    if stored.role < Some(Role::Moderator) {
        return Ok(());
    }
    for seen in w.tx.silent_in_room(stored.id, SILENT_TOLD_AFTER_MS, SILENT_AT_ONCE, true, w.now)? {
        let (name, device) = seen.seat.clone();
        let Ok(account) = Username::new(name.clone()) else { continue };
        w.tx.told_silent(stored.id, &seen.seat)?;
        if w.is_me(&account) {
            continue;
        }
        w.room_notice(stored.id, &account, MessageKind::MemberSilent { name: name.clone(), device })?;
        let (chat, days) = (stored.shown(), seen.silent_ms / DAY_MS);
        w.emit(EventBody::RoomMemberSilent { chat, name, device, days, removed: false })?;
    }
    if !out(w, group, stored)?.is_empty() {
        w.done.follows.push((stored.id, Act::Silent));
    }
    Ok(())
}

/// The devices that this one takes out now: of members and moderators, if this is an owner's; never of owners, itself among them.
fn out(w: &Work<'_>, group: &Room, stored: &StoredRoom) -> Result<BTreeSet<RoomDevice>, Fault> {
    let (policy, me) = (group.policy(), w.me.account.as_str());
    let members: BTreeSet<RoomDevice> = group.members().into_iter().collect();
    let mut out = BTreeSet::new();
    if policy.role(me) == PolicyRole::Owner {
        for seen in w.tx.silent_in_room(stored.id, SILENT_OUT_AFTER_MS, SILENT_AT_ONCE, false, w.now)? {
            let (account, number) = seen.seat;
            let device = RoomDevice::new(account.as_str(), number);
            if policy.may_moderate(me, &account) && members.contains(&device) {
                out.insert(device);
            }
        }
    }
    Ok(out)
}

/// The commit that takes them out.
pub(super) fn plan(w: &Work<'_>, group: &Room, stored: &StoredRoom) -> Result<Option<Plan>, Fault> {
    let remove = out(w, group, stored)?;
    Ok((!remove.is_empty()).then(|| Plan { remove, ..Plan::default() }))
}

/// This device's commit stands in the log: if it took out who was silent, it says so.
pub(super) fn say(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    own: &PendingCommit,
    merged: &Merged,
) -> Result<(), Fault> {
    if Act::from_bytes(&own.act) != Some(Act::Silent) {
        return Ok(());
    }
    for change in &merged.changes {
        let (Change::Removed(gone) | Change::Dropped(gone)) = change else { continue };
        let (name, device) = seat(gone);
        let Ok(account) = Username::new(name.clone()) else { continue };
        w.room_notice(stored.id, &account, MessageKind::SilentRemoved { name: name.clone(), device })?;
        let (chat, days) = (stored.shown(), SILENT_OUT_AFTER_MS / DAY_MS);
        w.emit(EventBody::RoomMemberSilent { chat, name, device, days, removed: true })?;
    }
    Ok(())
}
