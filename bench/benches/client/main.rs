//! The client (issue 3, point 5 f): engines with their encrypted stores on a real relay, beside the ratchet alone; and the
//! application in a terminal.
//!
//! `cargo bench -p subrosa-bench --bench client [-- engine | backlog | room | rosa | frames]`; without a word all of them. `rosa` wants
//! the program built: `cargo build --release -p rosa`.
//!
//! | file | what it does |
//! |---|---|
//! | `usage` | CPU time, memory and writes of a process, from /proc |
//! | `child` | the programs that are measured: the relay, and a person's engine, each a process of its own |
//! | `engine` | sending, receiving, and a backlog |
//! | `yardstick` | the ratchet alone, and the sum of what a message must cost |
//! | `recovery` | a room whose entries somebody missed, beside OpenMLS alone |
//! | `rosa` | the application in a pseudo-terminal |
//! | `frames` | frames of the application in a room of 1,000 members and 10,000 messages |
//! | `hostile` | envelopes of somebody who means harm |
//! | `table` | how figures are printed |
//!
//! | variable | default | what it says |
//! |---|---|---|
//! | `SUBROSA_CLIENT_SINGLE` | 500 | messages sent one at a time |
//! | `SUBROSA_CLIENT_MESSAGES` | 10000 | messages sent many at a time |
//! | `SUBROSA_CLIENT_BACKLOG` | 10000 | messages that wait in the mailbox |
//! | `SUBROSA_CLIENT_MISSED` | 10000 | entries of a room that somebody missed |
//! | `SUBROSA_CLIENT_HISTORY` | 10000 | messages in the history that the application shows |
//! | `SUBROSA_CLIENT_IDLE_S` | 30 | seconds the idle application is watched |
//! | `SUBROSA_CLIENT_HOSTILE` | 1000 | hostile envelopes a second |
//! | `SUBROSA_FRAMES_MEMBERS` | 1000 | members of the room whose frames are timed |
//! | `SUBROSA_FRAMES_MESSAGES` | 10000 | its messages |
//! | `SUBROSA_FRAMES_STEPS` | 2000 | keys and messages of each kind |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../openmls/alone.rs"]
#[allow(dead_code)]
mod alone;
mod child;
mod engine;
mod frames;
mod hostile;
mod recovery;
mod rosa;
mod table;
mod usage;
mod yardstick;

/// A number from the environment.
fn size(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["child", rest @ ..] = args.as_slice() {
        return child::main(rest);
    }
    let wants = |part: &str| args.is_empty() || args.contains(&part);
    println!(
        "The client. CPU time is that of the client's own process; rates hold for this machine as busy as it is."
    );
    if wants("engine") || wants("backlog") {
        let yardstick = yardstick::measure();
        yardstick.print();
        engine::run(&yardstick, wants("engine"), wants("backlog"));
    }
    if wants("room") {
        recovery::run();
    }
    if wants("frames") {
        frames::run();
    }
    if wants("rosa") {
        rosa::run();
    }
}
