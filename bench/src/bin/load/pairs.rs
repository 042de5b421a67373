//! (b) Closed loop, durable delivery, beside a raw quinn echo of the same frames.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use clap::Args;
use hdrhistogram::Histogram;
use subrosa_bench::{
    echo::{self, EchoClient},
    person::{Passphrase, Person},
    process::Cpu,
    report::{Row, Table},
    tls,
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
    /// Messages under way in each pair
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    windows: Vec<u64>,
    /// Leave the yardstick out, for profiling
    #[arg(long)]
    alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { pairs: 50, sizes: vec![256, 1024], windows: vec![1, 16], alone: false }
    }
}

/// The goals of issue 3, in milliseconds of CPU for 1,000 messages.
const fn goal_ms(size: usize) -> Option<f64> {
    match size {
        256 => Some(8.0),
        1024 => Some(12.0),
        _ => None,
    }
}
/// The goal beside the raw echo.
const GOAL_RATIO: f64 = 6.0;

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let mut table = Table::new(format!("(b) {} pairs, closed loop, durable delivery", options.pairs));
    for &window in &options.windows {
        for &size in &options.sizes {
            let relay = relay(bed, options.pairs, size, window);
            let what = format!("{size} B, {window} under way in each pair: server CPU for 1,000");
            let milliseconds = relay.cpu.per_thousand(relay.count);
            let mut row = Row::new(what, format!("{milliseconds:.1} ms ({})", relay.describe()));
            if let Some(goal) = goal_ms(size) {
                row = row.goal(&format!("<= {goal:.0} ms"), milliseconds <= goal);
            }
            if !options.alone {
                let echo = raw(bed, options.pairs, frame_len(size), window);
                let yardstick = echo.cpu.per_thousand(echo.count);
                let ratio = milliseconds / yardstick;
                row = row
                    .beside(format!("raw quinn echo {yardstick:.1} ms ({})", echo.describe()), ratio)
                    .goal(&format!("<= {GOAL_RATIO} times"), ratio <= GOAL_RATIO);
            }
            table.row(row);
        }
    }
    table
}

struct Sample {
    count: u64,
    cpu: Cpu,
    seconds: f64,
    times: Histogram<u64>,
}

impl Sample {
    fn describe(&self) -> String {
        format!(
            "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.0} % in the kernel, {:.0} waits",
            self.count as f64 / self.seconds,
            self.times.value_at_quantile(0.5) as f64 / 1000.0,
            self.times.value_at_quantile(0.99) as f64 / 1000.0,
            100.0 * self.cpu.system.as_secs_f64() / self.cpu.total().as_secs_f64().max(1e-9),
            1000.0 * self.cpu.waits as f64 / self.count.max(1) as f64,
        )
    }
}

/// Bytes of a send's frame after its length.
fn frame_len(size: usize) -> usize {
    let frame = Person::new("receiver10").envelope(1, 1, size).to_raw(1).unwrap();
    frame.body.len() + 7
}

fn relay(bed: &Bed, pairs: usize, size: usize, window: u64) -> Sample {
    let relay = bed.relay();
    let sample = Bed::runtime().block_on(async {
        let passphrase = Passphrase::new();
        let senders = relay.people("sender", pairs, &passphrase).await;
        let receivers = relay.people("receiver", pairs, &passphrase).await;
        let shared = Shared::new();
        let mut tasks = JoinSet::new();
        for pair in senders.into_iter().zip(receivers) {
            flow::start(&mut tasks, &shared, relay.process.quic, pair, size, Pace::Closed(window)).await;
        }
        let on = || shared.measuring.store(true, Relaxed);
        let off = || shared.measuring.store(false, Relaxed);
        let ((), cpu, time) = bed.measure(&relay.process, on, off).await;
        let times = shared.delivered.lock().unwrap().clone();
        Sample { count: times.len(), cpu, seconds: time.as_secs_f64(), times }
    });
    relay.process.terminate();
    sample
}

fn raw(bed: &Bed, clients: usize, len: usize, window: u64) -> Sample {
    let server = bed.echo();
    Bed::runtime().block_on(async {
        let shared = Arc::new(echo::Shared::default());
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let endpoint = tls::endpoint();
            let client = EchoClient::connect(&endpoint, server.quic).await;
            let (shared, window) = (Arc::clone(&shared), usize::try_from(window).unwrap());
            tasks.spawn(async move {
                let _held = endpoint;
                echo::load(client, len, window, shared).await;
            });
        }
        let on = || shared.measuring.store(true, Relaxed);
        let off = || shared.measuring.store(false, Relaxed);
        let ((), cpu, time) = bed.measure(&server, on, off).await;
        let times = shared.times.lock().unwrap().clone();
        Sample { count: times.len(), cpu, seconds: time.as_secs_f64(), times }
    })
}
