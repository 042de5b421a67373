//! What all connections of a relay share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_protocol::frames::RegistrationPolicy;
use subrosa_verify::opaque::RelayOpaque;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::Bus,
    limits::Limits,
    listener::Gate,
    memory::Budget,
    metrics::Metrics,
    rate::{Backoff, Keyed, Recent},
    store::{Store, Timestamp},
};

/// Stores, limits, counters and switches of a running relay.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) opaque: RelayOpaque,
    pub(crate) limits: Limits,
    pub(crate) policy: RegistrationPolicy,
    pub(crate) rates: Rates,
    pub(crate) gate: Arc<Gate>,
    /// For windows wider than the first.
    pub(crate) windows: Arc<Budget>,
    /// For large frames, answers and pushes under way.
    pub(crate) buffers: Arc<Budget>,
    pub(crate) metrics: Arc<Metrics>,
    /// Set while the disk has no room: deliver, accept nothing new (R57).
    pub(crate) storage_full: AtomicBool,
    /// Cancelled when the relay stops.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the store can no longer keep its promises: the relay must stop.
    pub(crate) broken: CancellationToken,
}

impl Core {
    /// The relay's clock: milliseconds since 1970.
    #[allow(clippy::unused_self, reason = "one place to ask for the time, whatever it will come from")]
    pub(crate) fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether something new may be stored.
    pub(crate) fn accepts_writes(&self) -> bool {
        !self.storage_full.load(Ordering::Relaxed)
    }
}

/// Every limiter that is shared between connections.
pub(crate) struct Rates {
    pub(crate) prekey_claims: Keyed,
    pub(crate) prekey_claims_per_device: Keyed,
    pub(crate) lookups_per_account: Keyed,
    pub(crate) lookups_per_network: Keyed,
    pub(crate) logins_per_account_and_network: Keyed,
    pub(crate) logins_per_account: Keyed,
    pub(crate) logins_per_network: Keyed,
    pub(crate) login_delays: Backoff,
    pub(crate) registrations_per_network: Keyed,
    pub(crate) envelopes_per_device: Keyed,
    pub(crate) envelopes_per_account: Keyed,
    /// (asker, account) pairs that were looked up: asking again tells nothing new and costs nothing.
    pub(crate) known: Recent,
    /// (who wrote, to whom) pairs: whom somebody writes to is their contact (R37).
    pub(crate) contacts: Recent,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        let keyed = |quota| Keyed::new(quota, limits.lift_rates, limits.limiter_keys);
        Self {
            prekey_claims: keyed(limits.prekey_claims),
            prekey_claims_per_device: keyed(limits.prekey_claims_per_device),
            lookups_per_account: keyed(limits.lookups_per_account),
            lookups_per_network: keyed(limits.lookups_per_network),
            logins_per_account_and_network: keyed(limits.logins_per_account_and_network),
            logins_per_account: keyed(limits.logins_per_account),
            logins_per_network: keyed(limits.logins_per_network),
            login_delays: Backoff::new(
                Duration::from_secs(limits.login_delay_max_s),
                limits.lift_rates,
                limits.limiter_keys,
            ),
            registrations_per_network: keyed(limits.registrations_per_network),
            envelopes_per_device: keyed(limits.envelopes_per_device),
            envelopes_per_account: keyed(limits.envelopes_per_account),
            known: Recent::new(limits.limiter_keys),
            contacts: Recent::new(limits.limiter_keys),
        }
    }
}
