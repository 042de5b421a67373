//! Messages and proposals, what is kept nowhere, joining, leaving, and what a device has stored.

use bytes::Bytes;
use subrosa_protocol::{
    frames::{
        Empty, EntryKind, Push, Response, RoomAccept, RoomAccepted, RoomChange, RoomChanged, RoomCursor,
        RoomEphemeral, RoomLeave, RoomPost,
    },
    limits::ROOM_COMMIT_INLINE,
};
use tokio::time::Instant;

use super::super::{Answered, Context, Refusal, wire};
use crate::{
    limits::PASSED_PAGE,
    rooms::fanout,
    store::{Leaving, Left, NewPost, Posted, RoomRefusal},
};

/// `RoomPost`. Nothing waits before the store is called, so that the first poll of each puts it in its place.
pub(in crate::handlers) async fn post(cx: Context, request: RoomPost) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    if request.kind != EntryKind::Application {
        return Err(Refusal::bad_request("all but messages have frames of their own"));
    }
    if request.bytes.is_empty() {
        return Err(Refusal::bad_request("an empty entry"));
    }
    let (account, now) = (&cx.caller.account, Instant::now());
    core.rates.room_posts.take((account, request.room), 1, now)?;
    core.rates.envelopes_per_account.take(account, 1, now)?;
    let room = request.room;
    let new = NewPost {
        room,
        id: request.id,
        generation: request.generation,
        epoch: request.epoch,
        bytes: Bytes::from(request.bytes.into_inner()),
        sender: cx.sender(request.state_generation),
        now: core.now(),
    };
    match core.stored(core.store.post_room_entry(new)).await?? {
        Posted::Accepted(accepted) => Ok(cx.accepted(room, *accepted)),
        Posted::Passed { generation, epoch } => cx.late(room, generation, epoch).await,
        Posted::Unreachable { .. } => Err(Refusal::internal()),
    }
}

/// `RoomEphemeral`.
pub(in crate::handlers) async fn ephemeral(cx: Context, request: RoomEphemeral) -> Answered {
    cx.core.rates.room_signals.take((&cx.caller.account, request.room), 1, Instant::now())?;
    let from = cx.room_device();
    if fanout::signal(&cx.core, request, &from).await {
        Ok(Response::Done(Empty {}))
    } else {
        // One answer for a room that is not there and one that the device has not joined.
        Err(RoomRefusal::Unknown.into())
    }
}

/// `RoomAccept`.
pub(in crate::handlers) async fn accept(cx: Context, request: RoomAccept) -> Answered {
    let core = &cx.core;
    let accepted = core.store.accept_room(request.room, cx.sender(request.state_generation));
    if core.stored(accepted).await?? {
        fanout::changed(core, request.room);
    }
    Ok(Response::Done(Empty {}))
}

/// `RoomLeave`.
pub(in crate::handlers) async fn leave(cx: Context, request: RoomLeave) -> Answered {
    let core = &cx.core;
    if request
        .proposal
        .as_ref()
        .is_some_and(|proposal| proposal.bytes.is_empty() || proposal.bytes.len() > ROOM_COMMIT_INLINE)
    {
        return Err(Refusal::bad_request("a proposal has 1 byte to 40 KiB"));
    }
    core.rates.envelopes_per_account.take(&cx.caller.account, 1, Instant::now())?;
    let room = request.room;
    let leaving = Leaving {
        room,
        account: request.account,
        proposal: request
            .proposal
            .map(|one| (one.id, one.generation, one.epoch, Bytes::from(one.bytes.into_inner()))),
        sender: cx.sender(request.state_generation),
        now: core.now(),
    };
    match core.stored(core.store.leave_room(leaving)).await?? {
        Left::Passed { generation, epoch } => cx.late(room, generation, epoch).await,
        Left::Done { devices, entry } => {
            tracing::debug!(devices = devices.len(), "devices left a room");
            // Who left gets nothing any more, not even its own proposal.
            fanout::changed(core, room);
            match entry {
                None => {
                    cx.tell_roster(room);
                    Ok(Response::Done(Empty {}))
                }
                Some(entry) => {
                    let (seq, accepted_at) = (entry.seq, entry.accepted_at);
                    core.metrics.room_entries_accepted.inc();
                    let from = cx.room_device();
                    if let Some(publication) = fanout::Publication::new(core, room, *entry, from, false) {
                        fanout::publish(core, room, publication);
                    }
                    Ok(Response::RoomAccepted(RoomAccepted { seq, accepted_at }))
                }
            }
        }
    }
}

/// `RoomCursor`.
pub(in crate::handlers) async fn cursor(cx: Context, request: RoomCursor) -> Answered {
    let core = &cx.core;
    let noted = core.store.room_cursor(request.room, request.up_to, cx.sender(request.state_generation));
    let deleted = core.stored(noted).await??;
    core.metrics.room_entries_deleted.inc_by(deleted);
    Ok(Response::Done(Empty {}))
}

impl Context {
    /// An entry of an epoch that has passed: the sender learns what is new, when that is little.
    async fn late(&self, room: subrosa_protocol::RoomId, generation: u32, epoch: u64) -> Answered {
        let info = self.core.store.room_info(subrosa_protocol::frames::RoomName::Id(room), self.asker());
        let after = self.core.stored(info).await?.map_or(u64::MAX, |info| info.cursor);
        match self.passed(room, generation, epoch, after, PASSED_PAGE).await? {
            Response::EpochPassed(mut passed)
                if passed.entries.iter().any(|entry| match &entry.body {
                    subrosa_protocol::frames::EntryBody::Inline(bytes) => bytes.len() > PASSED_PAGE,
                    _ => false,
                }) =>
            {
                passed.entries = subrosa_protocol::BoundedVec::default();
                passed.more = true;
                Ok(Response::EpochPassed(passed))
            }
            answer => Ok(answer),
        }
    }

    /// Everybody in a room learns that its roster changed without a commit.
    pub(in crate::handlers) fn tell_roster(&self, room: subrosa_protocol::RoomId) {
        if let Some(frame) = wire(&Push::RoomChanged(RoomChanged { room, change: RoomChange::Roster })) {
            fanout::tell(&self.core, room, frame, self.room_device());
        }
    }
}
