//! p50 and p99.

use std::{fmt, time::Duration};

/// Times that something took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn at(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `p50/p99` in milliseconds.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}/{:>6} ms", self.at(0.5).as_millis(), self.at(0.99).as_millis())
    }
}

#[test]
fn half_are_faster_than_p50_and_one_in_a_hundred_is_slower_than_p99() {
    let times = Times::of((1..=200).rev().map(Duration::from_millis).collect());
    assert_eq!(times.to_string(), "   100/   198 ms");
    assert_eq!(Times::default().to_string(), "     0/     0 ms");
    assert_eq!(Times::of(vec![Duration::from_secs(7)]).to_string(), "  7000/  7000 ms");
}
