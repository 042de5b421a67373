//! A bound on what all connections together keep in buffers beyond the little that each may always have. A connection that
//! needs more takes a [`Share`] of a [`Budget`]; where there is none left it makes do, or is refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many bytes for everybody.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    total: usize,
}

impl Budget {
    /// Of `total` bytes.
    #[must_use]
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), total })
    }

    /// A share of nothing, to grow.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// Whether three quarters are used: whoever holds some without need is asked to give it back.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.total / 4 * 3
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.total)
        });
        taken.is_ok()
    }
}

/// Bytes of a budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Makes it so many bytes. `false`, and nothing changes, when the budget has no more; less is always possible.
    #[must_use]
    pub fn cover(&mut self, bytes: usize) -> bool {
        if bytes == self.bytes {
            return true;
        }
        if bytes < self.bytes {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        } else if !self.budget.take(bytes - self.bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }

    /// Takes over what another share of the same budget has.
    pub fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Whether the whole budget is short.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.budget.is_short()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_past_the_budget_is_refused_and_everything_is_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.cover(60) && two.cover(40) && budget.is_short());
        assert!(!one.cover(61), "one past the bound");
        assert!(one.cover(10) && !budget.is_short());
        assert!(two.cover(90) && !two.cover(91));
        two.absorb(one);
        assert!(two.cover(100));
        drop(two);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
