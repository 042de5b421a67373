//! What the machine is not allowed to have of its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// The operating system's randomness. Should it ever fail, the program stops rather than go on with less.
pub(super) fn randomness() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Milliseconds since 1970 that never go back and never stand still: when the system's clock is set back, they run on by
/// the time that passes.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<(u64, Instant)>,
}

impl Clock {
    pub(super) fn now(&mut self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let read = Instant::now();
        let run_on = self.last.map_or(0, |(last, at)| last.saturating_add(ms(read.duration_since(at))));
        let now = ms(wall).max(run_on);
        // A reading within the same millisecond would lose its fraction.
        if self.last.is_none_or(|(last, _)| now > last) {
            self.last = Some((now, read));
        }
        now
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long it is from `now` to `at`, both in ms since 1970.
pub(super) const fn until(now: u64, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(now))
}
