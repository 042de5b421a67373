//! The writing thread and its group commit.
//!
//! Writes wait in one bounded queue, in the order they were called. The thread takes what waits, up to a bound, and
//! carries it out in one transaction; while that is being synced the next ones gather. An answer is given only after the
//! commit; when the commit fails, every write of the transaction fails.
//!
//! A write that fails does not disturb the others. That is rare (refusals are no failures) and savepoints are dear, for
//! SQLite copies every page that changes after one: so the writes of a transaction go without. When one fails, everything
//! is rolled back and carried out again from the beginning, this time each in a savepoint of its own.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::{SqliteOptions, mailboxes::Mailboxes, ops::Txn, rows::cached};
use crate::store::{Answer, StoreError};

/// How long a write waits for another process that locks the database.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long scrubbing waits for readers at a time; writes wait behind it.
const SCRUB_BUSY: Duration = Duration::from_millis(200);
/// After so long scrubbing is tried again when a reader was in the way.
const SCRUB_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    shared: Arc<Shared>,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of the writes that wait.
    waiting: AtomicUsize,
    /// Why the disk can no longer be trusted.
    broken: OnceLock<String>,
}

impl Writer {
    pub(super) fn start(conn: Connection, options: &Arc<SqliteOptions>) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel(options.queue_jobs.max(1));
        let shared = Arc::new(Shared::default());
        let thread = Thread {
            conn,
            queue: waiting,
            shared: Arc::clone(&shared),
            options: Arc::clone(options),
            mailboxes: RefCell::default(),
            // The log of a relay that was killed may hold what was deleted: look at once.
            scrub_due: Some(Instant::now()),
        };
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || thread.run())?;
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
        touches: Touches,
        bytes: usize,
        work: impl FnMut(&Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        let job = Typed { touches, bytes, work, result: None, answer };
        match self.enqueue(Box::new(job)) {
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

/// What a write reads and changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touches {
    /// Mailboxes, through the rows at hand.
    Mailboxes,
    /// Whatever it likes: it finds no rows at hand.
    Anything,
}

/// One write that waits.
trait Job: Send {
    /// About the bytes it holds.
    fn bytes(&self) -> usize;
    /// What it reads and changes.
    fn touches(&self) -> Touches;
    /// Carries it out, perhaps not for the first time. On `Err` what it did is rolled back.
    fn run(&mut self, txn: &Txn<'_>) -> Result<(), StoreError>;
    /// What it did was rolled back after all.
    fn fail(&mut self, error: StoreError);
    /// Answers it, knowing what became of the transaction.
    fn settle(self: Box<Self>, committed: &Result<(), StoreError>);
}

struct Typed<T, F> {
    touches: Touches,
    bytes: usize,
    work: F,
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Txn<'_>) -> Result<T, StoreError> + Send> Job for Typed<T, F> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn touches(&self) -> Touches {
        self.touches
    }

    fn run(&mut self, txn: &Txn<'_>) -> Result<(), StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(txn)))
            .unwrap_or_else(|_| Err(StoreError::Failed("a write panicked".into())));
        let carried_out = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        carried_out
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn settle(self: Box<Self>, committed: &Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error.clone()),
            (None, Ok(())) => Err(StoreError::Failed("a write was left out".into())),
        };
        // Nobody waits for the answer: it is no less durable.
        drop(self.answer.send(result));
    }
}

struct Thread {
    conn: Connection,
    queue: Receiver<Box<dyn Job>>,
    shared: Arc<Shared>,
    options: Arc<SqliteOptions>,
    mailboxes: RefCell<Mailboxes>,
    /// When deleted bytes are to be made unrecoverable; `None` while there are none.
    scrub_due: Option<Instant>,
}

impl Thread {
    fn run(mut self) {
        loop {
            let next = match self.scrub_due {
                None => self.queue.recv().map_err(|RecvError| RecvTimeoutError::Disconnected),
                Some(due) => self.queue.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(first) => self.carry_out(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.scrub_due.is_some_and(|due| due <= Instant::now()) {
                self.scrub();
            }
        }
        self.scrub();
    }

    /// One transaction of what waits, and its answers.
    fn carry_out(&mut self, first: Box<dyn Job>) {
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < self.options.batch_jobs
            && bytes < self.options.batch_bytes
            && let Ok(job) = self.queue.try_recv()
        {
            bytes += job.bytes();
            batch.push(job);
        }
        let deleted = Cell::new(false);
        let committed = self.transaction(&mut batch, &deleted);
        if deleted.get() && self.scrub_due.is_none() {
            self.scrub_due = Some(Instant::now() + self.options.scrub_after);
        }
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        for job in batch {
            job.settle(&committed);
        }
    }

    fn transaction(&self, batch: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> Result<(), StoreError> {
        if let Some(why) = self.shared.broken.get() {
            return Err(StoreError::Broken(why.clone()));
        }
        let committed = self.attempt(|| match self.together(batch, deleted) {
            Ok(true) => self.commit().map(|()| true),
            other => other,
        })?;
        if !committed {
            self.attempt(|| self.one_by_one(batch, deleted).and_then(|()| self.commit()).map(|()| true))?;
        }
        Ok(())
    }

    /// Begins a transaction and rolls back what `work` does not commit; `work` tells whether it did.
    fn attempt(&self, work: impl FnOnce() -> Result<bool, StoreError>) -> Result<bool, StoreError> {
        self.step("BEGIN IMMEDIATE")?;
        let result = work();
        if result != Ok(true) {
            // What stands in the rows at hand has not happened.
            self.mailboxes.borrow_mut().forget();
        }
        if !self.conn.is_autocommit() {
            self.step("ROLLBACK")?;
        }
        result
    }

    /// All of them without savepoints; `false` when one failed.
    fn together(&self, batch: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> Result<bool, StoreError> {
        let txn = Txn::new(&self.conn, deleted, &self.mailboxes);
        for job in batch {
            if self.clear_for(job.touches()).is_err() || job.run(&txn).is_err() {
                return Ok(false);
            }
        }
        Ok(self.mailboxes.borrow_mut().write_back(&self.conn).is_ok())
    }

    /// Each in a savepoint of its own.
    fn one_by_one(&self, batch: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> Result<(), StoreError> {
        let txn = Txn::new(&self.conn, deleted, &self.mailboxes);
        for job in batch {
            self.clear_for(job.touches())?;
            self.step("SAVEPOINT job")?;
            let carried_out = job.run(&txn).and_then(|()| self.mailboxes.borrow_mut().write_back(&self.conn));
            if self.conn.is_autocommit() {
                // A failure so grave that SQLite has rolled the whole transaction back.
                return Err(carried_out.err().unwrap_or_else(|| StoreError::Failed("rolled back".into())));
            }
            if let Err(error) = carried_out {
                job.fail(error);
                self.mailboxes.borrow_mut().forget();
                self.step("ROLLBACK TO job")?;
            }
            self.step("RELEASE job")?;
        }
        Ok(())
    }

    /// Whoever does not go through the rows at hand finds them written, and changes what they were read from.
    fn clear_for(&self, touches: Touches) -> Result<(), StoreError> {
        if touches == Touches::Anything {
            let mut mailboxes = self.mailboxes.borrow_mut();
            mailboxes.write_back(&self.conn)?;
            mailboxes.forget();
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        let Err(error) = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) else {
            return Ok(());
        };
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            // After a failed sync the kernel may forget the pages and call the next sync a success: what is on the
            // disk is known again only when the log is read anew.
            let why = self.shared.broken.get_or_init(|| error.to_string());
            tracing::error!(error = %why, "the disk did not keep a write; the store accepts nothing more");
            return Err(StoreError::Broken(why.clone()));
        }
        Err(error.into())
    }

    fn step(&self, sql: &str) -> Result<(), StoreError> {
        cached(&self.conn, sql)?.execute([])?;
        Ok(())
    }

    /// Copies the zeroed pages into the database and empties the log, so that what was deleted stands nowhere (R44).
    fn scrub(&mut self) {
        self.scrub_due = match self.checkpoint() {
            Ok(true) => None,
            Ok(false) => Some(Instant::now() + SCRUB_RETRY),
            Err(error) => {
                tracing::warn!(%error, "the log of the store could not be emptied; it is tried again");
                Some(Instant::now() + self.options.scrub_after.max(SCRUB_RETRY))
            }
        };
    }

    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.conn.busy_timeout(SCRUB_BUSY)?;
        let busy = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.conn.busy_timeout(BUSY)?;
        busy.map(|busy| busy == 0)
    }
}
