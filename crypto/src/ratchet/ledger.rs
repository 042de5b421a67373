//! Test builds only: remembers a hash of every (AEAD key, nonce) that encrypted something on this thread, and counts
//! those that came twice (invariant I4); counts the steps of chains, which are what a hostile message could make
//! expensive (R18). The feature `ledger` switches it on for tests of other crates.

use std::cell::RefCell;
use std::collections::HashSet;

use sha2::{Digest, Sha256};

thread_local! {
    static SEEN: RefCell<Ledger> = RefCell::default();
}

#[derive(Default)]
struct Ledger {
    pairs: HashSet<[u8; 32]>,
    uses: usize,
    steps: usize,
}

pub(super) fn record(key: &[u8; 32], nonce: &[u8; 12]) {
    let pair = Sha256::new().chain_update(key).chain_update(nonce).finalize().into();
    SEEN.with_borrow_mut(|ledger| {
        ledger.uses += 1;
        ledger.pairs.insert(pair);
    });
}

pub(super) fn record_step() {
    SEEN.with_borrow_mut(|ledger| ledger.steps += 1);
}

/// Forgets everything that this thread recorded.
pub fn clear() {
    SEEN.with_borrow_mut(|ledger| *ledger = Ledger::default());
}

/// How many encryptions this thread recorded.
pub fn uses() -> usize {
    SEEN.with_borrow(|ledger| ledger.uses)
}

/// How many of them used a (key, nonce) that was used before; 0 is the only good answer.
pub fn repeats() -> usize {
    SEEN.with_borrow(|ledger| ledger.uses - ledger.pairs.len())
}

/// How many message keys this thread derived.
pub fn steps() -> usize {
    SEEN.with_borrow(|ledger| ledger.steps)
}

#[cfg(test)]
mod tests {
    #[test]
    fn i4_the_ledger_notices_a_repeat() {
        super::clear();
        super::record(&[1; 32], &[2; 12]);
        super::record(&[1; 32], &[3; 12]);
        assert_eq!((super::uses(), super::repeats()), (2, 0));
        super::record(&[1; 32], &[2; 12]);
        assert_eq!((super::uses(), super::repeats()), (3, 1));
    }
}
