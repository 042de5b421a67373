//! Objects: pieces in, held for the connection; pieces of a room's objects out.

use subrosa_protocol::{
    frames::{Empty, ObjectGet, ObjectPut, Response},
    limits::OBJECT_PIECE_BYTES,
};
use tokio::time::Instant;

use super::{Answered, Context, Refusal};

/// `ObjectPut`. Nothing waits, so pieces and the request that uses them take effect in the order in which they came.
pub(super) async fn put(cx: Context, request: ObjectPut) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let (now, kib) = (Instant::now(), request.piece.len().div_ceil(1024));
    core.rates.object_kib.take(&cx.caller.account, u32::try_from(kib).unwrap_or(u32::MAX), now)?;
    cx.held.put(&core.objects, &request, now)?;
    Ok(Response::Done(Empty {}))
}

/// `ObjectGet`.
pub(super) async fn get(cx: Context, request: ObjectGet) -> Answered {
    let aligned = usize::try_from(request.offset).is_ok_and(|at| at.is_multiple_of(OBJECT_PIECE_BYTES));
    if !aligned {
        return Err(Refusal::bad_request("a piece begins at a multiple of 64 KiB"));
    }
    let piece = cx.core.store.room_object(request.room, cx.asker(), request.hash.0, request.offset);
    Ok(Response::ObjectPiece(cx.core.stored(piece).await??))
}
