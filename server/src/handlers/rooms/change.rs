//! What changes a room's epoch: making it, commits, reboots.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use subrosa_protocol::{
    ErrorCode, RoomId, SafeText,
    frames::{
        CommitBody, Empty, Invitation, Invitations, Listing, ListingChange, ObjectHash, Reboot, Response,
        RoomCommit, RoomCreate, RoomDelta, RoomName, RoomUnreachable,
    },
    limits::{FRAME_MAX, ROOM_COMMIT_INLINE},
};
use subrosa_verify::{
    keys::{Signature, VerifyingKey},
    room::{NewOwnerKey, Reboot as SignedReboot, verify_owner_key},
};
use tokio::time::Instant;

use super::super::{Answered, Context, Refusal};
use crate::store::{CommitBytes, NewCommit, NewReboot, NewRoom, Object, Posted};

/// Bytes of entries in the answer to a commit that lost.
const WINNERS: usize = FRAME_MAX - 4 * 1024;

/// `RoomCreate`.
pub(in crate::handlers) async fn create(cx: Context, request: RoomCreate) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    if let Some(listing) = &request.listing {
        check_listing(listing)?;
    }
    check_key(&request.owner_key)?;
    let group_info = cx.object(request.group_info)?;
    core.rates.rooms_created.take(&cx.caller.account, 1, Instant::now())?;
    let room = NewRoom {
        room: request.room,
        owner_key: *request.owner_key,
        listing: request.listing,
        group_info,
        sender: cx.sender(request.state_generation),
    };
    let made = core.stored(core.store.create_room(room)).await.and_then(|made| made.map_err(Refusal::from));
    if made.is_err() {
        // A slug that is taken makes no room: it counts for nothing.
        core.rates.rooms_created.give_back(&cx.caller.account, 1);
    }
    made.map(|()| Response::Done(Empty {}))
}

/// `RoomCommit`. Without a new owner key nothing waits before the store is called.
pub(in crate::handlers) async fn commit(cx: Context, request: RoomCommit) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    if let ListingChange::Set(listing) = &request.delta.listing {
        check_listing(listing)?;
    }
    let commit = match request.commit {
        CommitBody::Inline(bytes) if bytes.is_empty() => return Err(Refusal::bad_request("an empty commit")),
        CommitBody::Inline(bytes) if bytes.len() > ROOM_COMMIT_INLINE => {
            return Err(Refusal::new(ErrorCode::TooLarge, "a commit of more than 40 KiB is an object"));
        }
        CommitBody::Inline(bytes) => CommitBytes::Inline(Bytes::from(bytes.into_inner())),
        CommitBody::Object(hash) => CommitBytes::Object(cx.held.take(hash)?),
    };
    let invitations = match request.invitations {
        Invitations::Inline(invitations) => invitations.into_inner(),
        Invitations::Object(hash) => {
            let object = cx.held.take(hash)?;
            Invitation::read_all(&object.bytes)
                .map_err(|_| Refusal::bad_request("the object is no list of invitations"))?
        }
    };
    let (group_info, welcome) = (cx.object(request.group_info)?, cx.object(request.welcome)?);
    charge(&cx, request.room, &request.delta, &invitations)?;
    let owner_key = match &request.delta.owner_key {
        None => None,
        Some(new) => {
            let info = core.store.room_info(RoomName::Id(request.room), cx.asker());
            let current = *core.stored(info).await??.owner_key;
            check_key(&new.key)?;
            let told = NewOwnerKey { key: *new.key, signature: Signature(*new.signature) };
            verify_owner_key(&current, request.room.as_bytes(), request.generation, request.epoch, &told)
                .map_err(|_| Refusal::invalid("the new owner key is not signed by the one before"))?;
            Some(current)
        }
    };
    let (room, after) = (request.room, request.after);
    let new = NewCommit {
        room,
        id: request.id,
        generation: request.generation,
        epoch: request.epoch,
        after,
        commit,
        delta: request.delta,
        owner_key,
        group_info,
        welcome,
        invitations,
        sender: cx.sender(request.state_generation),
        now: core.now(),
    };
    let added: Vec<_> = new.delta.added.iter().map(|device| device.account.clone()).collect();
    match core.stored(core.store.commit_room_epoch(new)).await?? {
        Posted::Accepted(accepted) => {
            for account in &added {
                cx.found(account);
            }
            Ok(cx.accepted(room, *accepted))
        }
        Posted::Passed { generation, epoch } => cx.passed(room, generation, epoch, after, WINNERS).await,
        Posted::Unreachable { missing, full } => {
            let bounded = |list| subrosa_protocol::BoundedVec::new(list).map_err(|_| Refusal::internal());
            let (missing, full) = (bounded(missing)?, bounded(full)?);
            Ok(Response::RoomUnreachable(RoomUnreachable { missing, full }))
        }
    }
}

/// A commit counts as one entry; its invitations as the envelopes they are, and the names in it as looked up (R38, R43).
fn charge(cx: &Context, room: RoomId, delta: &RoomDelta, invitations: &[Invitation]) -> Result<(), Refusal> {
    let (rates, account, now) = (&cx.core.rates, &cx.caller.account, Instant::now());
    rates.room_commits.take((account, room), 1, now)?;
    let count = u32::try_from(invitations.len()).unwrap_or(u32::MAX).saturating_add(1);
    rates.envelopes_per_account.take(account, count, now)?;
    for invitation in invitations {
        rates.envelopes_per_device.take((account, &invitation.account, invitation.device), 1, now)?;
    }
    for device in delta.added.iter() {
        cx.charge_lookup(&device.account)?;
    }
    Ok(())
}

/// `RoomReboot`.
pub(in crate::handlers) async fn reboot(cx: Context, request: Reboot) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    if let ListingChange::Set(listing) = &request.listing {
        check_listing(listing)?;
    }
    if request.generation.checked_add(1) != Some(request.new_generation) {
        return Err(Refusal::bad_request("a reboot begins the next generation"));
    }
    let ascending = request.roster.is_sorted_by(|a, b| a < b) && request.banned.is_sorted_by(|a, b| a < b);
    if !ascending || request.roster.is_empty() {
        return Err(Refusal::bad_request("a roster and a list of banned accounts ascend"));
    }
    core.rates.room_reboots.take(&cx.caller.account, 1, Instant::now())?;
    let (welcome, group_info) = (cx.object(request.welcome)?, cx.object(request.group_info)?);
    let info = core.stored(core.store.room_info(RoomName::Id(request.room), cx.asker())).await??;
    let owner_key = *info.owner_key;
    let state_hash: [u8; 32] = Sha256::digest(request.canonical_state()).into();
    let signed = SignedReboot {
        room: *request.room.as_bytes(),
        from: request.generation,
        to: request.new_generation,
        epoch: request.epoch,
        state: state_hash,
        welcome: request.welcome.map(|hash| hash.0),
        group_info: request.group_info.map(|hash| hash.0),
    };
    signed
        .verify(&owner_key, &Signature(*request.signature))
        .map_err(|_| Refusal::invalid("the reboot is not signed by the room's owner key"))?;
    let (room, sender) = (request.room, cx.sender(request.state_generation));
    let new =
        NewReboot { reboot: request, owner_key, state_hash, welcome, group_info, sender, now: core.now() };
    match core.stored(core.store.reboot_room(new)).await?? {
        Posted::Accepted(accepted) => Ok(cx.accepted(room, *accepted)),
        Posted::Passed { generation, epoch } => {
            cx.passed(room, generation, epoch, info.cursor, crate::limits::PASSED_PAGE).await
        }
        Posted::Unreachable { .. } => Err(Refusal::internal()),
    }
}

impl Context {
    /// An object that a request names, taken out of those that were put.
    fn object(&self, hash: Option<ObjectHash>) -> Result<Option<Object>, Refusal> {
        hash.map(|hash| self.held.take(hash)).transpose()
    }
}

/// Texts that everybody sees are what members have signed, so they are refused rather than mended (R39, R48).
fn check_listing(listing: &Listing) -> Result<(), Refusal> {
    let name = SafeText::name(&listing.name);
    let description = SafeText::single_line(&listing.description);
    if listing.name.trim().is_empty() || name.as_str() != &*listing.name {
        return Err(Refusal::bad_request("a room's name has 1 to 64 characters and no control characters"));
    }
    if description.as_str() != &*listing.description {
        return Err(Refusal::bad_request("a room's description is one line without control characters"));
    }
    Ok(())
}

fn check_key(key: &[u8; 32]) -> Result<(), Refusal> {
    if VerifyingKey(*key).is_usable() {
        Ok(())
    } else {
        Err(Refusal::invalid("the owner key is no Ed25519 key"))
    }
}
