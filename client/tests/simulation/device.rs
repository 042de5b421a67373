//! One device: its machine while the program runs, its store while it does not, and what is between it and the relay.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use subrosa_client::{
    core::Core,
    store::{Disk, DiskFault, Store, StoreError},
};
use subrosa_protocol::{RawFrame, frames::FromRelay};

use crate::{relay::Place, template::name};

pub enum Life {
    Running(Box<Core>),
    /// The program does not run; this is what it left.
    Stopped(Box<Store>),
    /// Between the two.
    Changing,
}

/// What became of a device for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Active,
    /// An old copy that knows it is one.
    Quarantined,
    Removed,
}

/// The connection of a device.
#[derive(Default)]
pub struct Net {
    pub up: bool,
    pub authenticated: bool,
    /// A person would have to act before it is dialled again.
    pub blocked: bool,
    /// Packets do not pass; dialling fails.
    pub cut_off: bool,
    /// Packets wait until then.
    pub stalled_until: u64,
    /// A push was lost on this connection: what it told of may be heard of with the next one only.
    pub lost_push: bool,
    pub dial_at: u64,
    pub to_relay: VecDeque<RawFrame>,
    pub to_device: VecDeque<FromRelay>,
}

/// A copy of a store, and what was true when it was made.
pub struct OldCopy {
    pub store: Store,
    /// The highest acknowledgement that the store covers.
    pub cursor: u64,
    /// A hash of its sessions.
    pub ratchets: u64,
    pub shown: HashSet<usize>,
    pub missing: HashMap<(String, u32), (u64, u64)>,
    /// How many texts had been asked for, by anybody.
    pub texts: usize,
}

pub struct Device {
    pub account: usize,
    pub place: Place,
    pub life: Life,
    pub disk: Disk,
    /// What the disk was last told to do.
    pub disk_fault: DiskFault,
    pub net: Net,
    pub fate: Fate,
    /// What its wall clock is off the true time, in ms.
    pub wall: i64,
    /// The same for the clock of the running program, which never goes back.
    pub running: i64,
    pub restart_at: u64,
    /// The text that each unanswered request asked for.
    pub asks: HashMap<u64, usize>,
    pub token: u64,
    /// So many effects of the next step are carried out before the program ends.
    pub cut: Option<usize>,
    /// The event in which it became a device of its account.
    pub since: u32,
    pub old_copy: Option<OldCopy>,
    /// It is an old copy of which the relay has seen newer states: it must find out, and say nothing.
    pub must_be_quarantined: bool,
    /// An old copy, also when it need not know: it may lack what had been acknowledged and not read, and the secrets of
    /// prekeys that were uploaded since. What that costs is missing, and is asked for.
    pub is_copy: bool,
    /// Somebody took it out of the room once, or tried to.
    pub taken_out: bool,
    /// The highest acknowledgement that the relay got.
    pub acked: u64,
    /// Requests that were sent when the sessions were other ones than those of the old copy.
    pub newer_requests: HashSet<u32>,
    /// The relay took one of them: the old copy must not talk any more.
    pub newer_seen: bool,
    /// Texts of the room that it displayed, as told live.
    pub room_shown: HashSet<String>,
    /// Texts it displayed, as told live.
    pub shown: HashSet<usize>,
    /// Of each sending device: how many texts were told missing before the last such event, and since.
    pub missing: HashMap<(String, u32), (u64, u64)>,
    /// The last line it displayed.
    pub last_order: i64,
    /// The chats of accounts whose request it saw.
    pub requested_by: HashSet<String>,
}

impl Device {
    pub fn new(account: usize, place: Place, store: Store, disk: Disk, since: u32) -> Self {
        Self {
            account,
            place,
            life: Life::Stopped(Box::new(store)),
            disk,
            disk_fault: DiskFault::Full,
            net: Net::default(),
            fate: Fate::Active,
            wall: 0,
            running: 0,
            restart_at: 0,
            asks: HashMap::new(),
            token: 0,
            cut: None,
            since,
            old_copy: None,
            must_be_quarantined: false,
            is_copy: false,
            taken_out: false,
            acked: 0,
            newer_requests: HashSet::new(),
            newer_seen: false,
            room_shown: HashSet::new(),
            shown: HashSet::new(),
            missing: HashMap::new(),
            last_order: 0,
            requested_by: HashSet::new(),
        }
    }

    pub fn name(&self) -> String {
        format!("{}{}", self.place.0, self.place.1)
    }

    pub fn core(&self) -> Option<&Core> {
        match &self.life {
            Life::Running(core) => Some(core),
            _ => None,
        }
    }

    pub fn is_running(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }

    /// The store, whether the program runs or not.
    pub fn store(&self) -> &Store {
        match &self.life {
            Life::Running(core) => core.store(),
            Life::Stopped(store) => store,
            Life::Changing => panic!("a device without a store"),
        }
    }

    /// A hash of all sessions.
    pub fn ratchets(&self, accounts: &[String]) -> u64 {
        let mut hasher = DefaultHasher::new();
        let all = self.store().read(|tx| {
            for account in accounts.iter().map(|account| name(account)) {
                for device in tx.session_devices(&account)? {
                    tx.session(&account, device)?.map(|record| record.to_vec()).hash(&mut hasher);
                }
            }
            Ok::<_, StoreError>(())
        });
        all.unwrap();
        hasher.finish()
    }

    /// After so many further commits the next one fails.
    pub fn break_disk(&mut self, commits: u32, fault: DiskFault) {
        self.disk_fault = fault;
        self.disk.fail_after(commits, fault);
    }

    pub fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.running)
    }
}
