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
//! | [`invites`] | who may register |
//! | [`upkeep`] | expiry, statistics, integrity |
//! | [`error`] | how a store fails |
//! | [`sqlite`] | the embedded store |
//! | `conformance` | the tests that every store must pass |

pub mod accounts;
pub mod error;
pub mod invites;
pub mod mailbox;
pub mod prekeys;
pub mod sqlite;
pub mod upkeep;

#[cfg(test)]
mod conformance;

use std::{path::Path, pin::Pin};

use subrosa_protocol::{DeviceId, Username};

pub use accounts::{
    Account, DeviceAddition, DeviceListPage, DeviceState, ListVersion, NewDevice, Published, Registered,
    Registration,
};
pub use error::StoreError;
pub use invites::{Invite, InviteHash};
pub use mailbox::{Acknowledged, Appended, Delivery, Page, Sender};
pub use prekeys::{Claim, ClaimedBundle, NewPrekey, NewPrekeys, PrekeyRefill, Uploaded};
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
