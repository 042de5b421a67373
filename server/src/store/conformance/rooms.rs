//! Rooms: one commit an epoch, logs without gaps, rosters, objects, retention.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_bytes::ByteArray;
use subrosa_protocol::{BoundedBytes, BoundedStr, BoundedVec, EntryId, EnvelopeId, RoomId, Slug, frames::*};

use crate::store::{conformance::*, *};

pub(in crate::store) fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 16])
}

pub(in crate::store) fn entry_id(number: u128) -> EntryId {
    EntryId::from_bytes(number.to_le_bytes())
}

pub(in crate::store) fn sender(account: &str) -> Sender {
    Sender { account: name(account), device: device(1), generation: 0 }
}

pub(in crate::store) fn asker(account: &str) -> Asker {
    Asker { account: name(account), device: device(1) }
}

pub(in crate::store) fn member(account: &str) -> RoomDevice {
    RoomDevice { account: name(account), device: device(1) }
}

pub(in crate::store) fn object(byte: u8, size: usize) -> Object {
    Object { hash: [byte; 32], bytes: Bytes::from(vec![byte; size]) }
}

pub(in crate::store) fn listing(slug: &str) -> Listing {
    Listing {
        slug: Slug::new(slug).unwrap(),
        name: BoundedStr::new(format!("The {slug}")).unwrap(),
        description: BoundedStr::default(),
    }
}

pub(in crate::store) fn private(number: u8, by: &str) -> NewRoom {
    NewRoom { room: room(number), owner_key: [1; 32], listing: None, group_info: None, sender: sender(by) }
}

fn public(number: u8, slug: &str, by: &str) -> NewRoom {
    NewRoom { listing: Some(listing(slug)), group_info: Some(object(40, 70_000)), ..private(number, by) }
}

fn devices(accounts: &[&str]) -> BoundedVec<RoomDevice, 100> {
    BoundedVec::new(accounts.iter().map(|account| member(account)).collect()).unwrap()
}

/// A commit that adds some and removes some.
pub(in crate::store) fn commit(
    number: u8,
    by: &str,
    id: u128,
    epoch: u64,
    add: &[&str],
    remove: &[&str],
) -> NewCommit {
    let invitations = add.iter().enumerate().map(|(at, account)| Invitation {
        account: name(account),
        device: device(1),
        id: EnvelopeId::from_bytes((id * 1000 + at as u128).to_le_bytes()),
        sealed: BoundedBytes::new(vec![7; 100]).unwrap(),
    });
    NewCommit {
        room: room(number),
        id: entry_id(id),
        generation: 0,
        epoch,
        after: u64::MAX,
        commit: CommitBytes::Inline(Bytes::from(format!("commit {id}"))),
        delta: RoomDelta { added: devices(add), removed: devices(remove), ..RoomDelta::default() },
        owner_key: None,
        group_info: None,
        welcome: (!add.is_empty()).then(|| object(50 + (id % 50) as u8, 100)),
        invitations: invitations.collect(),
        sender: sender(by),
        now: NOW,
    }
}

pub(in crate::store) fn post(number: u8, by: &str, id: u128, epoch: u64) -> NewPost {
    NewPost {
        room: room(number),
        id: entry_id(id),
        generation: 0,
        epoch,
        bytes: Bytes::from(format!("message {id}")),
        sender: sender(by),
        now: NOW,
    }
}

fn seq(posted: Result<Posted, RoomRefusal>) -> u64 {
    match posted {
        Ok(Posted::Accepted(accepted)) => accepted.seq,
        other => panic!("{other:?}"),
    }
}

async fn page(store: &AnyStore, number: u8, by: &str, after: u64) -> Result<LogPage, RoomRefusal> {
    store.room_entries(room(number), asker(by), after, 100, 1 << 20).await.unwrap()
}

async fn seqs(store: &AnyStore, number: u8, by: &str, after: u64) -> Vec<u64> {
    page(store, number, by, after).await.unwrap().entries.iter().map(|entry| entry.seq).collect()
}

async fn accept(store: &AnyStore, number: u8, who: &str) {
    assert_eq!(store.accept_room(room(number), sender(who)).await.unwrap(), Ok(true));
}

/// A private room of alice with bob and carol, joined; epoch 1, seq 1.
async fn three(store: &AnyStore) {
    for account in ["alice", "bob", "carol", "dave"] {
        join(store, account).await;
    }
    assert_eq!(store.create_room(private(1, "alice")).await.unwrap(), Ok(()));
    let commit = commit(1, "alice", 1, 0, &["bob", "carol"], &[]);
    assert_eq!(seq(store.commit_room_epoch(commit).await.unwrap()), 1);
    accept(store, 1, "bob").await;
    accept(store, 1, "carol").await;
}

pub(in crate::store) async fn a_room_is_made_once_and_its_slug_is_its_own(store: AnyStore) {
    join(&store, "alice").await;
    join(&store, "bob").await;
    let made = public(1, "lobby", "alice");
    assert_eq!(store.create_room(made.clone()).await.unwrap(), Ok(()));
    assert_eq!(store.create_room(made.clone()).await.unwrap(), Ok(()), "the same again");
    let other = NewRoom { sender: sender("bob"), ..made };
    assert_eq!(store.create_room(other).await.unwrap(), Err(RoomRefusal::Exists));
    for slug in ["lobby", "l0bby", "lob-by"] {
        assert_eq!(
            store.create_room(public(2, slug, "bob")).await.unwrap(),
            Err(RoomRefusal::SlugTaken),
            "{slug}"
        );
    }
    assert_eq!(store.create_room(public(2, "lobby-2", "bob")).await.unwrap(), Ok(()));
    assert_eq!(store.create_room(private(3, "bob")).await.unwrap(), Ok(()));
    let found = |prefix: &str, after: Option<&str>| {
        store.public_rooms(prefix.to_owned(), after.map(|after| Slug::new(after).unwrap()), 10)
    };
    let slugs = |rooms: Vec<PublicRoom>| -> Vec<String> {
        rooms.iter().map(|one| one.listing.slug.to_string()).collect()
    };
    assert_eq!(slugs(found("", None).await.unwrap()), ["lobby", "lobby-2"]);
    assert_eq!(slugs(found("lobby-", None).await.unwrap()), ["lobby-2"]);
    assert_eq!(slugs(found("lob", Some("lobby")).await.unwrap()), ["lobby-2"]);
    assert!(found("x", None).await.unwrap().is_empty());
    let info =
        store.room_info(RoomName::Slug(Slug::new("lobby").unwrap()), asker("bob")).await.unwrap().unwrap();
    assert_eq!((info.room, info.standing, info.accounts), (room(1), Standing::Stranger, 1));
    // A private room that somebody is not in is like one that is not there.
    for number in [3, 9] {
        let info = store.room_info(RoomName::Id(room(number)), asker("alice")).await.unwrap();
        assert_eq!(info, Err(RoomRefusal::Unknown));
    }
}

pub(in crate::store) async fn r31_one_commit_an_epoch_and_the_losers_leave_nothing(store: AnyStore) {
    three(&store).await;
    let answers: Vec<_> = (0..20)
        .map(|n| {
            store.commit_room_epoch(commit(
                1,
                ["alice", "bob", "carol"][n % 3],
                100 + n as u128,
                1,
                &["dave"],
                &[],
            ))
        })
        .collect();
    let mut won = 0;
    for answer in answers {
        match answer.await.unwrap().unwrap() {
            Posted::Accepted(accepted) => {
                won += 1;
                assert_eq!((accepted.seq, accepted.envelopes.len()), (2, 1));
            }
            Posted::Passed { generation, epoch } => assert_eq!((generation, epoch), (0, 2)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 1);
    // One invitation, of the winner; one Welcome.
    assert_eq!(mailbox(&store, "dave").await.len(), 1);
    assert_eq!(seqs(&store, 1, "bob", 0).await, [2]);
    let roster = store.room_roster(room(1), asker("alice"), None, 10).await.unwrap().unwrap();
    let roster: Vec<_> =
        roster.devices.iter().map(|one| (one.device.account.to_string(), one.joined)).collect();
    assert_eq!(
        roster,
        [("alice", true), ("bob", true), ("carol", true), ("dave", false)].map(|(a, j)| (a.to_owned(), j))
    );
}

pub(in crate::store) async fn r56_an_entry_is_accepted_once_and_answered_as_the_first_time(store: AnyStore) {
    three(&store).await;
    assert_eq!(seq(store.post_room_entry(post(1, "bob", 7, 1)).await.unwrap()), 2);
    let mut late = post(1, "bob", 7, 1);
    late.now = NOW + DAY;
    let again = store.post_room_entry(late).await.unwrap().unwrap();
    let Posted::Accepted(again) = again else { panic!() };
    assert_eq!((again.seq, again.accepted_at, again.fresh), (2, NOW, None));
    // A commit that won and was not heard of: the same answer, although the epoch has passed.
    let won = commit(1, "alice", 8, 1, &["dave"], &[]);
    assert_eq!(seq(store.commit_room_epoch(won.clone()).await.unwrap()), 3);
    let Ok(Posted::Accepted(again)) = store.commit_room_epoch(won).await.unwrap() else { panic!() };
    assert_eq!((again.seq, again.fresh, again.envelopes.len()), (3, None, 0));
    assert_eq!(mailbox(&store, "dave").await.len(), 1);
    assert_eq!(seqs(&store, 1, "bob", 0).await, [2, 3]);
}

pub(in crate::store) async fn epochs_a_little_old_are_taken_and_others_refused(store: AnyStore) {
    three(&store).await;
    for epoch in 1..6 {
        seq(store
            .commit_room_epoch(commit(1, "alice", u128::from(epoch) + 10, epoch, &[], &[]))
            .await
            .unwrap());
    }
    let answer = |epoch: u64| store.post_room_entry(post(1, "bob", 100 + (u128::from(epoch)), epoch));
    for epoch in [3, 4, 5, 6] {
        assert!(matches!(answer(epoch).await.unwrap(), Ok(Posted::Accepted(_))), "{epoch}");
    }
    for epoch in [0, 2, 7, u64::MAX] {
        let passed = Posted::Passed { generation: 0, epoch: 6 };
        assert_eq!(answer(epoch).await.unwrap(), Ok(passed), "{epoch}");
    }
    // The one before may be on its way still; not for long.
    let later = |ms: u64, id| NewPost { now: NOW + ms, ..post(1, "bob", id, 5) };
    assert!(matches!(store.post_room_entry(later(3_600_000, 302)).await.unwrap(), Ok(Posted::Accepted(_))));
    let late = store.post_room_entry(later(3_600_001, 303)).await.unwrap();
    assert_eq!(late, Ok(Posted::Passed { generation: 0, epoch: 6 }));
    let other = NewPost { generation: 1, ..post(1, "bob", 301, 6) };
    assert!(matches!(store.post_room_entry(other).await.unwrap(), Ok(Posted::Passed { .. })));
}

pub(in crate::store) async fn a_commit_covers_the_leaves_of_its_epoch(store: AnyStore) {
    three(&store).await;
    let leave = Leaving {
        room: room(1),
        account: true,
        proposal: Some((entry_id(2), 0, 1, Bytes::from_static(b"bye"))),
        sender: sender("bob"),
        now: NOW,
    };
    let Ok(Left::Done { entry, .. }) = store.leave_room(leave).await.unwrap() else { panic!() };
    let left = entry.unwrap().seq;
    let knowing = |id, epoch, after| NewCommit { after, ..commit(1, "alice", id, epoch, &[], &[]) };
    let early = store.commit_room_epoch(knowing(3, 1, left - 1)).await.unwrap();
    assert_eq!(early, Ok(Posted::Passed { generation: 0, epoch: 1 }), "it would void the leave");
    seq(store.commit_room_epoch(knowing(4, 1, left)).await.unwrap());
    // What was settled is nothing to the next epoch.
    seq(store.commit_room_epoch(knowing(5, 2, 0)).await.unwrap());
}

pub(in crate::store) async fn added_read_nothing_before_and_removed_nothing_after(store: AnyStore) {
    three(&store).await;
    seq(store.post_room_entry(post(1, "bob", 2, 1)).await.unwrap());
    seq(store.commit_room_epoch(commit(1, "alice", 3, 1, &["dave"], &["carol"])).await.unwrap());
    seq(store.post_room_entry(post(1, "bob", 4, 2)).await.unwrap());
    assert_eq!(seqs(&store, 1, "carol", 0).await, [2, 3]);
    assert_eq!(page(&store, 1, "carol", 0).await.unwrap().head, 3);
    assert_eq!(seqs(&store, 1, "dave", 0).await, [4], "invited, and reading");
    // Who was removed writes nothing; who is invited not yet.
    for who in ["carol", "dave"] {
        let answer = store.post_room_entry(post(1, who, 5, 2)).await.unwrap();
        assert_eq!(answer, Err(RoomRefusal::NotAMember), "{who}");
    }
    accept(&store, 1, "dave").await;
    seq(store.post_room_entry(post(1, "dave", 5, 2)).await.unwrap());
    let heads = |who: &str| store.device_rooms(asker(who), None, 10);
    assert_eq!(heads("carol").await.unwrap()[0].standing, Standing::Removed);
    assert_eq!(heads("dave").await.unwrap()[0].head, 5);
    // The Welcome is for the added, the rest of nobody's business.
    let piece = |who: &str| store.room_object(room(1), asker(who), [53; 32], 0);
    assert_eq!(piece("dave").await.unwrap().unwrap().piece.len(), 100);
    for who in ["alice", "bob", "carol"] {
        assert_eq!(piece(who).await.unwrap(), Err(RoomRefusal::NoObject), "{who}");
    }
    join(&store, "stranger").await;
    assert_eq!(piece("stranger").await.unwrap(), Err(RoomRefusal::Unknown));
    assert_eq!(page(&store, 1, "stranger", 0).await, Err(RoomRefusal::Unknown));
}

pub(in crate::store) async fn r30_an_external_commit_adds_itself_to_a_public_room(store: AnyStore) {
    for account in ["alice", "bob", "carol", "mallory"] {
        join(&store, account).await;
    }
    store.create_room(public(1, "lobby", "alice")).await.unwrap().unwrap();
    store.create_room(private(2, "alice")).await.unwrap().unwrap();
    let external = |number: u8, who: &str, epoch: u64| NewCommit {
        group_info: Some(object(41, 100)),
        welcome: None,
        invitations: vec![],
        ..commit(number, who, u128::from(epoch) * 10 + who.len() as u128, epoch, &[who], &[])
    };
    let ask = |commit: NewCommit| store.commit_room_epoch(commit);
    assert_eq!(ask(external(2, "bob", 0)).await.unwrap(), Err(RoomRefusal::Unknown));
    // Nothing but itself, and not without the GroupInfo.
    let mut more = external(1, "bob", 0);
    more.delta.added = devices(&["bob", "carol"]);
    assert_eq!(ask(more).await.unwrap(), Err(RoomRefusal::NotAMember));
    let mut kick = external(1, "bob", 0);
    kick.delta.removed = devices(&["alice"]);
    assert_eq!(ask(kick).await.unwrap(), Err(RoomRefusal::NotAMember));
    let without = NewCommit { group_info: None, ..external(1, "bob", 0) };
    assert!(matches!(ask(without).await.unwrap(), Err(RoomRefusal::Malformed(_))));
    let Ok(Posted::Accepted(accepted)) = ask(external(1, "bob", 0)).await.unwrap() else { panic!() };
    assert!(accepted.joined);
    seq(store.post_room_entry(post(1, "bob", 500, 1)).await.unwrap());
    // A banned account is told so, and stays out; its device is taken out.
    let mut ban = commit(1, "alice", 600, 1, &[], &["bob"]);
    ban.delta.banned = BoundedVec::new(vec![name("bob"), name("mallory")]).unwrap();
    ban.group_info = Some(object(42, 100));
    seq(ask(ban).await.unwrap());
    for who in ["bob", "mallory"] {
        assert_eq!(ask(external(1, who, 2)).await.unwrap(), Err(RoomRefusal::Banned), "{who}");
        let group_info = store.room_object(room(1), asker(who), [42; 32], 0).await.unwrap();
        assert_eq!(group_info, Err(RoomRefusal::NoObject));
        let roster = store.room_roster(room(1), asker(who), None, 10).await.unwrap();
        assert_eq!(roster, Err(RoomRefusal::Banned));
    }
    assert_eq!(store.room_object(room(1), asker("carol"), [42; 32], 0).await.unwrap().unwrap().size, 100);
    assert_eq!(
        store.room_object(room(1), asker("carol"), [41; 32], 0).await.unwrap(),
        Err(RoomRefusal::NoObject)
    );
    let invite =
        NewCommit { group_info: Some(object(43, 9)), ..commit(1, "alice", 700, 2, &["mallory"], &[]) };
    assert_eq!(ask(invite).await.unwrap(), Err(RoomRefusal::Banned));
}

pub(in crate::store) async fn entries_go_when_all_have_them_or_when_they_are_too_old(store: AnyStore) {
    three(&store).await;
    for id in 2..12 {
        seq(store.post_room_entry(post(1, "alice", id, 1)).await.unwrap());
    }
    let cursor = |who: &str, up_to| store.room_cursor(room(1), up_to, sender(who));
    assert_eq!(cursor("alice", 11).await.unwrap(), Ok(1), "she was the slowest");
    assert_eq!(cursor("bob", 5).await.unwrap(), Ok(0));
    assert_eq!(cursor("carol", 7).await.unwrap(), Ok(4));
    assert_eq!(cursor("carol", 3).await.unwrap(), Ok(0), "a cursor does not go back");
    assert!(matches!(cursor("carol", 12).await.unwrap(), Err(RoomRefusal::Malformed(_))));
    assert_eq!(seqs(&store, 1, "bob", 5).await, [6, 7, 8, 9, 10, 11]);
    assert!(page(&store, 1, "bob", 2).await.unwrap().gap && !page(&store, 1, "bob", 5).await.unwrap().gap);
    // An invited device holds what comes after its Welcome, and the Welcome.
    seq(store.commit_room_epoch(commit(1, "alice", 50, 1, &["dave"], &[])).await.unwrap());
    seq(store.post_room_entry(post(1, "alice", 51, 2)).await.unwrap());
    for who in ["alice", "bob", "carol"] {
        cursor(who, 13).await.unwrap().unwrap();
    }
    assert_eq!(seqs(&store, 1, "alice", 0).await, [12, 13]);
    assert!(store.room_object(room(1), asker("dave"), [50; 32], 0).await.unwrap().is_ok());
    assert_eq!(store.expire_rooms(NOW + 29 * DAY).await.unwrap(), RoomsExpired::default());
    let expired = store.expire_rooms(NOW + 31 * DAY).await.unwrap();
    assert_eq!((expired.entries, expired.more), (2, false));
    assert!(page(&store, 1, "dave", 0).await.unwrap().gap, "cut off, and told so");
    assert_eq!(
        store.room_object(room(1), asker("dave"), [50; 32], 0).await.unwrap(),
        Err(RoomRefusal::NoObject)
    );
    assert_eq!(seq(store.post_room_entry(post(1, "alice", 52, 2)).await.unwrap()), 14);
}

pub(in crate::store) async fn who_leaves_is_out_at_once_and_an_empty_room_goes(store: AnyStore) {
    three(&store).await;
    let leave = |who: &str, proposal: Option<u64>| Leaving {
        room: room(1),
        account: true,
        proposal: proposal.map(|epoch| (entry_id(900), 0, epoch, Bytes::from_static(b"bye"))),
        sender: sender(who),
        now: NOW,
    };
    assert!(matches!(
        store.leave_room(leave("bob", Some(0))).await.unwrap(),
        Ok(Left::Passed { epoch: 1, .. })
    ));
    let Ok(Left::Done { devices, entry }) = store.leave_room(leave("bob", Some(1))).await.unwrap() else {
        panic!()
    };
    assert_eq!((devices, entry.unwrap().kind), (vec![member("bob")], EntryKind::Proposal));
    assert_eq!(seq(store.commit_room_epoch(commit(1, "carol", 8, 1, &[], &[])).await.unwrap()), 3);
    assert_eq!(page(&store, 1, "bob", 0).await, Err(RoomRefusal::Unknown));
    assert_eq!(store.leave_room(leave("bob", None)).await.unwrap(), Err(RoomRefusal::Unknown));
    // A device that its account removes is out of its rooms.
    store.publish_list(&name("carol"), list(2, &[])).await.unwrap();
    let roster = store.room_roster(room(1), asker("alice"), None, 10).await.unwrap().unwrap();
    assert_eq!(roster.devices.len(), 1);
    store.leave_room(leave("alice", None)).await.unwrap().unwrap();
    assert_eq!(page(&store, 1, "alice", 0).await, Err(RoomRefusal::Unknown));
    let expired = store.expire_rooms(NOW).await.unwrap();
    assert_eq!((expired.rooms, expired.entries, expired.more), (1, 3, false));
    assert_eq!(store.create_room(private(1, "alice")).await.unwrap(), Ok(()), "nothing is left of it");
}

/// The same in a public room.
fn public_commit(commit: NewCommit) -> NewCommit {
    NewCommit { group_info: Some(object(41, 1000)), ..commit }
}

pub(in crate::store) async fn a_public_room_that_nobody_is_in_is_closed_though_somebody_was_removed(
    store: AnyStore,
) {
    for account in ["alice", "bob", "carol", "dave"] {
        join(&store, account).await;
    }
    assert_eq!(store.create_room(public(1, "lobby", "alice")).await.unwrap(), Ok(()));
    seq(store
        .commit_room_epoch(public_commit(commit(1, "alice", 1, 0, &["bob", "carol"], &[])))
        .await
        .unwrap());
    accept(&store, 1, "bob").await;
    seq(store.commit_room_epoch(public_commit(commit(1, "alice", 2, 1, &[], &["bob"]))).await.unwrap());
    // Carol has not answered yet when the last one goes who was in.
    let leave = Leaving {
        room: room(1),
        account: true,
        proposal: Some((entry_id(900), 0, 2, Bytes::from_static(b"bye"))),
        sender: sender("alice"),
        now: NOW,
    };
    assert!(matches!(store.leave_room(leave).await.unwrap(), Ok(Left::Done { .. })));
    let by_slug = RoomName::Slug(Slug::new("lobby").unwrap());
    for who in ["alice", "bob", "carol", "dave"] {
        let info = store.room_info(by_slug.clone(), asker(who)).await.unwrap();
        assert_eq!(info, Err(RoomRefusal::Unknown), "{who}");
    }
    for who in ["alice", "carol", "dave"] {
        let info = store.room_info(RoomName::Id(room(1)), asker(who)).await.unwrap();
        assert_eq!(info, Err(RoomRefusal::Unknown), "{who}");
    }
    assert_eq!(store.accept_room(room(1), sender("carol")).await.unwrap(), Err(RoomRefusal::Unknown));
    // Bob may read what took him out, and nothing else.
    assert_eq!(page(&store, 1, "bob", 0).await.unwrap().entries.len(), 1);
    let back = commit(1, "bob", 3, 2, &["bob"], &[]);
    assert!(store.commit_room_epoch(public_commit(back)).await.unwrap().is_err());
    assert_eq!(store.create_room(public(2, "lobby", "dave")).await.unwrap(), Ok(()), "the slug is free");
    store.check_integrity().await.unwrap();
    let month = 31 * 24 * 60 * 60 * 1000;
    assert_eq!(store.expire_rooms(NOW + month).await.unwrap().rooms, 1, "gone when nobody may read it");
}

pub(in crate::store) async fn r31_a_reboot_brings_back_whom_a_commit_threw_out(store: AnyStore) {
    three(&store).await;
    // A commit that nobody can follow, and that takes the owner out.
    let bricks = commit(1, "bob", 2, 1, &["dave"], &["alice", "carol"]);
    seq(store.commit_room_epoch(bricks).await.unwrap());
    let roster = |who: &[&str]| BoundedVec::new(who.iter().map(|who| member(who)).collect()).unwrap();
    let reboot = |id, generation, who: &[&str]| NewReboot {
        reboot: Reboot {
            room: room(1),
            id: entry_id(id),
            generation,
            new_generation: generation + 1,
            epoch: 1,
            roster: roster(who),
            banned: BoundedVec::new(vec![name("bob")]).unwrap(),
            listing: ListingChange::Keep,
            welcome: Some(ObjectHash([60; 32])),
            group_info: None,
            signature: ByteArray::new([0; 64]),
            state_generation: 0,
        },
        owner_key: [1; 32],
        state_hash: [2; 32],
        welcome: Some(object(60, 130_000)),
        group_info: None,
        sender: sender("alice"),
        now: NOW,
    };
    let wrong = NewReboot { owner_key: [9; 32], ..reboot(3, 0, &["alice", "carol"]) };
    assert_eq!(store.reboot_room(wrong).await.unwrap(), Err(RoomRefusal::OwnerKey));
    let early = store.reboot_room(reboot(3, 1, &["alice", "carol"])).await.unwrap();
    assert_eq!(early, Ok(Posted::Passed { generation: 0, epoch: 2 }));
    assert_eq!(seq(store.reboot_room(reboot(3, 0, &["alice", "carol"])).await.unwrap()), 3);
    assert_eq!(seq(store.reboot_room(reboot(3, 0, &["alice", "carol"])).await.unwrap()), 3, "the same again");
    for (who, number) in [("carol", 0), ("alice", 65_536)] {
        assert!(store.room_object(room(1), asker(who), [60; 32], number).await.unwrap().is_ok(), "{who}");
    }
    assert_eq!(seqs(&store, 1, "carol", 0).await, [2, 3]);
    assert_eq!(seqs(&store, 1, "bob", 0).await, [2, 3], "it sees how it was put out");
    assert_eq!(store.post_room_entry(post(1, "bob", 9, 2)).await.unwrap(), Err(RoomRefusal::NotAMember));
    let next = NewPost { generation: 1, ..post(1, "carol", 10, 1) };
    assert_eq!(seq(store.post_room_entry(next).await.unwrap()), 4);
    let mut add = commit(1, "alice", 11, 1, &["bob"], &[]);
    add.generation = 1;
    assert_eq!(store.commit_room_epoch(add).await.unwrap(), Err(RoomRefusal::Banned));
}

pub(in crate::store) async fn what_does_not_go_together_changes_nothing(store: AnyStore) {
    three(&store).await;
    let refused = |commit: NewCommit| {
        let store = store.clone();
        async move {
            match store.commit_room_epoch(commit).await.unwrap() {
                Err(RoomRefusal::Malformed(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let add = || commit(1, "alice", 9, 1, &["dave"], &[]);
    refused(NewCommit { welcome: None, ..add() }).await;
    refused(NewCommit { invitations: vec![], ..add() }).await;
    refused(NewCommit { group_info: Some(object(1, 1)), ..add() }).await;
    refused(commit(1, "alice", 9, 1, &["bob"], &[])).await;
    refused(commit(1, "alice", 9, 1, &["dave", "dave"], &[])).await;
    refused(commit(1, "alice", 9, 1, &[], &["bob", "bob"])).await;
    let mut other = add();
    other.invitations[0].account = name("bob");
    refused(other).await;
    let nobody = commit(1, "alice", 9, 1, &["nobody"], &[]);
    let unreachable = Posted::Unreachable { missing: vec![member("nobody")], full: vec![] };
    assert_eq!(store.commit_room_epoch(nobody).await.unwrap(), Ok(unreachable));
    let key = RoomDelta {
        owner_key: Some(NewOwnerKey { key: ByteArray::new([2; 32]), signature: ByteArray::new([0; 64]) }),
        ..RoomDelta::default()
    };
    let stolen =
        NewCommit { delta: key.clone(), owner_key: Some([7; 32]), ..commit(1, "bob", 9, 1, &[], &[]) };
    assert_eq!(store.commit_room_epoch(stolen).await.unwrap(), Err(RoomRefusal::OwnerKey));
    assert!(seqs(&store, 1, "bob", 0).await.is_empty() && mailbox(&store, "dave").await.is_empty());
    let kept = NewCommit { delta: key, owner_key: Some([1; 32]), ..commit(1, "bob", 9, 1, &[], &[]) };
    seq(store.commit_room_epoch(kept).await.unwrap());
    let info = store.room_info(RoomName::Id(room(1)), asker("bob")).await.unwrap().unwrap();
    assert_eq!(*info.owner_key, [2; 32]);
    // Removing who is not there (any more) is no mistake: a leaf may outlive its place in the roster.
    seq(store.commit_room_epoch(commit(1, "alice", 10, 2, &[], &["dave", "nobody"])).await.unwrap());
}

pub(in crate::store) async fn device_lists_are_for_those_in_the_roster(store: AnyStore) {
    three(&store).await;
    let known = |account: &str, since| KnownList { account: name(account), since };
    let asked = vec![known("bob", 0), known("dave", 0), known("carol", 1)];
    let lists = store.room_lists(room(1), asker("alice"), asked.clone(), 1 << 16).await.unwrap().unwrap();
    let got: Vec<_> = lists.accounts.iter().map(|one| (one.account.to_string(), one.lists.len())).collect();
    assert_eq!((got, lists.answered), (vec![("bob".to_owned(), 1), ("carol".to_owned(), 0)], 3));
    let little = store.room_lists(room(1), asker("alice"), asked, 1).await.unwrap().unwrap();
    assert_eq!((little.accounts.len(), little.answered), (1, 2));
    // What stands in the log of somebody who left is judged by their list; and who left sees nothing of it.
    let left = Leaving { room: room(1), account: true, proposal: None, sender: sender("carol"), now: NOW };
    store.leave_room(left).await.unwrap().unwrap();
    let asked = vec![known("carol", 0)];
    let lists = store.room_lists(room(1), asker("alice"), asked, 1 << 16).await.unwrap().unwrap();
    assert_eq!(lists.accounts.len(), 1);
    assert!(store.device_rooms(asker("carol"), None, 9).await.unwrap().is_empty());
    let gone = store.room_lists(room(1), asker("carol"), vec![known("bob", 0)], 99).await.unwrap();
    assert_eq!(gone, Err(RoomRefusal::Unknown));
    let stranger = store.room_lists(room(1), asker("dave"), vec![known("bob", 0)], 99).await.unwrap();
    assert_eq!(stranger, Err(RoomRefusal::Unknown));
}

pub(in crate::store) async fn r35_key_packages_are_handed_out_once_and_the_last_resort_is_flagged(
    store: AnyStore,
) {
    join(&store, "alice").await;
    let package = |key_id: u32, expires_at| NewKeyPackage {
        key_id,
        expires_at,
        bytes: BoundedBytes::new(key_id.to_le_bytes()).unwrap(),
    };
    let refill = |numbers: std::ops::Range<u32>, last: Option<u32>| KeyPackageRefill {
        account: name("alice"),
        device: device(1),
        suite: 1,
        packages: numbers.map(|number| package(number, NOW + DAY)).collect(),
        last_resort: last.map(|number| package(number, NOW + DAY)),
        now: NOW,
    };
    let upload = |refill| store.upload_key_packages(refill);
    let KeyPackagesUploaded::Done(counts) = upload(refill(1..4, Some(4))).await.unwrap() else { panic!() };
    assert_eq!(
        counts.suites.to_vec(),
        [SuiteCount { suite: 1, left: 3, last_resort: true, last_resort_used: false }]
    );
    let claim = |now, leave| {
        let claims = KeyPackageClaims {
            account: name("alice"),
            devices: vec![device(1), device(9)],
            suite: 1,
            leave,
            now,
        };
        let answer = store.claim_key_packages(claims);
        async move {
            let claimed = answer.await.unwrap().unwrap();
            claimed.iter().map(|one| one.package.bytes[0]).collect::<Vec<_>>()
        }
    };
    assert_eq!(claim(NOW, 0).await, [1]);
    assert_eq!(claim(NOW, 2).await, [4], "the reserve is kept");
    // Repeating the upload brings back nothing that was handed out.
    upload(refill(1..4, Some(4))).await.unwrap();
    assert_eq!((claim(NOW, 0).await, claim(NOW, 0).await), (vec![2], vec![3]));
    assert_eq!((claim(NOW, 0).await, claim(NOW, 0).await), (vec![4], vec![4]));
    let counts = store.key_package_counts(&name("alice"), device(1), NOW).await.unwrap().unwrap();
    assert!(counts.suites[0].last_resort_used && counts.suites[0].left == 0);
    upload(refill(5..6, Some(6))).await.unwrap();
    assert_eq!(claim(NOW, 9).await, [6]);
    assert!(claim(NOW + DAY, 0).await.is_empty(), "expired");
    assert_eq!(upload(refill(7..107, None)).await.unwrap(), KeyPackagesUploaded::TooMany);
    let mut other = refill(5..6, None);
    other.packages[0].bytes = BoundedBytes::new(vec![9, 9]).unwrap();
    assert_eq!(upload(other).await.unwrap(), KeyPackagesUploaded::Conflict);
    assert_eq!(store.expire_rooms(NOW + DAY).await.unwrap().key_packages, 2);
    for suite in 2..5 {
        upload(KeyPackageRefill { suite, ..refill(1..2, None) }).await.unwrap();
    }
    assert_eq!(
        upload(KeyPackageRefill { suite: 9, ..refill(1..2, None) }).await.unwrap(),
        KeyPackagesUploaded::TooMany
    );
    store.publish_list(&name("alice"), list(2, &[])).await.unwrap();
    assert_eq!(store.key_package_counts(&name("alice"), device(1), NOW).await.unwrap(), None);
}

#[derive(Debug, Clone)]
enum Step {
    /// Somebody posts under an id, in an epoch so much older than the room's.
    Post(usize, u8, u64),
    /// Somebody commits in such an epoch, adding and removing these.
    Commit(usize, u8, u64, usize, usize),
    Accept(usize),
    Leave(usize),
    /// Somebody acknowledges this part of the log, in 256ths.
    Cursor(usize, u8),
}

const PEOPLE: [&str; 5] = ["anna", "bert", "cora", "dora", "emil"];

#[derive(Default)]
struct Model {
    epoch: u64,
    next: u64,
    /// State, first readable place before, cursor, last readable place.
    members: BTreeMap<usize, (bool, u64, u64)>,
    removed: BTreeMap<usize, (u64, u64, u64)>,
    log: BTreeMap<u64, u128>,
    accepted: BTreeMap<u128, u64>,
    /// The commits that ended epochs.
    ends: BTreeMap<u64, u64>,
}

impl Model {
    /// Whether messages of an epoch are taken: its end, if it has ended, is in the log still.
    fn is_open(&self, epoch: u64) -> bool {
        epoch == self.epoch
            || epoch + 3 >= self.epoch && self.ends.get(&epoch).is_some_and(|end| self.log.contains_key(end))
    }

    fn joined(&self, who: usize) -> bool {
        self.members.get(&who).is_some_and(|(joined, ..)| *joined)
    }

    fn append(&mut self, id: u128) -> u64 {
        self.next += 1;
        self.log.insert(self.next, id);
        self.accepted.insert(id, self.next);
        self.next
    }

    /// What everybody has is gone, when the slowest moves.
    fn collect(&mut self) {
        let all = self.members.values().map(|(_, _, cursor)| *cursor).chain(
            self.removed.values().filter(|(_, cursor, until)| cursor < until).map(|(_, cursor, _)| *cursor),
        );
        let up_to = all.min().unwrap_or(self.next);
        self.log = self.log.split_off(&(up_to + 1));
    }

    fn readable(&self, who: usize) -> Option<Vec<(u64, u128)>> {
        let (since, until) = match (self.members.get(&who), self.removed.get(&who)) {
            (Some((_, since, _)), _) => (*since, self.next),
            (None, Some((since, _, until))) => (*since, *until),
            (None, None) => return None,
        };
        Some(
            self.log
                .iter()
                .filter(|(seq, _)| **seq > since && **seq <= until)
                .map(|(s, i)| (*s, *i))
                .collect(),
        )
    }
}

pub(in crate::store) async fn a_room_behaves_like_its_model(store: AnyStore) {
    let who = || 0..PEOPLE.len();
    let step = prop_oneof![
        4 => (who(), any::<u8>(), 0u64..5).prop_map(|(w, id, old)| Step::Post(w, id, old)),
        4 => (who(), any::<u8>(), 0u64..2, who(), who()).prop_map(|(w, id, old, a, r)| Step::Commit(w, id, old, a, r)),
        2 => who().prop_map(Step::Accept),
        1 => who().prop_map(Step::Leave),
        3 => (who(), any::<u8>()).prop_map(|(w, part)| Step::Cursor(w, part)),
    ];
    let histories = proptest::collection::vec(step, 60);
    let mut runner = TestRunner::default();
    for account in PEOPLE {
        join(&store, account).await;
    }
    for round in 0..12 {
        let history = histories.new_tree(&mut runner).unwrap().current();
        store.create_room(private(100 + round, PEOPLE[0])).await.unwrap().unwrap();
        play(&store, 100 + round, &history).await;
    }
}

async fn play(store: &AnyStore, number: u8, history: &[Step]) {
    let mut model = Model { members: [(0, (true, 0, 0))].into(), ..Model::default() };
    for (at, step) in history.iter().enumerate() {
        let context = || format!("step {at} of {history:?}");
        if model.members.is_empty() && model.removed.is_empty() {
            return;
        }
        match step {
            Step::Post(who, id, old) => {
                let (id, epoch) = (u128::from(*id), model.epoch.saturating_sub(*old));
                let answer = store.post_room_entry(post(number, PEOPLE[*who], id, epoch)).await.unwrap();
                let known = model.members.contains_key(who) || model.removed.contains_key(who);
                match model.accepted.get(&id) {
                    Some(first) if known => assert_eq!(seq(answer), *first, "{}", context()),
                    _ if !model.joined(*who) => assert!(answer.is_err(), "{}", context()),
                    _ if !model.is_open(epoch) => {
                        assert!(matches!(answer, Ok(Posted::Passed { .. })), "{}", context())
                    }
                    _ => assert_eq!(seq(answer), model.append(id), "{}", context()),
                }
            }
            Step::Commit(who, id, old, add, remove) => {
                let (id, epoch) = (u128::from(*id), model.epoch.saturating_sub(*old));
                let fresh = !model.members.contains_key(add) && add != who;
                let adds: &[&str] = if fresh { &[PEOPLE[*add]] } else { &[] };
                let removes: &[&str] = if remove == who { &[] } else { &[PEOPLE[*remove]] };
                let commit = commit(number, PEOPLE[*who], id, epoch, adds, removes);
                let answer = store.commit_room_epoch(commit).await.unwrap();
                let known = model.members.contains_key(who) || model.removed.contains_key(who);
                match model.accepted.get(&id) {
                    Some(first) if known => assert_eq!(seq(answer), *first, "{}", context()),
                    _ if !model.joined(*who) => assert!(answer.is_err(), "{}", context()),
                    _ if epoch != model.epoch => {
                        assert!(matches!(answer, Ok(Posted::Passed { .. })), "{}", context())
                    }
                    _ => {
                        let place = model.append(id);
                        assert_eq!(seq(answer), place, "{}", context());
                        model.ends.insert(model.epoch, place);
                        model.epoch += 1;
                        if remove != who
                            && let Some((joined, since, cursor)) = model.members.remove(remove)
                            && joined
                        {
                            model.removed.insert(*remove, (since, cursor, place));
                        }
                        if fresh {
                            model.removed.remove(add);
                            model.members.insert(*add, (false, place, place - 1));
                        }
                    }
                }
            }
            Step::Accept(who) => {
                let answer = store.accept_room(room(number), sender(PEOPLE[*who])).await.unwrap();
                match model.members.get_mut(who) {
                    Some((joined, since, cursor)) => {
                        assert_eq!(answer, Ok(!*joined), "{}", context());
                        if !*joined {
                            *cursor = (*cursor).max(*since);
                        }
                        *joined = true;
                    }
                    None => assert!(answer.is_err(), "{}", context()),
                }
            }
            Step::Leave(who) => {
                let leaving = Leaving {
                    room: room(number),
                    account: false,
                    proposal: None,
                    sender: sender(PEOPLE[*who]),
                    now: NOW,
                };
                let answer = store.leave_room(leaving).await.unwrap();
                assert_eq!(answer.is_ok(), model.members.remove(who).is_some(), "{}", context());
            }
            Step::Cursor(who, part) => {
                let up_to = model.next * u64::from(*part) / 255;
                let answer = store.room_cursor(room(number), up_to, sender(PEOPLE[*who])).await.unwrap();
                let first = model.log.keys().next().copied().unwrap_or(model.next + 1);
                let place = match model.members.get_mut(who) {
                    Some((true, _, cursor)) => Some(cursor),
                    Some(_) => None,
                    None => model.removed.get_mut(who).map(|(_, cursor, _)| cursor),
                };
                match place {
                    None => assert!(answer.is_err(), "{}", context()),
                    Some(cursor) => {
                        answer.unwrap();
                        let before = *cursor;
                        *cursor = before.max(up_to);
                        if up_to > before && before < first {
                            model.collect();
                        }
                    }
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (who, account) in PEOPLE.iter().enumerate() {
            let page = store.room_entries(room(number), asker(account), 0, 1000, 1 << 20).await.unwrap();
            let got = page.ok().map(|page| -> Vec<(u64, u128)> {
                page.entries.iter().map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes()))).collect()
            });
            assert_eq!(got, model.readable(who), "{account}, {}", context());
            seen.extend(got.unwrap_or_default());
        }
        let places: Vec<u64> = seen.iter().map(|(seq, _)| *seq).collect();
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{}", context());
    }
}
