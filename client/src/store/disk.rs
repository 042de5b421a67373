//! The disk of a simulation: makes the commits of a store in memory fail, as a full or broken disk and the end of the
//! process do, or its file grow no more, which fails in the midst of a transaction. Only [`Store::in_memory_on`](super::Store::in_memory_on) has one; a store with a file never does.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use rusqlite::{Connection, ffi};

use super::{Tx, error::Result, error::StoreError};

/// SQLite's own limit.
const PAGES_MAX: u32 = 0xffff_fffe;

/// What goes wrong with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// No room is left (ENOSPC); the transaction leaves no trace.
    Full,
    /// It cannot be written (EIO); the transaction leaves no trace.
    Broken,
    /// The process ends here: nothing works any more until [`Disk::heal`]. The transaction left no trace.
    Gone,
    /// The same, but the transaction became durable before; only nobody was told.
    GoneAfterCommit,
}

/// A handle on the disk under one or more stores in memory.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    plan: Mutex<Plan>,
    struck: AtomicU64,
    /// The file may not grow.
    tight: AtomicBool,
    /// That is what its connection was told.
    tightened: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
enum Plan {
    #[default]
    Works,
    /// So many commits succeed before one fails.
    After(u32, DiskFault),
    /// No commit succeeds: no room is left.
    Full,
    Dead,
}

impl Disk {
    /// After `commits` further commits the next one fails, once; what is gone stays gone.
    pub fn fail_after(&self, commits: u32, fault: DiskFault) {
        self.set(Plan::After(commits, fault));
    }

    /// From the next transaction on the file has the pages that it has then: whatever needs one more fails, in the midst of
    /// its transaction, and SQLite undoes all of that.
    pub fn tighten(&self) {
        self.0.tight.store(true, Ordering::Relaxed);
    }

    /// From now on no commit succeeds, for want of room. Unlike [`Disk::tighten`] it does not depend on how large a value
    /// is: OpenMLS keeps the time of day with the secrets of past epochs, so that pages differ from run to run.
    pub fn fill(&self) {
        self.set(Plan::Full);
    }

    /// Whether there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.tight.load(Ordering::Relaxed) || matches!(self.plan(), Plan::Full)
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.set(Plan::Works);
        self.0.tight.store(false, Ordering::Relaxed);
    }

    /// How many faults struck so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Relaxed)
    }

    /// Whether the process ended here.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.plan(), Plan::Dead)
    }

    pub(super) fn read(&self) -> Result<()> {
        if self.is_gone() { Err(io_error()) } else { Ok(()) }
    }

    /// Before a transaction that may write.
    pub(super) fn begin(&self, connection: &Connection) -> Result<()> {
        let tight = self.0.tight.load(Ordering::Relaxed);
        if self.0.tightened.swap(tight, Ordering::Relaxed) == tight {
            return Ok(());
        }
        let pages: u32 = if tight {
            connection.pragma_query_value(None, "page_count", |row| row.get(0))?
        } else {
            PAGES_MAX
        };
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }

    pub(super) fn commit(&self, tx: Tx<'_>) -> Result<()> {
        let fault = match self.plan() {
            Plan::Works => return tx.commit(),
            Plan::Dead => return Err(io_error()),
            Plan::Full => {
                self.0.struck.fetch_add(1, Ordering::Relaxed);
                return Err(StoreError::DiskFull);
            }
            Plan::After(0, fault) => fault,
            Plan::After(left, fault) => {
                self.set(Plan::After(left - 1, fault));
                return tx.commit();
            }
        };
        self.0.struck.fetch_add(1, Ordering::Relaxed);
        self.set(Plan::Works);
        match fault {
            DiskFault::Full => return Err(StoreError::DiskFull),
            DiskFault::Broken => return Err(io_error()),
            DiskFault::Gone => {}
            DiskFault::GoneAfterCommit => tx.commit()?,
        }
        self.set(Plan::Dead);
        Err(io_error())
    }

    fn plan(&self) -> Plan {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, plan: Plan) {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }
}

fn io_error() -> StoreError {
    StoreError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), None))
}
