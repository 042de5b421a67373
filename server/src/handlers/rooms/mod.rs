//! Rooms: what a device may do in them and ask of them.
//!
//! | module | requests |
//! |---|---|
//! | [`change`] | `RoomCreate`, `RoomCommit`, `RoomReboot` |
//! | [`post`] | `RoomPost`, `RoomEphemeral`, `RoomAccept`, `RoomLeave`, `RoomCursor` |
//! | [`show`] | `RoomSync`, `RoomShow`, `RoomRoster`, `RoomLists`, `RoomDirectory`, `RoomHeads`, `RelayShow` |

mod change;
mod post;
mod show;

use std::sync::Arc;

use subrosa_protocol::{
    BoundedVec, RoomId,
    frames::{EpochPassed, Push, Response, RoomAccepted, RoomChange, RoomChanged, RoomDevice, RoomName},
    limits::ROOM_ENTRIES_PER_PAGE,
};

pub(super) use change::{commit, create, reboot};
pub(super) use post::{accept, cursor, ephemeral, leave, post};
pub(super) use show::{directory, heads, lists, relay, roster, show, sync};

use super::{Answered, Context, Refusal, wire};
use crate::{
    bus::Signal,
    core::Core,
    rooms::fanout,
    store::{Accepted, Asker, Sender, StoreError},
};

impl Context {
    /// The device that asks.
    pub(super) fn asker(&self) -> Asker {
        Asker { account: self.caller.account.clone(), device: self.caller.device }
    }

    fn sender(&self, generation: u64) -> Sender {
        Sender { account: self.caller.account.clone(), device: self.caller.device, generation }
    }

    fn room_device(&self) -> RoomDevice {
        RoomDevice { account: self.caller.account.clone(), device: self.caller.device }
    }

    /// Pushes an entry that was accepted, if it is not a repetition, and answers its sender.
    fn accepted(&self, room: RoomId, accepted: Accepted) -> Response {
        let Accepted { seq, accepted_at, fresh, envelopes, uninvited, joined } = accepted;
        if let Some(entry) = fresh {
            self.core.metrics.room_entries_accepted.inc();
            let publication = fanout::Publication::new(&self.core, room, entry, self.room_device(), joined);
            if let Some(publication) = publication {
                fanout::publish(&self.core, room, publication);
            }
        }
        if let Some(frame) = wire(&Push::RoomChanged(RoomChanged { room, change: RoomChange::Roster })) {
            for device in uninvited {
                self.core.bus.to_device(&device.account, device.device, Signal::Push(frame.clone()));
            }
        }
        for (to, envelope) in envelopes {
            self.core.metrics.envelopes_accepted.inc();
            self.core.bus.deliver(&to.account, to.device, vec![Arc::new(envelope)]);
        }
        Response::RoomAccepted(RoomAccepted { seq, accepted_at })
    }

    /// Tells who was late where the room is, and what came after the place it knew, at most so many bytes.
    async fn passed(
        &self,
        room: RoomId,
        generation: u32,
        epoch: u64,
        after: u64,
        max_bytes: usize,
    ) -> Answered {
        let core = &self.core;
        let page = core.store.room_entries(room, self.asker(), after, ROOM_ENTRIES_PER_PAGE, max_bytes);
        // Who is not in the room reads nothing of it.
        let (entries, more) = match core.stored(page).await? {
            Ok(page) => (page.entries, page.more),
            Err(_) => (Vec::new(), false),
        };
        let entries = BoundedVec::new(entries).map_err(|_| Refusal::internal())?;
        Ok(Response::EpochPassed(EpochPassed { generation, epoch, entries, more }))
    }
}

/// Removes a room, for the operator, and tells those who are in it.
pub(crate) async fn remove(core: &Arc<Core>, name: RoomName) -> Result<Option<RoomId>, StoreError> {
    let id = match name {
        RoomName::Id(id) => id,
        RoomName::Slug(slug) => {
            let found = core.store.public_rooms(slug.as_str().to_owned(), None, 1).await?;
            match found.first().filter(|found| found.listing.slug == slug) {
                Some(found) => found.room,
                None => return Ok(None),
            }
        }
    };
    let members = core.store.room_joined(id).await?;
    let Some(room) = core.store.remove_room(RoomName::Id(id)).await? else { return Ok(None) };
    fanout::gone(core, room);
    if let Some(frame) = wire(&Push::RoomChanged(RoomChanged { room, change: RoomChange::Gone })) {
        for device in members.map(|members| members.devices).unwrap_or_default() {
            core.bus.to_device(&device.account, device.device, Signal::Push(frame.clone()));
        }
    }
    Ok(Some(room))
}
