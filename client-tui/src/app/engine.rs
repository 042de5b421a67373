//! The engine as the application sees it: calls go out, answers and events come in, and nothing of it outlives a lock.

use std::{sync::Arc, time::Duration};

use subrosa_client::{
    ApiError, Handle, Request,
    api::{EventStream, StreamItem},
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    session::Door,
    update::{Msg, Purpose, Secret},
};

/// Messages to the loop that wait at most; whoever sends more waits.
const QUEUE: usize = 256;
/// Calls in order that wait at most.
const ORDERED: usize = 1_024;
/// How long a lock waits for drafts and sends that are under way.
const FLUSH: Duration = Duration::from_secs(3);

/// What comes to the loop from outside the terminal.
pub(super) enum Incoming {
    /// A message, from the time the profile was opened for the `u64`th time.
    Msg(u64, Box<Msg>),
    /// The profile was opened.
    Opened(Arc<dyn Handle>, EventStream),
}

/// The way to the engine.
pub(super) struct Engine {
    door: Arc<dyn Door>,
    to_loop: mpsc::Sender<Incoming>,
    open: Option<Open>,
    opening: Option<JoinHandle<()>>,
    /// Counts openings, so that late answers of an earlier one are not looked at.
    epoch: u64,
    /// Calls whose answers have not come.
    pub(super) outstanding: usize,
}

struct Open {
    handle: Arc<dyn Handle>,
    tasks: JoinSet<()>,
    ordered: mpsc::Sender<(Purpose, Request)>,
    worker: JoinHandle<()>,
}

impl Engine {
    pub(super) fn new(door: Arc<dyn Door>) -> (Self, mpsc::Receiver<Incoming>) {
        let (to_loop, from_outside) = mpsc::channel(QUEUE);
        (Self { door, to_loop, open: None, opening: None, epoch: 0, outstanding: 0 }, from_outside)
    }

    /// Whether a message belongs to the profile as it is open now. Counts answers.
    pub(super) fn accepts(&mut self, epoch: u64, msg: &Msg) -> bool {
        let current = epoch == self.epoch;
        if current && matches!(msg, Msg::Reply(..)) {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        current
    }

    /// Opens the profile with a passphrase.
    pub(super) fn unlock(&mut self, Secret(passphrase): Secret) {
        let (door, to_loop, epoch) = (Arc::clone(&self.door), self.to_loop.clone(), self.epoch);
        self.opening = Some(tokio::spawn(async move {
            let opened = match door.unlock(passphrase).await {
                Ok(handle) => {
                    let events = handle.subscribe().await;
                    events.map(|events| (handle, events))
                }
                Err(error) => Err(error),
            };
            let incoming = match opened {
                Ok((handle, events)) => Incoming::Opened(handle, events),
                Err(error) => Incoming::Msg(epoch, Box::new(Msg::Unlocked(Err(error)))),
            };
            let _ = to_loop.send(incoming).await;
        }));
    }

    /// Takes a profile that is open already.
    ///
    /// # Errors
    /// When its events cannot be subscribed to.
    pub(super) async fn adopt(&mut self, handle: Arc<dyn Handle>) -> Result<(), ApiError> {
        let events = handle.subscribe().await?;
        self.opened(handle, events);
        Ok(())
    }

    /// The profile is open: its events come from now on.
    pub(super) fn opened(&mut self, handle: Arc<dyn Handle>, mut events: EventStream) {
        self.epoch += 1;
        self.outstanding = 0;
        let epoch = self.epoch;
        let mut tasks = JoinSet::new();
        let to_loop = self.to_loop.clone();
        tasks.spawn(async move {
            loop {
                let (msg, last) = match events.next().await {
                    StreamItem::Event(event) => (Msg::Event(event), false),
                    StreamItem::Gap { .. } => (Msg::Gap, false),
                    StreamItem::End => (Msg::Ended, true),
                };
                if to_loop.send(Incoming::Msg(epoch, Box::new(msg))).await.is_err() || last {
                    return;
                }
            }
        });
        let (ordered, mut queue) = mpsc::channel::<(Purpose, Request)>(ORDERED);
        let (worker_handle, to_loop) = (Arc::clone(&handle), self.to_loop.clone());
        let worker = tokio::spawn(async move {
            while let Some((purpose, request)) = queue.recv().await {
                let result = worker_handle.call(request).await;
                // After a lock nobody listens; what is queued is carried out all the same.
                let _ = to_loop.send(Incoming::Msg(epoch, Box::new(Msg::Reply(purpose, result)))).await;
            }
        });
        self.open = Some(Open { handle, tasks, ordered, worker });
    }

    /// Asks the engine. Texts, drafts and read marks keep their order; questions do not wait for each other.
    pub(super) fn call(&mut self, purpose: Purpose, request: Request) {
        let Some(open) = &mut self.open else { return };
        self.outstanding += 1;
        if matches!(purpose, Purpose::Sent { .. } | Purpose::Quiet) {
            if let Err(error) = open.ordered.try_send((purpose, request)) {
                let (mpsc::error::TrySendError::Full(call) | mpsc::error::TrySendError::Closed(call)) = error;
                let (to_loop, epoch) = (self.to_loop.clone(), self.epoch);
                let error = ApiError::internal("too many messages wait for the engine");
                open.tasks.spawn(async move {
                    let _ =
                        to_loop.send(Incoming::Msg(epoch, Box::new(Msg::Reply(call.0, Err(error))))).await;
                });
            }
            return;
        }
        let (handle, to_loop, epoch) = (Arc::clone(&open.handle), self.to_loop.clone(), self.epoch);
        open.tasks.spawn(async move {
            let result = handle.call(request).await;
            let _ = to_loop.send(Incoming::Msg(epoch, Box::new(Msg::Reply(purpose, result)))).await;
        });
        // Finished calls leave nothing behind.
        while open.tasks.try_join_next().is_some() {}
    }

    /// Closes the profile: what was queued is handed over, everything else given up, every handle dropped, the keys wiped.
    pub(super) async fn lock(&mut self, from_outside: &mut mpsc::Receiver<Incoming>) {
        self.epoch += 1;
        self.outstanding = 0;
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
        let Some(Open { handle, mut tasks, ordered, mut worker }) = self.open.take() else { return };
        drop((handle, ordered));
        tasks.shutdown().await;
        let flushing = async {
            loop {
                tokio::select! {
                    _ = &mut worker => break,
                    // Late answers are read so that nobody waits for room.
                    incoming = from_outside.recv() => drop(incoming),
                }
            }
        };
        if timeout(FLUSH, flushing).await.is_err() {
            worker.abort();
        }
        self.door.lock().await;
    }
}
