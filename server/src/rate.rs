//! Rate limits: GCRA (a token bucket in one number), alone or by key.
//!
//! Time is a parameter. A keyed limiter is bounded: it keeps a salted 64-bit hash of each key and forgets those whose
//! bucket is full again; when nothing can be forgotten it refuses new keys (it fails closed, R37).

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::limits::Quota;

/// Shards of a keyed limiter, so that connections seldom wait for each other.
const SHARDS: usize = 16;
/// After this long without an attempt, failed logins are forgotten.
const FORGET_FAILURES: Duration = Duration::from_secs(3600);

/// Refused: try again after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

impl RetryAfter {
    /// Whole milliseconds, at least 1.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// The arithmetic of one quota. `None` where rates are lifted.
#[derive(Debug, Clone, Copy)]
struct Gcra {
    per_token: Duration,
    burst: Duration,
}

/// A moment at which the bucket is full again.
type FullAt = Instant;

impl Gcra {
    fn new(quota: Quota) -> Self {
        let period = Duration::from_millis(quota.period_ms);
        let per_token = period.checked_div(quota.refill.max(1)).unwrap_or(period);
        Self { per_token, burst: per_token.saturating_mul(quota.burst.max(1)) }
    }

    fn take(&self, full_at: FullAt, tokens: u32, now: Instant) -> Result<FullAt, RetryAfter> {
        let cost = self.per_token.saturating_mul(tokens).min(self.burst);
        let next = full_at.max(now) + cost;
        match next.saturating_duration_since(now).checked_sub(self.burst) {
            Some(over) if !over.is_zero() => Err(RetryAfter(over)),
            _ => Ok(next),
        }
    }
}

/// One bucket.
#[derive(Debug)]
pub struct Bucket {
    gcra: Option<Gcra>,
    full_at: FullAt,
}

impl Bucket {
    /// Full at `now`.
    #[must_use]
    pub fn new(quota: Quota, lifted: bool, now: Instant) -> Self {
        Self { gcra: (!lifted).then(|| Gcra::new(quota)), full_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// [`RetryAfter`] when there is none; nothing is taken then.
    pub fn take(&mut self, now: Instant) -> Result<(), RetryAfter> {
        if let Some(gcra) = &self.gcra {
            self.full_at = gcra.take(self.full_at, 1, now)?;
        }
        Ok(())
    }
}

/// Buckets by key.
#[derive(Debug)]
pub struct Keyed {
    gcra: Option<Gcra>,
    salt: RandomState,
    shards: Vec<Mutex<Salted<FullAt>>>,
    max_per_shard: usize,
}

impl Keyed {
    /// Remembers about `max_keys` keys.
    #[must_use]
    pub fn new(quota: Quota, lifted: bool, max_keys: usize) -> Self {
        Self {
            gcra: (!lifted).then(|| Gcra::new(quota)),
            salt: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            max_per_shard: (max_keys / SHARDS).max(1),
        }
    }

    /// Takes `tokens` of `key`'s bucket.
    ///
    /// # Errors
    /// [`RetryAfter`] when there are not enough, or when the limiter can remember no further key. Nothing is taken then.
    pub fn take(&self, key: impl Hash, tokens: u32, now: Instant) -> Result<(), RetryAfter> {
        let Some(gcra) = &self.gcra else { return Ok(()) };
        let key = self.salt.hash_one(key);
        let Some(mut shard) = shard(&self.shards, key) else { return Ok(()) };
        let full_at = match shard.get(&key) {
            Some(full_at) => *full_at,
            None => {
                if shard.len() >= self.max_per_shard {
                    shard.retain(|_, full_at| *full_at > now);
                }
                if shard.len() >= self.max_per_shard {
                    return Err(RetryAfter(gcra.per_token.max(Duration::from_secs(1))));
                }
                now
            }
        };
        shard.insert(key, gcra.take(full_at, tokens, now)?);
        Ok(())
    }

    /// Gives back what was taken for something that was refused after all. A key that is forgotten has nothing to get back.
    pub fn give_back(&self, key: impl Hash, tokens: u32) {
        let Some(gcra) = &self.gcra else { return };
        let key = self.salt.hash_one(key);
        let Some(mut shard) = shard(&self.shards, key) else { return };
        if let Some(full_at) = shard.get_mut(&key) {
            let cost = gcra.per_token.saturating_mul(tokens).min(gcra.burst);
            *full_at = full_at.checked_sub(cost).unwrap_or(*full_at);
        }
    }

    /// Keys remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Delays after failures, by key: 1, 2, 4 and so on seconds, at most `max` (R41). Never a lockout: the delay ends.
#[derive(Debug)]
pub struct Backoff {
    salt: RandomState,
    failures: Mutex<Salted<Failures>>,
    max: Duration,
    max_keys: usize,
    lifted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    not_before: Instant,
}

impl Backoff {
    /// Remembers at most `max_keys` keys.
    #[must_use]
    pub fn new(max: Duration, lifted: bool, max_keys: usize) -> Self {
        Self { salt: RandomState::new(), failures: Mutex::default(), max, max_keys, lifted }
    }

    /// Whether another attempt may be made.
    ///
    /// # Errors
    /// [`RetryAfter`] the delay of the failures before.
    pub fn check(&self, key: impl Hash, now: Instant) -> Result<(), RetryAfter> {
        let failures = lock(&self.failures);
        match failures.get(&self.salt.hash_one(key)) {
            Some(failed) if failed.not_before > now => Err(RetryAfter(failed.not_before - now)),
            _ => Ok(()),
        }
    }

    /// Notes a failed attempt.
    pub fn failed(&self, key: impl Hash, now: Instant) {
        if self.lifted {
            return;
        }
        let key = self.salt.hash_one(key);
        let mut failures = lock(&self.failures);
        if failures.len() >= self.max_keys && !failures.contains_key(&key) {
            failures.retain(|_, failed| failed.not_before + FORGET_FAILURES > now);
            if failures.len() >= self.max_keys {
                // The quotas of R41 still hold for whoever is not remembered here.
                return;
            }
        }
        let entry = failures.entry(key).or_insert(Failures { count: 0, not_before: now });
        if entry.not_before + FORGET_FAILURES < now {
            entry.count = 0;
        }
        let delay = Duration::from_secs(1u64.checked_shl(entry.count).unwrap_or(u64::MAX)).min(self.max);
        entry.count = (entry.count + 1).min(32);
        entry.not_before = now + delay;
    }

    /// Notes a successful attempt: the next failure is the first again.
    pub fn succeeded(&self, key: impl Hash) {
        lock(&self.failures).remove(&self.salt.hash_one(key));
    }
}

/// A bounded memory of pairs seen lately: salted hashes in two generations, the older of which goes when the younger one
/// is full. Kept in memory only.
#[derive(Debug)]
pub struct Recent {
    salt: RandomState,
    generations: Mutex<(HashSet<u64, AsItIs>, HashSet<u64, AsItIs>)>,
    max: usize,
}

impl Recent {
    /// Remembers at least `max` and at most twice as many.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { salt: RandomState::new(), generations: Mutex::default(), max: max.max(1) }
    }

    /// Remembers `key`.
    pub fn insert(&self, key: impl Hash) {
        let key = self.salt.hash_one(key);
        let mut generations = lock(&self.generations);
        let (young, old) = &mut *generations;
        if young.len() >= self.max && !young.contains(&key) {
            *old = std::mem::take(young);
        }
        young.insert(key);
    }

    /// Whether `key` was seen lately.
    #[must_use]
    pub fn contains(&self, key: impl Hash) -> bool {
        let key = self.salt.hash_one(key);
        let generations = lock(&self.generations);
        generations.0.contains(&key) || generations.1.contains(&key)
    }
}

/// Values by keys that are salted hashes: they need not be hashed again.
type Salted<V> = HashMap<u64, V, AsItIs>;
type AsItIs = BuildHasherDefault<Identity>;

#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, key: u64) {
        // The shard is the key's low bits: within one they are all the same.
        self.0 = self.0.rotate_left(8) ^ key.rotate_right(SHARDS.ilog2());
    }
}

fn shard<V>(shards: &[Mutex<Salted<V>>], key: u64) -> Option<MutexGuard<'_, Salted<V>>> {
    let index = usize::try_from(key % shards.len().max(1) as u64).unwrap_or(0);
    shards.get(index).map(lock)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn r8_a_burst_then_the_refill_and_the_time_to_wait_is_exact() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Quota::new(3, 2, S), false, start);
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, RetryAfter(S / 2));
        assert!(bucket.take(start + wait.0 - Duration::from_millis(1)).is_err());
        bucket.take(start + wait.0).unwrap();
        assert!(bucket.take(start + wait.0).is_err());
        assert!(Bucket::new(Quota::new(1, 1, S), true, start).take(start).is_ok());
    }

    #[test]
    fn keys_have_buckets_of_their_own_and_several_tokens_are_all_or_none() {
        let now = Instant::now();
        let keyed = Keyed::new(Quota::new(4, 1, S), false, 1000);
        keyed.take("a", 3, now).unwrap();
        assert_eq!(keyed.take("a", 2, now), Err(RetryAfter(S)));
        keyed.take("a", 1, now).unwrap();
        keyed.take("b", 4, now).unwrap();
        // More than the bucket ever holds costs a full bucket, instead of waiting for ever.
        keyed.take("a", 9, now + 4 * S).unwrap();
    }

    #[test]
    fn r37_one_key_past_the_bound_is_refused_until_others_are_forgotten() {
        let now = Instant::now();
        let keyed = Keyed::new(Quota::new(1, 1, S), false, SHARDS);
        let taken = (0..1000).filter(|key| keyed.take(key, 1, now).is_ok()).count();
        assert_eq!((taken, keyed.len()), (SHARDS, SHARDS));
        let later = now + 2 * S;
        assert!((1000..1100).any(|key| keyed.take(key, 1, later).is_ok()));
        assert!(keyed.len() <= SHARDS);
    }

    #[test]
    fn r41_delays_double_end_and_are_capped() {
        let mut now = Instant::now();
        let backoff = Backoff::new(5 * S, false, 2);
        let mut delays = Vec::new();
        for _ in 0..5 {
            backoff.failed("a", now);
            let RetryAfter(delay) = backoff.check("a", now).unwrap_err();
            delays.push(delay.as_secs());
            now += delay;
            assert!(backoff.check("a", now).is_ok(), "a delay ends");
        }
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        backoff.succeeded("a");
        backoff.failed("a", now);
        assert_eq!(backoff.check("a", now), Err(RetryAfter(S)));
        for key in ["b", "c", "d"] {
            backoff.failed(key, now);
        }
        assert_eq!(lock(&backoff.failures).len(), 2);
        assert!(backoff.check("z", now).is_ok());
    }

    #[test]
    fn what_was_seen_lately_is_remembered_and_bounded() {
        let recent = Recent::new(10);
        for key in 0..1000 {
            recent.insert(key);
            assert!(recent.contains(key));
        }
        assert!((990..1000).all(|key| recent.contains(key)));
        assert!((0..1000).filter(|key| recent.contains(key)).count() <= 20);
    }
}
