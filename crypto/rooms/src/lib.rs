//! Rooms: MLS groups (RFC 9420, through OpenMLS) under rules of ours. A room is one group, a device one leaf; what a
//! commit may do is said by the policy in the group context and by the accounts' signed device lists, never by the relay.
//!
//! [`Room`] is what a client has of a room. Each operation takes the store ([`RoomStore`]) of the caller's transaction and
//! changes it wholly or not at all; nothing here knows of a network, and the clock and the randomness are the caller's.
//!
//! | to do this | call |
//! |---|---|
//! | make a room | [`Room::create`] |
//! | change it, members, policy, own keys | [`Plan`], [`Room::commit`]; then [`Room::merge_pending`] or [`Room::clear_pending`] |
//! | follow others | [`Room::receive_commit`], [`Room::receive_leave`] |
//! | get in | [`Room::join`], [`Room::join_external`]; [`key_packages`] beforehand |
//! | get out | [`Room::leave`], [`Room::forget`] |
//! | talk | [`Room::seal`], [`Room::open`] |
//! | see whether all are in one room (R29) | [`Room::head`], [`Room::compare`] |
//! | mend what an insider broke (R31) | [`Room::reboot`], [`Room::follow_reboot`], [`OwnerKey`] |
//!
//! | module | what it does |
//! |---|---|
//! | `config`, [`limits`] | how groups are configured (R30), every bound |
//! | `credential` | who a leaf is, and who says so (R33) |
//! | [`policy`], `rules`, `deed` | what may be done, the check of a staged commit, reading what it does |
//! | `group`, `record` | the room and its notes; when the own leaf is renewed (R34) |
//! | `commit`, `receive`, `join`, `reboot`, `message` | the operations |
//! | [`key_packages`] | what others add this device with (R35) |
//! | [`store`], `storage`, `pieces` | where state lies, and how |
//! | `provider` | what OpenMLS is given |
//!
//! The cipher suites, the primitives and the room's own key are in [`subrosa_crypto::mls`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod commit;
mod config;
mod credential;
mod deed;
mod error;
mod group;
mod join;
pub mod key_packages;
#[cfg(feature = "ledger")]
mod liar;
pub mod limits;
mod message;
mod pieces;
pub mod policy;
mod provider;
mod reboot;
mod receive;
mod record;
mod rules;
mod storage;
pub mod store;
#[cfg(test)]
mod tests;

pub use commit::{Merged, OwnCommit, Plan};
pub use credential::{Directory, Listed, Me};
pub use error::{Act, Refusal, RoomError};
pub use group::{Head, HeadMatch, Room};
pub use join::Joined;
pub use key_packages::Invitee;
pub use message::{Opened, Place, Sealed, Slot};
pub use policy::{InviteRule, Policy, Role, Visibility};
pub use reboot::OwnReboot;
pub use receive::Verdict;
pub use record::{Pending, PendingKind, UpdateReason, update_due};
pub use rules::Change;
pub use storage::StorageError;
pub use store::{RoomStore, StoreFailure};
pub use subrosa_crypto::mls::{OwnerKey, Suite};
pub use subrosa_verify::room::{Delta, Face, NewOwnerKey, Reboot, RoomDevice};
