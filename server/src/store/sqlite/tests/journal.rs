//! The mailbox journal: replay, torn tails, damage, folds between reads, repetitions over folds and restarts, backups.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use proptest::test_runner::{Config, TestRunner};
use rand_core::Rng as _;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore, opened};
use crate::store::{
    Appended, StoreError,
    conformance::*,
    sqlite::{OpenError, inspect_journal},
};

/// Nothing is folded in by itself.
fn patient() -> SqliteOptions {
    SqliteOptions {
        fold_after: Duration::from_secs(3600),
        young_envelopes: usize::MAX,
        young_bytes: usize::MAX,
        journal_bytes: 512 * 1024,
        ..SqliteOptions::default()
    }
}

/// What a process leaves that is killed now: its store is quiet.
fn killed(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in fs::read_dir(dir).unwrap().map(|file| file.unwrap()) {
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
    }
    copy
}

fn open(dir: &Path) -> Result<AnyStore, OpenError> {
    SqliteStore::open(&dir.join("relay.db"), patient()).map(|store| Arc::new(store) as AnyStore)
}

fn journal(dir: &Path) -> PathBuf {
    dir.join("relay.db.mailbox-journal")
}

/// Where the batches are: their places and lengths.
fn batches(dir: &Path) -> Vec<(usize, usize)> {
    let bytes = fs::read(journal(dir)).unwrap();
    let mut found = Vec::new();
    let mut at = 4096;
    while bytes.get(at..at + 4) == Some(b"bat1") {
        let length = 32 + u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        found.push((at, length));
        at = (at + length).next_multiple_of(64);
    }
    found
}

fn overwrite(dir: &Path, at: usize, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(journal(dir)).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

fn is_empty(dir: &Path) -> bool {
    fs::read(journal(dir)).unwrap()[4096..].iter().all(|byte| *byte == 0)
}

/// Two people; three batches in the journal, nothing of them in the database.
async fn three_batches() -> (AnyStore, TempDir) {
    let (store, dir) = opened(patient());
    let store: AnyStore = store;
    join(&store, "alice").await;
    join(&store, "bob").await;
    send(&store, "alice", "bob", envelopes(0..3)).await;
    store.ack_mailbox(&name("bob"), device(1), 1, 7).await.unwrap();
    send(&store, "bob", "alice", vec![envelope(9, 1000)]).await;
    assert_eq!(batches(dir.path()).len(), 3);
    (store, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_what_stands_in_the_journal_alone_survives_a_kill() {
    let (store, dir) = three_batches().await;
    assert_eq!(fs::metadata(journal(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
    let left = killed(dir.path());
    assert_eq!(inspect_journal(&left.path().join("relay.db")).unwrap(), 3);
    let again = open(left.path()).unwrap();
    again.check_integrity().await.unwrap();
    assert!(is_empty(left.path()), "folded in");
    for store in [&store, &again] {
        assert_eq!(mailbox(store, "bob").await, [(2, 1), (3, 2)]);
        assert_eq!(mailbox(store, "alice").await, [(1, 9)]);
        let bob = store.device(&name("bob"), device(1)).await.unwrap().unwrap();
        assert_eq!((bob.generation, bob.next_seq), (7, 4));
        assert_eq!(send(store, "alice", "bob", envelopes(0..4)).await, [4]);
    }
    // And once more, with what came after it.
    let left = killed(left.path());
    let again = open(left.path()).unwrap();
    assert_eq!(mailbox(&again, "bob").await, [(2, 1), (3, 2), (4, 3)]);
    assert_eq!(send(&again, "alice", "bob", envelopes(0..4)).await, Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_at_every_byte_ends_the_journal_there() {
    let (_store, dir) = three_batches().await;
    let (at, length) = batches(dir.path())[2];
    let left = killed(dir.path());
    // Whatever part of the last batch got to the disk: its front, or its end.
    let whole = fs::read(journal(left.path())).unwrap();
    for cut in (0..length).step_by(7).chain(0..40).chain([length - 1]) {
        for (from, to) in [(cut, length), (0, cut + 1)] {
            let mut bytes = whole.clone();
            bytes[at + from..at + to].fill(0);
            if bytes == whole {
                continue;
            }
            fs::write(journal(left.path()), &bytes).unwrap();
            let torn = killed(left.path());
            assert_eq!(inspect_journal(&torn.path().join("relay.db")).unwrap(), 2, "{cut}");
            if cut % 49 == 0 {
                let store = open(torn.path()).unwrap();
                store.statistics().await.unwrap();
                assert!(is_empty(torn.path()));
                assert_eq!(mailbox(&store, "bob").await, [(2, 1), (3, 2)]);
                assert_eq!(mailbox(&store, "alice").await, []);
                assert_eq!(send(&store, "bob", "alice", vec![envelope(9, 1000)]).await, [1]);
                store.check_integrity().await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_damaged_before_a_good_one_is_told_and_nothing_is_dropped() {
    let (_store, dir) = three_batches().await;
    let left = killed(dir.path());
    let whole = fs::read(journal(left.path())).unwrap();
    let good: Vec<_> = batches(left.path())[..2].to_vec();
    let path = left.path().join("relay.db");
    let mut refusals = 0;
    for place in good.iter().flat_map(|(at, length)| *at..at + length).chain(0..48) {
        overwrite(left.path(), place, &[whole[place] ^ 0x10]);
        let seen = inspect_journal(&path).unwrap_err();
        assert!(matches!(seen, OpenError::Journal { .. }), "{place}: {seen}");
        if place % 41 == 0 {
            let before = fs::read(journal(left.path())).unwrap();
            let refused = open(left.path()).err().unwrap();
            assert!(matches!(refused, OpenError::Journal { .. }), "{place}: {refused}");
            assert!(refused.to_string().contains("relay.db.mailbox-journal cannot be used: "), "{refused}");
            assert_eq!(fs::read(journal(left.path())).unwrap(), before, "untouched");
            refusals += 1;
        }
        overwrite(left.path(), place, &whole[place..=place]);
    }
    assert!(refusals > 5);
    // Random damage anywhere: refused or whole, no panic.
    let mut random = TestRunner::new(Config::default()).new_rng();
    let used = good[1].0 + good[1].1 + 2000;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.next_u32() % 3 {
            let place = random.next_u32() as usize % used;
            bytes[place] = random.next_u32() as u8;
        }
        bytes.truncate(if random.next_u32().is_multiple_of(4) {
            random.next_u32() as usize % used
        } else {
            bytes.len()
        });
        fs::write(journal(left.path()), &bytes).unwrap();
        let _ = inspect_journal(&path);
    }
    fs::write(journal(left.path()), &whole).unwrap();
    assert_eq!(mailbox(&open(left.path()).unwrap(), "bob").await, [(2, 1), (3, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_another_database_is_refused_and_one_that_is_gone_is_made_anew() {
    let (_one, one) = three_batches().await;
    let (_other, other) = three_batches().await;
    let left = killed(one.path());
    fs::copy(journal(other.path()), journal(left.path())).unwrap();
    let refused = open(left.path()).err().unwrap();
    assert!(refused.to_string().contains("belongs to another database"), "{refused}");
    // Moved away, as the message says: what was only in it is lost, and nothing else.
    fs::remove_file(journal(left.path())).unwrap();
    let store = open(left.path()).unwrap();
    assert_eq!(mailbox(&store, "bob").await, []);
    assert_eq!(send(&store, "alice", "bob", envelopes(5..6)).await, [1]);
    let left = killed(left.path());
    assert_eq!(mailbox(&open(left.path()).unwrap(), "bob").await, [(1, 5)]);
    // A database that went back, with a journal that went on without it.
    let old = killed(one.path());
    drop(open(old.path()).unwrap());
    let ahead = killed(old.path());
    for id in 20..23 {
        let store = open(ahead.path()).unwrap();
        send(&store, "alice", "bob", envelopes(id..id + 1)).await;
        // Not folded in at the end of the last round.
        if id == 22 {
            fs::copy(journal(ahead.path()), journal(old.path())).unwrap();
        }
        drop(store);
    }
    let refused = open(old.path()).err().unwrap();
    assert!(refused.to_string().contains("damaged or missing"), "{refused}");
}

/// Repetitions are recognised wherever the first one stands now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_repetitions_are_recognised_over_folds_and_restarts() {
    let (store, dir) = opened(patient());
    let mut store: AnyStore = store;
    let mut dirs = vec![dir];
    join(&store, "alice").await;
    let mut next = 0u128;
    for round in 0..8 {
        for _ in 0..30 {
            let mut late = delivery("alice", "alice", envelopes(next..next + 3));
            late.now = NOW + next as u64;
            store.append_envelopes(late).await.unwrap();
            next += 3;
        }
        if round % 3 == 0 {
            store.ack_mailbox(&name("alice"), device(1), (next / 2) as u64, 0).await.unwrap();
        }
        match round % 4 {
            0 => drop(store.statistics().await.unwrap()),
            1 => {
                let left = killed(dirs.last().unwrap().path());
                store = open(left.path()).unwrap();
                dirs.push(left);
            }
            2 => {
                store.close().await.unwrap();
                store = open(dirs.last().unwrap().path()).unwrap();
            }
            _ => {}
        }
        for id in (0..next).step_by(5) {
            let answer =
                store.append_envelopes(delivery("alice", "alice", vec![envelope(id, 40)])).await.unwrap();
            let accepted_at = NOW + (id - id % 3) as u64;
            assert_eq!(answer, Appended::Accepted { accepted_at, fresh: vec![] }, "{id} in round {round}");
        }
    }
    store.check_integrity().await.unwrap();
}

/// Random histories over several mailboxes, folded in, closed and killed at random, against a model.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mailboxes_behave_like_their_model_over_folds_and_restarts() {
    for round in 0..6u32 {
        let mut random = TestRunner::new(Config::default()).new_rng();
        let mut below = |bound: usize| random.next_u32() as usize % bound;
        let (store, dir) = opened(patient());
        let (mut store, mut dir): (AnyStore, TempDir) = (store, dir);
        let accounts = ["alice", "bob", "carol"];
        let mut waiting: Vec<BTreeMap<u64, u128>> = vec![BTreeMap::new(); 3];
        let mut next = [1u64; 3];
        let mut known: Vec<HashMap<u128, u64>> = vec![HashMap::new(); 3];
        for account in accounts {
            join(&store, account).await;
        }
        let mut history = Vec::new();
        for _ in 0..150 {
            let to = below(3);
            match below(20) {
                0..=8 => {
                    let ids: Vec<u128> = (0..1 + below(4)).map(|_| below(400) as u128).collect();
                    let sent = ids.iter().map(|id| envelope(*id, 60)).collect();
                    let places = send(&store, "alice", accounts[to], sent).await;
                    let mut expected = Vec::new();
                    for id in &ids {
                        if known[to].insert(*id, 0).is_none() {
                            waiting[to].insert(next[to], *id);
                            expected.push(next[to]);
                            next[to] += 1;
                        }
                    }
                    history.push(format!("send {to} {ids:?}"));
                    assert_eq!(places, expected, "round {round}: {history:?}");
                }
                9..=13 => {
                    let up_to = below(next[to] as usize + 2) as u64;
                    let kept = waiting[to].split_off(&(up_to + 1));
                    let gone = std::mem::replace(&mut waiting[to], kept).len() as u64;
                    history.push(format!("ack {to} {up_to}"));
                    let done = store.ack_mailbox(&name(accounts[to]), device(1), up_to, 0).await.unwrap();
                    assert_eq!(done.unwrap().deleted, gone, "round {round}: {history:?}");
                }
                14 | 15 => {
                    history.push("fold".into());
                    let envelopes: u64 = waiting.iter().map(|mailbox| mailbox.len() as u64).sum();
                    assert_eq!(store.statistics().await.unwrap().envelopes, envelopes, "{history:?}");
                }
                16 => {
                    history.push("list".into());
                    let account = store.account(&name(accounts[2])).await.unwrap().unwrap();
                    let _ =
                        store.publish_list(&name(accounts[2]), list(account.list.version + 2, &[1])).await;
                }
                17 => {
                    history.push("kill".into());
                    let left = killed(dir.path());
                    store = open(left.path()).unwrap();
                    dir = left;
                }
                18 => {
                    history.push("close".into());
                    store.close().await.unwrap();
                    store = open(dir.path()).unwrap();
                }
                _ => {
                    let (after, max) = (below(next[to] as usize) as u64, below(9));
                    let page = store.fetch_mailbox(&name(accounts[to]), device(1), after, max, 200).await;
                    let page = page.unwrap().unwrap();
                    let left: Vec<_> = waiting[to].range(after + 1..).map(|(seq, id)| (*seq, *id)).collect();
                    let got: Vec<_> = page
                        .envelopes
                        .iter()
                        .map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes())))
                        .collect();
                    assert_eq!(got, left[..left.len().min(max).min(3)], "round {round}: {history:?}");
                    assert_eq!(page.more, got.len() < left.len(), "round {round}: {history:?}");
                }
            }
            if below(10) == 0 {
                let all: Vec<_> = waiting[to].iter().map(|(seq, id)| (*seq, *id)).collect();
                assert_eq!(mailbox(&store, accounts[to]).await, all, "round {round}: {history:?}");
            }
        }
        store.check_integrity().await.unwrap();
    }
}

/// Readers meet folds: every place is there once, from the first that is not acknowledged on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fold_between_the_halves_of_a_read_loses_and_doubles_nothing() {
    let options =
        SqliteOptions { fold_after: Duration::ZERO, young_envelopes: 3, ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let store: AnyStore = store;
    join(&store, "alice").await;
    let reading = tokio::spawn({
        let store = store.clone();
        async move {
            let (mut reads, mut before) = (0, (0, 0));
            while before.1 < 400 {
                let all = mailbox(&store, "alice").await;
                let first = all.first().map_or(before.1, |(seq, _)| seq - 1);
                let last = all.last().map_or(before.1, |(seq, _)| *seq);
                assert!(first >= before.0 && last >= before.1, "{first} {last} after {before:?}");
                assert!(
                    all.iter().map(|(seq, _)| *seq).eq(first + 1..=last) || all.is_empty(),
                    "a gap: {all:?}"
                );
                assert!(all.iter().all(|(seq, id)| u128::from(*seq) == id + 1));
                (reads, before) = (reads + 1, (first, last));
            }
            reads
        }
    });
    for id in 0..400 {
        send(&store, "alice", "alice", envelopes(id..id + 1)).await;
        if id % 3 == 0 && id < 390 {
            store.ack_mailbox(&name("alice"), device(1), (id / 2) as u64, 0).await.unwrap();
        }
    }
    assert!(reading.await.unwrap() > 5);
    store.check_integrity().await.unwrap();
}

/// A journal that is full is folded in, also when nothing else asks for it, and goes on at its front.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_folded_in() {
    let options = SqliteOptions { journal_bytes: 64 * 1024, ..patient() };
    let (store, dir) = opened(options);
    let store: AnyStore = store;
    join(&store, "alice").await;
    for id in 0..300 {
        send(&store, "alice", "alice", vec![envelope(id, 3000)]).await;
    }
    assert_eq!(fs::metadata(journal(dir.path())).unwrap().len(), 64 * 1024);
    assert_eq!(mailbox(&store, "alice").await.len(), 300);
    let again = killed(dir.path());
    let again = open(again.path()).unwrap();
    assert_eq!(mailbox(&again, "alice").await.len(), 300);
    // One that could never be held is refused, and nothing happens.
    let huge = (1000..1030).map(|id| envelope(id, 3000)).collect();
    let refused = store.append_envelopes(delivery("alice", "alice", huge)).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert_eq!(send(&store, "alice", "alice", vec![envelope(1000, 10)]).await, [301]);
}

/// With no room in the database what was accepted stays in the journal, over a restart too, and is never lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r57_what_cannot_be_folded_in_stays_in_the_journal() {
    let (store, dir) = opened(patient());
    let store: AnyStore = store;
    join(&store, "alice").await;
    let pages = store.statistics().await.unwrap().database_bytes;
    for id in 0..20 {
        send(&store, "alice", "alice", vec![envelope(id, 9000)]).await;
    }
    let left = killed(dir.path());
    let full = SqliteOptions { max_database_bytes: Some(pages + 60_000), ..patient() };
    for _ in 0..2 {
        let store = SqliteStore::open(&left.path().join("relay.db"), full.clone()).unwrap();
        let store: AnyStore = Arc::new(store);
        assert_eq!(mailbox(&store, "alice").await.len(), 20, "it is delivered");
        let refused = store.append_envelopes(delivery("alice", "alice", envelopes(50..51))).await;
        assert_eq!(refused, Err(StoreError::Full));
        drop(store);
        assert_eq!(inspect_journal(&left.path().join("relay.db")).unwrap(), 20);
    }
    // What is fetched and acknowledged makes the room.
    let store: AnyStore = Arc::new(SqliteStore::open(&left.path().join("relay.db"), full.clone()).unwrap());
    assert_eq!(store.ack_mailbox(&name("alice"), device(1), 18, 0).await.unwrap().unwrap().deleted, 18);
    assert_eq!(store.statistics().await.unwrap().envelopes, 2);
    assert_eq!(send(&store, "alice", "alice", envelopes(50..51)).await, [21]);
    drop(store);
    let store = open(left.path()).unwrap();
    assert_eq!(mailbox(&store, "alice").await, [(19, 18), (20, 19), (21, 50)]);
    store.check_integrity().await.unwrap();
}

/// A relay is ready within two seconds, also when its journal is full (the goal is 100,000 queued: tests/tests/ready.rs).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_is_read_in_no_time() {
    let options = SqliteOptions { mailbox_envelopes: u64::MAX, ..SqliteOptions::default() };
    let never = SqliteOptions { journal_bytes: options.journal_bytes, ..patient() };
    let (store, dir) = opened(SqliteOptions { mailbox_envelopes: u64::MAX, ..never });
    let store: AnyStore = store;
    join(&store, "alice").await;
    let sent: Vec<_> = (0..200)
        .map(|batch| delivery("alice", "alice", (0..100).map(|n| envelope(batch * 100 + n, 250)).collect()))
        .map(|delivery| store.append_envelopes(delivery))
        .collect();
    for answer in sent {
        assert!(matches!(answer.await.unwrap(), Appended::Accepted { .. }));
    }
    let left = killed(dir.path());
    let began = std::time::Instant::now();
    let again: AnyStore = Arc::new(SqliteStore::open(&left.path().join("relay.db"), options).unwrap());
    let took = began.elapsed();
    eprintln!(
        "did: a journal with 20000 envelopes, five times what a relay leaves in it, was read in {} ms",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(send(&again, "alice", "alice", envelopes(1_000_000..1_000_001)).await, [20_001]);
    assert_eq!(mailbox(&again, "alice").await.len(), 20_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_has_what_is_young_and_leaves_any_journal_alone() {
    let (store, dir) = three_batches().await;
    let (target, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let copy = target.path().join("copy.db");
    store.back_up(&copy).await.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1, "nothing else is left");
    // Nothing is overwritten.
    let bytes = fs::read(&copy).unwrap();
    let refused = store.back_up(&copy).await.unwrap_err();
    assert!(refused.to_string().contains("cannot create"), "{refused}");
    assert_eq!(fs::read(&copy).unwrap(), bytes);
    // Restored beside a journal that went on.
    send(&store, "alice", "bob", envelopes(70..75)).await;
    fs::copy(&copy, folder.path().join("relay.db")).unwrap();
    fs::copy(journal(dir.path()), journal(folder.path())).unwrap();
    let restored = open(folder.path()).unwrap();
    restored.check_integrity().await.unwrap();
    assert_eq!(mailbox(&restored, "bob").await, [(2, 1), (3, 2)]);
    assert_eq!(send(&restored, "alice", "bob", envelopes(0..4)).await, [4]);
    let left = killed(folder.path());
    assert_eq!(mailbox(&open(left.path()).unwrap(), "bob").await.len(), 3);
}

/// An acknowledgement that is alone waits for a send, and both become durable with one sync. It is answered after that, and
/// when the store closes it waits no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_an_acknowledgement_shares_the_sync_of_the_send_after_it() {
    let (store, dir) = opened(SqliteOptions { acknowledge_after: Duration::from_secs(3600), ..patient() });
    let store: AnyStore = store;
    join(&store, "alice").await;
    assert_eq!(send(&store, "alice", "alice", envelopes(0..3)).await, [1, 2, 3]);
    let before = batches(dir.path()).len();
    let ack = |up_to| store.ack_mailbox(&name("alice"), device(1), up_to, 0);
    let (mut first, second) = (ack(1), ack(2));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut first).await;
    assert!(early.is_err(), "nothing is durable yet: {early:?}");
    assert_eq!(batches(dir.path()).len(), before);
    assert_eq!(send(&store, "alice", "alice", envelopes(3..4)).await, [4]);
    assert_eq!(first.await.unwrap().unwrap().deleted, 1);
    assert_eq!(second.await.unwrap().unwrap().deleted, 1);
    assert_eq!(batches(dir.path()).len(), before + 1, "one batch, one sync");
    assert_eq!(mailbox(&open(killed(dir.path()).path()).unwrap(), "alice").await, [(3, 2), (4, 3)]);
    let last = ack(3);
    store.close().await.unwrap();
    assert_eq!(last.await.unwrap().unwrap().deleted, 1);
}

/// More mailboxes than are kept at hand: they are folded in and read again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_past_the_mailboxes_at_hand_begins_anew() {
    let (store, _dir) = opened(SqliteOptions { mailboxes_at_hand: 10, batch_jobs: 3, ..patient() });
    let store: AnyStore = store;
    for number in 0..15 {
        join(&store, &format!("user{number}")).await;
    }
    for id in 0..300u128 {
        let to = format!("user{}", id % 15);
        let mut sent = delivery("user0", &to, envelopes(id..id + 1));
        sent.sender.generation = id as u64;
        store.append_envelopes(sent).await.unwrap();
    }
    for number in 0..15 {
        assert_eq!(mailbox(&store, &format!("user{number}")).await.len(), 20);
    }
    let state = store.device(&name("user0"), device(1)).await.unwrap().unwrap();
    assert_eq!(state.generation, 299);
    store.check_integrity().await.unwrap();
}
