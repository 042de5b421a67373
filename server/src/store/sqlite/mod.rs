//! The embedded store: SQLite in WAL mode with `synchronous=FULL`.
//!
//! One thread owns the connection that writes. What it takes from the queue it makes durable together and only then
//! answers: one sync of the disk makes many messages durable. Envelopes and acknowledgements go into a journal of our own
//! in front of the database, and what is left of them into the tables every few seconds (docs/decisions/0017).
//! Reads run on a few further connections, in blocking threads.
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`] | sizes and intervals |
//! | [`open`] | opening, schema versions, backup before a migration, looking without writing |
//! | [`backup`] | a copy of the whole store while it is in use |
//! | `files` | the files beside the database: their paths, and how they get their names |
//! | `log` | what stands in the log at the start is made sure of |
//! | `journal` | the mailbox journal: its file and its records |
//! | `writer` | the queue of writes |
//! | `job` | one write that waits |
//! | `thread` | the writing thread: group commit, batches, folding |
//! | `mailboxes` | the mailboxes that the writing thread has at hand |
//! | `ids` | which envelope ids a mailbox remembers, in memory |
//! | `young` | what is not folded in yet, for readers |
//! | `readers` | the connections that read |
//! | `body` | how sealed bytes lie in the file so that deleting leaves nothing behind (R44) |
//! | `rows` | between Rust values and columns |
//! | `ops` | the statements and decisions, a file a concern |

pub mod backup;
mod body;
mod files;
mod ids;
mod job;
mod journal;
mod log;
mod mailboxes;
pub mod open;
mod ops;
pub mod options;
mod readers;
mod rows;
mod thread;
mod writer;
mod young;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

use rusqlite::Connection;
use subrosa_protocol::{
    DeviceId, RoomId, Slug, Username,
    frames::{
        KeyPackageCounts, KnownList, ObjectPiece, PrekeyCounts, PublicRoom, RoomHead, RoomInfo, RoomName,
    },
};

pub use journal::beside as journal_beside;
pub use open::{Inspection, OpenError, inspect, inspect_journal};
pub use options::SqliteOptions;

use self::{
    job::Kind,
    ops::{Desk, Txn},
    readers::Readers,
    writer::Writer,
    young::Young,
};
use super::{
    Account, Acknowledged, Answer, Appended, Asker, Claim, ClaimedBundle, ClaimedPackage, CommitBytes,
    Delivery, DeviceAddition, DeviceListPage, DeviceState, Expired, Invite, InviteHash, Joined,
    KeyPackageClaims, KeyPackageRefill, KeyPackagesUploaded, Leaving, Left, ListVersion, LogPage, NewCommit,
    NewPost, NewReboot, NewRoom, Object, Page, Posted, PrekeyRefill, Published, Registered, Registration,
    RoomAnswer, RoomsExpired, RosterLists, RosterPage, Sender, Statistics, Store, StoreError, Timestamp,
    Uploaded,
};

/// The embedded store. Dropping it carries out what was called before and waits for that.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    young: Arc<Young>,
    path: PathBuf,
    options: Arc<SqliteOptions>,
    /// Where the next round of expiry goes on: the last device row that was looked at.
    expiry: Arc<AtomicI64>,
    /// The same for rooms.
    room_expiry: Arc<AtomicI64>,
}

impl SqliteStore {
    /// Opens the database at `path`, or makes one, and brings its schema up to date; a backup is written beside it
    /// before a migration. Blocks; call it before serving. The caller holds the lock on the data directory.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with path, file or schema. A database of a newer schema is not touched (R58).
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let writing = open::open(path, &options)?;
        let readers = Readers::open(path, &options)?;
        let options = Arc::new(options);
        let young = Arc::new(Young::default());
        let writer = Writer::start(path, writing, &options, &young)?;
        Ok(Self {
            writer,
            readers,
            young,
            path: path.to_owned(),
            options,
            expiry: Arc::default(),
            room_expiry: Arc::default(),
        })
    }

    /// A write that changes rows from which mailboxes at hand come.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.writer.submit(Kind::Whole, bytes, work)
    }

    /// A write that has nothing to do with mailboxes.
    fn write_apart<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.writer.submit(Kind::Apart, bytes, work)
    }

    /// A write that is decided on mailboxes at hand and stands in the journal.
    fn write_mailbox<T: Send + 'static>(
        &self,
        kind: Kind,
        bytes: usize,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.writer.decide(kind, bytes, work)
    }

    /// Raises the sender's generation (R23) beside a write that is a transaction, in which the row at hand has no part. Like
    /// that of a send it stands in no journal, and is written when everything young is folded in.
    fn note_generation(&self, sender: &Sender) {
        let sender = sender.clone();
        drop(
            self.write_mailbox(Kind::Acknowledge, 64, move |desk| {
                ops::mailbox::note_generation(desk, &sender)
            }),
        );
    }

    /// A read of the database that needs what was young when it was called; where that cannot be folded in, without it.
    fn read_folded<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (folded, read) = (self.writer.submit(Kind::Folded, 0, |_| Ok(())), self.read(work));
        Box::pin(async {
            match folded.await {
                Err(StoreError::Closed) => Err(StoreError::Closed),
                _ => read.await,
            }
        })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.readers.run(work)
    }
}

impl Store for SqliteStore {
    fn name_available(&self, account: &Username) -> Answer<bool> {
        let account = account.clone();
        self.read(move |conn| Ok(ops::accounts::id(conn, &account)?.is_none()))
    }

    fn register(&self, registration: Registration) -> Answer<Registered> {
        let bytes = ops::prekeys::bytes(&registration.device.prekeys) + 4096;
        self.writer.submit(Kind::Adds, bytes, move |txn| ops::accounts::register(txn, &registration))
    }

    fn opaque_record(&self, account: &Username) -> Answer<Option<Vec<u8>>> {
        let account = account.clone();
        self.read(move |conn| ops::accounts::opaque_record(conn, &account))
    }

    fn account(&self, account: &Username) -> Answer<Option<Account>> {
        let account = account.clone();
        self.read(move |conn| ops::accounts::account(conn, &account))
    }

    fn device_lists(&self, account: &Username, since: u64, max: usize) -> Answer<Option<DeviceListPage>> {
        let account = account.clone();
        self.read(move |conn| ops::devices::lists(conn, &account, since, max))
    }

    fn device(&self, account: &Username, device: DeviceId) -> Answer<Option<DeviceState>> {
        let (account, young) = (account.clone(), Arc::clone(&self.young));
        self.read(move |conn| {
            let part = young.part(&account, device, 0, 0).unwrap_or_default();
            let state = ops::devices::state(conn, &account, device)?;
            Ok(state.map(|state| DeviceState {
                generation: state.generation.max(part.generation),
                next_seq: state.next_seq.max(part.next_seq),
                ..state
            }))
        })
    }

    fn add_device(&self, addition: DeviceAddition) -> Answer<Published> {
        self.write(ops::prekeys::bytes(&addition.device.prekeys) + 4096, move |txn| {
            ops::devices::add(txn, &addition)
        })
    }

    fn publish_list(&self, account: &Username, list: ListVersion) -> Answer<Published> {
        let account = account.clone();
        self.write(4096, move |txn| ops::devices::publish(txn, &account, &list))
    }

    fn touch_device(&self, account: &Username, device: DeviceId, now: Timestamp) -> Answer<bool> {
        let account = account.clone();
        self.write_apart(64, move |txn| ops::devices::touch(txn, &account, device, now))
    }

    fn raise_generation(&self, account: &Username, device: DeviceId, generation: u64) -> Answer<Option<u64>> {
        let account = account.clone();
        self.write_mailbox(Kind::Acknowledge, 64, move |desk| {
            ops::mailbox::raise_generation(desk, &account, device, generation)
        })
    }

    fn claim_bundles(&self, claim: Claim) -> Answer<Option<Vec<ClaimedBundle>>> {
        self.write_apart(256, move |txn| ops::prekeys::claim(txn, &claim))
    }

    fn upload_prekeys(&self, refill: PrekeyRefill) -> Answer<Uploaded> {
        let bytes = refill.one_time.len() * 128 + refill.kem.len() * 1280 + 1536;
        self.write_apart(bytes, move |txn| ops::prekeys::upload(txn, &refill))
    }

    fn prekey_counts(&self, account: &Username, device: DeviceId) -> Answer<Option<PrekeyCounts>> {
        let account = account.clone();
        self.read(move |conn| ops::prekeys::counts_of(conn, &account, device))
    }

    fn append_envelopes(&self, delivery: Delivery) -> Answer<Appended> {
        let bytes = delivery.envelopes.iter().map(|e| e.sealed.len() + 64).sum();
        self.write_mailbox(Kind::Send, bytes, move |desk| ops::mailbox::append(desk, delivery))
    }

    fn fetch_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        after: u64,
        max: usize,
        max_bytes: usize,
    ) -> Answer<Option<Page>> {
        let (account, young) = (account.clone(), Arc::clone(&self.young));
        self.read(move |conn| {
            // Before the database is asked: what is folded in between is found there.
            let young = young.part(&account, device, after, max.saturating_add(1)).unwrap_or_default();
            ops::mailbox::fetch(conn, &account, device, young, (after, max, max_bytes))
        })
    }

    fn ack_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        up_to: u64,
        generation: u64,
    ) -> Answer<Option<Acknowledged>> {
        let account = account.clone();
        self.write_mailbox(Kind::Acknowledge, 64, move |desk| {
            ops::mailbox::acknowledge(desk, &account, device, up_to, generation)
        })
    }

    fn upload_key_packages(&self, refill: KeyPackageRefill) -> Answer<KeyPackagesUploaded> {
        let bytes = refill.packages.iter().chain(&refill.last_resort).map(|one| one.bytes.len() + 64).sum();
        self.write_apart(bytes, move |txn| ops::key_packages::upload(txn, &refill))
    }

    fn claim_key_packages(&self, claims: KeyPackageClaims) -> Answer<Option<Vec<ClaimedPackage>>> {
        self.write_apart(256, move |txn| ops::key_packages::claim(txn, &claims))
    }

    fn key_package_counts(
        &self,
        account: &Username,
        device: DeviceId,
        now: Timestamp,
    ) -> Answer<Option<KeyPackageCounts>> {
        let account = account.clone();
        self.read(move |conn| ops::key_packages::counts_of(conn, &account, device, now))
    }

    fn create_room(&self, room: NewRoom) -> RoomAnswer<()> {
        let (bytes, options) = (size(&room.group_info) + 1024, Arc::clone(&self.options));
        self.note_generation(&room.sender);
        self.write_apart(bytes, move |txn| ops::rooms::create(txn, &room, &options))
    }

    fn commit_room_epoch(&self, commit: NewCommit) -> RoomAnswer<Posted> {
        let body = match &commit.commit {
            CommitBytes::Inline(bytes) => bytes.len(),
            CommitBytes::Object(object) => object.bytes.len(),
        };
        let sealed: usize = commit.invitations.iter().map(|one| one.sealed.len() + 64).sum();
        let bytes = body + sealed + size(&commit.group_info) + size(&commit.welcome) + 1024;
        let options = Arc::clone(&self.options);
        self.note_generation(&commit.sender);
        // With invitations it changes mailboxes.
        let kind = if commit.invitations.is_empty() { Kind::Apart } else { Kind::Whole };
        self.writer.submit(kind, bytes, move |txn| ops::rooms::commit(txn, &commit, &options))
    }

    fn post_room_entry(&self, post: NewPost) -> RoomAnswer<Posted> {
        let (bytes, options) = (post.bytes.len() + 128, Arc::clone(&self.options));
        self.note_generation(&post.sender);
        self.write_apart(bytes, move |txn| ops::rooms::post(txn, &post, &options))
    }

    fn reboot_room(&self, reboot: NewReboot) -> RoomAnswer<Posted> {
        let bytes = size(&reboot.group_info) + size(&reboot.welcome) + 64 * reboot.reboot.roster.len() + 1024;
        let options = Arc::clone(&self.options);
        self.note_generation(&reboot.sender);
        self.write_apart(bytes, move |txn| ops::rooms::reboot(txn, &reboot, &options))
    }

    fn accept_room(&self, room: RoomId, sender: Sender) -> RoomAnswer<bool> {
        let options = Arc::clone(&self.options);
        self.note_generation(&sender);
        self.write_apart(64, move |txn| ops::rooms::accept(txn, room, &sender, &options))
    }

    fn leave_room(&self, leaving: Leaving) -> RoomAnswer<Left> {
        let bytes = leaving.proposal.as_ref().map_or(0, |(_, _, _, bytes)| bytes.len()) + 128;
        let options = Arc::clone(&self.options);
        self.note_generation(&leaving.sender);
        self.write_apart(bytes, move |txn| ops::rooms::leave(txn, &leaving, &options))
    }

    fn room_cursor(&self, room: RoomId, up_to: u64, sender: Sender) -> RoomAnswer<u64> {
        self.note_generation(&sender);
        self.write_apart(64, move |txn| ops::rooms::cursor(txn, room, up_to, &sender))
    }

    fn room_entries(
        &self,
        room: RoomId,
        asker: Asker,
        after: u64,
        max: usize,
        max_bytes: usize,
    ) -> RoomAnswer<LogPage> {
        self.read(move |conn| ops::rooms::entries(conn, room, &asker, after, max, max_bytes))
    }

    fn room_object(
        &self,
        room: RoomId,
        asker: Asker,
        hash: [u8; 32],
        offset: u32,
    ) -> RoomAnswer<ObjectPiece> {
        self.read(move |conn| ops::rooms::piece(conn, room, &asker, &hash, offset))
    }

    fn room_info(&self, room: RoomName, asker: Asker) -> RoomAnswer<RoomInfo> {
        self.read(move |conn| ops::rooms::info(conn, &room, &asker))
    }

    fn room_roster(
        &self,
        room: RoomId,
        asker: Asker,
        after: Option<Asker>,
        max: usize,
    ) -> RoomAnswer<RosterPage> {
        self.read(move |conn| ops::rooms::roster(conn, room, &asker, after.as_ref(), max))
    }

    fn room_lists(
        &self,
        room: RoomId,
        asker: Asker,
        accounts: Vec<KnownList>,
        max_bytes: usize,
    ) -> RoomAnswer<RosterLists> {
        self.read(move |conn| ops::rooms::lists(conn, room, &asker, &accounts, max_bytes))
    }

    fn room_joined(&self, room: RoomId) -> Answer<Option<Joined>> {
        self.read(move |conn| ops::rooms::joined(conn, room))
    }

    fn public_rooms(&self, prefix: String, after: Option<Slug>, max: usize) -> Answer<Vec<PublicRoom>> {
        self.read(move |conn| ops::rooms::directory(conn, &prefix, after.as_ref(), max))
    }

    fn device_rooms(&self, asker: Asker, after: Option<RoomId>, max: usize) -> Answer<Vec<RoomHead>> {
        self.read(move |conn| ops::rooms::of_device(conn, &asker, after, max))
    }

    fn remove_room(&self, room: RoomName) -> Answer<Option<RoomId>> {
        self.write_apart(64, move |txn| ops::rooms::remove(txn, &room))
    }

    fn expire_rooms(&self, now: Timestamp) -> Answer<RoomsExpired> {
        let (options, cursor) = (Arc::clone(&self.options), Arc::clone(&self.room_expiry));
        self.write_apart(64, move |txn| ops::rooms::expire(txn, now, &options, &cursor))
    }

    fn create_invite(&self, invite: Invite) -> Answer<bool> {
        self.write_apart(128, move |txn| ops::invites::create(txn, &invite))
    }

    fn invite_usable(&self, hash: InviteHash, now: Timestamp) -> Answer<bool> {
        self.read(move |conn| ops::invites::usable(conn, &hash, now))
    }

    fn invites(&self, now: Timestamp, max: usize) -> Answer<Vec<Invite>> {
        self.read(move |conn| ops::invites::list(conn, now, max))
    }

    fn revoke_invite(&self, hash: InviteHash) -> Answer<bool> {
        self.write_apart(64, move |txn| ops::invites::revoke(txn, &hash))
    }

    fn expire(&self, now: Timestamp) -> Answer<Expired> {
        let (options, cursor) = (Arc::clone(&self.options), Arc::clone(&self.expiry));
        self.write(64, move |txn| ops::upkeep::expire(txn, now, &options, &cursor))
    }

    fn statistics(&self) -> Answer<Statistics> {
        self.read_folded(ops::upkeep::statistics)
    }

    fn check_integrity(&self) -> Answer<()> {
        self.read_folded(|conn| ops::upkeep::check_integrity(conn).and_then(|()| ops::rooms::check(conn)))
    }

    fn back_up(&self, to: &Path) -> Answer<()> {
        let (from, to) = (self.path.clone(), to.to_owned());
        let folded = self.writer.submit(Kind::Folded, 0, |_| Ok(()));
        Box::pin(async move {
            folded.await?;
            tokio::task::spawn_blocking(move || backup::copy(&from, &to))
                .await
                .unwrap_or_else(|failed| Err(StoreError::Failed(failed.to_string())))
        })
    }

    fn close(&self) -> Answer<()> {
        self.readers.close();
        self.writer.close()
    }
}

/// Bytes of an object that may be there.
fn size(object: &Option<Object>) -> usize {
    object.as_ref().map_or(0, |object| object.bytes.len())
}
