//! Receipts: each message id gets each kind at most once in its life (R45).

use rusqlite::{Row, params};
use subrosa_protocol::{MessageId, Username, content::ReceiptKind};

use super::{
    Tx,
    codes::Code,
    error::Result,
    rows::{Columns, clamped, count},
};

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
        let sql = "SELECT DISTINCT account FROM receipts WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY account";
        self.all(sql, [clamped(now)], |row| row.account(0))
    }

    /// The receipts that are to be given to an account, those not yet due included (they may ride along), soonest first,
    /// at most `max`.
    pub fn receipts_for(&self, account: &Username, max: usize) -> Result<Vec<DueReceipt>> {
        let sql = "SELECT account, message_id, kind FROM receipts WHERE due_at IS NOT NULL AND account = ?1
                   ORDER BY due_at, message_id LIMIT ?2";
        self.all(sql, (account.as_str(), count(max)), read)
    }

    /// The receipts that are due at `now`, soonest first, at most `max`.
    pub fn due_receipts(&self, now: u64, max: usize) -> Result<Vec<DueReceipt>> {
        let sql = "SELECT account, message_id, kind FROM receipts WHERE due_at IS NOT NULL AND due_at <= ?1
                   ORDER BY due_at, account, message_id LIMIT ?2";
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
        let sql = "UPDATE receipts SET due_at = max(due_at, ?2) WHERE account = ?1 AND due_at IS NOT NULL";
        self.run(sql, (account.as_str(), clamped(due_at)))?;
        Ok(())
    }

    /// No receipt that is to be given to an account is given, now or later.
    pub fn drop_receipts(&self, account: &Username) -> Result<()> {
        self.run(
            "UPDATE receipts SET due_at = NULL WHERE account = ?1 AND due_at IS NOT NULL",
            [account.as_str()],
        )?;
        Ok(())
    }

    /// When the next receipt is due (ms since 1970).
    pub fn next_receipt(&self) -> Result<Option<u64>> {
        self.row("SELECT min(due_at) FROM receipts WHERE due_at IS NOT NULL", [], |row| row.number_or_null(0))
    }
}

fn read(row: &Row<'_>) -> Result<DueReceipt> {
    Ok(DueReceipt { account: row.account(0)?, message: row.message_id(1)?, kind: row.value(2)? })
}
