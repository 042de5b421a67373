//! What the benches share. Each bench prints what it measured beside a yardstick of the same run, and their ratio.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
