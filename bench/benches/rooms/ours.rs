//! Ours: with the rules, and an encrypted store on disk for each member who computes.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use subrosa_client::store::Store;
use subrosa_crypto::device::DeviceSecrets;
use subrosa_rooms::{
    Delta, Invitee, Listed, Me, OwnerKey, Plan, Policy, Room, RoomDevice, RoomError, Slot, Suite, Verdict,
    Visibility, key_packages, limits, store::MemoryStore,
};

use crate::{Round, timed};

const NOW: u64 = 1_800_000_000_000;
const ROOM: [u8; 16] = [7; 16];
const TEXT: [u8; 600] = [7; 600];

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A member with a store on disk, and its room in memory as the engine keeps it.
struct Member {
    name: String,
    secrets: DeviceSecrets,
    store: Store,
    room: Option<Room>,
    _folder: tempfile::TempDir,
}

/// Two members who compute; the others are leaves.
pub(crate) struct Ours {
    alice: Member,
    bob: Member,
    keys: Vec<[u8; 32]>,
    suite: Suite,
    guests: usize,
}

type Failed = RoomError;

fn me<'a>(name: &'a str, secrets: &'a DeviceSecrets) -> Me<'a> {
    Me { account: name, account_key: [1; 32], device: 1, secrets }
}

/// Everybody is `userN`, and its key the Nth.
fn lists(keys: &[[u8; 32]]) -> impl Fn(&RoomDevice) -> Listed + '_ {
    |device| {
        let nth = device.account.strip_prefix("user").and_then(|nth| nth.parse::<usize>().ok());
        nth.and_then(|nth| keys.get(nth))
            .map_or(Listed::Absent, |key| Listed::Listed { signing_key: *key, account_key: [1; 32] })
    }
}

impl Member {
    fn new(name: String, secrets: DeviceSecrets) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_at(&folder.path().join("store"), &[1; 32]).unwrap();
        Self { name, secrets, store, room: None, _folder: folder }
    }

    fn commit(&mut self, plan: Plan, keys: &[[u8; 32]]) -> (Vec<u8>, Delta, Option<Vec<u8>>) {
        let Self { name, secrets, store, room, .. } = self;
        let room = room.as_mut().unwrap();
        let made: Result<_, Failed> =
            store.transaction(|tx| room.commit(tx, &mut rng(), me(name, secrets), plan, &lists(keys), NOW));
        let made = made.unwrap();
        let merged: Result<_, Failed> =
            store.transaction(|tx| room.merge_pending(tx, &mut rng(), &made.hash, NOW));
        merged.unwrap();
        (made.commit, made.delta, made.welcome)
    }

    fn follow(&mut self, commit: &[u8], delta: &Delta, keys: &[[u8; 32]]) {
        let Self { store, room, .. } = self;
        let verdict: Result<_, Failed> = store.transaction(|tx| {
            room.as_mut().unwrap().receive_commit(tx, &mut rng(), commit, delta, &lists(keys), NOW)
        });
        assert!(matches!(verdict.unwrap(), Verdict::Accept(_)));
    }

    fn join(&mut self, welcome: &[u8], keys: &[[u8; 32]]) {
        let Self { name, secrets, store, .. } = self;
        let joined: Result<_, Failed> = store
            .transaction(|tx| Room::join(tx, &mut rng(), me(name, secrets), welcome, ROOM, 0, &lists(keys)));
        self.room = Some(joined.unwrap().room);
    }

    fn group_info(&mut self) -> Vec<u8> {
        let Self { name, secrets, store, room, .. } = self;
        let info: Result<_, Failed> =
            store.transaction(|tx| room.as_ref().unwrap().group_info(tx, &mut rng(), me(name, secrets)));
        info.unwrap()
    }

    /// The commit by which it joins, as soon as the relay has accepted that.
    fn join_from_outside(&mut self, info: &[u8], keys: &[[u8; 32]]) -> (Vec<u8>, Delta, Vec<u8>) {
        let Self { name, secrets, store, room, .. } = self;
        let made: Result<_, Failed> = store.transaction(|tx| {
            let me = me(name, secrets);
            Room::join_external(tx, &mut rng(), me, info, ROOM, 0, &lists(keys), NOW)
        });
        let (mut joined, made) = made.unwrap();
        let merged: Result<_, Failed> =
            store.transaction(|tx| joined.merge_pending(tx, &mut rng(), &made.hash, NOW));
        merged.unwrap();
        *room = Some(joined);
        (made.commit, made.delta, made.group_info.unwrap())
    }

    fn package(&mut self, suite: Suite, keys: &[[u8; 32]]) -> Invitee {
        let Self { name, secrets, store, .. } = self;
        let made: Result<_, Failed> =
            store.transaction(|tx| key_packages::make(tx, &mut rng(), me(name, secrets), suite, false, NOW));
        let device = RoomDevice::new(name.clone(), 1);
        key_packages::check(&made.unwrap().bytes, &device, suite, &lists(keys), NOW).unwrap()
    }
}

impl Ours {
    pub(crate) fn new(size: usize, suite: Suite, visibility: Visibility) -> Self {
        let secrets: Vec<_> = (0..size).map(|_| DeviceSecrets::generate(&mut rng())).collect();
        let keys: Vec<_> = secrets.iter().map(|secrets| secrets.verifying_key().0).collect();
        let mut secrets = secrets.into_iter();
        let mut alice = Member::new("user0".into(), secrets.next().unwrap());
        let mut bob = Member::new("user1".into(), secrets.next().unwrap());
        let owner = OwnerKey::generate(&mut rng()).public();
        let policy = Policy::new(ROOM, visibility, "Room", "user0", owner);
        let room: Result<_, Failed> = alice
            .store
            .transaction(|tx| Room::create(tx, &mut rng(), me("user0", &alice.secrets), &policy, suite, NOW));
        alice.room = Some(room.unwrap());
        let add = vec![bob.package(suite, &keys)];
        let (_, _, welcome) = alice.commit(Plan { add, ..Plan::default() }, &keys);
        bob.join(&welcome.unwrap(), &keys);
        let others: Vec<_> = secrets
            .enumerate()
            .map(|(nth, secrets)| {
                let name = format!("user{}", nth + 2);
                let made = key_packages::make(
                    &MemoryStore::new(),
                    &mut rng(),
                    me(&name, &secrets),
                    suite,
                    false,
                    NOW,
                )
                .unwrap();
                key_packages::check(&made.bytes, &RoomDevice::new(name, 1), suite, &lists(&keys), NOW)
                    .unwrap()
            })
            .collect();
        for add in others.chunks(limits::PROPOSALS_MAX) {
            let (commit, delta, _) = alice.commit(Plan { add: add.to_vec(), ..Plan::default() }, &keys);
            bob.follow(&commit, &delta, &keys);
        }
        Self { alice, bob, keys, suite, guests: size }
    }

    pub(crate) fn round(&mut self) -> Round {
        let Self { alice, bob, keys, suite, guests } = self;
        let Round { mut took, mut bytes } = Round::default();
        let sealed: Result<_, Failed> = timed(&mut took[0], || {
            let Member { name, secrets, store, room, .. } = alice;
            let room = room.as_mut().unwrap();
            store.transaction(|tx| {
                room.seal(tx, &mut rng(), me(name, secrets), [1; 16], Slot::Next, &TEXT, NOW)
            })
        });
        let sealed = sealed.unwrap().bytes;
        let opened: Result<_, Failed> = timed(&mut took[1], || {
            let Member { store, room, .. } = bob;
            store.transaction(|tx| room.as_mut().unwrap().open(tx, &mut rng(), &sealed, &lists(keys), NOW))
        });
        opened.unwrap().unwrap();
        let secrets = DeviceSecrets::generate(&mut rng());
        keys.push(secrets.verifying_key().0);
        let mut guest = Member::new(format!("user{guests}"), secrets);
        *guests += 1;
        let invitee = guest.package(*suite, keys);
        let plan = Plan { add: vec![invitee], ..Plan::default() };
        let (commit, delta, welcome) = timed(&mut took[2], || alice.commit(plan, keys));
        timed(&mut took[3], || bob.follow(&commit, &delta, keys));
        let welcome = welcome.unwrap();
        (bytes[0], bytes[1], bytes[2]) = (sealed.len(), commit.len(), welcome.len());
        timed(&mut took[4], || guest.join(&welcome, keys));
        let plan = Plan { renew: true, ..Plan::default() };
        let (commit, delta, _) = timed(&mut took[5], || alice.commit(plan, keys));
        timed(&mut took[6], || bob.follow(&commit, &delta, keys));
        let plan = Plan { remove: [RoomDevice::new(guest.name, 1)].into(), ..Plan::default() };
        let (commit, delta, _) = timed(&mut took[7], || alice.commit(plan, keys));
        timed(&mut took[8], || bob.follow(&commit, &delta, keys));
        bytes[3] = commit.len();
        Round { took, bytes }
    }

    /// Somebody joins a public room from outside, and is removed again.
    pub(crate) fn public_round(&mut self, round: &mut Round) {
        let Self { alice, bob, keys, guests, .. } = self;
        let secrets = DeviceSecrets::generate(&mut rng());
        keys.push(secrets.verifying_key().0);
        let mut guest = Member::new(format!("user{guests}"), secrets);
        *guests += 1;
        let info = alice.group_info();
        let (commit, delta, info) = timed(&mut round.took[9], || guest.join_from_outside(&info, keys));
        timed(&mut round.took[10], || bob.follow(&commit, &delta, keys));
        alice.follow(&commit, &delta, keys);
        (round.bytes[4], round.bytes[5]) = (commit.len(), info.len());
        let plan = Plan { remove: [RoomDevice::new(guest.name, 1)].into(), ..Plan::default() };
        let (commit, delta, _) = alice.commit(plan, keys);
        bob.follow(&commit, &delta, keys);
    }
}
