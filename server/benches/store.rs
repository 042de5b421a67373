//! Accepted envelopes a second, each durable: the store's group commit beside one commit a message.
//!
//! `cargo bench -p subrosa-server --bench store`. After divan's table it prints one comparison of all, from a run of its
//! own of a few seconds: the ratio that docs quote. The disk decides the absolute numbers; `TMPDIR` says which.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use divan::{Bencher, counter::ItemsCount};
use rusqlite::{Connection, params};
use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, DeviceId, EnvelopeId, Username,
    frames::{OutgoingEnvelope, SignedList},
};
use subrosa_server::store::{
    Appended, Delivery, ListVersion, NewDevice, NewPrekey, NewPrekeys, Registration, Sender, SqliteStore,
    Store, sqlite::SqliteOptions,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Sealed bytes of a short text in an established session, about.
const SEALED: usize = 1300;
/// Mailboxes that are written to in turn.
const RECIPIENTS: u64 = 64;

fn main() {
    divan::main();
    if !std::env::args().any(|argument| argument == "--test") {
        compare();
    }
}

/// So many senders, each waiting for its answer before it sends again: one message of each.
#[divan::bench(args = [1, 16, 64, 256])]
fn group_commit(bencher: Bencher<'_, '_>, senders: u64) {
    let bed = Bed::new(SqliteOptions::default().batch_jobs);
    bencher.counter(ItemsCount::new(senders)).bench_local(|| bed.round(senders));
}

/// One sender and one commit a message, in plain SQLite.
#[divan::bench]
fn commit_each(bencher: Bencher<'_, '_>) {
    let plain = Plain::new();
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| plain.insert());
}

fn compare() {
    let time = Duration::from_secs(3);
    let rate = |count: u64, elapsed: Duration| count as f64 / elapsed.as_secs_f64();
    let bed = Bed::new(SqliteOptions::default().batch_jobs);
    let grouped = bed.stream(time, 256);
    let single = Bed::new(1).stream(time, 256);
    let plain = Plain::new();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        plain.insert();
        count += 1;
    }
    let plain = rate(count, start.elapsed());
    println!();
    println!("accepted envelopes of {SEALED} bytes a second, each durable before its answer:");
    println!("  group commit, 256 in flight       {grouped:>9.0}");
    println!("  the same store, one commit each   {single:>9.0}   ratio {:.1}", grouped / single);
    println!("  plain SQLite, one commit each     {plain:>9.0}   ratio {:.1}", grouped / plain);
}

/// A store with senders and recipients.
struct Bed {
    store: Arc<SqliteStore>,
    runtime: Runtime,
    next: Arc<AtomicU64>,
    _dir: TempDir,
}

impl Bed {
    fn new(batch_jobs: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dir = TempDir::new().unwrap();
        let options = SqliteOptions {
            batch_jobs,
            mailbox_envelopes: u64::MAX,
            mailbox_bytes: u64::MAX,
            ..SqliteOptions::default()
        };
        let store = Arc::new(SqliteStore::open(&dir.path().join("relay.db"), options).unwrap());
        for number in 0..RECIPIENTS {
            runtime.block_on(store.register(registration(number))).unwrap();
        }
        Self { store, runtime, next: Arc::default(), _dir: dir }
    }

    /// One message of each sender, all at once.
    fn round(&self, senders: u64) {
        self.runtime.block_on(async {
            let answers: Vec<_> =
                (0..senders).map(|_| self.store.append_envelopes(delivery(&self.next))).collect();
            for answer in answers {
                assert!(matches!(answer.await, Ok(Appended::Accepted { .. })));
            }
        });
    }

    /// Keeps so many in flight for a while; accepted envelopes a second.
    fn stream(&self, time: Duration, senders: usize) -> f64 {
        let start = Instant::now();
        let accepted: u64 = self.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..senders {
                let (store, next) = (Arc::clone(&self.store), Arc::clone(&self.next));
                tasks.spawn(async move {
                    let mut accepted = 0;
                    while start.elapsed() < time {
                        assert!(matches!(
                            store.append_envelopes(delivery(&next)).await,
                            Ok(Appended::Accepted { .. })
                        ));
                        accepted += 1;
                    }
                    accepted
                });
            }
            tasks.join_all().await.into_iter().sum()
        });
        accepted as f64 / start.elapsed().as_secs_f64()
    }
}

/// What one would write first: a table, autocommit, the same durability.
struct Plain {
    conn: Connection,
    next: AtomicU64,
    _dir: TempDir,
}

impl Plain {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let conn = Connection::open(dir.path().join("plain.db")).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE envelopes (device INTEGER, seq INTEGER, sealed BLOB, PRIMARY KEY (device, seq));",
        )
        .unwrap();
        Self { conn, next: AtomicU64::new(0), _dir: dir }
    }

    fn insert(&self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed) as i64;
        let mut statement = self.conn.prepare_cached("INSERT INTO envelopes VALUES (?1, ?2, ?3)").unwrap();
        statement.execute(params![number % RECIPIENTS as i64, number, vec![7u8; SEALED]]).unwrap();
    }
}

fn account(number: u64) -> Username {
    Username::new(format!("user{number}")).unwrap()
}

fn device() -> DeviceId {
    DeviceId::new(1).unwrap()
}

fn delivery(next: &AtomicU64) -> Delivery {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    Delivery {
        to: account(number % RECIPIENTS),
        device: device(),
        list_version: 1,
        envelopes: vec![OutgoingEnvelope {
            id: EnvelopeId::from_bytes(id),
            sealed: BoundedBytes::new(vec![7; SEALED]).unwrap(),
        }],
        sender: Sender { account: account((number + 1) % RECIPIENTS), device: device(), generation: number },
        now: 1,
    }
}

fn registration(number: u64) -> Registration {
    let signed = SignedList { bytes: BoundedBytes::new("list").unwrap(), signature: ByteArray::new([0; 64]) };
    let prekeys = NewPrekeys {
        signed: NewPrekey { key_id: 1, bytes: ByteArray::new([0; 117]) },
        last_resort: NewPrekey { key_id: 1, bytes: ByteArray::new([0; 1269]) },
        one_time: vec![],
        kem: vec![],
    };
    Registration {
        account: account(number),
        display_name: BoundedStr::new("somebody").unwrap(),
        account_key: [0; 32],
        opaque_record: vec![],
        list: ListVersion { version: 1, devices: vec![device()], signed },
        device: NewDevice { device: device(), signing_key: [0; 32], prekeys },
        invite: None,
        now: 1,
    }
}
