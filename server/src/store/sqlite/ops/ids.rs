//! Remembered envelope ids: rows of table `accepted`, each with those of a run of places.

use rusqlite::{Connection, params};
use subrosa_protocol::EnvelopeId;

use super::Txn;
use crate::store::{
    StoreError, Timestamp,
    sqlite::{
        ids::{IdKey, Ids},
        mailboxes::{Mailbox, Row},
        rows::{cached, damaged, int, nat, optional},
    },
};

/// Bytes of an id and its time.
const ENTRY: usize = 24;
/// Ids in one row, at most.
const RUN: usize = 128;

/// When an envelope with this id was accepted by a mailbox whose index is loaded, if that is remembered.
pub(super) fn accepted_at(
    conn: &Connection,
    row: &Row,
    key: &IdKey,
    kept: u64,
    id: &EnvelopeId,
) -> Result<Option<Timestamp>, StoreError> {
    let next = row.mailbox.next_seq;
    let Some(ids) = &row.ids else { return Err(StoreError::Failed("an index is missing".to_owned())) };
    for place in ids.places(key.hash(id), next) {
        if place.saturating_add(kept) < next {
            continue;
        }
        let found = match place.checked_sub(row.old_next) {
            Some(young) => usize::try_from(young).ok().and_then(|young| row.fresh.get(young)).copied(),
            None => stored(conn, row.mailbox.device, place)?,
        };
        if let Some((found, at)) = found
            && found == *id
        {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Whether a mailbox that is not at hand has accepted an envelope with this id, as far as that is remembered.
pub(super) fn remembered(
    conn: &Connection,
    mailbox: &Mailbox,
    kept: u64,
    id: &EnvelopeId,
) -> Result<bool, StoreError> {
    let oldest = mailbox.next_seq.saturating_sub(kept);
    let sql = "SELECT first, ids FROM accepted WHERE device = ?1 AND last >= ?2";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![mailbox.device, int(oldest)])?;
    while let Some(run) = rows.next()? {
        let first = nat(run, 0)?;
        let entries = entries(run.get_ref(1)?.as_blob().map_err(|_| no_ids())?)?;
        if (first..).zip(entries).any(|(place, entry)| place >= oldest && id_of(entry) == *id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a mailbox's index, where it is not there yet.
pub(super) fn load(conn: &Connection, row: &mut Row, key: &IdKey, kept: u64) -> Result<(), StoreError> {
    if row.ids.is_some() {
        return Ok(());
    }
    let next = row.mailbox.next_seq;
    let oldest = next.saturating_sub(kept);
    let count = next.min(kept).min(1 << 20);
    let mut ids = Ids::with_room(usize::try_from(count).unwrap_or(0));
    let mut add = |place: u64, id: &EnvelopeId| {
        if place >= oldest {
            ids.insert(key.hash(id), place, next, |place| place >= oldest);
        }
    };
    let sql = "SELECT first, ids FROM accepted WHERE device = ?1 AND last >= ?2 ORDER BY first";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![row.mailbox.device, int(oldest)])?;
    while let Some(run) = rows.next()? {
        let first = nat(run, 0)?;
        for (place, entry) in (first..).zip(entries(run.get_ref(1)?.as_blob().map_err(|_| no_ids())?)?) {
            add(place, &id_of(entry));
        }
    }
    for (place, (id, _)) in (row.old_next..).zip(&row.fresh) {
        add(place, id);
    }
    row.ids = Some(ids);
    Ok(())
}

/// The id and time of a place.
fn stored(conn: &Connection, device: i64, place: u64) -> Result<Option<(EnvelopeId, Timestamp)>, StoreError> {
    let sql = "SELECT first, ids FROM accepted WHERE device = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
    let found = optional(&mut *cached(conn, sql)?, params![device, int(place)], |row| {
        let index = usize::try_from(place - nat(row, 0)?).unwrap_or(usize::MAX);
        let entries = entries(row.get_ref(1)?.as_blob().map_err(|_| no_ids())?)?;
        Ok(entries.get(index).map(|entry| (id_of(entry), time_of(entry))))
    })?;
    Ok(found.flatten())
}

/// Writes the ids of a mailbox's young places, and forgets those that are too many: whole rows of them.
pub(super) fn fold(txn: &Txn<'_>, row: &Row, kept: u64) -> Result<(), StoreError> {
    write(txn, row.mailbox.device, row.old_next, &row.fresh, kept)
}

/// The same for ids that came from a place on.
pub(super) fn write(
    txn: &Txn<'_>,
    device: i64,
    from: u64,
    fresh: &[(EnvelopeId, Timestamp)],
    kept: u64,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let (mut first, mut bytes) = (from, Vec::with_capacity(fresh.len().min(RUN) * ENTRY));
    // The last row is filled up before another is begun.
    let sql = "SELECT first, last, ids FROM accepted WHERE device = ?1 ORDER BY first DESC LIMIT 1";
    let last = optional(&mut *cached(txn, sql)?, [device], |row| {
        Ok((nat(row, 0)?, nat(row, 1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    if let Some((start, end, ids)) = last {
        if end >= from {
            return Err(damaged("remembered ids that go on after a mailbox's end"));
        }
        if end + 1 == from && ids.len() < RUN * ENTRY {
            (first, bytes) = (start, ids);
        }
    }
    for (id, at) in fresh {
        if bytes.len() >= RUN * ENTRY {
            put(txn, device, first, &bytes)?;
            first += (bytes.len() / ENTRY) as u64;
            bytes.clear();
        }
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&at.to_be_bytes());
    }
    put(txn, device, first, &bytes)?;
    let forgotten = (from + fresh.len() as u64).saturating_sub(kept);
    if forgotten > 1 {
        cached(txn, "DELETE FROM accepted WHERE device = ?1 AND last < ?2")?
            .execute(params![device, int(forgotten)])?;
    }
    Ok(())
}

/// Forgets a mailbox's oldest ids that were accepted before a time, at most `max`; answers how many.
pub(super) fn expire(txn: &Txn<'_>, device: i64, before: Timestamp, max: u64) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    while forgotten < max {
        let sql = "SELECT first, ids FROM accepted WHERE device = ?1 ORDER BY first LIMIT 1";
        let run =
            optional(&mut *cached(txn, sql)?, [device], |row| Ok((nat(row, 0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let Some((first, ids)) = run else { break };
        let room = usize::try_from(max - forgotten).unwrap_or(usize::MAX);
        let old = entries(&ids)?.iter().take(room).take_while(|entry| time_of(entry) < before).count();
        if old == 0 {
            break;
        }
        forgotten += old as u64;
        cached(txn, "DELETE FROM accepted WHERE device = ?1 AND first = ?2")?
            .execute(params![device, int(first)])?;
        match ids.get(old * ENTRY..) {
            Some(rest) if !rest.is_empty() => {
                put(txn, device, first + old as u64, rest)?;
                break;
            }
            _ => {}
        }
    }
    Ok(forgotten)
}

fn put(txn: &Txn<'_>, device: i64, first: u64, ids: &[u8]) -> Result<(), StoreError> {
    let count = (ids.len() / ENTRY) as u64;
    if count > 0 {
        let sql = "INSERT INTO accepted (device, first, last, ids) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (device, first) DO UPDATE SET last = excluded.last, ids = excluded.ids";
        cached(txn, sql)?.execute(params![device, int(first), int(first + count - 1), ids])?;
    }
    Ok(())
}

fn entries(bytes: &[u8]) -> Result<&[[u8; ENTRY]], StoreError> {
    let (entries, rest) = bytes.as_chunks::<ENTRY>();
    if rest.is_empty() { Ok(entries) } else { Err(no_ids()) }
}

fn id_of(entry: &[u8; ENTRY]) -> EnvelopeId {
    let mut id = [0; 16];
    id.iter_mut().zip(entry).for_each(|(byte, stored)| *byte = *stored);
    EnvelopeId::from_bytes(id)
}

fn time_of(entry: &[u8; ENTRY]) -> Timestamp {
    entry.last_chunk().map_or(0, |time| u64::from_be_bytes(*time))
}

fn no_ids() -> StoreError {
    damaged("remembered ids")
}
