//! Failing writes: one of a transaction, all of it, the disk.

use std::time::Duration;

use super::{SqliteOptions, opened};
use crate::store::{Appended, Store, StoreError, conformance::*};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failing_write_does_not_disturb_the_others_of_its_transaction() {
    let (store, _dir) = opened(SqliteOptions::default());
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    // Holds the thread, so that what follows is one transaction.
    let hold = store.write(0, |_| {
        std::thread::sleep(Duration::from_millis(200));
        Ok(())
    });
    let before = store.append_envelopes(delivery("alice", "alice", envelopes(0..1)));
    let fails = store.write(0, |txn| {
        txn.execute("UPDATE devices SET next_seq = 77, generation = 5", [])?;
        Err::<(), _>(StoreError::Failed("on purpose".into()))
    });
    let breaks_a_rule = store.write(0, |txn| {
        txn.execute("UPDATE devices SET generation = 6", [])?;
        txn.execute("UPDATE devices SET pending = -1", [])?;
        Ok(())
    });
    let panics = store.write(0, |txn| {
        txn.execute("UPDATE devices SET generation = 7", [])?;
        let none: Vec<u64> = Vec::new();
        Ok(none[txn.changes() as usize])
    });
    let after = store.append_envelopes(delivery("alice", "alice", envelopes(1..2)));
    hold.await.unwrap();
    assert!(matches!(before.await.unwrap(), Appended::Accepted { .. }));
    assert_eq!(fails.await, Err(StoreError::Failed("on purpose".into())));
    assert!(matches!(breaks_a_rule.await, Err(StoreError::Failed(_))));
    assert!(matches!(panics.await, Err(StoreError::Failed(_))));
    assert!(matches!(after.await.unwrap(), Appended::Accepted { .. }));
    assert_eq!(mailbox(&any, "alice").await, [(1, 0), (2, 1)]);
    assert_eq!(store.device(&name("alice"), device(1)).await.unwrap().unwrap().generation, 0);
    store.check_integrity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r57_a_full_disk_refuses_writes_keeps_what_was_accepted_and_recovers() {
    let options = SqliteOptions {
        max_database_bytes: Some(600 * 1024),
        scrub_after: Duration::from_millis(10),
        young_bytes: 40_000,
        batch_bytes: 40_000,
        ..SqliteOptions::default()
    };
    let (store, dir) = opened(options.clone());
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    let sent: Vec<_> = (0..200u128)
        .map(|id| (id, store.append_envelopes(delivery("alice", "alice", vec![envelope(id, 9000)]))))
        .collect();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for (id, answer) in sent {
        match answer.await {
            Ok(Appended::Accepted { fresh, .. }) => accepted.push((fresh[0].seq, id)),
            Err(StoreError::Full) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(accepted.len() > 20 && refused > 100, "{} and {refused}", accepted.len());
    assert_eq!(mailbox(&any, "alice").await, accepted);
    store.check_integrity().await.unwrap();
    // Reading and making room go on; then there is room again.
    any.ack_mailbox(&name("alice"), device(1), accepted[9].0, 0).await.unwrap().unwrap();
    let again = any.append_envelopes(delivery("alice", "alice", vec![envelope(999, 9000)])).await.unwrap();
    assert!(matches!(again, Appended::Accepted { .. }));
    let expected = mailbox(&any, "alice").await;
    drop((store, any));
    let store = super::SqliteStore::open(&dir.path().join("relay.db"), options).unwrap();
    let any: AnyStore = std::sync::Arc::new(store);
    assert_eq!(mailbox(&any, "alice").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_beyond_the_bound_are_refused_at_once() {
    let options = SqliteOptions { queue_jobs: 10, queue_bytes: 20_000, ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    let hold = || {
        let (held, holds) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let answer = store.write(0, move |_| {
            held.send(()).unwrap();
            released.recv().unwrap_err();
            Ok(())
        });
        holds.recv().unwrap();
        (answer, release)
    };
    // By number: ten wait, the eleventh is refused.
    let (held, release) = hold();
    let waiting: Vec<_> = (0..11).map(|_| store.touch_device(&name("alice"), device(1), NOW)).collect();
    drop(release);
    held.await.unwrap();
    let mut answers = Vec::new();
    for answer in waiting {
        answers.push(answer.await);
    }
    assert!(answers[..10].iter().all(|answer| *answer == Ok(true)), "{answers:?}");
    assert_eq!(answers[10], Err(StoreError::Overloaded));
    // By size: two of 9,000 bytes wait, the third is refused.
    let (held, release) = hold();
    let big = |id| store.append_envelopes(delivery("alice", "alice", vec![envelope(id, 9000)]));
    let (first, second, third) = (big(1), big(2), big(3));
    assert_eq!(third.await, Err(StoreError::Overloaded));
    drop(release);
    held.await.unwrap();
    assert!(first.await.is_ok() && second.await.is_ok());
    // And all of the room is there again.
    assert!(big(3).await.is_ok());
    assert_eq!(mailbox(&any, "alice").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_a_mailbox_is_bounded_by_bytes_and_the_memory_of_ids_by_number() {
    let options = SqliteOptions { mailbox_bytes: 10_000, id_memory_count: 5, ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    let big = |id, size| any.append_envelopes(delivery("alice", "alice", vec![envelope(id, size)]));
    assert!(matches!(big(100, 6000).await.unwrap(), Appended::Accepted { .. }));
    assert_eq!(big(101, 4001).await.unwrap(), Appended::Full);
    assert!(matches!(big(101, 4000).await.unwrap(), Appended::Accepted { .. }));
    any.ack_mailbox(&name("alice"), device(1), 2, 0).await.unwrap();
    for id in 0..5 {
        send(&any, "alice", "alice", envelopes(id..id + 1)).await;
    }
    // The last five are remembered, the ones before are forgotten.
    assert_eq!(send(&any, "alice", "alice", envelopes(0..5)).await, Vec::<u64>::new());
    assert_eq!(send(&any, "alice", "alice", vec![envelope(100, 40)]).await, [8]);
    // What is forgotten goes in whole rows.
    for id in 1000..2000 {
        send(&any, "alice", "alice", envelopes(id..id + 1)).await;
        any.ack_mailbox(&name("alice"), device(1), u64::MAX, 0).await.unwrap();
    }
    any.check_integrity().await.unwrap();
    let remembered = store.read(|conn| {
        let sql = "SELECT sum(last - first + 1) FROM accepted";
        Ok(conn.query_row(sql, [], |row| row.get::<_, i64>(0))?)
    });
    assert!((5..5 + 128).contains(&remembered.await.unwrap()));
}
