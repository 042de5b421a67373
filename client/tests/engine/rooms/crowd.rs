//! Many members, and anything at any time: they join, leave, are removed, write, change what they wrote, come and go; frames wait,
//! pushes are doubled and swapped, programs and the relay die. In the end all who may read agree on the same entries in the
//! same order and on the same members; who was removed read nothing after, who was added nothing before; nothing is lost,
//! doubled or out of order (I1 to I3).
//!
//! By default with 2, 10 and 30 members. `SUBROSA_ROOM_MEMBERS=100` (or `1000`) runs that size alone, `SUBROSA_ROOM_EVENTS`
//! says how many things happen, `SUBROSA_ROOM_SEED` which ones. The world is a function of the seed. Beyond 10 members the
//! stores are in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::Instant,
};

use rand_core::Rng;
use subrosa_client::{
    Request,
    api::{CreateRoom, MessageKind, MessageState, Role, RoomState, WaitFor},
    core::Input,
    store::{StoreError, StoredRoom},
};
use subrosa_crypto::verify::device_list::DeviceList;
use subrosa_protocol::{
    EntryId, RoomId,
    frames::{EntryKind, RoomDevice as WireDevice, RoomEntry},
};
use subrosa_rooms::{Listed, OwnerKey, Plan, Role as PolicyRole, Room, RoomDevice, Suite, key_packages};

use super::{create, id_of};
use crate::{
    relay_rooms::{Member, device_of},
    room_judge::{Judged, Said, judge},
    world::World,
};

/// Accounts that are always in: the owner, who may do everything; two moderators; one who only reads.
const FIXED: usize = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn i1_i2_i3_two_members_with_faults() {
    sized(2, 300);
}

#[test]
fn i1_i2_i3_ten_members_with_faults() {
    sized(10, 300);
}

#[test]
fn i1_i2_i3_many_members_with_faults() {
    let members = number("SUBROSA_ROOM_MEMBERS").unwrap_or(30) as usize;
    sized(members, if members < 100 { 200 } else { 300 });
}

fn sized(members: usize, events: u64) {
    if number("SUBROSA_ROOM_MEMBERS").is_some_and(|asked| asked as usize != members) {
        return;
    }
    let events = number("SUBROSA_ROOM_EVENTS").unwrap_or(events);
    let seed = number("SUBROSA_ROOM_SEED").unwrap_or(900);
    let begun = Instant::now();
    let mut crowd = Crowd::gather(seed, members);
    let gathered = begun.elapsed();
    for _ in 0..events {
        crowd.one_event();
    }
    crowd.come_to_rest();
    let judged = crowd.judge();
    let log = &crowd.world.relay.rooms.rooms[&crowd.room].log;
    let commits = log.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    let did = format!(
        "did: rooms: {members} members, {events} events in {:.1} s (made in {:.1} s, {} MiB): {}; {} entries, {commits} of them \
         commits, {judged} texts where they belong",
        begun.elapsed().as_secs_f64(),
        gathered.as_secs_f64(),
        memory_mib(),
        crowd.counts(),
        log.len(),
    );
    let mut out = std::io::stderr();
    writeln!(out, "{did}").unwrap();
    assert!(judged > 0, "nothing was said");
}

/// The most memory that this process had so far.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

struct Crowd {
    world: World,
    room: RoomId,
    names: Vec<String>,
    /// The texts of entries, as their writers' stores have them.
    said: BTreeMap<EntryId, Said>,
    /// Where the log stood when somebody asked to leave.
    left_at: Vec<(String, u64)>,
    happened: BTreeMap<&'static str, u64>,
    texts: u64,
}

impl Crowd {
    /// A private room of so many accounts, and some accounts that are not in it.
    fn gather(seed: u64, members: usize) -> Self {
        let outsiders = 2 + members / 10;
        let names: Vec<String> = (0..members + outsiders).map(|n| format!("user_{n}")).collect();
        let mut world = World::new(seed);
        world.in_memory = members > 10;
        world.relay.rooms.suite = Suite::Classic.code();
        for name in &names {
            world.register(name);
        }
        world.connect(&names[0]);
        world.settle();
        let large = CreateRoom { large: true, ..create("crowd", false) };
        let room = id_of(&world.room(&names[0], Request::RoomCreate(large)).unwrap());
        let mut crowd = Self {
            world,
            room,
            names,
            said: BTreeMap::new(),
            left_at: Vec::new(),
            happened: BTreeMap::new(),
            texts: 0,
        };
        crowd.fill(members);
        for name in crowd.names.clone() {
            crowd.world.connect(&name);
        }
        crowd.world.settle();
        crowd
    }

    /// Makes the group of all members at once: with invitations one after the other, a thousand members would have half a
    /// million commits to process before anything happens.
    fn fill(&mut self, members: usize) {
        let (room, now) = (self.room, self.world.now);
        let id = *room.as_bytes();
        let listed: BTreeMap<String, DeviceList> =
            self.names.iter().map(|name| (name.clone(), self.world.relay.newest(name).unwrap())).collect();
        let directory = |device: &RoomDevice| match listed.get(&device.account) {
            Some(list) => match list.device(device.device) {
                Some(entry) => {
                    Listed::Listed { signing_key: entry.signing_key, account_key: list.account_key }
                }
                None => Listed::Absent,
            },
            None => Listed::Unknown,
        };
        let mut invitees = Vec::new();
        for name in &self.names[1..members] {
            let made = self
                .world
                .with_store(name, |tx, me, rng| key_packages::make(tx, rng, me, Suite::Classic, false, now));
            let device = RoomDevice::new(name.as_str(), 1);
            invitees
                .push(key_packages::check(&made.bytes, &device, Suite::Classic, &directory, now).unwrap());
        }
        let owner = self.names[0].clone();
        let moderators = self.names[1..members.min(FIXED - 1)].to_vec();
        let secret =
            self.world.with_store(&owner, |tx, _, _| Ok(tx.room(room)?.unwrap().owner_secret.unwrap()));
        let made = self.world.with_store(&owner, |tx, me, rng| {
            let mut group = Room::load(tx, id)?.unwrap();
            for batch in invitees.chunks(90) {
                let plan = Plan { add: batch.to_vec(), ..Plan::default() };
                let made = group.commit(tx, rng, me, plan, &directory, now)?;
                group.merge_pending(tx, rng, &made.hash, now)?;
            }
            let plan = group.plan_policy(|policy| {
                for name in &moderators {
                    policy.set_role(name, PolicyRole::Moderator);
                }
            });
            if !moderators.is_empty() {
                let made = group.commit(tx, rng, me, plan, &directory, now)?;
                group.merge_pending(tx, rng, &made.hash, now)?;
            }
            // One more group, with one Welcome for all.
            let key = OwnerKey::from_bytes(&secret);
            let (mut group, made) = group.reboot(tx, rng, me, &key, invitees, &directory, now)?;
            group.merge_pending(tx, rng, &made.hash, now)?;
            let stored = tx.room(room)?.unwrap();
            tx.put_room(&row(&stored, &group, Some(Role::Owner)))?;
            Ok(made)
        });
        let stored = self.world.with_store(&owner, |tx, _, _| Ok(tx.room(room)?.unwrap()));
        if let Some(welcome) = &made.welcome {
            for name in &self.names[1..members] {
                let role = if moderators.contains(name) { Role::Moderator } else { Role::Member };
                let stored = StoredRoom { owner_secret: None, ..stored.clone() };
                self.world.with_store(name, |tx, me, rng| {
                    let joined = Room::join(tx, rng, me, welcome, id, made.reboot.to, &directory)?;
                    let mut group = joined.room;
                    group.count_as_renewed(tx, rng, now)?;
                    Ok(tx.put_room(&row(&stored, &group, Some(role)))?)
                });
            }
        }
        let at_relay = self.world.relay.rooms.rooms.get_mut(&room).unwrap();
        (at_relay.generation, at_relay.epoch) = (made.reboot.to, made.reboot.epoch);
        for device in &made.roster {
            let place = device_of(&(device.account.clone(), device.device));
            at_relay.roster.insert(place, Member { joined: true, cursor: 0, from: 0 });
        }
    }

    // --- what happens ----------------------------------------------------------------------------------------

    fn below(&mut self, end: usize) -> usize {
        self.world.rng.next_u32() as usize % end.max(1)
    }

    fn any(&mut self) -> String {
        let at = self.below(self.names.len());
        self.names[at].clone()
    }

    fn runs(&self, name: &str) -> bool {
        self.world.clients[name].core.is_some()
    }

    fn did(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn counts(&self) -> String {
        let words: Vec<_> = self.happened.iter().map(|(what, count)| format!("{count} {what}")).collect();
        words.join(", ")
    }

    fn one_event(&mut self) {
        match self.below(100) {
            0..28 => self.post(),
            28..32 => self.edit(),
            32..35 => self.kick(),
            35..40 => self.invite(),
            40..45 => self.accept(),
            45..47 => self.leave(),
            47..49 => self.topic(),
            49..54 => self.break_connection(),
            54..58 => self.crash(),
            58..59 => self.relay_crashes(),
            59..64 => self.disturb_pushes(),
            64..72 => self.pass_time(),
            _ => {}
        }
        self.come_back();
        let frames = 1 + self.below(4 * self.names.len());
        for _ in 0..frames {
            if !self.world.step_anywhere() {
                break;
            }
        }
    }

    fn post(&mut self) {
        let name = self.any();
        // The last of the fixed ones only reads, so that its history is nobody's own.
        if !self.runs(&name) || self.is_reader(&name) {
            return;
        }
        self.texts += 1;
        let text = format!("m{} of {name}", self.texts);
        // Inside of the step that follows it may end.
        if self.below(10) == 0 {
            let after = self.below(2);
            self.world.client(&name).crash_in = Some(after);
        }
        self.world.send_later(&name, "#crowd", &text, WaitFor::Queued);
        self.note(&name);
        self.did("texts");
    }

    /// Which entries the waiting texts of a device are.
    fn note(&mut self, name: &str) {
        let store = self.world.clients[name].store();
        let Some(store) = store else { return };
        let found = store.read(|tx| {
            let mut found = Vec::new();
            for row in tx.room_posts_before(u64::MAX, 1_000)? {
                if let Some(line) = tx.message(row.message)?
                    && let MessageKind::Text { text } = line.kind
                {
                    found.push((row.entry, text.to_string()));
                }
            }
            Ok::<_, StoreError>(found)
        });
        for (entry, text) in found.unwrap() {
            let by = device_of(&self.world.clients[name].place);
            self.said.entry(entry).or_insert(Said { text, by });
        }
    }

    fn edit(&mut self) {
        // One of those who wrote something.
        let at = self.below(self.said.len());
        let Some(name) = self.said.values().nth(at).map(|said| said.by.account.to_string()) else { return };
        if !self.runs(&name) {
            return;
        }
        let store = self.world.clients[&name].store().unwrap();
        let id = store.read(|tx| {
            let chat = subrosa_client::chat::ChatId::from(self.room);
            let page = tx.history(&chat, None, None, 20)?;
            let own = |line: &&subrosa_client::api::Message| {
                line.from == name
                    && line.state == MessageState::Accepted
                    && matches!(line.kind, MessageKind::Text { .. })
            };
            Ok::<_, StoreError>(
                page.messages.iter().rev().find(own).map(|line| (line.id.clone(), line.kind.clone())),
            )
        });
        if let Some((id, MessageKind::Text { text })) = id.unwrap() {
            let text = format!("{}*", text.as_str());
            self.world.ask_later(&name, Request::MessageEdit { id, text });
            self.did("edits");
        }
    }

    /// Somebody who may change the room and can.
    fn ruler(&mut self) -> Option<String> {
        let at = self.below((FIXED - 1).min(self.members_at_first()));
        let name = self.names[at].clone();
        self.runs(&name).then_some(name)
    }

    fn members_at_first(&self) -> usize {
        // `names` has 2 and a tenth more.
        (0..=self.names.len()).find(|n| n + 2 + n / 10 == self.names.len()).unwrap_or(2)
    }

    fn is_reader(&self, name: &str) -> bool {
        self.members_at_first() >= FIXED && name == self.names[FIXED - 1]
    }

    /// An account that is not always in: one that is in now, or invited, or one that is not.
    fn guest(&mut self, inside: bool) -> Option<String> {
        let first = FIXED.min(self.members_at_first());
        for _ in 0..64 {
            let at = first + self.below(self.names.len() - first);
            let name = self.names[at].clone();
            let place = self.world.clients[&name].place.clone();
            if self.world.relay.rooms.roster_has(self.room, &place) == inside {
                return Some(name);
            }
        }
        None
    }

    fn kick(&mut self) {
        let (Some(by), Some(name)) = (self.ruler(), self.guest(true)) else { return };
        self.world.ask_later(&by, Request::RoomKick { room: "#crowd".into(), name });
        self.did("kicks asked");
    }

    fn invite(&mut self) {
        let (Some(by), Some(name)) = (self.ruler(), self.guest(false)) else { return };
        let place = self.world.clients[&name].place.clone();
        if self.world.relay.rooms.opened.insert(place)
            && self.runs(&name)
            && self.world.clients[&name].connected
        {
            self.world.disconnect(&name);
            self.world.connect(&name);
        }
        self.world.ask_later(&by, Request::RoomInvite { room: "#crowd".into(), name });
        self.did("invitations asked");
    }

    fn accept(&mut self) {
        let first = FIXED.min(self.members_at_first());
        let invited = |name: &&String| {
            self.state(name) == Some(RoomState::Invited)
                && self.runs(name)
                && self.world.clients[*name].connected
        };
        let Some(name) = self.names[first..].iter().find(invited).cloned() else { return };
        self.world.ask_later(&name, Request::RoomJoin { room: self.room.to_string() });
        self.did("acceptances asked");
    }

    fn leave(&mut self) {
        let Some(name) = self.guest(true) else { return };
        if self.state(&name) == Some(RoomState::Joined)
            && self.runs(&name)
            && self.world.clients[&name].connected
        {
            let head = self.world.relay.rooms.rooms[&self.room].log.len() as u64;
            self.left_at.push((name.clone(), head));
            self.world.ask_later(&name, Request::RoomLeave { room: "#crowd".into() });
            self.did("leaves asked");
        }
    }

    fn topic(&mut self) {
        let Some(by) = self.ruler() else { return };
        let topic = format!("topic {}", self.below(1000));
        self.world.ask_later(&by, Request::RoomTopic { room: "#crowd".into(), topic });
        self.did("topics asked");
    }

    fn break_connection(&mut self) {
        let name = self.any();
        if self.runs(&name) && self.world.clients[&name].connected {
            self.world.disconnect(&name);
            self.did("connections broken");
        }
    }

    fn crash(&mut self) {
        let name = self.any();
        if self.runs(&name) {
            self.world.crash(&name);
            self.did("crashes");
        }
    }

    /// What it took is durable; what it was about to say is not.
    fn relay_crashes(&mut self) {
        for name in self.names.clone() {
            if self.runs(&name) && self.world.clients[&name].connected {
                self.world.disconnect(&name);
            }
        }
        self.did("relay crashes");
    }

    fn disturb_pushes(&mut self) {
        let name = self.any();
        let at = self.below(16);
        let double = self.below(2) == 0;
        if self.world.client(&name).disturb(at, double) {
            self.did(if double { "pushes doubled" } else { "pushes swapped" });
        }
    }

    fn pass_time(&mut self) {
        self.world.now += self.below(3_000) as u64;
        for name in self.names.clone() {
            let due = self.world.clients[&name].core.as_ref().and_then(|core| core.wake_at());
            if due.is_some_and(|at| at <= self.world.now) && self.below(3) > 0 {
                self.world.feed(&name, Input::Wake);
            }
        }
    }

    /// Some of those who are away come back.
    fn come_back(&mut self) {
        for name in self.names.clone() {
            let away = !self.runs(&name) || !self.world.clients[&name].connected;
            if away && self.below(6) == 0 {
                if self.runs(&name) { self.world.connect(&name) } else { self.restart(&name) }
            }
        }
    }

    fn restart(&mut self, name: &str) {
        self.world.restart(name);
        // What it kept, and nobody has seen yet.
        self.note(name);
    }

    fn state(&self, name: &str) -> Option<RoomState> {
        let store = self.world.clients[name].store()?;
        store.read(|tx| tx.room(self.room)).unwrap().map(|stored| stored.state)
    }

    // --- the end ---------------------------------------------------------------------------------------------

    fn come_to_rest(&mut self) {
        for name in self.names.clone() {
            self.world.client(&name).crash_in = None;
            if !self.runs(&name) {
                self.restart(&name);
            } else if !self.world.clients[&name].connected {
                self.world.connect(&name);
            }
        }
        let mut last = 0;
        for _ in 0..20 {
            self.world.run_for(60_000);
            let head = self.world.relay.rooms.rooms[&self.room].log.len();
            let waits = self.names.iter().any(|name| self.waits(name));
            if head == last && !waits {
                return;
            }
            last = head;
        }
        let waiting: Vec<_> = self.names.iter().filter(|name| self.waits(name)).collect();
        panic!("it does not come to rest: {waiting:?} have something to send");
    }

    fn waits(&self, name: &str) -> bool {
        let store = self.world.clients[name].store().unwrap();
        let joined = self.state(name) == Some(RoomState::Joined);
        joined && store.read(|tx| tx.room_posts_waiting()).unwrap() > 0
    }

    /// Holds every store against the relay's log; how many texts stand where they belong.
    fn judge(&mut self) -> usize {
        for name in self.names.clone() {
            self.note(&name);
        }
        let log = self.world.relay.rooms.rooms[&self.room].log.clone();
        let roster: BTreeMap<WireDevice, Member> = self.world.relay.rooms.rooms[&self.room].roster.clone();
        let relay_epoch = self.world.relay.rooms.rooms[&self.room].epoch;
        let (mut members, mut stands) = (Vec::new(), BTreeSet::new());
        for (device, member) in &roster {
            if !member.joined {
                continue;
            }
            let name = device.account.to_string();
            let shown = self.world.shown(&name, "#crowd");
            assert_eq!(shown.state, Some(RoomState::Joined), "{name} is in by the relay");
            assert!(!shown.denied, "{name}");
            let names: Vec<_> = self.world.names(&name, "#crowd");
            stands.insert(format!("{} {} {:?}", shown.epoch, shown.topic, names));
            assert_eq!(shown.epoch, relay_epoch, "{name}");
            members.push(name);
        }
        assert_eq!(stands.len(), 1, "all see the same members: {stands:?}");
        let mut judged = 0;
        for name in self.names.clone() {
            judged += self.judge_one(&name, &log);
        }
        assert!(members.len() >= 2, "{members:?}");
        judged
    }

    fn judge_one(&mut self, name: &str, log: &[RoomEntry]) -> usize {
        if self.world.peek_room(name, self.room).is_none() {
            return 0;
        }
        let lines = self.world.history(name, "#crowd");
        let device = device_of(&self.world.clients[name].place.clone());
        let at_first = self.names.iter().position(|other| other == name).unwrap() < self.members_at_first();
        let left_at: Vec<u64> =
            self.left_at.iter().filter(|(who, _)| who == name).map(|(_, at)| *at).collect();
        let joined = self.state(name) == Some(RoomState::Joined);
        let judged =
            Judged { device: &device, at_first, joined, left_at: &left_at, signed_out: &[], lines: &lines };
        judge(&judged, log, &self.said).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// The row of a room whose group was made behind the machine's back.
fn row(stored: &StoredRoom, group: &Room, role: Option<Role>) -> StoredRoom {
    let accounts: BTreeSet<String> = group.members().into_iter().map(|device| device.account).collect();
    StoredRoom {
        state: RoomState::Joined,
        role,
        members: accounts.len() as u32,
        generation: group.generation(),
        epoch: group.epoch(),
        cursor: 0,
        ..stored.clone()
    }
}
