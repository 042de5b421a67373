//! What changes of rooms and messages cost: ours, with the rules and the encrypted store on disk, beside OpenMLS alone in
//! memory with its own primitives, in one run.
//!
//! `cargo bench -p subrosa-bench --bench rooms`; `SUBROSA_BENCH_ROOM_SIZES` (default `10,100,1000`) sets the sizes,
//! `SUBROSA_BENCH_ROUNDS` how often each is measured (default 11). Each round does the same with both, one after the other;
//! a ratio is the median of the rounds' ratios. Times are wall time, durable commits to the disk included: ours end when
//! the store has answered. Bytes are those of the MLS objects. The state is that of a room in which two members have
//! renewed their leaves and posted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../openmls/alone.rs"]
mod alone;
mod ours;
mod theirs;

use std::time::Instant;

use subrosa_bench::report::{Row, Table};
use subrosa_rooms::{Suite, Visibility};

use ours::Ours;
use theirs::Theirs;

/// What is timed.
const STEPS: [&str; 11] = [
    "post 600 B: sender",
    "post 600 B: receiver",
    "add one: committer",
    "add one: receiver",
    "add one: who joins",
    "renew a leaf: committer",
    "renew a leaf: receiver",
    "remove one: committer",
    "remove one: receiver",
    "join from outside: who joins",
    "join from outside: receiver",
];

/// What is weighed.
const OBJECTS: [&str; 6] = [
    "post 600 B",
    "add one: commit",
    "add one: Welcome",
    "remove one: commit",
    "join from outside: commit",
    "join from outside: GroupInfo for the next one",
];

/// What one round took in microseconds, and how many bytes its objects had.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    took: [f64; STEPS.len()],
    bytes: [usize; OBJECTS.len()],
}

fn main() {
    let rounds = std::env::var("SUBROSA_BENCH_ROUNDS").map_or(11, |rounds| rounds.parse().unwrap());
    let sizes = std::env::var("SUBROSA_BENCH_ROOM_SIZES").unwrap_or_else(|_| "10,100,1000".into());
    let mut tables = Vec::new();
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        for suite in Suite::ALL.into_iter().filter(|suite| size <= suite.leaves_max()) {
            // Two places stay free: for the one that is added, and for whoever joins besides.
            let size = size.min(suite.leaves_max() - 2);
            let mut private = Ours::new(size, suite, Visibility::Private);
            let mut public = Ours::new(size, suite, Visibility::Public);
            let mut theirs = Theirs::new(size, suite);
            let mut measured = Vec::new();
            for round in 0..=rounds {
                let mut ours = private.round();
                public.public_round(&mut ours);
                let pair = (ours, theirs.round());
                // The first one fills caches.
                if round > 0 {
                    measured.push(pair);
                }
            }
            let mut table = Table::new(format!("{size} members, {}", suite.name()));
            for (nth, step) in STEPS.into_iter().enumerate() {
                let of =
                    |value: &dyn Fn(&(Round, Round)) -> f64| median(measured.iter().map(value).collect());
                let (mine, alone) = (of(&|m| m.0.took[nth]), of(&|m| m.1.took[nth]));
                let ratio = of(&|m| m.0.took[nth] / m.1.took[nth]);
                let row =
                    Row::new(step, shown(mine)).beside(format!("OpenMLS in memory {}", shown(alone)), ratio);
                // A message is a durable commit and 100 microseconds of computing: it has no goal beside memory.
                table.row(if nth < 2 { row } else { row.goal("1.5", ratio <= 1.5) });
            }
            let (mine, alone) = measured.last().unwrap();
            for (nth, object) in OBJECTS.into_iter().enumerate() {
                let (mine, alone) = (mine.bytes[nth], alone.bytes[nth]);
                let row = Row::new(format!("{object}: bytes"), mine.to_string());
                table.row(row.beside(format!("OpenMLS {alone}"), mine as f64 / alone as f64));
            }
            table.note(through_the_relay(size, &mine.bytes));
            table.print();
            tables.push(table);
        }
    }
    let missed: usize = tables.iter().map(|table| table.score().0).sum();
    println!("\n{missed} goals missed");
}

/// What the relay takes in and gives out for a change, frames and addresses left out.
fn through_the_relay(size: usize, bytes: &[usize; OBJECTS.len()]) -> String {
    let [_, add, welcome, remove, join, info] = *bytes;
    let kib = |bytes: usize| format!("{:.1} KiB", bytes as f64 / 1024.0);
    format!(
        "Through the relay, in and out to everybody: adding one {} and {} (and the invitation, a padded envelope of 2 KiB \
         each way), removing one {} and {}, joining from outside {} and {}.",
        kib(add + welcome),
        kib(add * (size - 1) + welcome),
        kib(remove),
        kib(remove * (size - 1)),
        kib(join + info),
        kib(join * size + info),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(us: f64) -> String {
    if us < 10_000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1e3) }
}

fn timed<T>(into: &mut f64, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    *into = started.elapsed().as_secs_f64() * 1e6;
    done
}
