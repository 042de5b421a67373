//! What the end-to-end tests share: real `rosad` and real `rosa` processes in a folder of their own, ended by their pid.
//!
//! | module | what it holds |
//! |---|---|
//! | [`programs`] | where the built programs are |
//! | [`world`] | a temporary folder with a relay and profiles in it |
//! | [`relay`] | one `rosad` process |
//! | [`person`] | one profile, and `rosa` run on it |
//! | [`terminal`] | a program in a real terminal |
//! | [`scan`] | searching files for what must not be in them |
//! | [`chaos`] | a seeded proxy that loses, delays, reorders and doubles UDP datagrams |
//! | [`lying_relay`] | a relay that speaks the protocol and lies |
//! | [`raw_client`] | a client without manners |
//! | [`faults`] | failing system calls, full disks, lost power |
//! | [`report`] | what was done, in numbers, and what was left out |
//! | [`ledger`] | what was asked, accepted and displayed, outside all stores |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod chaos;
pub mod faults;
pub mod ledger;
pub mod lying_relay;
pub mod person;
pub mod programs;
pub mod raw_client;
pub mod relay;
pub mod report;
pub mod scan;
pub mod terminal;
pub mod world;

pub use person::{Outcome, Person};
pub use relay::RelayProcess;
pub use terminal::Terminal;
pub use world::World;
