//! The rows of table `devices` that the writing thread has at hand.
//!
//! Every send and every acknowledgement reads and changes the rows of one or two devices: where the mailbox is, how much
//! is in it, the state generation. One thread writes the database, so it may remember them: a row is read when a device
//! is first seen and written once a transaction, before its commit, however many envelopes changed it. Any other write
//! (registration, device lists, expiry and so on) finds them written and forgotten, and so does a failure.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use subrosa_protocol::{DeviceId, Username};

use super::rows::{cached, damaged, int, nat, optional};
use crate::store::StoreError;

/// Rows at hand, at most.
const MAX: usize = 4096;

/// A device's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mailbox {
    /// The row's id.
    pub(super) device: i64,
    /// The version of its account's device list.
    pub(super) list_version: u64,
    /// The highest state generation that the device reported (R23).
    pub(super) generation: u64,
    /// The place of the next envelope.
    pub(super) next_seq: u64,
    /// Envelopes that wait.
    pub(super) pending: u64,
    /// Their sealed bytes.
    pub(super) pending_bytes: u64,
}

/// Names a row at hand, until the next [`Mailboxes::make_room`] or [`Mailboxes::forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The rows at hand.
#[derive(Debug, Default)]
pub(super) struct Mailboxes {
    places: HashMap<Username, Vec<(DeviceId, Place)>>,
    rows: Vec<Row>,
    changed: Vec<Place>,
}

#[derive(Debug)]
struct Row {
    mailbox: Mailbox,
    changed: bool,
}

impl Mailboxes {
    /// Makes room for the rows of one more write.
    pub(super) fn make_room(&mut self, conn: &Connection) -> Result<(), StoreError> {
        if self.rows.len() + 2 > MAX {
            self.write_back(conn)?;
            self.forget();
        }
        Ok(())
    }

    /// A device's place; `None` when there is no such device.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        account: &Username,
        device: DeviceId,
    ) -> Result<Option<Place>, StoreError> {
        let known = self.places.get(account).and_then(|of| of.iter().find(|(number, _)| *number == device));
        if let Some((_, place)) = known {
            return Ok(Some(*place));
        }
        let sql = "SELECT d.id, a.list_version, d.generation, d.next_seq, d.pending, d.pending_bytes
                   FROM accounts a JOIN devices d ON d.account = a.id WHERE a.name = ?1 AND d.device = ?2";
        let found = optional(&mut *cached(conn, sql)?, params![account.as_str(), device.get()], |row| {
            Ok(Mailbox {
                device: row.get(0)?,
                list_version: nat(row, 1)?,
                generation: nat(row, 2)?,
                next_seq: nat(row, 3)?,
                pending: nat(row, 4)?,
                pending_bytes: nat(row, 5)?,
            })
        })?;
        let Some(mailbox) = found else { return Ok(None) };
        let place = Place(self.rows.len());
        self.rows.push(Row { mailbox, changed: false });
        self.places.entry(account.clone()).or_default().push((device, place));
        Ok(Some(place))
    }

    /// The row at a place.
    pub(super) fn at(&self, place: Place) -> Result<Mailbox, StoreError> {
        self.rows.get(place.0).map(|row| row.mailbox).ok_or_else(lost)
    }

    /// Changes the row at a place.
    pub(super) fn put(&mut self, place: Place, mailbox: Mailbox) -> Result<(), StoreError> {
        let row = self.rows.get_mut(place.0).ok_or_else(lost)?;
        if row.mailbox != mailbox {
            row.mailbox = mailbox;
            if !std::mem::replace(&mut row.changed, true) {
                self.changed.push(place);
            }
        }
        Ok(())
    }

    /// Raises the generation at a place; answers the highest.
    pub(super) fn raise(&mut self, place: Place, generation: u64) -> Result<u64, StoreError> {
        let mailbox = self.at(place)?;
        // What the column can hold.
        let generation = mailbox.generation.max(generation.min(i64::MAX as u64));
        self.put(place, Mailbox { generation, ..mailbox })?;
        Ok(generation)
    }

    /// Writes what has changed. To be called before a commit, and before any other statement looks at the rows.
    pub(super) fn write_back(&mut self, conn: &Connection) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE devices SET generation = ?2, next_seq = ?3, pending = ?4, pending_bytes = ?5 WHERE id = ?1";
        let mut statement = cached(conn, sql)?;
        for place in std::mem::take(&mut self.changed) {
            let row = self.rows.get_mut(place.0).ok_or_else(lost)?;
            row.changed = false;
            let Mailbox { device, generation, next_seq, pending, pending_bytes, .. } = row.mailbox;
            let written = statement.execute(params![
                device,
                int(generation),
                int(next_seq),
                int(pending),
                int(pending_bytes)
            ])?;
            if written != 1 {
                return Err(damaged("a device without a row"));
            }
        }
        Ok(())
    }

    /// Forgets every row. What was not written back is as if it had not happened.
    pub(super) fn forget(&mut self) {
        self.places.clear();
        self.rows.clear();
        self.changed.clear();
    }
}

fn lost() -> StoreError {
    StoreError::Failed("a mailbox was forgotten too early".to_owned())
}
