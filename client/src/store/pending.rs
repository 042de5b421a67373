//! Contents that are not encrypted yet: held, or waiting for something that encryption needs. What stands here is queued:
//! durable, and sent by itself when its time comes.

use rusqlite::{Row, params};
use subrosa_protocol::{DeviceId, MessageId, Username};
use zeroize::Zeroizing;

use super::{
    StoreError, Tx,
    codes::Code,
    error::Result,
    limits::PENDING,
    rows::{Columns, bounded, clamped, count},
};

/// What a content waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldFor {
    /// The recipient's key changed, or their lists contradict each other: a person decides.
    Identity,
    /// The recipient has not accepted this account's request.
    Request,
    /// 500 envelopes to this device are not acknowledged (R19).
    Window,
    /// No device list of the recipient is known yet.
    DeviceList,
    /// No session with this device yet: a prekey bundle is on its way.
    Session,
}

/// A content that is not stored yet.
pub struct NewPending<'a> {
    /// The recipient.
    pub account: &'a Username,
    /// One device of it; `None` for all, which is decided when it is encrypted.
    pub device: Option<DeviceId>,
    /// The encoded payload, without gossip.
    pub content: &'a [u8],
    /// The chat it belongs to: the recipient, or of a copy for an own device, the other side.
    pub chat: &'a Username,
    /// The id it is sent under.
    pub message: MessageId,
    /// What it waits for.
    pub reason: HeldFor,
    /// ms since 1970.
    pub queued_at: u64,
}

/// A content that is stored.
pub struct Pending {
    /// Ascending in the order of queueing.
    pub id: i64,
    /// The recipient.
    pub account: Username,
    /// One device of it; `None` for all.
    pub device: Option<DeviceId>,
    /// The encoded payload, without gossip.
    pub content: Zeroizing<Vec<u8>>,
    /// The chat it belongs to: the recipient, or of a copy for an own device, the other side.
    pub chat: Username,
    /// The id it is sent under.
    pub message: MessageId,
    /// What it waits for.
    pub reason: HeldFor,
    /// ms since 1970.
    pub queued_at: u64,
}

const COLUMNS: &str = "id, account, device, chat, message_id, content, reason, queued_at";

fn read(row: &Row<'_>) -> Result<Pending> {
    let device = match row.get::<_, Option<i64>>(2)? {
        Some(_) => Some(row.device(2)?),
        None => None,
    };
    Ok(Pending {
        id: row.get(0)?,
        account: row.account(1)?,
        device,
        chat: row.account(3)?,
        message: row.message_id(4)?,
        content: row.secret(5)?,
        reason: row.value(6)?,
        queued_at: row.number(7)?,
    })
}

impl Tx<'_> {
    /// Stores a content; its id.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when [`PENDING`] of them wait already, or the content exceeds the largest payload.
    pub fn push_pending(&self, new: &NewPending<'_>) -> Result<i64> {
        bounded(new.content.len(), subrosa_protocol::limits::PAYLOAD_BYTES, "content")?;
        if self.pending_count()? >= PENDING {
            return Err(StoreError::Limit("what waits to be sent"));
        }
        let sql = "INSERT INTO pending (account, device, chat, message_id, content, reason, queued_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.run(
            sql,
            params![
                new.account.as_str(),
                new.device.map(DeviceId::get),
                new.chat.as_str(),
                new.message.as_bytes(),
                new.content,
                new.reason.code(),
                clamped(new.queued_at),
            ],
        )?;
        Ok(self.inserted())
    }

    /// What waits for an account, in order, at most `max`: for all of its devices and for single ones.
    pub fn pending_for(&self, account: &Username, max: usize) -> Result<Vec<Pending>> {
        let sql = format!("SELECT {COLUMNS} FROM pending WHERE account = ?1 ORDER BY id LIMIT ?2");
        self.all(&sql, (account.as_str(), count(max)), read)
    }

    /// What waits for an account in the order in which it is to be encrypted, at most `max`. What waits for single devices
    /// comes first: it was taken out of what waits for all of them before everything that still does.
    pub fn pending_to_encrypt(&self, account: &Username, max: usize) -> Result<Vec<Pending>> {
        let of = |which: &str, max: usize| {
            let sql = format!(
                "SELECT {COLUMNS} FROM pending WHERE account = ?1 AND device IS {which} ORDER BY id LIMIT ?2"
            );
            self.all(&sql, (account.as_str(), count(max)), read)
        };
        let mut rows = of("NOT NULL", max)?;
        rows.extend(of("NULL", max.saturating_sub(rows.len()))?);
        Ok(rows)
    }

    /// What waits for one device alone, in order, at most `max`.
    pub fn pending_for_device(
        &self,
        account: &Username,
        device: DeviceId,
        max: usize,
    ) -> Result<Vec<Pending>> {
        let sql =
            format!("SELECT {COLUMNS} FROM pending WHERE account = ?1 AND device = ?2 ORDER BY id LIMIT ?3");
        self.all(&sql, (account.as_str(), device.get(), count(max)), read)
    }

    /// Whether anything waits for this account as a whole or for this device: what is sent now must wait behind it.
    pub fn has_pending(&self, account: &Username, device: Option<DeviceId>) -> Result<bool> {
        let sql = "SELECT 1 FROM pending WHERE account = ?1 AND (device IS NULL OR ?2 IS NULL OR device = ?2) LIMIT 1";
        Ok(self.one(sql, (account.as_str(), device.map(DeviceId::get)), |_| Ok(()))?.is_some())
    }

    /// Who something waits for, and what for: distinct, by account.
    pub fn pending_targets(&self) -> Result<Vec<(Username, Option<DeviceId>, HeldFor)>> {
        let sql = "SELECT DISTINCT account, device, reason FROM pending ORDER BY account, device, reason";
        self.all(sql, [], |row| {
            let device = match row.get::<_, Option<i64>>(1)? {
                Some(_) => Some(row.device(1)?),
                None => None,
            };
            Ok((row.account(0)?, device, row.value(2)?))
        })
    }

    /// Changes what a content waits for.
    pub fn set_pending_reason(&self, id: i64, reason: HeldFor) -> Result<()> {
        self.run("UPDATE pending SET reason = ?2 WHERE id = ?1", (id, reason.code()))?;
        Ok(())
    }

    /// Changes what everything for an account waits for, where it waits for `from`. How many.
    pub fn change_pending_reason(&self, account: &Username, from: HeldFor, to: HeldFor) -> Result<usize> {
        let sql = "UPDATE pending SET reason = ?3 WHERE account = ?1 AND reason = ?2";
        self.run(sql, (account.as_str(), from.code(), to.code()))
    }

    /// Removes a content that was encrypted or given up.
    pub fn remove_pending(&self, id: i64) -> Result<bool> {
        Ok(self.run("DELETE FROM pending WHERE id = ?1", [id])? > 0)
    }

    /// Removes everything that waits for one device alone. How many.
    pub fn remove_pending_for_device(&self, account: &Username, device: DeviceId) -> Result<usize> {
        let sql = "DELETE FROM pending WHERE account = ?1 AND device = ?2";
        self.run(sql, (account.as_str(), device.get()))
    }

    /// Contents that were queued before a time (ms since 1970), oldest first, at most `max`: those to give up.
    pub fn pending_before(&self, queued_before: u64, max: usize) -> Result<Vec<Pending>> {
        let sql = format!("SELECT {COLUMNS} FROM pending WHERE queued_at < ?1 ORDER BY id LIMIT ?2");
        self.all(&sql, (clamped(queued_before), count(max)), read)
    }

    /// How many contents wait.
    pub fn pending_count(&self) -> Result<u64> {
        self.row("SELECT count(*) FROM pending", [], |row| row.number(0))
    }

    /// How many messages to an account are held for a reason.
    pub fn held_count(&self, account: &Username, reason: HeldFor) -> Result<u64> {
        let sql = "SELECT count(DISTINCT message_id) FROM pending WHERE account = ?1 AND reason = ?2";
        self.row(sql, (account.as_str(), reason.code()), |row| row.number(0))
    }
}
