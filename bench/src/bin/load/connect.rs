//! (e) Connect, authenticate, synchronise, leave; beside a raw quinn connection with one echo.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
};

use clap::Args;
use subrosa_bench::{
    client::Client,
    echo::EchoClient,
    person::Passphrase,
    report::{Row, Table},
    tls,
};
use tokio::task::LocalSet;

use crate::bed::Bed;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Clients at once, each of an account of its own
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Leave the yardstick out, for profiling
    #[arg(long)]
    alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { clients: 16, alone: false }
    }
}

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let mut table =
        Table::new(format!("(e) connect, authenticate, synchronise: {} clients at once", options.clients));
    let relay = bed.relay();
    let (count, cpu, time) = Bed::runtime().block_on(async {
        let people = relay.people("caller", options.clients, &Passphrase::new()).await;
        let done = Arc::new(AtomicU64::new(0));
        let (to, mut tasks) = (relay.process.quic, tokio::task::JoinSet::new());
        for person in people {
            let done = Arc::clone(&done);
            tasks.spawn(async move {
                let endpoint = tls::endpoint();
                loop {
                    let (mut client, _) = Client::of(&endpoint, to, &person).await;
                    client.sync().await;
                    client.connection.close(0u32.into(), b"");
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let ((), cpu, time) =
            bed.measure(&relay.process, || done.store(0, Relaxed), || tasks.abort_all()).await;
        (done.load(Relaxed), cpu, time)
    });
    let each = cpu.per_thousand(count) / 1000.0;
    let found = format!("{each:.3} ms, {:.0}/s", count as f64 / time.as_secs_f64());
    let mut row = Row::new("server CPU of one connection", found);
    if !options.alone {
        let raw = raw(bed, options.clients);
        row = row.beside(format!("raw quinn, one echo: {raw:.3} ms"), each / raw);
    }
    table.row(row);
    relay.process.terminate();
    table
}

fn raw(bed: &Bed, clients: usize) -> f64 {
    let echo = bed.echo();
    let local = LocalSet::new();
    Bed::runtime().block_on(local.run_until(async {
        let done = Rc::new(Cell::new(0u64));
        for _ in 0..clients {
            let (done, to) = (Rc::clone(&done), echo.quic);
            tokio::task::spawn_local(async move {
                let endpoint = tls::endpoint();
                loop {
                    let client = EchoClient::connect(&endpoint, to).await;
                    client.connection.close(0u32.into(), b"");
                    done.set(done.get() + 1);
                }
            });
        }
        let (count, cpu, _) = bed.measure(&echo, || done.set(0), || done.get()).await;
        cpu.per_thousand(count) / 1000.0
    }))
}
