//! Proof that members of a room were shown different histories (R29): the commits that this device followed are kept for a while;
//! what contradicts one of them, or a head that a member tells, is stored, and can be written out by a person.

use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{MessageId, RoomId, codec, frames::RoomEntry};
use subrosa_rooms::Head;

use super::super::{Core, Fault, receive::Sender, work::Work};
use crate::{
    api::{EventBody, Reply, RoomEvidence, ToldHead, time::Timestamp},
    store::{Commit, Contradiction, PendingCommit, StoredRoom, room_evidence::hex},
};

fn of_entry<'e>(
    entry: &RoomEntry,
    bytes: &'e [u8],
    delta: &'e [u8],
    by: Option<(&'e str, u32)>,
) -> Commit<'e> {
    Commit {
        generation: entry.generation,
        epoch: entry.epoch,
        seq: entry.seq,
        entry: *entry.id.as_bytes(),
        accepted_at: entry.accepted_at,
        by,
        delta,
        hash: super::objects::hash(bytes).0,
        bytes,
    }
}

fn delta_of(entry: &RoomEntry) -> Result<Vec<u8>, Fault> {
    let delta = entry.delta.as_ref().map(codec::encode).transpose();
    Ok(delta.map_err(|_| Fault::Internal("delta"))?.unwrap_or_default())
}

/// A commit of the log was followed.
pub(super) fn seen_entry(
    w: &Work<'_>,
    room: RoomId,
    entry: &RoomEntry,
    bytes: &[u8],
    actor: &RoomDevice,
) -> Result<(), Fault> {
    let delta = delta_of(entry)?;
    let by = Some((actor.account.as_str(), actor.device));
    Ok(w.tx.commit_seen(room, &of_entry(entry, bytes, &delta, by))?)
}

/// An own commit was accepted at this place of the log, at this time.
pub(super) fn seen_own(
    w: &Work<'_>,
    own: &PendingCommit,
    (seq, accepted_at): (u64, u64),
) -> Result<(), Fault> {
    let commit = Commit {
        generation: own.generation,
        epoch: own.epoch,
        seq,
        entry: *own.entry.as_bytes(),
        accepted_at,
        by: Some((w.me.account.as_str(), w.me.device.get())),
        delta: &own.delta,
        hash: super::objects::hash(&own.bytes).0,
        bytes: &own.bytes,
    };
    Ok(w.tx.commit_seen(own.room, &commit)?)
}

/// A commit of an epoch that is over stands in the log. The one that was followed, once more, is nothing; another one shows that
/// the relay takes more than one for an epoch. It is not followed, and what was followed stays.
pub(super) fn hold_against(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    entry: &RoomEntry,
    bytes: &[u8],
) -> Result<(), Fault> {
    let Some(ours) = w.tx.seen_commit(stored.id, entry.generation, entry.epoch)? else { return Ok(()) };
    let delta = delta_of(entry)?;
    let theirs = of_entry(entry, bytes, &delta, None).shown();
    if theirs.hash == ours.hash {
        return Ok(());
    }
    let found = Contradiction {
        found_at: w.now,
        generation: entry.generation,
        epoch: entry.epoch,
        our_head: None,
        theirs: None,
        our_commit: Some(ours),
        their_commit: Some(theirs),
    };
    keep(w, stored, None, &found)
}

/// A member's head of an epoch is another one than this device's.
pub(super) fn told_otherwise(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    sender: &Sender,
    message: MessageId,
    ours: &Head,
    theirs: &Head,
) -> Result<(), Fault> {
    let before = ours.epoch.checked_sub(1);
    let our_commit = before.map(|epoch| w.tx.seen_commit(stored.id, ours.generation, epoch)).transpose()?;
    let found = Contradiction {
        found_at: w.now,
        generation: ours.generation,
        epoch: ours.epoch,
        our_head: Some(ours.hash),
        theirs: Some((theirs.hash, sender.account.clone(), sender.device.get(), message)),
        our_commit: our_commit.flatten(),
        their_commit: None,
    };
    keep(w, stored, Some(sender), &found)
}

fn keep(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    by: Option<&Sender>,
    found: &Contradiction,
) -> Result<(), Fault> {
    if !w.tx.put_room_evidence(stored.id, found)? {
        return Ok(());
    }
    tracing::warn!(room = %stored.id, epoch = found.epoch, "proof of different histories");
    let by = by.map(|sender| sender.account.to_string());
    w.emit(EventBody::RoomForked { chat: stored.shown(), by, epoch: found.epoch })
}

impl Core {
    /// `room.evidence`.
    pub(super) fn evidence(&self, stored: &StoredRoom) -> Result<Reply, Fault> {
        let found = self.store.read(|tx| tx.room_evidence(stored.id))?;
        let found_by = format!("{}/{}", self.me.account, self.me.device.get());
        let shown = |found: Contradiction| RoomEvidence {
            room: stored.id.to_string(),
            name: stored.name.clone(),
            found_at: Timestamp(found.found_at),
            found_by: found_by.clone(),
            generation: found.generation,
            epoch: found.epoch,
            our_head: found.our_head.map(|head| hex(&head)),
            theirs: found.theirs.map(|(head, by, device, message)| ToldHead {
                head: hex(&head),
                by: by.to_string(),
                device,
                message: message.to_string(),
            }),
            our_commit: found.our_commit,
            their_commit: found.their_commit,
        };
        Ok(Reply::RoomEvidence { evidence: found.into_iter().map(shown).collect() })
    }
}
