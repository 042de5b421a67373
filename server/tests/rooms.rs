//! Rooms over frames: commits and their races, fan-out, objects, who may learn what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;

use common::{
    Client, Fixture, Person,
    client::{BoundedFrom, IntoBounded, code},
    limited,
    person::{Device, sign},
};
use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};
use subrosa_protocol::{BoundedStr, EntryId, EnvelopeId, ErrorCode, RoomId, Slug, frames::*};
use subrosa_server::limits::Quota;
use subrosa_verify::{
    labels,
    room::{Reboot as SignedReboot, owner_key_bytes, reboot_state},
};

const PIECE: usize = 64 * 1024;

fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 16])
}

fn member(person: &Person) -> RoomDevice {
    RoomDevice { account: person.name.clone(), device: Device::id(1) }
}

fn owner_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn listing(slug: &str) -> Listing {
    Listing {
        slug: Slug::new(slug).unwrap(),
        name: BoundedStr::new("A room").unwrap(),
        description: BoundedStr::new("for everybody").unwrap(),
    }
}

/// Puts an object; its name.
async fn put(client: &mut Client, bytes: &[u8]) -> ObjectHash {
    let hash = ObjectHash(Sha256::digest(bytes).into());
    for (number, piece) in bytes.chunks(PIECE).enumerate() {
        let put = ObjectPut {
            object: ObjectRef { hash, size: u32::try_from(bytes.len()).unwrap() },
            offset: u32::try_from(number * PIECE).unwrap(),
            piece: piece.to_vec().try_into_bounded(),
        };
        assert!(matches!(client.ask(Request::ObjectPut(put)).await, Response::Done(_)));
    }
    hash
}

async fn create(client: &mut Client, number: u8, listing: Option<Listing>) -> Response {
    let group_info = match &listing {
        Some(_) => Some(put(client, b"group info 0").await),
        None => None,
    };
    let key = owner_key().verifying_key().to_bytes();
    let create =
        RoomCreate { room: room(number), owner_key: key.into(), listing, group_info, state_generation: 0 };
    client.ask(Request::RoomCreate(create)).await
}

/// A commit without Welcome and `GroupInfo`.
fn commit(number: u8, epoch: u64) -> RoomCommit {
    RoomCommit {
        room: room(number),
        id: EntryId::from_bytes(common::random()),
        generation: 0,
        epoch,
        after: 0,
        commit: CommitBody::Inline(format!("commit of {epoch}").into_bytes().try_into_bounded()),
        delta: RoomDelta::default(),
        group_info: None,
        welcome: None,
        invitations: Invitations::default(),
        state_generation: 0,
    }
}

/// A commit that adds people; its Welcome is put.
async fn adding(client: &mut Client, number: u8, epoch: u64, people: &[&Person]) -> RoomCommit {
    let welcome = put(client, format!("welcome to {epoch}").as_bytes()).await;
    let invitation = |person: &&Person| Invitation {
        account: person.name.clone(),
        device: Device::id(1),
        id: EnvelopeId::from_bytes(common::random()),
        sealed: b"an invitation".to_vec().try_into_bounded(),
    };
    let all: Vec<Invitation> = people.iter().map(invitation).collect();
    let invitations = if all.len() <= 24 {
        Invitations::Inline(BoundedFrom::bounded(all))
    } else {
        let mut bytes = Vec::new();
        all.iter().for_each(|one| one.write_to(&mut bytes).unwrap());
        Invitations::Object(put(client, &bytes).await)
    };
    RoomCommit {
        delta: RoomDelta {
            added: BoundedFrom::bounded(people.iter().map(|person| member(person)).collect()),
            ..RoomDelta::default()
        },
        welcome: Some(welcome),
        invitations,
        ..commit(number, epoch)
    }
}

fn message(number: u8, epoch: u64, text: &str) -> Request {
    Request::RoomPost(RoomPost {
        room: room(number),
        id: EntryId::from_bytes(common::random()),
        kind: EntryKind::Application,
        generation: 0,
        epoch,
        bytes: text.as_bytes().to_vec().try_into_bounded(),
        state_generation: 0,
    })
}

fn seq(response: Response) -> u64 {
    match response {
        Response::RoomAccepted(accepted) => accepted.seq,
        other => panic!("{other:?}"),
    }
}

async fn page(client: &mut Client, number: u8, after: u64) -> RoomPage {
    match client.ask(Request::RoomSync(RoomSync { room: room(number), after, max: 48 })).await {
        Response::RoomPage(page) => page,
        other => panic!("{other:?}"),
    }
}

async fn accept(client: &mut Client, number: u8) {
    let accept = Request::RoomAccept(RoomAccept { room: room(number), state_generation: 0 });
    assert!(matches!(client.ask(accept).await, Response::Done(_)));
}

async fn people(relay: &Fixture, count: usize) -> (Vec<Person>, Vec<Client>) {
    let (mut people, mut clients) = (Vec::new(), Vec::new());
    for number in 0..count {
        let person = Person::registered(relay, &format!("person{number:03}")).await;
        clients.push(Client::of(relay, &person, 1).await);
        people.push(person);
    }
    (people, clients)
}

/// A private room of all of them, joined; epoch 1 for each hundred.
async fn filled(people: &[Person], clients: &mut [Client], number: u8) -> u64 {
    assert!(matches!(create(&mut clients[0], number, None).await, Response::Done(_)));
    let mut epoch = 0;
    for some in people[1..].chunks(100) {
        let some: Vec<&Person> = some.iter().collect();
        let commit = adding(&mut clients[0], number, epoch, &some).await;
        seq(clients[0].ask(Request::RoomCommit(commit)).await);
        epoch += 1;
    }
    for client in &mut clients[1..] {
        accept(client, number).await;
    }
    epoch
}

/// So many entries of a room behind one that are pushed. Those up to it may come as well: a push of the commit by which
/// somebody was added may be under way while they accept.
async fn pushed_after(client: &mut Client, seq: u64, count: usize) -> Vec<RoomEntry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        if let Push::RoomDeliver(deliver) = client.push().await
            && deliver.entry.seq > seq
        {
            entries.push(*deliver.entry);
        }
    }
    entries
}

#[tokio::test]
async fn a_room_is_made_filled_written_to_and_read() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    assert_eq!(filled(&people, &mut clients, 1).await, 1);
    // The invitation is an envelope like any other.
    assert_eq!(clients[1].fetch(0).await.envelopes[0].sealed.to_vec(), b"an invitation");
    assert_eq!(seq(clients[0].ask(message(1, 1, "hello")).await), 2);
    assert_eq!(seq(clients[1].ask(message(1, 1, "you")).await), 3);
    for reader in [1, 2] {
        let page = page(&mut clients[reader], 1, 0).await;
        assert_eq!(page.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((page.more, page.gap, page.head, page.generation, page.epoch), (false, false, 3, 0, 1));
        assert!(matches!(&page.entries[0].body, EntryBody::Inline(bytes) if **bytes == *b"hello"));
    }
    // Pushed to the others, and not to who sent it.
    let got = pushed_after(&mut clients[2], 1, 2).await;
    assert_eq!(got.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(pushed_after(&mut clients[1], 1, 1).await[0].seq, 2);
    let Response::RoomInfo(info) =
        clients[1].ask(Request::RoomShow(RoomShow { room: RoomName::Id(room(1)) })).await
    else {
        panic!()
    };
    assert_eq!((info.head, info.devices, info.accounts, info.standing), (3, 3, 3, Standing::Joined));
    let Response::RoomHeadsPage(heads) = clients[2].ask(Request::RoomHeads(RoomHeads { after: None })).await
    else {
        panic!()
    };
    assert_eq!((heads.rooms.len(), heads.rooms[0].head), (1, 3));
    let cursor = Request::RoomCursor(RoomCursor { room: room(1), up_to: 4, state_generation: 0 });
    assert_eq!(code(clients[1].ask(cursor).await), ErrorCode::BadRequest, "beyond the end");
    for client in &mut clients {
        let cursor = Request::RoomCursor(RoomCursor { room: room(1), up_to: 3, state_generation: 0 });
        assert!(matches!(client.ask(cursor).await, Response::Done(_)));
    }
    assert!(page(&mut clients[1], 1, 0).await.gap, "all had them: they are gone");
    common::quiet(&relay);
}

/// 20 members commit at once, 50 times: one of them wins each epoch, and the others read in their answer who.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r31_of_twenty_commits_at_once_one_wins_and_the_losers_get_it() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 20).await;
    let first = filled(&people, &mut clients, 1).await;
    for (head, epoch) in (1..).zip(first..first + 50) {
        let mut asked = Vec::new();
        for client in &mut clients {
            let commit = RoomCommit { after: head, ..commit(1, epoch) };
            asked.push(client.send(Request::RoomCommit(commit)).await);
        }
        let (mut winners, mut seen) = (0, Vec::new());
        for (client, id) in clients.iter_mut().zip(asked) {
            match client.answer(id).await {
                Response::RoomAccepted(accepted) => {
                    winners += 1;
                    assert_eq!(accepted.seq, head + 1);
                }
                Response::EpochPassed(passed) => {
                    assert_eq!((passed.generation, passed.epoch), (0, epoch + 1));
                    assert_eq!(passed.entries.len(), 1);
                    assert_eq!(passed.entries[0].seq, head + 1);
                    seen.push(passed.entries[0].id);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((winners, seen.len()), (1, 19));
        assert!(seen.iter().all(|id| *id == seen[0]));
    }
    let page = page(&mut clients[3], 1, 0).await;
    assert_eq!(page.epoch, first + 50);
    eprintln!("did: 50 rounds of 20 commits at once");
    common::quiet(&relay);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_reaches_a_hundred_in_the_order_of_the_log() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 101).await;
    let epoch = filled(&people, &mut clients, 1).await;
    // The roster was read since the last of them accepted: until then pushes may overtake each other.
    let first = seq(clients[0].ask(message(1, epoch, "first")).await);
    assert_eq!(first, epoch + 1);
    for client in &mut clients[1..] {
        assert_eq!(pushed_after(client, epoch, 1).await[0].seq, first);
    }
    // Many senders, none waiting for the others.
    let mut asked = Vec::new();
    for (number, client) in clients.iter_mut().enumerate().take(10) {
        for n in 0..3 {
            asked.push((number, client.send(message(1, epoch, &format!("{number} {n}"))).await));
        }
    }
    let mut places = HashMap::new();
    for (number, id) in asked {
        places.entry(number).or_insert_with(Vec::new).push(seq(clients[number].answer(id).await));
    }
    assert!(places.values().all(|own| own.is_sorted()), "each sender's order is kept");
    for client in &mut clients[10..] {
        let got: Vec<u64> = pushed_after(client, first, 30).await.iter().map(|entry| entry.seq).collect();
        assert_eq!(got, (first + 1..=first + 30).collect::<Vec<_>>());
    }
    eprintln!("did: 30 posts to 101 members");
    common::quiet(&relay);
}

#[tokio::test]
async fn r30_public_rooms_are_found_joined_from_outside_and_banned_from() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    assert!(matches!(create(&mut clients[0], 1, Some(listing("lobby"))).await, Response::Done(_)));
    assert_eq!(code(create(&mut clients[1], 2, Some(listing("l0bby"))).await), ErrorCode::SlugTaken);
    assert_eq!(code(create(&mut clients[1], 1, None).await), ErrorCode::RoomExists);
    let search = RoomDirectory { prefix: BoundedStr::new("lob").unwrap(), after: None };
    let Response::RoomDirectoryPage(found) = clients[1].ask(Request::RoomDirectory(search)).await else {
        panic!()
    };
    assert_eq!((found.rooms.len(), found.rooms[0].room, found.more), (1, room(1), false));
    let show = Request::RoomShow(RoomShow { room: RoomName::Slug(Slug::new("lobby").unwrap()) });
    let Response::RoomInfo(info) = clients[1].ask(show.clone()).await else { panic!() };
    let group_info = info.group_info.unwrap();
    let get = |hash| Request::ObjectGet(ObjectGet { room: room(1), hash, offset: 0 });
    let Response::ObjectPiece(piece) = clients[1].ask(get(group_info.hash)).await else { panic!() };
    assert_eq!(&piece.piece[..], b"group info 0");
    // Before it joins it checks everybody in there.
    let lists = RoomLists {
        room: room(1),
        accounts: BoundedFrom::bounded(vec![KnownList { account: people[0].name.clone(), since: 0 }]),
    };
    let Response::RoomListsPage(lists) = clients[1].ask(Request::RoomLists(lists)).await else { panic!() };
    assert_eq!(lists.accounts[0].lists[0], people[0].signed_list());

    let hash = put(&mut clients[1], b"group info 1").await;
    let join = |person: &Person, hash, epoch| RoomCommit {
        delta: RoomDelta { added: BoundedFrom::bounded(vec![member(person)]), ..RoomDelta::default() },
        group_info: Some(hash),
        ..commit(1, epoch)
    };
    let first = join(&people[1], hash, 0);
    assert_eq!(seq(clients[1].ask(Request::RoomCommit(first)).await), 1);
    assert_eq!(seq(clients[1].ask(message(1, 1, "here I am")).await), 2);
    assert_eq!(pushed_after(&mut clients[0], 0, 2).await[0].delta.as_ref().unwrap().added.len(), 1);

    let hash = put(&mut clients[0], b"group info 2").await;
    let ban = RoomCommit {
        delta: RoomDelta {
            removed: BoundedFrom::bounded(vec![member(&people[1])]),
            banned: BoundedFrom::bounded(vec![people[1].name.clone()]),
            ..RoomDelta::default()
        },
        group_info: Some(hash),
        ..commit(1, 1)
    };
    assert_eq!(seq(clients[0].ask(Request::RoomCommit(ban)).await), 3);
    assert_eq!(pushed_after(&mut clients[1], 1, 1).await[0].seq, 3, "it sees its removal");
    assert_eq!(seq(clients[0].ask(message(1, 2, "without him")).await), 4);
    assert!(clients[1].is_quiet().await, "and nothing after");
    assert_eq!(code(clients[1].ask(message(1, 2, "still here")).await), ErrorCode::Banned);
    let hash = put(&mut clients[1], b"group info 3").await;
    assert_eq!(code(clients[1].ask(Request::RoomCommit(join(&people[1], hash, 2))).await), ErrorCode::Banned);
    let Response::RoomInfo(info) = clients[1].ask(show).await else { panic!() };
    assert_eq!((info.standing, info.group_info), (Standing::Banned, None));
    common::quiet(&relay);
}

#[tokio::test]
async fn unknown_private_and_foreign_rooms_are_answered_alike() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    filled(&people[..2], &mut clients[..2], 1).await;
    let stranger = &mut clients[2];
    let questions = |number: u8| {
        vec![
            Request::RoomShow(RoomShow { room: RoomName::Id(room(number)) }),
            Request::RoomSync(RoomSync { room: room(number), after: 0, max: 9 }),
            Request::RoomRoster(RoomRoster { room: room(number), after: None }),
            Request::RoomLists(RoomLists { room: room(number), accounts: Default::default() }),
            Request::RoomCursor(RoomCursor { room: room(number), up_to: 1, state_generation: 0 }),
            Request::RoomAccept(RoomAccept { room: room(number), state_generation: 0 }),
            Request::RoomLeave(RoomLeave {
                room: room(number),
                account: true,
                proposal: None,
                state_generation: 0,
            }),
            Request::ObjectGet(ObjectGet { room: room(number), hash: ObjectHash([1; 32]), offset: 0 }),
            Request::RoomEphemeral(RoomEphemeral {
                room: room(number),
                bytes: b"x".to_vec().try_into_bounded(),
            }),
            message(number, 1, "hello"),
            Request::RoomCommit(commit(number, 1)),
        ]
    };
    for (private, unknown) in questions(1).into_iter().zip(questions(9)) {
        let name = private.name();
        let (private, unknown) = (stranger.ask(private).await, stranger.ask(unknown).await);
        assert_eq!(private, unknown, "{name}");
        assert_eq!(code(private), ErrorCode::UnknownRoom, "{name}");
    }
    // The slug of a room that is not public tells nothing either.
    let slug = Request::RoomShow(RoomShow { room: RoomName::Slug(Slug::new("nothing").unwrap()) });
    assert_eq!(code(stranger.ask(slug).await), ErrorCode::UnknownRoom);
    common::quiet(&relay);
}

#[tokio::test]
async fn r4_objects_that_are_wrong_large_many_or_gone() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    filled(&people[..2], &mut clients[..2], 1).await;
    let client = &mut clients[0];
    let put_of = |hash, size: u32, offset: u32, piece: Vec<u8>| {
        let object = ObjectRef { hash, size };
        Request::ObjectPut(ObjectPut { object, offset, piece: piece.try_into_bounded() })
    };
    assert_eq!(code(client.ask(put_of(ObjectHash([1; 32]), 3, 0, vec![1; 3])).await), ErrorCode::WrongHash);
    assert_eq!(
        code(client.ask(put_of(ObjectHash([1; 32]), (1 << 20) + 1, 0, vec![1; PIECE])).await),
        ErrorCode::TooLarge
    );
    assert_eq!(
        code(client.ask(put_of(ObjectHash([1; 32]), 70_000, 65_536, vec![1; 9])).await),
        ErrorCode::NoSuchObject
    );
    for number in 2..4 {
        let begun = client.ask(put_of(ObjectHash([number; 32]), 70_000, 0, vec![1; PIECE])).await;
        assert!(matches!(begun, Response::Done(_)));
    }
    assert_eq!(
        code(client.ask(put_of(ObjectHash([4; 32]), 70_000, 0, vec![1; PIECE])).await),
        ErrorCode::TooLarge
    );
    // A commit that names what was never put, or not to its end.
    for hash in [ObjectHash([9; 32]), ObjectHash([2; 32])] {
        let commit = RoomCommit { commit: CommitBody::Object(hash), ..commit(1, 1) };
        assert_eq!(code(client.ask(Request::RoomCommit(commit)).await), ErrorCode::NoSuchObject);
    }
    let inline = CommitBody::Inline(vec![1; 41 * 1024].try_into_bounded());
    let large = RoomCommit { commit: inline, ..commit(1, 1) };
    assert_eq!(code(client.ask(Request::RoomCommit(large)).await), ErrorCode::TooLarge);
    // A large commit, read back in pieces by who is in the room, and by nobody else.
    let mut other = Client::of(&relay, &people[0], 1).await;
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let hash = put(&mut other, &bytes).await;
    let commit = RoomCommit { commit: CommitBody::Object(hash), ..commit(1, 1) };
    seq(other.ask(Request::RoomCommit(commit)).await);
    let get = |offset: usize| {
        Request::ObjectGet(ObjectGet { room: room(1), hash, offset: u32::try_from(offset).unwrap() })
    };
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let Response::ObjectPiece(piece) = clients[1].ask(get(read.len())).await else { panic!() };
        assert_eq!(piece.size, 200_000);
        read.extend_from_slice(&piece.piece);
    }
    assert!(read == bytes);
    assert_eq!(code(clients[1].ask(get(1)).await), ErrorCode::BadRequest);
    assert_eq!(code(clients[1].ask(get(4 * PIECE)).await), ErrorCode::NoSuchObject);
    assert_eq!(code(clients[2].ask(get(0)).await), ErrorCode::UnknownRoom);
    common::quiet(&relay);
}

#[tokio::test]
async fn typing_reaches_those_who_are_there_and_is_kept_nowhere() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    filled(&people, &mut clients, 1).await;
    let typing = RoomEphemeral { room: room(1), bytes: b"typing".to_vec().try_into_bounded() };
    assert!(matches!(clients[0].ask(Request::RoomEphemeral(typing.clone())).await, Response::Done(_)));
    for reader in [1, 2] {
        loop {
            match clients[reader].push().await {
                Push::RoomSignal(signal) => break assert_eq!(signal, typing),
                // What brought them in may be pushed late.
                Push::RoomChanged(_) | Push::Deliver(_) | Push::RoomDeliver(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(page(&mut clients[1], 1, 0).await.head, 1);
    common::quiet(&relay);
}

#[tokio::test]
async fn r31_only_the_owner_key_reboots_a_room_or_is_replaced() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 3).await;
    filled(&people, &mut clients, 1).await;
    let roster: Vec<RoomDevice> = people[..2].iter().map(member).collect();
    let welcome = put(&mut clients[0], b"welcome again").await;
    let mut reboot = Reboot {
        room: room(1),
        id: EntryId::from_bytes([3; 16]),
        generation: 0,
        new_generation: 1,
        epoch: 1,
        roster: BoundedFrom::bounded(roster),
        banned: Default::default(),
        listing: ListingChange::Keep,
        welcome: Some(welcome),
        group_info: None,
        signature: [0; 64].into(),
        state_generation: 0,
    };
    let signed = |reboot: &Reboot, key: &SigningKey| {
        let signed = SignedReboot {
            room: *reboot.room.as_bytes(),
            from: reboot.generation,
            to: reboot.new_generation,
            epoch: reboot.epoch,
            state: Sha256::digest(reboot.canonical_state()).into(),
            welcome: reboot.welcome.map(|hash| hash.0),
            group_info: None,
        };
        sign(key, labels::SIGN_ROOM_REBOOT, &signed.to_bytes()).0
    };
    reboot.signature = signed(&reboot, &SigningKey::from_bytes(&[8; 32])).into();
    assert_eq!(code(clients[0].ask(Request::RoomReboot(reboot.clone())).await), ErrorCode::InvalidSignature);
    let welcome = put(&mut clients[0], b"welcome again").await;
    assert_eq!(reboot.welcome, Some(welcome));
    reboot.signature = signed(&reboot, &owner_key()).into();
    assert_eq!(seq(clients[0].ask(Request::RoomReboot(reboot.clone())).await), 2);
    // Pushed to all of the old roster, then the third one is out.
    for reader in [1, 2] {
        let entry = pushed_after(&mut clients[reader], 1, 1).await.remove(0);
        let EntryBody::Reboot(notice) = entry.body else { panic!() };
        assert_eq!((entry.kind, notice.generation), (EntryKind::Reboot, 1));
        // Members compute the same from the group they find.
        let found =
            people[..2].iter().map(|person| subrosa_verify::room::RoomDevice::new(person.name.as_str(), 1));
        assert_eq!(notice.state_hash, reboot_state(&found.collect(), &Default::default()));
        assert_eq!(notice.group_info, None);
    }
    let get = Request::ObjectGet(ObjectGet { room: room(1), hash: welcome, offset: 0 });
    assert!(matches!(clients[1].ask(get.clone()).await, Response::ObjectPiece(_)));
    assert_eq!(code(clients[2].ask(get).await), ErrorCode::NoSuchObject);
    assert!(
        matches!(clients[1].ask(message(1, 1, "old")).await, Response::EpochPassed(p) if p.generation == 1)
    );

    // A new owner key is signed by the old one.
    let key = SigningKey::from_bytes(&[11; 32]);
    let with = |by: &SigningKey| {
        let new_key = key.verifying_key().to_bytes();
        let bytes = owner_key_bytes(room(1).as_bytes(), 1, 1, &new_key);
        let signature = sign(by, labels::SIGN_ROOM_OWNER_KEY, &bytes).0.into();
        RoomCommit {
            generation: 1,
            delta: RoomDelta {
                owner_key: Some(NewOwnerKey { key: new_key.into(), signature }),
                ..RoomDelta::default()
            },
            ..commit(1, 1)
        }
    };
    assert_eq!(code(clients[0].ask(Request::RoomCommit(with(&key))).await), ErrorCode::InvalidSignature);
    seq(clients[0].ask(Request::RoomCommit(with(&owner_key()))).await);
    common::quiet(&relay);
}

#[tokio::test]
async fn leaving_frees_the_slug_and_tells_the_others() {
    let relay = Fixture::open().await;
    let (people, mut clients) = people(&relay, 2).await;
    filled(&people, &mut clients, 1).await;
    let leave = |proposal: Option<u64>| {
        let proposal = proposal.map(|epoch| LeaveProposal {
            id: EntryId::from_bytes([5; 16]),
            generation: 0,
            epoch,
            bytes: b"bye".to_vec().try_into_bounded(),
        });
        Request::RoomLeave(RoomLeave { room: room(1), account: true, proposal, state_generation: 0 })
    };
    assert!(matches!(clients[1].ask(leave(Some(0))).await, Response::EpochPassed(_)));
    assert_eq!(seq(clients[1].ask(leave(Some(1))).await), 2);
    assert_eq!(pushed_after(&mut clients[0], 0, 1).await[0].kind, EntryKind::Proposal);
    assert_eq!(code(clients[1].ask(message(1, 1, "still")).await), ErrorCode::UnknownRoom);
    // A commit that did not know of it is told where the room is, and what came.
    let answer = clients[0].ask(Request::RoomCommit(RoomCommit { after: 1, ..commit(1, 1) })).await;
    let Response::EpochPassed(passed) = answer else { panic!("{answer:?}") };
    assert_eq!((passed.epoch, passed.entries.len(), passed.entries[0].kind), (1, 1, EntryKind::Proposal));
    assert_eq!(seq(clients[0].ask(Request::RoomCommit(RoomCommit { after: 2, ..commit(1, 1) })).await), 3);
    // Proposals come with a leave, and in no other way.
    let Request::RoomPost(proposal) = message(1, 2, "bye") else { panic!() };
    let proposal = Request::RoomPost(RoomPost { kind: EntryKind::Proposal, ..proposal });
    assert_eq!(code(clients[0].ask(proposal).await), ErrorCode::BadRequest);
    assert_eq!(filled(&people, &mut clients, 9).await, 1);
    let silent =
        Request::RoomLeave(RoomLeave { room: room(9), account: false, proposal: None, state_generation: 0 });
    assert!(matches!(clients[1].ask(silent).await, Response::Done(_)));
    loop {
        if let Push::RoomChanged(changed) = clients[0].push().await {
            break assert_eq!(changed, RoomChanged { room: room(9), change: RoomChange::Roster });
        }
    }
    assert!(matches!(create(&mut clients[0], 2, Some(listing("mine"))).await, Response::Done(_)));
    let gone =
        Request::RoomLeave(RoomLeave { room: room(2), account: false, proposal: None, state_generation: 0 });
    assert!(matches!(clients[0].ask(gone).await, Response::Done(_)));
    assert!(matches!(create(&mut clients[1], 3, Some(listing("mine"))).await, Response::Done(_)));
    common::quiet(&relay);
}

#[tokio::test]
async fn r43_rooms_posts_and_signals_have_their_rates() {
    let relay = Fixture::with(limited(|limits| {
        limits.rooms_created = Quota { burst: 2, refill: 1, period_ms: 600_000 };
        limits.room_posts = Quota { burst: 3, refill: 1, period_ms: 600_000 };
        limits.room_signals = Quota { burst: 1, refill: 1, period_ms: 600_000 };
        limits.key_package_claims = Quota { burst: 1, refill: 1, period_ms: 600_000 };
    }))
    .await;
    let (people, mut clients) = people(&relay, 2).await;
    assert!(matches!(create(&mut clients[1], 9, Some(listing("taken"))).await, Response::Done(_)));
    assert!(matches!(create(&mut clients[0], 1, None).await, Response::Done(_)));
    for _ in 0..4 {
        // What is refused does not count.
        assert_eq!(code(create(&mut clients[0], 2, Some(listing("taken"))).await), ErrorCode::SlugTaken);
    }
    assert!(matches!(create(&mut clients[0], 2, None).await, Response::Done(_)));
    assert_eq!(code(create(&mut clients[0], 3, None).await), ErrorCode::RateLimited, "a flood of rooms");
    for text in ["a", "b", "c"] {
        seq(clients[0].ask(message(1, 0, text)).await);
    }
    assert_eq!(code(clients[0].ask(message(1, 0, "d")).await), ErrorCode::RateLimited);
    seq(clients[0].ask(message(2, 0, "another room")).await);
    let typing = RoomEphemeral { room: room(1), bytes: b"x".to_vec().try_into_bounded() };
    assert!(matches!(clients[0].ask(Request::RoomEphemeral(typing.clone())).await, Response::Done(_)));
    assert_eq!(code(clients[0].ask(Request::RoomEphemeral(typing)).await), ErrorCode::RateLimited);
    let claim = KeyPackageClaim {
        account: people[1].name.clone(),
        devices: BoundedFrom::bounded(vec![Device::id(1)]),
        suite: 1,
    };
    let package = NewKeyPackage {
        key_id: 1,
        expires_at: common::now() + 1_000_000,
        bytes: b"a key package".to_vec().try_into_bounded(),
    };
    let upload = KeyPackageUpload { suite: 1, packages: Default::default(), last_resort: Some(package) };
    assert!(matches!(clients[1].ask(Request::KeyPackageUpload(upload)).await, Response::KeyPackageCounts(_)));
    let Response::KeyPackages(got) = clients[0].ask(Request::KeyPackageClaim(claim.clone())).await else {
        panic!()
    };
    assert_eq!(&got.packages[0].bytes[..], b"a key package");
    assert!(matches!(clients[1].push().await, Push::KeyPackagesLow(low) if low.suites[0].last_resort_used));
    assert_eq!(code(clients[0].ask(Request::KeyPackageClaim(claim.clone())).await), ErrorCode::RateLimited);
    // A new device of one's own is added to each of one's rooms.
    for room in 0..20 {
        let own = clients[1].ask(Request::KeyPackageClaim(claim.clone())).await;
        assert!(matches!(&own, Response::KeyPackages(got) if got.packages.len() == 1), "{room}: {own:?}");
    }
    common::quiet(&relay);
}

#[tokio::test]
async fn a_lobby_is_told_to_who_asks() {
    let relay =
        Fixture::with(subrosa_server::Config { lobby: Some("lobby".into()), ..common::lifted() }).await;
    let (_, mut clients) = people(&relay, 1).await;
    let Response::RelayInfo(info) = clients[0].ask(Request::RelayShow(Empty {})).await else { panic!() };
    assert_eq!((info.lobby, info.room_days), (Some(Slug::new("lobby").unwrap()), 30));
}
