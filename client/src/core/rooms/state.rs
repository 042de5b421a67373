//! Whether the relay shows all members the same room: with a text to a member goes, now and then, where this device is in
//! the rooms that both are in (R29).

use subrosa_protocol::{
    MessageId, SafeText, Username,
    content::{Content, RoomState as State},
};
use subrosa_rooms::{Head, HeadMatch};

use super::{
    super::{Fault, receive::Sender, work::Work},
    entry::stand_still,
    renew::tell,
};
use crate::{
    api::RoomState,
    limits::{ROOM_HEAD_EVERY_MS, ROOM_HEADS_AT_ONCE},
    store::{Counter, StoredRoom},
};

/// What stands below a room whose members are shown different histories.
const FORKED: &str = "the relay shows its members different histories";

/// Whether the relay was caught showing members of a room different histories.
pub(super) fn is_forked(stored: &StoredRoom) -> bool {
    stored.refused.as_deref() == Some(FORKED)
}

/// A text goes to an account: it is told of the rooms that both write in, at most every ten minutes of each.
pub(in crate::core) fn tell_states(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if w.is_me(account) {
        return Ok(());
    }
    for room in w.tx.rooms_of_writer(account, ROOM_HEADS_AT_ONCE)? {
        let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
        if stored.is_none_or(|stored| stored.refused.is_some()) {
            continue;
        }
        let Some(group) = w.group(room)? else { continue };
        let member = !group.devices_of(account.as_str()).is_empty();
        let head = group.head();
        w.loaded.keep(group);
        let before = w.now.saturating_sub(ROOM_HEAD_EVERY_MS);
        if !member || !w.tx.tell_room_state(room, account, before, w.now)? {
            continue;
        }
        let Head { generation, epoch, hash } = head;
        tell(w, account, Content::RoomState(State { room, generation, epoch, hash }))?;
    }
    Ok(())
}

/// Where a member is in a room. In another history than this device: the relay lies to one of the two, or that member does.
/// It is shown, and nothing more is sent.
pub(in crate::core) fn heard(
    w: &mut Work<'_>,
    sender: &Sender,
    message: MessageId,
    state: &State,
) -> Result<(), Fault> {
    let stored = w.tx.room(state.room)?.filter(|stored| stored.state == RoomState::Joined);
    let Some(mut stored) = stored else { return Ok(()) };
    let Some(group) = w.group(state.room)? else { return Ok(()) };
    let member = !group.devices_of(sender.account.as_str()).is_empty();
    let head = Head { generation: state.generation, epoch: state.epoch, hash: state.hash };
    let found = group.compare(&head);
    let ours = group.head_of(state.epoch);
    w.loaded.keep(group);
    if !member {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    }
    let Some(ours) = ours.filter(|_| found == HeadMatch::Forked) else { return Ok(()) };
    super::evidence::told_otherwise(w, &stored, sender, message, &ours, &head)?;
    if is_forked(&stored) {
        return Ok(());
    }
    tracing::warn!(room = %stored.id, epoch = state.epoch, "a room is forked");
    stored.refused = None;
    stand_still(w, &mut stored, SafeText::single_line(FORKED))?;
    w.tx.put_room(&stored)?;
    // The other side learns of it too, and keeps what it has.
    let Head { generation, epoch, hash } = ours;
    tell(w, &sender.account, Content::RoomState(State { room: stored.id, generation, epoch, hash }))
}
