//! What the machine is not allowed to have of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The operating system's randomness. Should it ever fail, the program stops rather than go on with less.
pub(super) fn randomness() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Milliseconds since 1970 that never go back while the program runs.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: u64,
}

impl Clock {
    pub(super) fn now(&mut self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.last = self.last.max(u64::try_from(now).unwrap_or(u64::MAX));
        self.last
    }
}

/// How long it is from `now` to `at`, both in ms since 1970.
pub(super) const fn until(now: u64, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(now))
}
