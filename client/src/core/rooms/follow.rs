//! The devices of a member are others, or its lists are valid again: whoever of the other members sees it first lets the leaves in
//! the room follow, when the account's own devices have not. So somebody whose only device became a new one, after its profile was
//! found to be an old copy (R23), is in the room again without being asked anything.
//!
//! Only under the account key that was there before: who has another one is a stranger until a person decides, in each member's
//! client, and a device that one member believes and others do not would stop the room.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crypto::verify::room::RoomDevice as Leaf;
use subrosa_protocol::{RoomId, Username, frames::RoomDevice};
use subrosa_rooms::{Plan, Room};

use super::{
    super::{Fault, work::Work},
    act::Act,
    invite::invitees,
    mls::lists,
};
use crate::store::StoredRoom;

/// An account has another valid device list than before: its leaves are to follow in the rooms in which it is.
pub(in crate::core) fn others_changed(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if w.is_me(account) {
        return Ok(());
    }
    for stored in w.tx.rooms()? {
        if !stored.goes_on() {
            continue;
        }
        let Some(group) = w.group(stored.id)? else { continue };
        if !group.devices_of(account.as_str()).is_empty() {
            w.done.follows.push((stored.id, Act::Follow(account.clone())));
        }
        w.loaded.keep(group);
    }
    Ok(())
}

/// Whether an account has devices, and none of them is in the room: nobody of its own sees to it that they come in.
pub(super) fn is_alone(w: &mut Work<'_>, room: RoomId, account: &Username) -> Result<bool, Fault> {
    let Some(known) = w.list(account)? else { return Ok(false) };
    let Some(group) = w.group(room)? else { return Ok(false) };
    let there = group.devices_of(account.as_str());
    w.loaded.keep(group);
    let listed = |leaf: &Leaf| known.list.device(leaf.device).is_some();
    Ok(!known.list.devices.is_empty() && !there.iter().any(listed))
}

/// Whether the newest list has to be fetched before it is said that a device is in it no more.
pub(super) fn needs_list(
    w: &Work<'_>,
    group: &Room,
    account: &Username,
    fresh: &BTreeSet<Username>,
) -> Result<bool, Fault> {
    let Some(known) = w.list(account)? else { return Ok(false) };
    let there = group.devices_of(account.as_str());
    Ok(!fresh.contains(account) && there.iter().any(|leaf| known.list.device(leaf.device).is_none()))
}

/// The commit that lets them follow: first those come in that are missing, and with a further commit those go that are listed no
/// more. Who comes in sees by a leaf of its own account that nobody needs a right to invite it (5.8). Nothing goes while no
/// device of the account could stay.
pub(super) fn plan(
    w: &mut Work<'_>,
    group: &Room,
    stored: &StoredRoom,
    account: &Username,
    fresh: &BTreeSet<Username>,
    packages: &BTreeMap<RoomDevice, Vec<u8>>,
) -> Result<Option<Plan>, Fault> {
    let there = group.devices_of(account.as_str());
    let Some(list) = w.list(account)?.filter(|_| !there.is_empty()) else { return Ok(None) };
    let dropped = group.dropped_members(&lists(w.tx, w.me, fresh)).into_iter();
    let remove: BTreeSet<Leaf> = dropped.filter(|leaf| leaf.account == account.as_str()).collect();
    let add = invitees(w, group, account, &list, fresh, packages);
    if !add.is_empty() {
        if !remove.is_empty() {
            w.done.follows.push((stored.id, Act::Follow(account.clone())));
        }
        return Ok(Some(Plan { add, ..Plan::default() }));
    }
    let nobody_left = remove == there && !list.list.devices.is_empty();
    Ok((!remove.is_empty() && !nobody_left).then(|| Plan { remove, ..Plan::default() }))
}
