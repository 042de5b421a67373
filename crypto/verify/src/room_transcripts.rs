//! What a room's owner key signs. The key is made for the room and tells no account; the relay and every member know its
//! public half.

use crate::keys::{BadSignature, Signature, VerifyingKey};
use crate::labels;

/// A new owner key, signed by the one before.
///
/// ```text
/// room 16 | generation u32 | epoch u64 | new_key 32
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OwnerKeyTranscript {
    /// The room.
    pub room: [u8; 16],
    /// The generation of the commit that brings the key.
    pub generation: u32,
    /// The epoch that commit was made in.
    pub epoch: u64,
    /// The new Ed25519 public key.
    pub new_key: [u8; 32],
}

/// A new MLS group in the place of one that cannot go on.
///
/// ```text
/// room 16 | generation u32 | new_generation u32 | epoch u64 | state_hash 32
///   | welcome: 0x00, or 0x01 and 32 | group_info: 0x00, or 0x01 and 32
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RebootTranscript {
    /// The room.
    pub room: [u8; 16],
    /// The generation that ends.
    pub generation: u32,
    /// The new one.
    pub new_generation: u32,
    /// The new group's epoch.
    pub epoch: u64,
    /// Plain SHA-256 of roster, banned accounts and listing in canonical form.
    pub state_hash: [u8; 32],
    /// The SHA-256 of the Welcome into the new group.
    pub welcome: Option<[u8; 32]>,
    /// The SHA-256 of the new group's `GroupInfo`, of a public room.
    pub group_info: Option<[u8; 32]>,
}

impl OwnerKeyTranscript {
    /// The canonical bytes that are signed under [`labels::SIGN_ROOM_OWNER_KEY`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 4 + 8 + 32);
        out.extend_from_slice(&self.room);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.new_key);
        out
    }
}

impl RebootTranscript {
    /// The canonical bytes that are signed under [`labels::SIGN_ROOM_REBOOT`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 4 + 4 + 8 + 32 + 33 + 33);
        out.extend_from_slice(&self.room);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.new_generation.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.state_hash);
        for hash in [&self.welcome, &self.group_info] {
            match hash {
                None => out.push(0),
                Some(hash) => {
                    out.push(1);
                    out.extend_from_slice(hash);
                }
            }
        }
        out
    }
}

/// Checks that the owner of a room made a new owner key its own.
pub fn verify_owner_key(
    owner_key: &VerifyingKey,
    transcript: &OwnerKeyTranscript,
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    owner_key.verify(labels::SIGN_ROOM_OWNER_KEY, &transcript.to_bytes(), &Signature(*signature))
}

/// Checks that the owner of a room made a reboot.
pub fn verify_reboot(
    owner_key: &VerifyingKey,
    transcript: &RebootTranscript,
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    owner_key.verify(labels::SIGN_ROOM_REBOOT, &transcript.to_bytes(), &Signature(*signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REBOOT: RebootTranscript = RebootTranscript {
        room: [1; 16],
        generation: 2,
        new_generation: 3,
        epoch: 4,
        state_hash: [5; 32],
        welcome: Some([6; 32]),
        group_info: None,
    };

    #[test]
    fn the_layouts_are_what_they_always_were() {
        let key = OwnerKeyTranscript { room: [1; 16], generation: 2, epoch: 3, new_key: [4; 32] };
        let expected = [&[1; 16][..], &[2, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 0, 0], &[4; 32]].concat();
        assert_eq!(key.to_bytes(), expected);
        let expected = [
            &[1; 16][..],
            &[2, 0, 0, 0, 3, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0],
            &[5; 32],
            &[1],
            &[6; 32],
            &[0],
        ]
        .concat();
        assert_eq!(REBOOT.to_bytes(), expected);
    }

    #[test]
    fn no_two_reboots_have_the_same_bytes() {
        let swapped = RebootTranscript { welcome: None, group_info: REBOOT.welcome, ..REBOOT };
        assert_ne!(swapped.to_bytes(), REBOOT.to_bytes());
        let both = RebootTranscript { group_info: Some([7; 32]), ..REBOOT };
        assert_ne!(both.to_bytes(), REBOOT.to_bytes());
    }
}
