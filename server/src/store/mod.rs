//! What the relay keeps, behind one trait whose grain is the domain.
//!
//! [`Store`] does not check signatures, names' owners or rates: callers have done that. It does keep the promises that
//! only a transaction can keep: an answer to a write leaves after the write is durable (R56), a name is given once, an
//! invite is used as often as it says, a one-time prekey is handed out once, an envelope is accepted once however often
//! it is sent, and a mailbox has no gaps.
//!
//! Never stored: who sent an envelope, client addresses, plaintext, passphrases.
//!
//! | module | what it holds |
//! |---|---|
//! | [`accounts`] | registration, accounts, devices and their signed lists |
//! | [`prekeys`] | prekeys in, bundles out |
//! | [`mailbox`] | envelopes: append, fetch, acknowledge |
//! | [`key_packages`] | KeyPackages in and out |
//! | [`rooms`] | room logs, rosters and objects |
//! | [`invites`] | who may register |
//! | [`upkeep`] | expiry, statistics, integrity |
//! | [`error`] | how a store fails |
//! | [`sqlite`] | the embedded store |
//! | `conformance` | the tests that every store must pass |

pub mod accounts;
pub mod error;
pub mod invites;
pub mod key_packages;
pub mod mailbox;
pub mod prekeys;
pub mod rooms;
pub mod sqlite;
pub mod upkeep;

#[cfg(test)]
mod conformance;

use std::{path::Path, pin::Pin};

use subrosa_protocol::{
    DeviceId, RoomId, Slug, Username,
    frames::{KeyPackageCounts, KnownList, ObjectPiece, PublicRoom, RoomHead, RoomInfo, RoomName},
};

pub use accounts::{
    Account, DeviceAddition, DeviceListPage, DeviceState, ListVersion, NewDevice, Published, Registered,
    Registration,
};
pub use error::StoreError;
pub use invites::{Invite, InviteHash};
pub use key_packages::{ClaimedPackage, KeyPackageClaims, KeyPackageRefill, KeyPackagesUploaded};
pub use mailbox::{Acknowledged, Appended, Delivery, Page, Sender};
pub use prekeys::{Claim, ClaimedBundle, NewPrekey, NewPrekeys, PrekeyRefill, Uploaded};
pub use rooms::{
    Accepted, Asker, CommitBytes, Joined, Leaving, Left, LogPage, NewCommit, NewPost, NewReboot, NewRoom,
    Object, Posted, RoomAnswer, RoomRefusal, RoomsExpired, RosterLists, RosterPage,
};
pub use sqlite::SqliteStore;
pub use upkeep::{Expired, Statistics};

/// Milliseconds since 1970 on the relay's clock. The caller's: a store has no clock.
pub type Timestamp = u64;

/// What every operation returns. It borrows nothing, so it may be spawned.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'static>>;

/// The relay's durable state.
///
/// **Order.** A write takes its place when the method is *called*, not when the answer is first polled: two calls one
/// after the other, from one task, are carried out in that order, also when their answers are awaited together. This is
/// how a connection pipelines sends without reordering them. A dropped answer does not undo or stop its write.
///
/// **Durability.** The answer to a write comes after the transaction that holds it was committed and synced. When that
/// fails, every write of the transaction is answered with an error and none has happened.
///
/// **Bounds.** Writes that wait are bounded; beyond the bound a write is answered with [`StoreError::Overloaded`] at once.
pub trait Store: Send + Sync + 'static {
    // --- accounts -----------------------------------------------------------------------------------------------

    /// Whether the name was never given. An early refusal only: [`Store::register`] decides.
    fn name_available(&self, account: &Username) -> Answer<bool>;

    /// Stores account, device, prekeys and OPAQUE record and uses the invite once, all or nothing.
    fn register(&self, registration: Registration) -> Answer<Registered>;

    /// The OPAQUE record of an account; `None` when there is no such account (then take the dummy path, R40).
    fn opaque_record(&self, account: &Username) -> Answer<Option<Vec<u8>>>;

    /// An account and its current device list.
    fn account(&self, account: &Username) -> Answer<Option<Account>>;

    // --- devices ------------------------------------------------------------------------------------------------

    /// Signed lists with a version greater than `since`, ascending, at most `max`. `None`: no such account.
    fn device_lists(&self, account: &Username, since: u64, max: usize) -> Answer<Option<DeviceListPage>>;

    /// A device of the account's current list. A removed device is `None`, like one that never was.
    fn device(&self, account: &Username, device: DeviceId) -> Answer<Option<DeviceState>>;

    /// Publishes the list that names one device more, and gives that device its prekeys and an empty mailbox.
    fn add_device(&self, addition: DeviceAddition) -> Answer<Published>;

    /// Publishes the next list. Devices that are no longer in it lose prekeys and mailbox in the same transaction.
    fn publish_list(&self, account: &Username, list: ListVersion) -> Answer<Published>;

    /// Notes that a device was in use, to the day (no finer trace is kept). For authentication, and for the renewal of
    /// a device unused for too long. `false`: no such device.
    fn touch_device(&self, account: &Username, device: DeviceId, now: Timestamp) -> Answer<bool>;

    /// Remembers the highest state generation a device reported (R23); answers the highest. `None`: no such device.
    fn raise_generation(&self, account: &Username, device: DeviceId, generation: u64) -> Answer<Option<u64>>;

    // --- prekeys ------------------------------------------------------------------------------------------------

    /// One bundle for each of the asked devices that exist. `None`: no such account. See [`Claim`].
    fn claim_bundles(&self, claim: Claim) -> Answer<Option<Vec<ClaimedBundle>>>;

    /// Adds prekeys. Repeating an upload changes nothing. See [`PrekeyRefill`].
    fn upload_prekeys(&self, refill: PrekeyRefill) -> Answer<Uploaded>;

    /// One-time prekeys left. `None`: no such device.
    fn prekey_counts(
        &self,
        account: &Username,
        device: DeviceId,
    ) -> Answer<Option<subrosa_protocol::frames::PrekeyCounts>>;

    // --- mailboxes ----------------------------------------------------------------------------------------------

    /// Puts envelopes into a device's mailbox, all or none. See [`Delivery`].
    fn append_envelopes(&self, delivery: Delivery) -> Answer<Appended>;

    /// Envelopes with a `seq` greater than `after`, ascending: at most `max` of them, and while the sealed bytes together
    /// are at most `max_bytes`; the first one always. `None`: no such device.
    fn fetch_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        after: u64,
        max: usize,
        max_bytes: usize,
    ) -> Answer<Option<Page>>;

    /// Deletes envelopes up to and including `up_to` for good (R44) and raises the device's generation. `None`: no such
    /// device.
    fn ack_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        up_to: u64,
        generation: u64,
    ) -> Answer<Option<Acknowledged>>;

    // --- KeyPackages --------------------------------------------------------------------------------------------

    /// Adds KeyPackages. Repeating an upload changes nothing.
    fn upload_key_packages(&self, refill: KeyPackageRefill) -> Answer<KeyPackagesUploaded>;

    /// One KeyPackage for each of the asked devices that exist and have one. `None`: no such account.
    fn claim_key_packages(&self, claims: KeyPackageClaims) -> Answer<Option<Vec<ClaimedPackage>>>;

    /// KeyPackages left. `None`: no such device.
    fn key_package_counts(
        &self,
        account: &Username,
        device: DeviceId,
        now: Timestamp,
    ) -> Answer<Option<KeyPackageCounts>>;

    // --- rooms --------------------------------------------------------------------------------------------------

    /// Makes a room with one device in it. The same again by the same device is done again without effect.
    fn create_room(&self, room: NewRoom) -> RoomAnswer<()>;

    /// Puts a commit into a room's log if it was made in the room's epoch, and everything that belongs to it with it:
    /// roster, bans, listing, owner key, `GroupInfo`, Welcome, invitations into mailboxes (R31).
    fn commit_room_epoch(&self, commit: NewCommit) -> RoomAnswer<Posted>;

    /// Puts a message or a proposal into a room's log.
    fn post_room_entry(&self, post: NewPost) -> RoomAnswer<Posted>;

    /// Begins a new generation of a room (R31).
    fn reboot_room(&self, reboot: NewReboot) -> RoomAnswer<Posted>;

    /// An invited device has joined. `true`: it had not before.
    fn accept_room(&self, room: RoomId, sender: Sender) -> RoomAnswer<bool>;

    /// Takes devices out of a roster. When nobody is left, the room goes.
    fn leave_room(&self, leaving: Leaving) -> RoomAnswer<Left>;

    /// Notes what a device has stored; deletes what all have. Answers how many entries were deleted.
    fn room_cursor(&self, room: RoomId, up_to: u64, sender: Sender) -> RoomAnswer<u64>;

    /// Entries with a `seq` greater than `after` that the asker may read, ascending: at most `max`, and while their bodies
    /// together are at most `max_bytes`; the first one always.
    fn room_entries(
        &self,
        room: RoomId,
        asker: Asker,
        after: u64,
        max: usize,
        max_bytes: usize,
    ) -> RoomAnswer<LogPage>;

    /// A piece of an object.
    fn room_object(&self, room: RoomId, asker: Asker, hash: [u8; 32], offset: u32)
    -> RoomAnswer<ObjectPiece>;

    /// What a room is to the asker.
    fn room_info(&self, room: RoomName, asker: Asker) -> RoomAnswer<RoomInfo>;

    /// A part of a roster, for those in it, and for visitors of a public room.
    fn room_roster(
        &self,
        room: RoomId,
        asker: Asker,
        after: Option<Asker>,
        max: usize,
    ) -> RoomAnswer<RosterPage>;

    /// Device lists of accounts in a roster, in the order asked for, while they are at most `max_bytes`.
    fn room_lists(
        &self,
        room: RoomId,
        asker: Asker,
        accounts: Vec<KnownList>,
        max_bytes: usize,
    ) -> RoomAnswer<RosterLists>;

    /// Who has joined a room. `None`: no such room.
    fn room_joined(&self, room: RoomId) -> Answer<Option<Joined>>;

    /// Public rooms whose slug begins with `prefix` and comes after `after`, ascending, at most `max`, and one more to show
    /// that there are more.
    fn public_rooms(&self, prefix: String, after: Option<Slug>, max: usize) -> Answer<Vec<PublicRoom>>;

    /// The rooms of a device with an id after `after`, ascending, at most `max`.
    fn device_rooms(&self, asker: Asker, after: Option<RoomId>, max: usize) -> Answer<Vec<RoomHead>>;

    /// Removes a room, for the operator; answers its id. `None`: there is none.
    fn remove_room(&self, room: RoomName) -> Answer<Option<RoomId>>;

    /// Deletes what is too old in rooms, or what all have. Does a bounded amount of work; call again while
    /// [`RoomsExpired::more`] is set.
    fn expire_rooms(&self, now: Timestamp) -> Answer<RoomsExpired>;

    // --- invites ------------------------------------------------------------------------------------------------

    /// Stores an invite. `false`: there is one with this hash; it is unchanged.
    fn create_invite(&self, invite: Invite) -> Answer<bool>;

    /// Whether a registration with this invite could succeed now. An early refusal only: [`Store::register`] decides.
    fn invite_usable(&self, hash: InviteHash, now: Timestamp) -> Answer<bool>;

    /// Invites that have uses left and have not expired, oldest first, at most `max`.
    fn invites(&self, now: Timestamp, max: usize) -> Answer<Vec<Invite>>;

    /// Removes an invite. `false`: there was none.
    fn revoke_invite(&self, hash: InviteHash) -> Answer<bool>;

    // --- upkeep -------------------------------------------------------------------------------------------------

    /// Deletes what is too old: undelivered envelopes (30 days), invites, remembered envelope ids (60 days). Does a
    /// bounded amount of work; call again while [`Expired::more`] is set.
    fn expire(&self, now: Timestamp) -> Answer<Expired>;

    /// Counts, for metrics and `rosad check`.
    fn statistics(&self) -> Answer<Statistics>;

    /// Looks through everything stored. Takes seconds on a large store; `Err(StoreError::Corrupt)` says what is wrong.
    fn check_integrity(&self) -> Answer<()>;

    /// Writes a copy of everything that was durable when it was called to a new file, private to its owner; there must be
    /// none yet. Reads and writes go on meanwhile.
    fn back_up(&self, to: &Path) -> Answer<()>;

    /// Carries out what was called before, makes deleted bytes unrecoverable and ends. Later calls are answered with
    /// [`StoreError::Closed`].
    fn close(&self) -> Answer<()>;
}
