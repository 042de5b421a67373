//! Several transactions in one commit.

use super::*;
use crate::store::{Disk, DiskFault, StoreError};

fn push(store: &mut Store, number: u64) -> Result<()> {
    store.transaction(|tx| {
        tx.raise_generation()?;
        tx.insert_message(&text(number, "alice", "one of several")).map(drop)
    })
}

fn stored(store: &Store) -> usize {
    look(store, |tx| tx.history(&name("bob").into(), None, None, 100)).messages.len()
}

#[test]
fn r21_parts_become_durable_together_and_fail_alone() {
    let mut store = store();
    store.begin_group().unwrap();
    push(&mut store, 1).unwrap();
    let failed: Result<()> = store.transaction(|tx| {
        tx.insert_message(&text(2, "alice", "not kept"))?;
        tx.raise_generation()?;
        Err(StoreError::Limit("anything"))
    });
    assert!(matches!(failed, Err(StoreError::Limit(_))));
    push(&mut store, 3).unwrap();
    // Looking changes nothing and sees what the parts did.
    let seen: Result<usize> = store.read(|tx| {
        tx.insert_message(&text(4, "alice", "undone"))?;
        Ok(tx.history(&name("bob").into(), None, None, 100)?.messages.len())
    });
    assert_eq!(seen.unwrap(), 3);
    assert_eq!(stored(&store), 2);
    store.commit_group().unwrap();
    assert_eq!(stored(&store), 2);
    assert_eq!(look(&store, |tx| tx.generation()), 1, "raised once a commit (R23)");
    push(&mut store, 5).unwrap();
    assert_eq!((stored(&store), look(&store, |tx| tx.generation())), (3, 2));
}

#[test]
fn r21_a_group_whose_commit_fails_leaves_no_trace() {
    let disk = Disk::default();
    let mut store = Store::in_memory_on(disk.clone(), None).unwrap();
    push(&mut store, 1).unwrap();
    store.begin_group().unwrap();
    for number in 2..5 {
        push(&mut store, number).unwrap();
    }
    disk.fail_after(0, DiskFault::Full);
    assert!(matches!(store.commit_group(), Err(StoreError::DiskFull)));
    assert_eq!((stored(&store), look(&store, |tx| tx.generation())), (1, 1));
    push(&mut store, 2).unwrap();
    assert_eq!(stored(&store), 2);
}

#[test]
fn r21_after_sqlite_undid_a_group_its_later_parts_are_refused() {
    let mut store = store();
    store.begin_group().unwrap();
    push(&mut store, 1).unwrap();
    // As SQLite does by itself when the disk is full.
    store.raw().execute_batch("ROLLBACK").unwrap();
    assert!(matches!(push(&mut store, 2), Err(StoreError::GroupUndone)));
    assert!(matches!(store.read(|tx| tx.generation()), Err(StoreError::GroupUndone)));
    assert!(matches!(store.commit_group(), Err(StoreError::GroupUndone)));
    assert_eq!(stored(&store), 0);
    push(&mut store, 1).unwrap();
    assert_eq!(stored(&store), 1);
}
