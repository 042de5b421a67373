//! The statements, a file a concern. Each function is one operation within a transaction that somebody else begins and
//! commits. A refusal (`Conflict`, `Full` and so on) is decided before the first write.

pub(super) mod accounts;
pub(super) mod devices;
pub(super) mod invites;
pub(super) mod mailbox;
pub(super) mod prekeys;
pub(super) mod upkeep;

use std::{cell::Cell, ops::Deref};

use rusqlite::Connection;

/// The writing connection within a transaction.
pub(super) struct Txn<'a> {
    conn: &'a Connection,
    deleted: &'a Cell<bool>,
}

impl<'a> Txn<'a> {
    pub(super) const fn new(conn: &'a Connection, deleted: &'a Cell<bool>) -> Self {
        Self { conn, deleted }
    }

    /// Sealed bytes were deleted: they must soon be unrecoverable (R44).
    fn note_deletion(&self) {
        self.deleted.set(true);
    }
}

impl Deref for Txn<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn
    }
}
