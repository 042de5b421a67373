//! What came from the mailbox: ids that were dealt with, the cursor, and envelopes that had to be put aside.

use rusqlite::{Row, params};
use subrosa_protocol::{DeviceId, EnvelopeId, Username, limits::SEALED_BYTES};

use super::{
    Tx,
    error::Result,
    limits::{DEFERRED, DEFERRED_PER_ACCOUNT, ENVELOPE_IDS_KEPT_MS},
    rows::{Columns, bounded, clamped, count},
};

/// An envelope to be put aside.
#[derive(Debug, Clone)]
pub struct NewDeferred<'a> {
    /// Its id.
    pub envelope: EnvelopeId,
    /// Who sent it, as the opened envelope claims.
    pub account: &'a Username,
    /// On which device, likewise.
    pub device: DeviceId,
    /// As it came.
    pub sealed: &'a [u8],
    /// The relay's clock when it was accepted, ms since 1970.
    pub accepted_at: u64,
    /// Not to be tried before, ms since 1970.
    pub next_try: u64,
    /// ms since 1970.
    pub stored_at: u64,
}

/// An envelope that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredEnvelope {
    /// Ascending in the order of the mailbox.
    pub id: i64,
    /// The envelope's id.
    pub envelope: EnvelopeId,
    /// Who sent it, as it claims.
    pub account: Username,
    /// On which device.
    pub device: DeviceId,
    /// As it came.
    pub sealed: Vec<u8>,
    /// The relay's clock when it was accepted, ms since 1970.
    pub accepted_at: u64,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// Not to be tried before, ms since 1970.
    pub next_try: u64,
    /// When it was put aside, ms since 1970.
    pub stored_at: u64,
}

const CURSOR: &str = "mailbox_cursor";
const COLUMNS: &str = "id, envelope, account, device, sealed, accepted_at, attempts, next_try, stored_at";

fn read(row: &Row<'_>) -> Result<DeferredEnvelope> {
    Ok(DeferredEnvelope {
        id: row.get(0)?,
        envelope: row.envelope_id(1)?,
        account: row.account(2)?,
        device: row.device(3)?,
        sealed: row.get(4)?,
        accepted_at: row.number(5)?,
        attempts: row.get(6)?,
        next_try: row.number(7)?,
        stored_at: row.number(8)?,
    })
}

impl Tx<'_> {
    /// Marks an envelope as dealt with; `false` when it was already.
    pub fn see_envelope(&self, id: EnvelopeId, now: u64) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO envelopes_seen (id, seen_at) VALUES (?1, ?2)";
        Ok(self.run(sql, params![id.as_bytes(), clamped(now)])? > 0)
    }

    /// Whether an envelope was dealt with.
    pub fn envelope_seen(&self, id: EnvelopeId) -> Result<bool> {
        let sql = "SELECT 1 FROM envelopes_seen WHERE id = ?1";
        Ok(self.one(sql, [id.as_bytes()], |_| Ok(()))?.is_some())
    }

    /// Forgets ids that were seen more than 60 days before `now` (ms since 1970). How many.
    pub fn expire_envelope_ids(&self, now: u64) -> Result<usize> {
        let before = clamped(now.saturating_sub(ENVELOPE_IDS_KEPT_MS));
        self.run("DELETE FROM envelopes_seen WHERE seen_at <= ?1", [before])
    }

    /// The highest `seq` of the mailbox that was dealt with.
    pub fn mailbox_cursor(&self) -> Result<u64> {
        self.number_named(CURSOR)
    }

    /// Everything up to `seq` was dealt with; never lowers. The cursor as it is now.
    pub fn set_mailbox_cursor(&self, seq: u64) -> Result<u64> {
        self.raise_named(CURSOR, seq)
    }

    /// The mailbox begins at 1 again: of a new device, or because the relay counts anew.
    pub fn forget_mailbox_cursor(&self) -> Result<()> {
        self.run("DELETE FROM counters WHERE name = ?1", [CURSOR])?;
        Ok(())
    }

    /// Puts an envelope aside; `false`, and nothing is changed, when [`DEFERRED`] of them, or [`DEFERRED_PER_ACCOUNT`] of
    /// the account it claims, are put aside already.
    pub fn defer_envelope(&self, new: &NewDeferred<'_>) -> Result<bool> {
        bounded(new.sealed.len(), SEALED_BYTES, "envelope")?;
        let of_account = "SELECT count(*) FROM deferred WHERE account = ?1";
        let of_account = self.row(of_account, [new.account.as_str()], |row| row.number(0))?;
        if of_account >= DEFERRED_PER_ACCOUNT || self.deferred_count()? >= DEFERRED {
            return Ok(false);
        }
        let sql = "INSERT OR IGNORE INTO deferred (envelope, account, device, sealed, accepted_at, attempts, next_try,
                   stored_at) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)";
        self.run(
            sql,
            params![
                new.envelope.as_bytes(),
                new.account.as_str(),
                new.device.get(),
                new.sealed,
                clamped(new.accepted_at),
                clamped(new.next_try),
                clamped(new.stored_at),
            ],
        )?;
        Ok(true)
    }

    /// Whether envelopes of an account are put aside: further ones must wait behind them.
    pub fn has_deferred(&self, account: &Username) -> Result<bool> {
        let sql = "SELECT 1 FROM deferred WHERE account = ?1 LIMIT 1";
        Ok(self.one(sql, [account.as_str()], |_| Ok(()))?.is_some())
    }

    /// The envelopes of an account that are put aside, in order, at most `max`.
    pub fn deferred_from(&self, account: &Username, max: usize) -> Result<Vec<DeferredEnvelope>> {
        let sql = format!("SELECT {COLUMNS} FROM deferred WHERE account = ?1 ORDER BY id LIMIT ?2");
        self.all(&sql, (account.as_str(), count(max)), read)
    }

    /// The accounts whose envelopes are put aside and when each is to be tried next (ms since 1970), soonest first.
    pub fn deferred_accounts(&self) -> Result<Vec<(Username, u64)>> {
        let sql = "SELECT account, min(next_try) FROM deferred GROUP BY account ORDER BY 2, 1";
        self.all(sql, [], |row| Ok((row.account(0)?, row.number(1)?)))
    }

    /// All envelopes of an account were tried in vain: one more attempt, and not before `next_try` again.
    pub fn retry_deferred(&self, account: &Username, next_try: u64) -> Result<()> {
        let sql = "UPDATE deferred SET attempts = attempts + 1, next_try = ?2 WHERE account = ?1";
        self.run(sql, (account.as_str(), clamped(next_try)))?;
        Ok(())
    }

    /// Removes an envelope that was dealt with or given up.
    pub fn remove_deferred(&self, id: i64) -> Result<bool> {
        Ok(self.run("DELETE FROM deferred WHERE id = ?1", [id])? > 0)
    }

    /// Gives up envelopes that were put aside before a time (ms since 1970). How many.
    pub fn expire_deferred(&self, stored_before: u64) -> Result<usize> {
        self.run("DELETE FROM deferred WHERE stored_at < ?1", [clamped(stored_before)])
    }

    /// How many envelopes are put aside.
    pub fn deferred_count(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM deferred", [], |row| row.number(0))
    }
}
