//! Why there is no connection.

use std::io;

use subrosa_protocol::{ErrorCode, FrameError, SafeText, frames::ErrorFrame};

use crate::api::{ApiError, Kind, kind_of};

/// Why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The host has no address. Check it, or the network.
    #[error("{host} cannot be found: {error}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// Nothing answers there. Trying again helps.
    #[error("the relay at {at} does not answer")]
    Silent {
        /// Host and port.
        at: String,
    },
    /// The connection was refused, or broke. Trying again helps.
    #[error("the relay at {at} does not answer: {why}")]
    Unreachable {
        /// Host and port.
        at: String,
        /// Why.
        why: String,
    },
    /// The relay shows another key than the one in its address (R1). Somebody stands in between, or the operator made a
    /// new key; only a new address from the operator helps.
    #[error("the relay at {at} has another key than the address says")]
    WrongKey {
        /// Host and port.
        at: String,
    },
    /// The address has no fingerprint, and the relay's certificate does not verify against the system's roots.
    #[error("the certificate of {at} is not one the system trusts")]
    Untrusted {
        /// Host and port.
        at: String,
    },
    /// There is no protocol version in common.
    #[error("the relay speaks another version of the protocol")]
    Version,
    /// The relay refused.
    #[error("the relay refused: {}", .0.code)]
    Refused(ErrorFrame),
    /// The relay says what no relay says at this place.
    #[error("the relay does not keep to the protocol: {0}")]
    Protocol(String),
    /// The relay began a frame and did not end it within [`crate::limits::HALF_FRAME`].
    #[error("the relay began a frame and did not end it in time")]
    Half,
    /// The stream ended.
    #[error("the relay closed the connection")]
    Closed,
    /// Time ran out.
    #[error("the relay did not answer in time")]
    Timeout,
    /// TLS or the socket cannot be set up here.
    #[error("the connection cannot be set up on this machine: {0}")]
    Local(String),
}

impl NetError {
    /// Whether trying again without a person's help is of no use.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::WrongKey { .. } | Self::Untrusted { .. } | Self::Version)
    }

    /// Whether nobody answered: not the relay, not even to refuse.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Resolve { .. } | Self::Silent { .. } | Self::Timeout)
    }
}

impl From<FrameError> for NetError {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl From<NetError> for ApiError {
    fn from(error: NetError) -> Self {
        let text = error.to_string();
        match error {
            NetError::WrongKey { .. } => Self::new(Kind::Identity, text).hint(
                "somebody may be in between, or the operator made a new key: ask the operator for the address, by another way",
            ),
            NetError::Untrusted { .. } => Self::new(Kind::Identity, text)
                .hint("use the whole address with its fingerprint: rosa://host:port/fingerprint"),
            NetError::Version => Self::new(Kind::Refused, text).hint("update the older of the two"),
            NetError::Refused(frame) => refused(&frame),
            NetError::Resolve { .. } => {
                Self::new(Kind::Unreachable, text).hint("check the address, and whether this machine is online")
            }
            NetError::Silent { .. } | NetError::Unreachable { .. } | NetError::Half | NetError::Closed | NetError::Timeout => Self::new(Kind::Unreachable, text)
                .hint("check that the relay runs and that UDP reaches it; trying again helps"),
            NetError::Protocol(_) | NetError::Local(_) => Self::new(Kind::Unreachable, text),
        }
    }
}

/// A relay's refusal as a front end is told.
#[must_use]
pub fn refused(frame: &ErrorFrame) -> ApiError {
    let detail = SafeText::single_line(&frame.detail);
    let (message, hint) = match frame.code {
        ErrorCode::NameTaken => ("this name is taken", Some("choose another one")),
        ErrorCode::InviteInvalid => {
            ("the invite is unknown, used up or expired", Some("ask whoever invited you for a new one"))
        }
        ErrorCode::RegistrationClosed => ("the relay accepts no new accounts", None),
        ErrorCode::LoginFailed => {
            ("name or passphrase is wrong", Some("both must be those of the registration; try again"))
        }
        ErrorCode::AuthenticationFailed => (
            "the relay does not know this device",
            Some("it may have been removed from another device; log in again with a new profile"),
        ),
        ErrorCode::LoginRequired => {
            ("this device was unused for too long", Some("log in with the passphrase again"))
        }
        ErrorCode::RateLimited => ("too many requests", Some("wait, and try again")),
        ErrorCode::NotFound => ("there is no such account", Some("check the name")),
        ErrorCode::TooManyConnections => {
            ("the relay has no room for another connection", Some("try again later"))
        }
        ErrorCode::StorageFull => {
            ("the relay's disk is full", Some("tell its operator; it goes on by itself"))
        }
        ErrorCode::MailboxFull => ("the recipient's mailbox is full", Some("it goes on by itself")),
        ErrorCode::ShuttingDown | ErrorCode::Internal => ("the relay had a fault", Some("try again later")),
        ErrorCode::Refused => ("the relay does not permit it", None),
        ErrorCode::UnknownRoom => ("there is no such room", Some("rosa room list")),
        ErrorCode::NotAMember => ("you are not in this room", Some("join it first")),
        ErrorCode::Banned => ("you are banned from this room", Some("only its moderators can change that")),
        ErrorCode::SlugTaken => {
            ("this slug, or one that looks like it, is taken", Some("choose another one: --slug SLUG"))
        }
        ErrorCode::RoomFull => ("the room is full", None),
        ErrorCode::TooManyRooms => ("too many rooms", Some("leave one first")),
        ErrorCode::NoSuchObject => ("the relay does not have it any more", Some("try again")),
        _ => ("the relay refused", None),
    };
    // Why a slug is refused is said in full here; a relay says the same in other words.
    let told = frame.code == ErrorCode::SlugTaken || message.contains(&*detail);
    let text = if told { message.to_owned() } else { format!("{message} ({detail})") };
    let mut error = ApiError::new(kind_of(frame.code), text);
    error.retry_after_ms = frame.retry_after_ms;
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
