//! A room in which all accounts are: what its members do, and what must hold of it at every step and at the end.
//!
//! At every step: nothing is shown twice (I2) or missed (I1); entries that are acknowledged are stored, and what is handed over
//! was committed before, with the same bytes at every try in the same epoch (R21, R32); nobody without the right changes the
//! room (R33); all who are in the same epoch have the same head (I5). At the end, in `rest`: all members agree, and each
//! has what it may read, in order (I1 to I3).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use subrosa_client::{
    api::{
        CreateRoom, EventBody, Message, MessageKind, MessageState, Request, RoomState, SendMessage, WaitFor,
    },
    chat::ChatId,
    store::StoreError,
};
use subrosa_protocol::{
    EntryId, RoomId, Username,
    frames::{CommitBody, Request as Frame, RoomDevice},
};
use subrosa_rooms::Room;

use crate::{
    device::{Device, Fate},
    relay_rooms::device_of,
    room_judge::{Judged, Said, judge},
    world::World,
};

/// What people call the room.
pub const CHAT: &str = "#sim";
/// Accounts that may change it: the owner, and a moderator. The third may not.
const MAY: [&str; 2] = ["alice", "bob"];

/// What is known of the room outside of every store.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub room: Option<RoomId>,
    said: BTreeMap<EntryId, Said>,
    texts: u64,
    /// What was handed over: of a message in which epoch, and a hash of the bytes.
    posts: HashMap<EntryId, ((u32, u64), u64)>,
    commits: HashMap<EntryId, u64>,
    /// Heads of epochs, as the first device had them.
    heads: BTreeMap<(u32, u64), [u8; 32]>,
    /// Places of the log after which an account had asked to leave.
    left_at: Vec<(String, u64)>,
}

fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

// --- what happens --------------------------------------------------------------------------------------------

/// What a person may do, and how often of a hundred times.
type Doing = (u64, &'static str, fn(&mut World) -> bool);

const DOINGS: &[Doing] = &[
    (52, "texts to a room", write),
    (6, "edits", edit),
    (8, "topics", topic),
    (5, "changes without a right", no_right),
    (7, "removals from a room", kick),
    (9, "invitations to a room", invite),
    (11, "invitations accepted", accept),
    (2, "rooms left", leave),
];

/// One thing that a member does; whether it could.
pub fn happen(world: &mut World) -> bool {
    if world.rooms.room.is_none() {
        return false;
    }
    let all: u64 = DOINGS.iter().map(|(often, ..)| often).sum();
    let mut left = world.dice.below(all);
    for (often, what, doing) in DOINGS {
        if left < *often {
            world.trace.line(|| format!("of the room: {what}"));
            return doing(world);
        }
        left -= often;
    }
    false
}

fn some_device(world: &mut World) -> Option<usize> {
    let running = world.running();
    world.dice.pick(&running)
}

fn device_of_account(world: &mut World, names: &[&str]) -> Option<usize> {
    let mut running = world.running();
    running.retain(|at| names.contains(&world.devices[*at].place.0.as_str()));
    world.dice.pick(&running)
}

pub fn write(world: &mut World) -> bool {
    let Some(at) = some_device(world) else { return false };
    world.rooms.texts += 1;
    let text = format!("r{}", world.rooms.texts);
    let key = format!("room {}", world.rooms.texts);
    world.ask(
        at,
        Request::MessageSend(SendMessage {
            to: vec![CHAT.to_owned()],
            text,
            reply_to: None,
            key: Some(key),
            wait: WaitFor::Queued,
            timeout_ms: None,
        }),
    );
    note(world, at);
    true
}

/// Which entries the waiting texts of a device are.
fn note(world: &mut World, at: usize) {
    let device = &world.devices[at];
    let found = device.store().read(|tx| {
        let mut found = Vec::new();
        for row in tx.room_posts_before(u64::MAX, 1_000)? {
            if let Some(Message { kind: MessageKind::Text { text }, .. }) = tx.message(row.message)? {
                found.push((row.entry, text.to_string()));
            }
        }
        Ok::<_, StoreError>(found)
    });
    let by = device_of(&device.place);
    for (entry, text) in found.unwrap() {
        world.rooms.said.entry(entry).or_insert(Said { text, by: by.clone() });
    }
}

fn edit(world: &mut World) -> bool {
    let (Some(at), Some(room)) = (some_device(world), world.rooms.room) else { return false };
    let device = &world.devices[at];
    let own = |line: &&Message| {
        line.from == device.place.0
            && line.state == MessageState::Accepted
            && matches!(line.kind, MessageKind::Text { .. })
    };
    let page = device.store().read(|tx| tx.history(&ChatId::from(room), None, None, 20)).unwrap();
    let Some(line) = page.messages.iter().rev().find(own) else { return false };
    let MessageKind::Text { text } = &line.kind else { return false };
    let request = Request::MessageEdit { id: line.id.clone(), text: format!("{}*", text.as_str()) };
    world.ask(at, request);
    true
}

fn topic(world: &mut World) -> bool {
    let Some(at) = device_of_account(world, &MAY) else { return false };
    let topic = format!("topic {}", world.dice.below(1_000));
    world.ask(at, Request::RoomTopic { room: CHAT.to_owned(), topic });
    true
}

/// Somebody who may not change the room tries to.
fn no_right(world: &mut World) -> bool {
    let Some(at) = device_of_account(world, &["carol"]) else { return false };
    world.ask(at, Request::RoomTopic { room: CHAT.to_owned(), topic: "mine".to_owned() });
    true
}

fn kick(world: &mut World) -> bool {
    let Some(at) = device_of_account(world, &MAY) else { return false };
    let name = "carol".to_owned();
    world.ask(at, Request::RoomKick { room: CHAT.to_owned(), name });
    true
}

fn invite(world: &mut World) -> bool {
    let Some(at) = device_of_account(world, &MAY) else { return false };
    let name = "carol".to_owned();
    world.ask(at, Request::RoomInvite { room: CHAT.to_owned(), name });
    true
}

fn accept(world: &mut World) -> bool {
    let Some(room) = world.rooms.room else { return false };
    let invited = |at: &usize| {
        let stored = world.devices[*at].store().read(|tx| tx.room(room)).unwrap();
        stored.is_some_and(|stored| stored.state == RoomState::Invited)
    };
    let invited: Vec<usize> = world.running().into_iter().filter(invited).collect();
    let Some(at) = world.dice.pick(&invited) else { return false };
    world.ask(at, Request::RoomJoin { room: room.to_string() });
    true
}

fn leave(world: &mut World) -> bool {
    let (Some(at), Some(room)) = (device_of_account(world, &["carol"]), world.rooms.room) else {
        return false;
    };
    let head = world.relay.rooms.rooms[&room].log.len() as u64;
    world.rooms.left_at.push(("carol".to_owned(), head));
    world.ask(at, Request::RoomLeave { room: CHAT.to_owned() });
    true
}

// --- at every step -------------------------------------------------------------------------------------------

/// Something of the room was told live; whether it was about it.
pub fn told(device: &mut Device, body: &EventBody) -> bool {
    match body {
        EventBody::MessageReceived { message } | EventBody::MessageQueued { message }
            if message.chat == CHAT =>
        {
            if !device.room_shown.insert(message.text.to_string()) {
                panic!("I2: {} displays {} of the room twice", device.name(), message.text.as_str());
            }
            true
        }
        EventBody::MessageMissing { chat, from, device: sender, count } if chat == CHAT => {
            // What a device wrote that its account has signed out since is missed by whoever knows that.
            let account = Username::new(from.clone()).unwrap();
            let known = device.store().read(|tx| tx.device_list(&account)).unwrap();
            let listed = known.is_none_or(|known| known.list.device(*sender).is_some());
            if listed && !device.is_copy {
                panic!("I1: {} misses {count} of {from} in the room", device.name());
            }
            true
        }
        // Of what waits in a room in which it is no more, a device says so.
        EventBody::MessageFailed { failure } => failure.chat.as_deref() == Some(CHAT),
        EventBody::RoomRefused { why, .. } => {
            panic!("I5: {} refuses what the room's members follow: {}", device.name(), why.as_str())
        }
        EventBody::RoomForked { epoch, .. } => panic!("I5: {} sees two histories at {epoch}", device.name()),
        // Who was taken out and added again while away is told so, until the invitation is read.
        EventBody::RoomDenied { .. } if device.taken_out => true,
        EventBody::RoomDenied { .. } | EventBody::RoomCutOff { .. } if device.fate == Fate::Active => {
            panic!("I1: {} is out of the room though nobody took it out", device.name())
        }
        EventBody::RoomChanged { by, .. } if !MAY.contains(&by.as_str()) => {
            panic!("R33: {} follows a change of {by}, who has no right to it", device.name())
        }
        _ => false,
    }
}

/// What a device hands over.
pub fn check_sent(world: &mut World, at: usize, frame: &Frame) {
    let Some(room) = world.rooms.room else { return };
    let device = &world.devices[at];
    match frame {
        Frame::RoomCursor(cursor) => {
            let stored = device.store().read(|tx| tx.room(cursor.room)).unwrap();
            let has = stored.map_or(u64::MAX, |stored| stored.cursor);
            if cursor.up_to > has {
                panic!("R21: {} acknowledges entry {} and has {has}", device.name(), cursor.up_to);
            }
        }
        Frame::RoomPost(post) => {
            let (place, hash) = ((post.generation, post.epoch), hash_of(&post.bytes));
            let before = world.rooms.posts.insert(post.id, (place, hash));
            if before.is_some_and(|(epoch, bytes)| epoch == place && bytes != hash) {
                panic!("R21: {} sends other bytes of a room's message in the same epoch", device.name());
            }
            let row = device.store().read(|tx| tx.room_post(room, post.id)).unwrap();
            let kept = row.and_then(|row| row.sealed).map(|sealed| hash_of(&sealed.bytes));
            if kept.is_some_and(|kept| kept != hash) {
                panic!("R21: {} sends what it did not commit to a room", device.name());
            }
        }
        Frame::RoomCommit(commit) => {
            let removed: Vec<RoomDevice> = commit.delta.removed.iter().cloned().collect();
            for other in &mut world.devices {
                other.taken_out |= removed.contains(&device_of(&other.place));
            }
            let device = &world.devices[at];
            let hash = match &commit.commit {
                CommitBody::Inline(bytes) => hash_of(bytes),
                CommitBody::Object(object) => hash_of(&object.0),
            };
            if *world.rooms.commits.entry(commit.id).or_insert(hash) != hash {
                panic!("R32: {} hands over another commit at the second try", device.name());
            }
        }
        _ => {}
    }
}

/// I5, and that nobody moved on before the relay did: of some device now and then.
pub fn check_head(world: &mut World) {
    let Some(room) = world.rooms.room else { return };
    let at = world.dice.index(world.devices.len());
    let Some((place, head)) = head_of(&world.devices[at], room) else { return };
    let device = &world.devices[at];
    if device.is_copy || device.fate != Fate::Active {
        return;
    }
    let relay = &world.relay.rooms.rooms[&room];
    if place > (relay.generation, relay.epoch) {
        panic!("R32: {} is in epoch {place:?}, of which the relay does not know", device.name());
    }
    if *world.rooms.heads.entry(place).or_insert(head) != head {
        panic!("I5: {} has another head of epoch {place:?} than others", device.name());
    }
}

/// Where a device is in the room.
fn head_of(device: &Device, room: RoomId) -> Option<((u32, u64), [u8; 32])> {
    let found = device.store().read(|tx| {
        let joined = tx.room(room)?.is_some_and(|stored| stored.state == RoomState::Joined);
        Ok::<_, StoreError>(if joined { Room::load(tx, *room.as_bytes()).unwrap() } else { None })
    });
    let head = found.unwrap()?.head();
    Some(((head.generation, head.epoch), head.hash))
}

// --- at the end ----------------------------------------------------------------------------------------------

/// What a device has not done yet in the room.
pub fn what_waits(world: &World, at: usize) -> Option<String> {
    let (room, device) = (world.rooms.room?, &world.devices[at]);
    let found = device.store().read(|tx| {
        let stored = tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
        Ok::<_, StoreError>((stored, tx.room_posts_waiting()?, tx.pending_commits()?.len()))
    });
    let (stored, posts, commits) = found.unwrap();
    let stored = stored?;
    let place = device_of(&device.place);
    let relay = &world.relay.rooms.rooms[&room];
    let member = relay.roster.get(&place)?;
    let head = if member.joined { relay.log.len() as u64 } else { 0 };
    (posts > 0 || commits > 0 || stored.cursor < head).then(|| {
        format!(
            "{} has {posts} messages and {commits} changes for the room, and is at {} of {head}",
            device.name(),
            stored.cursor
        )
    })
}

/// Holds the stores against the log.
pub fn hold(world: &mut World) -> Result<(), String> {
    let Some(room) = world.rooms.room else { return Ok(()) };
    for at in 0..world.devices.len() {
        note(world, at);
    }
    let relay = world.relay.rooms.rooms[&room].clone();
    let mut judged = 0;
    let mut stands: BTreeMap<String, String> = BTreeMap::new();
    let listed: BTreeSet<RoomDevice> = world.relay.devices.keys().map(device_of).collect();
    let signed_out: Vec<RoomDevice> =
        world.rooms.said.values().map(|said| said.by.clone()).filter(|by| !listed.contains(by)).collect();
    for device in &world.devices {
        if device.fate != Fate::Active || device.is_copy {
            continue;
        }
        let place: RoomDevice = device_of(&device.place);
        let found = device.store().read(|tx| tx.room(room)).unwrap();
        let joined = found.as_ref().is_some_and(|stored| stored.state == RoomState::Joined);
        if relay.roster.get(&place).is_some_and(|member| member.joined) {
            if !joined {
                return Err(format!("I5: {} is in the room by the relay, and not by itself", device.name()));
            }
            let Some((epoch, head)) = head_of(device, room) else {
                return Err(format!("I5: {} has no group of the room", device.name()));
            };
            if epoch != (relay.generation, relay.epoch) {
                return Err(format!(
                    "I5: {} is in epoch {epoch:?}, the relay in {}",
                    device.name(),
                    relay.epoch
                ));
            }
            let members = device.store().read(|tx| {
                let group = Room::load(tx, *room.as_bytes()).unwrap().unwrap();
                Ok::<_, StoreError>(format!("{:?} {}", group.members(), group.policy().topic))
            });
            stands.insert(format!("{head:?} {}", members.unwrap()), device.name());
        }
        if found.is_none() {
            continue;
        }
        let mut lines = Vec::new();
        let mut after = Some(0);
        while let Some(from) = after {
            let page =
                device.store().read(|tx| tx.history(&ChatId::from(room), None, Some(from), 500)).unwrap();
            after = page.messages.last().map(|line| line.order).filter(|_| page.more_after);
            lines.extend(page.messages);
        }
        let left_at = world.rooms.left_at.iter().filter(|(who, _)| *who == device.place.0);
        let left_at: Vec<u64> = left_at.map(|(_, at)| *at).collect();
        let at_first = device.place == ("alice".to_owned(), 1);
        let one = Judged {
            device: &place,
            at_first,
            joined,
            left_at: &left_at,
            signed_out: &signed_out,
            lines: &lines,
        };
        judged += judge(&one, &relay.log, &world.rooms.said)?;
    }
    if stands.len() > 1 {
        return Err(format!("I5: members see different rooms: {stands:?}"));
    }
    world.counts.room_texts += judged as u64;
    world.counts.room_entries += relay.log.len() as u64;
    world.counts.room_commits += world.relay.rooms.commits as u64;
    world.counts.room_lost += world.relay.rooms.lost as u64;
    Ok(())
}

// --- the beginning -------------------------------------------------------------------------------------------

/// The first account makes a room, and all the others come in.
pub fn begin(world: &mut World, settle: fn(&mut World)) {
    world.relay.rooms.open = true;
    world.relay.rooms.suite = subrosa_rooms::Suite::Classic.code();
    for at in 0..world.devices.len() {
        world.restart(at);
    }
    settle(world);
    let create = CreateRoom {
        name: "sim".to_owned(),
        public: false,
        slug: None,
        description: String::new(),
        topic: String::new(),
        large: true,
    };
    world.ask(0, Request::RoomCreate(create));
    settle(world);
    for name in ["bob", "carol"] {
        world.ask(0, Request::RoomInvite { room: CHAT.to_owned(), name: name.to_owned() });
        settle(world);
        let at = world.devices.iter().position(|device| device.place.0 == name).unwrap();
        world.ask(at, Request::RoomJoin { room: CHAT.to_owned() });
        settle(world);
    }
    let role = subrosa_client::api::Role::Moderator;
    world.ask(0, Request::RoomRole { room: CHAT.to_owned(), name: "bob".to_owned(), role });
    settle(world);
    let rooms = &world.relay.rooms.rooms;
    let room = *rooms.keys().next().unwrap();
    assert_eq!(rooms[&room].roster.len(), world.devices.len(), "all are in the room");
    assert!(rooms[&room].roster.values().all(|member| member.joined), "all have accepted");
    world.rooms.room = Some(room);
    for at in 0..world.devices.len() {
        world.crash(at);
    }
}
