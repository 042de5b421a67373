//! Envelopes: append, fetch, acknowledge, delete.

use std::collections::HashSet;

use rusqlite::{Connection, params};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, EnvelopeId, Username,
    frames::{MailboxEnvelope, OutgoingEnvelope, StaleDeviceList},
};

use super::{Txn, devices};
use crate::store::{
    Acknowledged, Appended, Delivery, Page, StoreError, Timestamp,
    sqlite::{
        SqliteOptions, body,
        mailboxes::{Mailbox, Mailboxes, Place},
        rows::{cached, damaged, fixed, int, nat, optional},
    },
};

pub(in crate::store::sqlite) fn append(
    txn: &Txn<'_>,
    delivery: &Delivery,
    options: &SqliteOptions,
) -> Result<Appended, StoreError> {
    let mut rows = txn.mailboxes()?;
    let Some(sender) = rows.find(txn, &delivery.sender.account, delivery.sender.device)? else {
        return Ok(Appended::SenderGone);
    };
    let Some(place) = rows.find(txn, &delivery.to, delivery.device)? else { return missing(txn, delivery) };
    let mut mailbox = rows.at(place)?;
    if mailbox.list_version != delivery.list_version {
        return missing(txn, delivery);
    }
    if !fits(txn, &mailbox, &delivery.envelopes, options)? {
        return Ok(Appended::Full);
    }
    let mut fresh = Vec::with_capacity(delivery.envelopes.len());
    let mut first_accepted = None;
    for envelope in &delivery.envelopes {
        if remember(txn, &mailbox, envelope, delivery.now)? {
            fresh.push(push(txn, &mut mailbox, envelope, delivery.now)?);
        } else if first_accepted.is_none() {
            first_accepted = accepted_at(txn, &mailbox, envelope)?;
        }
    }
    if !fresh.is_empty() {
        forget_old_ids(txn, &mailbox, options)?;
        rows.put(place, mailbox)?;
    }
    rows.raise(sender, delivery.sender.generation)?;
    let accepted_at = if fresh.is_empty() { first_accepted.unwrap_or(delivery.now) } else { delivery.now };
    Ok(Appended::Accepted { accepted_at, fresh })
}

pub(in crate::store::sqlite) fn fetch(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
    after: u64,
    max: usize,
    max_bytes: usize,
) -> Result<Option<Page>, StoreError> {
    let Some(device) = devices::id(conn, account, device)? else { return Ok(None) };
    let sql =
        "SELECT e.seq, e.id, e.accepted_at, e.size, b.body FROM envelopes e JOIN bodies b ON b.id = e.body
               WHERE e.device = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![device, int(after), int(max as u64).saturating_add(1)])?;
    let mut envelopes = Vec::new();
    let mut bytes = 0u64;
    while let Some(row) = rows.next()? {
        bytes += nat(row, 3)?;
        if envelopes.len() == max || (!envelopes.is_empty() && bytes > max_bytes as u64) {
            return Ok(Some(Page { envelopes, more: true }));
        }
        let body = row.get_ref(4)?.as_blob().map_err(|_| damaged("an envelope's body"))?;
        envelopes.push(MailboxEnvelope {
            seq: nat(row, 0)?,
            id: EnvelopeId::from_bytes(fixed(row, 1)?),
            accepted_at: nat(row, 2)?,
            sealed: BoundedBytes::new(body::sealed(body)?).map_err(|_| damaged("an envelope's body"))?,
        });
    }
    Ok(Some(Page { envelopes, more: false }))
}

pub(in crate::store::sqlite) fn acknowledge(
    txn: &Txn<'_>,
    account: &Username,
    device: DeviceId,
    up_to: u64,
    generation: u64,
) -> Result<Option<Acknowledged>, StoreError> {
    let mut rows = txn.mailboxes()?;
    let Some(place) = rows.find(txn, account, device)? else { return Ok(None) };
    let mut mailbox = rows.at(place)?;
    let (deleted, bytes) = delete(txn, mailbox.device, up_to)?;
    mailbox.pending = mailbox.pending.checked_sub(deleted).ok_or_else(|| damaged("a mailbox's counters"))?;
    mailbox.pending_bytes =
        mailbox.pending_bytes.checked_sub(bytes).ok_or_else(|| damaged("a mailbox's counters"))?;
    rows.put(place, mailbox)?;
    Ok(Some(Acknowledged { deleted, generation: rows.raise(place, generation)? }))
}

/// Deletes the envelopes of a device row up to and including `up_to`; answers how many. For writes that have no rows at
/// hand.
pub(super) fn delete_up_to(txn: &Txn<'_>, device: i64, up_to: u64) -> Result<u64, StoreError> {
    let (count, bytes) = delete(txn, device, up_to)?;
    if count > 0 {
        let sql =
            "UPDATE devices SET pending = pending - ?2, pending_bytes = pending_bytes - ?3 WHERE id = ?1";
        cached(txn, sql)?.execute(params![device, int(count), int(bytes)])?;
    }
    Ok(count)
}

/// Deletes envelopes and their bodies, not from the counters; answers how many, and their sealed bytes.
fn delete(txn: &Txn<'_>, device: i64, up_to: u64) -> Result<(u64, u64), StoreError> {
    let up_to = int(up_to);
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM envelopes WHERE device = ?1 AND seq <= ?2";
    let (count, bytes) =
        optional(&mut *cached(txn, sql)?, params![device, up_to], |row| Ok((nat(row, 0)?, nat(row, 1)?)))?
            .unwrap_or_default();
    if count > 0 {
        let sql =
            "DELETE FROM bodies WHERE id IN (SELECT body FROM envelopes WHERE device = ?1 AND seq <= ?2)";
        cached(txn, sql)?.execute(params![device, up_to])?;
        cached(txn, "DELETE FROM envelopes WHERE device = ?1 AND seq <= ?2")?
            .execute(params![device, up_to])?;
        txn.note_deletion();
    }
    Ok((count, bytes))
}

/// An envelope that comes with something else, and its recipient's row at hand.
pub(super) struct Deposit<'a> {
    place: Place,
    envelope: &'a OutgoingEnvelope,
}

/// Why an envelope cannot come with something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undeliverable {
    /// No such device.
    Missing,
    /// Its mailbox is full.
    Full,
}

/// Whether an envelope can be put into a device's mailbox. Nothing is written.
pub(super) fn prepare<'a>(
    txn: &Txn<'_>,
    rows: &mut Mailboxes,
    to: (&Username, DeviceId),
    envelope: &'a OutgoingEnvelope,
    options: &SqliteOptions,
) -> Result<Result<Deposit<'a>, Undeliverable>, StoreError> {
    let Some(place) = rows.find(txn, to.0, to.1)? else { return Ok(Err(Undeliverable::Missing)) };
    let mailbox = rows.at(place)?;
    if !fits(txn, &mailbox, std::slice::from_ref(envelope), options)? {
        return Ok(Err(Undeliverable::Full));
    }
    Ok(Ok(Deposit { place, envelope }))
}

/// Puts an envelope into a mailbox, within the transaction of what it comes with. `None`: it was accepted before.
pub(super) fn deposit(
    txn: &Txn<'_>,
    rows: &mut Mailboxes,
    deposit: &Deposit<'_>,
    now: Timestamp,
    options: &SqliteOptions,
) -> Result<Option<MailboxEnvelope>, StoreError> {
    let mut mailbox = rows.at(deposit.place)?;
    if !remember(txn, &mailbox, deposit.envelope, now)? {
        return Ok(None);
    }
    let pushed = push(txn, &mut mailbox, deposit.envelope, now)?;
    forget_old_ids(txn, &mailbox, options)?;
    rows.put(deposit.place, mailbox)?;
    Ok(Some(pushed))
}

/// Whether the envelopes have room in the mailbox (R44); those that were accepted before need none.
fn fits(
    txn: &Txn<'_>,
    mailbox: &Mailbox,
    envelopes: &[OutgoingEnvelope],
    options: &SqliteOptions,
) -> Result<bool, StoreError> {
    let fit = |count: u64, bytes: u64| {
        mailbox.pending.saturating_add(count) <= options.mailbox_envelopes
            && mailbox.pending_bytes.saturating_add(bytes) <= options.mailbox_bytes
    };
    let bytes = |envelope: &OutgoingEnvelope| envelope.sealed.len() as u64;
    if fit(envelopes.len() as u64, envelopes.iter().map(bytes).sum()) {
        return Ok(true);
    }
    let (mut seen, mut count, mut sum) = (HashSet::new(), 0, 0);
    for envelope in envelopes {
        if seen.insert(envelope.id) && accepted_at(txn, mailbox, envelope)?.is_none() {
            count += 1;
            sum += bytes(envelope);
        }
    }
    Ok(count == 0 || fit(count, sum))
}

/// When an envelope was accepted before.
fn accepted_at(
    txn: &Txn<'_>,
    mailbox: &Mailbox,
    envelope: &OutgoingEnvelope,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement = cached(txn, "SELECT accepted_at FROM accepted_ids WHERE device = ?1 AND id = ?2")?;
    optional(&mut statement, params![mailbox.device, envelope.id.as_bytes()], |row| nat(row, 0))
}

/// Remembers the id of an envelope at the mailbox's next place. `false`: it was accepted before.
fn remember(
    txn: &Txn<'_>,
    mailbox: &Mailbox,
    envelope: &OutgoingEnvelope,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO accepted_ids (device, id, seq, accepted_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (device, id) DO NOTHING";
    let row = params![mailbox.device, envelope.id.as_bytes(), int(mailbox.next_seq), int(now)];
    Ok(cached(txn, sql)?.execute(row)? == 1)
}

/// Puts an envelope at the mailbox's next place.
fn push(
    txn: &Txn<'_>,
    mailbox: &mut Mailbox,
    envelope: &OutgoingEnvelope,
    now: Timestamp,
) -> Result<MailboxEnvelope, StoreError> {
    let OutgoingEnvelope { id, sealed } = envelope;
    let (seq, size) = (mailbox.next_seq, sealed.len() as u64);
    cached(txn, "INSERT INTO bodies (body) VALUES (?1)")?.execute([body::lay_out(sealed)?])?;
    let body = txn.last_insert_rowid();
    let sql =
        "INSERT INTO envelopes (device, seq, id, accepted_at, size, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    cached(txn, sql)?.execute(params![mailbox.device, int(seq), id.as_bytes(), int(now), int(size), body])?;
    mailbox.next_seq += 1;
    mailbox.pending += 1;
    mailbox.pending_bytes += size;
    Ok(MailboxEnvelope { seq, id: *id, accepted_at: now, sealed: sealed.clone() })
}

/// Only so many ids of a mailbox are remembered.
fn forget_old_ids(txn: &Txn<'_>, mailbox: &Mailbox, options: &SqliteOptions) -> Result<(), StoreError> {
    let forgotten = (mailbox.next_seq - 1).saturating_sub(options.id_memory_count);
    if forgotten > 0 {
        cached(txn, "DELETE FROM accepted_ids WHERE device = ?1 AND seq <= ?2")?
            .execute(params![mailbox.device, int(forgotten)])?;
    }
    Ok(())
}

/// Why a delivery has no mailbox to go to: the sender's list is not the current one, or names no such device.
fn missing(txn: &Txn<'_>, delivery: &Delivery) -> Result<Appended, StoreError> {
    let sql = "SELECT id, list_version FROM accounts WHERE name = ?1";
    let account = optional(&mut *cached(txn, sql)?, [delivery.to.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, nat(row, 1)?))
    })?;
    match account {
        Some((account, version)) if version != delivery.list_version => {
            stale(txn, account, version, delivery.list_version)
        }
        _ => Ok(Appended::NotFound),
    }
}

fn stale(txn: &Txn<'_>, account: i64, version: u64, senders: u64) -> Result<Appended, StoreError> {
    let current = devices::named_in(txn, account, version)?;
    let old = devices::named_in(txn, account, senders)?;
    let without = |all: &[DeviceId], known: &[DeviceId]| {
        let rest: Vec<DeviceId> = all.iter().copied().filter(|device| !known.contains(device)).collect();
        BoundedVec::new(rest).map_err(|_| damaged("a device list"))
    };
    Ok(Appended::Stale(StaleDeviceList {
        version,
        missing: without(&current, &old)?,
        extra: without(&old, &current)?,
    }))
}
