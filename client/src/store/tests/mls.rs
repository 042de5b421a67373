//! Rooms in the store: one transaction with everything else, and nothing changed by what cannot be read.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use subrosa_crypto::device::DeviceSecrets;
use subrosa_rooms::{
    Delta, Listed, Me, OwnerKey, Plan, Policy, Refusal, Room, RoomDevice, RoomError, Slot, StoreFailure,
    Suite, Verdict, Visibility, key_packages,
    store::{Part, RoomStore},
};

use super::*;
use crate::store::StoreError;

const ROOM: [u8; 16] = [7; 16];
const NOW: u64 = 1_800_000_000_000;

type Failed = RoomError;

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<StoreFailure> for Trouble {
    fn from(failure: StoreFailure) -> Self {
        Self(failure.to_string())
    }
}

impl From<Failed> for Trouble {
    fn from(error: Failed) -> Self {
        Self(error.to_string())
    }
}

#[derive(Debug)]
struct Trouble(String);

struct Device {
    name: &'static str,
    secrets: DeviceSecrets,
    store: Store,
}

impl Device {
    fn new(name: &'static str, store: Store) -> Self {
        Self { name, secrets: DeviceSecrets::generate(&mut rng()), store }
    }
}

fn me<'a>(name: &'a str, secrets: &'a DeviceSecrets) -> Me<'a> {
    Me { account: name, account_key: [1; 32], device: 1, secrets }
}

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Alice's room, with bob in it.
fn room_of_two(alice: &mut Device, bob: &mut Device) -> impl Fn(&RoomDevice) -> Listed + use<> {
    let keys = [(alice.name, alice.secrets.verifying_key().0), (bob.name, bob.secrets.verifying_key().0)];
    let lists = move |device: &RoomDevice| {
        let found = keys.iter().find(|(name, _)| *name == device.account);
        found.map_or(Listed::Absent, |(_, key)| Listed::Listed { signing_key: *key, account_key: [1; 32] })
    };
    let package = bob.store.transaction(|tx| {
        key_packages::make(tx, &mut rng(), me(bob.name, &bob.secrets), Suite::Classic, false, NOW)
    });
    let package: Result<_, Failed> = package;
    let bob_id = RoomDevice::new(bob.name, 1);
    let invitee = key_packages::check(&package.unwrap().bytes, &bob_id, Suite::Classic, &lists, NOW).unwrap();
    let key = OwnerKey::generate(&mut rng()).public();
    let policy = Policy::new(ROOM, Visibility::Private, "Room", alice.name, key);
    let welcome: Result<_, Failed> = alice.store.transaction(|tx| {
        let own = me(alice.name, &alice.secrets);
        let mut room = Room::create(tx, &mut rng(), own, &policy, Suite::Classic, NOW)?;
        let plan = Plan { add: vec![invitee], ..Plan::default() };
        let made = room.commit(tx, &mut rng(), own, plan, &lists, NOW)?;
        room.merge_pending(tx, &mut rng(), &made.hash, NOW)?;
        Ok(made.welcome.unwrap())
    });
    let joined: Result<_, Failed> = bob.store.transaction(|tx| {
        Room::join(tx, &mut rng(), me(bob.name, &bob.secrets), &welcome.unwrap(), ROOM, 0, &lists)
    });
    assert_eq!(joined.unwrap().inviter, RoomDevice::new("alice", 1));
    lists
}

fn pair() -> (Device, Device) {
    (Device::new("alice", store()), Device::new("bob", store()))
}

fn seal(device: &mut Device, text: &[u8]) -> Vec<u8> {
    let sealed: Result<_, Failed> = device.store.transaction(|tx| {
        let mut room = Room::load(tx, ROOM)?.unwrap();
        room.seal(tx, &mut rng(), me(device.name, &device.secrets), [1; 16], Slot::Next, text, NOW)
    });
    sealed.unwrap().bytes
}

fn contents(store: &Store) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let mut rows = store.raw().prepare("SELECT kind, key, value FROM mls_state ORDER BY kind, key").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(std::result::Result::unwrap).collect()
}

#[test]
fn r22_room_state_and_message_row_are_one_transaction() {
    let (mut alice, mut bob) = pair();
    let lists = room_of_two(&mut alice, &mut bob);
    let message = seal(&mut alice, b"hello");
    let mut room = look(&bob.store, |tx| Ok(Room::load(tx, ROOM).unwrap().unwrap()));
    let before = contents(&bob.store);
    // What comes after decrypting fails: neither the row nor the key moves on, and the room in memory goes back too.
    let failed: Result<(), Trouble> = bob.store.transaction(|tx| {
        let opened = room.open(tx, &mut rng(), &message, &lists, NOW)?.unwrap();
        assert_eq!(opened.content, b"hello");
        tx.insert_message(&text(1, "alice", "hello"))?;
        Err(Trouble("the program dies here".into()))
    });
    assert_eq!(failed.unwrap_err().0, "the program dies here");
    assert_eq!(contents(&bob.store), before);
    let done: Result<(), Trouble> = bob.store.transaction(|tx| {
        let opened = room.open(tx, &mut rng(), &message, &lists, NOW)?.unwrap();
        assert_eq!(opened.content, b"hello");
        tx.insert_message(&text(1, "alice", "hello"))?;
        Ok(())
    });
    done.unwrap();
    assert_ne!(contents(&bob.store), before);
    assert!(look(&bob.store, |tx| tx.message(id(1))).is_some());
}

#[test]
fn r23_what_changes_a_room_raises_the_generation_and_r16_what_is_refused_does_not() {
    let (mut alice, mut bob) = pair();
    let lists = room_of_two(&mut alice, &mut bob);
    let generation = |device: &Device| look(&device.store, |tx| tx.generation());
    let at = generation(&alice);
    let message = seal(&mut alice, b"hello");
    assert_eq!(generation(&alice), at + 1, "once for the whole transaction");
    let at = generation(&bob);
    let before = contents(&bob.store);
    for nth in 0..message.len() {
        let mut bad = message.clone();
        bad[nth] ^= 1;
        let opened: Result<_, Failed> = bob.store.transaction(|tx| {
            let mut room = Room::load(tx, ROOM)?.unwrap();
            assert!(matches!(
                room.receive_commit(tx, &mut rng(), &bad, &Delta::default(), &lists, NOW)?,
                Verdict::Refuse(_)
            ));
            room.open(tx, &mut rng(), &bad, &lists, NOW)
        });
        opened.unwrap().unwrap_err();
    }
    assert_eq!(contents(&bob.store), before);
    assert_eq!(generation(&bob), at);
    let opened: Result<_, Failed> = bob
        .store
        .transaction(|tx| Room::load(tx, ROOM)?.unwrap().open(tx, &mut rng(), &message, &lists, NOW));
    assert_eq!(opened.unwrap().unwrap().content, b"hello");
    assert_eq!(generation(&bob), at + 1);
}

#[test]
fn r32_a_pending_commit_is_there_when_the_store_is_opened_again() {
    let directory = private_directory();
    let path = directory.path().join("store");
    let key = [5; 32];
    let mut alice = Device::new("alice", Store::open_at(&path, &key).unwrap());
    let mut bob = Device::new("bob", store());
    let lists = room_of_two(&mut alice, &mut bob);
    let made: Result<_, Failed> = alice.store.transaction(|tx| {
        let own = me(alice.name, &alice.secrets);
        let plan = Plan { renew: true, ..Plan::default() };
        Room::load(tx, ROOM)?.unwrap().commit(tx, &mut rng(), own, plan, &lists, NOW)
    });
    let made = made.unwrap();
    // Not closed: what was committed has to be there all the same.
    let Device { name, secrets, store } = alice;
    drop(store);
    let mut alice = Device { name, secrets, store: Store::open_at(&path, &key).unwrap() };
    let merged: Result<_, Failed> = alice.store.transaction(|tx| {
        let mut room = Room::load(tx, ROOM)?.unwrap();
        assert_eq!(room.pending().unwrap().hash, made.hash);
        room.merge_pending(tx, &mut rng(), &made.hash, NOW)
    });
    assert_eq!(merged.unwrap().epoch, 2);
    let followed: Result<_, Failed> = bob.store.transaction(|tx| {
        Room::load(tx, ROOM)?.unwrap().receive_commit(tx, &mut rng(), &made.commit, &made.delta, &lists, NOW)
    });
    assert!(matches!(followed.unwrap(), Verdict::Accept(_)));
    let message = seal(&mut alice, b"after the restart");
    let opened: Result<_, Failed> = bob
        .store
        .transaction(|tx| Room::load(tx, ROOM)?.unwrap().open(tx, &mut rng(), &message, &lists, NOW));
    assert_eq!(opened.unwrap().unwrap().content, b"after the restart");
}

#[test]
fn keys_are_listed_by_their_beginning_and_bounded() {
    let mut store = store();
    change(&mut store, |tx| {
        for key in [&b"a1"[..], b"a2", b"b", &[0xff, 0xff], &[0xff, 0xff, 1]] {
            tx.put(Part::Proposal, key, b"value")?;
            tx.put(Part::Piece, key, b"other")?;
        }
        tx.remove(Part::Proposal, b"b")?;
        assert_eq!(tx.keys(Part::Proposal, b"a")?, [b"a1".to_vec(), b"a2".to_vec()]);
        assert_eq!(tx.keys(Part::Proposal, b"b")?, Vec::<Vec<u8>>::new());
        assert_eq!(tx.keys(Part::Proposal, &[0xff, 0xff])?.len(), 2);
        assert_eq!(tx.keys(Part::Proposal, b"")?.len(), 4);
        assert_eq!(tx.get(Part::Piece, b"b")?, Some(b"other".to_vec()));
        let long = tx.put(Part::Piece, &[0; 257], b"").map_err(StoreError::from);
        assert!(matches!(long, Err(StoreError::Limit(_))));
        tx.erase_rooms()?;
        assert_eq!(tx.keys(Part::Piece, b"")?, Vec::<Vec<u8>>::new());
        Ok(())
    });
}

#[test]
fn a_damaged_room_is_told_and_not_followed() {
    let (mut alice, mut bob) = pair();
    let lists = room_of_two(&mut alice, &mut bob);
    let message = seal(&mut alice, b"hello");
    for part in [Part::Tree, Part::Context, Part::MessageSecrets, Part::Config, Part::Record] {
        let seen: Result<(), Trouble> = bob.store.transaction(|tx| {
            for key in tx.keys(part, b"")? {
                tx.put(part, &key, b"garbage")?;
            }
            let opened = Room::load(tx, ROOM)
                .and_then(|room| room.unwrap().open(tx, &mut rng(), &message, &lists, NOW));
            assert!(matches!(opened, Err(RoomError::Storage(_))), "{part:?}");
            Err(Trouble("undone".into()))
        });
        assert_eq!(seen.unwrap_err().0, "undone");
    }
    let opened: Result<_, Failed> = bob
        .store
        .transaction(|tx| Room::load(tx, ROOM)?.unwrap().open(tx, &mut rng(), &message, &lists, NOW));
    assert!(matches!(opened.unwrap(), Ok(_) | Err(Refusal::Own)));
}
