//! Hellos, errors and the end of a connection.

use serde::{Deserialize, Serialize};

use crate::{BoundedStr, ErrorCode, limits::ERROR_DETAIL_BYTES};

/// The client's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHello {
    /// Oldest protocol version the client speaks.
    pub min_version: u16,
    /// Newest protocol version the client speaks.
    pub max_version: u16,
    /// Feature bits the client offers; see [`crate::version`].
    pub features: u64,
}

/// The relay's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayHello {
    /// The version both will speak.
    pub version: u16,
    /// The features both have.
    pub features: u64,
    /// 32 fresh random bytes; device proofs on this connection cover them.
    pub nonce: [u8; 32],
    /// Who may register.
    pub registration: RegistrationPolicy,
}

/// Who may register on a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistrationPolicy {
    /// Anybody.
    Open,
    /// Holders of an invite.
    Invite,
    /// Nobody.
    Closed,
}

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFrame {
    /// What happened; programs act on this.
    pub code: ErrorCode,
    /// For `rate_limited`: when to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// For people; never parsed, may be empty.
    pub detail: BoundedStr<ERROR_DETAIL_BYTES>,
}

impl ErrorFrame {
    /// An error with a line for people.
    #[must_use]
    pub fn new(code: ErrorCode, detail: &str) -> Self {
        Self { code, retry_after_ms: None, detail: BoundedStr::truncated(detail) }
    }

    /// `rate_limited`, with the time after which to try again.
    #[must_use]
    pub fn rate_limited(retry_after_ms: u64) -> Self {
        Self {
            code: ErrorCode::RateLimited,
            retry_after_ms: Some(retry_after_ms),
            detail: BoundedStr::truncated("too many requests"),
        }
    }
}

/// Why a relay ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// The relay stops; connect again later.
    ShuttingDown,
    /// Newer connections of the same device took this one's place (R7).
    Replaced,
    /// The device was removed from its account's list, or logged out.
    Revoked,
    /// The device did not prove its key again in time.
    ProofExpired,
    /// Limits were breached three times in a minute (R8).
    Abuse,
    /// The relay closed an idle connection.
    Idle,
}

/// The relay ends this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Why.
    pub reason: CloseReason,
}
