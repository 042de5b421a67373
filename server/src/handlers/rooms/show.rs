//! What a device may ask of rooms.

use subrosa_protocol::{
    BoundedVec,
    frames::{
        RelayInfo, Response, RoomDirectory, RoomDirectoryPage, RoomHeads, RoomHeadsPage, RoomLists,
        RoomListsPage, RoomPage, RoomRoster, RoomRosterPage, RoomShow, RoomSync,
    },
    limits::{
        DIRECTORY_PER_PAGE, FRAME_HEADER, FRAME_MAX, ROOM_ENTRIES_PER_PAGE, ROOM_HEADS_PER_PAGE,
        ROSTER_PER_PAGE,
    },
};
use tokio::time::Instant;

use super::super::{Answered, Context, Refusal};
use crate::store::Asker;

/// Bytes of a page besides the bodies in it: for each entry its `seq` (9), id (16), kind (1), generation (5), epoch (9) and
/// time (9), and for the page its numbers.
const PAGE_OVERHEAD: usize = FRAME_HEADER + 32 + ROOM_ENTRIES_PER_PAGE * 49;

/// `RoomSync`: as many entries as fit a frame, the first one always.
pub(in crate::handlers) async fn sync(cx: Context, request: RoomSync) -> Answered {
    let core = &cx.core;
    let max = usize::from(request.max).min(ROOM_ENTRIES_PER_PAGE);
    let max_bytes = FRAME_MAX - PAGE_OVERHEAD;
    let page = core.store.room_entries(request.room, cx.asker(), request.after, max, max_bytes);
    let page = core.stored(page).await??;
    Ok(Response::RoomPage(RoomPage {
        entries: BoundedVec::new(page.entries).map_err(|_| Refusal::internal())?,
        more: page.more,
        gap: page.gap,
        head: page.head,
        generation: page.generation,
        epoch: page.epoch,
    }))
}

/// `RoomShow`. A private room that the device is not in is answered like one that is not there.
pub(in crate::handlers) async fn show(cx: Context, request: RoomShow) -> Answered {
    cx.charge_question()?;
    let info = cx.core.store.room_info(request.room, cx.asker());
    Ok(Response::RoomInfo(cx.core.stored(info).await??))
}

/// `RoomRoster`.
pub(in crate::handlers) async fn roster(cx: Context, request: RoomRoster) -> Answered {
    cx.charge_question()?;
    let after = request.after.map(|after| Asker { account: after.account, device: after.device });
    let page = cx.core.store.room_roster(request.room, cx.asker(), after, ROSTER_PER_PAGE);
    let page = cx.core.stored(page).await??;
    let devices = BoundedVec::new(page.devices).map_err(|_| Refusal::internal())?;
    Ok(Response::RoomRosterPage(RoomRosterPage { devices, more: page.more, head: page.head }))
}

/// `RoomLists`. Whom the roster names is known to the asker: that is no lookup (R38).
pub(in crate::handlers) async fn lists(cx: Context, request: RoomLists) -> Answered {
    cx.charge_question()?;
    let (core, max_bytes) = (&cx.core, FRAME_MAX - 1024);
    let page = core.store.room_lists(request.room, cx.asker(), request.accounts.into_inner(), max_bytes);
    let page = core.stored(page).await??;
    let answered = u32::try_from(page.answered).map_err(|_| Refusal::internal())?;
    let accounts = BoundedVec::new(page.accounts).map_err(|_| Refusal::internal())?;
    Ok(Response::RoomListsPage(RoomListsPage { accounts, answered }))
}

/// `RoomDirectory`.
pub(in crate::handlers) async fn directory(cx: Context, request: RoomDirectory) -> Answered {
    cx.charge_question()?;
    let prefix = request.prefix.into_inner();
    let found = cx.core.store.public_rooms(prefix, request.after, DIRECTORY_PER_PAGE + 1);
    let mut rooms = cx.core.stored(found).await?;
    let more = rooms.len() > DIRECTORY_PER_PAGE;
    rooms.truncate(DIRECTORY_PER_PAGE);
    let rooms = BoundedVec::new(rooms).map_err(|_| Refusal::internal())?;
    Ok(Response::RoomDirectoryPage(RoomDirectoryPage { rooms, more }))
}

/// `RoomHeads`.
pub(in crate::handlers) async fn heads(cx: Context, request: RoomHeads) -> Answered {
    let found = cx.core.store.device_rooms(cx.asker(), request.after, ROOM_HEADS_PER_PAGE + 1);
    let mut rooms = cx.core.stored(found).await?;
    let more = rooms.len() > ROOM_HEADS_PER_PAGE;
    rooms.truncate(ROOM_HEADS_PER_PAGE);
    let rooms = BoundedVec::new(rooms).map_err(|_| Refusal::internal())?;
    Ok(Response::RoomHeadsPage(RoomHeadsPage { rooms, more }))
}

/// `RelayShow`.
pub(in crate::handlers) async fn relay(cx: Context) -> Answered {
    let room_days = u16::try_from(cx.core.limits.room_days).unwrap_or(u16::MAX);
    Ok(Response::RelayInfo(RelayInfo { lobby: cx.core.lobby.clone(), room_days }))
}

impl Context {
    fn charge_question(&self) -> Result<(), Refusal> {
        Ok(self.core.rates.room_questions.take(&self.caller.account, 1, Instant::now())?)
    }
}
