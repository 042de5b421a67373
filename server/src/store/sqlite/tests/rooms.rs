//! What of rooms stands in the files: nothing of a sender, and nothing of what was deleted (R44).

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rusqlite::{Connection, types::Value};
use subrosa_protocol::frames::RoomName;

use super::{SqliteOptions, SqliteStore, opened};
use crate::store::{
    Appended, CommitBytes, Leaving, Left, NewCommit, NewPost, Object, Posted, RoomRefusal, Sender,
    conformance::{rooms::*, *},
};

fn occurrences(dir: &Path, mark: &[u8]) -> usize {
    let files = fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(mark.len()).filter(|window| *window == mark).count()).sum()
}

async fn wait_for_none(dir: &Path, mark: &[u8]) {
    let start = Instant::now();
    while occurrences(dir, mark) > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?} is still there",
            String::from_utf8_lossy(mark)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A private room of alice and bob.
async fn two(store: &AnyStore) {
    join(store, "alice").await;
    join(store, "bob").await;
    store.create_room(private(1, "alice")).await.unwrap().unwrap();
    store.commit_room_epoch(commit(1, "alice", 1, 0, &["bob"], &[])).await.unwrap().unwrap();
    store.accept_room(room(1), sender("bob")).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_entries_and_objects_that_all_have_are_unrecoverable() {
    let options = SqliteOptions { scrub_after: Duration::from_millis(300), ..SqliteOptions::default() };
    let (store, dir) = opened(options);
    let store: AnyStore = store;
    two(&store).await;
    let large = |mark: &str| Object { hash: [9; 32], bytes: Bytes::from(mark.repeat(20_000)) };
    let bytes = Bytes::from("<an entry>".repeat(200));
    store.post_room_entry(NewPost { bytes, ..post(1, "bob", 2, 1) }).await.unwrap().unwrap();
    let by_object =
        NewCommit { commit: CommitBytes::Object(large("<a commit>")), ..commit(1, "alice", 3, 1, &[], &[]) };
    store.commit_room_epoch(by_object).await.unwrap().unwrap();
    for mark in ["<an entry>", "<a commit>"] {
        assert!(occurrences(dir.path(), mark.as_bytes()) > 10, "the search finds what is there");
    }
    for who in ["alice", "bob"] {
        store.room_cursor(room(1), 3, sender(who)).await.unwrap().unwrap();
    }
    for mark in ["<an entry>", "<a commit>"] {
        wait_for_none(dir.path(), mark.as_bytes()).await;
    }
}

/// Everything that the room tables hold.
fn dump(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'room%' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(tables.len() >= 9, "{tables:?}");
    let mut all = Vec::new();
    for table in tables {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
            all.push(format!("{table}: {values:?}"));
        }
    }
    all
}

/// Two histories that differ in nothing but who sends: what is stored is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_tell_from_the_database_who_sent_an_entry() {
    let mut dumps = Vec::new();
    for by in [["alice", "bob", "alice"], ["bob", "alice", "bob"]] {
        let (store, dir) = opened(SqliteOptions::default());
        let store: AnyStore = store;
        two(&store).await;
        store.post_room_entry(post(1, by[0], 2, 1)).await.unwrap().unwrap();
        store.commit_room_epoch(commit(1, by[1], 3, 1, &[], &[])).await.unwrap().unwrap();
        store.post_room_entry(post(1, by[2], 4, 2)).await.unwrap().unwrap();
        store.close().await.unwrap();
        dumps.push(dump(&dir.path().join("relay.db")));
    }
    assert_eq!(dumps[0], dumps[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_past_the_bounds_of_a_log_the_oldest_go() {
    let options = SqliteOptions { room_entries: 10, room_bytes: 20_000, ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let store: AnyStore = store;
    two(&store).await;
    for id in 2..20 {
        store.post_room_entry(post(1, "bob", id, 1)).await.unwrap().unwrap();
    }
    let page = store.room_entries(room(1), asker("alice"), 0, 100, 1 << 20).await.unwrap().unwrap();
    assert_eq!((page.entries.len(), page.entries[0].seq, page.gap), (10, 10, true));
    let large = NewPost { bytes: Bytes::from(vec![1; 15_000]), ..post(1, "bob", 30, 1) };
    store.post_room_entry(large.clone()).await.unwrap().unwrap();
    store.post_room_entry(NewPost { id: entry_id(31), ..large }).await.unwrap().unwrap();
    let page = store.room_entries(room(1), asker("alice"), 0, 100, 1 << 20).await.unwrap().unwrap();
    assert_eq!((page.entries.len(), page.head), (1, 21));
    store.check_integrity().await.unwrap();
}

/// Invitations go into the tables, envelopes into the journal: a mailbox is one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invitations_and_young_envelopes_share_a_mailbox() {
    let options = SqliteOptions { fold_after: Duration::from_secs(3600), ..SqliteOptions::default() };
    let (store, dir) = opened(options.clone());
    let store: AnyStore = store;
    for who in ["alice", "bob"] {
        join(&store, who).await;
    }
    store.create_room(private(1, "alice")).await.unwrap().unwrap();
    assert_eq!(send(&store, "alice", "bob", envelopes(0..2)).await, [1, 2]);
    store.ack_mailbox(&name("bob"), device(1), 1, 0).await.unwrap().unwrap();
    // Called without waiting in between: each sees what was called before it.
    let before = store.append_envelopes(delivery("alice", "bob", envelopes(2..4)));
    let invited = store.commit_room_epoch(commit(1, "alice", 1, 0, &["bob"], &[]));
    let after = store.append_envelopes(delivery("alice", "bob", envelopes(4..5)));
    before.await.unwrap();
    let Posted::Accepted(accepted) = invited.await.unwrap().unwrap() else { panic!("refused") };
    assert_eq!(accepted.envelopes.iter().map(|(_, one)| one.seq).collect::<Vec<_>>(), [5]);
    after.await.unwrap();
    let mine = || async { mailbox(&store, "bob").await };
    assert_eq!(mine().await, [(2, 1), (3, 2), (4, 3), (5, 1000), (6, 4)]);
    // The invitation's id is remembered like any other, and theirs by a commit.
    let again = store.append_envelopes(delivery("alice", "bob", vec![envelope(1000, 100)])).await.unwrap();
    assert!(matches!(again, Appended::Accepted { fresh, .. } if fresh.is_empty()));
    store.accept_room(room(1), sender("bob")).await.unwrap().unwrap();
    store.commit_room_epoch(commit(1, "alice", 2, 1, &[], &["bob"])).await.unwrap().unwrap();
    let mut known = commit(1, "alice", 3, 2, &["bob"], &[]);
    known.invitations[0].id = envelope(4, 1).id;
    let Posted::Accepted(accepted) = store.commit_room_epoch(known).await.unwrap().unwrap() else {
        panic!("refused")
    };
    assert_eq!(accepted.envelopes, []);
    store.ack_mailbox(&name("bob"), device(1), 5, 0).await.unwrap().unwrap();
    assert_eq!(mine().await, [(6, 4)]);
    store.check_integrity().await.unwrap();
    drop(store);
    let store: AnyStore = Arc::new(SqliteStore::open(&dir.path().join("relay.db"), options).unwrap());
    assert_eq!(mailbox(&store, "bob").await, [(6, 4)]);
    store.check_integrity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_whoever_acts_in_a_room_reports_its_generation() {
    let options = SqliteOptions { fold_after: Duration::from_secs(3600), ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let store: AnyStore = store;
    two(&store).await;
    let generation = || async { store.device(&name("bob"), device(1)).await.unwrap().unwrap().generation };
    let at = |generation| Sender { generation, ..sender("bob") };
    store.post_room_entry(NewPost { sender: at(7), ..post(1, "bob", 2, 1) }).await.unwrap().unwrap();
    store.room_cursor(room(1), 2, at(5)).await.unwrap().unwrap();
    // A later write has its answer after what was called before it.
    store.raise_generation(&name("bob"), device(1), 0).await.unwrap();
    assert_eq!(generation().await, 7);
    let by_commit = NewCommit { sender: at(9), ..commit(1, "bob", 3, 1, &[], &[]) };
    store.commit_room_epoch(by_commit).await.unwrap().unwrap();
    store.statistics().await.unwrap();
    assert_eq!(generation().await, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_past_the_leaves_that_may_wait_is_refused_until_a_commit_knows_of_them() {
    let (store, _dir) = opened(SqliteOptions::default());
    let store: AnyStore = store;
    join(&store, "alice").await;
    store.create_room(private(1, "alice")).await.unwrap().unwrap();
    let names: Vec<String> = (0..101).map(|number| format!("leaver{number}")).collect();
    for (epoch, some) in (0..).zip(names.chunks(100)) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        for who in &some {
            join(&store, who).await;
        }
        let adds = commit(1, "alice", 1 + u128::from(epoch), epoch, &some, &[]);
        store.commit_room_epoch(adds).await.unwrap().unwrap();
        for who in &some {
            store.accept_room(room(1), sender(who)).await.unwrap().unwrap();
        }
    }
    let leave = |number: usize, epoch| Leaving {
        room: room(1),
        account: true,
        proposal: Some((entry_id(1000 + number as u128), 0, epoch, Bytes::from_static(b"bye"))),
        sender: sender(&names[number]),
        now: NOW,
    };
    for number in 0..100 {
        store.leave_room(leave(number, 2)).await.unwrap().unwrap();
    }
    assert_eq!(store.leave_room(leave(100, 2)).await.unwrap(), Err(RoomRefusal::Full));
    // The two commits that added them are 1 and 2, so the last leave is 102.
    let of = |after| NewCommit { after, ..commit(1, "alice", 9, 2, &[], &[]) };
    assert!(matches!(store.commit_room_epoch(of(101)).await.unwrap(), Ok(Posted::Passed { .. })));
    assert!(matches!(store.commit_room_epoch(of(102)).await.unwrap(), Ok(Posted::Accepted(_))));
    assert!(matches!(store.leave_room(leave(100, 3)).await.unwrap(), Ok(Left::Done { .. })));
    store.check_integrity().await.unwrap();
}

/// Accounts, registered side by side.
async fn crowd(store: &AnyStore, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|number| format!("member{number:04}")).collect();
    let registered: Vec<_> = names.iter().map(|name| store.register(registration(name, None))).collect();
    for one in registered {
        one.await.unwrap();
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r30_one_past_a_thousand_devices_is_refused_whole() {
    let (store, _dir) = opened(SqliteOptions::default());
    let store: AnyStore = store;
    let names = crowd(&store, 1001).await;
    let owner = names[0].as_str();
    store.create_room(private(1, owner)).await.unwrap().unwrap();
    let mut epoch = 0;
    let mut add = async |some: &[String]| {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let answer =
            store.commit_room_epoch(commit(1, owner, 1 + u128::from(epoch), epoch, &some, &[])).await;
        epoch += u64::from(matches!(answer, Ok(Ok(Posted::Accepted(_)))));
        answer.unwrap()
    };
    for some in names[1..901].chunks(100) {
        assert!(matches!(add(some).await, Ok(Posted::Accepted(_))));
    }
    assert_eq!(add(&names[901..1001]).await, Err(RoomRefusal::Full));
    assert!(matches!(add(&names[901..1000]).await, Ok(Posted::Accepted(_))));
    assert_eq!(add(&names[1000..]).await, Err(RoomRefusal::Full));
    let info = store.room_info(RoomName::Id(room(1)), asker(owner)).await.unwrap().unwrap();
    assert_eq!((info.devices, info.epoch), (1000, 10));
    // Who goes makes room, in the same commit.
    let swap = commit(1, owner, 90, 10, &[&names[1000]], &[&names[1]]);
    assert!(matches!(store.commit_room_epoch(swap).await.unwrap(), Ok(Posted::Accepted(_))));
    assert_eq!(mailbox(&store, &names[1]).await.len(), 1);
    store.check_integrity().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_past_the_rooms_of_an_account_and_the_invitations_of_a_device_is_refused() {
    let options =
        SqliteOptions { rooms_per_account: 2, invitations_per_device: 2, ..SqliteOptions::default() };
    let (store, _dir) = opened(options);
    let store: AnyStore = store;
    for who in ["alice", "bob", "carol", "dave"] {
        join(&store, who).await;
    }
    for number in [1, 2] {
        store.create_room(private(number, "alice")).await.unwrap().unwrap();
        let adds = commit(number, "alice", 1, 0, &["bob"], &[]);
        assert!(matches!(store.commit_room_epoch(adds).await.unwrap(), Ok(Posted::Accepted(_))));
    }
    assert_eq!(store.create_room(private(3, "alice")).await.unwrap(), Err(RoomRefusal::TooManyRooms));
    // Two wait for bob; a third one is told back by name, and nothing of its commit happens.
    store.create_room(private(3, "carol")).await.unwrap().unwrap();
    let third = commit(3, "carol", 1, 0, &["bob", "dave"], &[]);
    let full = Posted::Unreachable { missing: vec![], full: vec![member("bob")] };
    assert_eq!(store.commit_room_epoch(third.clone()).await.unwrap(), Ok(full));
    assert_eq!(mailbox(&store, "dave").await, []);
    store.accept_room(room(1), sender("bob")).await.unwrap().unwrap();
    assert!(matches!(store.commit_room_epoch(third).await.unwrap(), Ok(Posted::Accepted(_))));
    store.accept_room(room(2), sender("bob")).await.unwrap().unwrap();
    assert_eq!(store.accept_room(room(3), sender("bob")).await.unwrap(), Err(RoomRefusal::TooManyRooms));
}

/// A mailbox that is full refuses the commit that would invite its device, and the others get nothing either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_a_full_mailbox_refuses_an_invitation_and_its_whole_commit() {
    let (store, _dir) = opened(SqliteOptions { mailbox_envelopes: 3, ..SqliteOptions::default() });
    let store: AnyStore = store;
    for who in ["alice", "bob", "carol"] {
        join(&store, who).await;
    }
    store.create_room(private(1, "alice")).await.unwrap().unwrap();
    send(&store, "alice", "bob", envelopes(0..3)).await;
    let both = commit(1, "alice", 1, 0, &["bob", "carol"], &[]);
    let full = Posted::Unreachable { missing: vec![], full: vec![member("bob")] };
    assert_eq!(store.commit_room_epoch(both.clone()).await.unwrap(), Ok(full));
    assert_eq!(mailbox(&store, "carol").await, []);
    store.ack_mailbox(&name("bob"), device(1), 1, 0).await.unwrap().unwrap();
    assert!(matches!(store.commit_room_epoch(both).await.unwrap(), Ok(Posted::Accepted(_))));
    assert_eq!((mailbox(&store, "bob").await.len(), mailbox(&store, "carol").await.len()), (3, 1));
    store.check_integrity().await.unwrap();
}
