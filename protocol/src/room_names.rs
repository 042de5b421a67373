//! Names of rooms: the id that every room has.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

/// Why a room's name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// Not a room id.
    #[error("a room id has 26 characters of base 32")]
    RoomId,
}

/// A room's id: 16 random bytes, chosen by the client that creates it. All that a relay knows of a private room's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomId([u8; 16]);

impl RoomId {
    /// From 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of the room's MLS group: the room's id, then the generation (u32, little-endian): 0 for the first group, one
    /// more with each reboot.
    #[must_use]
    pub fn group_id(&self, generation: u32) -> [u8; 20] {
        let mut id = [0; 20];
        let (room, rest) = id.split_at_mut(16);
        room.copy_from_slice(&self.0);
        rest.copy_from_slice(&generation.to_le_bytes());
        id
    }
}

/// 26 characters of base 32 (RFC 4648) in small letters, without padding.
impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomId({self})")
    }
}

impl FromStr for RoomId {
    type Err = RoomNameError;
    /// Capital letters are read as small ones.
    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(RoomNameError::RoomId)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn room_ids_round_trip(bytes in any::<[u8; 16]>()) {
            let id = RoomId::from_bytes(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(text.parse::<RoomId>().unwrap(), id);
            prop_assert_eq!(text.to_uppercase().parse::<RoomId>().unwrap(), id);
        }
    }
}
