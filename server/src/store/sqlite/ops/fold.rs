//! Folding: what is young and still waits goes into the tables, in one transaction with the mark that says so.

use rusqlite::{Connection, params};

use super::{Txn, ids, mailbox};
use crate::store::{
    StoreError,
    sqlite::{
        SqliteOptions,
        journal::Mark,
        mailboxes::{Mailbox, Mailboxes},
        rows::{cached, damaged, fixed, int, nat, optional},
        young::Young,
    },
};

/// Writes everything that is young, and that the journal is folded in up to a batch.
pub(in crate::store::sqlite) fn fold(
    txn: &Txn<'_>,
    mailboxes: &Mailboxes,
    young: &Young,
    number: u64,
    options: &SqliteOptions,
) -> Result<(), StoreError> {
    let rows = mailboxes.young_rows();
    // What goes away first: on a full disk it makes the room for what comes.
    for row in &rows {
        if row.mailbox.acknowledged > 0 {
            mailbox::delete(txn, row.mailbox.device, row.mailbox.acknowledged)?;
        }
    }
    for row in &rows {
        let Mailbox { device, generation, next_seq, pending, pending_bytes, .. } = row.mailbox;
        if let Some(part) = young.part(&row.account, row.number, 0, usize::MAX) {
            for envelope in &part.envelopes {
                mailbox::insert(txn, device, envelope)?;
            }
        }
        ids::fold(txn, row, options.id_memory_count)?;
        let sql = "UPDATE devices SET generation = ?2, next_seq = ?3, pending = ?4, pending_bytes = ?5 WHERE id = ?1";
        let values = params![device, int(generation), int(next_seq), int(pending), int(pending_bytes)];
        if cached(txn, sql)?.execute(values)? != 1 {
            return Err(damaged("a device without a row"));
        }
    }
    cached(txn, "UPDATE journal SET folded = ?1 WHERE id = 1")?.execute([int(number)])?;
    Ok(())
}

/// Which journal is this database's, and how much of it is folded in.
pub(in crate::store::sqlite) fn mark(conn: &Connection) -> Result<Mark, StoreError> {
    let sql = "SELECT salt, folded FROM journal WHERE id = 1";
    optional(&mut *cached(conn, sql)?, [], |row| {
        let none = matches!(row.get_ref(0)?, rusqlite::types::ValueRef::Null);
        let salt = if none { None } else { Some(fixed(row, 0)?) };
        Ok(Mark { salt, folded: nat(row, 1)? })
    })?
    .ok_or_else(|| damaged("the journal's mark"))
}

/// This database's journal is a new one.
pub(in crate::store::sqlite) fn adopt(conn: &Connection, salt: [u8; 16]) -> Result<(), StoreError> {
    let sql = "UPDATE journal SET salt = ?1, folded = 0 WHERE id = 1";
    if cached(conn, sql)?.execute([salt])? == 1 { Ok(()) } else { Err(damaged("the journal's mark")) }
}
