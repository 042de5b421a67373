//! Rooms: making them, committing, joining and leaving, and asking about them.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::{
    directory::SignedList,
    mailbox::Sealed,
    objects::{ObjectHash, ObjectRef},
    room_log::{Listing, RoomDelta, RoomDevice},
};
use crate::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EntryId, EnvelopeId, RoomId, Slug, Username,
    limits::{
        DEVICE_LISTS_PER_PAGE, DIRECTORY_PER_PAGE, DISPLAY_NAME_BYTES, INVITATIONS_INLINE, ROOM_CHANGES,
        ROOM_ENTRY_BYTES, ROOM_HEADS_PER_PAGE, ROOM_LISTS_PER_PAGE, ROSTER_PER_PAGE, SLUG_MAX,
    },
};

/// Makes a room whose MLS group has the asking device as its one member, in generation 0 and epoch 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCreate {
    /// Its id: 16 random bytes that no room of the relay has.
    pub room: RoomId,
    /// The room's owner key (Ed25519), made for it.
    pub owner_key: ByteArray<32>,
    /// How the directory shows it; `None` makes it private.
    pub listing: Option<Listing>,
    /// The `GroupInfo`, put before: a public room must have one, a private one must not.
    pub group_info: Option<ObjectHash>,
    /// The device's state generation (R23).
    pub state_generation: u64,
}

/// A commit for a room's log, with everything that belongs to it: accepted as a whole, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCommit {
    /// The room.
    pub room: RoomId,
    /// Random, chosen by the sender; the same one is accepted once however often it is sent.
    pub id: EntryId,
    /// The generation of the group it was made in.
    pub generation: u32,
    /// The epoch it was made in; it must be the room's.
    pub epoch: u64,
    /// The newest `seq` that the sender had when it made the commit: if it loses, the answer holds what comes after. It loses
    /// too when a leave of this epoch comes after: who left does not ask twice.
    pub after: u64,
    /// The MLS commit: at most 40 KiB here, else an object that was put before.
    pub commit: CommitBody,
    /// What it changes.
    pub delta: RoomDelta,
    /// The `GroupInfo` of the epoch it begins, put before: a public room must have one, a private one must not.
    pub group_info: Option<ObjectHash>,
    /// The Welcome for the devices it adds, put before.
    pub welcome: Option<ObjectHash>,
    /// One invitation for each device it adds; none when the sender adds itself.
    pub invitations: Invitations,
    /// The sending device's state generation (R23).
    pub state_generation: u64,
}

/// A commit's bytes, or where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitBody {
    /// They stand here.
    Inline(BoundedBytes<ROOM_ENTRY_BYTES>),
    /// They were put before.
    Object(ObjectHash),
}

/// An envelope for the mailbox of a device that is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The device's account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// The envelope's id.
    pub id: EnvelopeId,
    /// The ciphertext.
    pub sealed: Sealed,
}

/// Invitations, or where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Invitations {
    /// They stand here.
    Inline(BoundedVec<Invitation, INVITATIONS_INLINE>),
    /// They were put before: for each, a length (u32, little-endian) and the [`Invitation`].
    Object(ObjectHash),
}

impl Default for Invitations {
    fn default() -> Self {
        Self::Inline(BoundedVec::default())
    }
}

impl Invitation {
    /// Appends this invitation as it stands in an object of invitations.
    ///
    /// # Errors
    /// When it is larger than a frame can be.
    pub fn write_to(&self, out: &mut Vec<u8>) -> Result<(), crate::codec::CodecError> {
        let bytes = crate::codec::encode(self)?;
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&bytes);
        Ok(())
    }

    /// The invitations of an object.
    ///
    /// # Errors
    /// When the bytes are not at most [`ROOM_CHANGES`] invitations and nothing else.
    pub fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, crate::codec::CodecError> {
        use crate::codec::CodecError::Malformed;
        let mut all = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
            let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Malformed)?;
            let (one, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
            all.push(crate::codec::decode(one)?);
            if all.len() > ROOM_CHANGES {
                return Err(Malformed);
            }
            bytes = rest;
        }
        if bytes.is_empty() { Ok(all) } else { Err(Malformed) }
    }
}

/// Nothing was accepted: some of the devices that were to be added cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUnreachable {
    /// Those that do not exist, or not any more.
    pub missing: BoundedVec<RoomDevice, ROOM_CHANGES>,
    /// Those that have no room: for the envelope, or for another invitation.
    pub full: BoundedVec<RoomDevice, ROOM_CHANGES>,
}

/// This device, which was invited, has joined: it has processed the Welcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomAccept {
    /// The room.
    pub room: RoomId,
    /// The device's state generation (R23).
    pub state_generation: u64,
}

/// Leaves a room, or declines an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLeave {
    /// The room.
    pub room: RoomId,
    /// All of the account's devices; else this one.
    pub account: bool,
    /// The proposal of the device's own removal, for somebody to commit.
    pub proposal: Option<LeaveProposal>,
    /// The device's state generation (R23).
    pub state_generation: u64,
}

/// The MLS proposal of a device that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveProposal {
    /// Random, chosen by the sender.
    pub id: EntryId,
    /// The generation of the group it was made in.
    pub generation: u32,
    /// The epoch it was made in; it must be the room's.
    pub epoch: u64,
    /// The MLS message.
    pub bytes: BoundedBytes<ROOM_ENTRY_BYTES>,
}

/// Names a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomName {
    /// By its id.
    Id(RoomId),
    /// By its slug.
    Slug(Slug),
}

/// Asks about one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomShow {
    /// Which one.
    pub room: RoomName,
}

/// How a device stands to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Not in it.
    Stranger,
    /// Added by a commit, and not yet accepted.
    Invited,
    /// In it.
    Joined,
    /// It was in it; the entries up to its removal can be read for 30 days.
    Removed,
    /// Its account is banned.
    Banned,
}

/// What the relay knows of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// The room.
    pub room: RoomId,
    /// How the directory shows it; `None` when it is private.
    pub listing: Option<Listing>,
    /// The generation of its MLS group.
    pub generation: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The `seq` of the newest entry; 0 before the first.
    pub head: u64,
    /// Devices in its roster.
    pub devices: u32,
    /// Accounts in its roster.
    pub accounts: u32,
    /// The owner key (Ed25519).
    pub owner_key: ByteArray<32>,
    /// The current `GroupInfo` of a public room.
    pub group_info: Option<ObjectRef>,
    /// How the asking device stands to it.
    pub standing: Standing,
    /// Up to which `seq` the asking device has acknowledged.
    pub cursor: u64,
}

/// Asks for a room's roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRoster {
    /// The room.
    pub room: RoomId,
    /// Only devices after this one.
    pub after: Option<RoomDevice>,
}

/// A device in a roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterDevice {
    /// The device.
    pub device: RoomDevice,
    /// Whether it has joined; else it is invited.
    pub joined: bool,
}

/// A part of a roster, ascending by account and device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRosterPage {
    /// The devices.
    pub devices: BoundedVec<RosterDevice, ROSTER_PER_PAGE>,
    /// Whether there are more.
    pub more: bool,
    /// The `seq` of the newest entry when the page was made.
    pub head: u64,
}

/// An account and the newest version of its device list that the asker has; 0 for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownList {
    /// The account.
    pub account: Username,
    /// The version.
    pub since: u64,
}

/// Asks for device lists of accounts in a room's roster. This is no lookup (R38): the roster names them anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomLists {
    /// The room.
    pub room: RoomId,
    /// Whose.
    pub accounts: BoundedVec<KnownList, ROOM_LISTS_PER_PAGE>,
}

/// An account's device lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLists {
    /// The account.
    pub account: Username,
    /// Ascending and without gaps from `since + 1`; only the newest when `since` is 0.
    pub lists: BoundedVec<SignedList, DEVICE_LISTS_PER_PAGE>,
    /// Whether still newer ones exist.
    pub more: bool,
    /// The display name given at registration.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
}

/// Device lists, in the order in which they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomListsPage {
    /// Those of the asked accounts that are in the roster, as far as they fit.
    pub accounts: BoundedVec<AccountLists, ROOM_LISTS_PER_PAGE>,
    /// How many of the asked accounts were looked at; ask for the others again.
    pub answered: u32,
}

/// Asks for public rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDirectory {
    /// Only slugs that begin so; may be empty.
    pub prefix: BoundedStr<SLUG_MAX>,
    /// Only slugs after this one.
    pub after: Option<Slug>,
}

/// A public room in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicRoom {
    /// The room.
    pub room: RoomId,
    /// How it is shown.
    pub listing: Listing,
    /// Accounts in it.
    pub accounts: u32,
}

/// A part of the directory, ascending by slug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDirectoryPage {
    /// The rooms.
    pub rooms: BoundedVec<PublicRoom, DIRECTORY_PER_PAGE>,
    /// Whether there are more.
    pub more: bool,
}

/// Asks for the rooms that this device is in, or is invited to, or was removed from lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHeads {
    /// Only rooms with an id after this one.
    pub after: Option<RoomId>,
}

/// Where a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// The room.
    pub room: RoomId,
    /// How the asking device stands to it.
    pub standing: Standing,
    /// The generation of its MLS group.
    pub generation: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The `seq` of the newest entry that the device may read.
    pub head: u64,
}

/// Some of the rooms of a device, ascending by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHeadsPage {
    /// The rooms.
    pub rooms: BoundedVec<RoomHead, ROOM_HEADS_PER_PAGE>,
    /// Whether there are more.
    pub more: bool,
}

/// What a relay tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayInfo {
    /// The room that a new account joins by itself, if there is one.
    pub lobby: Option<Slug>,
    /// Days for which a room's entries are kept at most.
    pub room_days: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation(number: u32) -> Invitation {
        Invitation {
            account: Username::new("alice").unwrap(),
            device: DeviceId::new(number).unwrap(),
            id: EnvelopeId::from_bytes([7; 16]),
            sealed: BoundedBytes::new(vec![9; 300]).unwrap(),
        }
    }

    #[test]
    fn invitations_of_an_object_come_back_and_one_past_the_bound_does_not() {
        let mut bytes = Vec::new();
        let all: Vec<_> = (1..=100).map(invitation).collect();
        all.iter().for_each(|one| one.write_to(&mut bytes).unwrap());
        assert_eq!(Invitation::read_all(&bytes).unwrap(), all);
        assert_eq!(Invitation::read_all(&[]).unwrap(), []);
        assert!(Invitation::read_all(&bytes[..bytes.len() - 1]).is_err());
        assert!(Invitation::read_all(&[1, 0]).is_err());
        assert!(Invitation::read_all(&u32::MAX.to_le_bytes()).is_err());
        invitation(101).write_to(&mut bytes).unwrap();
        assert!(Invitation::read_all(&bytes).is_err());
    }
}
