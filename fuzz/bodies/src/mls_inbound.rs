//! `mls_inbound`: everything of a room that others, or a relay, hand to a client.
//!
//! Input: one byte for what is given, then edits of the genuine object (two bytes where, one byte what), or raw bytes.
//!
//! - What is not the genuine object is refused and changes no stored byte (R16), or has exactly its effect: the room is in
//!   the same epoch with the same head, the same text is read.
//! - The genuine object is accepted, and read once.
//! - A policy or key package that parses is one that the rules allow; a policy is written again as it was read (R9).

use subrosa_crypto::device::DeviceSecrets;
use subrosa_rooms::{
    Delta, Head, Listed, Me, OwnerKey, Plan, Policy, Refusal, Room, RoomDevice, Slot, Suite, Verdict,
    Visibility, key_packages, store::MemoryStore,
};

use crate::{rng::SeededRng, script::Script};

const ROOM: [u8; 16] = [0x77; 16];
const NOW: u64 = 1_800_000_000_000;
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// A room of alice, bob and dave, as bob is about to hear of it; carol is about to join.
struct Scene {
    secrets: [DeviceSecrets; 4],
    bob: MemoryStore,
    carol: MemoryStore,
    message: Vec<u8>,
    leave: Vec<u8>,
    commit: Vec<u8>,
    delta: Delta,
    /// The head after the commit.
    head: Head,
    /// The commit that adds carol, and its welcome.
    welcome: Vec<u8>,
    welcomed: Head,
    group_info: Vec<u8>,
    key_package: Vec<u8>,
    policy: Policy,
}

thread_local! {
    static SCENE: Scene = Scene::new();
}

/// Makes the room.
pub fn prepare() {
    SCENE.with(|_| ());
}

/// One input.
pub fn run(data: &[u8]) {
    SCENE.with(|scene| scene.run(data));
}

/// Raw forms of the genuine objects, for the corpus.
#[must_use]
pub fn objects() -> Vec<Vec<u8>> {
    SCENE.with(|scene| {
        let objects = [
            &scene.message,
            &scene.leave,
            &scene.commit,
            &scene.welcome,
            &scene.group_info,
            &scene.key_package,
        ];
        let mut seeds: Vec<_> = objects.iter().map(|object| [&[6][..], object].concat()).collect();
        seeds.push([&[6][..], &scene.policy.to_bytes()].concat());
        seeds.extend((0..7).map(|kind| vec![kind, 40, 0, 1]));
        seeds
    })
}

impl Scene {
    fn new() -> Self {
        let mut rng = SeededRng::new(77);
        let secrets = [(); 4].map(|()| DeviceSecrets::generate(&mut rng));
        let lists = lists(&secrets);
        let stores = [(); 4].map(|()| MemoryStore::new());
        let [alice, bob, carol, dave] = &stores;
        let owner_key = OwnerKey::generate(&mut rng);
        let policy = Policy::new(ROOM, Visibility::Public, "Room", NAMES[0], owner_key.public());
        let me = |who: usize| me(&secrets, who);
        let mut package = |store: &MemoryStore, who: usize| {
            let made = key_packages::make(store, &mut rng, me(who), Suite::Classic, false, NOW).unwrap();
            let checked = key_packages::check(&made.bytes, &id(who), Suite::Classic, &lists, NOW).unwrap();
            (made.bytes, checked)
        };
        let (_, first) = package(bob, 1);
        let (key_package, invited) = package(carol, 2);
        let (_, third) = package(dave, 3);
        let mut room = Room::create(alice, &mut rng, me(0), &policy, Suite::Classic, NOW).unwrap();
        let plan = Plan { add: vec![first, third], ..Plan::default() };
        let made = room.commit(alice, &mut rng, me(0), plan, &lists, NOW).unwrap();
        room.merge_pending(alice, &mut rng, &made.hash, NOW).unwrap();
        let group_info = made.group_info.unwrap();
        let joined = made.welcome.unwrap();
        Room::join(bob, &mut rng, me(1), &joined, ROOM, 0, &lists).unwrap();
        let mut third = Room::join(dave, &mut rng, me(3), &joined, ROOM, 0, &lists).unwrap().room;
        let message = room.seal(alice, &mut rng, me(0), [1; 16], Slot::Next, b"hello", NOW).unwrap().bytes;
        let leave = third.leave(dave, &mut rng, me(3), NOW).unwrap();
        // Two futures: one in which alice renews her leaf, one in which she adds carol.
        let other = alice.clone();
        let mut apart = Room::load(&other, ROOM).unwrap().unwrap();
        let plan = Plan { add: vec![invited], ..Plan::default() };
        let added = apart.commit(&other, &mut rng, me(0), plan, &lists, NOW).unwrap();
        apart.merge_pending(&other, &mut rng, &added.hash, NOW).unwrap();
        let plan = Plan { renew: true, ..Plan::default() };
        let made = room.commit(alice, &mut rng, me(0), plan, &lists, NOW).unwrap();
        room.merge_pending(alice, &mut rng, &made.hash, NOW).unwrap();
        let (bob, carol) = (bob.clone(), carol.clone());
        Self {
            bob,
            carol,
            message,
            leave,
            commit: made.commit,
            delta: made.delta,
            head: room.head(),
            welcome: added.welcome.unwrap(),
            welcomed: apart.head(),
            group_info,
            key_package,
            policy,
            secrets,
        }
    }

    fn run(&self, data: &[u8]) {
        let mut script = Script::new(data);
        let kind = script.byte();
        match kind % 7 {
            0 => self.commit(&edited(&self.commit, script)),
            1 => self.leave(&edited(&self.leave, script)),
            2 => self.message(&edited(&self.message, script)),
            3 => self.welcome(&edited(&self.welcome, script)),
            4 => self.group_info(&edited(&self.group_info, script)),
            5 => self.key_package(&edited(&self.key_package, script)),
            _ => {
                let raw = script.rest();
                self.commit(raw);
                self.leave(raw);
                self.message(raw);
                self.welcome(raw);
                self.group_info(raw);
                self.key_package(raw);
                if let Ok(policy) = Policy::from_bytes(raw) {
                    assert_eq!(policy.to_bytes(), raw, "canonical");
                    assert_eq!(policy.check(), Ok(()));
                }
            }
        }
    }

    fn commit(&self, bytes: &[u8]) {
        let (store, mut rng) = (self.bob.clone(), SeededRng::new(1));
        let mut room = Room::load(&store, ROOM).unwrap().unwrap();
        let verdict =
            room.receive_commit(&store, &mut rng, bytes, &self.delta, &lists(&self.secrets), NOW).unwrap();
        match verdict {
            Verdict::Accept(_) => assert_eq!(room.head(), self.head),
            Verdict::Refuse(_) => {
                assert!(bytes != self.commit, "the genuine commit is refused");
                assert_eq!(store.contents(), self.bob.contents());
            }
            Verdict::NeedLists(_) => panic!("all lists are known"),
        }
    }

    fn leave(&self, bytes: &[u8]) {
        let (store, mut rng) = (self.bob.clone(), SeededRng::new(1));
        let mut room = Room::load(&store, ROOM).unwrap().unwrap();
        match room.receive_leave(&store, &mut rng, bytes, NOW).unwrap() {
            Ok(who) => assert_eq!(who, id(3)),
            Err(_) => {
                assert!(bytes != self.leave, "the genuine proposal is refused");
                assert_eq!(store.contents(), self.bob.contents());
            }
        }
    }

    fn message(&self, bytes: &[u8]) {
        let (store, mut rng) = (self.bob.clone(), SeededRng::new(1));
        let mut room = Room::load(&store, ROOM).unwrap().unwrap();
        let lists = lists(&self.secrets);
        match room.open(&store, &mut rng, bytes, &lists, NOW).unwrap() {
            Ok(opened) => {
                assert_eq!((opened.sender, opened.content), (id(0), b"hello".to_vec()));
                let again = room.open(&store, &mut rng, bytes, &lists, NOW).unwrap();
                assert_eq!(again, Err(Refusal::Unreadable), "read twice");
            }
            Err(_) => {
                assert!(bytes != self.message, "the genuine message is refused");
                assert_eq!(store.contents(), self.bob.contents());
            }
        }
    }

    fn welcome(&self, bytes: &[u8]) {
        let (store, mut rng) = (self.carol.clone(), SeededRng::new(1));
        match Room::join(&store, &mut rng, me(&self.secrets, 2), bytes, ROOM, 0, &lists(&self.secrets)) {
            Ok(joined) => assert_eq!(joined.room.head(), self.welcomed),
            Err(_) => {
                assert!(bytes != self.welcome, "the genuine welcome is refused");
                assert_eq!(store.contents(), self.carol.contents());
            }
        }
    }

    fn group_info(&self, bytes: &[u8]) {
        let (store, mut rng) = (self.carol.clone(), SeededRng::new(1));
        let me = me(&self.secrets, 2);
        match Room::join_external(&store, &mut rng, me, bytes, ROOM, 0, &lists(&self.secrets), NOW) {
            Ok((room, made)) => {
                assert_eq!(room.policy(), &self.policy);
                assert_eq!(room.members(), [id(0), id(1), id(2), id(3)]);
                assert_eq!(made.delta.added, [id(2)].into());
            }
            Err(_) => {
                assert!(bytes != self.group_info, "the genuine group info is refused");
                assert_eq!(store.contents(), self.carol.contents());
            }
        }
    }

    fn key_package(&self, bytes: &[u8]) {
        match key_packages::check(bytes, &id(2), Suite::Classic, &lists(&self.secrets), NOW) {
            Ok(checked) => assert_eq!(checked.device, id(2)),
            Err(_) => assert!(bytes != self.key_package, "the genuine key package is refused"),
        }
    }
}

fn id(who: usize) -> RoomDevice {
    RoomDevice::new(NAMES[who], 1)
}

fn me(secrets: &[DeviceSecrets; 4], who: usize) -> Me<'_> {
    Me { account: NAMES[who], account_key: [who as u8; 32], device: 1, secrets: &secrets[who] }
}

fn lists(secrets: &[DeviceSecrets; 4]) -> impl Fn(&RoomDevice) -> Listed + use<> {
    let keys = secrets.each_ref().map(|secrets| secrets.verifying_key().0);
    move |device| match (0..4).find(|who| id(*who) == *device) {
        Some(who) => Listed::Listed { signing_key: keys[who], account_key: [who as u8; 32] },
        None => Listed::Absent,
    }
}

/// The object with bytes changed, cut, doubled or inserted.
fn edited(object: &[u8], mut script: Script<'_>) -> Vec<u8> {
    let mut bytes = object.to_vec();
    while let Some(edit) = script.next_byte() {
        let at = script.below(bytes.len().max(1));
        match edit % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, script.byte()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] ^= script.byte(),
            _ => {}
        }
    }
    bytes
}
