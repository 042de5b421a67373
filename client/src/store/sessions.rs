//! Session records: all Double Ratchet sessions with one peer device, in the form of `subrosa_crypto::session`.

use rusqlite::params;
use subrosa_protocol::{DeviceId, Username};
use zeroize::Zeroizing;

use super::{
    Tx,
    error::Result,
    limits::SESSION_BYTES,
    rows::{Columns, bounded, clamped},
};

impl Tx<'_> {
    /// The record of a peer device.
    pub fn session(&self, account: &Username, device: DeviceId) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let sql = "SELECT record FROM sessions WHERE account = ?1 AND device = ?2";
        self.one(sql, (account.as_str(), device.get()), |row| row.secret(0))
    }

    /// Stores the record of a peer device, over what was there. Raises the generation.
    pub fn put_session(&self, account: &Username, device: DeviceId, record: &[u8], now: u64) -> Result<()> {
        bounded(record.len(), SESSION_BYTES, "session record")?;
        self.raise_generation()?;
        let sql = "INSERT INTO sessions (account, device, record, updated_at) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (account, device) DO UPDATE SET record = excluded.record, updated_at = excluded.updated_at";
        self.run(sql, params![account.as_str(), device.get(), record, clamped(now)])?;
        Ok(())
    }

    /// Deletes the record of a peer device that is gone; whether there was one. Raises the generation when there was.
    pub fn delete_session(&self, account: &Username, device: DeviceId) -> Result<bool> {
        let sql = "DELETE FROM sessions WHERE account = ?1 AND device = ?2";
        let there = self.run(sql, (account.as_str(), device.get()))? > 0;
        if there {
            self.raise_generation()?;
        }
        Ok(there)
    }

    /// Deletes the records of all devices of an account. How many. Raises the generation when there was one.
    pub fn delete_sessions(&self, account: &Username) -> Result<usize> {
        let gone = self.run("DELETE FROM sessions WHERE account = ?1", [account.as_str()])?;
        if gone > 0 {
            self.raise_generation()?;
        }
        Ok(gone)
    }

    /// The devices of an account with which there is a session, ascending.
    pub fn session_devices(&self, account: &Username) -> Result<Vec<DeviceId>> {
        let sql = "SELECT device FROM sessions WHERE account = ?1 ORDER BY device";
        self.all(sql, [account.as_str()], |row| row.device(0))
    }

    /// When the session with a peer device was last made anew (ms since 1970).
    pub fn healed_at(&self, account: &Username, device: DeviceId) -> Result<Option<u64>> {
        let sql = "SELECT healed_at FROM healings WHERE account = ?1 AND device = ?2";
        self.one(sql, (account.as_str(), device.get()), |row| row.number(0))
    }

    /// The session with a peer device is made anew now.
    pub fn set_healed(&self, account: &Username, device: DeviceId, now: u64) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO healings (account, device, healed_at) VALUES (?1, ?2, ?3)";
        self.run(sql, (account.as_str(), device.get(), clamped(now)))?;
        Ok(())
    }
}
