//! Sealed envelopes on their way to the relay. Their bytes never change: a retry sends the same (R21).

use rusqlite::{Row, params};
use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, Username, limits::SEALED_BYTES};

use super::{
    StoreError, Tx,
    error::Result,
    limits::OUTBOX,
    rows::{Columns, bounded, clamped, count, counter},
};

/// An envelope that is not stored yet.
#[derive(Debug, Clone)]
pub struct NewOutbox<'a> {
    /// The recipient.
    pub account: &'a Username,
    /// Its device.
    pub device: DeviceId,
    /// Its id, by which the relay accepts it once.
    pub envelope: EnvelopeId,
    /// The ciphertext.
    pub sealed: &'a [u8],
    /// The message inside.
    pub message: MessageId,
    /// The sender counter inside.
    pub counter: u64,
    /// ms since 1970.
    pub queued_at: u64,
}

/// An envelope that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Ascending in the order of queueing.
    pub id: i64,
    /// The recipient.
    pub account: Username,
    /// Its device.
    pub device: DeviceId,
    /// Its id, by which the relay accepts it once.
    pub envelope: EnvelopeId,
    /// The ciphertext.
    pub sealed: Vec<u8>,
    /// The message inside.
    pub message: MessageId,
    /// The sender counter inside.
    pub counter: u64,
    /// How often it was sent in vain.
    pub attempts: u32,
    /// Not to be sent before this time, ms since 1970.
    pub next_try: u64,
    /// ms since 1970.
    pub queued_at: u64,
}

/// A device for which envelopes wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxTarget {
    /// The account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// How many wait.
    pub waiting: u64,
    /// When the first of them may be sent, ms since 1970.
    pub next_try: u64,
}

const COLUMNS: &str =
    "id, account, device, envelope, sealed, message_id, counter, attempts, next_try, queued_at";

fn read(row: &Row<'_>) -> Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.get(0)?,
        account: row.account(1)?,
        device: row.device(2)?,
        envelope: row.envelope_id(3)?,
        sealed: row.get(4)?,
        message: row.message_id(5)?,
        counter: row.number(6)?,
        attempts: row.get(7)?,
        next_try: row.number(8)?,
        queued_at: row.number(9)?,
    })
}

impl Tx<'_> {
    /// Stores an envelope; its id. It may be sent at once.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when [`OUTBOX`] of them wait already, or it is larger than an envelope can be.
    pub fn push_outbox(&self, new: &NewOutbox<'_>) -> Result<i64> {
        bounded(new.sealed.len(), SEALED_BYTES, "envelope")?;
        if self.outbox_count()? >= OUTBOX {
            return Err(StoreError::Limit("the outbox"));
        }
        let sql =
            "INSERT INTO outbox (account, device, envelope, sealed, message_id, counter, attempts, next_try,
                   queued_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7)";
        self.run(
            sql,
            params![
                new.account.as_str(),
                new.device.get(),
                new.envelope.as_bytes(),
                new.sealed,
                new.message.as_bytes(),
                counter(new.counter)?,
                clamped(new.queued_at),
            ],
        )?;
        Ok(self.inserted())
    }

    /// The devices for which envelopes wait, those whose first envelope is oldest first.
    pub fn outbox_targets(&self) -> Result<Vec<OutboxTarget>> {
        // SQLite takes `next_try` from the row that has the smallest id.
        let sql = "SELECT account, device, count(*), next_try, min(id) FROM outbox GROUP BY account, device ORDER BY 5";
        self.all(sql, [], |row| {
            Ok(OutboxTarget {
                account: row.account(0)?,
                device: row.device(1)?,
                waiting: row.number(2)?,
                next_try: row.number(3)?,
            })
        })
    }

    /// The first envelopes for a device, in order: at most `max` of them, and of as many bytes of ciphertext as fit
    /// `max_bytes` together, but at least one.
    pub fn outbox_head(
        &self,
        account: &Username,
        device: DeviceId,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<OutboxRow>> {
        let sql =
            format!("SELECT {COLUMNS} FROM outbox WHERE account = ?1 AND device = ?2 ORDER BY id LIMIT ?3");
        let (mut head, mut bytes) = (Vec::new(), 0usize);
        self.each(&sql, (account.as_str(), device.get(), count(max)), |row| {
            let envelope = read(row)?;
            bytes = bytes.saturating_add(envelope.sealed.len());
            let fits = bytes <= max_bytes || head.is_empty();
            if fits {
                head.push(envelope);
            }
            Ok(fits)
        })?;
        Ok(head)
    }

    /// One envelope.
    pub fn outbox_row(&self, id: i64) -> Result<Option<OutboxRow>> {
        self.one(&format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1"), [id], read)
    }

    /// Puts the envelopes for a device that were encrypted after a counter behind all others, in their order.
    pub fn requeue_outbox_behind(&self, account: &Username, device: DeviceId, after: u64) -> Result<()> {
        let sql = "UPDATE outbox SET id = id + (SELECT max(id) FROM outbox)
                   WHERE account = ?1 AND device = ?2 AND counter > ?3";
        self.run(sql, params![account.as_str(), device.get(), counter(after)?])?;
        Ok(())
    }

    /// Removes envelopes that the relay accepted, or that were given up.
    pub fn remove_outbox(&self, ids: &[i64]) -> Result<()> {
        for id in ids {
            self.run("DELETE FROM outbox WHERE id = ?1", [id])?;
        }
        Ok(())
    }

    /// Envelopes were sent in vain: one more attempt, and not before `next_try` (ms since 1970) again.
    pub fn retry_outbox(&self, ids: &[i64], next_try: u64) -> Result<()> {
        for id in ids {
            self.run(
                "UPDATE outbox SET attempts = attempts + 1, next_try = ?2 WHERE id = ?1",
                (id, clamped(next_try)),
            )?;
        }
        Ok(())
    }

    /// Everything may be sent at once again: after connecting anew.
    pub fn retry_outbox_now(&self) -> Result<()> {
        self.run("UPDATE outbox SET next_try = 0 WHERE next_try > 0", [])?;
        Ok(())
    }

    /// Removes everything for a device that is gone; what was removed.
    pub fn remove_outbox_for_device(&self, account: &Username, device: DeviceId) -> Result<Vec<OutboxRow>> {
        let sql = format!("DELETE FROM outbox WHERE account = ?1 AND device = ?2 RETURNING {COLUMNS}");
        self.all(&sql, (account.as_str(), device.get()), read)
    }

    /// Envelopes that were queued before a time (ms since 1970), oldest first, at most `max`: those to give up.
    pub fn outbox_before(&self, queued_before: u64, max: usize) -> Result<Vec<OutboxRow>> {
        let sql = format!("SELECT {COLUMNS} FROM outbox WHERE queued_at < ?1 ORDER BY id LIMIT ?2");
        self.all(&sql, (clamped(queued_before), count(max)), read)
    }

    /// The messages of which envelopes wait for devices of an account, each once, in order.
    pub fn outbox_messages(&self, account: &Username) -> Result<Vec<MessageId>> {
        let sql = "SELECT message_id FROM outbox WHERE account = ?1 GROUP BY message_id ORDER BY min(id)";
        self.all(sql, [account.as_str()], |row| row.message_id(0))
    }

    /// What of a message has not reached the relay for devices of an account: contents not yet encrypted and envelopes.
    pub fn outstanding(&self, message: MessageId, account: &Username) -> Result<u64> {
        let sql = "SELECT (SELECT count(*) FROM outbox WHERE message_id = ?1 AND account = ?2)
                        + (SELECT count(*) FROM pending WHERE message_id = ?1 AND account = ?2)";
        self.row(sql, params![message.as_bytes(), account.as_str()], |row| row.number(0))
    }

    /// How many envelopes wait.
    pub fn outbox_count(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM outbox", [], |row| row.number(0))
    }

    /// When the next envelope that is put off may be sent (ms since 1970); 0 when one may be now, `None` when none waits.
    pub fn outbox_next_try(&self) -> Result<Option<u64>> {
        self.row("SELECT min(next_try) FROM outbox", [], |row| row.number_or_null(0))
    }
}
