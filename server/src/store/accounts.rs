//! Accounts, devices and their signed lists.

use subrosa_protocol::{
    BoundedStr, DeviceId, Username,
    frames::{PrekeyCounts, SignedList},
    limits::DISPLAY_NAME_BYTES,
};

use super::{InviteHash, NewPrekeys, Timestamp};

/// Everything a registration stores. The caller has verified list, prekeys and proof.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The wanted name.
    pub account: Username,
    /// The name people see.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
    /// The account key (Ed25519) of the list.
    pub account_key: [u8; 32],
    /// OPAQUE registration record.
    pub opaque_record: Vec<u8>,
    /// Version 1 of the device list, with the one device.
    pub list: ListVersion,
    /// The device.
    pub device: NewDevice,
    /// The invite to use up, where one is needed.
    pub invite: Option<InviteHash>,
    /// The relay's clock.
    pub now: Timestamp,
}

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// All of it is durable.
    Done,
    /// The name belongs, or belonged, to an account. The invite was not used.
    NameTaken,
    /// The invite is unknown, used up or expired.
    InviteInvalid,
}

/// A signed device list and what the store needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersion {
    /// The list's version, from 1.
    pub version: u64,
    /// The devices in it.
    pub devices: Vec<DeviceId>,
    /// The list as it was signed.
    pub signed: SignedList,
}

/// A device that joins its account.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// Its number; one that the account never had.
    pub device: DeviceId,
    /// The Ed25519 key it authenticates with.
    pub signing_key: [u8; 32],
    /// Its prekeys.
    pub prekeys: NewPrekeys,
}

/// A new device and the list that names it.
#[derive(Debug, Clone)]
pub struct DeviceAddition {
    /// The account.
    pub account: Username,
    /// The successor of the current list: the same devices and the new one. Devices it leaves out are removed.
    pub list: ListVersion,
    /// The device.
    pub device: NewDevice,
    /// The relay's clock.
    pub now: Timestamp,
}

/// What came of publishing a device list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// The list is the account's current one.
    Done {
        /// Devices of the list before that are not in this one; their prekeys and mailboxes are gone.
        removed: Vec<DeviceId>,
    },
    /// The list's version is not the current one's successor, or the new device's number was used before.
    Conflict,
    /// No such account.
    NotFound,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name people see.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
    /// The account key (Ed25519).
    pub account_key: [u8; 32],
    /// Registered with an operator's invite ([`super::Invite::admin`]).
    pub admin: bool,
    /// The current device list.
    pub list: ListVersion,
}

/// Some of an account's device lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceListPage {
    /// Ascending by version, without gaps.
    pub lists: Vec<SignedList>,
    /// Whether still newer ones exist.
    pub more: bool,
    /// The account's display name.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
}

/// A device as the relay knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// The Ed25519 key it authenticates with.
    pub signing_key: [u8; 32],
    /// The highest state generation it reported (R23).
    pub generation: u64,
    /// The day it was last in use: midnight (UTC), milliseconds since 1970.
    pub last_seen: Timestamp,
    /// The `seq` that the next envelope in its mailbox will get.
    pub next_seq: u64,
    /// The version of the account's current device list.
    pub list_version: u64,
    /// One-time prekeys left.
    pub prekeys: PrekeyCounts,
}
