//! Rooms with real programs: `rosa room …` as people and scripts use it, some people and a relay.
//!
//! | module | what |
//! |---|---|
//! | `talking` | a private and a public room, by their verbs |
//! | `entering` | the lobby that new accounts join, somebody invited right after a scripted `rosa join` |
//! | `owners` | the owner key, and a room that a stranger bricked |
//! | `refusals` | what is not possible: words, exit code, nothing lost |
//! | `offline` | what is posted without a relay |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod entering;
mod offline;
mod owners;
mod refusals;
mod scene;
mod talking;
mod words;
