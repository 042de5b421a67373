//! What the benches share. Each bench prints what it measured beside a yardstick of the same run, and their ratio.
//!
//! | module | what it holds |
//! |---|---|
//! | [`process`] | a measured program: started on a core of its own, its CPU time and memory read from /proc |
//! | [`machine`] | cores, limits, what the machine is |
//! | [`tls`] | QUIC configurations of generator and yardstick, equal to the relay's |
//! | [`person`] | somebody with an account, made with the real crypto |
//! | [`client`] | a client that speaks frames and treats sealed bytes as opaque |
//! | [`echo`] | the yardstick: a QUIC server that sends each frame back, and its client |
//! | [`report`] | tables, ratios and goals |
//!
//! Programs: `load` (the generator) and `echo` (the yardstick's server). `scripts/bench` runs everything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod client;
pub mod echo;
pub mod machine;
pub mod person;
pub mod process;
pub mod report;
pub mod tls;
