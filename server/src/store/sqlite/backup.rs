//! A copy of the whole store while it is in use, complete before it has its name.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::{files, open};
use crate::store::StoreError;

/// Copies what the database at `from` holds to the new file `to`: what is only in its journal is not there. The copy
/// belongs to no journal, so that whatever lies where it is restored is left alone.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Failed(format!("cannot {what} {}: {error}", to.display()))
    };
    // Takes the name, so that nobody else's file is overwritten.
    let taken = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    taken.map(drop).map_err(|error| failed("create", &error))?;
    let partial = files::with_suffix(to, ".partial");
    let copied = copy_to(from, &partial).and_then(|()| {
        fs::File::open(&partial)
            .and_then(|file| files::rename(&file, &partial, to))
            .map_err(|error| failed("write", &error))
    });
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
        let _ = fs::remove_file(to);
    }
    copied
}

fn copy_to(from: &Path, partial: &Path) -> Result<(), StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
    open::create_anew(partial).map_err(|error| failed(&error))?;
    let target = partial.to_str().ok_or_else(|| failed(&"its path is not UTF-8"))?;
    let conn = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.busy_timeout(super::thread::BUSY)?;
    conn.execute("VACUUM INTO ?1", [target])?;
    drop(conn);
    disown(partial)
}

/// A copy belongs to no journal.
pub(super) fn disown(copy: &Path) -> Result<(), StoreError> {
    let copy = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.execute_batch("PRAGMA journal_mode = OFF; UPDATE journal SET salt = NULL, folded = 0")?;
    Ok(())
}
