//! The network matrix: a real `rosad` and real engines with the chaos proxy between them. Whatever the network does,
//! everything is delivered exactly once and in order (I1 to I3), and a client is back within 5 s of the network.
//!
//! The quick run takes about half a minute. The long one is the same with these:
//!
//! | variable | quick | long | what it is |
//! |---|---|---|---|
//! | `SUBROSA_NETWORK_SECONDS` | 5 | 60 | how long messages flow under a fault |
//! | `SUBROSA_NETWORK_RATE` | 10 | 10 | messages a second, each way |
//! | `SUBROSA_NETWORK_BLACKHOLE` | 8 | 300 | seconds of the blackhole and of a direction that is dead |
//! | `SUBROSA_NETWORK_REBINDS` | 20 | 100 | address changes |
//! | `SUBROSA_NETWORK_SEED` | 1 | any | what is lost |
//! | `SUBROSA_NETWORK_ONLY` | | | only cases whose name contains this |
//!
//! | file | what it is |
//! |---|---|
//! | `cases` | what is done to the network |
//! | `world` | a relay with two people who know each other, copied for each case |
//! | `side` | one engine, what it was asked and what it told |
//! | `figures` | p50 and p99 |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cases;
mod figures;
mod side;
mod world;

use std::{sync::Arc, time::Duration};

use cases::{Case, Outcome, Settings};
use subrosa_tests::{chaos::Faults, report};
use tokio::task::JoinSet;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn everything_is_delivered_in_order_over_every_network_and_a_client_is_back_within_five_seconds() {
    let settings = Settings {
        flow: Duration::from_secs(setting("SUBROSA_NETWORK_SECONDS", 5)),
        rate: setting("SUBROSA_NETWORK_RATE", 10),
        blackhole: Duration::from_secs(setting("SUBROSA_NETWORK_BLACKHOLE", 8)),
        rebinds: setting("SUBROSA_NETWORK_REBINDS", 20),
        seed: setting("SUBROSA_NETWORK_SEED", 1),
    };
    let only = std::env::var("SUBROSA_NETWORK_ONLY").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let template = Arc::new(world::Template::make().await);
        let mut running = JoinSet::new();
        let mut names = std::collections::HashMap::new();
        for case in Case::ALL.into_iter().filter(|case| case.name().contains(&only)) {
            let task = running.spawn(cases::run(case, settings, Arc::clone(&template)));
            names.insert(task.id(), case.name());
        }
        assert!(!names.is_empty(), "no case is called {only:?}");
        while let Some(ended) = running.join_next_with_id().await {
            match ended {
                Ok((_, outcome)) => rows.push(outcome),
                Err(error) => {
                    let name = names[&error.id()];
                    let panic = error.into_panic();
                    let text = panic.downcast_ref::<String>().cloned();
                    failures.push(format!("{name}: {}", text.unwrap_or_else(|| "panicked".into())));
                }
            }
        }
    });
    rows.sort_by_key(|row: &Outcome| row.case as u8);
    let table: String = rows.iter().map(|row| format!("\n  {row}")).collect();
    report::did(&format!(
        "network matrix: seed {}, {} messages a second each way, {} s under each fault, blackhole {} s, {} address changes{table}",
        settings.seed,
        settings.rate,
        settings.flow.as_secs(),
        settings.blackhole.as_secs(),
        settings.rebinds,
    ));
    assert!(failures.is_empty(), "seed {}:\n{}", settings.seed, failures.join("\n"));
}

#[test]
fn joining_works_over_a_far_network_that_loses_reorders_and_doubles() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let took = runtime.block_on(world::join_over(
        setting("SUBROSA_NETWORK_SEED", 1),
        Faults {
            delay: Duration::from_millis(150),
            jitter: Duration::from_millis(20),
            loss: 0.05,
            reorder: 0.25,
            duplicate: 0.05,
            ..Faults::default()
        },
    ));
    report::did(&format!(
        "joined over 150 to 170 ms each way, 5 % loss, 25 % reorder, 5 % twice: {:.1} s",
        took.as_secs_f64()
    ));
}
