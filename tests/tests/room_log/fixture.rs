//! Requests about rooms, and people who make them.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EntryId, EnvelopeId, ErrorCode, RoomId, Slug, frames::*,
};
use subrosa_tests::{
    World,
    raw_client::{Identity, Session, identity::random, session::refused},
};

pub(crate) const ROOM: RoomId = RoomId::from_bytes([0x77; 16]);

pub(crate) fn to(world: &World) -> SocketAddr {
    world.relay.quic.parse().unwrap()
}

pub(crate) async fn people(world: &World, count: usize) -> Vec<Identity> {
    let mut people = Vec::with_capacity(count);
    for _ in 0..count {
        people.push(Identity::fresh().registered(to(world)).await);
    }
    people
}

pub(crate) fn device(who: &Identity) -> RoomDevice {
    RoomDevice { account: who.name.clone(), device: DeviceId::new(1).unwrap() }
}

pub(crate) fn listing(slug: &str) -> Listing {
    Listing {
        slug: Slug::new(slug).unwrap(),
        name: BoundedStr::new("A room").unwrap(),
        description: BoundedStr::default(),
    }
}

/// An Ed25519 key: the curve's base point.
pub(crate) fn owner_key() -> [u8; 32] {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
}

pub(crate) fn entry_id() -> EntryId {
    EntryId::from_bytes(random())
}

pub(crate) fn hash_of(bytes: &[u8]) -> ObjectHash {
    ObjectHash(Sha256::digest(bytes).into())
}

/// Puts an object of one piece.
pub(crate) async fn put(session: &mut Session, bytes: &[u8]) -> ObjectHash {
    let hash = hash_of(bytes);
    let object = ObjectRef { hash, size: u32::try_from(bytes.len()).unwrap() };
    let put = ObjectPut { object, offset: 0, piece: BoundedBytes::new(bytes).unwrap() };
    done(session.ask(Request::ObjectPut(put)).await);
    hash
}

pub(crate) fn create(room: RoomId, listing: Option<Listing>, group_info: Option<ObjectHash>) -> RoomCreate {
    RoomCreate { room, owner_key: owner_key().into(), listing, group_info, state_generation: 0 }
}

/// A commit that changes nothing but keys.
pub(crate) fn commit(room: RoomId, epoch: u64) -> RoomCommit {
    RoomCommit {
        room,
        id: entry_id(),
        generation: 0,
        epoch,
        after: 0,
        commit: CommitBody::Inline(BoundedBytes::new(random::<200>()).unwrap()),
        delta: RoomDelta::default(),
        group_info: None,
        welcome: None,
        invitations: Invitations::default(),
        state_generation: 0,
    }
}

/// A commit that adds somebody; its Welcome is to be put before.
pub(crate) fn adding(room: RoomId, epoch: u64, who: &Identity, welcome: &[u8]) -> RoomCommit {
    let invitation = Invitation {
        account: who.name.clone(),
        device: DeviceId::new(1).unwrap(),
        id: EnvelopeId::from_bytes(random()),
        sealed: BoundedBytes::new(random::<300>()).unwrap(),
    };
    RoomCommit {
        delta: RoomDelta { added: list(vec![device(who)]), ..RoomDelta::default() },
        welcome: Some(hash_of(welcome)),
        invitations: Invitations::Inline(list(vec![invitation])),
        ..commit(room, epoch)
    }
}

pub(crate) fn removing(room: RoomId, epoch: u64, who: &Identity) -> RoomCommit {
    let delta = RoomDelta { removed: list(vec![device(who)]), ..RoomDelta::default() };
    RoomCommit { delta, ..commit(room, epoch) }
}

pub(crate) fn list<T, const MAX: usize>(items: Vec<T>) -> BoundedVec<T, MAX> {
    BoundedVec::new(items).ok().unwrap()
}

pub(crate) fn post(room: RoomId, epoch: u64, bytes: &[u8]) -> RoomPost {
    RoomPost {
        room,
        id: entry_id(),
        kind: EntryKind::Application,
        generation: 0,
        epoch,
        bytes: BoundedBytes::new(bytes).unwrap(),
        state_generation: 0,
    }
}

#[track_caller]
pub(crate) fn done(response: Response) {
    assert!(matches!(response, Response::Done(_)), "{response:?}");
}

#[track_caller]
pub(crate) fn seq(response: Response) -> u64 {
    match response {
        Response::RoomAccepted(accepted) => accepted.seq,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn code(response: Response) -> ErrorCode {
    refused(&response).code
}

/// A private room of two, joined; epoch 1.
pub(crate) async fn room_of_two(one: &mut Session, other: &mut Session, who: &Identity) {
    done(one.ask(Request::RoomCreate(create(ROOM, None, None))).await);
    put(one, b"the first welcome").await;
    assert_eq!(seq(one.ask(Request::RoomCommit(adding(ROOM, 0, who, b"the first welcome"))).await), 1);
    done(other.ask(Request::RoomAccept(RoomAccept { room: ROOM, state_generation: 0 })).await);
}

/// Everything of the log that somebody may read, and the room's epoch.
pub(crate) async fn log(session: &mut Session, room: RoomId) -> (Vec<RoomEntry>, u64) {
    let mut entries: Vec<RoomEntry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.seq);
        match session.ask(Request::RoomSync(RoomSync { room, after, max: 48 })).await {
            Response::RoomPage(page) => {
                assert!(!page.gap);
                entries.extend(page.entries.into_inner());
                if !page.more {
                    return (entries, page.epoch);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}
