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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{SqliteOptions, open};

    fn name(number: usize) -> Username {
        Username::new(format!("user{number}")).unwrap()
    }

    fn device() -> DeviceId {
        DeviceId::new(1).unwrap()
    }

    fn database(accounts: usize) -> (Connection, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let conn = open::open(&dir.path().join("relay.db"), &SqliteOptions::default()).unwrap();
        conn.execute_batch("BEGIN").unwrap();
        for number in 0..accounts {
            let account =
                "INSERT INTO accounts (name, display_name, account_key, opaque_record, admin, list_version,
                           highest_device) VALUES (?1, '', zeroblob(32), x'', 0, 1, 1)";
            conn.prepare_cached(account).unwrap().execute([name(number).as_str()]).unwrap();
            let device = "INSERT INTO devices (account, device, signing_key, last_seen_day) VALUES (?1, 1, zeroblob(32), 0)";
            conn.prepare_cached(device).unwrap().execute([conn.last_insert_rowid()]).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        (conn, dir)
    }

    #[test]
    fn one_past_the_bound_writes_everything_back_and_begins_anew() {
        let (conn, _dir) = database(MAX + 1);
        let mut rows = Mailboxes::default();
        for number in 0..=MAX {
            rows.make_room(&conn).unwrap();
            let place = rows.find(&conn, &name(number), device()).unwrap().unwrap();
            assert_eq!(rows.raise(place, 7).unwrap(), 7);
            assert!(rows.rows.len() <= MAX);
        }
        assert!(rows.rows.len() < MAX);
        rows.write_back(&conn).unwrap();
        let raised: usize = conn
            .query_row("SELECT count(*) FROM devices WHERE generation = 7", [], |row| row.get(0))
            .unwrap();
        assert_eq!(raised, MAX + 1);
    }

    #[test]
    fn what_is_forgotten_has_not_happened_and_what_is_unknown_is_asked_for() {
        let (conn, _dir) = database(1);
        let mut rows = Mailboxes::default();
        let place = rows.find(&conn, &name(0), device()).unwrap().unwrap();
        let before = rows.at(place).unwrap();
        rows.put(place, Mailbox { next_seq: 9, pending: 8, pending_bytes: 70, ..before }).unwrap();
        rows.forget();
        rows.write_back(&conn).unwrap();
        assert!(rows.at(place).is_err());
        let place = rows.find(&conn, &name(0), device()).unwrap().unwrap();
        assert_eq!(rows.at(place).unwrap(), before);
        assert_eq!(rows.find(&conn, &name(0), DeviceId::new(2).unwrap()).unwrap(), None);
        assert_eq!(rows.find(&conn, &name(1), device()).unwrap(), None);
        // A generation never goes down, and one beyond what a column can hold is kept as the greatest.
        assert_eq!(rows.raise(place, u64::MAX).unwrap(), i64::MAX as u64);
        assert_eq!(rows.raise(place, 3).unwrap(), i64::MAX as u64);
        rows.write_back(&conn).unwrap();
    }
}
