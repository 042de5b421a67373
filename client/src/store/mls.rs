//! The state of MLS groups: in the transaction that also holds the message, the cursor and the outbox (R22).

use rusqlite::params;
use subrosa_crypto::rooms::store::{Part, RoomStore};

use super::{StoreError, Tx, error::Result};

impl RoomStore for Tx<'_> {
    type Error = StoreError;

    fn get(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM mls WHERE part = ?1 AND key = ?2";
        self.one(sql, params![part as u8, key], |row| Ok(row.get(0)?))
    }

    /// Raises the generation.
    fn put(&self, part: Part, key: &[u8], value: &[u8]) -> Result<()> {
        self.raise_generation()?;
        let sql = "INSERT INTO mls (part, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (part, key) DO UPDATE SET value = excluded.value";
        self.run(sql, params![part as u8, key, value])?;
        Ok(())
    }

    fn remove(&self, part: Part, key: &[u8]) -> Result<()> {
        if self.run("DELETE FROM mls WHERE part = ?1 AND key = ?2", params![part as u8, key])? > 0 {
            self.raise_generation()?;
        }
        Ok(())
    }

    fn keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let sql = "SELECT key FROM mls WHERE part = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2 ORDER BY key";
        self.all(sql, params![part as u8, prefix], |row| Ok(row.get(0)?))
    }
}
