//! Receipts: each message id gets each kind at most once in its life (R45).
//!
//! Beside those that are to be given, the table keeps receipts that came before the message they are for: another device of
//! this account wrote it, and its copy is still on its way. Their `kind` is raised by [`EARLY`], and their `due_at` is when
//! they are forgotten.

use rusqlite::{Row, params};
use subrosa_protocol::{MessageId, Username, content::ReceiptKind};

use super::{
    Tx,
    codes::Code,
    error::Result,
    limits::{EARLY_RECEIPTS, EARLY_RECEIPTS_KEPT_MS},
    rows::{Columns, clamped, count},
};

/// What the stored kind of a receipt is raised by that came before its message. The statements name it as a literal.
const EARLY: i64 = 2;

/// A receipt that is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReceipt {
    /// To the account that wrote the message.
    pub account: Username,
    /// For which message.
    pub message: MessageId,
    /// Which.
    pub kind: ReceiptKind,
}

impl Tx<'_> {
    /// Notes that a receipt is to be given to the account that wrote a message, at `due_at` (ms since 1970). `false`, and
    /// nothing is changed, when one of this kind was noted for this message before, given or not.
    pub fn note_receipt(
        &self,
        account: &Username,
        message: MessageId,
        kind: ReceiptKind,
        due_at: u64,
    ) -> Result<bool> {
        let sql =
            "INSERT OR IGNORE INTO receipts (account, message_id, kind, due_at) VALUES (?1, ?2, ?3, ?4)";
        let params = params![account.as_str(), message.as_bytes(), kind.code(), clamped(due_at)];
        Ok(self.run(sql, params)? > 0)
    }

    /// The accounts to which receipts are due at `now`.
    pub fn receipt_targets(&self, now: u64) -> Result<Vec<Username>> {
        let sql =
            "SELECT DISTINCT account FROM receipts WHERE due_at IS NOT NULL AND due_at <= ?1 AND kind < 2
                   ORDER BY account";
        self.all(sql, [clamped(now)], |row| row.account(0))
    }

    /// The receipts that are to be given to an account, those not yet due included (they may ride along), soonest first,
    /// at most `max`.
    pub fn receipts_for(&self, account: &Username, max: usize) -> Result<Vec<DueReceipt>> {
        let sql = "SELECT account, message_id, kind FROM receipts WHERE due_at IS NOT NULL AND account = ?1 AND kind < 2
                   ORDER BY due_at, message_id LIMIT ?2";
        self.all(sql, (account.as_str(), count(max)), read)
    }

    /// The receipts that are due at `now`, soonest first, at most `max`.
    pub fn due_receipts(&self, now: u64, max: usize) -> Result<Vec<DueReceipt>> {
        let sql = "SELECT account, message_id, kind FROM receipts WHERE due_at IS NOT NULL AND due_at <= ?1
                   AND kind < 2 ORDER BY due_at, account, message_id LIMIT ?2";
        self.all(sql, (clamped(now), count(max)), read)
    }

    /// These receipts were given (encrypted into the outbox), or will not be: they never come up again.
    pub fn receipts_given(&self, receipts: &[DueReceipt]) -> Result<()> {
        let sql = "UPDATE receipts SET due_at = NULL WHERE account = ?1 AND message_id = ?2 AND kind = ?3";
        for DueReceipt { account, message, kind } in receipts {
            self.run(sql, params![account.as_str(), message.as_bytes(), kind.code()])?;
        }
        Ok(())
    }

    /// Puts off the receipts to an account that cannot be reached now.
    pub fn postpone_receipts(&self, account: &Username, due_at: u64) -> Result<()> {
        let sql = "UPDATE receipts SET due_at = max(due_at, ?2) WHERE account = ?1 AND due_at IS NOT NULL AND kind < 2";
        self.run(sql, (account.as_str(), clamped(due_at)))?;
        Ok(())
    }

    /// No receipt that is to be given to an account is given, now or later.
    pub fn drop_receipts(&self, account: &Username) -> Result<()> {
        let sql = "UPDATE receipts SET due_at = NULL WHERE account = ?1 AND due_at IS NOT NULL AND kind < 2";
        self.run(sql, [account.as_str()])?;
        Ok(())
    }

    /// When the next receipt is due (ms since 1970).
    pub fn next_receipt(&self) -> Result<Option<u64>> {
        let sql = "SELECT min(due_at) FROM receipts WHERE due_at IS NOT NULL AND kind < 2";
        self.row(sql, [], |row| row.number_or_null(0))
    }

    /// Keeps a receipt of `account` for messages that are not stored: another device of this account may have written them,
    /// and their copies are still to come. At most [`EARLY_RECEIPTS`] are kept; of more, the oldest of the account that
    /// gave the most are forgotten.
    pub fn keep_early_receipts(
        &self,
        account: &Username,
        messages: &[MessageId],
        kind: ReceiptKind,
        now: u64,
    ) -> Result<()> {
        let until = clamped(now.saturating_add(EARLY_RECEIPTS_KEPT_MS));
        let sql =
            "INSERT OR IGNORE INTO receipts (account, message_id, kind, due_at) VALUES (?1, ?2, ?3, ?4)";
        for message in messages {
            self.run(sql, params![account.as_str(), message.as_bytes(), kind.code() + EARLY, until])?;
        }
        let oldest = "DELETE FROM receipts WHERE (account, message_id, kind) IN (
                          SELECT account, message_id, kind FROM receipts
                          WHERE due_at IS NOT NULL AND kind >= 2 AND account = (
                              SELECT account FROM receipts WHERE due_at IS NOT NULL AND kind >= 2
                              GROUP BY account ORDER BY count(*) DESC, account LIMIT 1)
                          ORDER BY due_at, message_id LIMIT ?1)";
        loop {
            let excess = self.early_receipts()?.saturating_sub(EARLY_RECEIPTS);
            if excess == 0 || self.run(oldest, [clamped(excess)])? == 0 {
                return Ok(());
            }
        }
    }

    /// The receipts of `account` that came before this message, *delivered* first. They are not kept any longer.
    pub fn take_early_receipts(&self, account: &Username, message: MessageId) -> Result<Vec<ReceiptKind>> {
        let params = (account.as_str(), message.as_bytes());
        let sql =
            "SELECT kind FROM receipts WHERE account = ?1 AND message_id = ?2 AND kind >= 2 ORDER BY kind";
        let kinds =
            self.all(sql, params, |row| ReceiptKind::from_code(row.get::<_, i64>(0)?.saturating_sub(EARLY)))?;
        if !kinds.is_empty() {
            self.run("DELETE FROM receipts WHERE account = ?1 AND message_id = ?2 AND kind >= 2", params)?;
        }
        Ok(kinds)
    }

    /// How many receipts are kept that came before their messages.
    pub fn early_receipts(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM receipts WHERE due_at IS NOT NULL AND kind >= 2";
        self.row(sql, [], |row| row.number(0))
    }

    /// Forgets receipts for messages that did not come in time.
    pub(super) fn expire_early_receipts(&self, now: u64) -> Result<()> {
        self.run("DELETE FROM receipts WHERE due_at <= ?1 AND kind >= 2", [clamped(now)])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<DueReceipt> {
    Ok(DueReceipt { account: row.account(0)?, message: row.message_id(1)?, kind: row.value(2)? })
}
