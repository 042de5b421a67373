//! Every bound of a ratchet and of the sessions with a device (R17), and what it protects.

/// The most message keys that one message may skip, in the chain it ends and the chain it starts together. A sender
/// stops at 500 unacknowledged envelopes (R19), so an honest one never comes near.
pub const MAX_SKIP: u32 = 1_000;

/// The most skipped message keys a session keeps; past that the oldest goes first.
pub const MAX_SKIPPED_KEYS: usize = 2_000;

/// The most receiving chains a session remembers, the current one included; the oldest goes first, with its keys.
pub const MAX_RECEIVING_CHAINS: usize = 5;

/// The most archived sessions per peer device; the oldest goes first.
pub const MAX_ARCHIVED_SESSIONS: usize = 10;

/// How long a skipped message key lives: 30 days, in milliseconds.
pub const SKIPPED_KEY_LIFETIME_MS: u64 = 30 * DAY_MS;

/// How long an archived session that nothing arrives for is kept: 60 days, in milliseconds. Twice the time a relay
/// keeps envelopes (R44), so that what was sent in it has come or is lost.
pub const ARCHIVED_SESSION_LIFETIME_MS: u64 = 60 * DAY_MS;

/// The longest plaintext of one message, in bytes: the largest padding bucket (R46).
pub const MAX_PLAINTEXT: usize = 65_536;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
