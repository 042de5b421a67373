//! What a connection or a network that asks too much gets, and what a bug of the relay costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{Client, Fixture, Person, client::code, lifted, limited};
use subrosa_protocol::{DeviceId, ErrorCode, RoomId, Slug, Username, frames::*};
use subrosa_server::{
    Relay,
    limits::Quota,
    store::{sqlite::*, *},
};

#[tokio::test]
async fn r8_too_many_frames_are_answered_and_the_third_breach_closes() {
    let relay = Fixture::with(limited(|limits| {
        limits.frames_per_connection = Quota::new(10, 5, Duration::from_secs(1));
    }))
    .await;
    let person = Person::registered(&relay, "alice").await;
    for authenticated in [false, true] {
        let mut client = Client::connect(&relay).await;
        if authenticated {
            client.authenticate(&person, 1).await;
        }
        let mut refused = 0u32;
        let reason = loop {
            // A flood: more than the rate allows, for as long as it takes.
            let id = client.id();
            client.write(&Request::PrekeyStatus(Empty {}).to_raw(id).unwrap()).await;
            match client.heard().await {
                Some(FromRelay::Response(of, Response::Error(error))) => {
                    assert_eq!(of, id, "no frame goes without an answer");
                    if error.code == ErrorCode::RateLimited {
                        refused += 1;
                        assert!((1..=1000).contains(&error.retry_after_ms.unwrap()), "{error:?}");
                    }
                }
                Some(FromRelay::Push(Push::Closing(closing))) => break closing.reason,
                Some(FromRelay::Response(..)) => {}
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(reason, CloseReason::Abuse);
        assert!(refused > 3, "{refused}");
        assert!(client.frame().await.is_none());
    }
    // Who heeds the answer goes on.
    let mut client = Client::of(&relay, &person, 1).await;
    for _ in 0..30 {
        let id = client.send(Request::PrekeyStatus(Empty {})).await;
        if let Response::Error(error) = client.answer(id).await {
            assert_eq!(error.code, ErrorCode::RateLimited);
            tokio::time::sleep(Duration::from_millis(error.retry_after_ms.unwrap() + 1100)).await;
            break;
        }
    }
    assert!(client.fetch(0).await.envelopes.is_empty());
    common::quiet(&relay);
}

#[tokio::test]
async fn r7_unauthenticated_connections_of_a_network_are_counted() {
    let relay = Fixture::open().await;
    let person = Person::registered(&relay, "alice").await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(Client::connect_from(&relay, 3).await);
    }
    assert!(Client::raw_from(&relay, 3).is_none());
    held[0].authenticate(&person, 1).await;
    let mut again = Client::connect_from(&relay, 3).await;
    assert!(Client::raw_from(&relay, 3).is_none());
    again.shut().await;
    drop(again);
    for _ in 0..100 {
        if Client::raw_from(&relay, 3).is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a connection that ended still counts");
}

#[tokio::test]
async fn r9_a_panic_ends_its_connection_only_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let real = SqliteStore::open(&data.join("rosad.db"), SqliteOptions::default()).unwrap();
    let faulty = Arc::new(Faulty { real, panics: AtomicBool::new(false), broken: AtomicBool::new(false) });
    let config = subrosa_server::Config { data, ..lifted() };
    let relay = Relay::start_with(config, Arc::clone(&faulty) as Arc<dyn Store>).await.unwrap();
    let person = Person::registered(&relay, "alice").await;
    let mut other = Client::of(&relay, &person, 1).await;
    let mut client = Client::of(&relay, &person, 1).await;
    faulty.panics.store(true, Ordering::SeqCst);
    client.send(Request::PrekeyStatus(Empty {})).await;
    assert!(client.frame().await.is_none(), "its connection ends");
    faulty.panics.store(false, Ordering::SeqCst);
    assert!(other.fetch(0).await.envelopes.is_empty(), "the others do not notice");
    let mut new = Client::of(&relay, &person, 1).await;
    assert!(new.fetch(0).await.envelopes.is_empty());
    assert_eq!(common::metric(&relay, "rosad_panics_total"), 1);

    // A store that can keep nothing more stops the relay; nothing is acknowledged.
    faulty.broken.store(true, Ordering::SeqCst);
    assert_eq!(code(new.ask(Request::PrekeyStatus(Empty {})).await), ErrorCode::Internal);
    tokio::time::timeout(Duration::from_secs(5), relay.broken()).await.expect("the relay notices");
    relay.shutdown().await;
}

/// A store with a bug.
struct Faulty {
    real: SqliteStore,
    panics: AtomicBool,
    broken: AtomicBool,
}

/// Methods that do what the real store does.
macro_rules! like_the_real_one {
    ($($method:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*) => {
        $(fn $method(&self, $($name: $kind),*) -> $answer {
            self.real.$method($($name),*)
        })*
    };
}

impl Store for Faulty {
    like_the_real_one! {
        upload_key_packages(refill: KeyPackageRefill) -> Answer<KeyPackagesUploaded>;
        claim_key_packages(claims: KeyPackageClaims) -> Answer<Option<Vec<ClaimedPackage>>>;
        key_package_counts(account: &Username, device: DeviceId, now: Timestamp) -> Answer<Option<KeyPackageCounts>>;
        create_room(room: NewRoom) -> RoomAnswer<()>;
        commit_room_epoch(commit: NewCommit) -> RoomAnswer<Posted>;
        post_room_entry(post: NewPost) -> RoomAnswer<Posted>;
        reboot_room(reboot: NewReboot) -> RoomAnswer<Posted>;
        accept_room(room: RoomId, sender: Sender) -> RoomAnswer<bool>;
        leave_room(leaving: Leaving) -> RoomAnswer<Left>;
        room_cursor(room: RoomId, up_to: u64, sender: Sender) -> RoomAnswer<u64>;
        room_entries(room: RoomId, asker: Asker, after: u64, max: usize, max_bytes: usize) -> RoomAnswer<LogPage>;
        room_object(room: RoomId, asker: Asker, hash: [u8; 32], offset: u32) -> RoomAnswer<ObjectPiece>;
        room_info(room: RoomName, asker: Asker) -> RoomAnswer<RoomInfo>;
        room_roster(room: RoomId, asker: Asker, after: Option<Asker>, max: usize) -> RoomAnswer<RosterPage>;
        room_lists(room: RoomId, asker: Asker, accounts: Vec<KnownList>, max_bytes: usize) -> RoomAnswer<RosterLists>;
        room_joined(room: RoomId) -> Answer<Option<Joined>>;
        public_rooms(prefix: String, after: Option<Slug>, max: usize) -> Answer<Vec<PublicRoom>>;
        device_rooms(asker: Asker, after: Option<RoomId>, max: usize) -> Answer<Vec<RoomHead>>;
        remove_room(room: RoomName) -> Answer<Option<RoomId>>;
        expire_rooms(now: Timestamp) -> Answer<RoomsExpired>;
    }
    fn prekey_counts(&self, account: &Username, device: DeviceId) -> Answer<Option<PrekeyCounts>> {
        assert!(!self.panics.load(Ordering::SeqCst), "a bug, on purpose");
        if self.broken.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::Broken("on purpose".into())) });
        }
        self.real.prekey_counts(account, device)
    }
    fn name_available(&self, account: &Username) -> Answer<bool> {
        self.real.name_available(account)
    }
    fn register(&self, registration: Registration) -> Answer<Registered> {
        self.real.register(registration)
    }
    fn opaque_record(&self, account: &Username) -> Answer<Option<Vec<u8>>> {
        self.real.opaque_record(account)
    }
    fn account(&self, account: &Username) -> Answer<Option<Account>> {
        self.real.account(account)
    }
    fn device_lists(&self, account: &Username, since: u64, max: usize) -> Answer<Option<DeviceListPage>> {
        self.real.device_lists(account, since, max)
    }
    fn device(&self, account: &Username, device: DeviceId) -> Answer<Option<DeviceState>> {
        self.real.device(account, device)
    }
    fn add_device(&self, addition: DeviceAddition) -> Answer<Published> {
        self.real.add_device(addition)
    }
    fn publish_list(&self, account: &Username, list: ListVersion) -> Answer<Published> {
        self.real.publish_list(account, list)
    }
    fn touch_device(&self, account: &Username, device: DeviceId, now: Timestamp) -> Answer<bool> {
        self.real.touch_device(account, device, now)
    }
    fn raise_generation(&self, account: &Username, device: DeviceId, generation: u64) -> Answer<Option<u64>> {
        self.real.raise_generation(account, device, generation)
    }
    fn claim_bundles(&self, claim: Claim) -> Answer<Option<Vec<ClaimedBundle>>> {
        self.real.claim_bundles(claim)
    }
    fn upload_prekeys(&self, refill: PrekeyRefill) -> Answer<Uploaded> {
        self.real.upload_prekeys(refill)
    }
    fn append_envelopes(&self, delivery: Delivery) -> Answer<Appended> {
        self.real.append_envelopes(delivery)
    }
    fn fetch_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        after: u64,
        max: usize,
        max_bytes: usize,
    ) -> Answer<Option<Page>> {
        self.real.fetch_mailbox(account, device, after, max, max_bytes)
    }
    fn ack_mailbox(
        &self,
        account: &Username,
        device: DeviceId,
        up_to: u64,
        generation: u64,
    ) -> Answer<Option<Acknowledged>> {
        self.real.ack_mailbox(account, device, up_to, generation)
    }
    fn create_invite(&self, invite: Invite) -> Answer<bool> {
        self.real.create_invite(invite)
    }
    fn invite_usable(&self, hash: InviteHash, now: Timestamp) -> Answer<bool> {
        self.real.invite_usable(hash, now)
    }
    fn invites(&self, now: Timestamp, max: usize) -> Answer<Vec<Invite>> {
        self.real.invites(now, max)
    }
    fn revoke_invite(&self, hash: InviteHash) -> Answer<bool> {
        self.real.revoke_invite(hash)
    }
    fn expire(&self, now: Timestamp) -> Answer<Expired> {
        self.real.expire(now)
    }
    fn statistics(&self) -> Answer<Statistics> {
        self.real.statistics()
    }
    fn check_integrity(&self) -> Answer<()> {
        self.real.check_integrity()
    }
    fn back_up(&self, to: &std::path::Path) -> Answer<()> {
        self.real.back_up(to)
    }
    fn close(&self) -> Answer<()> {
        self.real.close()
    }
}
