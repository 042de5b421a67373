//! Clients that mean harm, against a real `rosad` process with its default limits (a test says so where it has others).
//! Each gets a typed error or a closed connection; a client that behaves logs in within 2 s all the while; the relay's
//! memory grows by less than 128 MiB at 1,000 connections; and no connection ends by a panic.
//!
//! On a machine that does other things as well, 2 s are two seconds of what is left of it: see `raw_client::good`.
//!
//! What is proven inside one process (`server/tests`) is not repeated here. The sizes come from the environment:
//!
//! | variable | default | what |
//! |---|---|---|
//! | `SUBROSA_HOSTILE_CONNECTIONS` | 1000 | connections of the memory tests |
//! | `SUBROSA_HOSTILE_WAVES` | 3 | how many waves of them, each with another misdeed in turn |
//! | `SUBROSA_HOSTILE_SECONDS` | 2 | how long each flood lasts |
//! | `SUBROSA_HOSTILE_TRIES` | 200 | samples of each kind where times are compared |
//! | `SUBROSA_HOSTILE_SEED` | 1 | of random bytes |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixture;
mod floods;
mod garbage;
mod mailbox;
mod memory;
mod passwords;
mod prekeys;
mod probing;
mod races;
mod slow;
mod theft;
mod tls;
