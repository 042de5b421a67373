//! Between Rust values and columns: errors, integers, fixed-size bytes.

use rusqlite::{Connection, Error, ErrorCode, Row, Statement, types::FromSql};
use subrosa_protocol::DeviceId;

use crate::store::StoreError;

/// What an SQLite error means to a caller of the store.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt(error.to_string()),
                _ => Self::Failed(error.to_string()),
            },
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// For SQLite's signed 64 bits. What does not fit was never stored, and the greatest stands for it.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column that holds no negative number.
pub(super) fn nat(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| damaged("a negative number"))
}

/// A column of exactly `N` bytes.
pub(super) fn fixed<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N], StoreError> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| damaged("a column without bytes"))?;
    bytes.try_into().map_err(|_| damaged("bytes of the wrong length"))
}

/// A device number.
pub(super) fn device_id(number: u32) -> Result<DeviceId, StoreError> {
    DeviceId::new(number).map_err(|_| damaged("device 0"))
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}

/// A statement that is prepared once a connection.
pub(super) fn cached<'c>(
    conn: &'c Connection,
    sql: &str,
) -> Result<rusqlite::CachedStatement<'c>, StoreError> {
    Ok(conn.prepare_cached(sql)?)
}

/// The one row of a query, or none.
pub(super) fn optional<T>(
    statement: &mut Statement<'_>,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// The first column of the one row of a query, or none.
pub(super) fn scalar<T: FromSql>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<Option<T>, StoreError> {
    optional(&mut *cached(conn, sql)?, params, |row| Ok(row.get(0)?))
}
