//! (d) Messages accepted for devices that are not there, each durable before its answer, beside plain SQLite with a commit
//! a message on the same disk and core.

use std::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use clap::Args;
use rusqlite::{Connection, params};
use subrosa_bench::{
    client::Client,
    machine,
    person::Passphrase,
    report::{Row, Table},
    tls,
};
use subrosa_protocol::frames::{FromRelay, Response};
use tokio::task::JoinSet;

use crate::bed::Bed;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Senders
    #[arg(long, default_value_t = 64)]
    senders: usize,
    /// Sends of each that are under way
    #[arg(long, default_value_t = 8)]
    window: u64,
    /// Sealed bytes of a message
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Leave the yardstick out, for profiling
    #[arg(long)]
    alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { senders: 64, window: 8, size: 1024, alone: false }
    }
}

/// The goal: so many times plain SQLite.
const GOAL: f64 = 10.0;

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let Options { senders, window, size, .. } = *options;
    let mut table = Table::new(format!("(d) {size} B accepted for devices that are offline"));
    let relay = bed.relay();
    let (count, cpu, time) = Bed::runtime().block_on(async {
        let passphrase = Passphrase::new();
        let people = relay.people("sender", senders, &passphrase).await;
        let recipients: Arc<Vec<_>> = Arc::new(relay.people("offline", senders, &passphrase).await);
        let accepted = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for (number, person) in people.into_iter().enumerate() {
            let endpoint = tls::endpoint();
            let (client, _) = Client::of(&endpoint, relay.process.quic, &person).await;
            let (accepted, recipients) = (Arc::clone(&accepted), Arc::clone(&recipients));
            tasks.spawn(async move {
                let Client { mut writer, mut reader, connection: _held, .. } = client;
                let _endpoint = endpoint;
                let (mut sent, mut answered) = (0u64, 0u64);
                loop {
                    while sent < answered + window {
                        let to = &recipients[(number + usize::try_from(sent).unwrap()) % recipients.len()];
                        writer.send(&to.envelope((number as u64) << 40 | sent, 0, size)).await;
                        sent += 1;
                    }
                    match reader.next().await {
                        FromRelay::Response(_, Response::EnvelopeAccepted(_)) => answered += 1,
                        other => panic!("{other:?}"),
                    }
                    accepted.fetch_add(1, Relaxed);
                }
            });
        }
        bed.measure(&relay.process, || accepted.store(0, Relaxed), || accepted.load(Relaxed)).await
    });
    let rate = count as f64 / time.as_secs_f64();
    let mut row = Row::new(
        "accepted a second, each durable",
        format!("{rate:.0}/s, {:.1} ms of CPU for 1,000", cpu.per_thousand(count)),
    );
    if !options.alone {
        let plain = plain(bed, size, bed.time);
        row = row
            .beside(format!("plain SQLite, a commit each: {plain:.0}/s"), rate / plain)
            .goal(&format!(">= {GOAL:.0} times"), rate / plain >= GOAL);
    }
    table.row(row);
    relay.process.terminate();
    table
}

/// What one would write first: a table, autocommit, the same durability. Commits a second.
fn plain(bed: &Bed, size: usize, time: Duration) -> f64 {
    let (folder, core) = (bed.folder(), bed.server_core());
    std::thread::spawn(move || {
        machine::pin(core);
        let conn = Connection::open(folder.path().join("plain.db")).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE envelopes (device INTEGER, seq INTEGER, sealed BLOB, PRIMARY KEY (device, seq));",
        )
        .unwrap();
        let mut statement = conn.prepare("INSERT INTO envelopes VALUES (?1, ?2, ?3)").unwrap();
        let sealed = vec![7u8; size];
        let (began, mut count) = (Instant::now(), 0i64);
        while began.elapsed() < time {
            statement.execute(params![count % 64, count, sealed]).unwrap();
            count += 1;
        }
        count as f64 / began.elapsed().as_secs_f64()
    })
    .join()
    .unwrap()
}
