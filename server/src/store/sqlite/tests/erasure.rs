//! R44: deleted envelopes cannot be found in any of the database's files.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use proptest::test_runner::{Config, TestRunner};
use subrosa_protocol::{BoundedBytes, EnvelopeId, frames::OutgoingEnvelope};

use super::{SqliteOptions, opened};
use crate::store::{conformance::*, sqlite::body::PAGE};

/// Sealed bytes that stand for one envelope: its mark again and again.
fn marked(id: u128, size: usize) -> OutgoingEnvelope {
    let sealed: Vec<u8> = mark(id).into_iter().cycle().take(size).collect();
    OutgoingEnvelope {
        id: EnvelopeId::from_bytes(id.to_le_bytes()),
        sealed: BoundedBytes::new(sealed).unwrap(),
    }
}

fn mark(id: u128) -> Vec<u8> {
    format!("<mark {id:08}>").into_bytes()
}

/// How often each mark stands in database, log, journal and shared memory.
fn marks(dir: &Path) -> HashMap<u128, usize> {
    let mut found = HashMap::new();
    for file in fs::read_dir(dir).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for window in
            bytes.windows(15).filter(|window| window.starts_with(b"<mark ") && window.ends_with(b">"))
        {
            // One that is cut by the end of a page has no number; its neighbours have.
            if let Some(id) = std::str::from_utf8(&window[6..14]).ok().and_then(|number| number.parse().ok())
            {
                *found.entry(id).or_default() += 1;
            }
        }
    }
    found
}

/// Until the marks are these, at most for a while.
async fn wait_for_marks(dir: &Path, expected: &[u128], patience: Duration) {
    let start = Instant::now();
    loop {
        let mut left: Vec<u128> = marks(dir).into_keys().collect();
        left.sort_unstable();
        if left == expected {
            return;
        }
        assert!(start.elapsed() < patience, "found {left:?}, expected {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_acknowledged_envelopes_are_unrecoverable() {
    let options = SqliteOptions {
        scrub_after: Duration::from_millis(300),
        fold_after: Duration::from_millis(200),
        ..SqliteOptions::default()
    };
    let SqliteOptions { scrub_after, fold_after, .. } = SqliteOptions::default();
    assert!(scrub_after + fold_after < Duration::from_secs(30), "half of what R44 allows");
    let (store, dir) = opened(options);
    let store: AnyStore = store;
    join(&store, "alice").await;
    join(&store, "bob").await;
    for id in 0..40 {
        send(&store, "alice", "bob", vec![marked(id, [300, 1300, 4400, 16_800][id as usize % 4])]).await;
    }
    assert_eq!(marks(dir.path()).len(), 40, "the search finds what is there");
    store.ack_mailbox(&name("bob"), device(1), 38, 0).await.unwrap();
    wait_for_marks(dir.path(), &[38, 39], Duration::from_secs(10)).await;
    // A removed device's mailbox and an expired one go the same way.
    let expired = store.expire(NOW + 31 * DAY).await.unwrap();
    assert_eq!(expired.envelopes, 2);
    wait_for_marks(dir.path(), &[], Duration::from_secs(10)).await;
    send(&store, "alice", "bob", vec![marked(50, 2000)]).await;
    store.publish_list(&name("bob"), list(2, &[])).await.unwrap();
    wait_for_marks(dir.path(), &[], Duration::from_secs(10)).await;
}

/// What is acknowledged while it is young never gets into the database, and the journal is overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_what_is_acknowledged_young_stands_in_the_journal_alone_and_not_for_long() {
    let options = SqliteOptions {
        scrub_after: Duration::from_secs(3600),
        fold_after: Duration::from_secs(2),
        ..SqliteOptions::default()
    };
    let (store, dir) = opened(options);
    let store: AnyStore = store;
    join(&store, "alice").await;
    let stands_in = |name: &str| {
        let bytes = fs::read(dir.path().join(name)).unwrap_or_default();
        bytes.windows(6).any(|window| window == b"<mark ")
    };
    for id in 0..20 {
        send(&store, "alice", "alice", vec![marked(id, 1300)]).await;
    }
    assert!(stands_in("relay.db.mailbox-journal"), "the search finds what is there");
    store.ack_mailbox(&name("alice"), device(1), 20, 0).await.unwrap();
    wait_for_marks(dir.path(), &[], Duration::from_secs(10)).await;
    assert!(!stands_in("relay.db-wal") && !stands_in("relay.db"));
    assert!(mailbox(&store, "alice").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_a_reader_in_the_way_delays_erasure_no_longer_than_it_reads() {
    let options = SqliteOptions {
        scrub_after: Duration::from_millis(50),
        fold_after: Duration::from_millis(50),
        ..SqliteOptions::default()
    };
    let (store, dir) = opened(options);
    let any: AnyStore = store.clone();
    join(&any, "alice").await;
    send(&any, "alice", "alice", vec![marked(1, 2000)]).await;
    let reading = store.read(|conn| {
        // The snapshot begins with the first read, and holds.
        let _: i64 = conn.query_row("SELECT count(*) FROM envelopes", [], |row| row.get(0))?;
        std::thread::sleep(Duration::from_secs(2));
        Ok(())
    });
    let reading = tokio::spawn(reading);
    tokio::time::sleep(Duration::from_millis(300)).await;
    any.ack_mailbox(&name("alice"), device(1), 1, 0).await.unwrap();
    // Writes go on meanwhile.
    assert_eq!(send(&any, "alice", "alice", vec![marked(2, 2000)]).await, [2]);
    reading.await.unwrap().unwrap();
    wait_for_marks(dir.path(), &[2], Duration::from_secs(5)).await;
}

/// Random histories over several mailboxes: rebalancing a tree must not leave copies behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_no_copy_survives_in_an_unused_part_of_a_page() {
    use rand_core::Rng as _;
    for young_envelopes in [20, 200, 4096] {
        let options = SqliteOptions {
            scrub_after: Duration::from_secs(3600),
            young_envelopes,
            ..SqliteOptions::default()
        };
        let (store, dir) = opened(options);
        let store: AnyStore = store;
        let mut random = TestRunner::new(Config::default()).new_rng();
        let mut below = |bound: u32| random.next_u32() % bound;
        let accounts: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
        for account in &accounts {
            join(&store, account).await;
        }
        let mut live: Vec<Vec<u128>> = vec![Vec::new(); accounts.len()];
        let mut acknowledged = vec![0u64; accounts.len()];
        let mut next = 0;
        let mut last = None;
        for _ in 0..4000 {
            let to = below(12) as usize;
            if below(100) < 55 {
                let size = [300, 1296, 1296, 2400, 4400, 16_800][below(6) as usize];
                last =
                    Some(store.append_envelopes(delivery("user0", &accounts[to], vec![marked(next, size)])));
                live[to].push(next);
                next += 1;
            } else if !live[to].is_empty() {
                let count = 1 + below(live[to].len() as u32) as usize;
                acknowledged[to] += count as u64;
                drop(store.ack_mailbox(&name(&accounts[to]), device(1), acknowledged[to], 0));
                live[to].drain(..count);
            }
            if below(20) == 0
                && let Some(last) = last.take()
            {
                last.await.unwrap();
            }
        }
        store.close().await.unwrap();
        let found = marks(dir.path());
        let mut left: Vec<u128> = found.keys().copied().collect();
        left.sort_unstable();
        let mut expected: Vec<u128> = live.concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
        // Why: no tree page holds sealed bytes at all.
        let database = fs::read(dir.path().join("relay.db")).unwrap();
        let leaves = database.chunks(PAGE).filter(|page| matches!(page[0], 0x0d | 0x0a));
        assert!(leaves.clone().count() > 10);
        assert_eq!(leaves.filter(|page| page.windows(6).any(|window| window == b"<mark ")).count(), 0);
    }
}
