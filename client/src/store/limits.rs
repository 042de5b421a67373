//! Every bound of the store.

/// Days in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long a replaced signed or last-resort prekey is kept (R36): 30 days.
pub const REPLACED_PREKEY_KEPT_MS: u64 = 30 * DAY_MS;
/// How long a one-time prekey is kept after it expired: an envelope made before may wait in the mailbox this long.
pub const EXPIRED_PREKEY_KEPT_MS: u64 = 30 * DAY_MS;
/// How long base keys of initial messages are remembered (R15): 60 days.
pub const BASE_KEYS_KEPT_MS: u64 = 60 * DAY_MS;
/// How long ids of envelopes are remembered: 60 days, twice what a relay keeps an envelope (R44).
pub const ENVELOPE_IDS_KEPT_MS: u64 = 60 * DAY_MS;

/// Sent counters of a peer device whose plaintext is remembered, so that it can be sent again.
pub const SENT_KEPT: u64 = 1_000;
/// Bytes of plaintext remembered of what was sent to one peer device; of more, the oldest is forgotten.
pub const SENT_BYTES: u64 = 4 * 1024 * 1024;
/// How long it is remembered: 30 days.
pub const SENT_KEPT_MS: u64 = 30 * DAY_MS;
/// Missing ranges of one peer device; of more, the oldest are only counted.
pub const MISSING_RANGES: usize = 256;

/// Envelopes put aside because their sender's device list could not be fetched, in all.
pub const DEFERRED: u64 = 512;
/// Of these, of one claimed account.
pub const DEFERRED_PER_ACCOUNT: u64 = 64;
/// How long they are kept: 30 days, as on the relay.
pub const DEFERRED_KEPT_MS: u64 = 30 * DAY_MS;
/// Receipts kept for messages of which no copy came yet, in all.
pub const EARLY_RECEIPTS: u64 = 1_000;
/// How long they are kept: 30 days, as the copies on the relay.
pub const EARLY_RECEIPTS_KEPT_MS: u64 = 30 * DAY_MS;
/// Contents not yet encrypted, in all.
pub const PENDING: u64 = 10_000;
/// Sealed envelopes waiting for the relay, in all.
pub const OUTBOX: u64 = 20_000;
/// Rooms that this device knows, those it left included.
pub const ROOMS: u64 = 2_000;
/// Invitations of one room that are kept beside the newest one.
pub const EARLIER_INVITATIONS: u32 = 16;
/// Those of one account.
pub const EARLIER_INVITATIONS_OF_ONE: u32 = 4;
/// Bytes of a commit, a Welcome, a GroupInfo or a list of invitations (R4).
pub const OBJECT_BYTES: usize = 1024 * 1024;
/// Bytes of what an interrupted join left behind.
pub const JOINING_BYTES: usize = 256 * 1024;
/// Bytes of one session record.
pub const SESSION_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of one value of a room's state: the largest is a pending commit with the tree after it.
pub const MLS_VALUE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a key of a room's state.
pub const MLS_KEY_BYTES: usize = 256;
/// UTF-8 bytes of a draft.
pub const DRAFT_BYTES: usize = 64 * 1024;
/// UTF-8 bytes of a setting's name or value.
pub const SETTING_BYTES: usize = 4 * 1024;
/// UTF-8 bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 256;
/// UTF-8 bytes of a stored reason.
pub const REASON_BYTES: usize = 1_024;
/// Signs of one account beside one message; further ones are not kept.
pub const REACTIONS_OF_ONE: u32 = 8;
/// Messages pinned to a room; of more, the one pinned first is not any more.
pub const PINS: u32 = 50;
/// Devices of one account of which it is remembered that they were listed once.
pub const FORMER_DEVICES: u32 = 64;
/// Pieces of evidence of one account; later ones add nothing.
pub const EVIDENCE_PER_ACCOUNT: u64 = 8;
/// Pieces of evidence about one room; later ones add nothing.
pub const EVIDENCE_PER_ROOM: usize = 16;
/// Commits kept of a room, to be held against what others tell: as many as heads are kept.
pub const COMMITS_KEPT: u64 = 64;
/// Bytes of a commit that is kept whole; of a larger one only the hash is.
pub const COMMIT_KEPT_BYTES: usize = 64 * 1024;

/// Messages in one page of history.
pub const HISTORY_PAGE: u32 = 500;
/// Hits of one search.
pub const SEARCH_HITS: u32 = 1_000;
/// Words of one search; further ones are ignored.
pub const SEARCH_WORDS: usize = 16;
/// Events in one page.
pub const EVENTS_PAGE: u32 = 1_000;
/// Events kept; older ones are forgotten, and readers are told.
pub const EVENTS_KEPT: u64 = 200_000;
/// Own waiting lines that go behind one that the log has, at once.
pub const PLACED_AT_ONCE: u32 = 1_000;
/// Read messages told by one `mark_read`.
pub const READ_AT_ONCE: u32 = 10_000;
