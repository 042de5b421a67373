//! Opening: durability settings, schema versions, backups, what is refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use refinery::{Migration, Runner};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore, opened};
use crate::store::{
    Store,
    conformance::*,
    sqlite::{OpenError, inspect, inspect_journal, journal_beside, open},
};

const V1: &str = include_str!("../migrations/V1__accounts_and_mailboxes.sql");
const V2: &str = include_str!("../migrations/V2__mailbox_journal.sql");
const V3: &str = include_str!("../migrations/V3__rooms.sql");

/// The migrations, and one that does not exist yet.
fn runner(next: &str) -> Runner {
    Runner::new(&[
        migration("V1__accounts_and_mailboxes", V1),
        migration("V2__mailbox_journal", V2),
        migration("V3__rooms", V3),
        migration("V4__later", next),
    ])
}

fn migration(name: &str, sql: &str) -> Migration {
    Migration::unapplied(name, sql).unwrap()
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
        Arc::new(SqliteStore::open(&dir.join("relay.db"), SqliteOptions::default()).unwrap());
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
    let next = "ALTER TABLE accounts ADD COLUMN later INTEGER NOT NULL DEFAULT 5;";
    let conn = open::open_with(&path, &SqliteOptions::default(), runner(next)).unwrap();
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
    let store: AnyStore = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    assert_eq!(mailbox(&store, "alice").await.len(), 5);
    store.check_integrity().await.unwrap();
}

/// The first schema had a row for each remembered id, and no journal.
#[tokio::test]
async fn r58_the_first_schema_is_brought_up_to_date_with_everything_in_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("relay.db");
    let first = Runner::new(&[migration("V1__accounts_and_mailboxes", V1)]);
    let conn = open::open_with(&path, &SqliteOptions::default(), first).unwrap();
    let account = "INSERT INTO accounts (id, name, display_name, account_key, opaque_record, admin, list_version, highest_device)
                   VALUES (1, 'alice', 'Alice', zeroblob(32), x'', 0, 1, 1);
                   INSERT INTO device_lists VALUES (1, 1, x'01000000', x'', zeroblob(64));
                   INSERT INTO devices (id, account, device, signing_key, last_seen_day, next_seq, pending, pending_bytes)
                   VALUES (5, 1, 1, zeroblob(32), 0, 301, 2, 80);
                   INSERT INTO prekeys VALUES (5, 1, 1, x''), (5, 3, 1, x'')";
    conn.execute_batch(account).unwrap();
    for id in 0..300u64 {
        let envelope = envelope(id.into(), 40);
        let values = (envelope.id.as_bytes(), id as i64 + 1, (NOW + id) as i64);
        conn.execute(
            "INSERT INTO accepted_ids (device, id, seq, accepted_at) VALUES (5, ?1, ?2, ?3)",
            values,
        )
        .unwrap();
        if id >= 298 {
            let body = crate::store::sqlite::body::lay_out(&envelope.sealed).unwrap();
            conn.execute("INSERT INTO bodies (body) VALUES (?1)", [body]).unwrap();
            let sql = "INSERT INTO envelopes SELECT device, seq, id, accepted_at, 40, ?2 FROM accepted_ids WHERE seq = ?1";
            conn.execute(sql, (id as i64 + 1, conn.last_insert_rowid())).unwrap();
        }
    }
    drop(conn);
    let store: AnyStore = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
    store.check_integrity().await.unwrap();
    assert_eq!(mailbox(&store, "alice").await, [(299, 298), (300, 299)]);
    for id in [0u128, 62, 63, 64, 150, 299] {
        let answer =
            store.append_envelopes(delivery("alice", "alice", vec![envelope(id, 40)])).await.unwrap();
        let accepted_at = NOW + u64::try_from(id).unwrap();
        assert_eq!(answer, crate::store::Appended::Accepted { accepted_at, fresh: vec![] }, "{id}");
    }
    assert_eq!(send(&store, "alice", "alice", envelopes(300..302)).await, [301, 302]);
    store.close().await.unwrap();
    assert!(dir.path().join("relay.db.v1.backup").exists());
    assert_eq!(inspect(&path).unwrap().schema_version, 3);
}

/// A relay of the second schema was killed: what stood in its journal alone is in the new tables, and in the backup.
#[tokio::test]
async fn r58_the_journal_is_folded_in_before_a_migration() {
    let dir = TempDir::new().unwrap();
    let (from, path) = (dir.path().join("killed.db"), dir.path().join("relay.db"));
    let options = || SqliteOptions { fold_after: Duration::from_secs(3600), ..SqliteOptions::default() };
    let store: AnyStore = Arc::new(SqliteStore::open(&from, options()).unwrap());
    join(&store, "alice").await;
    send(&store, "alice", "alice", envelopes(0..2)).await;
    store.statistics().await.unwrap();
    send(&store, "alice", "alice", envelopes(2..5)).await;
    store.ack_mailbox(&name("alice"), device(1), 1, 0).await.unwrap().unwrap();
    for (from, to) in [("killed.db", "relay.db"), ("killed.db-wal", "relay.db-wal")] {
        fs::copy(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    fs::copy(journal_beside(&from), journal_beside(&path)).unwrap();
    drop(store);
    let conn = Connection::open(&path).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name LIKE 'room%' OR name LIKE 'key_pack%')";
    let tables: Vec<String> =
        conn.prepare(tables).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(tables.len(), 11, "{tables:?}");
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    for table in tables {
        conn.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    conn.execute_batch("DELETE FROM refinery_schema_history WHERE version = 3").unwrap();
    assert_eq!(conn.query_row("SELECT pending FROM devices", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    drop(conn);
    assert!(inspect_journal(&path).unwrap() > 0);
    drop(open::open(&path, &options()).unwrap());
    assert_eq!(inspect_journal(&path).unwrap(), 0);
    let waiting = |path: &Path| {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT pending FROM devices", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((waiting(&path), waiting(&dir.path().join("relay.db.v2.backup"))), (4, 4));
    let store: AnyStore = Arc::new(SqliteStore::open(&path, options()).unwrap());
    assert_eq!(mailbox(&store, "alice").await.len(), 4);
    store.check_integrity().await.unwrap();
}

#[tokio::test]
async fn r58_a_failing_migration_changes_nothing() {
    let dir = TempDir::new().unwrap();
    filled(dir.path()).await;
    let path = dir.path().join("relay.db");
    let next = "DELETE FROM envelopes; INSERT INTO nonsense VALUES (1);";
    let failed = open::open_with(&path, &SqliteOptions::default(), runner(next)).unwrap_err();
    assert!(matches!(failed, OpenError::Migration { .. }), "{failed}");
    let store: AnyStore = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
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
