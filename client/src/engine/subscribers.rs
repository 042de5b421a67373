//! Events to whoever listens. Nobody is waited for: a slow reader loses events and is told which.

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    api::{ApiError, Event, EventStream, Kind, StreamItem},
    limits::{EVENT_QUEUE, SUBSCRIBERS},
};

struct Subscriber {
    sender: mpsc::Sender<StreamItem>,
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
        let mut subscriber = Subscriber { sender, gap: None };
        subscriber.tell(&first);
        self.all.push(subscriber);
        Ok(EventStream::new(receiver))
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
        match self.sender.try_send(StreamItem::Event(Box::new(event.clone()))) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.widen(event);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    fn fill_gap(&mut self) -> bool {
        let Some((from, to)) = self.gap else { return !self.sender.is_closed() };
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
