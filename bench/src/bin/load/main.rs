//! The load generator: a real `rosad` process and a raw quinn echo beside it, each on a core of its own, the generator on
//! another. The server's CPU time is read from /proc. Every table says what it is compared with in the same run.
//!
//! `load all` is what `scripts/bench` runs; the other commands are its parts, with sizes to choose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bed;
mod connect;
mod flow;
mod idle;
mod offline;
mod pairs;
mod rate;
mod real;
mod rooms;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use subrosa_bench::{machine, report::Table};

use bed::Bed;

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    what: What,
}

#[derive(Args, Clone)]
struct Common {
    /// The folder with `rosad` and `echo`; by default where this program is
    #[arg(long, global = true)]
    programs: Option<PathBuf>,
    /// The core of the measured server
    #[arg(long, global = true, default_value_t = 0)]
    server_core: usize,
    /// The core of this program
    #[arg(long, global = true, default_value_t = 1)]
    generator_core: usize,
    /// Where the relay keeps its data while it is measured; its disk decides what a sync costs
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Seconds of each measurement, after a second to warm up
    #[arg(long, global = true, default_value_t = 8)]
    seconds: u64,
}

#[derive(Subcommand, Clone)]
enum What {
    /// Everything, as scripts/bench does
    All,
    /// Closed loop: pairs of clients, a message leaves when one before it was accepted and delivered
    Pairs(pairs::Options),
    /// Open loop: so many messages a second, whatever the relay does; latencies
    Rate(rate::Options),
    /// Memory of authenticated connections that are silent
    Idle(idle::Options),
    /// Messages accepted for devices that are not there
    Offline(offline::Options),
    /// Connect, authenticate, synchronise, leave
    Connect(connect::Options),
    /// Posts to everybody in a room, beside a broadcast of the same bytes by raw quinn; memory of rooms
    Rooms(rooms::Options),
    /// Real engines with real stores: padded, encrypted messages
    Real(real::Options),
}

fn main() {
    let Cli { common, what } = Cli::parse();
    machine::raise_open_files();
    machine::pin(common.generator_core.min(machine::cores() - 1));
    let bed = Bed::new(&common);
    println!(
        "{}; server on core {}, generator on core {}; data on {}",
        machine::describe(),
        common.server_core,
        common.generator_core,
        bed.disk()
    );
    let tables = match what {
        What::All => vec![
            pairs::run(&bed, &pairs::Options::default()),
            rate::run(&bed, &rate::Options::default()),
            real::run(&bed, &real::Options::default()),
            idle::run(&bed, &idle::Options::default()),
            offline::run(&bed, &offline::Options::default()),
            connect::run(&bed, &connect::Options::default()),
            rooms::run(&bed, &rooms::Options::default()),
        ],
        What::Pairs(options) => vec![pairs::run(&bed, &options)],
        What::Rate(options) => vec![rate::run(&bed, &options)],
        What::Idle(options) => vec![idle::run(&bed, &options)],
        What::Offline(options) => vec![offline::run(&bed, &options)],
        What::Connect(options) => vec![connect::run(&bed, &options)],
        What::Rooms(options) => vec![rooms::run(&bed, &options)],
        What::Real(options) => vec![real::run(&bed, &options)],
    };
    tables.iter().for_each(Table::print);
    let (missed, goals) = tables.iter().map(Table::score).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{} of {goals} goals met; load at the end: {}", goals - missed, machine::describe());
}
