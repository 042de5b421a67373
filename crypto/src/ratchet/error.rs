use crate::dh::NonContributory;

/// Why a message was not encrypted or decrypted. The ratchet is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatchetError {
    /// The key of this message is gone: it was received before, or waited in vain for more than 30 days, or more than
    /// 2,000 others came after it.
    #[error("the message was received before, or its key is too old")]
    Duplicate,
    /// The message lies more than 1,000 keys ahead of the last one.
    #[error("the message skips more than {} others", super::limits::MAX_SKIP)]
    TooManySkipped,
    /// The message does not authenticate, or lies after the end of a chain, or in a chain older than the last five.
    #[error("the message does not authenticate")]
    Corrupt,
    /// The header's ratchet key is of low order (R11).
    #[error(transparent)]
    NonContributory(#[from] NonContributory),
    /// Nothing can be sent: the peer's first message has not come, or 2^32 - 1 messages went without an answer.
    #[error("this ratchet has no sending chain")]
    NoSendingChain,
}
