//! One way to an engine, whether it runs in this process or another one owns the profile.

use std::{future::Future, pin::Pin};

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

/// A bounded stream of events from the moment of subscribing.
#[derive(Debug)]
pub struct EventStream {
    receiver: tokio::sync::mpsc::Receiver<StreamItem>,
}

impl EventStream {
    /// Wraps the receiving half of a bounded queue.
    #[must_use]
    pub const fn new(receiver: tokio::sync::mpsc::Receiver<StreamItem>) -> Self {
        Self { receiver }
    }

    /// The next item. Cancel safe.
    pub async fn next(&mut self) -> StreamItem {
        self.receiver.recv().await.unwrap_or(StreamItem::End)
    }

    /// The next item, if one is there already.
    pub fn try_next(&mut self) -> Option<StreamItem> {
        self.receiver.try_recv().ok()
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
