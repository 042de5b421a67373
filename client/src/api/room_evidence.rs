//! Proof that a relay showed members of a room different histories (R29): what a person can hand to the others, who hold it
//! against what their own devices have.

use serde::{Deserialize, Serialize};
use subrosa_protocol::SafeText;

use super::time::Timestamp;

/// One contradiction. Either a member's head differs from the own one of the same epoch, or the relay gave this device two
/// commits of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEvidence {
    /// The room's id.
    pub room: String,
    /// What it is called here.
    pub name: SafeText,
    /// When it was found, by the clock of this device.
    pub found_at: Timestamp,
    /// Which device found it: `alice/1`.
    pub found_by: String,
    /// The MLS group's generation.
    pub generation: u32,
    /// The epoch in which the histories differ; they parted in it or before.
    pub epoch: u64,
    /// The head of this device's history in that epoch (PROTOCOL.md 5.12), hexadecimal.
    pub our_head: Option<String>,
    /// The other head, and who told of it; `null` when there are two commits instead.
    pub theirs: Option<ToldHead>,
    /// The commit that this device followed into that epoch, or, where there are two, in it.
    pub our_commit: Option<SeenCommit>,
    /// The other one of the same epoch.
    pub their_commit: Option<SeenCommit>,
}

/// A head as a member told it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldHead {
    /// Hexadecimal.
    pub head: String,
    /// Whose device told it, in an encrypted message.
    pub by: String,
    /// Which one.
    pub device: u32,
    /// The message's id.
    pub message: String,
}

/// A commit as the relay gave it, signed by the member's device who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenCommit {
    /// Its place in the log.
    pub seq: u64,
    /// The epoch it was made in.
    pub epoch: u64,
    /// The entry's id.
    pub entry: String,
    /// When the relay accepted it, as the relay says.
    pub accepted_at: Timestamp,
    /// Whose device made it; `null` when this device did not follow it, and so cannot say.
    pub by: Option<String>,
    /// The delta that the relay gave with it (PROTOCOL.md 1.4.5), hexadecimal.
    pub delta: String,
    /// SHA-256 of the commit, hexadecimal.
    pub hash: String,
    /// The MLS commit, hexadecimal; `null` when it is larger than what is kept (64 KiB).
    pub commit: Option<String>,
}
