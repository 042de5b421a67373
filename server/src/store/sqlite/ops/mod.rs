//! The statements, a file a concern. Each function is one operation within a transaction that somebody else begins and
//! commits. A refusal (`Conflict`, `Full` and so on) is decided before the first write.

pub(super) mod accounts;
pub(super) mod devices;
pub(super) mod invites;
pub(super) mod key_packages;
pub(super) mod mailbox;
pub(super) mod prekeys;
pub(super) mod rooms;
pub(super) mod upkeep;

use std::{
    cell::{Cell, RefCell, RefMut},
    ops::Deref,
};

use rusqlite::Connection;

use super::mailboxes::Mailboxes;
use crate::store::StoreError;

/// The writing connection within a transaction.
pub(super) struct Txn<'a> {
    conn: &'a Connection,
    deleted: &'a Cell<bool>,
    mailboxes: &'a RefCell<Mailboxes>,
}

impl<'a> Txn<'a> {
    pub(super) const fn new(
        conn: &'a Connection,
        deleted: &'a Cell<bool>,
        mailboxes: &'a RefCell<Mailboxes>,
    ) -> Self {
        Self { conn, deleted, mailboxes }
    }

    /// The rows at hand, for a write that was submitted as one of mailboxes.
    fn mailboxes(&self) -> Result<RefMut<'_, Mailboxes>, StoreError> {
        let mut mailboxes = self.mailboxes.borrow_mut();
        mailboxes.make_room(self.conn)?;
        Ok(mailboxes)
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
