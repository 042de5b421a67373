//! Points in time as people read them.

use jiff::{Timestamp as Instant, Zoned, tz::TimeZone};
use subrosa_client::api::time::Timestamp;

/// A clock and a place, so that times can be said short.
#[derive(Debug, Clone)]
pub struct Clock {
    now: Zoned,
}

impl Clock {
    /// Now and here.
    #[must_use]
    pub fn here() -> Self {
        Self { now: Zoned::now() }
    }

    /// A given time, in UTC.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: zoned(now, TimeZone::UTC) }
    }

    /// `05:06` today, otherwise with the day.
    #[must_use]
    pub fn short(&self, time: Timestamp) -> String {
        let time = zoned(time, self.now.time_zone().clone());
        let form = if time.date() == self.now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        time.strftime(form).to_string()
    }

    /// Day and time to the second, with the offset from UTC.
    #[must_use]
    pub fn long(&self, time: Timestamp) -> String {
        zoned(time, self.now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }
}

fn zoned(time: Timestamp, zone: TimeZone) -> Zoned {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    Instant::from_millisecond(millis).unwrap_or(Instant::MAX).to_zoned(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_short() {
        let clock = Clock::at(Timestamp(1_763_701_588_113));
        assert_eq!(clock.short(Timestamp(1_763_701_588_113)), "05:06");
        assert_eq!(clock.short(Timestamp(1_763_600_000_000)), "2025-11-20 00:53");
        assert_eq!(clock.long(Timestamp(0)), "1970-01-01 00:00:00 +00:00");
        assert!(!clock.long(Timestamp(u64::MAX)).is_empty());
    }
}
