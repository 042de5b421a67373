//! `500ms`, `30s`, `5m`, `1h`, `2d`; a bare number is seconds.

use std::time::Duration;

/// Longest time somebody may ask for: a year.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a time.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no time: write 500ms, 30s, 5m, 1h or 2d");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let time = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
    if time > LONGEST { Err("a time is at most a year".to_owned()) } else { Ok(time) }
}

/// As milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, ms) in [
            ("0", 0),
            ("7", 7_000),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse(text).map(millis), Ok(ms), "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "1 s", "1w", "367d", "99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
