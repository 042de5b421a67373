//! (b) Open loop: latencies at so many messages a second. A message that leaves late counts from when it was due.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use clap::Args;
use subrosa_bench::{
    person::Passphrase,
    report::{Row, Table},
};
use tokio::task::JoinSet;

use crate::{
    bed::Bed,
    flow::{self, Pace, Shared},
};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Pairs of clients
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    /// Sealed bytes of a message
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1024])]
    sizes: Vec<usize>,
    /// Messages a second, all pairs together
    #[arg(long, default_value_t = 500)]
    rate: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { pairs: 50, sizes: vec![256, 1024], rate: 500 }
    }
}

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let Options { pairs, rate, .. } = *options;
    let mut table = Table::new(format!("(b) {rate} messages a second over {pairs} pairs, open loop"));
    for &size in &options.sizes {
        let relay = bed.relay();
        let (shared, cpu) = Bed::runtime().block_on(async {
            let passphrase = Passphrase::new();
            let senders = relay.people("sender", pairs, &passphrase).await;
            let receivers = relay.people("receiver", pairs, &passphrase).await;
            let shared = Shared::new();
            let mut tasks = JoinSet::new();
            let period = Duration::from_secs(1) * u32::try_from(pairs).unwrap() / rate;
            for (number, pair) in (0..).zip(senders.into_iter().zip(receivers)) {
                let pace = Pace::Open { period, offset: period * number / u32::try_from(pairs).unwrap() };
                flow::start(&mut tasks, &shared, relay.process.quic, pair, size, pace).await;
            }
            let on = || shared.measuring.store(true, Relaxed);
            let off = || shared.measuring.store(false, Relaxed);
            let ((), cpu, _) = bed.measure(&relay.process, on, off).await;
            (shared, cpu)
        });
        for (what, times) in [("accepted", &shared.accepted), ("delivered", &shared.delivered)] {
            let times = times.lock().unwrap();
            let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
            let found = format!("p50 {:.2} ms, p99 {:.2} ms, of {}", at(0.5), at(0.99), times.len());
            table.row(Row::new(format!("{size} B, durably {what}"), found));
        }
        let count = shared.delivered.lock().unwrap().len();
        table.row(Row::new(
            format!("{size} B, server CPU for 1,000 at this rate"),
            format!("{:.1} ms", cpu.per_thousand(count)),
        ));
        relay.process.terminate();
    }
    table
}
