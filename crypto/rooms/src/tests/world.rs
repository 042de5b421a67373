//! A relay in memory, people with devices, and their stores.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::store::MemoryStore;
use crate::*;
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use subrosa_crypto::device::DeviceSecrets;

pub(super) const ROOM: [u8; 16] = [0x77; 16];

/// One device of one account.
pub(super) struct Person {
    pub(super) name: String,
    pub(super) account_key: [u8; 32],
    pub(super) device: u32,
    pub(super) secrets: DeviceSecrets,
    pub(super) store: MemoryStore,
    pub(super) room: Option<Room>,
    /// The next entry of the log to read.
    pub(super) cursor: usize,
    /// What it read: (sender, text).
    pub(super) read: Vec<(RoomDevice, Vec<u8>)>,
    pub(super) refused: Vec<Refusal>,
}

impl Person {
    pub(super) fn me(&self) -> Me<'_> {
        Me { account: &self.name, account_key: self.account_key, device: self.device, secrets: &self.secrets }
    }

    pub(super) fn id(&self) -> RoomDevice {
        RoomDevice::new(self.name.clone(), self.device)
    }

    pub(super) fn room(&self) -> &Room {
        self.room.as_ref().unwrap()
    }
}

#[derive(Clone)]
pub(super) enum Entry {
    Commit { bytes: Vec<u8>, delta: Box<Delta> },
    Leave(Vec<u8>),
    Message(Vec<u8>),
}

/// Everybody's signed device lists.
#[derive(Default, Clone)]
pub(super) struct Lists(pub(super) BTreeMap<RoomDevice, ([u8; 32], [u8; 32])>, pub(super) BTreeSet<String>);

impl Directory for Lists {
    fn look(&self, device: &RoomDevice) -> Listed {
        if self.1.contains(&device.account) {
            return Listed::Unknown;
        }
        match self.0.get(device) {
            Some((signing_key, account_key)) => {
                Listed::Listed { signing_key: *signing_key, account_key: *account_key }
            }
            None => Listed::Absent,
        }
    }
}

pub(super) struct World {
    pub(super) rng: ChaCha20Rng,
    pub(super) people: Vec<RefCell<Person>>,
    pub(super) lists: Lists,
    pub(super) log: Vec<Entry>,
    /// The relay's epoch: commits are compared with it.
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) group_info: Option<Vec<u8>>,
    pub(super) now: u64,
    pub(super) suite: Suite,
    pub(super) owner_key: OwnerKey,
}

impl World {
    pub(super) fn new(seed: u64, suite: Suite) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha20Rng::from_seed(bytes);
        let owner_key = OwnerKey::generate(&mut rng);
        Self {
            rng,
            people: Vec::new(),
            lists: Lists::default(),
            log: Vec::new(),
            generation: 0,
            epoch: 0,
            group_info: None,
            now: 1_800_000_000_000,
            suite,
            owner_key,
        }
    }

    /// A new device, in its account's list.
    pub(super) fn person(&mut self, name: &str, device: u32) -> usize {
        let account_key = Sha256::digest(name).into();
        let secrets = DeviceSecrets::generate(&mut self.rng);
        self.lists.0.insert(RoomDevice::new(name, device), (secrets.verifying_key().0, account_key));
        self.people.push(RefCell::new(Person {
            name: name.into(),
            account_key,
            device,
            secrets,
            store: MemoryStore::new(),
            room: None,
            cursor: 0,
            read: Vec::new(),
            refused: Vec::new(),
        }));
        self.people.len() - 1
    }

    /// The first of them makes the room.
    pub(super) fn create(&mut self, who: usize, visibility: Visibility) {
        let mut person = self.people[who].borrow_mut();
        let policy = Policy::new(ROOM, visibility, "Room", &person.name, self.owner_key.public());
        let room =
            Room::create(&person.store, &mut self.rng, person.me(), &policy, self.suite, self.now).unwrap();
        if visibility == Visibility::Public {
            self.group_info = Some(room.group_info(&person.store, &mut self.rng, person.me()).unwrap());
        }
        person.cursor = self.log.len();
        person.room = Some(room);
    }

    /// A checked key package of somebody.
    pub(super) fn invitee(&mut self, who: usize) -> Invitee {
        let person = self.people[who].borrow();
        let made = key_packages::make(&person.store, &mut self.rng, person.me(), self.suite, false, self.now)
            .unwrap();
        key_packages::check(&made.bytes, &person.id(), self.suite, &self.lists, self.now).unwrap()
    }

    pub(super) fn plan_add(&mut self, who: &[usize]) -> Plan {
        Plan { add: who.iter().map(|who| self.invitee(*who)).collect(), ..Plan::default() }
    }

    /// Reads the log to its end. Everything has to be accepted unless it is noted as refused.
    pub(super) fn sync(&mut self, who: usize) {
        let mut person = self.people[who].borrow_mut();
        let person = &mut *person;
        while person.cursor < self.log.len() {
            let Some(room) = person.room.as_mut() else { return };
            let entry = self.log[person.cursor].clone();
            person.cursor += 1;
            match entry {
                Entry::Commit { bytes, delta } => {
                    let verdict = room.receive_commit(
                        &person.store,
                        &mut self.rng,
                        &bytes,
                        &delta,
                        &self.lists,
                        self.now,
                    );
                    match verdict.unwrap() {
                        Verdict::Accept(merged) if merged.removed_me => {
                            person.room.take().unwrap().forget(&person.store).unwrap();
                        }
                        Verdict::Accept(_) => {}
                        Verdict::Refuse(refusal) => person.refused.push(refusal),
                        Verdict::NeedLists(accounts) => panic!("lists of {accounts:?}"),
                    }
                }
                Entry::Leave(bytes) => {
                    if let Err(refusal) =
                        room.receive_leave(&person.store, &mut self.rng, &bytes, self.now).unwrap()
                    {
                        person.refused.push(refusal);
                    }
                }
                Entry::Message(bytes) => {
                    match room.open(&person.store, &mut self.rng, &bytes, &self.lists, self.now).unwrap() {
                        Ok(opened) => person.read.push((opened.sender, opened.content)),
                        Err(Refusal::Own) => {}
                        Err(refusal) => person.refused.push(refusal),
                    }
                }
            }
        }
    }

    pub(super) fn sync_all(&mut self) {
        (0..self.people.len()).for_each(|who| self.sync(who));
    }

    /// Makes a commit without offering it to the relay.
    pub(super) fn make(&mut self, who: usize, plan: Plan) -> Result<OwnCommit, RoomError> {
        let mut person = self.people[who].borrow_mut();
        let person = &mut *person;
        let me = Me {
            account: &person.name,
            account_key: person.account_key,
            device: person.device,
            secrets: &person.secrets,
        };
        person.room.as_mut().unwrap().commit(&person.store, &mut self.rng, me, plan, &self.lists, self.now)
    }

    /// Offers a commit to the relay: taken when it names the relay's generation and epoch.
    pub(super) fn offer(&mut self, made: &OwnCommit) -> bool {
        if (made.generation, made.epoch) != (self.generation, self.epoch) {
            return false;
        }
        self.epoch += 1;
        self.log.push(Entry::Commit { bytes: made.commit.clone(), delta: Box::new(made.delta.clone()) });
        if made.group_info.is_some() {
            self.group_info = made.group_info.clone();
        }
        true
    }

    /// Catches up, commits, and merges; the added ones join.
    pub(super) fn commit(&mut self, who: usize, plan: Plan) -> OwnCommit {
        self.sync(who);
        let made = self.make(who, plan).unwrap();
        assert!(self.offer(&made));
        self.sync(who);
        self.welcome(&made);
        made
    }

    /// Those whom a commit added join by its welcome.
    pub(super) fn welcome(&mut self, made: &OwnCommit) {
        let Some(welcome) = &made.welcome else { return };
        for who in 0..self.people.len() {
            if made.delta.added.contains(&self.people[who].borrow().id()) {
                self.join(who, welcome).unwrap();
            }
        }
    }

    pub(super) fn join(&mut self, who: usize, welcome: &[u8]) -> Result<(), RoomError> {
        let mut person = self.people[who].borrow_mut();
        let joined = Room::join(
            &person.store,
            &mut self.rng,
            person.me(),
            welcome,
            ROOM,
            self.generation,
            &self.lists,
        )?;
        person.room = Some(joined.room);
        person.cursor = self.log.len();
        Ok(())
    }

    /// Seals without posting.
    pub(super) fn seal(&mut self, who: usize, text: &[u8]) -> Result<Sealed, RoomError> {
        let mut person = self.people[who].borrow_mut();
        let person = &mut *person;
        let me = Me {
            account: &person.name,
            account_key: person.account_key,
            device: person.device,
            secrets: &person.secrets,
        };
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        person.room.as_mut().unwrap().seal(&person.store, &mut self.rng, me, id, Slot::Next, text, self.now)
    }

    pub(super) fn post(&mut self, who: usize, text: &[u8]) {
        self.sync(who);
        let sealed = self.seal(who, text).unwrap();
        self.log.push(Entry::Message(sealed.bytes));
    }

    pub(super) fn leave(&mut self, who: usize) {
        self.sync(who);
        let mut person = self.people[who].borrow_mut();
        let person = &mut *person;
        let me = Me {
            account: &person.name,
            account_key: person.account_key,
            device: person.device,
            secrets: &person.secrets,
        };
        let mut room = person.room.take().unwrap();
        let bytes = room.leave(&person.store, &mut self.rng, me, self.now).unwrap();
        room.forget(&person.store).unwrap();
        self.log.push(Entry::Leave(bytes));
    }

    /// Joins the public room from outside; whether the relay took it.
    pub(super) fn join_external(&mut self, who: usize) -> Result<OwnCommit, RoomError> {
        let mut person = self.people[who].borrow_mut();
        let info = self.group_info.clone().unwrap();
        let (room, made) = Room::join_external(
            &person.store,
            &mut self.rng,
            person.me(),
            &info,
            ROOM,
            self.generation,
            &self.lists,
            self.now,
        )?;
        person.room = Some(room);
        person.cursor = self.log.len();
        Ok(made)
    }

    /// All who are in the room agree on its history, members and policy (I5).
    pub(super) fn agree(&mut self) {
        self.sync_all();
        let mut first: Option<(Head, Vec<RoomDevice>, Policy)> = None;
        let mut inside = Vec::new();
        for person in &self.people {
            let person = person.borrow();
            let Some(room) = &person.room else { continue };
            inside.push(person.id());
            let state = (room.head(), room.members(), room.policy().clone());
            assert_eq!(
                *first.get_or_insert_with(|| state.clone()),
                state,
                "{} sees another room",
                person.name
            );
            assert_eq!(room.epoch(), self.epoch);
        }
        inside.sort();
        assert_eq!(first.unwrap().1, inside, "the members are those who are in the room");
    }

    /// A room of `n` accounts, one device each.
    pub(super) fn room_of(seed: u64, n: usize, suite: Suite, visibility: Visibility) -> Self {
        let mut world = Self::new(seed, suite);
        for nth in 0..n {
            world.person(&format!("user{nth}"), 1);
        }
        world.create(0, visibility);
        let others: Vec<_> = (1..n).collect();
        for some in others.chunks(limits::PROPOSALS_MAX) {
            let plan = world.plan_add(some);
            world.commit(0, plan);
        }
        world
    }

    pub(super) fn refusals(&self, who: usize) -> Vec<Refusal> {
        self.people[who].borrow().refused.clone()
    }

    pub(super) fn texts(&self, who: usize) -> Vec<Vec<u8>> {
        self.people[who].borrow().read.iter().map(|(_, text)| text.clone()).collect()
    }
}

impl World {
    /// Some who are in the room agree on its history.
    pub(super) fn agree_among(&mut self, some: &[usize]) {
        some.iter().for_each(|who| self.sync(*who));
        let heads: Vec<_> = some.iter().map(|who| self.people[*who].borrow().room().head()).collect();
        assert!(heads.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(heads[0].epoch, self.epoch);
    }
}
