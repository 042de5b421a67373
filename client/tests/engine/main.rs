//! Machines of several people against a relay in memory: what the engine promises, by requirement.
#![allow(unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod binding;
mod crashing;
mod devices;
mod faults;
mod grouping;
mod hostile;
mod lying;
mod relay;
mod relay_rooms;
mod rng;
mod room_judge;
mod rooms;
mod simulation;
mod talking;
mod trusting;
mod world;
