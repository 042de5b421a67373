//! Expiry, statistics, integrity.

use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, params};

use super::{Txn, ids, invites, mailbox};
use crate::store::{
    Expired, Statistics, StoreError, Timestamp,
    sqlite::{
        SqliteOptions,
        rows::{cached, damaged, int, nat, optional, scalar},
    },
};

/// Devices that one round of expiry looks at.
const DEVICES: usize = 256;
/// Rows that one round of expiry deletes, about.
const ROWS: u64 = 1000;

pub(in crate::store::sqlite) fn expire(
    txn: &Txn<'_>,
    now: Timestamp,
    options: &SqliteOptions,
    cursor: &AtomicI64,
) -> Result<Expired, StoreError> {
    let before = |lifetime: std::time::Duration| {
        now.saturating_sub(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX))
    };
    let (envelopes_before, ids_before) = (before(options.envelope_lifetime), before(options.id_memory));
    let mut expired = Expired { invites: invites::expire(txn, now)?, ..Expired::default() };
    let devices = devices_after(txn, cursor.load(Ordering::Relaxed))?;
    let at_the_end = devices.len() < DEVICES;
    for device in devices {
        let room = ROWS.saturating_sub(expired.envelopes + expired.remembered_ids);
        if room == 0 {
            expired.more = true;
            return Ok(expired);
        }
        if let Some(up_to) = oldest(txn, device, envelopes_before, room)? {
            expired.envelopes += mailbox::delete_up_to(txn, device, up_to)?;
        }
        let room = ROWS.saturating_sub(expired.envelopes + expired.remembered_ids);
        expired.remembered_ids += ids::expire(txn, device, ids_before, room)?;
        if expired.envelopes + expired.remembered_ids >= ROWS {
            // Perhaps this one has more: the next round begins with it.
            expired.more = true;
            return Ok(expired);
        }
        cursor.store(device, Ordering::Relaxed);
    }
    expired.more = !at_the_end;
    if at_the_end {
        cursor.store(0, Ordering::Relaxed);
    }
    Ok(expired)
}

pub(in crate::store::sqlite) fn statistics(conn: &Connection) -> Result<Statistics, StoreError> {
    let one =
        |sql: &str| optional(&mut *cached(conn, sql)?, [], |row| nat(row, 0)).map(Option::unwrap_or_default);
    Ok(Statistics {
        accounts: one("SELECT count(*) FROM accounts")?,
        devices: one("SELECT count(*) FROM devices")?,
        envelopes: one("SELECT coalesce(sum(pending), 0) FROM devices")?,
        envelope_bytes: one("SELECT coalesce(sum(pending_bytes), 0) FROM devices")?,
        database_bytes: one("PRAGMA page_count")?.saturating_mul(one("PRAGMA page_size")?),
        schema_version: scalar(conn, "SELECT max(version) FROM refinery_schema_history", [])?.unwrap_or(0),
    })
}

pub(in crate::store::sqlite) fn check_integrity(conn: &Connection) -> Result<(), StoreError> {
    let verdict: String = scalar(conn, "PRAGMA integrity_check(1)", [])?.unwrap_or_default();
    if verdict != "ok" {
        return Err(StoreError::Corrupt(verdict));
    }
    let questions = [
        ("a row without its owner", "SELECT count(*) FROM pragma_foreign_key_check"),
        (
            "a mailbox whose counters are wrong",
            "SELECT count(*) FROM devices d WHERE (pending, pending_bytes) != (SELECT count(*), coalesce(sum(size), 0)
             FROM envelopes e WHERE e.device = d.id)",
        ),
        ("a mailbox that goes on after its end",
         "SELECT count(*) FROM devices d WHERE next_seq <= (SELECT max(seq) FROM envelopes e WHERE e.device = d.id)"),
        ("an envelope without its body",
         "SELECT count(*) FROM envelopes e WHERE NOT EXISTS (SELECT 1 FROM bodies b WHERE b.id = e.body)"),
        ("a body without its envelope",
         "SELECT (SELECT count(*) FROM bodies) - (SELECT count(*) FROM envelopes)"),
        ("remembered ids that go on after a mailbox's end",
         "SELECT count(*) FROM devices d WHERE next_seq <= (SELECT max(last) FROM accepted a WHERE a.device = d.id)"),
        (
            "a device without its lasting prekeys",
            "SELECT count(*) FROM devices d WHERE 2 != (SELECT count(*) FROM prekeys p WHERE p.device = d.id
             AND p.kind IN (1, 3))",
        ),
    ];
    for (what, sql) in questions {
        if scalar::<i64>(conn, sql, [])? != Some(0) {
            return Err(damaged(what));
        }
    }
    Ok(())
}

fn devices_after(txn: &Txn<'_>, cursor: i64) -> Result<Vec<i64>, StoreError> {
    let mut statement = cached(txn, "SELECT id FROM devices WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![cursor, DEVICES as i64])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        devices.push(row.get(0)?);
    }
    Ok(devices)
}

/// The end of the run of envelopes, from a mailbox's oldest on, that were accepted before a time; at most `max` of them.
fn oldest(txn: &Txn<'_>, device: i64, before: Timestamp, max: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT seq, accepted_at FROM envelopes WHERE device = ?1 ORDER BY seq LIMIT ?2";
    let mut statement = cached(txn, sql)?;
    let mut rows = statement.query(params![device, int(max)])?;
    let mut up_to = None;
    while let Some(row) = rows.next()? {
        if nat(row, 1)? >= before {
            break;
        }
        up_to = Some(nat(row, 0)?);
    }
    Ok(up_to)
}
