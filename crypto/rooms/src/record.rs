//! What this client notes of a room beside its MLS group.

use std::collections::VecDeque;

use openmls::prelude::GroupId;
use serde::{Deserialize, Serialize};
use subrosa_verify::room::group_id;

use crate::limits::{HEADS, PAST_EPOCH_MS, PAST_EPOCHS, UPDATE_AFTER_MESSAGES, UPDATE_AFTER_MS};

/// The notes of one room, stored under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Random, new with every change: what is in memory belongs to what is stored iff this is equal.
    pub version: u64,
    pub generation: u32,
    /// When the own leaf was renewed last, in ms since 1970; `None`: not since it was added.
    pub renewed_at: Option<u64>,
    /// Own messages since then.
    pub posted: u32,
    /// A device of the own account was removed since then.
    pub device_removed: bool,
    /// The own newest message's place in the chain.
    pub counter: u64,
    pub prev_hash: [u8; 32],
    /// Past epochs that are still read, and when they ended.
    pub past: VecDeque<(u64, u64)>,
    /// Heads of past epochs of this generation.
    pub heads: VecDeque<(u64, [u8; 32])>,
    pub pending: Option<Pending>,
}

/// Until where this device was in a room that it is not in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub generation: u32,
    pub epoch: u64,
    /// The chain of its messages goes on when it comes back.
    pub counter: u64,
    pub prev_hash: [u8; 32],
}

/// An own commit that the relay was, or will be, asked to accept (R32).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// SHA-256 of the commit.
    pub hash: [u8; 32],
    /// The epoch it was made in.
    pub epoch: u64,
    /// How this device got, or gets, into the group by it.
    pub kind: PendingKind,
}

/// What becomes of a pending commit that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingKind {
    /// A change by a member: cleared, the room stays as it is.
    Change,
    /// A join from outside: the room is forgotten.
    Join,
    /// The first commit of a new generation: the room is forgotten, and its old generation is gone already.
    Reboot,
}

/// Why the own leaf is to be renewed now (R34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateReason {
    /// Since this device was added, its key is one that lay with the relay.
    Joined,
    /// A device of the own account was removed.
    DeviceRemoved,
    /// A week is over.
    Week,
    /// 500 own messages were sent.
    Messages,
}

/// Whether the own leaf is to be renewed, and why. `renewed_at` and `now` in ms; `posted`: own messages since then.
#[must_use]
pub fn update_due(
    renewed_at: Option<u64>,
    posted: u32,
    device_removed: bool,
    now: u64,
) -> Option<UpdateReason> {
    match renewed_at {
        None => Some(UpdateReason::Joined),
        Some(_) if device_removed => Some(UpdateReason::DeviceRemoved),
        Some(at) if now.saturating_sub(at) >= UPDATE_AFTER_MS => Some(UpdateReason::Week),
        Some(_) if posted >= UPDATE_AFTER_MESSAGES => Some(UpdateReason::Messages),
        Some(_) => None,
    }
}

impl Record {
    pub(crate) const fn new(generation: u32, renewed_at: Option<u64>) -> Self {
        Self {
            version: 0,
            generation,
            renewed_at,
            posted: 0,
            device_removed: false,
            counter: 0,
            prev_hash: [0; 32],
            past: VecDeque::new(),
            heads: VecDeque::new(),
            pending: None,
        }
    }

    pub(crate) fn group(&self, room: &[u8; 16]) -> GroupId {
        GroupId::from_slice(&group_id(room, self.generation))
    }

    /// The own leaf was renewed.
    pub(crate) const fn renewed(&mut self, now: u64) {
        self.renewed_at = Some(now);
        self.posted = 0;
        self.device_removed = false;
    }

    /// An epoch with this head ended.
    pub(crate) fn ended(&mut self, epoch: u64, head: [u8; 32], now: u64) {
        self.past.push_back((epoch, now));
        while self.past.len() > PAST_EPOCHS {
            self.past.pop_front();
        }
        self.heads.push_back((epoch, head));
        while self.heads.len() > HEADS {
            self.heads.pop_front();
        }
    }

    /// Forgets past epochs that ended too long ago; whether there were any.
    pub(crate) fn expire(&mut self, now: u64) -> bool {
        let before = self.past.len();
        self.past.retain(|(_, ended)| now.saturating_sub(*ended) < PAST_EPOCH_MS);
        self.past.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r34_when_the_own_leaf_is_renewed() {
        let week = UPDATE_AFTER_MS;
        for (renewed, posted, removed, now, expected) in [
            (None, 0, false, 0, Some(UpdateReason::Joined)),
            (Some(10), 0, false, 10, None),
            (Some(10), 499, false, 9 + week, None),
            (Some(10), 500, false, 10, Some(UpdateReason::Messages)),
            (Some(10), 0, false, 10 + week, Some(UpdateReason::Week)),
            (Some(10), 0, true, 10, Some(UpdateReason::DeviceRemoved)),
            // A clock that was set back renews nothing by itself.
            (Some(week * 2), 0, false, 0, None),
        ] {
            assert_eq!(update_due(renewed, posted, removed, now), expected, "{renewed:?} {posted} {now}");
        }
    }

    #[test]
    fn r30_three_past_epochs_for_24_hours() {
        let mut record = Record::new(0, None);
        for epoch in 0..5 {
            record.ended(epoch, [epoch as u8; 32], epoch * 1000);
        }
        assert_eq!(record.past, [(2, 2000), (3, 3000), (4, 4000)]);
        assert!(!record.expire(1999 + PAST_EPOCH_MS));
        assert!(record.expire(3000 + PAST_EPOCH_MS));
        assert_eq!(record.past, [(4, 4000)]);
        assert_eq!(record.heads.len(), 5);
    }
}
