//! The worlds that seeds start from: three accounts with four devices, who know each other or not. Making one costs more
//! than living in it, so it is made once and copied.

use std::rc::Rc;

use serde_bytes::ByteArray;
use subrosa_client::{
    api::Request,
    store::{Disk, Identity, IdentityKeys, Progress, Store},
};
use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    prekeys::generate_prekey,
    verify::{
        device_list::{DeviceList, SignedDeviceList},
        prekey::PrekeyKind,
    },
};
use subrosa_protocol::{DeviceId, SafeText, Username};

use crate::{
    device::Device,
    dice::Dice,
    events,
    ledger::Ledger,
    relay::Relay,
    world::{Account, Counts, Sort, Trace, World},
};

/// ms since 1970.
const START: u64 = 1_800_000_000_000;
/// No world is made of these: it would draw the same ids again.
const SEEDS: [u64; 3] = [u64::MAX - 1, u64::MAX, u64::MAX - 2];
/// One-time prekeys of each kind that a device begins with.
const PREKEYS: u32 = 4;
const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
/// How many devices the account of each number has at first.
const DEVICES: [usize; 3] = [2, 1, 1];

pub fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

pub fn device_id(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}

fn same(secret: &AccountSecret) -> AccountSecret {
    AccountSecret::from_bytes(&secret.to_bytes()[..]).unwrap()
}

pub struct Templates {
    strangers: World,
    friends: World,
    rooms: World,
}

impl Templates {
    pub fn new() -> Self {
        // Made twice, they use the same keys twice.
        subrosa_crypto::ratchet::ledger::clear();
        let strangers = strangers();
        let mut friends = copy(&strangers, SEEDS[1]);
        friends.ledger.before = true;
        befriend(&mut friends);
        let mut rooms = copy(&friends, SEEDS[2]);
        rooms.ledger.before = true;
        crate::rooms::begin(&mut rooms, settle);
        Self { strangers, friends, rooms }
    }

    /// A world in which nothing has happened yet.
    pub fn begin(&self, strangers: bool, rooms: bool, seed: u64) -> World {
        let begun = match (strangers, rooms) {
            (true, _) => &self.strangers,
            (false, true) => &self.rooms,
            (false, false) => &self.friends,
        };
        copy(begun, seed)
    }
}

/// The same world once more: stores, relay, and what the devices know; connections and the ledger begin anew.
fn copy(world: &World, seed: u64) -> World {
    let accounts = world
        .accounts
        .iter()
        .map(|account| Account { name: account.name.clone(), secret: same(&account.secret) });
    let devices = world.devices.iter().map(|device| {
        let disk = Disk::default();
        let store = Store::in_memory_on(disk.clone(), Some(device.store())).unwrap();
        Device { acked: device.acked, ..Device::new(device.account, device.place.clone(), store, disk, 0) }
    });
    World {
        sort: world.sort,
        relay: world.relay.clone(),
        accounts: accounts.collect(),
        devices: devices.collect(),
        now: world.now,
        dice: Dice::new(seed, 1),
        rng: Dice::new(seed, 2),
        ledger: Ledger { seed, ..Ledger::default() },
        rooms: world.rooms.clone(),
        counts: Counts::default(),
        trace: Trace::default(),
        event: 0,
        leapt: 0,
        empty: Rc::clone(&world.empty),
    }
}

fn strangers() -> World {
    let mut relay = Relay::new();
    relay.pretended = 200;
    let mut world = World {
        sort: Sort { lossy: false, strangers: true, refills: false, long: false, rooms: false },
        relay,
        accounts: Vec::new(),
        devices: Vec::new(),
        now: START,
        dice: Dice::new(SEEDS[0], 1),
        rng: Dice::new(SEEDS[0], 2),
        ledger: Ledger { before: true, ..Ledger::default() },
        rooms: crate::rooms::Ledger::default(),
        counts: Counts::default(),
        trace: Trace::default(),
        event: 0,
        leapt: 0,
        empty: Rc::new(Store::in_memory().unwrap()),
    };
    for (account, devices) in DEVICES.into_iter().enumerate() {
        let (secret, _) = AccountSecret::generate(&mut world.rng);
        world.accounts.push(Account { name: ACCOUNTS[account].to_owned(), secret });
        for _ in 0..devices {
            world.log_in(account);
        }
    }
    world
}

/// Everybody writes to everybody, until all is delivered.
fn befriend(world: &mut World) {
    for at in 0..world.devices.len() {
        world.restart(at);
    }
    settle(world);
    for (at, to) in [(0, 1), (0, 2), (2, 2)] {
        events::write(world, at, to);
        settle(world);
    }
    for at in 0..world.devices.len() {
        for account in ACCOUNTS {
            world.ask(at, Request::ContactAccept { name: account.to_owned() });
            settle(world);
        }
    }
    for at in 0..world.devices.len() {
        for to in 0..world.accounts.len() {
            if world.devices[at].account != to {
                events::write(world, at, to);
                settle(world);
            }
        }
    }
    // What was said here is not said in the world that is copied from it.
    for at in 0..world.devices.len() {
        if world.devices[at].is_running() {
            world.crash(at);
        }
    }
}

fn settle(world: &mut World) {
    let until = world.now + 10_000;
    while world.progress() || world.pass_time(until) {}
}

impl World {
    /// A further device of an account; its store is new.
    pub fn log_in(&mut self, account: usize) {
        let secrets = DeviceSecrets::generate(&mut self.rng);
        let (name_of, secret) = (self.accounts[account].name.clone(), same(&self.accounts[account].secret));
        let next = match self.relay.newest(&name_of) {
            None => DeviceList {
                account: name_of.clone(),
                account_key: secret.public(),
                version: 1,
                prev_hash: [0; 32],
                next_device_id: 2,
                devices: vec![secrets.entry(1, self.now)],
            },
            Some(before) => {
                let number = before.next_device_id;
                let mut next = DeviceList {
                    version: before.version + 1,
                    prev_hash: before.hash(),
                    next_device_id: number + 1,
                    ..before
                };
                next.devices.push(secrets.entry(number, self.now));
                next
            }
        };
        let number = next.next_device_id - 1;
        let signed = secret.sign_device_list(&next).unwrap();
        let pushes = self.relay.publish(&name_of, signed.clone());
        let disk = Disk::default();
        let store = self.install(&name_of, number, secret, secrets, &signed, &disk);
        self.devices.push(Device::new(account, (name_of, number), store, disk, self.event));
        self.push(pushes);
        self.trace.line(|| format!("{} is added", self.devices[self.devices.len() - 1].name()));
    }

    fn install(
        &mut self,
        account: &str,
        number: u32,
        secret: AccountSecret,
        secrets: DeviceSecrets,
        list: &SignedDeviceList,
        disk: &Disk,
    ) -> Store {
        let (now, rng) = (self.now, &mut self.rng);
        let at_relay = self.relay.device(account, number);
        let mut store = Store::in_memory_on(disk.clone(), Some(&self.empty)).unwrap();
        store
            .transaction(|tx| {
                let mut publish = |kind, count: u32| -> Vec<Vec<u8>> {
                    let first = tx.take_prekey_ids(count).unwrap();
                    (first..first + count)
                        .map(|id| {
                            let (prekey, public) =
                                generate_prekey(kind, id, &secrets, account, number, now, rng);
                            tx.put_prekey(&prekey, &public).unwrap();
                            tx.prekeys_published(kind, &[id]).unwrap();
                            public.to_bytes()
                        })
                        .collect()
                };
                let ec = |bytes: &Vec<u8>| ByteArray::new(bytes.as_slice().try_into().unwrap());
                let kem = |bytes: &Vec<u8>| ByteArray::new(bytes.as_slice().try_into().unwrap());
                at_relay.signed = Some(ec(&publish(PrekeyKind::SignedEc, 1)[0]));
                at_relay.last_resort = Some(kem(&publish(PrekeyKind::LastResortKem, 1)[0]));
                at_relay.one_time.extend(publish(PrekeyKind::OneTimeEc, PREKEYS).iter().map(ec));
                at_relay.kem.extend(publish(PrekeyKind::OneTimeKem, PREKEYS).iter().map(kem));
                tx.put_device_list(&name(account), list, now)?;
                tx.put_identity(&Identity {
                    account: name(account),
                    display_name: SafeText::name(account),
                    relay: "rosa://relay.example".parse().unwrap(),
                    account_key: secret.public(),
                    device: device_id(number),
                    keys: Some(IdentityKeys { account: secret, device: secrets }),
                    progress: Progress::Ready,
                })
            })
            .unwrap();
        store
    }
}
