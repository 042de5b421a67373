//! (c) Memory of authenticated connections that are silent, beside raw quinn's.

use std::time::Duration;

use clap::Args;
use subrosa_bench::{
    client::Client,
    echo::EchoClient,
    person::Passphrase,
    process::Process,
    report::{Row, Table},
    tls,
};

use crate::bed::Bed;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Connections, each of an account of its own
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// Leave the yardstick out, for profiling
    #[arg(long)]
    alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { connections: 2000, alone: false }
    }
}

/// The goal, KiB a connection.
const GOAL_KIB: f64 = 80.0;
/// Connections before the first look: what the first ones cost once is not theirs.
const WARM: usize = 50;
/// Sockets of the generator.
const SOCKETS: usize = 32;
/// Until what a handshake used is given back.
const SETTLE: Duration = Duration::from_secs(4);

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let connections = options.connections;
    let mut table = Table::new(format!("(c) {connections} idle authenticated connections"));
    let relay = bed.relay();
    let (kib, before, after) = Bed::runtime().block_on(async {
        let people = relay.people("idle", WARM + connections, &Passphrase::new()).await;
        let endpoints: Vec<_> = (0..SOCKETS).map(|_| tls::endpoint()).collect();
        let mut held = Vec::new();
        let mut before = 0;
        for (number, person) in people.iter().enumerate() {
            if number == WARM {
                before = settled(&relay.process).await;
            }
            let (mut client, _) = Client::of(&endpoints[number % SOCKETS], relay.process.quic, person).await;
            client.sync().await;
            held.push(client);
        }
        let after = settled(&relay.process).await;
        (each(before, after, connections), before, after)
    });
    let found = format!("{kib:.1} KiB each ({before} -> {after} KiB)");
    let mut row = Row::new("memory (Pss) of the relay", found).goal("<= 80 KiB", kib <= GOAL_KIB);
    if !options.alone {
        let echo = bed.echo();
        let raw = Bed::runtime().block_on(async {
            let endpoints: Vec<_> = (0..SOCKETS).map(|_| tls::endpoint()).collect();
            let mut held = Vec::new();
            let mut before = 0;
            for number in 0..WARM + connections {
                if number == WARM {
                    before = settled(&echo).await;
                }
                held.push(EchoClient::connect(&endpoints[number % SOCKETS], echo.quic).await);
            }
            each(before, settled(&echo).await, connections)
        });
        row = row.beside(format!("raw quinn {raw:.1} KiB"), kib / raw);
    }
    table.row(row);
    relay.process.terminate();
    table
}

async fn settled(process: &Process) -> u64 {
    tokio::time::sleep(SETTLE).await;
    process.memory_kib()
}

fn each(before: u64, after: u64, connections: usize) -> f64 {
    after.saturating_sub(before) as f64 / connections as f64
}
