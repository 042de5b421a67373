//! What the relay counts. Counters and histograms only, without names, addresses or ids (R55); served by `http`
//! on the loopback interface.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What kind of thing was counted: a frame kind, an error code, a reason. Never anybody's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// One of a fixed set of words.
    pub kind: &'static str,
}

/// The counters.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Transport connections accepted.
    pub connections_opened: Counter,
    /// Transport connections that ended.
    pub connections_closed: Counter,
    /// Connections refused before a frame was read, by reason.
    pub connections_refused: Family<Kind, Counter>,
    /// Handshakes that failed or took too long.
    pub handshakes_failed: Counter,
    /// Devices that authenticated.
    pub authenticated: Counter,
    /// Requests, by frame kind.
    pub requests: Family<Kind, Counter>,
    /// Refusals and failures, by error code.
    pub errors: Family<Kind, Counter>,
    /// Seconds from a request to its answer.
    pub request_seconds: Histogram,
    /// Envelopes accepted.
    pub envelopes_accepted: Counter,
    /// Envelopes acknowledged and deleted.
    pub envelopes_acknowledged: Counter,
    /// Envelopes that expired undelivered.
    pub envelopes_expired: Counter,
    /// Entries of rooms accepted.
    pub room_entries_accepted: Counter,
    /// Entries of rooms deleted.
    pub room_entries_deleted: Counter,
    /// Pushes handed to a connection.
    pub pushes: Counter,
    /// Pushes left out because a connection was slow; it was told to fetch.
    pub pushes_dropped: Counter,
    /// Accounts registered.
    pub registrations: Counter,
    /// Connections that ended by a panic of the relay. A bug each; tests assert 0 (R9).
    pub panics: Counter,
    /// Times the relay began to accept nothing new for want of disk space (R57).
    pub storage_full: Counter,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rosad");
        macro_rules! counted {
            ($($name:ident: $kind:ty = $new:expr, $help:literal;)+) => {
                $(let $name: $kind = $new; registry.register(stringify!($name), $help, $name.clone());)+
                Self { registry, $($name,)+ }
            };
        }
        counted! {
            connections_opened: Counter = Counter::default(), "Transport connections accepted";
            connections_closed: Counter = Counter::default(), "Transport connections that ended";
            connections_refused: Family<Kind, Counter> = Family::default(), "Connections refused before a frame was read";
            handshakes_failed: Counter = Counter::default(), "Handshakes that failed or took too long";
            authenticated: Counter = Counter::default(), "Devices that authenticated";
            requests: Family<Kind, Counter> = Family::default(), "Requests by frame kind";
            errors: Family<Kind, Counter> = Family::default(), "Refusals and failures by error code";
            request_seconds: Histogram = Histogram::new(exponential_buckets(0.0005, 2.0, 14)), "Seconds from a request to its answer";
            envelopes_accepted: Counter = Counter::default(), "Envelopes accepted";
            envelopes_acknowledged: Counter = Counter::default(), "Envelopes acknowledged and deleted";
            envelopes_expired: Counter = Counter::default(), "Envelopes that expired undelivered";
            room_entries_accepted: Counter = Counter::default(), "Entries of rooms accepted";
            room_entries_deleted: Counter = Counter::default(), "Entries of rooms deleted";
            pushes: Counter = Counter::default(), "Pushes handed to a connection";
            pushes_dropped: Counter = Counter::default(), "Pushes left out because a connection was slow";
            registrations: Counter = Counter::default(), "Accounts registered";
            panics: Counter = Counter::default(), "Connections that ended by a panic of the relay";
            storage_full: Counter = Counter::default(), "Times the relay began to accept nothing new";
        }
    }

    /// Counts one of `family`'s `kind`.
    pub fn count(family: &Family<Kind, Counter>, kind: &'static str) {
        family.get_or_create(&Kind { kind }).inc();
    }

    /// Counts an answered request.
    pub fn answered(&self, took: Duration) {
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// The exposition text of Prometheus (OpenMetrics).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r55_only_counters_and_histograms_and_only_fixed_labels() {
        let metrics = Metrics::new();
        Metrics::count(&metrics.errors, "not_found");
        metrics.connections_opened.inc();
        metrics.answered(Duration::from_millis(3));
        let text = metrics.encode();
        assert!(text.contains("rosad_errors_total{kind=\"not_found\"} 1"), "{text}");
        assert!(text.contains("rosad_connections_opened_total 1"));
        assert!(text.contains("rosad_panics_total 0"));
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            assert!(line.ends_with(" counter") || line.ends_with(" histogram"), "{line}");
        }
    }
}
