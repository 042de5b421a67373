//! Times as people read them, in their zone.

use jiff::{Timestamp as Instant, civil::Date, tz::TimeZone};
use subrosa_client::api::time::Timestamp;

/// Milliseconds of a minute.
pub const MINUTE: u64 = 60_000;

fn local(at: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    let instant = i64::try_from(at.0).ok().and_then(|ms| Instant::from_millisecond(ms).ok());
    instant.unwrap_or(Instant::UNIX_EPOCH).to_zoned(zone.clone())
}

/// `05:06`.
#[must_use]
pub fn clock(at: Timestamp, zone: &TimeZone) -> String {
    local(at, zone).strftime("%H:%M").to_string()
}

/// The day, for telling whether two messages are of the same.
#[must_use]
pub fn day(at: Timestamp, zone: &TimeZone) -> Date {
    local(at, zone).date()
}

/// `Fri 21 Nov`; with the year when it is another than now's.
#[must_use]
pub fn date(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (then, today) = (local(at, zone), local(now, zone));
    then.strftime(if then.year() == today.year() { "%a %-d %b" } else { "%a %-d %b %Y" }).to_string()
}

/// `21 Nov 2026 05:06:28`.
#[must_use]
pub fn exact(at: Timestamp, zone: &TimeZone) -> String {
    local(at, zone).strftime("%-d %b %Y %H:%M:%S").to_string()
}

/// The next full minute.
#[must_use]
pub const fn next_minute(now: Timestamp) -> Timestamp {
    Timestamp((now.0 / MINUTE + 1).saturating_mul(MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_and_short() {
        let at = Timestamp(1_763_701_588_113);
        assert_eq!(clock(at, &TimeZone::UTC), "05:06");
        assert_eq!(date(at, at, &TimeZone::UTC), "Fri 21 Nov");
        assert_eq!(date(Timestamp(0), at, &TimeZone::UTC), "Thu 1 Jan 1970");
        assert_eq!(exact(at, &TimeZone::UTC), "21 Nov 2025 05:06:28");
        assert_eq!(next_minute(Timestamp(60_001)).0, 120_000);
        assert_eq!(clock(Timestamp(u64::MAX), &TimeZone::UTC), "00:00");
    }
}
