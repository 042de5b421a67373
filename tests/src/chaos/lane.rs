//! One direction: faults and statistics, without I/O.

use tokio::time::Instant;

use super::{Counts, Dice, Direction, Faults, rate::Link};

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    dice: Dice,
    link: Link,
    /// The number of the next datagram.
    next: u64,
    /// The highest number that left, plus one.
    overtaken: u64,
    pub(super) counts: Counts,
}

/// When a datagram leaves, and when it does so once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) first: Option<Instant>,
    pub(super) second: Option<Instant>,
}

impl Lane {
    pub(super) fn new(seed: u64, direction: Direction) -> Self {
        let dice = Dice::new(seed, direction);
        Self { dice, link: Link::default(), next: 0, overtaken: 0, counts: Counts::default() }
    }

    /// A datagram came: when does it leave?
    pub(super) fn came(&mut self, now: Instant, bytes: usize, faults: &Faults) -> Plan {
        let number = self.next;
        self.next += 1;
        self.counts.came += 1;
        let mut plan = Plan { number, ..Plan::default() };
        if faults.blackhole {
            self.counts.swallowed += 1;
            return plan;
        }
        let fate = self.dice.fate(number, faults);
        if fate.lost {
            self.counts.lost += 1;
            return plan;
        }
        plan.first = self.pass(now, bytes, faults).map(|at| at + fate.after);
        if let Some(again) = fate.again_after {
            self.counts.doubled += 1;
            plan.second = self.pass(now, bytes, faults).map(|at| at + again);
        }
        plan
    }

    /// When it has passed the limited link.
    fn pass(&mut self, now: Instant, bytes: usize, faults: &Faults) -> Option<Instant> {
        let Some(rate) = faults.rate else { return Some(now) };
        let left = self.link.take(now, bytes, rate);
        if left.is_none() {
            self.counts.overflowed += 1;
        }
        left
    }

    /// A datagram is not sent at once.
    pub(super) fn waits(&mut self) {
        self.counts.delayed += 1;
    }

    /// A datagram had no room.
    pub(super) fn overflowed(&mut self) {
        self.counts.overflowed += 1;
    }

    /// A datagram left.
    pub(super) fn left(&mut self, number: u64, bytes: usize) {
        self.counts.left += 1;
        self.counts.bytes += bytes as u64;
        if number + 1 < self.overtaken {
            self.counts.reordered += 1;
        }
        self.overtaken = self.overtaken.max(number + 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn without_faults_everything_leaves_at_once() {
        let (mut lane, now) = (Lane::new(1, Direction::Up), Instant::now());
        for number in 0..100 {
            let plan = lane.came(now, 1_200, &Faults::default());
            assert_eq!(plan, Plan { number, first: Some(now), second: None });
        }
        assert_eq!(lane.counts, Counts { came: 100, ..Counts::default() });
    }

    #[test]
    fn every_datagram_is_accounted_for() {
        let faults = Faults {
            loss: 0.2,
            duplicate: 0.2,
            delay: Duration::from_millis(5),
            rate: Some(1_000_000),
            ..Faults::default()
        };
        let (mut lane, now) = (Lane::new(5, Direction::Down), Instant::now());
        let mut leave = 0;
        for n in 0..10_000u32 {
            let plan = lane.came(now + Duration::from_millis(1) * n, 200, &faults);
            leave += u64::from(plan.first.is_some()) + u64::from(plan.second.is_some());
        }
        let Counts { came, lost, doubled, overflowed, .. } = lane.counts;
        assert_eq!(came + doubled, leave + lost + overflowed);
        assert!(lost > 1_800 && lost < 2_200 && doubled > 1_400 && overflowed > 1_000, "{:?}", lane.counts);
    }

    #[test]
    fn a_blackhole_swallows_all_and_keeps_the_numbers_going() {
        let (mut lane, now) = (Lane::new(1, Direction::Up), Instant::now());
        for _ in 0..10 {
            assert_eq!(lane.came(now, 10, &Faults::dead()).first, None);
        }
        assert_eq!(lane.counts.swallowed, 10);
        assert_eq!(lane.came(now, 10, &Faults::default()).number, 10);
    }

    #[test]
    fn what_leaves_after_a_later_one_is_reordered() {
        let mut lane = Lane::new(1, Direction::Up);
        for number in [0, 1, 3, 2, 5, 4, 4, 6] {
            lane.left(number, 1);
        }
        assert_eq!((lane.counts.left, lane.counts.reordered), (8, 3));
    }
}
