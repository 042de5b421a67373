//! The connections that read: a few, each lent to one read at a time in a blocking thread.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{OpenError, SqliteOptions, open};
use crate::store::{Answer, StoreError};

#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        let count = options.readers.max(1);
        let idle = (0..count).map(|_| open::reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(count)) })
    }

    /// Runs one read in one transaction: all of its statements see the same state.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (idle, permits) = (Arc::clone(&self.idle), Arc::clone(&self.permits));
        Box::pin(async move {
            let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
            let read = move || {
                let _permit = permit;
                let conn = lock(&idle).pop().ok_or(StoreError::Closed)?;
                let lent = Lent { conn: Some(conn), idle };
                let conn = lent.conn.as_ref().ok_or(StoreError::Closed)?;
                let snapshot = conn.unchecked_transaction()?;
                let result = work(&snapshot);
                snapshot.finish()?;
                result
            };
            tokio::task::spawn_blocking(read)
                .await
                .unwrap_or_else(|failed| Err(StoreError::Failed(failed.to_string())))
        })
    }

    /// Later reads are answered with [`StoreError::Closed`]; those under way end.
    pub(super) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

/// A connection on loan; it goes back also when the read panics.
struct Lent {
    conn: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            lock(&self.idle).push(conn);
        }
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
