//! What to run.

use std::ops::Range;

pub struct Options {
    pub seeds: Range<u64>,
    pub events: u32,
    pub threads: usize,
    /// Whether the others are lived too after a seed was broken.
    pub keep_going: bool,
    /// Only one seed, and whether every event of it is printed.
    pub replay: Option<bool>,
}

fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value != "0")
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

impl Options {
    pub fn from_environment() -> Self {
        let from = number("SUBROSA_SIMULATION_FROM").unwrap_or(0);
        let to = number("SUBROSA_SIMULATION_TO").unwrap_or(from + 120);
        let seed = number("SUBROSA_SIMULATION_SEED");
        Self {
            seeds: seed.map_or(from..to, |seed| seed..seed + 1),
            events: number("SUBROSA_SIMULATION_EVENTS").unwrap_or(500) as u32,
            threads: number("SUBROSA_SIMULATION_THREADS").unwrap_or(2).max(1) as usize,
            keep_going: is_set("SUBROSA_SIMULATION_KEEP_GOING"),
            replay: seed.map(|_| is_set("SUBROSA_SIMULATION_TRACE")),
        }
    }

    /// What to type to see a seed again.
    pub fn replay_of(&self, seed: u64) -> String {
        format!("scripts/simulation --seed {seed} --events {} --trace", self.events)
    }
}
