//! Opening an encrypted file and making sure of its settings (R26).

use std::{fmt::Write as _, path::Path};

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::error::{Result, StoreError};

/// Length of a database key in bytes.
pub(super) const KEY_BYTES: usize = 32;

/// What every connection must say of itself: name of the pragma, the value it is set to, the value it reads back.
///
/// `cipher_memory_security` stays off: it locks and wipes every single allocation of SQLite, which costs two system calls
/// each, and protects against what the process rules out as a whole: it leaves no core dump and cannot be attached to
/// (see [`crate::profile::harden_process`]). While a store is open its key is in memory in any case.
pub(super) const SETTINGS: &[(&str, &str, &str)] = &[
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", "2"),
    ("secure_delete", "ON", "1"),
    ("temp_store", "MEMORY", "2"),
    ("foreign_keys", "ON", "1"),
    ("trusted_schema", "OFF", "0"),
    ("cell_size_check", "ON", "1"),
    ("cipher_log_source", "NONE", "NONE"),
];

/// Statements kept prepared.
const STATEMENTS: usize = 256;
/// Bytes to which the write-ahead log is cut when it is folded in.
const WAL_BYTES: u32 = 4 * 1024 * 1024;

/// Opens a file that exists (it may be empty) with a raw key, and makes its settings.
///
/// # Errors
/// [`StoreError::Unreadable`] when the key does not fit or the file is damaged; [`StoreError::Setting`] when a setting
/// does not hold.
pub(super) fn open(path: &Path, key: &[u8; KEY_BYTES]) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_quiet(&connection)?;
    give_key(&connection, key)?;
    match connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)) {
        Ok(_) => {}
        Err(error) => {
            return Err(match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                    StoreError::Unreadable(path.to_owned())
                }
                _ => error.into(),
            });
        }
    }
    configure(&connection)?;
    check(&connection)?;
    Ok(connection)
}

/// A store in memory, for tests and simulations: nothing of it is ever written.
pub(super) fn in_memory() -> Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// SQLCipher writes its own log to stderr, in the middle of somebody's screen: it is switched off, for the whole process.
/// What goes wrong comes back as an error anyway. Before the key is given, since that may log already.
fn keep_quiet(connection: &Connection) -> Result<()> {
    connection.pragma_update_and_check(None, "cipher_log_source", "NONE", |_| Ok(()))?;
    Ok(())
}

fn give_key(connection: &Connection, key: &[u8; KEY_BYTES]) -> Result<()> {
    // The full length at once, so that no half-written copy is left behind by growing.
    let mut pragma = Zeroizing::new(String::with_capacity(32 + 2 * KEY_BYTES));
    pragma.push_str("PRAGMA key = \"x'");
    for byte in key {
        write!(pragma, "{byte:02x}").map_err(|_| StoreError::Corrupt("key"))?;
    }
    pragma.push_str("'\";");
    // An error of this statement could quote it, and with it the key: it is replaced.
    connection.execute_batch(&pragma).map_err(|_| StoreError::Corrupt("key"))
}

fn configure(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    for (name, value, _) in SETTINGS {
        connection.pragma_update(None, name, value)?;
    }
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    Ok(())
}

/// The value a connection reads back for a pragma.
pub(super) fn setting(connection: &Connection, name: &str) -> Result<String> {
    let value = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))?;
    Ok(match value {
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    })
}

/// Reads every setting back.
///
/// # Errors
/// [`StoreError::Setting`] for the first that does not hold.
pub(super) fn check(connection: &Connection) -> Result<()> {
    for (name, _, expected) in SETTINGS {
        let got = setting(connection, name)?;
        if got != *expected {
            return Err(StoreError::Setting { setting: name, expected, got });
        }
    }
    let cipher: String =
        connection.pragma_query_value(None, "cipher_version", |row| row.get(0)).unwrap_or_default();
    if cipher.is_empty() {
        return Err(StoreError::Setting { setting: "cipher_version", expected: "a version", got: cipher });
    }
    Ok(())
}
