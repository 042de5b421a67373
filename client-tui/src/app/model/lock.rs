//! The lock screen.

use subrosa_client::api::time::Timestamp;
use zeroize::Zeroizing;

/// Bytes of a passphrase that are taken.
pub const PASSPHRASE_BYTES: usize = 1024;
/// Wrong passphrases after which each further one costs a minute (R49).
const PATIENCE: u32 = 10;
/// Milliseconds to wait after a wrong passphrase.
const DELAY: u64 = 1_000;
/// Milliseconds to wait after the eleventh wrong passphrase and each further one.
const LONG_DELAY: u64 = 60_000;

/// What the lock screen knows: nothing of the profile.
#[derive(Default)]
pub struct Locked {
    /// What was typed. Its room is taken once, so that no copy is left behind by growing.
    passphrase: Zeroizing<String>,
    /// Whether the passphrase is being tried.
    pub opening: bool,
    /// Why it is still locked.
    pub message: Option<String>,
    /// Before this time no passphrase is taken.
    pub wait_until: Option<Timestamp>,
    failures: u32,
}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locked")
            .field("opening", &self.opening)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Locked {
    /// A lock screen that says why.
    #[must_use]
    pub fn because(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }

    /// Characters typed.
    #[must_use]
    pub fn typed(&self) -> usize {
        self.passphrase.chars().count()
    }

    /// Adds a character.
    pub fn push(&mut self, c: char) {
        if self.passphrase.capacity() == 0 {
            self.passphrase.reserve_exact(PASSPHRASE_BYTES);
        }
        if !c.is_control() && self.passphrase.len() + c.len_utf8() <= PASSPHRASE_BYTES {
            self.passphrase.push(c);
        }
    }

    /// Removes the last character.
    pub fn pop(&mut self) {
        self.passphrase.pop();
    }

    /// Takes what was typed.
    pub fn take(&mut self) -> Zeroizing<String> {
        std::mem::take(&mut self.passphrase)
    }

    /// A passphrase was wrong: the next is taken later, and much later after many (R49). Nothing is ever wiped.
    pub fn wrong(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        let delay = if self.failures > PATIENCE { LONG_DELAY } else { DELAY };
        self.wait_until = Some(Timestamp(now.0.saturating_add(delay)));
    }

    /// Whether a passphrase is taken now.
    #[must_use]
    pub fn takes(&self, now: Timestamp) -> bool {
        !self.opening && self.wait_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r49_ten_wrong_passphrases_cost_a_minute_each() {
        let mut lock = Locked::default();
        let mut now = Timestamp(0);
        for _ in 0..10 {
            lock.wrong(now);
            assert!(!lock.takes(now));
            now.0 += 1_000;
            assert!(lock.takes(now));
        }
        lock.wrong(now);
        now.0 += 59_999;
        assert!(!lock.takes(now));
        now.0 += 1;
        assert!(lock.takes(now));
    }

    #[test]
    fn the_passphrase_is_bounded_and_not_shown() {
        let mut lock = Locked::default();
        for _ in 0..2 * PASSPHRASE_BYTES {
            lock.push('x');
        }
        assert_eq!(lock.typed(), PASSPHRASE_BYTES);
        assert!(!format!("{lock:?}").contains('x'));
        lock.pop();
        assert_eq!(lock.take().len(), PASSPHRASE_BYTES - 1);
        assert_eq!(lock.typed(), 0);
    }
}
