//! How a store fails.

/// The store could not do what was asked. For a write: nothing of it has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk, or the database has its configured size. Answer `storage_full`; reads still work (R57).
    #[error("no room to store more")]
    Full,
    /// Too many writes wait. Answer `rate_limited` with a short delay.
    #[error("too many writes are waiting")]
    Overloaded,
    /// Reading or writing failed. Answer `internal`; the operator must look at the disk.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A write could not be synced to the disk. What the disk holds is unknown until the store is opened anew, so
    /// nothing more is accepted: stop the relay, so that it starts afresh.
    #[error("the disk failed to keep a write; the store accepts nothing until the relay is restarted: {0}")]
    Broken(String),
    /// Something stored does not have the form it was stored in.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
