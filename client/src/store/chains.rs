//! The counters of both directions with each peer device: what was sent and acknowledged (R19), what came and what is
//! missing of it.

use rusqlite::params;
use subrosa_protocol::{DeviceId, MessageId, Username, limits::PAYLOAD_BYTES};
use zeroize::Zeroizing;

use super::{
    StoreError, Tx,
    error::Result,
    limits::{MISSING_RANGES, SENT_BYTES, SENT_KEPT},
    rows::{Columns, bounded, clamped, count, counter},
};

/// What was sent to a peer device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutgoingChain {
    /// The counter of the last envelope; 0 before the first.
    pub counter: u64,
    /// The hash of the last message; zeros before the first.
    pub last_hash: [u8; 32],
    /// The highest counter the peer device said it stored.
    pub acked: u64,
}

impl OutgoingChain {
    /// Envelopes that were not acknowledged yet (R19: a sender stops at 500).
    #[must_use]
    pub const fn unacknowledged(&self) -> u64 {
        self.counter.saturating_sub(self.acked)
    }
}

/// What was sent under one counter.
pub struct Sent {
    /// The sender counter.
    pub counter: u64,
    /// The message's id.
    pub message: MessageId,
    /// Binding header and payload, before padding.
    pub plaintext: Zeroizing<Vec<u8>>,
}

/// What came from a peer device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncomingChain {
    /// The highest counter that came; 0 before the first.
    pub highest: u64,
    /// The hash of the message with that counter; zeros before the first.
    pub last_hash: [u8; 32],
    /// The highest counter that this device told the peer it stored.
    pub told: u64,
    /// How many messages are missing.
    pub missing: u64,
    /// The notice in the chat that says so, by its `order`.
    pub notice: Option<i64>,
}

/// Where a counter stands among those that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// The next one.
    Next,
    /// Further ahead: these, both included, are missing now.
    Ahead {
        /// First missing counter.
        from: u64,
        /// Last missing counter.
        to: u64,
    },
    /// One that was missing came late.
    Late,
    /// One that came before, or one so old that only its number of missing ones is remembered. Nothing was changed.
    Old,
}

/// The outcome of [`Tx::record_incoming`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// Where it stands.
    pub placed: Placed,
    /// How many messages of this device are missing now.
    pub missing: u64,
}

/// A peer device that waits to be told what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgeable {
    /// The account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// The highest counter stored.
    pub highest: u64,
}

impl Tx<'_> {
    /// What was sent to a peer device; the default before anything was.
    pub fn outgoing_chain(&self, account: &Username, device: DeviceId) -> Result<OutgoingChain> {
        let sql = "SELECT counter, last_hash, acked FROM chains_out WHERE account = ?1 AND device = ?2";
        let chain = self.one(sql, (account.as_str(), device.get()), |row| {
            Ok(OutgoingChain { counter: row.number(0)?, last_hash: row.get(1)?, acked: row.number(2)? })
        })?;
        Ok(chain.unwrap_or_default())
    }

    /// An envelope with the next counter was made for a peer device; `hash` is its message's. Returns its counter. Raises
    /// the generation.
    pub fn advance_outgoing(&self, account: &Username, device: DeviceId, hash: &[u8; 32]) -> Result<u64> {
        self.raise_generation()?;
        let sql = "INSERT INTO chains_out (account, device, counter, last_hash, acked) VALUES (?1, ?2, 1, ?3, 0)
                   ON CONFLICT (account, device) DO UPDATE SET counter = counter + 1, last_hash = excluded.last_hash
                   RETURNING counter";
        self.row(sql, params![account.as_str(), device.get(), hash], |row| row.number(0))
    }

    /// Remembers what was sent to a peer device under the counter that [`Tx::advance_outgoing`] gave, so that it can be
    /// sent again: the last [`SENT_KEPT`] counters and [`SENT_BYTES`] a device, for 30 days, and not beyond the deletion
    /// of its message. `now` is in ms since 1970.
    pub fn put_sent(&self, account: &Username, device: DeviceId, sent: &Sent, now: u64) -> Result<()> {
        bounded(sent.plaintext.len(), PAYLOAD_BYTES, "plaintext")?;
        let (name, device) = (account.as_str(), device.get());
        let sql = "INSERT INTO sent (account, device, counter, message_id, plaintext, sent_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (id, plaintext) = (sent.message.as_bytes(), sent.plaintext.as_slice());
        self.run(sql, params![name, device, counter(sent.counter)?, id, plaintext, clamped(now)])?;
        let old = "DELETE FROM sent WHERE account = ?1 AND device = ?2 AND counter <= ?3";
        self.run(old, (name, device, counter(sent.counter.saturating_sub(SENT_KEPT))?))?;
        let bytes = "SELECT sent_bytes FROM chains_out WHERE account = ?1 AND device = ?2";
        while self.one(bytes, (name, device), |row| row.number(0))?.is_some_and(|bytes| bytes > SENT_BYTES) {
            let oldest =
                "DELETE FROM sent WHERE rowid = (SELECT rowid FROM sent WHERE account = ?1 AND device = ?2
                          ORDER BY counter LIMIT 1)";
            self.run(oldest, (name, device))?;
        }
        Ok(())
    }

    /// A peer device says that it stored everything up to `through`; never lowers, and never believes more than was sent.
    /// Returns the chain as it is now.
    pub fn acknowledge_outgoing(
        &self,
        account: &Username,
        device: DeviceId,
        through: u64,
    ) -> Result<OutgoingChain> {
        let sql =
            "UPDATE chains_out SET acked = max(acked, min(counter, ?3)) WHERE account = ?1 AND device = ?2";
        self.run(sql, (account.as_str(), device.get(), clamped(through)))?;
        self.outgoing_chain(account, device)
    }

    /// What was sent to a peer device under these counters, both included, ascending, as far as it is remembered.
    pub fn sent_between(
        &self,
        account: &Username,
        device: DeviceId,
        from: u64,
        to: u64,
    ) -> Result<Vec<Sent>> {
        let sql = "SELECT counter, message_id, plaintext FROM sent WHERE account = ?1 AND device = ?2
                   AND counter BETWEEN ?3 AND ?4 ORDER BY counter";
        self.all(sql, (account.as_str(), device.get(), clamped(from), clamped(to)), |row| {
            Ok(Sent { counter: row.number(0)?, message: row.message_id(1)?, plaintext: row.secret(2)? })
        })
    }

    /// What came from a peer device; the default before anything did.
    pub fn incoming_chain(&self, account: &Username, device: DeviceId) -> Result<IncomingChain> {
        let sql = "SELECT highest, last_hash, told, notice,
                          lost + (SELECT coalesce(sum(last - first + 1), 0) FROM missing
                                  WHERE missing.account = ?1 AND missing.device = ?2)
                   FROM chains_in WHERE account = ?1 AND device = ?2";
        let chain = self.one(sql, (account.as_str(), device.get()), |row| {
            Ok(IncomingChain {
                highest: row.number(0)?,
                last_hash: row.get(1)?,
                told: row.number(2)?,
                notice: row.get(3)?,
                missing: row.number(4)?,
            })
        })?;
        Ok(chain.unwrap_or_default())
    }

    /// A message with this counter came from a peer device and is stored in this transaction; `hash` is its own.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when the counter is 0 or above 2^62: no honest device ever counts so far.
    pub fn record_incoming(
        &self,
        account: &Username,
        device: DeviceId,
        number: u64,
        hash: &[u8; 32],
    ) -> Result<Incoming> {
        if number == 0 || number > 1 << 62 {
            return Err(StoreError::Limit("counter"));
        }
        let highest = self.incoming_chain(account, device)?.highest;
        let placed = if number > highest {
            let sql = "INSERT INTO chains_in (account, device, highest, last_hash, told, lost) VALUES (?1, ?2, ?3, ?4, 0, 0)
                       ON CONFLICT (account, device) DO UPDATE SET highest = excluded.highest,
                       last_hash = excluded.last_hash";
            self.run(sql, params![account.as_str(), device.get(), counter(number)?, hash])?;
            if number == highest + 1 {
                Placed::Next
            } else {
                let (from, to) = (highest + 1, number - 1);
                self.add_missing(account, device, from, to)?;
                self.forget_oldest_missing(account, device)?;
                Placed::Ahead { from, to }
            }
        } else if self.fill_missing(account, device, number)? {
            Placed::Late
        } else {
            Placed::Old
        };
        Ok(Incoming { placed, missing: self.incoming_chain(account, device)?.missing })
    }

    /// The counters that are missing from a peer device: ranges, both ends included, ascending.
    pub fn missing_ranges(&self, account: &Username, device: DeviceId) -> Result<Vec<(u64, u64)>> {
        let sql = "SELECT first, last FROM missing WHERE account = ?1 AND device = ?2 ORDER BY first";
        self.all(sql, (account.as_str(), device.get()), |row| Ok((row.number(0)?, row.number(1)?)))
    }

    /// The notice that tells of what is missing from a peer device, by its `order`.
    pub fn set_missing_notice(
        &self,
        account: &Username,
        device: DeviceId,
        notice: Option<i64>,
    ) -> Result<()> {
        let sql = "UPDATE chains_in SET notice = ?3 WHERE account = ?1 AND device = ?2";
        self.run(sql, (account.as_str(), device.get(), notice))?;
        Ok(())
    }

    /// This device tells a peer device that it stored everything up to `through`.
    pub fn set_told(&self, account: &Username, device: DeviceId, through: u64) -> Result<()> {
        let sql =
            "UPDATE chains_in SET told = max(told, min(highest, ?3)) WHERE account = ?1 AND device = ?2";
        self.run(sql, (account.as_str(), device.get(), clamped(through)))?;
        Ok(())
    }

    /// Peer devices that sent at least `min` envelopes since they were last told what was stored.
    pub fn chains_to_acknowledge(&self, min: u64) -> Result<Vec<Acknowledgeable>> {
        let sql = "SELECT account, device, highest FROM chains_in WHERE highest - told >= ?1 ORDER BY account, device";
        self.all(sql, [clamped(min.max(1))], |row| {
            Ok(Acknowledgeable { account: row.account(0)?, device: row.device(1)?, highest: row.number(2)? })
        })
    }

    /// Forgets both chains with a device that was removed: nothing is missing from it any more.
    pub fn delete_chains(&self, account: &Username, device: DeviceId) -> Result<()> {
        self.raise_generation()?;
        for table in ["sent", "chains_out", "missing", "chains_in"] {
            let sql = format!("DELETE FROM {table} WHERE account = ?1 AND device = ?2");
            self.run(&sql, (account.as_str(), device.get()))?;
        }
        Ok(())
    }

    /// Forgets the chains with all devices of an account.
    pub fn delete_all_chains(&self, account: &Username) -> Result<()> {
        self.raise_generation()?;
        for table in ["sent", "chains_out", "missing", "chains_in"] {
            self.run(&format!("DELETE FROM {table} WHERE account = ?1"), [account.as_str()])?;
        }
        Ok(())
    }

    fn add_missing(&self, account: &Username, device: DeviceId, from: u64, to: u64) -> Result<()> {
        let sql = "INSERT INTO missing (account, device, first, last) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, (account.as_str(), device.get(), counter(from)?, counter(to)?))?;
        Ok(())
    }

    /// Takes a counter out of the missing ranges; whether it was in one.
    fn fill_missing(&self, account: &Username, device: DeviceId, number: u64) -> Result<bool> {
        let sql = "SELECT first, last FROM missing WHERE account = ?1 AND device = ?2 AND first <= ?3
                   ORDER BY first DESC LIMIT 1";
        let range = self.one(sql, (account.as_str(), device.get(), counter(number)?), |row| {
            Ok((row.number(0)?, row.number(1)?))
        })?;
        let Some((first, last)) = range.filter(|(_, last)| *last >= number) else { return Ok(false) };
        let sql = "DELETE FROM missing WHERE account = ?1 AND device = ?2 AND first = ?3";
        self.run(sql, (account.as_str(), device.get(), counter(first)?))?;
        if first < number {
            self.add_missing(account, device, first, number - 1)?;
        }
        if number < last {
            self.add_missing(account, device, number + 1, last)?;
        }
        self.forget_oldest_missing(account, device)?;
        Ok(true)
    }

    /// Of more ranges than are kept, the oldest are turned into a number.
    fn forget_oldest_missing(&self, account: &Username, device: DeviceId) -> Result<()> {
        let name = account.as_str();
        let sql = "SELECT first, last FROM missing WHERE account = ?1 AND device = ?2
                   ORDER BY first DESC LIMIT -1 OFFSET ?3";
        let old = self.all(sql, (name, device.get(), count(MISSING_RANGES)), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        for (first, last) in old {
            let delete = "DELETE FROM missing WHERE account = ?1 AND device = ?2 AND first = ?3";
            self.run(delete, (name, device.get(), first))?;
            let add = "UPDATE chains_in SET lost = lost + ?3 WHERE account = ?1 AND device = ?2";
            self.run(add, (name, device.get(), last.saturating_sub(first).saturating_add(1)))?;
        }
        Ok(())
    }
}
