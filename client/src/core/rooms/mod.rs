//! Rooms: what this device says and changes in them, and what it hears.
//!
//! | file | what it decides |
//! |---|---|
//! | `mls` | the group of a room, device lists of its members, refusals in words |
//! | `requests`, `show` | what front ends ask |
//! | `create`, `enter`, `lobby` | making a room; joining a public one, accepting an invitation; the one that new accounts join |
//! | `act`, `change` | changes by commit: wanted, made, handed over, tried again when another one wins |
//! | `invite` | adding devices: their KeyPackages, and the invitations that go with the commit |
//! | `answer` | invitations: one device answers for all of its account; what is over goes |
//! | `leave` | leaving, and settling what others left behind |
//! | `silent`, `follow` | devices of which nothing is heard; devices of members that are others now |
//! | `post`, `about` | messages on their way to the log; what is said about them: edits, signs, pins |
//! | `receipts`, `typing` | who has a message; who writes |
//! | `renew` | a group that nobody can follow is made anew; the key for it |
//! | `state` | whether members see the same room |
//! | `sync`, `entry`, `lines` | the log: in order and whole, each entry understood and shown |
//! | `deny`, `evidence` | a relay that says that this device is not in a room; proof of different histories |
//! | `roster` | devices that were signed out while nobody of the room was told |
//! | `lists`, `objects` | what has to be fetched first |
//! | `key_packages` | this device's KeyPackages on the relay |

mod about;
mod act;
mod answer;
mod change;
mod create;
mod deny;
mod enter;
mod entry;
mod evidence;
mod follow;
mod invite;
mod key_packages;
mod leave;
mod lines;
mod lists;
mod lobby;
mod mls;
mod objects;
mod post;
mod receipts;
mod renew;
mod requests;
mod roster;
mod show;
mod silent;
mod state;
mod sync;
mod typing;

pub(super) use act::Act;
pub(super) use change::places_invited;
pub(super) use mls::Loaded;

use std::collections::{BTreeMap, BTreeSet};

use subrosa_protocol::{
    RoomId, Username,
    frames::{ObjectHash, Push, Response, RoomDevice},
};

use self::{act::Wanted, change::GivenUp, create::Creating, enter::Entering, invite::PutOff};
use super::{Core, Effect, Fault, Turn, work::Work};
use crate::{
    api::{ApiError, Kind, RoomState},
    limits::ROOM_ACK_DELAY_MS,
};

pub(super) use entry::rejected;
pub(super) use follow::others_changed;
pub(super) use invite::invited;
pub(super) use post::queue;
pub(super) use receipts::{read, receipted, who_has};
pub(super) use renew::{declined, owner_key, shares};
pub(super) use state::{heard, tell_states};

/// What a request about a room was for.
#[derive(Debug)]
pub(super) enum RoomAsked {
    /// Where the rooms of this device are.
    Heads { known: Vec<subrosa_protocol::frames::RoomHead> },
    /// Entries of a log.
    Sync(RoomId),
    /// An acknowledgement.
    Cursor(RoomId),
    /// A message; its row.
    Post { room: RoomId, row: i64 },
    /// The pending commit.
    Commit(RoomId),
    /// A new room.
    Create(RoomId),
    /// Whether a room has the slug that was made for a new one.
    Stem(RoomId),
    /// Device lists of members.
    Lists { room: RoomId },
    /// A piece of an object on its way out: what uses it tells whether it came.
    Put,
    /// A piece of an object.
    Get(objects::Fetch),
    /// What the relay knows of a room that is being entered.
    Enter { token: u64 },
    /// The same, to show it.
    Show { token: u64 },
    /// The directory.
    Directory { token: u64, rooms: Vec<crate::api::ListedRoom>, prefix: String },
    /// KeyPackages of an account's devices.
    Packages { account: Username, devices: Vec<subrosa_protocol::DeviceId> },
    /// What the relay says of itself.
    Relay,
    /// Own KeyPackages.
    Upload { suite: u16 },
    /// The roster of a room, of which these devices are known.
    Roster { room: RoomId, known: Vec<RoomDevice> },
    /// Whether an invitation, of a generation and epoch, still stands.
    Invitation { room: RoomId, at: (u32, u64) },
    /// This device has accepted an invitation.
    Accept(RoomId),
    /// This device leaves.
    Leave { room: RoomId, token: u64, deadline: u64 },
}

/// How a room stands with the relay, as long as the connection lasts.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// There may be entries after the cursor.
    behind: bool,
    syncing: bool,
    posting: bool,
    committing: bool,
    /// It asked to leave, and the answer is on its way.
    leaving: bool,
    /// How many objects were put for the commit that is on its way.
    objects: usize,
    acking: bool,
    /// When the cursor is acknowledged.
    ack_at: Option<u64>,
    /// Accounts whose device lists are needed before the log goes on; and whether they were asked for.
    needs: BTreeSet<Username>,
    asked: bool,
    /// Accounts that were looked up since the entry at hand came.
    fresh: BTreeSet<Username>,
    /// Lists are not asked for before this time: the relay said so.
    lists_at: Option<u64>,
    /// How often the relay had no list that the entry at hand needs, and when that is tried again.
    without_list: u32,
    sync_at: Option<u64>,
    /// When those who left are settled by this device, if nobody else does it before.
    settle_at: Option<u64>,
    /// An object that is needed before the log goes on.
    object: Option<ObjectHash>,
    /// When the roster is looked at.
    roster_at: Option<u64>,
    /// The relay is being asked whether an invitation still stands.
    invitation_asked: bool,
    /// The relay said on this connection that this device is in the room.
    let_in: bool,
    /// When the relay is asked again for a room that it denied.
    ask_again_at: Option<u64>,
    /// When this device renews the room, if nobody else does before; and when it did.
    renew_at: Option<u64>,
    renewed_at: Option<u64>,
    /// When the others were told that this account writes.
    typing_told_at: Option<u64>,
    /// Who writes, and until when that holds.
    typing: BTreeMap<Username, u64>,
}

/// Rooms, as far as they are not in the store.
#[derive(Default)]
pub(super) struct Rooms {
    live: BTreeMap<RoomId, Live>,
    wanted: Vec<Wanted>,
    creating: Vec<Creating>,
    entering: Vec<Entering>,
    /// How many rooms were entered so far.
    entered: u64,
    /// KeyPackages that were claimed and not used yet.
    packages: BTreeMap<RoomDevice, Vec<u8>>,
    claiming: BTreeSet<Username>,
    /// Accounts of which no KeyPackages are claimed before a time.
    put_off: BTreeMap<Username, PutOff>,
    /// Accounts that were invited while some of their devices had no KeyPackages, and how often that was looked at again.
    late: BTreeMap<(RoomId, Username), usize>,
    /// Rooms with a commit of which its person was told that it may have been done.
    given_up: BTreeMap<RoomId, GivenUp>,
    /// When the roster of a room was looked at the last time.
    rosters: BTreeMap<RoomId, u64>,
    /// Objects that were fetched and not used yet.
    objects: BTreeMap<ObjectHash, Vec<u8>>,
    /// Those on their way here.
    fetching: BTreeSet<ObjectHash>,
    /// Whether the relay was asked where the rooms are, and whether it has told.
    pub(super) heads_asked: bool,
    heads_known: bool,
    pub(super) uploads: key_packages::Uploads,
    /// Rooms whose log cannot be followed, here or for a member.
    pub(super) reported: BTreeSet<RoomId>,
    /// What follows from what was received, for this device to change.
    pub(super) follows: Vec<(RoomId, Act)>,
    /// Whether the relay was asked for its lobby.
    lobby_asked: bool,
    /// When something that was put off is tried again.
    again_at: Option<u64>,
}

impl Rooms {
    fn live(&mut self, room: RoomId) -> &mut Live {
        self.live.entry(room).or_default()
    }

    /// Devices of an account that had no KeyPackages are asked for them again.
    fn ask_anew(&mut self, account: &Username) {
        self.packages.retain(|device, package| device.account != *account || !package.is_empty());
    }

    /// What is stored of a log is acknowledged soon.
    fn acknowledge_soon(&mut self, room: RoomId, now: u64) {
        let at = now.saturating_add(ROOM_ACK_DELAY_MS);
        self.live(room).ack_at.get_or_insert(at);
    }

    fn again(&mut self, at: u64) {
        self.again_at = Some(self.again_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn on_down(&mut self) {
        self.live.clear();
        self.claiming.clear();
        self.put_off.clear();
        for given_up in self.given_up.values_mut() {
            *given_up = GivenUp::default();
        }
        self.objects.clear();
        self.fetching.clear();
        (self.heads_asked, self.heads_known) = (false, false);
        self.uploads.on_down();
        for entering in &mut self.entering {
            entering.begin_anew();
        }
    }

    /// Whether all that is known to be in the logs was dealt with.
    pub(super) fn is_synced(&self) -> bool {
        self.heads_known && self.live.values().all(|live| !live.behind && !live.syncing)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        let wanted = self.wanted.iter().filter(|wanted| wanted.token.is_some()).map(|wanted| wanted.deadline);
        wanted.chain(self.entering.iter().filter_map(Entering::deadline)).min()
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let live = self.live.values();
        let acks = live.clone().filter(|live| !live.acking).filter_map(|live| live.ack_at);
        let settles = live.clone().filter_map(|live| live.settle_at);
        let rosters = live.clone().filter(|live| !live.behind).filter_map(|live| live.roster_at);
        let renewals = live.clone().filter_map(|live| live.renew_at);
        let typing = live.flat_map(|live| live.typing.values().copied());
        acks.chain(settles)
            .chain(rosters)
            .chain(renewals)
            .chain(typing)
            .chain(self.again_at)
            .chain(self.uploads.next_wake())
            .min()
    }
}

impl Core {
    /// This device is in no room any more: their keys leave the memory.
    pub(super) fn forget_rooms(&mut self) {
        (self.rooms, self.loaded) = (Rooms::default(), Loaded::default());
    }

    /// Everything of rooms that can go on.
    pub(super) fn pump_rooms(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.rooms.again_at = None;
        self.expire_acts(turn);
        self.pump_typing(turn)?;
        if !self.link.is_up() {
            return Ok(());
        }
        self.pump_denied(turn);
        self.ask_heads(turn)?;
        self.ask_lobby(turn)?;
        self.pump_key_packages(turn)?;
        self.pump_room_lists(turn)?;
        self.pump_sync(turn)?;
        self.pump_commits(turn)?;
        self.pump_renewals(turn)?;
        self.pump_acts(turn)?;
        // Lists that the changes need.
        self.pump_room_lists(turn)?;
        self.pump_commits(turn)?;
        self.pump_posts(turn)?;
        self.pump_entering(turn)?;
        self.pump_rosters(turn)?;
        self.pump_cursors(turn)
    }

    pub(super) fn on_room_push(&mut self, turn: &mut Turn<'_>, push: Push) -> Result<(), Fault> {
        match push {
            Push::KeyPackagesLow(counts) => {
                self.rooms.uploads.told(&counts);
                Ok(())
            }
            Push::RoomDeliver(deliver) => self.on_room_entry(turn, deliver),
            Push::RoomSignal(signal) => self.on_room_signal(turn, &signal),
            Push::RoomHint(hint) => {
                self.rooms.live(hint.room).behind = true;
                Ok(())
            }
            Push::RoomChanged(changed) => self.on_room_changed(turn, changed),
            _ => Ok(()),
        }
    }

    pub(super) fn on_room_response(
        &mut self,
        turn: &mut Turn<'_>,
        asked: RoomAsked,
        response: Response,
    ) -> Result<(), Fault> {
        match asked {
            RoomAsked::Heads { known } => self.on_heads(turn, known, response),
            RoomAsked::Sync(room) => self.on_room_page(turn, room, response),
            RoomAsked::Cursor(room) => {
                self.rooms.live(room).acking = false;
                Ok(())
            }
            RoomAsked::Post { room, row } => self.on_posted(turn, room, row, response),
            RoomAsked::Commit(room) => self.on_committed(turn, room, response),
            RoomAsked::Create(room) => self.on_created(turn, room, response),
            RoomAsked::Stem(room) => self.on_stem(turn, room, &response),
            RoomAsked::Lists { room } => self.on_room_lists(turn, room, response),
            RoomAsked::Put => Ok(()),
            RoomAsked::Get(fetch) => self.on_piece(turn, fetch, response),
            RoomAsked::Enter { token } => self.on_enter_shown(turn, token, response),
            RoomAsked::Show { token } => self.on_room_shown(turn, token, response),
            RoomAsked::Directory { token, rooms, prefix } => {
                self.on_directory(turn, token, rooms, prefix, response)
            }
            RoomAsked::Packages { account, devices } => self.on_packages(turn, &account, &devices, response),
            RoomAsked::Relay => self.on_relay_info(turn, &response),
            RoomAsked::Upload { suite } => self.on_packages_uploaded(turn, suite, &response),
            RoomAsked::Roster { room, known } => self.on_roster(turn, room, known, response),
            RoomAsked::Invitation { room, at } => self.on_invitation_shown(turn, room, at, &response),
            RoomAsked::Accept(room) => self.on_accepted(turn, room, &response),
            RoomAsked::Leave { room, token, deadline } => {
                self.on_left(turn, room, (token, deadline), response)
            }
        }
    }

    /// The connection is gone: what is not asked again by itself is answered.
    pub(super) fn room_unanswered(turn: &mut Turn<'_>, asked: &RoomAsked) {
        let (RoomAsked::Show { token } | RoomAsked::Directory { token, .. } | RoomAsked::Leave { token, .. }) =
            asked
        else {
            return;
        };
        let error = match asked {
            RoomAsked::Leave { .. } => ApiError::new(
                Kind::Timeout,
                "the relay has not answered before the connection broke: you may have left",
            )
            .hint("look at your rooms when connected again: rosa ls rooms"),
            _ => ApiError::new(Kind::Unreachable, "the connection broke before the relay answered")
                .hint("try again when connected"),
        };
        turn.out.push(Effect::Reply { token: *token, result: Err(error) });
    }

    /// The devices of this account are others: they come into its rooms, and go out of them.
    pub(super) fn own_devices_changed(&mut self, turn: &Turn<'_>) -> Result<(), Fault> {
        for stored in self.store.read(|tx| tx.rooms())? {
            if stored.state == RoomState::Joined {
                self.add_own_devices(turn, stored.id)?;
                self.want(turn, stored.id, Act::Settle, None)?;
            }
        }
        Ok(())
    }

    /// Own leaves that are due get new keys.
    pub(super) fn renew_leaves(&mut self, turn: &Turn<'_>, rooms: Vec<RoomId>) -> Result<(), Fault> {
        for room in rooms {
            self.want(turn, room, Act::Renew, None)?;
        }
        Ok(())
    }

    /// The lookup of an account came to nothing: who wants to add it is told.
    pub(super) fn room_lookup_failed(&mut self, turn: &mut Turn<'_>, account: &Username, error: &ApiError) {
        let about = |act: &Act| act.adds() == Some(account) || matches!(act, Act::Ban(who) if who == account);
        self.fail_acts(turn, |wanted| about(&wanted.act) && !wanted.made, error);
    }
}

/// What happens to rooms by the clock. The rooms in which this device's own leaf is to be renewed (R34). Keys of epochs that
/// ended a day ago go (R30), once all of the logs was read.
pub(super) fn upkeep(w: &mut Work<'_>, caught_up: bool) -> Result<Vec<RoomId>, Fault> {
    subrosa_rooms::key_packages::expire(w.tx, w.now).map_err(mls::fault)?;
    post::give_up(w)?;
    let mut due = Vec::new();
    for stored in w.tx.rooms()? {
        w.done.ask_heads |= stored.state == RoomState::Invited;
        if stored.goes_on() {
            let Some(mut group) = w.group(stored.id)? else { continue };
            let tx = w.tx;
            if caught_up && group.pending().is_none() {
                group.expire(tx, &mut w.rng, w.now).map_err(mls::fault)?;
            }
            due.extend(group.update_due(w.now).map(|_| stored.id));
            if caught_up {
                silent::look(w, &stored, &group)?;
            }
            w.loaded.keep(group);
        }
    }
    Ok(due)
}
