//! The terminal application against an engine in memory: every screen as a snapshot, every behaviour through the update,
//! and the loop itself with a terminal that counts bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;
mod world;

mod anything;
mod bytes;
mod chats;
mod hostile;
mod lines;
mod locking;
mod reading;
mod rooms;
mod screens;
mod searching;
mod selecting;
mod trusting;
mod writing;
