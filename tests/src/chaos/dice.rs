//! What happens to one datagram: a function of the seed, its direction and its number.

use std::time::Duration;

use super::{Direction, Faults};

/// The dice of one direction.
#[derive(Debug, Clone, Copy)]
pub struct Dice {
    key: u64,
}

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// It does not come.
    pub lost: bool,
    /// It is held back so that later ones overtake it.
    pub held: bool,
    /// How long it takes.
    pub after: Duration,
    /// It comes once more, after so long.
    pub again_after: Option<Duration>,
}

/// What is asked of the dice.
#[derive(Clone, Copy)]
enum Throw {
    Loss = 1,
    Reorder,
    Duplicate,
    Jitter,
    JitterAgain,
}

impl Dice {
    /// Of a seed and a direction.
    pub fn new(seed: u64, direction: Direction) -> Self {
        let way = match direction {
            Direction::Up => 0x75,
            Direction::Down => 0x64,
        };
        Self { key: mix(seed ^ mix(way)) }
    }

    /// What happens to datagram `number` under these faults.
    pub fn fate(&self, number: u64, faults: &Faults) -> Fate {
        let happens = |throw, share: f64| self.throw(number, throw) < share;
        let jitter = |throw| faults.jitter.mul_f64(self.throw(number, throw));
        let held = happens(Throw::Reorder, faults.reorder);
        let late = if held { faults.held_for() } else { Duration::ZERO };
        Fate {
            lost: happens(Throw::Loss, faults.loss),
            held,
            after: faults.delay + jitter(Throw::Jitter) + late,
            again_after: happens(Throw::Duplicate, faults.duplicate)
                .then(|| faults.delay + jitter(Throw::JitterAgain)),
        }
    }

    /// A number from 0 up to, but without, 1.
    fn throw(&self, number: u64, throw: Throw) -> f64 {
        let bits = mix(mix(self.key.wrapping_add(number)) ^ (throw as u64));
        // 53 bits are what a double holds exactly.
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// SplitMix64's finish: each bit of the output depends on each of the input.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 50_000;

    fn share(of: impl Fn(&Fate) -> bool, faults: &Faults, seed: u64) -> f64 {
        let dice = Dice::new(seed, Direction::Up);
        (0..MANY).filter(|number| of(&dice.fate(*number, faults))).count() as f64 / MANY as f64
    }

    #[test]
    fn the_rates_it_claims_are_the_rates_it_does() {
        for rate in [0.0, 0.01, 0.05, 0.1, 0.25, 0.3, 0.9, 1.0] {
            let faults = Faults { loss: rate, reorder: rate, duplicate: rate, ..Faults::default() };
            for seed in [0, 1, 7, u64::MAX] {
                // Five standard deviations.
                let near = 5.0 * (rate * (1.0 - rate) / MANY as f64).sqrt() + f64::EPSILON;
                for got in [
                    share(|fate| fate.lost, &faults, seed),
                    share(|fate| fate.held, &faults, seed),
                    share(|fate| fate.again_after.is_some(), &faults, seed),
                ] {
                    assert!((got - rate).abs() <= near, "seed {seed}: {got} instead of {rate}");
                }
            }
        }
    }

    #[test]
    fn one_fault_says_nothing_about_another_nor_about_the_next_datagram() {
        let faults = Faults { loss: 0.5, reorder: 0.5, duplicate: 0.5, ..Faults::default() };
        let dice = Dice::new(3, Direction::Down);
        let both = |of: &dyn Fn(u64) -> bool| (0..MANY).filter(|n| of(*n)).count() as f64 / MANY as f64;
        let fate = |number| dice.fate(number, &faults);
        for got in [
            both(&|n| fate(n).lost && fate(n).held),
            both(&|n| fate(n).held && fate(n).again_after.is_some()),
            both(&|n| fate(n).lost && fate(n + 1).lost),
        ] {
            assert!((got - 0.25).abs() < 0.01, "{got}");
        }
    }

    #[test]
    fn a_seed_repeats_and_another_seed_or_direction_does_not() {
        let faults = Faults::lossy(0.5);
        let lost = |seed, direction| -> Vec<bool> {
            let dice = Dice::new(seed, direction);
            (0..1_000).map(|number| dice.fate(number, &faults).lost).collect()
        };
        assert_eq!(lost(1, Direction::Up), lost(1, Direction::Up));
        assert_ne!(lost(1, Direction::Up), lost(2, Direction::Up));
        assert_ne!(lost(1, Direction::Up), lost(1, Direction::Down));
        // A run of last year can be repeated: these may not change.
        let of_ten: Vec<u64> = (0..60)
            .filter(|number| Dice::new(1, Direction::Up).fate(*number, &Faults::lossy(0.1)).lost)
            .collect();
        assert_eq!(of_ten, GOLDEN);
    }

    #[test]
    fn times_lie_between_delay_and_delay_with_jitter() {
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(40));
        let faults = Faults { delay, jitter, reorder: 0.3, duplicate: 0.3, ..Faults::default() };
        let dice = Dice::new(9, Direction::Up);
        let mut sum = Duration::ZERO;
        for number in 0..10_000 {
            let fate = dice.fate(number, &faults);
            let plain = if fate.held { fate.after - faults.held_for() } else { fate.after };
            assert!(plain >= delay && plain < delay + jitter);
            assert!(fate.again_after.is_none_or(|again| again >= delay && again < delay + jitter));
            sum += plain;
        }
        let mean = sum / 10_000;
        assert!(mean > Duration::from_millis(119) && mean < Duration::from_millis(121), "{mean:?}");
        assert_eq!(Faults::lossy(0.0).held_for(), Duration::from_millis(20));
        assert_eq!(faults.held_for(), Duration::from_millis(50));
    }

    const GOLDEN: [u64; 3] = [4, 18, 49];
}
