//! The order of pushes.
//!
//! Senders to one mailbox run side by side, so the wake-up for envelope 8 may come before the one for 7. A client that
//! gets pushes in order can store and acknowledge them as they come; so one that is early waits a little. When the
//! missing one does not come, the client is told to fetch, for the mailbox is the truth.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use subrosa_protocol::frames::MailboxEnvelope;
use tokio::time::Instant;

use crate::limits::PUSHES_OUT_OF_ORDER;

/// How long an early push waits for the ones before it.
const PATIENCE: Duration = Duration::from_millis(200);

/// What to write now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// Envelopes to push, in order.
    pub(super) envelopes: Vec<Arc<MailboxEnvelope>>,
    /// Whether to tell the client to fetch, after them.
    pub(super) hint: bool,
}

/// The pushes of one connection's mailbox.
#[derive(Debug)]
pub(super) struct Pushes {
    /// The next place to push; `None` after some were lost, when any will do.
    expected: Option<u64>,
    early: BTreeMap<u64, Arc<MailboxEnvelope>>,
    since: Option<Instant>,
}

impl Pushes {
    /// Everything from `next_seq` on is pushed; what came before is fetched.
    pub(super) fn new(next_seq: u64) -> Self {
        Self { expected: Some(next_seq), early: BTreeMap::new(), since: None }
    }

    /// Whether the envelope at `seq` is the next one and the only one: then it is pushed, and nothing else is to be done.
    pub(super) fn is_next(&mut self, seq: u64) -> bool {
        let next = self.expected == Some(seq) && self.early.is_empty();
        if next {
            self.expected = Some(seq.saturating_add(1));
        }
        next
    }

    /// An envelope was accepted.
    pub(super) fn accept(&mut self, envelope: Arc<MailboxEnvelope>, now: Instant) -> Ready {
        let seq = envelope.seq;
        let expected = *self.expected.get_or_insert(seq);
        if seq < expected {
            return Ready::default();
        }
        self.early.insert(seq, envelope);
        let envelopes = self.in_order();
        if self.early.len() > PUSHES_OUT_OF_ORDER {
            return self.give_up(envelopes);
        }
        self.since = if self.early.is_empty() { None } else { Some(self.since.unwrap_or(now)) };
        Ready { envelopes, hint: false }
    }

    /// When to call [`Pushes::expire`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Early pushes have waited long enough, or signals were lost: the client must fetch.
    pub(super) fn expire(&mut self) -> Ready {
        self.give_up(Vec::new())
    }

    fn in_order(&mut self) -> Vec<Arc<MailboxEnvelope>> {
        let mut envelopes = Vec::new();
        while let Some(next) = self.expected
            && let Some(envelope) = self.early.remove(&next)
        {
            envelopes.push(envelope);
            self.expected = Some(next.saturating_add(1));
        }
        envelopes
    }

    fn give_up(&mut self, mut envelopes: Vec<Arc<MailboxEnvelope>>) -> Ready {
        envelopes.extend(std::mem::take(&mut self.early).into_values());
        self.expected = None;
        self.since = None;
        Ready { envelopes, hint: true }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{BoundedBytes, EnvelopeId};

    use super::*;

    fn envelope(seq: u64) -> Arc<MailboxEnvelope> {
        let id = EnvelopeId::from_bytes([0; 16]);
        Arc::new(MailboxEnvelope { seq, id, accepted_at: 0, sealed: BoundedBytes::default() })
    }
    fn places(ready: &Ready) -> Vec<u64> {
        ready.envelopes.iter().map(|envelope| envelope.seq).collect()
    }

    #[test]
    fn pushes_leave_in_the_order_of_the_mailbox() {
        let now = Instant::now();
        let mut pushes = Pushes::new(5);
        assert!(places(&pushes.accept(envelope(4), now)).is_empty(), "already fetched");
        assert!(places(&pushes.accept(envelope(7), now)).is_empty());
        assert!(places(&pushes.accept(envelope(6), now)).is_empty());
        assert!(pushes.deadline().is_some());
        assert_eq!(places(&pushes.accept(envelope(5), now)), [5, 6, 7]);
        assert_eq!(pushes.deadline(), None);
        assert_eq!(places(&pushes.accept(envelope(8), now)), [8]);
        assert!(pushes.is_next(9) && !pushes.is_next(9) && !pushes.is_next(11));
        assert!(places(&pushes.accept(envelope(11), now)).is_empty());
        assert!(!pushes.is_next(10), "one waits behind it");
        assert_eq!(places(&pushes.accept(envelope(10), now)), [10, 11]);
    }

    #[test]
    fn a_gap_that_stays_becomes_a_hint() {
        let now = Instant::now();
        let mut pushes = Pushes::new(1);
        pushes.accept(envelope(3), now);
        assert_eq!(pushes.deadline(), Some(now + PATIENCE));
        let ready = pushes.expire();
        assert_eq!((places(&ready), ready.hint), (vec![3], true));
        assert_eq!(places(&pushes.accept(envelope(9), now)), [9]);
        assert!(places(&pushes.accept(envelope(9), now)).is_empty());
    }

    #[test]
    fn one_past_the_bound_of_early_pushes_gives_up_waiting() {
        let now = Instant::now();
        let mut pushes = Pushes::new(1);
        let last = u64::try_from(PUSHES_OUT_OF_ORDER).unwrap() + 2;
        for seq in 2..last {
            assert_eq!(pushes.accept(envelope(seq), now), Ready::default());
        }
        let ready = pushes.accept(envelope(last), now);
        assert_eq!((ready.envelopes.len(), ready.hint), (PUSHES_OUT_OF_ORDER + 1, true));
    }
}
