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
        rows::{cached, damaged, fixed, int, nat, optional},
    },
};

pub(in crate::store::sqlite) fn append(
    txn: &Txn<'_>,
    delivery: Delivery,
    options: &SqliteOptions,
) -> Result<Appended, StoreError> {
    let Some(sender) = devices::id(txn, &delivery.sender.account, delivery.sender.device)? else {
        return Ok(Appended::SenderGone);
    };
    let mut mailbox = match Mailbox::find(txn, &delivery)? {
        Found::Mailbox(mailbox) => mailbox,
        Found::No(refusal) => return Ok(refusal),
    };
    let (fresh, first_accepted) = mailbox.sort_out(txn, delivery.envelopes)?;
    let bytes: u64 = fresh.iter().map(|envelope| envelope.sealed.len() as u64).sum();
    if mailbox.pending + fresh.len() as u64 > options.mailbox_envelopes
        || mailbox.pending_bytes + bytes > options.mailbox_bytes
    {
        return Ok(Appended::Full);
    }
    let accepted_at = if fresh.is_empty() { first_accepted.unwrap_or(delivery.now) } else { delivery.now };
    let fresh = fresh
        .into_iter()
        .map(|envelope| mailbox.push(txn, envelope, delivery.now))
        .collect::<Result<Vec<_>, _>>()?;
    if !fresh.is_empty() {
        mailbox.save(txn, options)?;
    }
    devices::raise(txn, sender, delivery.sender.generation)?;
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
    let Some(device) = devices::id(txn, account, device)? else { return Ok(None) };
    let deleted = delete_up_to(txn, device, up_to)?;
    Ok(Some(Acknowledged { deleted, generation: devices::raise(txn, device, generation)? }))
}

/// Deletes the envelopes of a device row up to and including `up_to`; answers how many.
pub(super) fn delete_up_to(txn: &Txn<'_>, device: i64, up_to: u64) -> Result<u64, StoreError> {
    let up_to = int(up_to);
    let sql = "SELECT count(*), coalesce(sum(size), 0) FROM envelopes WHERE device = ?1 AND seq <= ?2";
    let (count, bytes) = optional(&mut *cached(txn, sql)?, params![device, up_to], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?
    .unwrap_or_default();
    if count == 0 {
        return Ok(0);
    }
    let sql = "DELETE FROM bodies WHERE id IN (SELECT body FROM envelopes WHERE device = ?1 AND seq <= ?2)";
    cached(txn, sql)?.execute(params![device, up_to])?;
    cached(txn, "DELETE FROM envelopes WHERE device = ?1 AND seq <= ?2")?.execute(params![device, up_to])?;
    cached(
        txn,
        "UPDATE devices SET pending = pending - ?2, pending_bytes = pending_bytes - ?3 WHERE id = ?1",
    )?
    .execute(params![device, count, bytes])?;
    txn.note_deletion();
    u64::try_from(count).map_err(|_| damaged("a negative count"))
}

/// The mailbox of a device row, as it is within a transaction.
struct Mailbox {
    device: i64,
    next_seq: u64,
    pending: u64,
    pending_bytes: u64,
}

enum Found {
    Mailbox(Mailbox),
    No(Appended),
}

impl Mailbox {
    fn find(txn: &Txn<'_>, delivery: &Delivery) -> Result<Found, StoreError> {
        let sql = "SELECT a.id, a.list_version, d.id, d.next_seq, d.pending, d.pending_bytes
                   FROM accounts a LEFT JOIN devices d ON d.account = a.id AND d.device = ?2 WHERE a.name = ?1";
        let found =
            optional(&mut *cached(txn, sql)?, params![delivery.to.as_str(), delivery.device.get()], |row| {
                let (account, version): (i64, u64) = (row.get(0)?, nat(row, 1)?);
                if version != delivery.list_version {
                    return stale(txn, account, version, delivery.list_version).map(Found::No);
                }
                let Some(device) = row.get::<_, Option<i64>>(2)? else {
                    return Ok(Found::No(Appended::NotFound));
                };
                let (next_seq, pending, pending_bytes) = (nat(row, 3)?, nat(row, 4)?, nat(row, 5)?);
                Ok(Found::Mailbox(Self { device, next_seq, pending, pending_bytes }))
            })?;
        Ok(found.unwrap_or(Found::No(Appended::NotFound)))
    }

    /// Keeps those that were not accepted before, in their order; and when the first of the others was.
    fn sort_out(
        &self,
        txn: &Txn<'_>,
        envelopes: Vec<OutgoingEnvelope>,
    ) -> Result<(Vec<OutgoingEnvelope>, Option<Timestamp>), StoreError> {
        let mut statement =
            cached(txn, "SELECT accepted_at FROM accepted_ids WHERE device = ?1 AND id = ?2")?;
        let mut fresh = Vec::with_capacity(envelopes.len());
        let mut seen = HashSet::new();
        let mut first = None;
        for envelope in envelopes {
            let before =
                optional(&mut statement, params![self.device, envelope.id.as_bytes()], |row| nat(row, 0))?;
            if before.is_some() {
                first = first.or(before);
            } else if seen.insert(envelope.id) {
                fresh.push(envelope);
            }
        }
        Ok((fresh, first))
    }

    fn push(
        &mut self,
        txn: &Txn<'_>,
        envelope: OutgoingEnvelope,
        now: Timestamp,
    ) -> Result<MailboxEnvelope, StoreError> {
        let OutgoingEnvelope { id, sealed } = envelope;
        let (seq, size) = (self.next_seq, sealed.len() as u64);
        cached(txn, "INSERT INTO bodies (body) VALUES (?1)")?.execute([body::lay_out(&sealed)?])?;
        let body = txn.last_insert_rowid();
        let sql = "INSERT INTO envelopes (device, seq, id, accepted_at, size, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        cached(txn, sql)?.execute(params![
            self.device,
            int(seq),
            id.as_bytes(),
            int(now),
            int(size),
            body
        ])?;
        cached(txn, "INSERT INTO accepted_ids (device, id, seq, accepted_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.device, id.as_bytes(), int(seq), int(now)])?;
        self.next_seq += 1;
        self.pending += 1;
        self.pending_bytes += size;
        Ok(MailboxEnvelope { seq, id, accepted_at: now, sealed })
    }

    fn save(&self, txn: &Txn<'_>, options: &SqliteOptions) -> Result<(), StoreError> {
        cached(txn, "UPDATE devices SET next_seq = ?2, pending = ?3, pending_bytes = ?4 WHERE id = ?1")?
            .execute(params![self.device, int(self.next_seq), int(self.pending), int(self.pending_bytes)])?;
        let forgotten = (self.next_seq - 1).saturating_sub(options.id_memory_count);
        if forgotten > 0 {
            cached(txn, "DELETE FROM accepted_ids WHERE device = ?1 AND seq <= ?2")?
                .execute(params![self.device, int(forgotten)])?;
        }
        Ok(())
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
