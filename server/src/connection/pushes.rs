//! The order of pushes.
//!
//! Senders to one mailbox run side by side, so the wake-up for envelope 8 may come before the one for 7. A client that
//! gets pushes in order can store and acknowledge them as they come; so one that is early waits a little. When the
//! missing one does not come, the client is told to fetch, for the mailbox is the truth.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::limits::PUSHES_OUT_OF_ORDER;

/// How long an early push waits for the ones before it.
const PATIENCE: Duration = Duration::from_millis(200);

/// What to write now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// Frames in wire form, in order.
    pub(super) frames: Vec<Bytes>,
    /// Whether to tell the client to fetch, after the frames.
    pub(super) hint: bool,
}

/// The pushes of one connection's mailbox.
#[derive(Debug)]
pub(super) struct Pushes {
    /// The next place to push; `None` after some were lost, when any will do.
    expected: Option<u64>,
    early: BTreeMap<u64, Bytes>,
    since: Option<Instant>,
}

impl Pushes {
    /// Everything from `next_seq` on is pushed; what came before is fetched.
    pub(super) fn new(next_seq: u64) -> Self {
        Self { expected: Some(next_seq), early: BTreeMap::new(), since: None }
    }

    /// An envelope was accepted at `seq`.
    pub(super) fn accept(&mut self, seq: u64, frame: Bytes, now: Instant) -> Ready {
        let expected = *self.expected.get_or_insert(seq);
        if seq < expected {
            return Ready::default();
        }
        self.early.insert(seq, frame);
        let frames = self.in_order();
        if self.early.len() > PUSHES_OUT_OF_ORDER {
            return self.give_up(frames);
        }
        self.since = if self.early.is_empty() { None } else { Some(self.since.unwrap_or(now)) };
        Ready { frames, hint: false }
    }

    /// When to call [`Pushes::expire`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Early pushes have waited long enough, or signals were lost: the client must fetch.
    pub(super) fn expire(&mut self) -> Ready {
        self.give_up(Vec::new())
    }

    fn in_order(&mut self) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some(next) = self.expected
            && let Some(frame) = self.early.remove(&next)
        {
            frames.push(frame);
            self.expected = Some(next.saturating_add(1));
        }
        frames
    }

    fn give_up(&mut self, mut frames: Vec<Bytes>) -> Ready {
        frames.extend(std::mem::take(&mut self.early).into_values());
        self.expected = None;
        self.since = None;
        Ready { frames, hint: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> Bytes {
        Bytes::from(seq.to_string())
    }
    fn frames(ready: &Ready) -> Vec<u64> {
        ready.frames.iter().map(|frame| String::from_utf8_lossy(frame).parse().unwrap()).collect()
    }

    #[test]
    fn pushes_leave_in_the_order_of_the_mailbox() {
        let now = Instant::now();
        let mut pushes = Pushes::new(5);
        assert!(frames(&pushes.accept(4, frame(4), now)).is_empty(), "already fetched");
        assert!(frames(&pushes.accept(7, frame(7), now)).is_empty());
        assert!(frames(&pushes.accept(6, frame(6), now)).is_empty());
        assert!(pushes.deadline().is_some());
        assert_eq!(frames(&pushes.accept(5, frame(5), now)), [5, 6, 7]);
        assert_eq!(pushes.deadline(), None);
        assert_eq!(frames(&pushes.accept(8, frame(8), now)), [8]);
    }

    #[test]
    fn a_gap_that_stays_becomes_a_hint() {
        let now = Instant::now();
        let mut pushes = Pushes::new(1);
        pushes.accept(3, frame(3), now);
        assert_eq!(pushes.deadline(), Some(now + PATIENCE));
        let ready = pushes.expire();
        assert_eq!((frames(&ready), ready.hint), (vec![3], true));
        assert_eq!(frames(&pushes.accept(9, frame(9), now)), [9]);
        assert!(frames(&pushes.accept(9, frame(9), now)).is_empty());
    }

    #[test]
    fn one_past_the_bound_of_early_pushes_gives_up_waiting() {
        let now = Instant::now();
        let mut pushes = Pushes::new(1);
        let last = u64::try_from(PUSHES_OUT_OF_ORDER).unwrap() + 2;
        for seq in 2..last {
            assert_eq!(pushes.accept(seq, frame(seq), now), Ready::default());
        }
        let ready = pushes.accept(last, frame(last), now);
        assert_eq!((ready.frames.len(), ready.hint), (PUSHES_OUT_OF_ORDER + 1, true));
    }
}
