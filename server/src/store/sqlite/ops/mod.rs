//! The statements, a file a concern. Each function is one operation within a transaction that somebody else begins and
//! commits, or a decision about mailboxes that somebody else makes durable. A refusal (`Conflict`, `Full` and so on) is
//! decided before the first write.

pub(super) mod accounts;
pub(super) mod devices;
pub(super) mod fold;
mod ids;
pub(super) mod invites;
pub(super) mod key_packages;
pub(super) mod mailbox;
pub(super) mod prekeys;
pub(super) mod rooms;
pub(super) mod upkeep;

use std::{cell::Cell, ops::Deref};

use rusqlite::Connection;

use super::{SqliteOptions, mailboxes::Mailboxes};

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

/// Where mailboxes are decided on: the rows at hand, the batch that makes it durable, and the database to ask.
pub(super) struct Desk<'a> {
    pub(super) conn: &'a Connection,
    pub(super) mailboxes: &'a mut Mailboxes,
    pub(super) batch: &'a mut Vec<u8>,
    pub(super) options: &'a SqliteOptions,
}
