//! The young part of mailboxes, for readers: what is durable in the journal and not yet folded into the database.
//!
//! Whoever reads a mailbox takes its young part first and asks the database then. What is folded in between stands in both,
//! and is recognised by its place; nothing is in neither.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use subrosa_protocol::{DeviceId, Username, frames::MailboxEnvelope};

/// Every mailbox that has a young part.
#[derive(Debug, Default)]
pub(super) struct Young {
    mailboxes: Mutex<HashMap<Username, Vec<(DeviceId, Part)>>>,
}

/// The young part of one mailbox.
#[derive(Debug, Default, Clone)]
pub(super) struct Part {
    /// Everything up to here is gone, although the database may still have it.
    pub(super) acknowledged: u64,
    /// The place of the next envelope.
    pub(super) next_seq: u64,
    /// The highest state generation (R23).
    pub(super) generation: u64,
    /// What waits, ascending by place.
    pub(super) envelopes: VecDeque<Arc<MailboxEnvelope>>,
}

impl Part {
    /// Brings it up to date; the new envelopes follow those that it has.
    pub(super) fn update(&mut self, acknowledged: u64, next_seq: u64, generation: u64) {
        self.acknowledged = self.acknowledged.max(acknowledged);
        (self.next_seq, self.generation) = (next_seq, generation);
        while self.envelopes.front().is_some_and(|envelope| envelope.seq <= self.acknowledged) {
            self.envelopes.pop_front();
        }
    }
}

/// All young parts, held.
pub(super) struct Held<'a>(MutexGuard<'a, HashMap<Username, Vec<(DeviceId, Part)>>>);

impl Held<'_> {
    /// The part of a mailbox, made where there is none.
    pub(super) fn part(&mut self, account: &Username, device: DeviceId) -> Option<&mut Part> {
        let parts = self.0.entry(account.clone()).or_default();
        let place = match parts.iter().position(|(number, _)| *number == device) {
            Some(place) => place,
            None => {
                parts.push((device, Part::default()));
                parts.len() - 1
            }
        };
        parts.get_mut(place).map(|(_, part)| part)
    }

    /// Everything is folded in.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        if self.0.capacity() > 1024 {
            self.0.shrink_to(64);
        }
    }
}

impl Young {
    pub(super) fn hold(&self) -> Held<'_> {
        Held(self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of a mailbox's part with at most `max` envelopes, those behind `after`.
    pub(super) fn part(&self, account: &Username, device: DeviceId, after: u64, max: usize) -> Option<Part> {
        let held = self.hold();
        let (_, part) = held.0.get(account)?.iter().find(|(number, _)| *number == device)?;
        let from = part.envelopes.partition_point(|envelope| envelope.seq <= after);
        let envelopes = part.envelopes.iter().skip(from).take(max).cloned().collect();
        Some(Part { envelopes, ..Part { envelopes: VecDeque::new(), ..*part } })
    }
}
