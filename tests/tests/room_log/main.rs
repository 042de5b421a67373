//! Rooms at a real `rosad` process, by clients that speak frames: kills between an entry stored and its answer, faults of
//! the disk and lost power, hostile input, and what of a room stands in the relay's files and logs.
//!
//! What is proven inside one process (`server/tests/rooms.rs`) is not repeated here. The sizes come from the environment:
//!
//! | variable | default | what |
//! |---|---|---|
//! | `SUBROSA_ROOM_KILLS` | 8 | kills of the relay while rooms are written to |
//! | `SUBROSA_ROOM_KILLS_SEED` | the process id | of when they come |
//! | `SUBROSA_ROOM_FAULTS` | 4 | single faults of its disk |
//! | `SUBROSA_ROOM_FAULTS_SEED` | the process id | of what fails when |
//! | `SUBROSA_ROOM_CUTS` | 12 | power cuts for each of three runs |
//! | `SUBROSA_ROOM_CUT_ENTRIES` | 80 | entries written in each of them |
//! | `SUBROSA_ROOM_CUT_SEED` | the process id | of when power fails and what the disk keeps |
//! | `SUBROSA_ROOM_FLOOD_SECONDS` | 2 | how long a member floods |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod blind;
mod fixture;
mod hostile;
mod kills;
mod ledger;
mod power;
