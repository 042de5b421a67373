//! State of rooms: what `subrosa_rooms` keeps, in the transaction that also holds the message, the cursor and the
//! outbox (R22). Every write raises the generation (R23).

use subrosa_rooms::{
    RoomError, StoreFailure,
    store::{Part, RoomStore},
};

use super::{
    Tx,
    codes::Code,
    error::{Result, StoreError},
    limits::{MLS_KEY_BYTES, MLS_VALUE_BYTES},
    rows::bounded,
};
use crate::api::RoomState;

impl RoomStore for Tx<'_> {
    fn get(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFailure> {
        self.mls_value(part, key).map_err(StoreFailure::new)
    }

    fn put(&self, part: Part, key: &[u8], value: &[u8]) -> Result<(), StoreFailure> {
        self.put_mls_value(part, key, value).map_err(StoreFailure::new)
    }

    fn remove(&self, part: Part, key: &[u8]) -> Result<(), StoreFailure> {
        self.remove_mls_value(part, key).map_err(StoreFailure::new)
    }

    fn keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreFailure> {
        self.mls_keys(part, prefix).map_err(StoreFailure::new)
    }
}

impl From<StoreFailure> for StoreError {
    fn from(failure: StoreFailure) -> Self {
        failure.downcast().unwrap_or(Self::Corrupt("state of a room"))
    }
}

impl From<StoreError> for RoomError {
    fn from(error: StoreError) -> Self {
        StoreFailure::new(error).into()
    }
}

impl Tx<'_> {
    fn mls_value(&self, part: Part, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM mls_state WHERE kind = ?1 AND key = ?2";
        self.one(sql, (part as u8, key), |row| Ok(row.get(0)?))
    }

    fn put_mls_value(&self, part: Part, key: &[u8], value: &[u8]) -> Result<()> {
        bounded(key.len(), MLS_KEY_BYTES, "key of a room's state")?;
        bounded(value.len(), MLS_VALUE_BYTES, "state of a room")?;
        self.raise_generation()?;
        let sql = "INSERT INTO mls_state (kind, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value";
        self.run(sql, (part as u8, key, value))?;
        Ok(())
    }

    fn remove_mls_value(&self, part: Part, key: &[u8]) -> Result<()> {
        let sql = "DELETE FROM mls_state WHERE kind = ?1 AND key = ?2";
        if self.run(sql, (part as u8, key))? > 0 {
            self.raise_generation()?;
        }
        Ok(())
    }

    fn mls_keys(&self, part: Part, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let sql = "SELECT key FROM mls_state WHERE kind = ?1 AND key >= ?2 ORDER BY key";
        let mut found = Vec::new();
        self.each(sql, (part as u8, prefix), |row| {
            let key: Vec<u8> = row.get(0)?;
            let fits = key.starts_with(prefix);
            if fits {
                found.push(key);
            }
            Ok(fits)
        })?;
        Ok(found)
    }

    /// Erases the state of all rooms and key packages: this device's keys are given up (R23), and it is in no room any more.
    pub fn erase_rooms(&self) -> Result<()> {
        let sql = "UPDATE rooms SET state = ?1, role = NULL, owner_secret = NULL, next_secret = NULL, invited_by = NULL,
                   invitation = NULL, refused = NULL, denied = 0, accepting = 0, leaving = 0 WHERE state <> ?2";
        self.run(sql, [RoomState::Removed.code(), RoomState::Left.code()])?;
        if self.run("DELETE FROM mls_state", [])? > 0 {
            self.raise_generation()?;
        }
        Ok(())
    }
}
