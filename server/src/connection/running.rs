//! A request being carried out: the handler's future, and what its answer needs. One allocation, the handler's own.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use crate::{
    handlers::{Answered, Handling},
    memory::Share,
};

/// A handler whose answer may be large, with the room that it takes first.
type Roomy = Pin<Box<dyn Future<Output = (Answered, Option<Share>)> + Send>>;

/// A request being carried out.
pub(super) struct Running {
    pub(super) id: u32,
    pub(super) began: Instant,
    /// It is the device's proof.
    pub(super) proof: bool,
    pub(super) work: Work,
}

/// What carries it out.
pub(super) enum Work {
    /// The handler.
    Plain(Handling),
    /// The handler of a request whose answer may be large.
    Large(Roomy),
}

/// A request that was carried out.
pub(super) struct Finished {
    pub(super) id: u32,
    pub(super) began: Instant,
    pub(super) proof: bool,
    pub(super) answer: Answered,
    /// Its answer may be large.
    pub(super) large: bool,
    /// Room for a large answer.
    pub(super) room: Option<Share>,
}

impl Future for Running {
    type Output = Finished;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished> {
        let (answer, large, room) = match &mut self.work {
            Work::Plain(handling) => (ready!(handling.as_mut().poll(cx)), false, None),
            Work::Large(roomy) => {
                let (answer, room) = ready!(roomy.as_mut().poll(cx));
                (answer, true, room)
            }
        };
        let Self { id, began, proof, .. } = *self;
        Poll::Ready(Finished { id, began, proof, answer, large, room })
    }
}
