//! A connection's own rate of frames, and when it has been broken too often (R8).

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{
    limits::Limits,
    rate::{Bucket, RetryAfter},
};

/// Breaches older than this no longer count.
const WINDOW: Duration = Duration::from_secs(60);
/// What comes within this time of a breach belongs to it: a client that has many requests under way when it is told
/// to wait has broken the rate once.
const EPISODE: Duration = Duration::from_secs(1);

/// Whether a frame is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Go,
    /// It is answered with `rate_limited`.
    Refuse(RetryAfter),
    /// So is it, and the connection ends.
    Close(RetryAfter),
}

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Frames {
    bucket: Bucket,
    breaches: VecDeque<Instant>,
    max: usize,
}

impl Frames {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            bucket: Bucket::new(limits.frames_per_connection, limits.lift_rates, now),
            breaches: VecDeque::new(),
            max: usize::try_from(limits.breaches_before_close).unwrap_or(usize::MAX).max(1),
        }
    }

    /// A frame has come.
    pub(crate) fn admit(&mut self, now: Instant) -> Verdict {
        let Err(after) = self.bucket.take(now) else { return Verdict::Go };
        while self.breaches.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.breaches.pop_front();
        }
        if self.breaches.back().is_none_or(|at| now.duration_since(*at) >= EPISODE) {
            self.breaches.push_back(now);
        }
        if self.breaches.len() >= self.max { Verdict::Close(after) } else { Verdict::Refuse(after) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Quota;

    fn frames() -> (Frames, Instant) {
        let quota = Quota::new(2, 1, Duration::from_secs(1));
        let now = Instant::now();
        (Frames::new(&Limits { frames_per_connection: quota, ..Limits::default() }, now), now)
    }

    #[test]
    fn r8_the_third_breach_within_a_minute_closes() {
        let (mut frames, start) = frames();
        let mut verdicts = Vec::new();
        for second in [0, 2, 4] {
            let now = start + Duration::from_secs(second);
            verdicts.extend((0..4).map(|_| frames.admit(now)));
        }
        let refused =
            |verdict: &Verdict| matches!(verdict, Verdict::Refuse(RetryAfter(after)) if !after.is_zero());
        assert_eq!(verdicts[..2], [Verdict::Go, Verdict::Go]);
        assert!(verdicts[2..4].iter().all(refused), "one breach, however many frames");
        assert_eq!(verdicts[4..6], [Verdict::Go, Verdict::Go]);
        assert!(verdicts[6..8].iter().all(refused));
        assert!(matches!(verdicts[10], Verdict::Close(_)));
    }

    #[test]
    fn r8_breaches_are_forgotten_after_a_minute() {
        let (mut frames, start) = frames();
        for minute in 0..9 {
            let now = start + Duration::from_secs(31 * minute);
            let last = (0..4).map(|_| frames.admit(now)).last().unwrap();
            assert!(matches!(last, Verdict::Refuse(_)), "{minute}: {last:?}");
        }
    }
}
