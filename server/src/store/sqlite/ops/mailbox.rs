//! Envelopes: append, fetch, acknowledge, delete.
//!
//! Appending and acknowledging are decided on the mailboxes at hand and written to the journal; nothing is changed before
//! everything that can fail was done. The tables get what is left of it when it is folded in.

use std::{collections::HashSet, sync::Arc};

use rusqlite::{Connection, params};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, EnvelopeId, Username,
    frames::{MailboxEnvelope, OutgoingEnvelope, StaleDeviceList},
};

use super::{Desk, Txn, devices, ids};
use crate::store::{
    Acknowledged, Appended, Delivery, Page, Sender, StoreError, Timestamp,
    sqlite::{
        SqliteOptions, body,
        journal::record,
        mailboxes::{self, Mailbox, Mailboxes, Place},
        rows::{cached, damaged, fixed, int, nat, optional},
        young::Part,
    },
};

pub(in crate::store::sqlite) fn append(
    desk: &mut Desk<'_>,
    delivery: Delivery,
) -> Result<Appended, StoreError> {
    let (conn, options) = (desk.conn, desk.options);
    let Some(sender) = desk.mailboxes.find(conn, &delivery.sender.account, delivery.sender.device)? else {
        return Ok(Appended::SenderGone);
    };
    let Some(place) = desk.mailboxes.find(conn, &delivery.to, delivery.device)? else {
        return missing(conn, &delivery);
    };
    let mailbox = desk.mailboxes.at(place)?.mailbox;
    if mailbox.list_version != delivery.list_version {
        return missing(conn, &delivery);
    }
    if !delivery.envelopes.is_empty() {
        let key = desk.mailboxes.key;
        ids::load(conn, desk.mailboxes.at_mut(place)?, &key, options.id_memory_count)?;
    }
    if !fits(desk, place, &mailbox, &delivery.envelopes)? {
        return Ok(Appended::Full);
    }
    let (mut new, mut first_accepted) = (Vec::with_capacity(delivery.envelopes.len()), None);
    let mut seen = HashSet::new();
    let several = delivery.envelopes.len() > 1;
    for envelope in delivery.envelopes {
        if several && !seen.insert(envelope.id) {
            continue;
        }
        match accepted_at(desk, place, &envelope.id)? {
            None => new.push(envelope),
            at => first_accepted = first_accepted.or(at),
        }
    }
    let now = delivery.now;
    let mut fresh = Vec::with_capacity(new.len());
    for (seq, OutgoingEnvelope { id, sealed }) in (mailbox.next_seq..).zip(new) {
        let envelope = Arc::new(MailboxEnvelope { seq, id, accepted_at: now, sealed });
        desk.mailboxes.push(place, Arc::clone(&envelope))?;
        fresh.push(envelope);
    }
    record::put_appended(desk.batch, mailbox.device, now, &fresh);
    // Not in the journal, for there it would stand beside what was sent. It is written when the journal is folded in.
    desk.mailboxes.raise(sender, delivery.sender.generation)?;
    let accepted_at = if fresh.is_empty() { first_accepted.unwrap_or(now) } else { now };
    Ok(Appended::Accepted { accepted_at, fresh })
}

pub(in crate::store::sqlite) fn acknowledge(
    desk: &mut Desk<'_>,
    account: &Username,
    device: DeviceId,
    up_to: u64,
    generation: u64,
) -> Result<Option<Acknowledged>, StoreError> {
    let Some(place) = desk.mailboxes.find(desk.conn, account, device)? else { return Ok(None) };
    let (row, deleted) =
        (desk.mailboxes.at(place)?.mailbox.device, gone(desk.conn, desk.mailboxes, place, up_to)?);
    let (generation, raised) = desk.mailboxes.raise(place, generation)?;
    if deleted > 0 {
        record::put_acknowledged(desk.batch, row, up_to, generation);
    } else if raised {
        record::put_raised(desk.batch, row, generation);
    }
    Ok(Some(Acknowledged { deleted, generation }))
}

/// Everything up to a place is gone; answers how many envelopes.
pub(in crate::store::sqlite) fn gone(
    conn: &Connection,
    mailboxes: &mut Mailboxes,
    place: Place,
    up_to: u64,
) -> Result<u64, StoreError> {
    let row = mailboxes.at(place)?;
    let mailbox = row.mailbox;
    let up_to = up_to.min(mailbox.next_seq.saturating_sub(1));
    let old = if up_to <= mailbox.acknowledged || mailbox.old_pending == 0 {
        (0, 0)
    } else if up_to.saturating_add(1) >= row.old_next {
        (mailbox.old_pending, mailbox.old_bytes)
    } else {
        count(conn, mailbox.device, mailbox.acknowledged, up_to)?
    };
    let (young, _) = row.young_bytes(up_to);
    if old.0 + young > 0 { mailboxes.acknowledge(place, up_to, old) } else { Ok(0) }
}

pub(in crate::store::sqlite) fn raise_generation(
    desk: &mut Desk<'_>,
    account: &Username,
    device: DeviceId,
    generation: u64,
) -> Result<Option<u64>, StoreError> {
    let Some(place) = desk.mailboxes.find(desk.conn, account, device)? else { return Ok(None) };
    let row = desk.mailboxes.at(place)?.mailbox.device;
    let (generation, raised) = desk.mailboxes.raise(place, generation)?;
    if raised {
        record::put_raised(desk.batch, row, generation);
    }
    Ok(Some(generation))
}

/// Raises the generation at which a device sends something that is written elsewhere. Not in the journal.
pub(in crate::store::sqlite) fn note_generation(
    desk: &mut Desk<'_>,
    sender: &Sender,
) -> Result<(), StoreError> {
    if let Some(place) = desk.mailboxes.find(desk.conn, &sender.account, sender.device)? {
        desk.mailboxes.raise(place, sender.generation)?;
    }
    Ok(())
}

/// A page of a mailbox out of its young part, which was taken before, and the database.
pub(in crate::store::sqlite) fn fetch(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
    young: Part,
    (after, max, max_bytes): (u64, usize, usize),
) -> Result<Option<Page>, StoreError> {
    let Some(device) = devices::id(conn, account, device)? else { return Ok(None) };
    let after = after.max(young.acknowledged);
    let sql =
        "SELECT e.seq, e.id, e.accepted_at, e.size, b.body FROM envelopes e JOIN bodies b ON b.id = e.body
               WHERE e.device = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![device, int(after), int(max as u64).saturating_add(1)])?;
    let mut young = young.envelopes.into_iter().peekable();
    let mut page = Filling { envelopes: Vec::new(), bytes: 0, max, max_bytes: max_bytes as u64 };
    while let Some(row) = rows.next()? {
        let seq = nat(row, 0)?;
        while let Some(envelope) = young.next_if(|envelope| envelope.seq < seq) {
            if !page.has_room(envelope.sealed.len() as u64) {
                return Ok(Some(Page { envelopes: page.envelopes, more: true }));
            }
            page.envelopes.push(Arc::unwrap_or_clone(envelope));
        }
        // Folded in since the young part was taken.
        young.next_if(|envelope| envelope.seq == seq);
        if !page.has_room(nat(row, 3)?) {
            return Ok(Some(Page { envelopes: page.envelopes, more: true }));
        }
        let body = row.get_ref(4)?.as_blob().map_err(|_| damaged("an envelope's body"))?;
        page.envelopes.push(MailboxEnvelope {
            seq,
            id: EnvelopeId::from_bytes(fixed(row, 1)?),
            accepted_at: nat(row, 2)?,
            sealed: BoundedBytes::new(body::sealed(body)?).map_err(|_| damaged("an envelope's body"))?,
        });
    }
    for envelope in young.filter(|envelope| envelope.seq > after) {
        if !page.has_room(envelope.sealed.len() as u64) {
            return Ok(Some(Page { envelopes: page.envelopes, more: true }));
        }
        page.envelopes.push(Arc::unwrap_or_clone(envelope));
    }
    Ok(Some(Page { envelopes: page.envelopes, more: false }))
}

/// A page that is being filled.
struct Filling {
    envelopes: Vec<MailboxEnvelope>,
    bytes: u64,
    max: usize,
    max_bytes: u64,
}

impl Filling {
    /// Whether an envelope of so many bytes may still come; it is counted.
    fn has_room(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.envelopes.len() < self.max && (self.envelopes.is_empty() || self.bytes <= self.max_bytes)
    }
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
pub(super) fn delete(txn: &Txn<'_>, device: i64, up_to: u64) -> Result<(u64, u64), StoreError> {
    let (count, bytes) = count(txn, device, 0, up_to)?;
    let up_to = int(up_to);
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

/// An envelope that comes with something else, and its recipient's row.
pub(super) struct Deposit<'a> {
    mailbox: Mailbox,
    envelope: &'a OutgoingEnvelope,
    /// It was accepted before.
    repeated: bool,
}

/// Why an envelope cannot come with something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undeliverable {
    /// No such device.
    Missing,
    /// Its mailbox is full.
    Full,
}

/// Whether an envelope can be put into a device's mailbox. Nothing is written. For writes before which everything young was
/// folded in, and after which the rows at hand are forgotten.
pub(super) fn prepare<'a>(
    txn: &Txn<'_>,
    to: (&Username, DeviceId),
    envelope: &'a OutgoingEnvelope,
    options: &SqliteOptions,
) -> Result<Result<Deposit<'a>, Undeliverable>, StoreError> {
    let Some(mailbox) = mailboxes::read(txn, to.0, to.1)? else { return Ok(Err(Undeliverable::Missing)) };
    let repeated = ids::remembered(txn, &mailbox, options.id_memory_count, &envelope.id)?;
    let bytes = mailbox.pending_bytes.saturating_add(envelope.sealed.len() as u64);
    if !repeated && (mailbox.pending >= options.mailbox_envelopes || bytes > options.mailbox_bytes) {
        return Ok(Err(Undeliverable::Full));
    }
    Ok(Ok(Deposit { mailbox, envelope, repeated }))
}

/// Puts an envelope into a mailbox, within the transaction of what it comes with. `None`: it was accepted before.
pub(super) fn deposit(
    txn: &Txn<'_>,
    deposit: &Deposit<'_>,
    now: Timestamp,
    options: &SqliteOptions,
) -> Result<Option<MailboxEnvelope>, StoreError> {
    let Deposit { mailbox, envelope: OutgoingEnvelope { id, sealed }, repeated } = deposit;
    if *repeated {
        return Ok(None);
    }
    let pushed = MailboxEnvelope { seq: mailbox.next_seq, id: *id, accepted_at: now, sealed: sealed.clone() };
    insert(txn, mailbox.device, &pushed)?;
    let fresh = [(*id, now)];
    ids::write(txn, mailbox.device, mailbox.next_seq, &fresh, options.id_memory_count)?;
    let sql = "UPDATE devices SET next_seq = next_seq + 1, pending = pending + 1, pending_bytes = pending_bytes + ?2
               WHERE id = ?1";
    cached(txn, sql)?.execute(params![mailbox.device, int(sealed.len() as u64)])?;
    Ok(Some(pushed))
}

/// How many envelopes stand between two places, the second one included, and their sealed bytes.
fn count(conn: &Connection, device: i64, after: u64, up_to: u64) -> Result<(u64, u64), StoreError> {
    let sql =
        "SELECT count(*), coalesce(sum(size), 0) FROM envelopes WHERE device = ?1 AND seq > ?2 AND seq <= ?3";
    let values = params![device, int(after), int(up_to)];
    let counted = optional(&mut *cached(conn, sql)?, values, |row| Ok((nat(row, 0)?, nat(row, 1)?)))?;
    Ok(counted.unwrap_or_default())
}

/// Whether the envelopes have room in the mailbox (R44); those that were accepted before need none.
fn fits(
    desk: &Desk<'_>,
    place: Place,
    mailbox: &Mailbox,
    envelopes: &[OutgoingEnvelope],
) -> Result<bool, StoreError> {
    let SqliteOptions { mailbox_envelopes, mailbox_bytes, .. } = *desk.options;
    let fit = |count: u64, bytes: u64| {
        mailbox.pending.saturating_add(count) <= mailbox_envelopes
            && mailbox.pending_bytes.saturating_add(bytes) <= mailbox_bytes
    };
    let bytes = |envelope: &OutgoingEnvelope| envelope.sealed.len() as u64;
    if fit(envelopes.len() as u64, envelopes.iter().map(bytes).sum()) {
        return Ok(true);
    }
    let (mut seen, mut count, mut sum) = (HashSet::new(), 0, 0);
    for envelope in envelopes {
        if seen.insert(envelope.id) && accepted_at(desk, place, &envelope.id)?.is_none() {
            count += 1;
            sum += bytes(envelope);
        }
    }
    Ok(count == 0 || fit(count, sum))
}

/// When an envelope was accepted before.
fn accepted_at(desk: &Desk<'_>, place: Place, id: &EnvelopeId) -> Result<Option<u64>, StoreError> {
    let (row, key) = (desk.mailboxes.at(place)?, &desk.mailboxes.key);
    ids::accepted_at(desk.conn, row, key, desk.options.id_memory_count, id)
}

/// Puts an envelope that was accepted into the tables.
pub(super) fn insert(txn: &Txn<'_>, device: i64, envelope: &MailboxEnvelope) -> Result<(), StoreError> {
    let MailboxEnvelope { seq, id, accepted_at, sealed } = envelope;
    cached(txn, "INSERT INTO bodies (body) VALUES (?1)")?.execute([body::lay_out(sealed)?])?;
    let (body, size) = (txn.last_insert_rowid(), sealed.len() as u64);
    let sql =
        "INSERT INTO envelopes (device, seq, id, accepted_at, size, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![device, int(*seq), id.as_bytes(), int(*accepted_at), int(size), body];
    cached(txn, sql)?.execute(values)?;
    Ok(())
}

/// Why a delivery has no mailbox to go to: the sender's list is not the current one, or names no such device.
fn missing(conn: &Connection, delivery: &Delivery) -> Result<Appended, StoreError> {
    let sql = "SELECT id, list_version FROM accounts WHERE name = ?1";
    let account = optional(&mut *cached(conn, sql)?, [delivery.to.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, nat(row, 1)?))
    })?;
    match account {
        Some((account, version)) if version != delivery.list_version => {
            stale(conn, account, version, delivery.list_version)
        }
        _ => Ok(Appended::NotFound),
    }
}

fn stale(conn: &Connection, account: i64, version: u64, senders: u64) -> Result<Appended, StoreError> {
    let current = devices::named_in(conn, account, version)?;
    let old = devices::named_in(conn, account, senders)?;
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
