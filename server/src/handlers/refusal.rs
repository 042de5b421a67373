//! How a request is refused.

use subrosa_protocol::{
    ErrorCode, FrameError,
    frames::{ErrorFrame, Response},
};

use crate::{
    rate::RetryAfter,
    store::{RoomRefusal, StoreError},
};

/// A refusal on its way to the client. Its detail is fixed text: nothing a client sent comes back in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    retry_after_ms: Option<u64>,
    detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: ErrorCode, detail: &'static str) -> Self {
        Self { code, retry_after_ms: None, detail }
    }

    pub(crate) const fn bad_request(detail: &'static str) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }

    /// A signature, list or prekey that does not verify.
    pub(crate) const fn invalid(detail: &'static str) -> Self {
        Self::new(ErrorCode::InvalidSignature, detail)
    }

    /// One answer for an account that does not exist and one that does not want to be found (R38).
    pub(crate) const fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "no such account or device")
    }

    /// One answer for a wrong proof and for a device that does not exist.
    pub(crate) const fn authentication_failed() -> Self {
        Self::new(ErrorCode::AuthenticationFailed, "the proof does not match a device of this relay")
    }

    /// One answer for a wrong passphrase and for a name that does not exist (R40).
    pub(crate) const fn login_failed() -> Self {
        Self::new(ErrorCode::LoginFailed, "wrong name or passphrase")
    }

    /// One answer for an invite that is unknown, used up or expired (R42).
    pub(crate) const fn invite_invalid() -> Self {
        Self::new(ErrorCode::InviteInvalid, "the invite is unknown, used up or expired")
    }

    pub(crate) const fn name_taken() -> Self {
        Self::new(ErrorCode::NameTaken, "the name belongs, or belonged, to an account")
    }

    pub(crate) const fn storage_full() -> Self {
        Self::new(ErrorCode::StorageFull, "the relay has no room and accepts nothing new")
    }

    pub(crate) const fn internal() -> Self {
        Self::new(ErrorCode::Internal, "something failed in the relay; nothing was accepted")
    }

    /// What a frame that could not be understood is answered with; `None` when it is skipped.
    pub(crate) fn of_frame(error: &FrameError, known: bool) -> Option<Self> {
        Some(match error {
            FrameError::UnknownKind { .. } if known => Self::bad_request("not allowed in this state"),
            FrameError::UnknownKind { optional: true, .. } => return None,
            FrameError::UnknownKind { .. } => Self::new(ErrorCode::UnknownFrame, "unknown frame kind"),
            FrameError::TooLarge { .. } => {
                Self::new(ErrorCode::TooLarge, "the frame exceeds the limit of this state")
            }
            FrameError::Body { .. } => Self::bad_request("malformed body"),
            FrameError::TooShort(_) | FrameError::Flags(_) => Self::bad_request("malformed frame"),
        })
    }

    pub(crate) fn to_response(self) -> Response {
        let mut error = ErrorFrame::new(self.code, self.detail);
        error.retry_after_ms = self.retry_after_ms;
        Response::Error(error)
    }
}

impl From<RetryAfter> for Refusal {
    fn from(after: RetryAfter) -> Self {
        let retry_after_ms = Some(after.millis());
        Self { code: ErrorCode::RateLimited, retry_after_ms, detail: "too many requests" }
    }
}

impl From<RoomRefusal> for Refusal {
    fn from(refusal: RoomRefusal) -> Self {
        match refusal {
            RoomRefusal::Unknown => Self::new(ErrorCode::UnknownRoom, "no such room"),
            RoomRefusal::NotAMember => Self::new(ErrorCode::NotAMember, "this device is not in the room"),
            RoomRefusal::Banned => Self::new(ErrorCode::Banned, "the account is banned from the room"),
            RoomRefusal::SlugTaken => {
                Self::new(ErrorCode::SlugTaken, "the slug, or one that looks like it, is taken")
            }
            RoomRefusal::Full => Self::new(ErrorCode::RoomFull, "the room would have more than it may"),
            RoomRefusal::TooManyRooms => {
                Self::new(ErrorCode::TooManyRooms, "the account is in as many rooms as it may be")
            }
            RoomRefusal::Exists => Self::new(ErrorCode::RoomExists, "the room id is in use"),
            RoomRefusal::NoObject => Self::new(ErrorCode::NoSuchObject, "no such object"),
            RoomRefusal::Malformed(why) => Self::bad_request(why),
            RoomRefusal::OwnerKey => Self::invalid("the signature is not by the room's owner key"),
            RoomRefusal::SenderGone => Self::authentication_failed(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::storage_full(),
            StoreError::Overloaded => RetryAfter(std::time::Duration::from_millis(500)).into(),
            StoreError::Closed => Self::new(ErrorCode::ShuttingDown, "the relay is stopping"),
            StoreError::Failed(_) | StoreError::Broken(_) | StoreError::Corrupt(_) => Self::internal(),
        }
    }
}
