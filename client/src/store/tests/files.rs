use std::{fs, path::Path};

use rusqlite::Connection;

use super::*;
use crate::{
    api::{ApiError, Kind},
    store::{StoreError, sqlcipher},
};

const KEY: [u8; 32] = [0x5a; 32];

fn open(directory: &Path) -> Result<Store> {
    Store::open_at(&directory.join("store.db"), &KEY)
}

#[test]
fn r26_every_setting_is_read_back() {
    let directory = private_directory();
    let store = open(directory.path()).unwrap();
    let read = |name: &str| sqlcipher::setting(store.raw(), name).unwrap();
    assert_eq!(read("journal_mode"), "wal");
    assert_eq!(read("synchronous"), "2", "FULL");
    assert_eq!(read("secure_delete"), "1");
    assert_eq!(read("temp_store"), "2", "MEMORY");
    assert_eq!(read("foreign_keys"), "1");
    assert_eq!(read("trusted_schema"), "0");
    assert!(read("cipher_version").starts_with("4."));
    assert_eq!(read("cipher_use_hmac"), "1");
    assert!(store.check().iter().all(|item| item.ok), "{:?}", store.check());
}

#[test]
fn r26_a_setting_that_does_not_hold_is_found() {
    let directory = private_directory();
    let store = open(directory.path()).unwrap();
    for (name, weak) in [
        ("synchronous", "NORMAL"),
        ("secure_delete", "FAST"),
        ("temp_store", "FILE"),
        ("foreign_keys", "OFF"),
    ] {
        let strong = sqlcipher::setting(store.raw(), name).unwrap();
        store.raw().pragma_update(None, name, weak).unwrap();
        let found = sqlcipher::check(store.raw());
        assert!(
            matches!(found, Err(StoreError::Setting { setting, .. }) if setting == name),
            "{name}: {found:?}"
        );
        store.raw().pragma_update(None, name, strong).unwrap();
    }
    assert!(sqlcipher::check(store.raw()).is_ok());
}

#[test]
fn a_store_comes_back_and_leaves_no_log_behind() {
    let directory = private_directory();
    let mut store = open(directory.path()).unwrap();
    change(&mut store, |tx| tx.insert_message(&text(1, "bob", "hello")).map(drop));
    assert!(directory.path().join("store.db-wal").metadata().unwrap().len() > 0);
    store.close().unwrap();
    assert!(!directory.path().join("store.db-wal").exists());
    assert!(!directory.path().join("store.db-shm").exists());
    let store = open(directory.path()).unwrap();
    assert!(look(&store, |tx| tx.message(id(1))).is_some());
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let directory = private_directory();
    open(directory.path()).unwrap().close().unwrap();
    let path = directory.path().join("store.db");
    let before = fs::read(&path).unwrap();
    assert!(matches!(Store::open_at(&path, &[1; 32]), Err(StoreError::Unreadable(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn r58_a_newer_schema_is_refused_before_anything_is_touched() {
    let directory = private_directory();
    let mut store = open(directory.path()).unwrap();
    change(&mut store, |tx| tx.insert_message(&text(1, "bob", "hello")).map(drop));
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')";
    store.raw().execute(newer, []).unwrap();
    store.close().unwrap();
    let path = directory.path().join("store.db");
    let before = fs::read(&path).unwrap();
    let refused = open(directory.path());
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 99, known: 10 })));
    let told = ApiError::from(refused.err().unwrap());
    assert_eq!(told.kind, Kind::NotReady);
    assert!(told.hint.unwrap().contains("newer version"));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damage_is_told_clearly() {
    let directory = private_directory();
    let mut store = open(directory.path()).unwrap();
    change(&mut store, |tx| {
        for number in 0..200 {
            tx.insert_message(&text(number, "bob", &"words ".repeat(40)))?;
        }
        Ok(())
    });
    store.close().unwrap();
    let path = directory.path().join("store.db");
    let good = fs::read(&path).unwrap();

    // A bit of the first page: nothing can be read.
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&path, &bad).unwrap();
    let told = ApiError::from(open(directory.path()).err().unwrap());
    assert_eq!(told.kind, Kind::NotReady);
    assert!(told.message.contains("damaged") && told.message.contains("store.db"), "{}", told.message);
    assert!(told.hint.is_some());

    // A bit of every other page: it opens or not, but damage is never taken for data.
    let mut bad = good.clone();
    for page in 1..good.len() / 4096 {
        bad[page * 4096 + 100] ^= 1;
    }
    fs::write(&path, &bad).unwrap();
    match open(directory.path()) {
        Err(error) => assert_eq!(ApiError::from(error).kind, Kind::NotReady),
        Ok(store) => {
            assert!(store.check().iter().any(|item| !item.ok));
            let read = store.read(|tx| tx.history(&name("bob").into(), None, None, 500));
            assert_eq!(ApiError::from(read.err().unwrap()).kind, Kind::NotReady);
        }
    }

    for wrong in [b"not a store at all".to_vec(), vec![0; 8192], good[..5000].to_vec()] {
        fs::write(&path, &wrong).unwrap();
        assert!(open(directory.path()).is_err(), "{} bytes", wrong.len());
    }
}

#[test]
fn a_plain_database_is_no_store() {
    let directory = private_directory();
    let path = directory.path().join("store.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(open(directory.path()), Err(StoreError::Unreadable(_))));
}

#[test]
fn a_full_disk_loses_nothing() {
    let directory = private_directory();
    let mut store = open(directory.path()).unwrap();
    change(&mut store, |tx| tx.insert_message(&text(1, "bob", "before")).map(drop));
    let pages: i64 = store.raw().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.raw().pragma_update(None, "max_page_count", pages + 2).unwrap();
    let full = store.transaction(|tx| {
        for number in 2..100 {
            tx.insert_message(&text(number, "bob", &"x".repeat(4_000)))?;
        }
        Ok::<_, StoreError>(())
    });
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    look(&store, |tx| {
        assert!(tx.message(id(1))?.is_some());
        assert_eq!(tx.history(&name("bob").into(), None, None, 500)?.messages.len(), 1);
        Ok(())
    });
}
