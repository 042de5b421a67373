//! Every limit of the relay with its default (R3 to R8, R36 to R44, R57). The limits of the wire stand in
//! [`subrosa_protocol::limits`].
//!
//! [`Limits`] is the `[limits]` table of the configuration; docs/OPERATIONS.md lists it. A limit may be changed for a
//! reason written in `docs/decisions/`; it may not vanish.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Flow control of every connection at first, in bytes, each way (R5). A peer that leaves a hole in its stream makes the
/// relay keep up to 32 KiB more than this window, so a thousand of them cost less than 50 MiB.
pub const WINDOW_FIRST: u32 = 16 * 1024;
/// Flow control of an authenticated connection that has moved [`MOVED_MIDDLE`] bytes, each way.
pub const WINDOW_MIDDLE: u32 = 64 * 1024;
/// Bytes moved, read in order or written and acknowledged, that earn [`WINDOW_MIDDLE`].
pub const MOVED_MIDDLE: u64 = 64 * 1024;
/// What [`WINDOW_MIDDLE`] may cost, in bytes: a window of data with holes, two and a half times over, and one unacknowledged.
pub const SHARE_MIDDLE: usize = 7 * 32 * 1024;
/// Bytes moved that earn [`RECEIVE_WINDOW`] and [`SEND_WINDOW`].
pub const MOVED_WIDE: u64 = 1024 * 1024;
/// What the widest windows may cost, in bytes: [`STREAM_RECEIVE_WINDOW`] with holes, and [`SEND_WINDOW`].
pub const SHARE_WIDE: usize = 5 * 128 * 1024 + 512 * 1024;
/// Flow control of an authenticated connection that moves much, in bytes (R5).
pub const RECEIVE_WINDOW: u32 = 1024 * 1024;
/// Flow control of one stream, in bytes (R5).
pub const STREAM_RECEIVE_WINDOW: u32 = 256 * 1024;
/// Bytes that wait to be sent or acknowledged on a connection that moves much.
pub const SEND_WINDOW: u64 = 512 * 1024;
/// Streams a peer may open in both directions before it has authenticated (R5): the session stream.
pub const BIDI_STREAMS_UNAUTHENTICATED: u32 = 1;
/// Streams a peer may open in both directions once it has authenticated (R5).
pub const BIDI_STREAMS: u32 = 8;
/// Streams a peer may open in one direction once it has authenticated (R5); none before.
pub const UNI_STREAMS: u32 = 4;
/// Buffer for datagrams, each way, in bytes (R5).
pub const DATAGRAM_BUFFER: usize = 64 * 1024;
/// First packets of handshakes that wait, in bytes over all of them (R5).
pub const INCOMING_BUFFER_TOTAL: u64 = 16 * 1024 * 1024;
/// Handshakes that wait to be looked at (R5).
pub const MAX_INCOMING: usize = 1_024;
/// The round trip time in milliseconds that is assumed before one is measured; what gets no answer is repeated after three
/// of these. Less than the 333 ms of RFC 9002, so that a handshake comes through within its 5 s (R6) where a third of all
/// packets is lost.
pub const ASSUMED_ROUND_TRIP_MS: u64 = 100;
/// UDP socket buffers asked of the kernel, in bytes; it may give less.
pub const SOCKET_BUFFER: usize = 2 * 1024 * 1024;

/// Bytes of answers and pushes that are encoded and not yet taken by the transport; beyond this a connection reads no
/// further request.
pub const OUTPUT_HIGH: usize = 32 * 1024;
/// Bytes of a half-read frame and of output that a connection may always have; more comes out of the relay's buffers.
pub const BUFFER_FREE: usize = 16 * 1024;
/// Bytes of pushes that may always wait for a connection; more comes out of the relay's buffers.
pub const PUSHES_FREE: usize = 8 * 1024;
/// Bytes of a mailbox page while the relay's buffers have no room for a whole one.
pub const SMALL_PAGE: usize = 8 * 1024;
/// Bytes that a client takes at least while it has the time of a half-read frame; one that does not is ended.
pub const TAKEN_MIN: usize = 4 * 1024;
/// A connection that registers or logs in, and goes on with it, has this many times `unauthenticated_timeout_s` in all.
pub const JOINING_TIMES: u32 = 12;
/// Bytes read ahead while nothing is known about the next frame.
pub const READ_MIN: usize = 1024;
/// Bytes read at once on a busy connection, at most.
pub const READ_MAX: usize = 16 * 1024;
/// Pushes that arrived before an earlier one of the same mailbox and wait for it.
pub const PUSHES_OUT_OF_ORDER: usize = 64;
/// Objects that a connection may have put and not used: a commit, its Welcome, a `GroupInfo`, invitations.
pub const OBJECTS_HELD: usize = 4;
/// Bytes of those objects.
pub const OBJECTS_HELD_BYTES: usize = 3 * 1024 * 1024;
/// Rooms whose rosters are in memory, for pushes.
pub const FANOUT_ROOMS: usize = 4096;
/// Devices of those rosters, all rooms together.
pub const FANOUT_DEVICES: usize = 262_144;
/// Bytes of entries in an answer to who posts in an epoch that has passed.
pub const PASSED_PAGE: usize = 8 * 1024;
/// Prekeys of each kind that a connection may stage before its registration or device addition.
pub const STAGED_PREKEYS: usize = subrosa_protocol::limits::ONE_TIME_PREKEYS;
/// Bytes of one request line on the admin socket.
pub const ADMIN_LINE: usize = 4 * 1024;
/// Admin connections at once.
pub const ADMIN_CONNECTIONS: usize = 8;
/// HTTP connections at once; the oldest gives way to one more.
pub const HTTP_CONNECTIONS: usize = 64;
/// How long an HTTP connection lives, whatever it does.
pub const HTTP_LIFETIME: Duration = Duration::from_secs(5);
/// Uses of one invite, at most.
pub const INVITE_USES: u32 = 10_000;
/// Seconds an invite lives, at most: a year.
pub const INVITE_TTL_MAX_S: u64 = 365 * 24 * 3600;
/// Seconds the invite lives that is printed while there is no account yet.
pub const FIRST_INVITE_TTL_S: u64 = 24 * 3600;
/// A clock that jumps by more than this many seconds is logged (R57).
pub const CLOCK_JUMP_S: u64 = 300;
/// Seconds between two looks at disk, clock and certificate files.
pub const SELF_CHECK_S: u64 = 5;
/// Seconds between two runs of expiry in the store.
pub const EXPIRE_S: u64 = 60;

/// So many at once, and `refill` more in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// At once.
    pub burst: u32,
    /// Given back in each period, evenly.
    pub refill: u32,
    /// The period in milliseconds.
    pub period_ms: u64,
}

impl Quota {
    /// `burst` at once, then `refill` in each `period`.
    #[must_use]
    pub const fn new(burst: u32, refill: u32, period: Duration) -> Self {
        Self { burst, refill, period_ms: period.as_secs() * 1000 }
    }
}

/// The `[limits]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// `true` lifts every rate below, for benchmarks; sizes, counts and timeouts stay. Logged at start (R8).
    pub lift_rates: bool,

    /// A TLS handshake ends within this many seconds (R6).
    pub handshake_timeout_s: u64,
    /// A connection authenticates, or goes on with its registration, within this many seconds (R6).
    pub unauthenticated_timeout_s: u64,
    /// A frame that has begun is complete within this many seconds, and one more for each 2 KiB of it (R6).
    pub half_frame_timeout_s: u64,
    /// A connection without any packet ends after this many seconds (R6).
    pub idle_timeout_s: u64,
    /// A quiet connection is kept alive at this interval in seconds (R6).
    pub keep_alive_s: u64,
    /// A stopping relay waits this many seconds for answers on their way (R59).
    pub shutdown_s: u64,

    /// Connections at once.
    pub connections: usize,
    /// Handshakes under way above which an address must prove itself by a Retry (R5).
    pub handshakes_before_retry: usize,
    /// Unauthenticated connections of one network (R7).
    pub unauthenticated_per_network: usize,
    /// New connections of one network (R7).
    pub new_connections_per_network: Quota,
    /// Connections of one account (R7).
    pub connections_per_account: usize,
    /// Connections of one device; a newer one ends the oldest (R7).
    pub connections_per_device: usize,
    /// Frames of one connection (R8).
    pub frames_per_connection: Quota,
    /// Breaches of a connection's own limits within a minute after which it is closed (R8).
    pub breaches_before_close: u32,
    /// Requests of one connection that are being carried out at once.
    pub requests_in_flight: usize,
    /// Pushes that wait for one connection; what is beyond becomes one `SyncHint`.
    pub push_queue: usize,
    /// Bytes that all connections together may have in buffers beyond what each always may: half of it for wider windows,
    /// half for large frames, answers and pushes under way.
    pub buffer_bytes: usize,

    /// Seconds after which a device proves its key again.
    pub proof_lifetime_s: u32,
    /// Seconds it has for that.
    pub proof_deadline_s: u32,
    /// Days without a connection after which a device logs in with the passphrase again.
    pub device_unused_days: u64,

    /// Prekey claims of one account from one device (R37).
    pub prekey_claims: Quota,
    /// Prekey claims from one device by everybody who is no contact (R37).
    pub prekey_claims_per_device: Quota,
    /// One-time prekeys of each kind kept for contacts (R37).
    pub prekeys_reserved: u32,
    /// Accounts that one account looks up for the first time (R38).
    pub lookups_per_account: Quota,
    /// Accounts that one network looks up for the first time (R38).
    pub lookups_per_network: Quota,
    /// Login attempts for one account from one network (R41).
    pub logins_per_account_and_network: Quota,
    /// Login attempts for one account from everywhere (R41).
    pub logins_per_account: Quota,
    /// Login attempts from one network, whatever the account: who tries many names must not fill what the relay remembers.
    pub logins_per_network: Quota,
    /// The longest delay after failed logins in seconds: 1, 2, 4 and so on up to this (R41).
    pub login_delay_max_s: u64,
    /// Registrations begun by one network while registration is open (R42).
    pub registrations_per_network: Quota,
    /// Envelopes of one account to one device (R43).
    pub envelopes_per_device: Quota,
    /// Envelopes of one account to everybody (R43).
    pub envelopes_per_account: Quota,
    /// KeyPackage claims of one account from one device of another (R35, R37).
    pub key_package_claims: Quota,
    /// KeyPackage claims from one device by everybody who is no contact, and by its own account, which adds it to each of its
    /// rooms (R35, R37).
    pub key_package_claims_per_device: Quota,
    /// KeyPackages of each suite kept for contacts (R37).
    pub key_packages_reserved: u32,
    /// Rooms that one account makes.
    pub rooms_created: Quota,
    /// Entries of one account to one room; however many are in it, it counts once (R43).
    pub room_posts: Quota,
    /// Commits of one account to one room.
    pub room_commits: Quota,
    /// Reboots by one account.
    pub room_reboots: Quota,
    /// Ephemeral messages of one account to one room (R45).
    pub room_signals: Quota,
    /// Pages of rosters, device lists and the directory, and rooms shown, for one account.
    pub room_questions: Quota,
    /// Objects that one account puts, in KiB.
    pub object_kib: Quota,
    /// Keys that each limiter remembers; beyond this it refuses new ones until old ones are forgotten.
    pub limiter_keys: usize,

    /// Envelopes that wait for one device (R44).
    pub mailbox_envelopes: u64,
    /// Bytes of sealed ciphertext that wait for one device (R44).
    pub mailbox_bytes: u64,
    /// Days after which an undelivered envelope is deleted (R44).
    pub mailbox_days: u64,
    /// Days for which the ids of accepted envelopes are remembered, so that a repeated send is not delivered twice.
    pub envelope_ids_days: u64,
    /// Entries of one room that are kept; beyond that the oldest go.
    pub room_entries: u64,
    /// Bytes of one room's entries that are kept; beyond that the oldest go.
    pub room_bytes: u64,
    /// Days after which an entry of a room is deleted, whoever has not got it.
    pub room_days: u64,
    /// Rooms that one account may be in.
    pub rooms_per_account: u64,
    /// Bytes that all connections together may have in objects that were put and not yet used.
    pub object_bytes: usize,
    /// Seconds an invite lives when nothing else is said (R42).
    pub invite_ttl_s: u64,
    /// Free bytes on the disk below which nothing new is accepted (R57).
    pub disk_free_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let (second, minute, hour) =
            (Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(3600));
        Self {
            lift_rates: false,
            handshake_timeout_s: 5,
            unauthenticated_timeout_s: 10,
            half_frame_timeout_s: 10,
            idle_timeout_s: 45,
            keep_alive_s: 20,
            shutdown_s: 2,
            connections: 20_000,
            handshakes_before_retry: 128,
            unauthenticated_per_network: 16,
            new_connections_per_network: Quota::new(30, 10, second),
            connections_per_account: 12,
            connections_per_device: 2,
            frames_per_connection: Quota::new(1_000, 200, second),
            breaches_before_close: 3,
            requests_in_flight: 32,
            push_queue: 64,
            buffer_bytes: 24 * 1024 * 1024,
            proof_lifetime_s: 900,
            proof_deadline_s: 30,
            device_unused_days: 180,
            prekey_claims: Quota::new(6, 1, minute.saturating_mul(10)),
            prekey_claims_per_device: Quota::new(30, 30, hour),
            prekeys_reserved: 20,
            lookups_per_account: Quota::new(100, 1, minute.saturating_mul(15)),
            lookups_per_network: Quota::new(300, 300, hour),
            logins_per_account_and_network: Quota::new(5, 5, minute.saturating_mul(15)),
            logins_per_account: Quota::new(20, 20, hour),
            logins_per_network: Quota::new(60, 60, minute.saturating_mul(15)),
            login_delay_max_s: 300,
            registrations_per_network: Quota::new(6, 1, Duration::from_secs(30)),
            envelopes_per_device: Quota::new(120, 10, second),
            envelopes_per_account: Quota::new(600, 60, second),
            key_package_claims: Quota::new(6, 1, minute.saturating_mul(10)),
            key_package_claims_per_device: Quota::new(30, 30, hour),
            key_packages_reserved: 10,
            rooms_created: Quota::new(10, 1, minute.saturating_mul(10)),
            room_posts: Quota::new(120, 10, second),
            room_commits: Quota::new(60, 1, second),
            room_reboots: Quota::new(5, 1, minute),
            room_signals: Quota::new(5, 1, second),
            room_questions: Quota::new(60, 2, second),
            object_kib: Quota::new(16 * 1024, 8 * 1024, minute),
            limiter_keys: 100_000,
            mailbox_envelopes: 10_000,
            mailbox_bytes: 64 * 1024 * 1024,
            mailbox_days: 30,
            envelope_ids_days: 60,
            room_entries: 50_000,
            room_bytes: 128 * 1024 * 1024,
            room_days: 30,
            rooms_per_account: 500,
            object_bytes: 32 * 1024 * 1024,
            invite_ttl_s: 7 * 24 * 3600,
            disk_free_min: 256 * 1024 * 1024,
        }
    }
}
