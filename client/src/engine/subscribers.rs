//! Events to whoever listens. Nobody is waited for: a slow reader loses events and is told which.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    api::{ApiError, Event, EventStream, Kind, StreamItem},
    limits::{EVENT_QUEUE, EVENT_QUEUE_BYTES, SUBSCRIBERS},
};

struct Subscriber {
    sender: mpsc::Sender<StreamItem>,
    /// The weight of what waits for the reader.
    waiting: Arc<AtomicUsize>,
    /// First and last stored event that did not fit.
    gap: Option<(u64, u64)>,
}

/// Everybody who listens.
#[derive(Default)]
pub(super) struct Subscribers {
    all: Vec<Subscriber>,
}

impl Subscribers {
    /// Adds a listener, whose first event is `first`.
    pub(super) fn add(&mut self, first: Event) -> Result<EventStream, ApiError> {
        self.all.retain(|subscriber| !subscriber.sender.is_closed());
        if self.all.len() >= SUBSCRIBERS {
            return Err(ApiError::new(Kind::RateLimited, "too many programs listen to this profile"));
        }
        let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut subscriber = Subscriber { sender, waiting: Arc::clone(&waiting), gap: None };
        subscriber.tell(&first);
        self.all.push(subscriber);
        Ok(EventStream::weighed(receiver, waiting))
    }

    pub(super) fn tell(&mut self, event: &Event) {
        self.all.retain_mut(|subscriber| subscriber.tell(event));
    }

    /// Tells of gaps where there is room again. Whether some reader is still behind.
    pub(super) fn catch_up(&mut self) -> bool {
        self.all.retain_mut(Subscriber::fill_gap);
        self.all.iter().any(|subscriber| subscriber.gap.is_some())
    }
}

impl Subscriber {
    /// Whether the reader is still there.
    fn tell(&mut self, event: &Event) -> bool {
        if !self.fill_gap() {
            return false;
        }
        if self.gap.is_some() {
            self.widen(event);
            return true;
        }
        let weight = event.weight();
        // Weighed before it is put in: the reader may take it out at once. One event always has room.
        let before = self.waiting.fetch_add(weight, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(weight) <= EVENT_QUEUE_BYTES;
        if fits && self.sender.try_send(StreamItem::Event(Box::new(event.clone()))).is_ok() {
            return true;
        }
        self.waiting.fetch_sub(weight, Ordering::Relaxed);
        self.widen(event);
        !self.sender.is_closed()
    }

    fn fill_gap(&mut self) -> bool {
        let Some((from, to)) = self.gap else { return !self.sender.is_closed() };
        // While there is no room for what follows, the gap is wide still.
        if self.waiting.load(Ordering::Relaxed) > EVENT_QUEUE_BYTES / 2 {
            return !self.sender.is_closed();
        }
        match self.sender.try_send(StreamItem::Gap { from, to }) {
            Ok(()) => {
                self.gap = None;
                true
            }
            Err(TrySendError::Full(_)) => true,
            Err(TrySendError::Closed(_)) => false,
        }
    }

    /// Only stored events can be fetched later; others are gone.
    fn widen(&mut self, event: &Event) {
        if let Some(seq) = event.seq {
            self.gap = Some(self.gap.map_or((seq, seq), |(from, _)| (from, seq)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EventBody, time::Timestamp};

    /// As [`event`], with a text.
    fn long(seq: u64, bytes: usize) -> Event {
        let text = subrosa_protocol::SafeText::single_line(&"x".repeat(bytes));
        Event { body: EventBody::ServerNotice { text }, ..event(seq) }
    }

    #[tokio::test]
    async fn what_waits_for_slow_readers_is_bounded_in_bytes() {
        const TEXT: usize = 32 * 1024;
        let mut subscribers = Subscribers::default();
        let mut streams: Vec<_> = (0..SUBSCRIBERS).map(|_| subscribers.add(event(0)).unwrap()).collect();
        for seq in 1..=100 {
            subscribers.tell(&long(seq, TEXT));
        }
        let fit = (EVENT_QUEUE_BYTES / TEXT - 1) as u64;
        for stream in &mut streams {
            assert!(stream.waiting() <= EVENT_QUEUE_BYTES);
            for seq in 0..=fit {
                let StreamItem::Event(event) = stream.next().await else { panic!("{seq}") };
                assert_eq!(event.seq, Some(seq));
            }
        }
        // What was left out is told once there is room; then it goes on, and the room is there again.
        assert!(!subscribers.catch_up());
        for _ in 0..3 {
            subscribers.tell(&long(101, TEXT));
        }
        for stream in &mut streams {
            assert_eq!(stream.next().await, StreamItem::Gap { from: fit + 1, to: 100 });
            for _ in 0..3 {
                assert!(matches!(stream.next().await, StreamItem::Event(event) if event.seq == Some(101)));
            }
            assert_eq!(stream.waiting(), 0);
        }
        // One that alone is heavier than all of them may be is not left out for ever.
        subscribers.tell(&long(102, EVENT_QUEUE_BYTES + 1));
        assert!(matches!(streams[0].next().await, StreamItem::Event(event) if event.seq == Some(102)));
    }

    fn event(seq: u64) -> Event {
        Event { v: 1, seq: Some(seq), ts: Timestamp(0), account: "a@b".into(), body: EventBody::SyncDone {} }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_a_gap_and_holds_nobody_up() {
        let mut subscribers = Subscribers::default();
        let mut slow = subscribers.add(event(0)).unwrap();
        let last = EVENT_QUEUE as u64 + 5;
        for seq in 1..=last {
            subscribers.tell(&event(seq));
        }
        assert!(subscribers.catch_up());
        for seq in 0..EVENT_QUEUE as u64 {
            assert_eq!(slow.next().await, StreamItem::Event(Box::new(event(seq))));
        }
        assert!(!subscribers.catch_up());
        assert_eq!(slow.next().await, StreamItem::Gap { from: EVENT_QUEUE as u64, to: last });
        subscribers.tell(&event(last + 1));
        assert_eq!(slow.next().await, StreamItem::Event(Box::new(event(last + 1))));
    }

    #[test]
    fn one_listener_too_many_is_refused() {
        let mut subscribers = Subscribers::default();
        let streams: Vec<_> = (0..SUBSCRIBERS).map(|_| subscribers.add(event(0)).unwrap()).collect();
        assert!(subscribers.add(event(0)).is_err());
        drop(streams);
        assert!(subscribers.add(event(0)).is_ok());
    }
}
