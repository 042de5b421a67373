//! Forgetting what is too old.

use super::{
    Tx,
    error::Result,
    limits::{DEFERRED_KEPT_MS, SENT_KEPT_MS},
    rows::clamped,
};

impl Tx<'_> {
    /// Forgets everything that is too old at `now` (ms since 1970): prekeys, base keys, envelope ids, sent plaintexts,
    /// envelopes put aside, receipts for messages that never came. Call it about once an hour; it is cheap when there is nothing to do.
    pub fn expire(&self, now: u64) -> Result<()> {
        self.expire_prekeys(now)?;
        self.expire_base_keys(now)?;
        self.expire_envelope_ids(now)?;
        self.expire_deferred(now.saturating_sub(DEFERRED_KEPT_MS))?;
        self.expire_early_receipts(now)?;
        self.run("DELETE FROM sent WHERE sent_at <= ?1", [clamped(now.saturating_sub(SENT_KEPT_MS))])?;
        Ok(())
    }
}
