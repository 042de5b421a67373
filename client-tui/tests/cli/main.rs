//! `rosa` as scripts meet it: the built program, its standard streams, its exit codes.
//!
//! | module | what it holds |
//! |---|---|
//! | `run` | running the program, with a limit |
//! | `owner` | a process that owns a profile and answers what a test wants |
//! | `silence` | no verb waits for a standard input that says nothing |
//! | `output` | what every verb prints, for people and as JSON |
//! | `ending` | exit codes, signals, readers that go away |
//! | `receiving` | `recv` in all its ways |
//! | `alone` | the same program with a relay, as the owner of its profile |
//! | `demo` | `rosa demo` without a terminal |
//! | `docs` | docs/SCRIPTING.md says what is so |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod alone;
mod demo;
mod docs;
mod ending;
mod output;
mod owner;
mod receiving;
mod run;
mod silence;
