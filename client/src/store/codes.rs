//! The numbers by which enumerations are stored. A number is never given to something else.

use subrosa_crypto::verify::prekey::PrekeyKind;
use subrosa_protocol::content::ReceiptKind;

use super::{StoreError, error::Result, pending::HeldFor};
use crate::api::{ContactState, Direction, MessageState, Role, RoomState, Trust};

/// A value that is stored as a number.
pub(super) trait Code: Copy + Sized + 'static {
    /// Every value and its number.
    const CODES: &'static [(Self, i64)];
    /// What it is, for errors.
    const NAME: &'static str;

    /// The value of a stored number.
    fn from_code(code: i64) -> Result<Self> {
        Self::CODES.iter().find(|(_, c)| *c == code).map(|(v, _)| *v).ok_or(StoreError::Corrupt(Self::NAME))
    }

    /// The number of a value.
    fn code(self) -> i64;
}

macro_rules! codes {
    ($type:ty, $name:literal, { $($variant:ident = $code:literal),+ $(,)? }) => {
        impl Code for $type {
            const CODES: &'static [(Self, i64)] = &[$((Self::$variant, $code)),+];
            const NAME: &'static str = $name;

            fn code(self) -> i64 {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

codes!(MessageState, "message state", {
    Held = 0, Queued = 1, Accepted = 2, Delivered = 3, Read = 4, Failed = 5,
    // The index `messages_unread` of the schema names this number.
    Received = 6,
});
codes!(Direction, "direction", { Out = 0, In = 1, Notice = 2 });
codes!(ContactState, "contact state", { Added = 0, RequestReceived = 1, RequestSent = 2, Accepted = 3 });
codes!(Trust, "trust", { Unverified = 0, Verified = 1, Changed = 2, Forked = 3 });
codes!(Role, "role", { Member = 0, Moderator = 1, Owner = 2 });
codes!(RoomState, "room state", {
    Invited = 0, Joining = 1, Joined = 2, Left = 3, Removed = 4, CutOff = 5,
});
codes!(ReceiptKind, "receipt kind", { Delivered = 0, Read = 1 });
codes!(HeldFor, "pending reason", { Identity = 0, Request = 1, Window = 2, DeviceList = 3, Session = 4 });
codes!(PrekeyKind, "prekey kind", { SignedEc = 1, OneTimeEc = 2, LastResortKem = 3, OneTimeKem = 4 });

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct<T: Code + PartialEq + std::fmt::Debug>() {
        for (value, code) in T::CODES {
            assert_eq!(T::from_code(*code).unwrap(), *value);
            assert_eq!(value.code(), *code);
        }
        assert!(matches!(T::from_code(99), Err(StoreError::Corrupt(_))));
    }

    #[test]
    fn every_code_leads_back_to_its_value() {
        distinct::<MessageState>();
        distinct::<Direction>();
        distinct::<ContactState>();
        distinct::<Trust>();
        distinct::<Role>();
        distinct::<RoomState>();
        distinct::<ReceiptKind>();
        distinct::<HeldFor>();
        distinct::<PrekeyKind>();
    }
}
