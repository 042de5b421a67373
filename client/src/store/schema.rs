//! Bringing a store to this version's schema.

use refinery::{Migration, Runner};
use rusqlite::Connection;

use super::error::{Result, StoreError};

/// Every migration, in order. One that was released is never changed; a change of the schema is a further file.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("../../migrations/V1__initial.sql")),
    ("V2__mls", include_str!("../../migrations/V2__mls.sql")),
    ("V3__rooms", include_str!("../../migrations/V3__rooms.sql")),
    ("V4__room_evidence", include_str!("../../migrations/V4__room_evidence.sql")),
    ("V5__room_seen", include_str!("../../migrations/V5__room_seen.sql")),
    ("V6__room_invited", include_str!("../../migrations/V6__room_invited.sql")),
    ("V7__deleted_by", include_str!("../../migrations/V7__deleted_by.sql")),
    ("V8__former_devices", include_str!("../../migrations/V8__former_devices.sql")),
    ("V9__earlier_invitations", include_str!("../../migrations/V9__earlier_invitations.sql")),
    ("V10__secure_deletions", include_str!("../../migrations/V10__secure_deletions.sql")),
];

fn runner() -> Result<Runner> {
    let migrations = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql));
    let migrations = migrations.collect::<Result<Vec<_>, _>>().map_err(told)?;
    Ok(Runner::new(&migrations))
}

fn told(error: impl std::fmt::Display) -> StoreError {
    StoreError::Migration(error.to_string())
}

/// Brings the store to this version's schema.
///
/// # Errors
/// [`StoreError::NewerSchema`] when a newer version wrote it; nothing was touched then.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let runner = runner()?;
    let known = runner.get_migrations().iter().map(Migration::version).max().unwrap_or(0);
    let found = version(connection)?;
    if found > i64::from(known) {
        let found = i32::try_from(found).unwrap_or(i32::MAX);
        return Err(StoreError::NewerSchema { found, known });
    }
    runner.run(connection).map_err(told)?;
    Ok(())
}

/// The version of the store's schema; 0 in a new one.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    let exists = "SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    if connection.query_row(exists, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    Ok(connection.query_row(newest, [], |row| row.get(0))?)
}
