//! Opening: durability settings, schema versions, backups, what is refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use refinery::{Migration, Runner};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore, opened};
use crate::store::{
    Store,
    conformance::*,
    sqlite::{OpenError, inspect, open},
};

const V1: &str = include_str!("../migrations/V1__accounts_and_mailboxes.sql");
const V3: &str = include_str!("../migrations/V3__rooms.sql");

fn runner(second: &str) -> Runner {
    let migration = |name: &str, sql: &str| Migration::unapplied(name, sql).unwrap();
    Runner::new(&[
        migration("V1__accounts_and_mailboxes", V1),
        migration("V3__rooms", V3),
        migration("V4__later", second),
    ])
}

/// Every file of a directory with its bytes, but for the shared memory, which readers touch.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .filter(|(name, bytes)| !(name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty()))
        .collect();
    files.sort();
    files
}

async fn filled(dir: &Path) {
    let store: AnyStore =
        std::sync::Arc::new(SqliteStore::open(&dir.join("relay.db"), SqliteOptions::default()).unwrap());
    join(&store, "alice").await;
    send(&store, "alice", "alice", envelopes(0..5)).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn r56_durability_is_read_back_and_state_survives() {
    let (store, dir) = opened(SqliteOptions::default());
    let setting = |name: &'static str| {
        store.write(0, move |txn| {
            Ok(txn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))?)
        })
    };
    assert_eq!(setting("synchronous").await, Ok(2));
    assert_eq!(setting("secure_delete").await, Ok(1));
    assert_eq!(setting("foreign_keys").await, Ok(1));
    assert_eq!(setting("temp_store").await, Ok(2));
    let mode =
        store.write(0, |txn| Ok(txn.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?));
    assert_eq!(mode.await.unwrap(), "wal");
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    drop((any, store));
    let store = SqliteStore::open(&dir.path().join("relay.db"), SqliteOptions::default()).unwrap();
    assert!(store.account(&name("alice")).await.unwrap().is_some());
}

#[tokio::test]
async fn r58_a_newer_schema_is_refused_untouched() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("relay.db");
    let newer = "UPDATE refinery_schema_history SET version = 99 WHERE version = 3";
    Connection::open(&path).unwrap().execute_batch(newer).unwrap();
    let before = contents(dir.path());
    let refused = SqliteStore::open(&path, SqliteOptions::default()).unwrap_err();
    assert!(matches!(refused, OpenError::NewerSchema { found: 99, known: 3, .. }), "{refused}");
    assert!(refused.to_string().contains("schema version 99, and this rosad knows versions up to 3"));
    assert_eq!(contents(dir.path()), before);
    assert_eq!(inspect(&path).unwrap().schema_version, 99);
}

#[tokio::test]
async fn r58_a_backup_is_written_before_a_migration() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("relay.db");
    // What is left of an earlier attempt is no obstacle.
    fs::write(dir.path().join("relay.db.v3.partial"), b"half").unwrap();
    let second = "ALTER TABLE accounts ADD COLUMN later INTEGER NOT NULL DEFAULT 5;";
    let conn = open::open_with(&path, &SqliteOptions::default(), runner(second)).unwrap();
    let later: i64 = conn.query_row("SELECT later FROM accounts", [], |row| row.get(0)).unwrap();
    assert_eq!(later, 5);
    drop(conn);
    // The way back: this version refuses the new schema, and runs on the backup with everything in it.
    assert!(matches!(
        SqliteStore::open(&path, SqliteOptions::default()),
        Err(OpenError::NewerSchema { found: 4, known: 3, .. })
    ));
    let backup = dir.path().join("relay.db.v3.backup");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join("relay.db.v3.partial").exists());
    fs::rename(&backup, &path).unwrap();
    let store: AnyStore = std::sync::Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    assert_eq!(mailbox(&store, "alice").await.len(), 5);
    store.check_integrity().await.unwrap();
}

#[tokio::test]
async fn r58_a_failing_migration_changes_nothing() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("relay.db");
    let second = "DELETE FROM envelopes; INSERT INTO nonsense VALUES (1);";
    let failed = open::open_with(&path, &SqliteOptions::default(), runner(second)).unwrap_err();
    assert!(matches!(failed, OpenError::Migration { .. }), "{failed}");
    let store: AnyStore = std::sync::Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    assert_eq!(mailbox(&store, "alice").await.len(), 5);
}

#[test]
fn files_of_others_are_refused_untouched() {
    let dir = TempDir::new().unwrap();
    let text = dir.path().join("notes.txt");
    fs::write(&text, "not a database, but long enough to have been one: ".repeat(100)).unwrap();
    let theirs = dir.path().join("theirs.db");
    Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let before = contents(dir.path());
    for path in [&text, &theirs] {
        let refused = SqliteStore::open(path, SqliteOptions::default()).unwrap_err();
        assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused}");
        assert!(inspect(path).is_err());
    }
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn an_empty_or_cut_short_file_is_a_new_store() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("relay.db");
    fs::write(&path, b"").unwrap();
    SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    let cut_short = dir.path().join("cut.db");
    Connection::open(&cut_short)
        .unwrap()
        .execute_batch("PRAGMA page_size = 2048; PRAGMA journal_mode = WAL")
        .unwrap();
    SqliteStore::open(&cut_short, SqliteOptions::default()).unwrap();
    assert_eq!(inspect(&cut_short).unwrap().problem, None);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // Root writes anywhere, but not in /proc.
    let root = fs::write(dir.path().join("probe"), b"").is_ok();
    let place = if root { Path::new("/proc") } else { dir.path() };
    for path in [place.join("relay.db"), dir.path().join("missing").join("relay.db")] {
        let refused = SqliteStore::open(&path, SqliteOptions::default()).unwrap_err();
        assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
        assert!(refused.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{refused}");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn damage_is_found() {
    let (store, dir) = opened(SqliteOptions::default());
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    send(&any, "alice", "alice", envelopes(0..1)).await;
    store.check_integrity().await.unwrap();
    for damage in [
        "UPDATE devices SET pending = 7",
        "DELETE FROM bodies",
        "DELETE FROM prekeys WHERE kind = 3",
        "UPDATE devices SET next_seq = 1",
    ] {
        let broken = store.write(0, move |txn| {
            txn.execute_batch(damage)?;
            let found = crate::store::sqlite::ops::upkeep::check_integrity(txn);
            // Rolled back with the error.
            Err::<(), _>(found.unwrap_err())
        });
        assert!(matches!(broken.await, Err(crate::store::StoreError::Corrupt(_))), "{damage}");
    }
    store.check_integrity().await.unwrap();
    assert_eq!(inspect(&dir.path().join("relay.db")).unwrap().problem, None);
}
