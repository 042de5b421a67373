//! `chaos-proxy`: the proxy of the network tests, by hand. See docs/OPERATIONS.md.
//!
//! Clients are given the relay's address with this proxy's host and port in it. The statistics are printed at the end,
//! which is Ctrl-C, SIGTERM or `--for`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, ValueEnum};
use subrosa_tests::chaos::{ChaosProxy, Faults, Profile, parse_duration, parse_rate, parse_share};
use tokio::signal::unix::{SignalKind, signal};

/// A UDP proxy that loses, delays, reorders and doubles datagrams, repeatable by its seed.
#[derive(Parser)]
struct Args {
    /// Where clients find it.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the relay is.
    #[arg(long, value_name = "IP:PORT")]
    upstream: SocketAddr,
    /// What happens to which datagram; the same seed repeats it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Datagrams that are lost.
    #[arg(long, value_name = "10%", value_parser = parse_share, default_value = "0%")]
    loss: f64,
    /// How long each takes, one way.
    #[arg(long, value_name = "150ms", value_parser = parse_duration, default_value = "0ms")]
    delay: Duration,
    /// How much longer at most.
    #[arg(long, value_name = "20ms", value_parser = parse_duration, default_value = "0ms")]
    jitter: Duration,
    /// Datagrams that are held back for half the delay more (20 ms at least), so that others overtake them.
    #[arg(long, value_name = "25%", value_parser = parse_share, default_value = "0%")]
    reorder: f64,
    /// Datagrams that come twice.
    #[arg(long, value_name = "5%", value_parser = parse_share, default_value = "0%")]
    duplicate: f64,
    /// What passes in a second, with a queue of 64 KiB in front.
    #[arg(long, value_name = "1mbit", value_parser = parse_rate)]
    rate: Option<u64>,
    /// Which way all of this happens.
    #[arg(long, value_enum, default_value_t = Way::Both)]
    direction: Way,
    /// When nothing passes any more.
    #[arg(long, value_name = "30s", value_parser = parse_duration)]
    blackhole_after: Option<Duration>,
    /// For how long nothing passes; without it, from then on.
    #[arg(long, value_name = "5m", value_parser = parse_duration, requires = "blackhole_after")]
    blackhole_for: Option<Duration>,
    /// How often every client gets a new address.
    #[arg(long, value_name = "2s", value_parser = parse_duration)]
    rebind_every: Option<Duration>,
    /// When to end by itself.
    #[arg(long = "for", value_name = "1m", value_parser = parse_duration)]
    end_after: Option<Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    /// Both.
    Both,
    /// From clients to the relay.
    Up,
    /// From the relay to clients.
    Down,
}

impl Args {
    fn profile(&self, faults: Faults) -> Profile {
        let (up, down) = match self.direction {
            Way::Both => (faults, faults),
            Way::Up => (faults, Faults::default()),
            Way::Down => (Faults::default(), faults),
        };
        Profile { up, down, rebind_every: self.rebind_every }
    }

    fn faults(&self) -> Faults {
        Faults {
            loss: self.loss,
            delay: self.delay,
            jitter: self.jitter,
            reorder: self.reorder,
            duplicate: self.duplicate,
            rate: self.rate,
            blackhole: false,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let usual = args.profile(args.faults());
    let proxy = ChaosProxy::listen(args.listen, args.seed, args.upstream, usual).await?;
    println!("{} -> {}, seed {}", proxy.address(), args.upstream, args.seed);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let blackhole = async {
        let Some(after) = args.blackhole_after else { return std::future::pending().await };
        tokio::time::sleep(after).await;
        proxy.set(args.profile(Faults { blackhole: true, ..args.faults() }));
        println!("nothing passes");
        let Some(length) = args.blackhole_for else { return std::future::pending().await };
        tokio::time::sleep(length).await;
        proxy.set(usual);
        println!("everything passes again");
        std::future::pending().await
    };
    let end = async {
        match args.end_after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = end => {}
        () = blackhole => {}
    }
    println!("{}", proxy.stats());
    Ok(())
}
