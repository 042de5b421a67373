//! Typed errors. The number is on the wire, the name is in documentation and logs; a number this version does not know
//! is kept, not refused, so that a newer relay can say more.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)+) => {
        /// What a relay refused a request for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
            /// A code of a newer version.
            Other(u16),
        }

        impl ErrorCode {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ Self::Other(number) => number }
            }

            /// The name in documentation, logs and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ Self::Other(_) => "other" }
            }
        }

        impl From<u16> for ErrorCode {
            fn from(number: u16) -> Self {
                match number { $($number => Self::$variant,)+ other => Self::Other(other) }
            }
        }
    };
}

codes! {
    /// The request is malformed or not allowed in this state. Do not repeat it.
    BadRequest = 1 "bad_request",
    /// No protocol version in common. One side must be upgraded.
    UnsupportedVersion = 2 "unsupported_version",
    /// The frame kind is not known to the relay.
    UnknownFrame = 3 "unknown_frame",
    /// Something exceeds a limit. Do not repeat it.
    TooLarge = 4 "too_large",
    /// The device's proof is wrong, or there is no such device. The same answer for both.
    AuthenticationFailed = 5 "authentication_failed",
    /// Name or passphrase is wrong. The same answer for both (R40).
    LoginFailed = 6 "login_failed",
    /// Too many requests; `retry_after_ms` says when to try again.
    RateLimited = 7 "rate_limited",
    /// No such account, or it does not want to be found. The same answer for both (R38).
    NotFound = 8 "not_found",
    /// The name belongs, or belonged, to an account.
    NameTaken = 9 "name_taken",
    /// The invite is unknown, used up or expired. The same answer for all (R42).
    InviteInvalid = 10 "invite_invalid",
    /// The relay does not accept new accounts.
    RegistrationClosed = 11 "registration_closed",
    /// The device list is not the successor of the relay's: fetch and try again.
    Conflict = 12 "conflict",
    /// The recipient's mailbox is full (R44). Try again later.
    MailboxFull = 13 "mailbox_full",
    /// The relay has no room on its disk: it delivers and accepts nothing new (R57). Try again later.
    StorageFull = 14 "storage_full",
    /// Something failed in the relay; nothing was accepted. Try again later.
    Internal = 15 "internal",
    /// The device was unused for too long: log in with the passphrase again.
    LoginRequired = 16 "login_required",
    /// The relay is stopping. Connect again later.
    ShuttingDown = 17 "shutting_down",
    /// A signature, a device list or a prekey does not verify. Do not repeat it.
    InvalidSignature = 18 "invalid_signature",
    /// Not permitted, for instance a seventh device.
    Refused = 19 "refused",
    /// The relay has no room for more connections of this network, account or at all. Try again later.
    TooManyConnections = 20 "too_many_connections",
    /// No such room, or one that the asker may not know of. The same answer for both.
    UnknownRoom = 21 "unknown_room",
    /// The public room exists, and this device is not in it.
    NotAMember = 22 "not_a_member",
    /// The account is banned from the public room.
    Banned = 23 "banned",
    /// The slug, or one that looks like it, belongs to another room.
    SlugTaken = 24 "slug_taken",
    /// The roster, or the list of banned accounts, would be longer than it may be.
    RoomFull = 25 "room_full",
    /// The account is in as many rooms as it may be. Leave one first.
    TooManyRooms = 26 "too_many_rooms",
    /// The object is not there, not there any more, or not for the asker. The same answer for all. Put it again; or
    /// ask for the room anew.
    NoSuchObject = 27 "no_such_object",
    /// The bytes of an object are not those that its name says. Nothing of it was kept.
    WrongHash = 28 "wrong_hash",
    /// The room id is in use. Choose another one.
    RoomExists = 29 "room_exists",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "error {number}"),
            known => f.write_str(known.name()),
        }
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_unknown_numbers_survive() {
        for (i, a) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(ErrorCode::from(a.number()), *a);
            for b in ErrorCode::ALL.iter().skip(i + 1) {
                assert_ne!(a.number(), b.number());
                assert_ne!(a.name(), b.name());
            }
        }
        assert_eq!(ErrorCode::from(999).number(), 999);
    }
}
