//! What can go wrong with a store.

use std::{io, path::PathBuf};

use crate::api::{ApiError, Kind};

/// Why a store did not do what it was asked. After any of them the transaction it came up in has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database key does not fit, or the file is not a store, or its pages were damaged: with an encrypted file these
    /// cannot be told apart. Restore the profile, or begin a new one.
    #[error("the store {} is damaged, or is not a store of this profile", .0.display())]
    Unreadable(PathBuf),
    /// A newer version of the program wrote the store; nothing in it was touched. Use that version.
    #[error("the store was written by a newer version (schema {found}; this version knows up to {known})")]
    NewerSchema {
        /// The store's schema.
        found: i32,
        /// The newest schema this version knows.
        known: i32,
    },
    /// A setting that keeps secrets safe or data whole could not be made (R26).
    #[error("the store refuses the setting {setting}: expected {expected}, got {got}")]
    Setting {
        /// The pragma.
        setting: &'static str,
        /// The value it must have.
        expected: &'static str,
        /// The value it has.
        got: String,
    },
    /// A row holds what no row can hold; `0` names the part. The store was damaged or made by something else.
    #[error("the store holds a damaged {0}")]
    Corrupt(&'static str),
    /// A value exceeds its bound; `0` names it. The caller asked for something that does not fit.
    #[error("{0} exceeds its limit")]
    Limit(&'static str),
    /// There is no such row; `0` names the table.
    #[error("no such {0}")]
    Missing(&'static str),
    /// No room is left on the disk. Nothing was lost; try again when there is.
    #[error("the disk is full")]
    DiskFull,
    /// The directory or the files cannot be written.
    #[error("the store cannot be written: it is read-only")]
    ReadOnly,
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An earlier change of a group failed so that SQLite undid the whole group: nothing of it was kept.
    #[error("the store failed in the middle of several changes; none of them was kept")]
    GroupUndone,
    /// Anything else SQLite says. Values never stand in it.
    #[error("the store failed: {0}")]
    Sqlite(rusqlite::Error),
    /// A migration failed; the schema is as it was.
    #[error("the store could not be brought to this version's schema: {0}")]
    Migration(String),
}

/// The result of store operations.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        // The log's index could not grow: SQLite does not say why, and it is always for want of room.
        let index =
            error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        match error.sqlite_error_code() {
            _ if index => Self::DiskFull,
            Some(Code::DiskFull) => Self::DiskFull,
            Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => Self::ReadOnly,
            Some(Code::DatabaseCorrupt) => Self::Corrupt("page"),
            _ => Self::Sqlite(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let told = Self::new(Kind::NotReady, error.to_string());
        match error {
            StoreError::Unreadable(_) | StoreError::Corrupt(_) => told.hint(
                "restore the profile's files from a copy of the whole disk, or make a new profile and log in again",
            ),
            StoreError::NewerSchema { .. } => told.hint("use the newer version of this program"),
            StoreError::DiskFull => told.hint("make room on the disk; nothing was lost"),
            StoreError::ReadOnly | StoreError::File { .. } => {
                told.hint("check the owner and the permissions of the profile's directory, and the disk")
            }
            StoreError::Limit(_) => Self { kind: Kind::Refused, ..told },
            StoreError::Missing(_) => Self { kind: Kind::NotFound, ..told },
            StoreError::GroupUndone | StoreError::Sqlite(_) => Self { kind: Kind::Internal, ..told }
                .hint("check that the disk has room and works; nothing that was stored is lost"),
            StoreError::Setting { .. } | StoreError::Migration(_) => Self { kind: Kind::Internal, ..told },
        }
    }
}
