//! Rooms: members that come and go, and members and relays that lie.
//!
//! | variable | what it sets | quick |
//! |---|---|---|
//! | `SUBROSA_ROOM_MEMBERS` | members of the large room | 100 |
//! | `SUBROSA_ROOM_STEPS` | steps of each random world | 60 |
//! | `SUBROSA_ROOM_SEEDS` | random worlds | 3 |
//! | `SUBROSA_ROOM_CORRUPTIONS` | corrupted messages | 1000 |

mod basics;
mod corrupt;
mod large;
mod liars;
mod random;
mod relays;
mod world;

fn size(variable: &str, quick: usize) -> usize {
    std::env::var(variable).ok().and_then(|size| size.parse().ok()).unwrap_or(quick)
}

fn did(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "did: {what}");
}
