//! The thread that writes, its group commit and its journal.
//!
//! It takes what waits, up to a bound: transactions first, committed together, then what is decided on mailboxes, written
//! to the journal as one batch with one sync. Both are answered when they are durable. The order in which they were called
//! is kept where anybody could tell (see [`Kind`]). Every few seconds, and when much is young, what still waits in young
//! mailboxes is folded into the database and the journal begins anew.
//!
//! A transaction's part that fails does not disturb the others. That is rare (refusals are no failures) and savepoints are
//! dear, for SQLite copies every page that changes after one: so the parts go without. When one fails, everything is rolled
//! back and carried out again from the beginning, this time each in a savepoint of its own.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvError, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};

use super::{
    OpenError, SqliteOptions,
    ids::IdKey,
    job::{Job, Kind},
    journal::{
        Journal, JournalError,
        record::{RECORD, Record, records},
    },
    mailboxes::Mailboxes,
    ops::{self, Desk, Txn},
    rows::{cached, damaged},
    writer::Shared,
    young::Young,
};
use crate::store::StoreError;

/// How long a write waits for another process that locks the database.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long scrubbing waits for readers at a time; writes wait behind it.
const SCRUB_BUSY: Duration = Duration::from_millis(200);
/// After so long scrubbing is tried again when a reader was in the way.
const SCRUB_RETRY: Duration = Duration::from_secs(1);
/// After so long folding is tried again when there was no room.
const FOLD_RETRY: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    conn: Connection,
    queue: Receiver<Box<dyn Job>>,
    /// Taken from the queue, and not to be carried out with those before it.
    held: Option<Box<dyn Job>>,
    shared: Arc<Shared>,
    options: Arc<SqliteOptions>,
    mailboxes: Mailboxes,
    young: Arc<Young>,
    journal: Journal,
    /// The batch that is being made.
    batch: Vec<u8>,
    /// When deleted bytes are to be made unrecoverable; `None` while there are none.
    scrub_due: Option<Instant>,
    /// When what is young is folded in; `None` while nothing is.
    fold_due: Option<Instant>,
    /// Why it could not be, the last time.
    unfolded: Option<StoreError>,
}

impl Thread {
    /// Brings the database at `path` and its journal together: what stands in the journal is young, and folded in first.
    pub(super) fn new(
        path: &Path,
        conn: Connection,
        queue: Receiver<Box<dyn Job>>,
        (shared, options, young): (&Arc<Shared>, &Arc<SqliteOptions>, &Arc<Young>),
    ) -> Result<Self, OpenError> {
        let failed = |error: StoreError| OpenError::Failed { path: path.to_owned(), why: error.to_string() };
        let io = |source| OpenError::NotWritable { path: path.to_owned(), source };
        let mark = ops::fold::mark(&conn).map_err(failed)?;
        let sync = !options.sync_at_checkpoints_only;
        let (journal, batches) =
            Journal::open(path, mark, options.journal_bytes, sync).map_err(|error| match error {
                JournalError::Io(source) => io(source),
                JournalError::Damaged(why) => OpenError::Journal { path: path.to_owned(), why },
            })?;
        if mark.salt != Some(journal.salt()) {
            ops::fold::adopt(&conn, journal.salt()).map_err(failed)?;
        }
        let mut thread = Self {
            conn,
            queue,
            held: None,
            shared: Arc::clone(shared),
            options: Arc::clone(options),
            mailboxes: Mailboxes::new(IdKey::random().map_err(io)?, options.id_memory_count),
            young: Arc::clone(young),
            journal,
            batch: Vec::new(),
            // The log of a relay that was killed may hold what was deleted: look at once.
            scrub_due: Some(Instant::now()),
            fold_due: None,
            unfolded: None,
        };
        for batch in batches {
            thread
                .replay(&batch)
                .map_err(|error| OpenError::Journal { path: path.to_owned(), why: error.to_string() })?;
        }
        if thread.mailboxes.is_young() {
            thread.fold_due = Some(Instant::now());
        }
        Ok(thread)
    }

    /// Folds what stands in the journal into the database at `path`, whose schema is to be changed, and answers both.
    pub(super) fn settle(
        path: &Path,
        conn: Connection,
        options: &Arc<SqliteOptions>,
    ) -> Result<Connection, OpenError> {
        let (_, none) = sync_channel(1);
        let mut thread = Self::new(path, conn, none, (&Arc::default(), options, &Arc::default()))?;
        thread
            .fold()
            .map_err(|error| OpenError::Journal { path: path.to_owned(), why: error.to_string() })?;
        Ok(thread.conn)
    }

    /// What a batch says happens once more.
    fn replay(&mut self, batch: &[u8]) -> Result<(), StoreError> {
        let records = records(batch).ok_or_else(|| damaged("a batch is not made of records"))?;
        self.mailboxes.begin();
        for record in records {
            let device = match &record {
                Record::Appended { device, .. }
                | Record::Acknowledged { device, .. }
                | Record::Raised { device, .. } => *device,
            };
            let place = self
                .mailboxes
                .find_row(&self.conn, device)?
                .ok_or_else(|| damaged("it names a device that the database does not have"))?;
            match record {
                Record::Appended { envelopes, .. } => {
                    for envelope in envelopes {
                        if self.mailboxes.at(place)?.mailbox.next_seq != envelope.seq {
                            return Err(damaged("an envelope does not follow the one before it"));
                        }
                        self.mailboxes.push(place, envelope)?;
                    }
                }
                Record::Acknowledged { up_to, generation, .. } => {
                    ops::mailbox::gone(&self.conn, &mut self.mailboxes, place, up_to)?;
                    self.mailboxes.raise(place, generation)?;
                }
                Record::Raised { generation, .. } => {
                    self.mailboxes.raise(place, generation)?;
                }
            }
        }
        self.mailboxes.publish(&self.young);
        Ok(())
    }

    pub(super) fn run(mut self) {
        self.fold_if_due();
        loop {
            let due = [self.scrub_due, self.fold_due].into_iter().flatten().min();
            let next = match (self.held.take(), due) {
                (Some(job), _) => Ok(job),
                (None, None) => self.queue.recv().map_err(|RecvError| RecvTimeoutError::Disconnected),
                (None, Some(due)) => self.queue.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(first) => self.carry_out(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.fold_if_due();
            if self.scrub_due.is_some_and(|due| due <= Instant::now()) {
                self.scrub();
            }
        }
        if let Err(error) = self.fold() {
            tracing::error!(%error, "the last messages stay in the mailbox journal until the next start");
        }
        self.scrub();
    }

    /// One transaction and one batch of what waits, and their answers.
    fn carry_out(&mut self, first: Box<dyn Job>) {
        let most = self.options.batch_bytes.min(self.options.journal_bytes / 4);
        let (mut transaction, mut mail) = (Vec::new(), Vec::new());
        let (mut bytes, mut next) = (0, Some(first));
        // Nobody waits for an acknowledgement: alone, it lets a little time pass, to share a sync with what comes then.
        let (mut patient, mut until) = (!self.options.acknowledge_after.is_zero(), None);
        while let Some(job) = next.take() {
            let (kind, count) = (job.kind(), transaction.len() + mail.len());
            let waits_for_mail = !mail.is_empty() && !kind.is_mail() && kind != Kind::Apart;
            if count > 0 && (waits_for_mail || bytes + job.bytes() > most) {
                self.held = Some(job);
                break;
            }
            bytes += job.bytes();
            patient &= kind == Kind::Acknowledge;
            if kind.is_mail() {
                mail.push(job)
            } else {
                transaction.push(job)
            }
            if count + 1 < self.options.batch_jobs {
                next = self.queue.try_recv().ok();
            }
            if next.is_none() && patient {
                let until = *until.get_or_insert_with(|| Instant::now() + self.options.acknowledge_after);
                next = self.queue.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
            }
        }
        self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        if !transaction.is_empty() {
            self.transact(transaction);
        }
        if !mail.is_empty() {
            self.deliver(mail);
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.shared.broken.get().map_or(Ok(()), |why| Err(StoreError::Broken(why.clone())))
    }

    // --- mailboxes ----------------------------------------------------------------------------------------------

    /// One batch, and its answers.
    fn deliver(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let mut durable = self.make_room(&jobs);
        if durable.is_ok() {
            if let Some(error) = &self.unfolded {
                // What cannot be folded in must not become more.
                jobs.iter_mut()
                    .filter(|job| job.kind() == Kind::Send)
                    .for_each(|job| job.fail(error.clone()));
            }
            let full = self.unfolded.is_some();
            self.mailboxes.begin();
            Journal::begin(&mut self.batch);
            let mut desk = Desk {
                conn: &self.conn,
                mailboxes: &mut self.mailboxes,
                batch: &mut self.batch,
                options: &self.options,
            };
            let decided = catch_unwind(AssertUnwindSafe(|| {
                jobs.iter_mut()
                    .filter(|job| !full || job.kind() != Kind::Send)
                    .for_each(|job| job.decide(&mut desk));
            }));
            durable = match decided {
                Ok(()) => self.write_batch(),
                Err(_) => Err(StoreError::Failed("a write panicked".into())),
            };
            match &durable {
                Ok(()) => self.mailboxes.publish(&self.young),
                Err(_) => self.mailboxes.undo(),
            }
        }
        let acknowledged = jobs.iter().any(|job| job.kind() == Kind::Acknowledge);
        for job in jobs {
            job.settle(&durable);
        }
        self.notice_young();
        let (count, bytes) = self.mailboxes.waiting();
        let much = count >= self.options.young_envelopes
            || bytes >= self.options.young_bytes
            || self.journal.is_nearly_full();
        if self.unfolded.is_some() && acknowledged || self.unfolded.is_none() && much {
            self.fold_due = self.fold_due.map(|_| Instant::now());
        }
    }

    /// Makes room in the journal and among the rows at hand.
    fn make_room(&mut self, jobs: &[Box<dyn Job>]) -> Result<(), StoreError> {
        self.check()?;
        let bytes = jobs.iter().map(|job| job.bytes() + RECORD).sum();
        if !self.journal.could_hold(bytes) {
            return Err(StoreError::Failed("a write is larger than the journal".into()));
        }
        let rows = self.mailboxes.len() + 2 * jobs.len() <= self.options.mailboxes_at_hand;
        if !rows || !self.journal.has_room(bytes) {
            self.fold()?;
        }
        if !rows {
            self.mailboxes.forget();
        }
        Ok(())
    }

    /// Makes what was decided durable.
    fn write_batch(&mut self) -> Result<(), StoreError> {
        if !Journal::has_records(&self.batch) {
            return Ok(());
        }
        match self.journal.write(&mut self.batch) {
            Ok(()) => {}
            // Nothing was synced: the next batch goes to the same place.
            Err(error) if error.kind() == ErrorKind::StorageFull => return Err(StoreError::Full),
            Err(error) => return Err(self.broken(&error)),
        }
        self.journal.sync().map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &io::Error) -> StoreError {
        break_for(&self.shared, error.to_string())
    }

    /// Sees to it that what is young is folded in in time.
    fn notice_young(&mut self) {
        if self.mailboxes.is_young() && self.fold_due.is_none() {
            self.fold_due = Some(Instant::now() + self.options.fold_after);
        }
    }

    fn fold_if_due(&mut self) {
        if self.fold_due.is_some_and(|due| due <= Instant::now())
            && let Err(error) = self.fold()
        {
            tracing::warn!(%error, "the mailbox journal could not be folded in; it is tried again");
        }
    }

    /// Brings everything young into the database, and empties the journal.
    fn fold(&mut self) -> Result<(), StoreError> {
        self.check()?;
        if !self.mailboxes.is_young() {
            self.fold_due = None;
            return Ok(());
        }
        let deleted = Cell::new(false);
        let number = self.journal.number();
        let written = attempt(&self.conn, || {
            let txn = Txn::new(&self.conn, &deleted);
            ops::fold::fold(&txn, &self.mailboxes, &self.young, number, &self.options)?;
            self.commit().map(|()| true)
        });
        if let Err(error) = written {
            self.fold_due = Some(Instant::now() + FOLD_RETRY.max(self.options.fold_after));
            self.unfolded = Some(error.clone());
            return Err(error);
        }
        self.notice_deletion(&deleted);
        self.mailboxes.folded(self.options.index_bytes);
        self.young.hold().clear();
        (self.fold_due, self.unfolded) = (None, None);
        self.journal.clear().map_err(|error| self.broken(&error))
    }

    // --- transactions -------------------------------------------------------------------------------------------

    /// One transaction, and its answers.
    fn transact(&mut self, jobs: Vec<Box<dyn Job>>) {
        let mut jobs = jobs;
        let mut changes_rows = false;
        if jobs.iter().any(|job| job.kind().needs_fold()) {
            if let Err(error) = self.fold() {
                let (refused, rest): (Vec<_>, Vec<_>) =
                    jobs.into_iter().partition(|job| job.kind().needs_fold());
                for mut job in refused {
                    job.fail(error.clone());
                    job.settle(&Ok(()));
                }
                jobs = rest;
            }
            changes_rows = jobs.iter().any(|job| job.kind() == Kind::Whole);
        }
        let deleted = Cell::new(false);
        let committed = self.transaction(&mut jobs, &deleted);
        self.notice_deletion(&deleted);
        if changes_rows {
            self.mailboxes.forget();
        }
        for job in jobs {
            job.settle(&committed);
        }
    }

    fn notice_deletion(&mut self, deleted: &Cell<bool>) {
        if deleted.get() && self.scrub_due.is_none() {
            self.scrub_due = Some(Instant::now() + self.options.scrub_after);
        }
    }

    fn transaction(&self, jobs: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> Result<(), StoreError> {
        self.check()?;
        let committed = attempt(&self.conn, || match self.together(jobs, deleted) {
            true => self.commit().map(|()| true),
            false => Ok(false),
        })?;
        if !committed {
            attempt(&self.conn, || {
                self.one_by_one(jobs, deleted).and_then(|()| self.commit()).map(|()| true)
            })?;
        }
        Ok(())
    }

    /// All of them without savepoints; `false` when one failed.
    fn together(&self, jobs: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> bool {
        let txn = Txn::new(&self.conn, deleted);
        jobs.iter_mut().all(|job| job.run(&txn).is_ok())
    }

    /// Each in a savepoint of its own.
    fn one_by_one(&self, jobs: &mut [Box<dyn Job>], deleted: &Cell<bool>) -> Result<(), StoreError> {
        let txn = Txn::new(&self.conn, deleted);
        for job in jobs {
            step(&self.conn, "SAVEPOINT job")?;
            let carried_out = job.run(&txn);
            if self.conn.is_autocommit() {
                // A failure so grave that SQLite has rolled the whole transaction back.
                return Err(carried_out.err().unwrap_or_else(|| StoreError::Failed("rolled back".into())));
            }
            if let Err(error) = carried_out {
                job.fail(error);
                step(&self.conn, "ROLLBACK TO job")?;
            }
            step(&self.conn, "RELEASE job")?;
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        let Err(error) = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) else {
            return Ok(());
        };
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            return Err(break_for(&self.shared, error.to_string()));
        }
        Err(error.into())
    }

    // --- erasure ------------------------------------------------------------------------------------------------

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

/// After a failed sync the kernel may forget the pages and call the next sync a success: what is on the disk is known again
/// only when it is read anew.
fn break_for(shared: &Shared, why: String) -> StoreError {
    let why = shared.broken.get_or_init(|| why);
    tracing::error!(error = %why, "the disk did not keep a write; the store accepts nothing more");
    StoreError::Broken(why.clone())
}

/// Begins a transaction and rolls back what `work` does not commit; `work` tells whether it did.
fn attempt(conn: &Connection, work: impl FnOnce() -> Result<bool, StoreError>) -> Result<bool, StoreError> {
    step(conn, "BEGIN IMMEDIATE")?;
    let result = work();
    if !conn.is_autocommit() {
        step(conn, "ROLLBACK")?;
    }
    result
}

fn step(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    cached(conn, sql)?.execute([])?;
    Ok(())
}
