//! Why an operation of a room failed, and why a message of others was refused.

use std::collections::BTreeSet;

use subrosa_verify::room::RoomDevice;

use crate::policy::PolicyError;
use crate::storage::StorageError;
use crate::store::StoreFailure;
use subrosa_crypto::binding::BindingError;

/// Why an operation of this device was not carried out. The stored state is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The store failed, or holds something else than it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such room in the store.
    #[error("no such room")]
    NoRoom,
    /// The room is already there.
    #[error("the room exists already")]
    Exists,
    /// An own commit is on its way: settle it first ([`crate::Room::merge_pending`], [`crate::Room::clear_pending`]).
    #[error("an own change of the room is not settled yet")]
    Pending,
    /// There is no own commit on its way, or not this one.
    #[error("no such own change of the room is pending")]
    NoPending,
    /// This device is not a member any more.
    #[error("this device is not in the room any more")]
    NotMember,
    /// A device of this account is in the room, this one perhaps, which left and was not taken out yet: nobody joins from
    /// outside meanwhile.
    #[error("a device of this account is in the room still")]
    Member,
    /// Somebody left and the change is not made yet: commit (an empty [`crate::Plan`] does) before the next message.
    #[error("somebody left the room; that has to be settled before the next message")]
    Leaving,
    /// The others would refuse this.
    #[error("not possible in this room: {0}")]
    Refused(Refusal),
    /// The device lists of these accounts are needed first.
    #[error("device lists are missing")]
    NeedLists(BTreeSet<String>),
    /// MLS refused; the word says where. The state does not allow it, or is damaged.
    #[error("the room's cryptography failed ({0})")]
    Mls(&'static str),
}

impl From<StoreFailure> for RoomError {
    fn from(failure: StoreFailure) -> Self {
        Self::Storage(StorageError::Store(failure))
    }
}

/// Why a commit, proposal, message, welcome or group info is refused. Nothing stored was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an MLS message of the kind that was expected, or too long.
    #[error("malformed")]
    Malformed,
    /// Of another room or another generation of it.
    #[error("it belongs to another room")]
    OtherGroup,
    /// Of another epoch than can be read: `0` is the message's. One that was had already, or what lies between is missing.
    #[error("it belongs to epoch {0}")]
    Epoch(u64),
    /// It does not decrypt, was read before, or does not fit the group: damaged, forged, or made to break the room.
    #[error("it cannot be read")]
    Unreadable,
    /// This device sent it.
    #[error("this device sent it")]
    Own,
    /// The relay tells something else than the commit does.
    #[error("it changes something else than the relay was told")]
    Delta,
    /// A leaf whose key or name is not in its account's device list.
    #[error("{} device {} is not in its account's device list", .0.account, .0.device)]
    Leaf(RoomDevice),
    /// A leaf whose credential names no device, or two leaves of one device.
    #[error("a member's credential is not valid")]
    Credential,
    /// The sender has no right to this.
    #[error("its sender has no right to {0}")]
    NoRight(Act),
    /// Extensions that no room has, or too long ones.
    #[error("its extensions are not allowed")]
    Extension,
    /// The policy breaks a rule.
    #[error("the room's policy is not valid: {0}")]
    Policy(PolicyError),
    /// A proposal of a kind that rooms refuse, by somebody who may not make it, or too many.
    #[error("its proposals are not allowed")]
    Proposals,
    /// A join from outside that is not allowed: the room is private, or the account is a member or banned.
    #[error("joining from outside is not allowed")]
    External,
    /// The room is full.
    #[error("the room is full")]
    Full,
    /// A group that was not configured as rooms are (R30).
    #[error("the group is not configured as a room")]
    Config,
    /// The message names another sender or room than it came from (R14).
    #[error("it does not fit its sender: {0}")]
    Binding(BindingError),
    /// The padding is not canonical.
    #[error("its padding is not canonical")]
    Padding,
    /// Its sender is muted.
    #[error("its sender is muted")]
    Muted,
    /// Its sender is not a member any more.
    #[error("its sender is not in the room")]
    NotMember,
    /// An invitation that was accepted before, or of before this device left.
    #[error("the invitation was used before")]
    Replayed,
    /// An invitation or key package that is not for this device, or whose keys are gone.
    #[error("it is for somebody else")]
    NotForMe,
    /// A key package outside its time.
    #[error("it is out of date")]
    Expired,
}

/// What somebody has no right to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Act {
    Invite,
    Kick,
    Ban,
    Mute,
    Topic,
    Rename,
    Roles,
    InviteRule,
    Timer,
    OwnerKey,
    Face,
    Fixed,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invite => "invite",
            Self::Kick => "remove others",
            Self::Ban => "ban or unban",
            Self::Mute => "mute or unmute",
            Self::Topic => "set the topic",
            Self::Rename => "rename the room",
            Self::Roles => "give roles",
            Self::InviteRule => "say who may invite",
            Self::Timer => "set the timer",
            Self::OwnerKey => "change the owner key",
            Self::Face => "change what the relay shows of the room",
            Self::Fixed => "change what is fixed",
        })
    }
}

impl Refusal {
    /// A number for reports to owners: stable, never used again for something else.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Malformed => 1,
            Self::OtherGroup => 2,
            Self::Epoch(_) => 3,
            Self::Unreadable => 4,
            Self::Own => 5,
            Self::Delta => 6,
            Self::Leaf(_) => 7,
            Self::Credential => 8,
            Self::NoRight(_) => 9,
            Self::Extension => 10,
            Self::Policy(_) => 11,
            Self::Proposals => 12,
            Self::External => 13,
            Self::Full => 14,
            Self::Config => 15,
            Self::Binding(_) => 16,
            Self::Padding => 17,
            Self::Muted => 18,
            Self::NotMember => 19,
            Self::Replayed => 20,
            Self::NotForMe => 21,
            Self::Expired => 22,
        }
    }

    /// Whether a commit that the relay counted as an epoch's, refused for this, leaves the relay an epoch ahead of the
    /// members: an owner has to reboot the room (R31).
    #[must_use]
    pub const fn breaks_room(&self) -> bool {
        !matches!(self, Self::OtherGroup | Self::Epoch(_) | Self::Own)
    }
}
