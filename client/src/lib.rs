//! The client engine: an encrypted store, sessions, an outbox and an inbox that lose nothing, and the connection to the
//! relay. Commands go in, events come out; it knows no terminal.
//!
//! | module | what it does |
//! |---|---|
//! | [`chat`] | which chat: a person or a room |
//! | [`api`] | requests, replies, events and errors: what every front end speaks |
//! | [`profile`] | where a profile's files are, its lock, opening and creating it |
//! | [`store`] | the encrypted database, by domain |
//! | [`core`] | the machine that decides: requests, frames and time in, effects out |
//! | [`net`] | the connection to the relay |
//! | [`engine`] | runs store, core and net; one owner a profile |
//! | [`join`] | registering, and logging in on a further device |
//! | `label` | what a profile calls a room |
//! | `key_packages`, [`mentions()`] | new KeyPackages of a device; who is named in a text |
//! | [`attach`] | the profile's Unix socket: the owner serves it, everybody else attaches |

#![warn(missing_docs)]

pub mod api;
pub mod attach;
pub mod chat;
pub mod core;
pub mod engine;
pub mod join;
mod key_packages;
mod label;
pub mod limits;
mod mentions;
pub mod net;
pub mod profile;
pub mod store;

pub use api::{ApiError, Event, Handle, Reply, Request};
pub use chat::ChatId;
pub use engine::Engine;
pub use mentions::mentions;
