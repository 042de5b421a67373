//! The rooms of the relay in memory: logs, rosters, objects, KeyPackages; compare-and-set of epochs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};
use subrosa_crypto::verify::{keys::Signature, room::Reboot as SignedReboot};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, EntryId, ErrorCode, RoomId, Username,
    frames::{
        AccountLists, ClaimedKeyPackage, CommitBody, Empty, EntryBody, EntryKind, EpochPassed, ErrorFrame,
        Invitation, Invitations, KeyPackageCounts, KeyPackages, Listing, ListingChange, MailboxEnvelope,
        ObjectHash, ObjectPiece, ObjectRef, PublicRoom, Push, Reboot, RebootNotice, RelayInfo, Request,
        Response, RoomAccepted, RoomChange, RoomChanged, RoomCommit, RoomDeliver, RoomDevice,
        RoomDirectoryPage, RoomEntry, RoomHead, RoomHeadsPage, RoomInfo, RoomListsPage, RoomName, RoomPage,
        RoomRosterPage, RosterDevice, SignedList, Standing, SuiteCount,
    },
    limits::{OBJECT_PIECE_BYTES, ROOM_HEADS_PER_PAGE, ROSTER_PER_PAGE},
};

use crate::relay::{Place, Relay};

/// Entries in a page of this relay.
const PAGE: usize = 6;
/// Objects of a connection that it keeps until they are used.
const HELD: usize = 4;

#[derive(Clone)]
pub struct Member {
    pub joined: bool,
    pub cursor: u64,
    /// Entries up to this one are not for it.
    pub from: u64,
}

#[derive(Clone)]
pub struct Room {
    pub listing: Option<Listing>,
    pub owner_key: [u8; 32],
    pub generation: u32,
    pub epoch: u64,
    pub log: Vec<RoomEntry>,
    /// Entries before this one are gone.
    pub first_kept: u64,
    pub roster: BTreeMap<RoomDevice, Member>,
    /// Entries that the relay keeps back, whatever is asked.
    pub holes: BTreeSet<u64>,
    /// Who was removed, and by which entry.
    pub removed: BTreeMap<RoomDevice, (u64, u64)>,
    pub banned: BTreeSet<Username>,
    pub group_info: Option<ObjectRef>,
    /// Accounts that were in it at any time, or invited.
    pub ever: BTreeSet<Username>,
    seen: BTreeMap<EntryId, RoomAccepted>,
}

#[derive(Clone, Default)]
pub struct Rooms {
    pub rooms: BTreeMap<RoomId, Room>,
    pub objects: BTreeMap<ObjectHash, Vec<u8>>,
    pub packages: BTreeMap<(Place, u16), VecDeque<Vec<u8>>>,
    pub last_resorts: BTreeMap<(Place, u16), Vec<u8>>,
    /// Commits that were accepted, and that were refused for their epoch.
    pub commits: usize,
    pub lost: usize,
    /// Devices publish KeyPackages. Otherwise they are told that there are enough: making them takes time.
    pub open: bool,
    /// These devices publish them in any case.
    pub opened: BTreeSet<Place>,
    /// The only suite that they publish them of, by its number; 0 for the hybrid one.
    pub suite: u16,
    /// How claims of KeyPackages are refused, so many times; and how many were made in all.
    pub claims_refused: Option<(usize, ErrorFrame)>,
    pub claims: usize,
    /// The room that new accounts join.
    pub lobby: Option<subrosa_protocol::Slug>,
    /// Commits that came too late, as they came.
    pub losers: Vec<RoomCommit>,
    /// Devices of which the relay says that they are not in a room, whatever is true.
    pub denied: BTreeSet<(RoomId, RoomDevice)>,
    /// Device lists are given of those in the roster alone; of nobody.
    pub lists_of_roster: bool,
    pub lists_of_nobody: bool,
    /// Every byte that any request about rooms held.
    pub seen: Vec<u8>,
    /// Objects that were put and not used yet, of each connection: at most four.
    pub held: BTreeMap<Place, Vec<ObjectHash>>,
    /// Welcomes of commits that were not taken: nobody reads them.
    pub void: BTreeSet<ObjectHash>,
    /// How many requests to leave are refused.
    pub leaves_refused: usize,
    /// Objects that were one too many, or named and not there.
    pub too_many: usize,
}

fn error(code: ErrorCode) -> Response {
    Response::Error(ErrorFrame::new(code, ""))
}

fn done() -> Response {
    Response::Done(Empty {})
}

pub fn device_of(place: &Place) -> RoomDevice {
    RoomDevice {
        account: place.0.parse().unwrap(),
        device: subrosa_protocol::DeviceId::new(place.1).unwrap(),
    }
}

fn place_of(device: &RoomDevice) -> Place {
    (device.account.to_string(), device.device.get())
}

impl Rooms {
    /// Whether a device is in a room, or invited.
    pub fn roster_has(&self, room: RoomId, place: &Place) -> bool {
        self.rooms[&room].roster.contains_key(&device_of(place))
    }
}

impl Room {
    fn head(&self) -> u64 {
        self.log.len() as u64
    }

    fn standing(&self, device: &RoomDevice) -> Standing {
        match self.roster.get(device) {
            Some(member) if member.joined => Standing::Joined,
            Some(_) => Standing::Invited,
            None if self.banned.contains(&device.account) => Standing::Banned,
            None if self.removed.contains_key(device) => Standing::Removed,
            None => Standing::Stranger,
        }
    }

    /// The first and last entry that a device may read.
    fn readable(&self, device: &RoomDevice) -> Option<(u64, u64)> {
        match (self.roster.get(device), self.removed.get(device)) {
            (Some(member), _) => Some((member.from, self.head())),
            (None, Some((from, until))) => Some((*from, *until)),
            (None, None) => None,
        }
    }

    fn after(&self, device: &RoomDevice, after: u64) -> (Vec<RoomEntry>, bool) {
        let (from, until) = self.readable(device).unwrap_or((u64::MAX, 0));
        let from = from.max(after).max(self.first_kept.saturating_sub(1));
        let all: Vec<_> = self
            .log
            .iter()
            .filter(|e| e.seq > from && e.seq <= until && !self.holes.contains(&e.seq))
            .collect();
        let more = all.len() > PAGE;
        (all.into_iter().take(PAGE).cloned().collect(), more)
    }

    fn append(
        &mut self,
        now: u64,
        id: EntryId,
        kind: EntryKind,
        epoch: u64,
        body: EntryBody,
    ) -> RoomAccepted {
        let accepted = RoomAccepted { seq: self.head() + 1, accepted_at: now };
        self.seen.insert(id, accepted);
        self.log.push(RoomEntry {
            seq: accepted.seq,
            id,
            kind,
            generation: self.generation,
            epoch,
            accepted_at: now,
            body,
            delta: None,
        });
        accepted
    }
}

impl Relay {
    /// A request about rooms.
    pub fn room_request(
        &mut self,
        from: &Place,
        request: Request,
        pushes: &mut Vec<(Place, Push)>,
    ) -> Response {
        let me = device_of(from);
        if let Some(generation) = generation_of(&request)
            && let Some(device) = self.devices.get_mut(from)
        {
            device.generation = device.generation.max(generation);
        }
        if room_of(&request).is_some_and(|room| self.rooms.denied.contains(&(room, me.clone()))) {
            return error(ErrorCode::NotAMember);
        }
        if !self.take_held(from, &request) {
            self.rooms.too_many += 1;
            return error(ErrorCode::NoSuchObject);
        }
        match request {
            Request::RelayShow(_) => {
                Response::RelayInfo(RelayInfo { lobby: self.rooms.lobby.clone(), room_days: 30 })
            }
            Request::KeyPackageUpload(upload) => {
                let key = (from.clone(), upload.suite);
                let packages =
                    upload.packages.into_inner().into_iter().map(|package| package.bytes.into_inner());
                self.rooms.packages.entry(key.clone()).or_default().extend(packages);
                if let Some(last) = upload.last_resort {
                    self.rooms.last_resorts.insert(key, last.bytes.into_inner());
                }
                self.key_package_counts(from)
            }
            Request::KeyPackageStatus(_) => self.key_package_counts(from),
            Request::KeyPackageClaim(claim) => {
                self.rooms.claims += 1;
                if let Some((left, frame)) = &mut self.rooms.claims_refused
                    && *left > 0
                {
                    *left -= 1;
                    return Response::Error(frame.clone());
                }
                let mut found = Vec::new();
                for device in claim.devices.iter() {
                    let key = ((claim.account.to_string(), device.get()), claim.suite);
                    let one = self.rooms.packages.get_mut(&key).and_then(VecDeque::pop_front);
                    if let Some(bytes) = one.or_else(|| self.rooms.last_resorts.get(&key).cloned()) {
                        found.push(ClaimedKeyPackage {
                            device: *device,
                            bytes: BoundedBytes::new(bytes).unwrap(),
                        });
                    }
                }
                Response::KeyPackages(KeyPackages { packages: BoundedVec::new(found).unwrap() })
            }
            Request::ObjectPut(put) => {
                let held = self.rooms.held.entry(from.clone()).or_default();
                if put.offset == 0 {
                    held.retain(|hash| *hash != put.object.hash);
                    if held.len() >= HELD {
                        self.rooms.too_many += 1;
                        return error(ErrorCode::TooLarge);
                    }
                    held.push(put.object.hash);
                }
                if !held.contains(&put.object.hash) {
                    return error(ErrorCode::NoSuchObject);
                }
                let object = self.rooms.objects.entry(put.object.hash).or_default();
                if put.offset == 0 {
                    object.clear();
                }
                assert_eq!(object.len(), put.offset as usize);
                object.extend_from_slice(&put.piece);
                self.rooms.seen.extend_from_slice(&put.piece);
                if object.len() == put.object.size as usize {
                    let hash: [u8; 32] = Sha256::digest(&object[..]).into();
                    assert_eq!(hash, put.object.hash.0);
                }
                done()
            }
            Request::ObjectGet(get) => match self.rooms.objects.get(&get.hash) {
                Some(_) if self.rooms.void.contains(&get.hash) => error(ErrorCode::NoSuchObject),
                None => error(ErrorCode::NoSuchObject),
                Some(bytes) => {
                    let piece: Vec<_> =
                        bytes.iter().skip(get.offset as usize).take(OBJECT_PIECE_BYTES).copied().collect();
                    let piece = BoundedBytes::new(piece).unwrap();
                    Response::ObjectPiece(ObjectPiece { size: bytes.len() as u32, piece })
                }
            },
            Request::RoomCreate(create) => {
                let taken = |listing: &Listing| {
                    let skeleton = listing.slug.skeleton();
                    let mut listings = self.rooms.rooms.values().filter_map(|room| room.listing.as_ref());
                    listings.any(|other| other.slug.skeleton() == skeleton)
                };
                if self.rooms.rooms.contains_key(&create.room) {
                    return error(ErrorCode::RoomExists);
                }
                if create.listing.as_ref().is_some_and(taken) {
                    return error(ErrorCode::SlugTaken);
                }
                assert_eq!(create.listing.is_some(), create.group_info.is_some());
                let group_info = create.group_info.map(|hash| self.object_ref(hash));
                let room = Room {
                    listing: create.listing,
                    owner_key: create.owner_key.into_array(),
                    generation: 0,
                    epoch: 0,
                    log: Vec::new(),
                    first_kept: 1,
                    roster: [(me.clone(), Member { joined: true, cursor: 0, from: 0 })].into(),
                    holes: BTreeSet::new(),
                    removed: BTreeMap::new(),
                    banned: BTreeSet::new(),
                    group_info,
                    ever: [me.account.clone()].into(),
                    seen: BTreeMap::new(),
                };
                self.rooms.rooms.insert(create.room, room);
                done()
            }
            Request::RoomCommit(commit) => self.room_commit(&me, commit, pushes),
            Request::RoomPost(post) => {
                let now = self.now;
                let Some(room) = self.rooms.rooms.get_mut(&post.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                if let Some(accepted) = room.seen.get(&post.id) {
                    return Response::RoomAccepted(*accepted);
                }
                if !room.roster.get(&me).is_some_and(|member| member.joined) {
                    return error(ErrorCode::UnknownRoom);
                }
                let oldest =
                    room.epoch.saturating_sub(if post.kind == EntryKind::Application { 3 } else { 0 });
                let ended = |entry: &&RoomEntry| entry.kind == EntryKind::Commit && entry.epoch == post.epoch;
                let ended = room.log.iter().rev().find(ended).map_or(now, |entry| entry.accepted_at);
                let late = post.epoch < room.epoch && now > ended + 3_600_000;
                if post.generation != room.generation
                    || post.epoch < oldest
                    || post.epoch > room.epoch
                    || late
                {
                    let cursor = room.roster[&me].cursor;
                    return passed(room, &me, cursor);
                }
                self.rooms.seen.extend_from_slice(&post.bytes);
                let accepted =
                    room.append(now, post.id, post.kind, post.epoch, EntryBody::Inline(post.bytes));
                self.push_entry(post.room, accepted.seq, pushes);
                Response::RoomAccepted(accepted)
            }
            Request::RoomEphemeral(signal) => {
                let Some(room) = self.rooms.rooms.get(&signal.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                let others = room.roster.iter().filter(|(device, member)| **device != me && member.joined);
                pushes.extend(others.map(|(device, _)| (place_of(device), Push::RoomSignal(signal.clone()))));
                done()
            }
            Request::RoomReboot(reboot) => self.room_reboot(&me, reboot, pushes),
            Request::RoomAccept(accept) => {
                let Some(room) = self.rooms.rooms.get_mut(&accept.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                let Some(member) = room.roster.get_mut(&me) else { return error(ErrorCode::UnknownRoom) };
                member.joined = true;
                done()
            }
            Request::RoomLeave(_) if self.rooms.leaves_refused > 0 => {
                self.rooms.leaves_refused -= 1;
                error(ErrorCode::Internal)
            }
            Request::RoomLeave(leave) => {
                let now = self.now;
                let Some(room) = self.rooms.rooms.get_mut(&leave.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                if !room.roster.contains_key(&me) {
                    return error(ErrorCode::NotAMember);
                }
                if let Some(proposal) = &leave.proposal
                    && (proposal.generation, proposal.epoch) != (room.generation, room.epoch)
                {
                    return passed(room, &me, room.roster[&me].cursor);
                }
                let gone: Vec<_> = room
                    .roster
                    .keys()
                    .filter(|device| **device == me || leave.account && device.account == me.account)
                    .cloned()
                    .collect();
                let until = room.head();
                // Who leaves reads nothing any more.
                for device in gone {
                    room.roster.remove(&device);
                }
                if room.roster.is_empty() && room.removed.is_empty() {
                    self.rooms.rooms.remove(&leave.room);
                    let now = RoomAccepted { seq: until + 1, accepted_at: now };
                    return leave.proposal.map_or_else(done, |_| Response::RoomAccepted(now));
                }
                if room.roster.is_empty() {
                    // Only those who were removed lately read what they may.
                    (room.listing, room.group_info) = (None, None);
                }
                let told: Vec<_> = room.roster.keys().map(place_of).collect();
                let changed = RoomChanged { room: leave.room, change: RoomChange::Roster };
                pushes.extend(told.into_iter().map(|place| (place, Push::RoomChanged(changed))));
                let Some(proposal) = leave.proposal else { return done() };
                let body = EntryBody::Inline(proposal.bytes);
                let accepted = room.append(now, proposal.id, EntryKind::Proposal, proposal.epoch, body);
                self.push_entry(leave.room, accepted.seq, pushes);
                Response::RoomAccepted(accepted)
            }
            Request::RoomSync(sync) => {
                let Some(room) = self.rooms.rooms.get(&sync.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                let Some((from, until)) = room.readable(&me) else { return error(ErrorCode::UnknownRoom) };
                let (entries, more) = room.after(&me, sync.after);
                Response::RoomPage(RoomPage {
                    gap: from.max(sync.after) + 1 < room.first_kept && until >= room.first_kept,
                    entries: BoundedVec::new(entries).unwrap(),
                    more,
                    head: room.head(),
                    generation: room.generation,
                    epoch: room.epoch,
                })
            }
            Request::RoomCursor(cursor) => {
                let room = self.rooms.rooms.get_mut(&cursor.room);
                if let Some(member) = room.and_then(|room| room.roster.get_mut(&me)) {
                    member.cursor = member.cursor.max(cursor.up_to);
                }
                done()
            }
            Request::RoomShow(show) => {
                let found = self.rooms.rooms.iter().find(|(id, room)| match &show.room {
                    RoomName::Id(wanted) => wanted == *id,
                    RoomName::Slug(slug) => {
                        room.listing.as_ref().is_some_and(|listing| listing.slug == *slug)
                    }
                });
                let Some((id, room)) = found else { return error(ErrorCode::UnknownRoom) };
                let standing = room.standing(&me);
                if room.listing.is_none() && standing == Standing::Stranger {
                    return error(ErrorCode::UnknownRoom);
                }
                let accounts: BTreeSet<_> = room.roster.keys().map(|device| &device.account).collect();
                Response::RoomInfo(RoomInfo {
                    room: *id,
                    listing: room.listing.clone(),
                    generation: room.generation,
                    epoch: room.epoch,
                    head: room.head(),
                    devices: room.roster.len() as u32,
                    accounts: accounts.len() as u32,
                    owner_key: ByteArray::new(room.owner_key),
                    group_info: room.group_info,
                    standing,
                    cursor: room.roster.get(&me).map_or(0, |member| member.cursor),
                })
            }
            Request::RoomRoster(roster) => {
                let Some(room) = self.rooms.rooms.get(&roster.room) else {
                    return error(ErrorCode::UnknownRoom);
                };
                let after = |device: &&RoomDevice| roster.after.as_ref().is_none_or(|after| *device > after);
                let left = room.roster.keys().filter(after).count();
                let devices =
                    room.roster.iter().filter(|(device, _)| after(device)).take(ROSTER_PER_PAGE).map(
                        |(device, member)| RosterDevice { device: device.clone(), joined: member.joined },
                    );
                Response::RoomRosterPage(RoomRosterPage {
                    devices: BoundedVec::new(devices.collect()).unwrap(),
                    more: left > ROSTER_PER_PAGE,
                    head: room.head(),
                })
            }
            Request::RoomLists(lists) => {
                let answered = lists.accounts.len() as u32;
                let mut accounts = Vec::new();
                for known in lists.accounts.iter() {
                    let room = self.rooms.rooms.get(&lists.room);
                    let given = room.is_some_and(|room| {
                        let there = room.roster.keys().any(|device| device.account == known.account);
                        there || !self.rooms.lists_of_roster && room.ever.contains(&known.account)
                    });
                    let all = self.lists.get(known.account.as_str());
                    let Some(all) = all.filter(|_| given && !self.rooms.lists_of_nobody) else { continue };
                    let since = known.since as usize;
                    let skip = if since == 0 { all.len() - 1 } else { since };
                    let lists = all.iter().skip(skip).map(|signed| SignedList {
                        bytes: BoundedBytes::new(signed.bytes.clone()).unwrap(),
                        signature: ByteArray::new(signed.signature),
                    });
                    accounts.push(AccountLists {
                        account: known.account.clone(),
                        lists: BoundedVec::new(lists.collect()).unwrap(),
                        more: false,
                        display_name: BoundedStr::new("").unwrap(),
                    });
                }
                Response::RoomListsPage(RoomListsPage {
                    accounts: BoundedVec::new(accounts).unwrap(),
                    answered,
                })
            }
            Request::RoomDirectory(directory) => {
                let rooms = self.rooms.rooms.iter().filter_map(|(id, room)| {
                    let listing = room.listing.clone()?;
                    let accounts: BTreeSet<_> = room.roster.keys().map(|device| &device.account).collect();
                    Some(PublicRoom { room: *id, listing, accounts: accounts.len() as u32 })
                });
                let prefix: &str = &directory.prefix;
                let mut rooms: Vec<_> = rooms
                    .filter(|room| room.listing.slug.as_str().starts_with(prefix))
                    .filter(|room| {
                        directory
                            .after
                            .as_ref()
                            .is_none_or(|after| room.listing.slug.as_str() > after.as_str())
                    })
                    .collect();
                rooms.sort_by(|a, b| a.listing.slug.as_str().cmp(b.listing.slug.as_str()));
                let more = rooms.len() > 2;
                rooms.truncate(2);
                Response::RoomDirectoryPage(RoomDirectoryPage {
                    rooms: BoundedVec::new(rooms).unwrap(),
                    more,
                })
            }
            Request::RoomHeads(heads) => {
                let rooms =
                    self.rooms.rooms.iter().filter(|(id, _)| heads.after.is_none_or(|after| **id > after));
                let denied = &self.rooms.denied;
                let rooms = rooms.filter(|(id, _)| !denied.contains(&(**id, me.clone())));
                let rooms = rooms.filter_map(|(id, room)| {
                    let (_, head) = room.readable(&me)?;
                    Some(RoomHead {
                        room: *id,
                        standing: room.standing(&me),
                        generation: room.generation,
                        epoch: room.epoch,
                        head,
                    })
                });
                let rooms: Vec<_> = rooms.take(ROOM_HEADS_PER_PAGE).collect();
                Response::RoomHeadsPage(RoomHeadsPage { rooms: BoundedVec::new(rooms).unwrap(), more: false })
            }
            other => panic!("not about rooms: {other:?}"),
        }
    }

    /// The objects that a request names are used up; whether all of them are there.
    fn take_held(&mut self, from: &Place, request: &Request) -> bool {
        let body = |body: &CommitBody| match body {
            CommitBody::Object(hash) => Some(*hash),
            CommitBody::Inline(_) => None,
        };
        let named = match request {
            Request::RoomCreate(create) => vec![create.group_info],
            Request::RoomReboot(reboot) => vec![reboot.group_info, reboot.welcome],
            Request::RoomCommit(commit) => {
                let invitations = match &commit.invitations {
                    Invitations::Object(hash) => Some(*hash),
                    Invitations::Inline(_) => None,
                };
                vec![commit.group_info, commit.welcome, body(&commit.commit), invitations]
            }
            _ => return true,
        };
        let held = self.rooms.held.entry(from.clone()).or_default();
        named.into_iter().flatten().all(|hash| {
            let at = held.iter().position(|held| *held == hash);
            at.map(|at| held.remove(at)).is_some()
        })
    }

    /// Appends what a member's client sent, as the relay does that sees no more than its outside.
    pub fn append(&mut self, id: RoomId, kind: EntryKind, bytes: Vec<u8>) -> Vec<(Place, Push)> {
        let now = self.now;
        let room = self.rooms.rooms.get_mut(&id).unwrap();
        let mut entry = [0xee; 16];
        entry[..8].copy_from_slice(&room.head().to_le_bytes());
        let body = EntryBody::Inline(BoundedBytes::new(bytes).unwrap());
        let accepted = room.append(now, EntryId::from_bytes(entry), kind, room.epoch, body);
        let mut pushes = Vec::new();
        self.push_entry(id, accepted.seq, &mut pushes);
        pushes
    }

    fn key_package_counts(&self, from: &Place) -> Response {
        if !self.rooms.open && !self.rooms.opened.contains(from) {
            let enough = |suite| SuiteCount { suite, left: 50, last_resort: true, last_resort_used: false };
            let suites = BoundedVec::new(vec![enough(0x0003), enough(0x004d)]).unwrap();
            return Response::KeyPackageCounts(KeyPackageCounts { suites });
        }
        let suites: BTreeSet<u16> = self
            .rooms
            .packages
            .keys()
            .chain(self.rooms.last_resorts.keys())
            .filter(|(place, _)| place == from)
            .map(|(_, suite)| *suite)
            .collect();
        // Rooms of the tests are small: nobody asks for the other suite's.
        let mut suites: Vec<_> = suites
            .into_iter()
            .map(|suite| {
                let key = (from.clone(), suite);
                SuiteCount {
                    suite,
                    left: self.rooms.packages.get(&key).map_or(0, VecDeque::len) as u32,
                    last_resort: self.rooms.last_resorts.contains_key(&key),
                    last_resort_used: false,
                }
            })
            .collect();
        let other = if self.rooms.suite == 0x0003 { 0x004d } else { 0x0003 };
        suites.push(SuiteCount { suite: other, left: 50, last_resort: true, last_resort_used: false });
        Response::KeyPackageCounts(KeyPackageCounts { suites: BoundedVec::new(suites).unwrap() })
    }

    fn object_ref(&self, hash: ObjectHash) -> ObjectRef {
        ObjectRef { hash, size: self.rooms.objects[&hash].len() as u32 }
    }

    fn room_commit(
        &mut self,
        me: &RoomDevice,
        commit: RoomCommit,
        pushes: &mut Vec<(Place, Push)>,
    ) -> Response {
        let now = self.now;
        let copy = RoomCommit { invitations: Invitations::default(), ..commit.clone() };
        let invitations = match commit.invitations {
            Invitations::Inline(all) => all.into_inner(),
            Invitations::Object(hash) => Invitation::read_all(&self.rooms.objects[&hash]).unwrap(),
        };
        let commit_ref = match &commit.commit {
            CommitBody::Object(hash) => Some(self.object_ref(*hash)),
            CommitBody::Inline(_) => None,
        };
        let group_info = commit.group_info.map(|hash| self.object_ref(hash));
        let (known, lists) = (self.devices.clone(), self.lists.clone());
        let Some(room) = self.rooms.rooms.get_mut(&commit.room) else { return error(ErrorCode::UnknownRoom) };
        if let Some(accepted) = room.seen.get(&commit.id) {
            return Response::RoomAccepted(*accepted);
        }
        self.rooms.void.extend(commit.welcome);
        let delta = commit.delta;
        let member = room.roster.get(me).is_some_and(|member| member.joined);
        let joins = !member && delta.added.iter().eq([me]) && room.listing.is_some();
        if joins && room.roster.iter().any(|(other, there)| other.account == me.account && there.joined) {
            return error(ErrorCode::NotAMember);
        }
        if joins && room.banned.contains(&me.account) {
            return error(ErrorCode::Banned);
        }
        if !member && !joins {
            return error(ErrorCode::UnknownRoom);
        }
        if (commit.generation, commit.epoch) != (room.generation, room.epoch) {
            self.rooms.lost += 1;
            let late = RoomCommit { commit: commit.commit, invitations: Invitations::default(), ..copy };
            self.rooms.losers.push(late);
            return passed(room, me, commit.after);
        }
        let uncovered = |entry: &RoomEntry| {
            let now = (entry.generation, entry.epoch) == (room.generation, room.epoch);
            let after = if member { commit.after } else { 0 };
            now && entry.kind == EntryKind::Proposal && entry.seq > after
        };
        if room.log.iter().any(uncovered) {
            return passed(room, me, commit.after);
        }
        let exists = |device: &RoomDevice| {
            known.contains_key(&place_of(device)) && lists.contains_key(device.account.as_str())
        };
        let missing: Vec<_> = delta.added.iter().filter(|device| !exists(device)).cloned().collect();
        if !missing.is_empty() {
            return Response::RoomUnreachable(subrosa_protocol::frames::RoomUnreachable {
                missing: BoundedVec::new(missing).unwrap(),
                full: BoundedVec::default(),
            });
        }
        assert_eq!(room.listing.is_some(), group_info.is_some());
        assert_eq!(joins || delta.added.is_empty(), commit.welcome.is_none());
        assert_eq!(if joins { 0 } else { delta.added.len() }, invitations.len());
        self.rooms.commits += 1;
        if let Some(welcome) = commit.welcome {
            self.rooms.void.remove(&welcome);
        }
        let body = match commit.commit {
            CommitBody::Inline(bytes) => {
                self.rooms.seen.extend_from_slice(&bytes);
                EntryBody::Inline(bytes)
            }
            CommitBody::Object(_) => EntryBody::Object(commit_ref.unwrap()),
        };
        let accepted = room.append(now, commit.id, EntryKind::Commit, commit.epoch, body);
        room.log.last_mut().unwrap().delta = Some(delta.clone());
        room.epoch += 1;
        let joined = room.roster.iter().filter(|(_, member)| member.joined);
        let mut told: Vec<Place> = joined.map(|(device, _)| place_of(device)).collect();
        for device in delta.removed.iter() {
            if let Some(member) = room.roster.remove(device) {
                if !member.joined {
                    let changed = RoomChanged { room: commit.room, change: RoomChange::Roster };
                    pushes.push((place_of(device), Push::RoomChanged(changed)));
                    continue;
                }
                room.removed.insert(device.clone(), (member.from, accepted.seq));
            }
        }
        for device in delta.added.iter() {
            let seq = accepted.seq;
            room.removed.remove(device);
            room.ever.insert(device.account.clone());
            room.roster.insert(device.clone(), Member { joined: joins, cursor: seq, from: seq });
        }
        if let Some(new) = &delta.owner_key {
            room.owner_key = *new.key;
        }
        room.banned.extend(delta.banned.iter().cloned());
        room.banned.retain(|account| !delta.unbanned.contains(account));
        match delta.listing {
            ListingChange::Keep => {}
            ListingChange::Set(listing) => room.listing = Some(listing),
            ListingChange::Remove => room.listing = None,
        }
        if let Some(old) = std::mem::replace(&mut room.group_info, group_info) {
            self.rooms.objects.remove(&old.hash);
        }
        let entry = room.log.last().unwrap().clone();
        told.sort();
        told.retain(|place| !self.rooms.denied.contains(&(commit.room, device_of(place))));
        if !self.silent {
            for place in told {
                let deliver = RoomDeliver { room: commit.room, entry: Box::new(entry.clone()) };
                pushes.push((place, Push::RoomDeliver(deliver)));
            }
        }
        for invitation in invitations {
            let place = (invitation.account.to_string(), invitation.device.get());
            let device = self.devices.entry(place.clone()).or_default();
            if !device.accepted.insert(invitation.id) {
                continue;
            }
            device.last_seq += 1;
            let (seq, id, sealed) = (device.last_seq, invitation.id, invitation.sealed);
            let stored = MailboxEnvelope { seq, id, accepted_at: now, sealed };
            device.mailbox.push(stored.clone());
            if !self.silent {
                pushes.push((place, Push::Deliver(stored)));
            }
        }
        Response::RoomAccepted(accepted)
    }

    fn room_reboot(&mut self, me: &RoomDevice, reboot: Reboot, pushes: &mut Vec<(Place, Push)>) -> Response {
        let now = self.now;
        let welcome = reboot.welcome.map(|hash| self.object_ref(hash));
        let group_info = reboot.group_info.map(|hash| self.object_ref(hash));
        let Some(room) = self.rooms.rooms.get_mut(&reboot.room) else {
            return error(ErrorCode::UnknownRoom);
        };
        if let Some(accepted) = room.seen.get(&reboot.id) {
            return Response::RoomAccepted(*accepted);
        }
        if reboot.generation != room.generation {
            return passed(room, me, room.roster.get(me).map_or(0, |member| member.cursor));
        }
        let signed = SignedReboot {
            room: *reboot.room.as_bytes(),
            from: reboot.generation,
            to: reboot.new_generation,
            epoch: reboot.epoch,
            state: Sha256::digest(reboot.canonical_state()).into(),
            welcome: reboot.welcome.map(|hash| hash.0),
            group_info: reboot.group_info.map(|hash| hash.0),
        };
        signed.verify(&room.owner_key, &Signature(*reboot.signature)).unwrap();
        let notice = RebootNotice {
            generation: reboot.new_generation,
            epoch: reboot.epoch,
            welcome,
            group_info: reboot.group_info,
            state_hash: signed.state,
            signature: reboot.signature,
        };
        let accepted = room.append(now, reboot.id, EntryKind::Reboot, room.epoch, EntryBody::Reboot(notice));
        let mut before = std::mem::take(&mut room.roster);
        // Who was removed lately may come back by it.
        for device in reboot.roster.iter() {
            if let Some((from, _)) = room.removed.remove(device) {
                before.insert(device.clone(), Member { joined: true, cursor: from, from });
            }
        }
        for (device, member) in before {
            if reboot.roster.contains(&device) {
                room.roster.insert(device, member);
            } else {
                let deliver =
                    RoomDeliver { room: reboot.room, entry: Box::new(room.log.last().unwrap().clone()) };
                pushes.push((place_of(&device), Push::RoomDeliver(deliver)));
                room.removed.insert(device, (member.from, accepted.seq));
            }
        }
        (room.generation, room.epoch, room.group_info) = (reboot.new_generation, reboot.epoch, group_info);
        self.push_entry(reboot.room, accepted.seq, pushes);
        Response::RoomAccepted(accepted)
    }

    /// Takes a commit that no member can follow.
    pub fn brick(&mut self, id: RoomId) -> Vec<(Place, Push)> {
        let now = self.now;
        let room = self.rooms.rooms.get_mut(&id).unwrap();
        let entry = EntryId::from_bytes([0xbb; 16]);
        let body = EntryBody::Inline(BoundedBytes::new(vec![7; 300]).unwrap());
        let accepted = room.append(now, entry, EntryKind::Commit, room.epoch, body);
        room.log.last_mut().unwrap().delta = Some(Default::default());
        room.epoch += 1;
        let mut pushes = Vec::new();
        self.push_entry(id, accepted.seq, &mut pushes);
        pushes
    }

    fn push_entry(&self, id: RoomId, seq: u64, pushes: &mut Vec<(Place, Push)>) {
        let room = &self.rooms.rooms[&id];
        let entry = &room.log[seq as usize - 1];
        if self.silent {
            return;
        }
        for (device, member) in &room.roster {
            if member.joined && !self.rooms.denied.contains(&(id, device.clone())) {
                let deliver = RoomDeliver { room: id, entry: Box::new(entry.clone()) };
                pushes.push((place_of(device), Push::RoomDeliver(deliver)));
            }
        }
    }

    /// These devices are listed no more: the relay has them in no room, and says that rosters changed.
    pub fn signed_out_of_rooms(&mut self, gone: &[Place]) -> Vec<(Place, Push)> {
        let mut pushes = Vec::new();
        for (id, room) in &mut self.rooms.rooms {
            let before = room.roster.len();
            room.roster.retain(|device, _| !gone.contains(&place_of(device)));
            if room.roster.len() == before {
                continue;
            }
            for (account, _) in gone {
                let there = room.roster.keys().any(|device| device.account.as_str() == account);
                room.ever.retain(|name| there || name.as_str() != account);
            }
            let changed = Push::RoomChanged(RoomChanged { room: *id, change: RoomChange::Roster });
            pushes.extend(room.roster.keys().map(|device| (place_of(device), changed.clone())));
        }
        pushes
    }

    /// Everything before an entry is gone.
    pub fn forget_before(&mut self, id: RoomId, seq: u64) {
        self.rooms.rooms.get_mut(&id).unwrap().first_kept = seq;
    }
}

/// What a device says of its state with a request (R23).
const fn generation_of(request: &Request) -> Option<u64> {
    Some(match request {
        Request::RoomCommit(commit) => commit.state_generation,
        Request::RoomPost(post) => post.state_generation,
        Request::RoomReboot(reboot) => reboot.state_generation,
        Request::RoomAccept(accept) => accept.state_generation,
        Request::RoomLeave(leave) => leave.state_generation,
        Request::RoomCursor(cursor) => cursor.state_generation,
        _ => return None,
    })
}

/// The room that a request is about, where it names one that its sender is to be in.
const fn room_of(request: &Request) -> Option<RoomId> {
    Some(match request {
        Request::RoomCommit(commit) => commit.room,
        Request::RoomPost(post) => post.room,
        Request::RoomReboot(reboot) => reboot.room,
        Request::RoomAccept(accept) => accept.room,
        Request::RoomLeave(leave) => leave.room,
        Request::RoomSync(sync) => sync.room,
        Request::RoomEphemeral(signal) => signal.room,
        _ => return None,
    })
}

fn passed(room: &Room, me: &RoomDevice, after: u64) -> Response {
    let (entries, more) = room.after(me, after);
    Response::EpochPassed(EpochPassed {
        generation: room.generation,
        epoch: room.epoch,
        entries: BoundedVec::new(entries).unwrap(),
        more,
    })
}
