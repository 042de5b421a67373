//! rosad, the blind relay: it stores and forwards what it cannot read, and keeps the directory of accounts.
//!
//! A guided tour, from the wire inwards:
//!
//! | module | what it does |
//! |---|---|
//! | [`listener`] | QUIC, and who may connect at all |
//! | [`connection`] | one connection: frames, states, order, limits |
//! | `handlers` | what is done for each request: a file a concern |
//! | [`bus`] | wake-ups between connections |
//! | [`store`] | what is kept, and the promise that an answer means durable |
//! | [`rate`] | rate limits |
//! | [`memory`] | what all connections together may keep in buffers |
//! | [`limits`] | every number |
//! | [`relay`] | all of it together, as a program or a test holds it |
//! | [`config`], [`data_dir`], [`tls`] | what a relay is made from |
//! | [`cli`], [`admin`], `invites` | what an operator does |
//! | `http`, [`metrics`], [`logging`] | what an operator sees |
//! | `upkeep`, [`shutdown`] | what it does by itself, and how it ends |
//!
//! The relay links no decryption: of Subrosa's cryptography it has `subrosa-verify` only.

#![warn(missing_docs)]

pub mod admin;
pub mod bus;
pub mod cli;
pub mod config;
pub mod connection;
mod core;
pub mod data_dir;
mod handlers;
mod http;
mod invites;
pub mod limits;
pub mod listener;
pub mod logging;
pub mod memory;
pub mod metrics;
mod random;
pub mod rate;
pub mod relay;
mod rooms;
pub mod shutdown;
pub mod store;
pub mod tls;
mod upkeep;

pub use config::{Config, Registration};
pub use invites::{InviteError, MadeInvite};
pub use limits::Limits;
pub use listener::Network;
pub use relay::{Relay, StartError};
