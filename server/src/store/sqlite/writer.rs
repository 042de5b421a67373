//! Writes wait in one bounded queue, in the order they were called, for the one thread that writes ([`Thread`]). An answer
//! is given only after what was written is durable.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    OpenError, SqliteOptions,
    job::{Job, Kind, Mail, Sql},
    ops::{Desk, Txn},
    thread::Thread,
    young::Young,
};
use crate::store::{Answer, StoreError};

#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    shared: Arc<Shared>,
    max_bytes: usize,
}

/// What the queue and the thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Bytes of the writes that wait.
    pub(super) waiting: AtomicUsize,
    /// Why the disk can no longer be trusted.
    pub(super) broken: OnceLock<String>,
}

impl Writer {
    /// Brings what stands in the journal into the database at `path`, and starts the thread.
    pub(super) fn start(
        path: &Path,
        conn: Connection,
        options: &Arc<SqliteOptions>,
        young: &Arc<Young>,
    ) -> Result<Self, OpenError> {
        let (queue, waiting) = sync_channel(options.queue_jobs.max(1));
        let shared = Arc::new(Shared::default());
        let thread = Thread::new(path, conn, waiting, (&shared, options, young))?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run())
            .map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Arc::new(Mutex::new(Some(thread))),
            shared,
            max_bytes: options.queue_bytes,
        })
    }

    /// Takes a place in the queue now; the answer comes after the commit. `bytes` is about what the write holds. `work` is
    /// called again when its transaction has to be carried out again.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        kind: Kind,
        bytes: usize,
        work: impl FnMut(&Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        self.enqueued(Box::new(Sql { kind, bytes, work, result: None, answer }), answered)
    }

    /// The same for what is decided on mailboxes at hand; the answer comes after the journal's sync. `bytes` is at least
    /// what the journal gets. On `Err` the work has changed nothing.
    pub(super) fn decide<T: Send + 'static>(
        &self,
        kind: Kind,
        bytes: usize,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        self.enqueued(Box::new(Mail { kind, bytes, work: Some(work), result: None, answer }), answered)
    }

    fn enqueued<T: Send + 'static>(
        &self,
        job: Box<dyn Job>,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Answer<T> {
        match self.enqueue(job) {
            Ok(()) => Box::pin(async { answered.await.unwrap_or(Err(StoreError::Closed)) }),
            Err(refused) => Box::pin(std::future::ready(Err(refused))),
        }
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        if let Some(why) = self.shared.broken.get() {
            return Err(StoreError::Broken(why.clone()));
        }
        let queue = lock(&self.queue);
        let queue = queue.as_ref().ok_or(StoreError::Closed)?;
        let bytes = job.bytes();
        if self.shared.waiting.load(Ordering::Relaxed) + bytes > self.max_bytes {
            return Err(StoreError::Overloaded);
        }
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        queue.try_send(job).map_err(|refused| {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
        })
    }

    /// Refuses further writes at once; the answer comes when those that wait are carried out and the log is empty.
    pub(super) fn close(&self) -> Answer<()> {
        drop(lock(&self.queue).take());
        let thread = Arc::clone(&self.thread);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || join(&thread))
                .await
                .map_err(|failed| StoreError::Failed(failed.to_string()))
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(lock(&self.queue).take());
        join(&self.thread);
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let mut thread = lock(thread);
    if let Some(thread) = thread.take()
        && thread.join().is_err()
    {
        tracing::error!("the store's writing thread panicked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
