//! A room's log: its entries, and what of a commit stands beside it in the clear.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::objects::{ObjectHash, ObjectRef};
use crate::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EntryId, RoomId, Slug, Username,
    limits::{
        ROOM_BANNED, ROOM_CHANGES, ROOM_DESCRIPTION_BYTES, ROOM_DEVICES, ROOM_ENTRIES_PER_PAGE,
        ROOM_ENTRY_BYTES, ROOM_EPHEMERAL_BYTES, ROOM_NAME_BYTES,
    },
};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// An MLS application message.
    Application,
    /// An MLS proposal by itself, for somebody to commit: of a device that leaves.
    Proposal,
    /// An MLS commit: it begins the epoch after its own.
    Commit,
    /// A new MLS group in the place of one that cannot go on.
    Reboot,
}

/// The bytes of an entry, or where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// They stand here.
    Inline(BoundedBytes<ROOM_ENTRY_BYTES>),
    /// They are an object of the room.
    Object(ObjectRef),
    /// The entry is a reboot.
    Reboot(RebootNotice),
}

/// One entry of a room's log. Nothing says who sent it: that stands inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEntry {
    /// Its place in the log: 1, 2, 3 and so on without gaps at acceptance.
    pub seq: u64,
    /// The sender's id for it.
    pub id: EntryId,
    /// What it is.
    pub kind: EntryKind,
    /// The generation of the MLS group it belongs to; for a reboot the one that ends.
    pub generation: u32,
    /// The epoch it was made in.
    pub epoch: u64,
    /// The relay's clock when it was accepted, milliseconds since 1970.
    pub accepted_at: u64,
    /// Its bytes.
    pub body: EntryBody,
    /// For a commit: what it changes.
    pub delta: Option<RoomDelta>,
}

/// A device in a room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoomDevice {
    /// Its account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
}

/// What the directory shows of a public room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its slug.
    pub slug: Slug,
    /// Its name: a name that [`crate::SafeText::name`] leaves as it is.
    pub name: BoundedStr<ROOM_NAME_BYTES>,
    /// One line about it, that [`crate::SafeText::single_line`] leaves as it is; may be empty.
    pub description: BoundedStr<ROOM_DESCRIPTION_BYTES>,
}

/// What becomes of a room's listing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ListingChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// The room is public from now on and is listed so.
    Set(Listing),
    /// The room is private from now on; slug, name, description and `GroupInfo` are deleted.
    Remove,
}

/// A new owner key of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOwnerKey {
    /// The new Ed25519 public key.
    pub key: ByteArray<32>,
    /// By the old key over room, generation, epoch and the new key.
    pub signature: ByteArray<64>,
}

/// What a commit changes, for the relay and for members to compare with the commit itself. The commit's authenticated data
/// holds the hash of its canonical form, which stands in `subrosa_verify::room`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoomDelta {
    /// Devices that the commit adds.
    pub added: BoundedVec<RoomDevice, ROOM_CHANGES>,
    /// Devices that it removes; they are taken out before `added` come in.
    pub removed: BoundedVec<RoomDevice, ROOM_CHANGES>,
    /// Accounts banned from now on.
    pub banned: BoundedVec<Username, ROOM_CHANGES>,
    /// Accounts no longer banned.
    pub unbanned: BoundedVec<Username, ROOM_CHANGES>,
    /// Whether the room is public, and how it is listed.
    pub listing: ListingChange,
    /// A new owner key.
    pub owner_key: Option<NewOwnerKey>,
}

impl RoomDelta {
    /// Whether nothing changes but keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ListingChange {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Keep => out.push(0),
            Self::Remove => out.push(2),
            Self::Set(listing) => {
                out.push(1);
                for text in [listing.slug.as_str(), &listing.name, &listing.description] {
                    out.extend_from_slice(&length(text.len()));
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// Devices in canonical form: their number (u16), then for each `account str8 | device u32`.
#[must_use]
pub fn canonical_devices(devices: &[RoomDevice]) -> Vec<u8> {
    let mut out = length(devices.len()).to_vec();
    for RoomDevice { account, device } in devices {
        write_account(&mut out, account);
        out.extend_from_slice(&device.get().to_le_bytes());
    }
    out
}

/// Accounts in canonical form: their number (u16), then a `str8` each.
#[must_use]
pub fn canonical_accounts(accounts: &[Username]) -> Vec<u8> {
    let mut out = length(accounts.len()).to_vec();
    accounts.iter().for_each(|account| write_account(&mut out, account));
    out
}

fn write_account(out: &mut Vec<u8>, account: &Username) {
    // A username has at most 32 bytes.
    out.push(u8::try_from(account.as_str().len()).unwrap_or(u8::MAX));
    out.extend_from_slice(account.as_str().as_bytes());
}

/// Lengths of the lists and texts above are far below 64 Ki.
fn length(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes()
}

/// What members learn of a reboot: enough to check the owner's signature and to join the new group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootNotice {
    /// The new group's generation.
    pub generation: u32,
    /// The new group's epoch.
    pub epoch: u64,
    /// The Welcome into the new group, for every device of its roster.
    pub welcome: Option<ObjectRef>,
    /// SHA-256 of the new group's `GroupInfo`, of a public room.
    pub group_info: Option<ObjectHash>,
    /// SHA-256 of [`Reboot::canonical_state`]: roster, banned accounts and listing.
    pub state_hash: [u8; 32],
    /// By the room's owner key.
    pub signature: ByteArray<64>,
}

/// A new MLS group in the place of one that cannot go on (R31). Only the room's owner key makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// The room.
    pub room: RoomId,
    /// The sender's id for the entry.
    pub id: EntryId,
    /// The generation that ends; it must be the room's.
    pub generation: u32,
    /// The new group's generation: one more.
    pub new_generation: u32,
    /// The new group's epoch.
    pub epoch: u64,
    /// The new group's devices, ascending: devices that are, or lately were, in the room.
    pub roster: BoundedVec<RoomDevice, ROOM_DEVICES>,
    /// The banned accounts, ascending.
    pub banned: BoundedVec<Username, ROOM_BANNED>,
    /// Whether the room is public, and how it is listed.
    pub listing: ListingChange,
    /// The Welcome for the roster, put before; `None` when the sender is alone.
    pub welcome: Option<ObjectHash>,
    /// The new group's `GroupInfo`, put before; a public room must have one.
    pub group_info: Option<ObjectHash>,
    /// By the room's owner key over all of the above but the ids.
    pub signature: ByteArray<64>,
    /// The sending device's state generation (R23).
    pub state_generation: u64,
}

impl Reboot {
    /// Roster, banned accounts and listing in canonical form; their SHA-256 is signed.
    #[must_use]
    pub fn canonical_state(&self) -> Vec<u8> {
        let mut out = canonical_devices(&self.roster);
        out.extend_from_slice(&canonical_accounts(&self.banned));
        self.listing.write_to(&mut out);
        out
    }
}

/// A message for a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPost {
    /// The room.
    pub room: RoomId,
    /// Random, chosen by the sender; the same one is accepted once however often it is sent.
    pub id: EntryId,
    /// `Application`.
    pub kind: EntryKind,
    /// The generation of the group it was made in.
    pub generation: u32,
    /// The epoch it was made in: one of the last four.
    pub epoch: u64,
    /// The MLS message.
    pub bytes: BoundedBytes<ROOM_ENTRY_BYTES>,
    /// The sending device's state generation (R23).
    pub state_generation: u64,
}

/// The entry is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomAccepted {
    /// Its place.
    pub seq: u64,
    /// The relay's clock, milliseconds since 1970.
    pub accepted_at: u64,
}

/// The room has moved on; nothing was accepted. Process the entries and try again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPassed {
    /// The room's generation.
    pub generation: u32,
    /// The room's epoch.
    pub epoch: u64,
    /// The entries after the place that the request named, as many as fit.
    pub entries: BoundedVec<RoomEntry, ROOM_ENTRIES_PER_PAGE>,
    /// Whether there are more.
    pub more: bool,
}

/// Asks for entries of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSync {
    /// The room.
    pub room: RoomId,
    /// Only those with a greater `seq`.
    pub after: u64,
    /// At most this many; the relay may return fewer.
    pub max: u16,
}

/// Entries, ascending by `seq`, as many as fit a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomPage {
    /// The entries.
    pub entries: BoundedVec<RoomEntry, ROOM_ENTRIES_PER_PAGE>,
    /// Whether more are waiting.
    pub more: bool,
    /// Entries between the asked place and the first kept one are gone for good: the device is cut off and must be added
    /// again.
    pub gap: bool,
    /// The `seq` of the newest entry.
    pub head: u64,
    /// The room's generation.
    pub generation: u32,
    /// The room's epoch.
    pub epoch: u64,
}

/// Everything up to `up_to` is stored by this device; the relay deletes what all have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCursor {
    /// The room.
    pub room: RoomId,
    /// Highest `seq` stored.
    pub up_to: u64,
    /// The device's state generation (R23).
    pub state_generation: u64,
}

/// Something for those who are connected, kept nowhere: typing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomEphemeral {
    /// The room.
    pub room: RoomId,
    /// The MLS message.
    pub bytes: BoundedBytes<ROOM_EPHEMERAL_BYTES>,
}

/// A new entry of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDeliver {
    /// The room.
    pub room: RoomId,
    /// The entry.
    pub entry: Box<RoomEntry>,
}

/// Entries of a room were not pushed: sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHint {
    /// The room.
    pub room: RoomId,
    /// The `seq` of an entry that was not pushed; there may be newer ones.
    pub seq: u64,
}

/// What changed without an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomChange {
    /// Devices left the roster without a proposal.
    Roster,
    /// The operator removed the room; nothing of it is left.
    Gone,
}

/// A room changed without an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomChanged {
    /// The room.
    pub room: RoomId,
    /// What changed.
    pub change: RoomChange,
}
