//! From rows to types and back. What a row holds was checked before it was stored; it is checked again, since the file
//! may be damaged.

use rusqlite::{Row, RowIndex};
use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, RoomId, Username};
use zeroize::Zeroizing;

use super::{
    codes::Code,
    error::{Result, StoreError},
};
use crate::chat::ChatId;

/// A number for a column; what does not fit becomes the greatest that does. For times and sizes, not for counters.
pub(super) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter for a column.
pub(super) fn counter(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| StoreError::Limit("counter"))
}

/// Refuses what is longer than `max` bytes.
pub(super) const fn bounded(len: usize, max: usize, what: &'static str) -> Result<()> {
    if len > max { Err(StoreError::Limit(what)) } else { Ok(()) }
}

/// `LIMIT` of a page: what was asked for, up to `max`.
pub(super) fn page(limit: u32, max: u32) -> i64 {
    i64::from(limit.min(max))
}

/// A count that the caller gave as `usize`.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Typed columns.
pub(super) trait Columns {
    /// A number that is never negative.
    fn number(&self, column: impl RowIndex) -> Result<u64>;
    /// The same, or NULL.
    fn number_or_null(&self, column: impl RowIndex) -> Result<Option<u64>>;
    /// A stored enumeration.
    fn value<T: Code>(&self, column: impl RowIndex) -> Result<T>;
    /// An account.
    fn account(&self, column: impl RowIndex) -> Result<Username>;
    /// A chat.
    fn chat(&self, column: impl RowIndex) -> Result<ChatId>;
    /// A room.
    fn room(&self, column: impl RowIndex) -> Result<RoomId>;
    /// A device.
    fn device(&self, column: impl RowIndex) -> Result<DeviceId>;
    /// A message id.
    fn message_id(&self, column: impl RowIndex) -> Result<MessageId>;
    /// An envelope id.
    fn envelope_id(&self, column: impl RowIndex) -> Result<EnvelopeId>;
    /// Bytes to be erased after use.
    fn secret(&self, column: impl RowIndex) -> Result<Zeroizing<Vec<u8>>>;
}

impl Columns for Row<'_> {
    fn number(&self, column: impl RowIndex) -> Result<u64> {
        u64::try_from(self.get::<_, i64>(column)?).map_err(|_| StoreError::Corrupt("number"))
    }

    fn number_or_null(&self, column: impl RowIndex) -> Result<Option<u64>> {
        let number: Option<i64> = self.get(column)?;
        number.map(|n| u64::try_from(n).map_err(|_| StoreError::Corrupt("number"))).transpose()
    }

    fn value<T: Code>(&self, column: impl RowIndex) -> Result<T> {
        T::from_code(self.get(column)?)
    }

    fn account(&self, column: impl RowIndex) -> Result<Username> {
        Username::new(self.get::<_, String>(column)?).map_err(|_| StoreError::Corrupt("username"))
    }

    fn room(&self, column: impl RowIndex) -> Result<RoomId> {
        Ok(RoomId::from_bytes(self.get(column)?))
    }

    fn chat(&self, column: impl RowIndex) -> Result<ChatId> {
        self.get::<_, String>(column)?.parse().map_err(|_| StoreError::Corrupt("chat"))
    }

    fn device(&self, column: impl RowIndex) -> Result<DeviceId> {
        let number =
            u32::try_from(self.get::<_, i64>(column)?).map_err(|_| StoreError::Corrupt("device id"))?;
        DeviceId::new(number).map_err(|_| StoreError::Corrupt("device id"))
    }

    fn message_id(&self, column: impl RowIndex) -> Result<MessageId> {
        Ok(MessageId::from_bytes(self.get(column)?))
    }

    fn envelope_id(&self, column: impl RowIndex) -> Result<EnvelopeId> {
        Ok(EnvelopeId::from_bytes(self.get(column)?))
    }

    fn secret(&self, column: impl RowIndex) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.get(column)?))
    }
}
