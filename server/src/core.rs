//! What all connections of a relay share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_protocol::{Slug, frames::RegistrationPolicy};
use subrosa_verify::opaque::RelayOpaque;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::Bus,
    limits::Limits,
    listener::Gate,
    memory::Budget,
    metrics::Metrics,
    rate::{Backoff, Keyed, Recent},
    rooms::{Rooms, held::AllHeld},
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
    /// For objects that were put and not yet used.
    pub(crate) objects: Arc<Budget>,
    /// Those objects.
    pub(crate) held: AllHeld,
    /// Who is in the rooms that are being written to.
    pub(crate) rooms: Rooms,
    /// The room that new accounts join by themselves.
    pub(crate) lobby: Option<Slug>,
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
    pub(crate) key_package_claims: Keyed,
    pub(crate) key_package_claims_per_device: Keyed,
    pub(crate) rooms_created: Keyed,
    pub(crate) room_posts: Keyed,
    pub(crate) room_commits: Keyed,
    pub(crate) room_reboots: Keyed,
    pub(crate) room_signals: Keyed,
    pub(crate) room_questions: Keyed,
    pub(crate) object_kib: Keyed,
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
            key_package_claims: keyed(limits.key_package_claims),
            key_package_claims_per_device: keyed(limits.key_package_claims_per_device),
            rooms_created: keyed(limits.rooms_created),
            room_posts: keyed(limits.room_posts),
            room_commits: keyed(limits.room_commits),
            room_reboots: keyed(limits.room_reboots),
            room_signals: keyed(limits.room_signals),
            room_questions: keyed(limits.room_questions),
            object_kib: keyed(limits.object_kib),
            known: Recent::new(limits.limiter_keys),
            contacts: Recent::new(limits.limiter_keys),
        }
    }
}
