//! Datagrams that are on their way, bounded.

use std::{cmp::Reverse, collections::BinaryHeap};

use tokio::time::Instant;

/// Bytes of datagrams on their way, at most, both directions together; beyond this they are lost.
pub const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// What a waiting datagram costs beside its bytes.
const OVERHEAD: usize = 128;

/// Things of a time and a size.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    bytes: usize,
    count: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    /// Of the same time, the one that came first leaves first.
    number: u64,
    bytes: usize,
    what: T,
}

impl<T> Waiting<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), bytes: 0, count: 0 }
    }

    /// Whether there was room.
    pub(super) fn push(&mut self, at: Instant, bytes: usize, what: T) -> bool {
        let bytes = bytes + OVERHEAD;
        if self.bytes + bytes > WAITING_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.count += 1;
        self.heap.push(Reverse(Entry { at, number: self.count, bytes, what }));
        true
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next one that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.bytes -= entry.bytes;
        Some(entry.what)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn by_time_and_then_as_they_came() {
        let (mut waiting, now) = (Waiting::new(), Instant::now());
        for (ms, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            assert!(waiting.push(now + Duration::from_millis(ms), 1, what));
        }
        assert_eq!(waiting.pop_due(now), None);
        assert_eq!(waiting.next_at(), Some(now + Duration::from_millis(1)));
        let due = now + Duration::from_millis(5);
        let all: String = std::iter::from_fn(|| waiting.pop_due(due)).collect();
        assert_eq!(all, "abcd");
        assert_eq!((waiting.bytes, waiting.next_at()), (0, None));
    }

    #[test]
    fn it_is_bounded_and_room_comes_back() {
        let (mut waiting, now) = (Waiting::new(), Instant::now());
        let mut let_in = 0;
        while waiting.push(now, 1_200, ()) {
            let_in += 1;
        }
        assert_eq!(let_in, WAITING_BYTES / (1_200 + OVERHEAD));
        assert!(waiting.pop_due(now).is_some());
        assert!(waiting.push(now, 1_200, ()));
        assert!(!waiting.push(now, 1_200, ()));
    }
}
