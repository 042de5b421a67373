//! Every bound of a room, in one place (R30, R34, R35).

pub use subrosa_crypto::mls::{HYBRID_LEAVES_MAX, LEAVES_MAX};

/// Bytes of one commit, welcome or group info.
pub const OBJECT_MAX: usize = 1024 * 1024;
/// Bytes of one application message: the largest bucket and MLS's framing.
pub const MESSAGE_MAX: usize = 68 * 1024;
/// Proposals in one commit.
pub const PROPOSALS_MAX: usize = 100;
/// Leave proposals that wait for a commit.
pub const PENDING_PROPOSALS_MAX: usize = 100;
/// Bytes of a group's extensions, the policy among them.
pub const EXTENSIONS_MAX: usize = 64 * 1024;

/// How far back in a sender's chain a message may come, in messages.
pub const OUT_OF_ORDER: u32 = 100;
/// How far forward in a sender's chain a message may jump, in messages.
pub const FORWARD: u32 = 1_000;
/// Epochs before the current one whose messages are still read.
pub const PAST_EPOCHS: usize = 3;
/// For how long after an epoch ended its messages are still read, in ms.
pub const PAST_EPOCH_MS: u64 = 24 * 60 * 60 * 1000;
/// Heads of past epochs that are kept to compare with those of others (R29).
pub const HEADS: usize = 64;

/// A member's own leaf is renewed after this time, in ms (R34).
pub const UPDATE_AFTER_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// A member's own leaf is renewed after this many messages of its own (R34).
pub const UPDATE_AFTER_MESSAGES: u32 = 500;

/// Key packages of one suite that a device publishes: 50 for both (R35).
pub const KEY_PACKAGES: usize = 25;
/// Key packages of one suite below which more are published: 15 for both (R35).
pub const KEY_PACKAGES_REFILL: usize = 8;
/// For how long a key package may be used, in ms (R35).
pub const KEY_PACKAGE_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// For how long after its end the private keys of a key package are kept, in ms: a welcome may be on its way.
pub const KEY_PACKAGE_GRACE_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How much a key package's beginning may lie ahead of the reader's clock, in ms.
pub const CLOCK_SKEW_MS: u64 = 60 * 60 * 1000;
/// Bytes of one key package.
pub const KEY_PACKAGE_MAX: usize = 8 * 1024;

/// Owners of a room.
pub const OWNERS_MAX: usize = 64;
/// Moderators of a room.
pub const MODERATORS_MAX: usize = 256;
/// Banned accounts of a room.
pub const BANNED_MAX: usize = 1_000;
/// Muted accounts of a room.
pub const MUTED_MAX: usize = 500;

/// Mean bytes of the pieces in which large state is stored, so that a message rewrites only what it changed.
pub(crate) const PIECE_MEAN: usize = 1024;
