//! Secret prekeys of this device, and the base keys that initial messages used.

use rusqlite::params;
use subrosa_crypto::{
    prekeys::PrekeySecret,
    verify::prekey::{Prekey, PrekeyKind},
};
use subrosa_protocol::{DeviceId, Username};

use super::{
    StoreError, Tx,
    codes::Code,
    error::Result,
    limits::{BASE_KEYS_KEPT_MS, EXPIRED_PREKEY_KEPT_MS, REPLACED_PREKEY_KEPT_MS},
    rows::{Columns, clamped},
};

/// How many prekeys of a kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrekeyCounts {
    /// Secrets kept.
    pub kept: u64,
    /// Of these, how many the relay has not confirmed yet.
    pub unpublished: u64,
}

impl Tx<'_> {
    /// Stores a new prekey before its public half is uploaded (R21). A signed or last-resort one replaces those of its
    /// kind, which are kept 30 days more. Raises the generation.
    pub fn put_prekey(&self, secret: &PrekeySecret, public: &Prekey) -> Result<()> {
        self.raise_generation()?;
        let kind = secret.kind.code();
        if !secret.kind.is_one_time() {
            let sql = "UPDATE prekeys SET replaced_at = ?1 WHERE kind = ?2 AND replaced_at IS NULL";
            self.run(sql, (clamped(secret.created_at), kind))?;
        }
        let sql = "INSERT INTO prekeys (kind, key_id, created_at, expires_at, secret, public)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.run(
            sql,
            params![
                kind,
                secret.key_id,
                clamped(secret.created_at),
                clamped(secret.expires_at),
                secret.to_bytes().as_slice(),
                public.to_bytes(),
            ],
        )?;
        Ok(())
    }

    /// The secret half of a prekey.
    pub fn prekey(&self, kind: PrekeyKind, key_id: u32) -> Result<Option<PrekeySecret>> {
        let sql = "SELECT secret FROM prekeys WHERE kind = ?1 AND key_id = ?2";
        self.one(sql, (kind.code(), key_id), |row| {
            PrekeySecret::from_bytes(&row.secret(0)?).map_err(|_| StoreError::Corrupt("prekey"))
        })
    }

    /// Deletes a one-time prekey that was used; whether it was there. Raises the generation when it was.
    pub fn delete_prekey(&self, kind: PrekeyKind, key_id: u32) -> Result<bool> {
        let there =
            self.run("DELETE FROM prekeys WHERE kind = ?1 AND key_id = ?2", (kind.code(), key_id))? > 0;
        if there {
            self.raise_generation()?;
        }
        Ok(there)
    }

    /// The newest prekey of a kind: its id, and when it was made (ms since 1970).
    pub fn newest_prekey(&self, kind: PrekeyKind) -> Result<Option<(u32, u64)>> {
        let sql = "SELECT key_id, created_at FROM prekeys WHERE kind = ?1 ORDER BY key_id DESC LIMIT 1";
        self.one(sql, [kind.code()], |row| Ok((row.get(0)?, row.number(1)?)))
    }

    /// How many prekeys of a kind there are.
    pub fn prekey_counts(&self, kind: PrekeyKind) -> Result<PrekeyCounts> {
        let sql = "SELECT count(*), count(public) FROM prekeys WHERE kind = ?1";
        self.row(sql, [kind.code()], |row| {
            Ok(PrekeyCounts { kept: row.number(0)?, unpublished: row.number(1)? })
        })
    }

    /// Public halves that the relay has not confirmed yet, oldest ids first, at most `max`: upload exactly these again
    /// after an interruption.
    pub fn unpublished_prekeys(&self, kind: PrekeyKind, max: usize) -> Result<Vec<Prekey>> {
        let sql =
            "SELECT public FROM prekeys WHERE kind = ?1 AND public IS NOT NULL ORDER BY key_id LIMIT ?2";
        self.all(sql, (kind.code(), super::rows::count(max)), |row| {
            Prekey::parse(&row.get::<_, Vec<u8>>(0)?).map_err(|_| StoreError::Corrupt("prekey"))
        })
    }

    /// The relay has these prekeys now.
    pub fn prekeys_published(&self, kind: PrekeyKind, key_ids: &[u32]) -> Result<()> {
        for key_id in key_ids {
            self.run(
                "UPDATE prekeys SET public = NULL WHERE kind = ?1 AND key_id = ?2",
                (kind.code(), key_id),
            )?;
        }
        Ok(())
    }

    /// Deletes prekeys whose time is over at `now` (ms since 1970): replaced ones 30 days after that, one-time ones 30
    /// days after they expired, since an envelope made before may wait in the mailbox that long. How many.
    pub fn expire_prekeys(&self, now: u64) -> Result<usize> {
        let sql = "DELETE FROM prekeys WHERE replaced_at <= ?1 OR (kind IN (?2, ?3) AND expires_at <= ?4)";
        let replaced = clamped(now.saturating_sub(REPLACED_PREKEY_KEPT_MS));
        let expired = clamped(now.saturating_sub(EXPIRED_PREKEY_KEPT_MS));
        let (ec, kem) = (PrekeyKind::OneTimeEc.code(), PrekeyKind::OneTimeKem.code());
        let gone = self.run(sql, (replaced, ec, kem, expired))?;
        if gone > 0 {
            self.raise_generation()?;
        }
        Ok(gone)
    }

    /// Whether an initial message of this device used this base key before (R15).
    pub fn base_key_seen(&self, account: &str, device: u32, base_key: &[u8; 32]) -> Result<bool> {
        let sql = "SELECT 1 FROM base_keys_seen WHERE account = ?1 AND device = ?2 AND base_key = ?3";
        Ok(self.one(sql, params![account, device, base_key], |_| Ok(()))?.is_some())
    }

    /// Remembers a base key for 60 days.
    pub fn remember_base_key(
        &self,
        account: &Username,
        device: DeviceId,
        key: &[u8; 32],
        now: u64,
    ) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO base_keys_seen (account, device, base_key, seen_at) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, params![account.as_str(), device.get(), key, clamped(now)])?;
        Ok(())
    }

    /// Forgets base keys seen more than 60 days before `now`.
    pub fn expire_base_keys(&self, now: u64) -> Result<usize> {
        let before = clamped(now.saturating_sub(BASE_KEYS_KEPT_MS));
        self.run("DELETE FROM base_keys_seen WHERE seen_at <= ?1", [before])
    }
}
