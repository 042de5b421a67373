//! Rooms: logs, rosters, objects.
//!
//! The store keeps what only a transaction can keep: exactly one commit an epoch, `seq` without gaps, an entry accepted once
//! however often it is sent, a commit with its roster, bans, objects and invitations as a whole or not at all.
//! It never keeps who sent an entry.

use bytes::Bytes;
use subrosa_protocol::{
    DeviceId, EntryId, RoomId, Username,
    frames::{
        AccountLists, Invitation, Listing, MailboxEnvelope, Reboot, RoomDelta, RoomDevice, RoomEntry,
        RosterDevice,
    },
};

use super::{Answer, Sender, Timestamp};

/// Why a room operation was refused. Nothing has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomRefusal {
    /// No such room; or a private one that the asker is not in.
    Unknown,
    /// A public room that the asker is not in.
    NotAMember,
    /// The account is banned from the public room; or an account that is to be added is.
    Banned,
    /// Another room has the slug, or one that looks like it.
    SlugTaken,
    /// The roster, or the list of bans, would be too long.
    Full,
    /// The account is in as many rooms as it may be.
    TooManyRooms,
    /// The room id is in use.
    Exists,
    /// The object is not there, or not for the asker.
    NoObject,
    /// What was asked for does not go together; the text says why.
    Malformed(&'static str),
    /// The owner key is not the one that the signature was checked with.
    OwnerKey,
    /// The asking device has been removed from its account.
    SenderGone,
}

/// What an operation on a room answers.
pub type RoomAnswer<T> = Answer<Result<T, RoomRefusal>>;

/// An object with its name. Cloning it shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its SHA-256; the caller has checked it.
    pub hash: [u8; 32],
    /// Its bytes.
    pub bytes: Bytes,
}

/// A device that asks about a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Its account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
}

/// A new room with one device in it.
#[derive(Debug, Clone)]
pub struct NewRoom {
    /// Its id.
    pub room: RoomId,
    /// Its owner key.
    pub owner_key: [u8; 32],
    /// How it is listed, when it is public.
    pub listing: Option<Listing>,
    /// The `GroupInfo` of a public room.
    pub group_info: Option<Object>,
    /// Who makes it; in its roster from then on.
    pub sender: Sender,
}

/// A message.
#[derive(Debug, Clone)]
pub struct NewPost {
    /// The room.
    pub room: RoomId,
    /// The entry's id.
    pub id: EntryId,
    /// The generation it was made in.
    pub generation: u32,
    /// The epoch it was made in.
    pub epoch: u64,
    /// The MLS message.
    pub bytes: Bytes,
    /// Who sends; checked, and not stored.
    pub sender: Sender,
    /// The relay's clock.
    pub now: Timestamp,
}

/// The bytes of a commit.
#[derive(Debug, Clone)]
pub enum CommitBytes {
    /// In the entry.
    Inline(Bytes),
    /// Beside it.
    Object(Object),
}

/// A commit and all that belongs to it.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The room.
    pub room: RoomId,
    /// The entry's id.
    pub id: EntryId,
    /// The generation it was made in.
    pub generation: u32,
    /// The epoch it was made in.
    pub epoch: u64,
    /// The newest entry that the sender had when it made it.
    pub after: u64,
    /// The commit.
    pub commit: CommitBytes,
    /// What it changes.
    pub delta: RoomDelta,
    /// The owner key that the delta's new one was checked with, if it has one.
    pub owner_key: Option<[u8; 32]>,
    /// The `GroupInfo` of the next epoch.
    pub group_info: Option<Object>,
    /// The Welcome for the added devices.
    pub welcome: Option<Object>,
    /// One for each added device.
    pub invitations: Vec<Invitation>,
    /// Who sends; checked, and not stored.
    pub sender: Sender,
    /// The relay's clock.
    pub now: Timestamp,
}

/// A reboot whose signature holds.
#[derive(Debug, Clone)]
pub struct NewReboot {
    /// What was asked.
    pub reboot: Reboot,
    /// The owner key that the signature was checked with.
    pub owner_key: [u8; 32],
    /// SHA-256 of [`Reboot::canonical_state`].
    pub state_hash: [u8; 32],
    /// The Welcome.
    pub welcome: Option<Object>,
    /// The `GroupInfo`.
    pub group_info: Option<Object>,
    /// Who sends; checked, and not stored.
    pub sender: Sender,
    /// The relay's clock.
    pub now: Timestamp,
}

/// What came of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// The entry is durable.
    Accepted(Box<Accepted>),
    /// The room is in another epoch. Nothing was accepted.
    Passed {
        /// The room's generation.
        generation: u32,
        /// The room's epoch.
        epoch: u64,
    },
    /// Some of the devices to be added cannot be. Nothing was accepted.
    Unreachable {
        /// No such device.
        missing: Vec<RoomDevice>,
        /// Its mailbox, or its list of invitations, is full.
        full: Vec<RoomDevice>,
    },
}

/// An entry that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its place.
    pub seq: u64,
    /// When it was accepted; for a repetition, when it was first.
    pub accepted_at: Timestamp,
    /// The entry, to be pushed; `None` for a repetition.
    pub fresh: Option<RoomEntry>,
    /// Invitations that were not accepted before, to be pushed.
    pub envelopes: Vec<(RoomDevice, MailboxEnvelope)>,
    /// Devices that were invited, and are no more.
    pub uninvited: Vec<RoomDevice>,
    /// The sender has joined by this very commit.
    pub joined: bool,
}

/// Leaves a room.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// The room.
    pub room: RoomId,
    /// All devices of the account; else the sending one.
    pub account: bool,
    /// Id, generation, epoch and bytes of the proposal.
    pub proposal: Option<(EntryId, u32, u64, Bytes)>,
    /// Who leaves.
    pub sender: Sender,
    /// The relay's clock.
    pub now: Timestamp,
}

/// What came of leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The devices are out of the roster.
    Done {
        /// Which ones.
        devices: Vec<RoomDevice>,
        /// The proposal's entry.
        entry: Option<Box<RoomEntry>>,
    },
    /// The proposal is of another epoch. Nothing happened.
    Passed {
        /// The room's generation.
        generation: u32,
        /// The room's epoch.
        epoch: u64,
    },
}

/// A room as the asker may see it. The same as the frame, and what of it only the relay needs.
pub use subrosa_protocol::frames::{PublicRoom, RoomHead, RoomInfo};

/// Part of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Ascending by `seq`.
    pub entries: Vec<RoomEntry>,
    /// Whether there are more that the asker may read.
    pub more: bool,
    /// Entries between the asked place and the first kept one are gone.
    pub gap: bool,
    /// The newest `seq` that the asker may read.
    pub head: u64,
    /// The room's generation.
    pub generation: u32,
    /// The room's epoch.
    pub epoch: u64,
}

/// Who has joined a room, for those who push to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The devices.
    pub devices: Vec<RoomDevice>,
    /// The `seq` of the newest entry that this reflects.
    pub head: u64,
}

/// A page of a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterPage {
    /// Ascending by account and device.
    pub devices: Vec<RosterDevice>,
    /// Whether there are more.
    pub more: bool,
    /// The newest `seq`.
    pub head: u64,
}

/// Device lists of accounts in a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterLists {
    /// The lists.
    pub accounts: Vec<AccountLists>,
    /// How many of the asked accounts were looked at.
    pub answered: usize,
}

/// What a round of expiry deleted of rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomsExpired {
    /// Entries.
    pub entries: u64,
    /// Remembered entry ids.
    pub remembered_ids: u64,
    /// Rooms that nobody was in any more.
    pub rooms: u64,
    /// KeyPackages that had expired.
    pub key_packages: u64,
    /// Whether more is to be deleted: call again.
    pub more: bool,
}
