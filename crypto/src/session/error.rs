use subrosa_verify::canonical::Malformed;
use subrosa_verify::prekey::PrekeyKind;

use crate::dh::NonContributory;
use crate::pqxdh::PqxdhError;
use crate::ratchet::RatchetError;

/// Why nothing was encrypted or decrypted. The record is, byte for byte, as it was before (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// To encrypt: there is no session to send in; fetch a bundle and `initiate`. To decrypt: the message names a
    /// session that is not in the record; it cannot be read, heal.
    #[error("there is no such session with this device")]
    NoSession,
    /// The message was received before, or its key is too old. Drop it; nothing is to be healed.
    #[error("the message was received before, or its key is too old")]
    Duplicate,
    /// An initial message that opened a session before, and that session is gone (R15). Drop it; when its sender is
    /// alive, its further messages fail alike, so heal.
    #[error("this initial message was used before")]
    Replay,
    /// The initial message names a prekey whose secret is gone. It cannot be read, heal.
    #[error("prekey {id} of kind {kind:?} is not known")]
    UnknownPrekey {
        /// What the prekey was for.
        kind: PrekeyKind,
        /// Its number.
        id: u32,
    },
    /// The message lies more than 1,000 keys ahead (R17). It cannot be read, heal.
    #[error("the message skips more than {} others", crate::ratchet::limits::MAX_SKIP)]
    TooManySkipped,
    /// The message is no session message or does not authenticate. It cannot be read, heal.
    #[error("the message does not parse or does not authenticate")]
    Corrupt,
    /// The message is of a later version of the format. Heal after an update.
    #[error("the message has format version {0}, this device knows version 1")]
    UnsupportedVersion(u8),
    /// A public key in the message or bundle is of low order or not canonical (R11): its sender is broken or hostile.
    #[error(transparent)]
    NonContributory(#[from] NonContributory),
    /// The bundle lacks a valid key, in the first place that of ML-KEM-768 (R12): nothing can be sent to this device. When
    /// decrypting, the [`PrekeySource`](super::PrekeySource) gave another key than it was asked for.
    #[error("there is no valid {0}")]
    InvalidPrekey(&'static str),
    /// The plaintext is longer than 65,536 bytes.
    #[error("the plaintext is longer than {} bytes", crate::ratchet::limits::MAX_PLAINTEXT)]
    TooLong,
    /// A stored record does not parse: the store is damaged or of a later version. Start with a new record and heal.
    #[error("the stored session record does not parse")]
    BadRecord,
}

impl From<RatchetError> for SessionError {
    fn from(error: RatchetError) -> Self {
        match error {
            RatchetError::Duplicate => Self::Duplicate,
            RatchetError::TooManySkipped => Self::TooManySkipped,
            RatchetError::Corrupt => Self::Corrupt,
            RatchetError::NonContributory(error) => Self::NonContributory(error),
            RatchetError::NoSendingChain => Self::NoSession,
        }
    }
}

impl From<PqxdhError> for SessionError {
    fn from(error: PqxdhError) -> Self {
        match error {
            PqxdhError::NonContributory(error) => Self::NonContributory(error),
            PqxdhError::Key(name) => Self::InvalidPrekey(name),
        }
    }
}

impl From<Malformed> for SessionError {
    fn from(_: Malformed) -> Self {
        Self::Corrupt
    }
}
