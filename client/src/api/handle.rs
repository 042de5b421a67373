//! One way to an engine, whether it runs in this process or another one owns the profile.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{ApiError, Event, Reply, Request};

/// What a stream of events yields.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// An event.
    Event(Box<Event>),
    /// The reader was too slow: stored events up to this `seq` were left out; fetch them.
    Gap {
        /// First `seq` left out.
        from: u64,
        /// Last `seq` left out.
        to: u64,
    },
    /// The engine has ended; nothing follows.
    End,
}

impl StreamItem {
    /// About how many bytes it takes while it waits.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.weight(),
            Self::Gap { .. } | Self::End => 0,
        }
    }
}

/// A bounded stream of events from the moment of subscribing.
#[derive(Debug)]
pub struct EventStream {
    receiver: tokio::sync::mpsc::Receiver<StreamItem>,
    /// The weight of what waits.
    waiting: Arc<AtomicUsize>,
}

impl EventStream {
    /// Wraps the receiving half of a bounded queue.
    #[must_use]
    pub fn new(receiver: tokio::sync::mpsc::Receiver<StreamItem>) -> Self {
        Self::weighed(receiver, Arc::default())
    }

    /// The same; the weight of what is taken out is taken from `waiting`.
    #[must_use]
    pub const fn weighed(
        receiver: tokio::sync::mpsc::Receiver<StreamItem>,
        waiting: Arc<AtomicUsize>,
    ) -> Self {
        Self { receiver, waiting }
    }

    /// The weight of what waits to be taken out.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn taken(&self, item: StreamItem) -> StreamItem {
        let weight = item.weight();
        // Whoever does not weigh what it puts in has put in nothing.
        let _ = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            Some(waiting.saturating_sub(weight))
        });
        item
    }

    /// The next item. Cancel safe.
    pub async fn next(&mut self) -> StreamItem {
        let item = self.receiver.recv().await.unwrap_or(StreamItem::End);
        self.taken(item)
    }

    /// The next item, if one is there already.
    pub fn try_next(&mut self) -> Option<StreamItem> {
        let item = self.receiver.try_recv().ok()?;
        Some(self.taken(item))
    }
}

/// The future of a [`Handle::call`].
pub type Call<'a> = Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send + 'a>>;
/// The future of a [`Handle::subscribe`].
pub type Subscribe<'a> = Pin<Box<dyn Future<Output = Result<EventStream, ApiError>> + Send + 'a>>;

/// Something that carries out requests: [`crate::Engine`] in the process, [`crate::attach::Attached`] over the socket.
pub trait Handle: Send + Sync {
    /// Carries out one request.
    fn call(&self, request: Request) -> Call<'_>;

    /// Subscribes to what happens from now on.
    fn subscribe(&self) -> Subscribe<'_>;
}
