//! A link of a limited rate with a limited queue in front of it.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that wait in front of a limited link, at most; what comes beyond is lost, as at a router.
pub const QUEUE_BYTES: u64 = 64 * 1024;

/// A token bucket without credit: bytes leave at the rate, one datagram after the other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// When the last datagram that was let in has left.
    free_at: Option<Instant>,
}

impl Link {
    /// When a datagram of `bytes` has left, at `rate` bits a second; `None` when the queue has no room for it.
    pub(super) fn take(&mut self, now: Instant, bytes: usize, rate: u64) -> Option<Instant> {
        let rate = rate.max(1);
        let free_at = self.free_at.filter(|at| *at > now).unwrap_or(now);
        let ahead = (free_at - now).as_secs_f64() * rate as f64 / 8.0;
        if ahead + bytes as f64 > QUEUE_BYTES as f64 {
            return None;
        }
        let left = free_at + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
        self.free_at = Some(left);
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_at_the_rate() {
        let (mut link, now) = (Link::default(), Instant::now());
        // 1,000 bytes at 1 Mbit/s are 8 ms.
        for n in 1..=50u32 {
            let left = link.take(now, 1_000, 1_000_000).unwrap();
            let off = (left - now).abs_diff(Duration::from_millis(8) * n);
            assert!(off < Duration::from_micros(1), "{off:?}");
        }
        // Time that passes empties the queue, and idle time gives no credit.
        let later = now + Duration::from_secs(10);
        assert_eq!(link.take(later, 1_000, 1_000_000).unwrap() - later, Duration::from_millis(8));
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut link, now) = (Link::default(), Instant::now());
        let let_in = (0..1_000).filter(|_| link.take(now, 1_024, 8_000).is_some()).count();
        assert_eq!(let_in as u64, QUEUE_BYTES / 1_024);
        // One has left after its second.
        assert!(link.take(now + Duration::from_millis(1_030), 1_024, 8_000).is_some());
        assert!(link.take(now + Duration::from_millis(1_030), 1_024, 8_000).is_none());
    }
}
