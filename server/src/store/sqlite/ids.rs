//! Which of a mailbox's remembered envelope ids an id may be: a compact index in memory, so that a new envelope costs no
//! question to the database. It holds 32 bits of a keyed hash of each id, with its place; whoever finds a place compares
//! the whole id there. It may hold places that are forgotten or were never given: they do not compare equal.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use subrosa_protocol::EnvelopeId;

/// Smallest table.
const SMALLEST: usize = 16;

/// A table of places by their ids' hashes, with linear probing. A slot is hash << 32 | place, as far as they fit; 0 is
/// free.
#[derive(Debug, Default)]
pub(super) struct Ids {
    slots: Vec<u64>,
    used: usize,
}

/// The key of the hashes, of this process alone: nobody can choose ids that collide.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdKey([u8; 16]);

impl IdKey {
    pub(super) fn random() -> std::io::Result<Self> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self(key))
    }

    /// Never 0.
    pub(super) fn hash(&self, id: &EnvelopeId) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(id.as_bytes());
        let hash = hasher.finish();
        u32::try_from(hash >> 32).unwrap_or(1).max(1)
    }
}

impl Ids {
    /// Room for so many.
    pub(super) fn with_room(count: usize) -> Self {
        let slots = count.saturating_mul(2).max(SMALLEST).next_power_of_two();
        Self { slots: vec![0; slots], used: 0 }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * 8
    }

    /// Adds a place. When it is full, places for which `keep` is false are dropped; `next` is a place that is greater than
    /// all.
    pub(super) fn insert(&mut self, hash: u32, place: u64, next: u64, keep: impl Fn(u64) -> bool) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let old: Vec<u64> =
                self.slots.iter().copied().filter(|slot| *slot != 0 && keep(place_of(*slot, next))).collect();
            *self = Self::with_room(old.len() + 1);
            old.into_iter().for_each(|slot| self.put(slot));
        }
        self.put(u64::from(hash) << 32 | (place & u64::from(u32::MAX)));
    }

    fn put(&mut self, entry: u64) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = start(entry) & mask;
        // There is always a free one: at most three quarters are used.
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = entry;
                self.used += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Places, all less than `next`, that an id of this hash may have.
    pub(super) fn places(&self, hash: u32, next: u64) -> impl Iterator<Item = u64> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let first = start(u64::from(hash) << 32) & mask;
        let slots = (0..self.slots.len()).map(move |step| self.slots.get((first + step) & mask).copied());
        let run = slots.map_while(|slot| slot.filter(|slot| *slot != 0));
        run.filter(move |slot| slot >> 32 == u64::from(hash)).map(move |slot| place_of(slot, next))
    }
}

fn start(entry: u64) -> usize {
    usize::try_from(entry >> 32).unwrap_or(0)
}

/// The greatest place below `next` of which a slot has the low half.
fn place_of(slot: u64, next: u64) -> u64 {
    let back = (next.wrapping_sub(slot) as u32).wrapping_sub(1);
    next.wrapping_sub(1).wrapping_sub(u64::from(back))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> EnvelopeId {
        EnvelopeId::from_bytes((u128::from(number) << 3).to_le_bytes())
    }

    #[test]
    fn every_place_is_found_and_what_is_forgotten_is_dropped() {
        let key = IdKey::random().unwrap();
        // Also where places do not fit 32 bits any more.
        for first in [1, u64::from(u32::MAX) - 300] {
            let mut ids = Ids::default();
            let count = 50_000;
            for place in first..first + count {
                ids.insert(key.hash(&id(place)), place, place, |old| old + 20_000 >= place);
            }
            let next = first + count;
            for place in next - 20_000..next {
                assert!(ids.places(key.hash(&id(place)), next).any(|found| found == place), "{place}");
            }
            assert!(ids.bytes() <= 65536 * 8, "{}", ids.bytes());
            let wrong =
                (0..20_000).filter(|n| ids.places(key.hash(&id(n + (1 << 40))), next).next().is_some());
            assert!(wrong.count() < 20);
        }
    }

    #[test]
    fn an_empty_index_knows_nothing() {
        let ids = Ids::default();
        assert_eq!(ids.places(7, 100).count(), 0);
        assert_eq!(Ids::with_room(0).places(7, 100).count(), 0);
    }
}
