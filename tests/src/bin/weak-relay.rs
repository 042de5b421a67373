//! A relay whose store syncs at checkpoints only, and so acknowledges what a power cut takes away: the control run of the
//! power-cut test. `weak-relay up --json … --listen ADDRESS --data DIR` understands as much of `rosad`'s command line as
//! the tests use.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::PathBuf, sync::Arc};

use subrosa_server::{
    Config, Relay,
    config::Registration,
    store::{SqliteStore, sqlite::SqliteOptions},
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let after = |flag: &str| args[args.iter().position(|arg| arg == flag).unwrap() + 1].clone();
    let data = PathBuf::from(after("--data"));
    let options = SqliteOptions { sync_at_checkpoints_only: true, ..SqliteOptions::default() };
    let store = SqliteStore::open(&data.join("rosad.db"), options).unwrap();
    let mut config = Config::loopback(data);
    config.listen = after("--listen").parse().unwrap();
    config.registration = Registration::Open;
    config.limits.lift_rates = true;
    let relay = Relay::start_with(config, Arc::new(store)).await.unwrap();
    println!(
        "{}",
        serde_json::json!({
            "event": "ready",
            "address": relay.address().to_string(),
            "quic": relay.quic_addr().to_string()
        })
    );
    std::future::pending::<()>().await;
}
