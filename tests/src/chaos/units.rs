//! `10%`, `150ms`, `1mbit`: how people write faults.

use std::time::Duration;

/// Text that is no such quantity.
#[derive(Debug, PartialEq, Eq)]
pub struct UnitError(&'static str);

impl std::fmt::Display for UnitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for UnitError {}

/// A share from 0 to 1: `10%`, `0.5%`.
///
/// # Errors
/// [`UnitError`] for anything else.
pub fn parse_share(text: &str) -> Result<f64, UnitError> {
    let wrong = UnitError("a share is written like 10%, from 0% to 100%");
    let percent: f64 = text.strip_suffix('%').and_then(|n| n.trim().parse().ok()).ok_or(wrong)?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err(UnitError("a share is from 0% to 100%"))
    }
}

/// A time: `150ms`, `2s`, `1.5s`, `5m`.
///
/// # Errors
/// [`UnitError`] for anything else, and for more than a day.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = with_unit(text, &units).filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or(UnitError("a time is written like 150ms, 2s or 5m"))
}

/// Bits a second: `1mbit`, `64kbit`.
///
/// # Errors
/// [`UnitError`] for anything else, and for less than one bit.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    let bits = with_unit(text, &units).filter(|bits| (1.0..=1e12).contains(bits));
    bits.map(|bits| bits as u64).ok_or(UnitError("a rate is written like 64kbit or 1mbit"))
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (digits, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    digits.trim().parse::<f64>().ok().map(|n| n * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_times_and_rates() {
        assert_eq!(parse_share("10%"), Ok(0.1));
        assert_eq!(parse_share("0.5 %"), Ok(0.005));
        assert_eq!(parse_duration("150ms"), Ok(Duration::from_millis(150)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_rate("1mbit"), Ok(1_000_000));
        assert_eq!(parse_rate("64kbit"), Ok(64_000));
    }

    #[test]
    fn anything_else_is_a_mistake() {
        for text in ["", "%", "10", "-1%", "101%", "nan%", "x%"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "inf s", "nans", "25h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["", "5", "0bit", "mbit", "-1mbit", "1e30bit"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
