//! Adding devices: their KeyPackages are claimed, and with the commit goes an invitation for each, encrypted for it alone.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crypto::verify::room::RoomDevice as Leaf;
use subrosa_protocol::{
    BoundedStr, BoundedVec, DeviceId, ErrorCode, RoomId, SafeText, Username, codec,
    content::{Content, RoomInvitation},
    frames::{KeyPackageClaim, KeyPackages, ObjectHash, Request, Response, RoomDevice},
};
use subrosa_rooms::{Invitee, OwnCommit, Plan, Room, Suite, Visibility as PolicyVisibility, key_packages};

use super::{
    super::{
        Core, Fault, Turn, contacts,
        receive::Sender,
        retry_after,
        seal::{Outgoing, Target},
        work::{Work, devices_of},
    },
    RoomAsked,
    act::{Act, Wanted},
    change::Invited,
    enter::invitation_of,
    mls::lists,
};
use crate::{
    api::{ApiError, EventBody, Kind, RoomState, Visibility},
    label,
    limits::{
        CLAIMED_PACKAGES, INVITATIONS, INVITATIONS_PER_STRANGER, LATE_DEVICES, LATE_DEVICES_AFTER_MS,
        OWN_DEVICES_EVERY_MS, RETRY_MAX_MS,
    },
    net::refused,
    store::{Counter, KnownList, StoredRoom},
};

/// The random part of the wait before devices are looked for again, ms.
const LATE_WITHIN_MS: u32 = 30_000;

/// Invitations as they are stored beside a pending commit.
pub(super) fn write(all: &[Invited]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    for invited in all {
        let bytes = codec::encode(invited).map_err(|_| Fault::Internal("invitation"))?;
        out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    Ok(out)
}

/// Reads what [`write`] wrote.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<Invited>, Fault> {
    let mut all = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (one, rest) = rest.split_at_checked(len).ok_or(Fault::Internal("invitations"))?;
        all.push(codec::decode(one).map_err(|_| Fault::Internal("invitations"))?);
        bytes = rest;
    }
    Ok(all)
}

impl Core {
    /// Whether everything is there to add an account's devices: its list, sessions with its devices, KeyPackages, and no
    /// envelope on its way that the invitation would overtake. What is missing is asked for.
    pub(super) fn is_invitable(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        account: &Username,
    ) -> Result<bool, Fault> {
        let (state, suite) = self.transact(turn, |w| standing(w, room, account))?;
        let devices = match state {
            Standing::NoList => {
                self.lookups.want([account.clone()].into(), [].into());
                return Ok(false);
            }
            Standing::NoSession(devices) => {
                self.claims.need_for(account, devices);
                return Ok(false);
            }
            Standing::Busy => return Ok(false),
            Standing::Ready(devices) => devices,
        };
        let missing: Vec<_> = devices
            .into_iter()
            .filter(|device| {
                let place = RoomDevice { account: account.clone(), device: *device };
                !self.rooms.packages.contains_key(&place)
            })
            .collect();
        if missing.is_empty() {
            return Ok(true);
        }
        if self.rooms.packages.len() >= CLAIMED_PACKAGES {
            self.rooms.packages.clear();
        }
        if self.rooms.claiming.insert(account.clone()) {
            let asked = RoomAsked::Packages { account: account.clone(), devices: missing.clone() };
            let devices = BoundedVec::new(missing).map_err(|_| Fault::Internal("devices"))?;
            let claim = KeyPackageClaim { account: account.clone(), devices, suite: suite.code() };
            self.ask_room(turn, asked, &Request::KeyPackageClaim(claim))?;
        }
        Ok(false)
    }

    pub(super) fn on_packages(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        devices: &[DeviceId],
        response: Response,
    ) -> Result<(), Fault> {
        self.rooms.claiming.remove(account);
        if let Response::KeyPackages(found) = &response
            && !found.packages.is_empty()
        {
            self.rooms.put_off.remove(account);
        }
        let renews = self.rooms.wanted.iter().any(|wanted| wanted.act == Act::Renewal && !wanted.made);
        if renews || matches!(response, Response::KeyPackages(_)) {
            // Devices without any are left out of what follows.
            for device in devices {
                let place = RoomDevice { account: account.clone(), device: *device };
                self.rooms.packages.entry(place).or_default();
            }
        }
        match response {
            Response::KeyPackages(KeyPackages { packages }) => {
                for package in packages.into_inner() {
                    let place = RoomDevice { account: account.clone(), device: package.device };
                    self.rooms.packages.insert(place, package.bytes.into_inner());
                }
                Ok(())
            }
            // Not now: whoever waits for it may, and what this device changes by itself waits as long as it takes.
            Response::Error(frame) => {
                let attempts = self.rooms.put_off.get(account).map_or(0, |put_off| put_off.attempts);
                let wait = retry_after(frame.retry_after_ms, attempts.saturating_add(3));
                let at = turn.now.saturating_add(wait);
                let why = Some(refused(&frame));
                let put_off = PutOff { at, attempts: attempts.saturating_add(1), asked: false, why };
                self.rooms.put_off.insert(account.clone(), put_off);
                self.rooms.again(at);
                if frame.code == ErrorCode::NotFound {
                    // Their devices are others, or they are gone.
                    self.lookups.want([account.clone()].into(), [].into());
                    let error = refused(&frame);
                    let asked = |wanted: &Wanted| {
                        wanted.token.is_some() && !wanted.made && wanted.act.adds() == Some(account)
                    };
                    self.fail_acts(turn, asked, &error);
                }
                Ok(())
            }
            _ => Err(Fault::Relay("another answer to a claim of KeyPackages than there is")),
        }
    }
}

/// Why and until when no KeyPackages of an account are claimed.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    at: u64,
    attempts: u32,
    /// They were asked for since.
    asked: bool,
    why: Option<ApiError>,
}

impl Core {
    /// Whether no KeyPackages of an account are to be had yet. When the time has come, those that had none are asked for again.
    pub(super) fn is_put_off(&mut self, account: &Username, now: u64) -> bool {
        let Some(put_off) = self.rooms.put_off.get_mut(account) else { return false };
        if put_off.at > now {
            return true;
        }
        if !std::mem::replace(&mut put_off.asked, true) {
            self.rooms.ask_anew(account);
        }
        false
    }

    /// Until when the KeyPackages of an account are put off.
    pub(super) fn put_off_claims(&mut self, turn: &Turn<'_>, account: &Username) -> u64 {
        let put_off = self.rooms.put_off.entry(account.clone()).or_default();
        if put_off.at <= turn.now {
            let wait = OWN_DEVICES_EVERY_MS.saturating_mul(1 << put_off.attempts.min(10)).min(RETRY_MAX_MS);
            put_off.at = turn.now.saturating_add(wait);
            put_off.attempts = put_off.attempts.saturating_add(1);
            (put_off.asked, put_off.why) = (false, None);
        }
        put_off.at
    }

    /// Why, for whoever waited.
    pub(super) fn why_put_off(&self, account: &Username) -> ApiError {
        let why = self.rooms.put_off.get(account).and_then(|put_off| put_off.why.clone());
        why.unwrap_or_else(|| {
            ApiError::new(Kind::Refused, format!("{account} cannot be added to a room now")).hint("try again")
        })
    }

    /// Something added devices of an account: those that had no KeyPackages are looked for again, a few times.
    pub(super) fn missed(&mut self, turn: &mut Turn<'_>, room: RoomId, act: &Act) -> Result<(), Fault> {
        let Some(account) = act.adds().cloned() else { return Ok(()) };
        let place = (room, account.clone());
        let tries = self.rooms.late.get(&place).copied();
        let begins = matches!(act, Act::Invite(_)) && account != self.me.account;
        if tries.is_none() && !begins {
            return Ok(());
        }
        let missing = self.transact(turn, |w| {
            let Some(group) = w.group(room)? else { return Ok(false) };
            let there = !group.devices_of(account.as_str()).is_empty();
            let missing = there && is_incomplete(w, &group, &account)?;
            w.loaded.keep(group);
            Ok(missing)
        })?;
        let tries = tries.unwrap_or(0);
        match LATE_DEVICES_AFTER_MS.get(tries).filter(|_| missing) {
            Some(after) if tries > 0 || self.rooms.late.len() < LATE_DEVICES => {
                self.rooms.late.insert(place, tries.saturating_add(1));
                self.rooms.ask_anew(&account);
                self.want_after(turn, (room, Act::Follow(account)), *after, LATE_WITHIN_MS)
            }
            _ => {
                self.rooms.late.remove(&place);
                Ok(())
            }
        }
    }
}

/// What stands between this device and adding an account.
enum Standing {
    NoList,
    NoSession(Vec<DeviceId>),
    /// Envelopes to it are on their way.
    Busy,
    Ready(Vec<DeviceId>),
}

fn standing(w: &mut Work<'_>, room: RoomId, account: &Username) -> Result<(Standing, Suite), Fault> {
    let group = w.group_of(room)?;
    let suite = group.suite();
    let there = group.devices_of(account.as_str());
    w.loaded.keep(group);
    if !w.is_me(account) && w.tx.peer(account)?.is_some_and(|peer| peer.is_stopped()) {
        let error = ApiError::new(
            Kind::Identity,
            format!("{account}'s key changed; nothing is sent before you decide"),
        );
        return Err(error.hint(format!("rosa verify {account}")).into());
    }
    let Some(list) = w.list(account)? else { return Ok((Standing::NoList, suite)) };
    let mut devices = devices_of(&list);
    devices.retain(|device| !there.contains(&Leaf::new(account.as_str(), device.get())));
    let (mut without, mut busy) = (Vec::new(), false);
    for device in &devices {
        if !Target::open(w, account, *device, &list)?.is_some_and(|target| target.has_session()) {
            without.push(*device);
        }
        busy |= !w.tx.outbox_head(account, *device, 1, usize::MAX)?.is_empty();
    }
    let standing = match (without.is_empty(), busy) {
        (false, _) => Standing::NoSession(without),
        (true, true) => Standing::Busy,
        (true, false) => Standing::Ready(devices),
    };
    Ok((standing, suite))
}

/// The plan that adds all devices of an account that are not in the room and can be added.
pub(super) fn plan(
    w: &Work<'_>,
    group: &Room,
    stored: &StoredRoom,
    account: &Username,
    fresh: &BTreeSet<Username>,
    packages: &BTreeMap<RoomDevice, Vec<u8>>,
) -> Result<Option<Plan>, Fault> {
    let there = group.devices_of(account.as_str());
    if group.policy().banned.contains(account.as_str()) {
        let error = ApiError::new(Kind::Refused, format!("{account} is banned from {}", stored.shown()))
            .hint(format!("lift the ban first: rosa room unban '{}' {account}", stored.shown()));
        return Err(error.into());
    }
    let Some(list) = w.list(account)? else { return Ok(None) };
    let add = invitees(w, group, account, &list, fresh, packages);
    match (add.is_empty(), there.is_empty(), w.is_me(account)) {
        (false, ..) => Ok(Some(Plan { add, ..Plan::default() })),
        (true, _, true) => Ok(None),
        (true, false, _) => {
            Err(ApiError::new(Kind::Refused, format!("{account} is in {} already", stored.shown())).into())
        }
        (true, true, _) => {
            Err(ApiError::new(Kind::Refused, format!("{account} cannot be added to a room now"))
                .hint(
                    "none of their devices has keys for rooms at the relay; they get some when they connect",
                )
                .into())
        }
    }
}

/// The devices of an account that are not in the room and can be added.
pub(super) fn invitees(
    w: &Work<'_>,
    group: &Room,
    account: &Username,
    list: &KnownList,
    fresh: &BTreeSet<Username>,
    packages: &BTreeMap<RoomDevice, Vec<u8>>,
) -> Vec<Invitee> {
    let there = group.devices_of(account.as_str());
    let directory = lists(w.tx, w.me, fresh);
    let mut add = Vec::new();
    for device in devices_of(list) {
        let leaf = Leaf::new(account.as_str(), device.get());
        let package = packages.get(&RoomDevice { account: account.clone(), device });
        let Some(package) = package.filter(|package| !package.is_empty() && !there.contains(&leaf)) else {
            continue;
        };
        match key_packages::check(package, &leaf, group.suite(), &directory, w.now) {
            Ok(invitee) => add.push(invitee),
            Err(error) => tracing::warn!(%error, "a KeyPackage is refused"),
        }
    }
    add
}

/// Whether devices of this account are missing in a room that it is in.
pub(super) fn is_incomplete(w: &Work<'_>, group: &Room, account: &Username) -> Result<bool, Fault> {
    let there = group.devices_of(account.as_str());
    let missing = |device: &DeviceId| !there.contains(&Leaf::new(account.as_str(), device.get()));
    Ok(w.list(account)?.is_some_and(|list| devices_of(&list).iter().any(missing)))
}

/// The invitations that go with a commit: for each device that it adds, the next message of the session with it.
pub(super) fn seal_all(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    group: &Room,
    made: &OwnCommit,
    welcome: Option<ObjectHash>,
) -> Result<Vec<u8>, Fault> {
    let Some(welcome) = welcome else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for leaf in &made.delta.added {
        let (Ok(account), Ok(device)) = (Username::new(leaf.account.clone()), DeviceId::new(leaf.device))
        else {
            return Err(Fault::Internal("invitee"));
        };
        let list = w.list(&account)?.ok_or(Fault::Internal("invitee's list"))?;
        let mut target =
            Target::open(w, &account, device, &list)?.ok_or(Fault::Internal("invitee's device"))?;
        if !target.has_session() {
            return Err(Fault::Internal("invitee's session"));
        }
        let policy = group.policy();
        let content = Content::RoomInvitation(RoomInvitation {
            room: stored.id,
            generation: made.generation,
            epoch: made.epoch,
            welcome,
            public: policy.visibility == PolicyVisibility::Public,
            name: BoundedStr::new(policy.name.as_str()).map_err(|_| Fault::Internal("room name"))?,
            topic: BoundedStr::new(policy.topic.as_str()).map_err(|_| Fault::Internal("topic"))?,
        });
        let message = w.random_message_id();
        let chat = account.clone();
        let (id, sealed, counter) = target.seal(w, Outgoing { message, chat, content })?;
        target.close(w)?;
        all.push(Invited { account, device, id, sealed, message, counter });
    }
    write(&all)
}

/// An invitation is the one of this room from now on. The one before may be the one whose commit was taken: it is kept.
fn replace(
    w: &Work<'_>,
    room: &mut StoredRoom,
    invitation: &RoomInvitation,
    sender: &Sender,
) -> Result<(), Fault> {
    let invitation = codec::encode(invitation).map_err(|_| Fault::Internal("invitation"))?;
    let before = room.invitation.replace(invitation);
    let by = room.invited_by.replace(sender.account.clone());
    if let (Some(before), Some(by)) = (before.filter(|before| room.invitation.as_ref() != Some(before)), by) {
        w.tx.keep_earlier_invitation(room.id, &by, &before)?;
    }
    Ok(())
}

/// The same for a room that stays as it is otherwise.
fn keep(w: &Work<'_>, room: &StoredRoom, invitation: &RoomInvitation, sender: &Sender) -> Result<(), Fault> {
    let mut room = room.clone();
    replace(w, &mut room, invitation, sender)?;
    Ok(w.tx.put_room(&room)?)
}

/// The Welcome that an invitation names is not there: the one before it is the room's again, if there is one.
pub(super) fn no_welcome(w: &Work<'_>, room: RoomId, welcome: ObjectHash) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(room)? else { return Ok(()) };
    if invitation_of(&stored).is_some_and(|invitation| invitation.welcome == welcome)
        && let Some((by, before)) = w.tx.take_earlier_invitation(room)?
    {
        (stored.invitation, stored.invited_by) = (Some(before), Some(by));
        w.tx.put_room(&stored)?;
    }
    Ok(())
}

/// Somebody added this device to a room, and asks its person.
pub(in crate::core) fn invited(
    w: &mut Work<'_>,
    sender: &Sender,
    invitation: &RoomInvitation,
) -> Result<(), Fault> {
    let known = w.tx.room(invitation.room)?;
    let mine = w.is_me(&sender.account);
    if let Some(room) = known.as_ref().filter(|room| room.state == RoomState::Joined) {
        // Of the rooms that it is in, this device hears by their logs. But it may have been taken out and added again while it was
        // away: the log before is not for it then. A member's word for that is kept, until it is seen whether the log goes on.
        let newer = (invitation.generation, invitation.epoch) > (room.generation, room.epoch);
        if !newer || !super::shares(w, &sender.account, room.id)? {
            return Ok(());
        }
        if !room.denied {
            keep(w, room, invitation, sender)?;
            w.done.ask_heads = true;
            return Ok(());
        }
    }
    if !mine && known.as_ref().is_none_or(|room| room.state != RoomState::Invited) {
        let waiting = w.tx.rooms()?.into_iter().filter(|room| room.state == RoomState::Invited);
        let by: Vec<_> = waiting.map(|room| room.invited_by).collect();
        let theirs = by.iter().filter(|by| by.as_ref() == Some(&sender.account)).count();
        let stranger = !contacts::is_accepted(w, &sender.account)?;
        if by.len() >= INVITATIONS || stranger && theirs >= INVITATIONS_PER_STRANGER {
            return Ok(w.tx.count(Counter::DiscardedRequest)?);
        }
    }
    let invitation = &super::answer::newer_of(known.as_ref(), mine, invitation);
    let name = SafeText::name(&invitation.name);
    let label = match &known {
        Some(room) => room.label.clone(),
        None => w.tx.free_label(&label::from_name(&name))?,
    };
    let again = known.as_ref().is_some_and(|room| room.state == RoomState::Invited);
    if let Some(room) = known.as_ref().filter(|room| room.state == RoomState::Joining) {
        // Its person is joining it: this is for when that fails.
        return keep(w, room, invitation, sender);
    }
    let visibility = if invitation.public { Visibility::Public } else { Visibility::Private };
    let before = known.unwrap_or_else(|| StoredRoom::new(invitation.room, label, visibility));
    let mut stored = StoredRoom {
        state: RoomState::Invited,
        visibility,
        name: name.clone(),
        topic: SafeText::single_line(&invitation.topic),
        generation: invitation.generation,
        epoch: invitation.epoch,
        refused: None,
        denied: false,
        accepting: false,
        leaving: false,
        ..before
    };
    replace(w, &mut stored, invitation, sender)?;
    w.tx.put_room(&stored)?;
    w.done.rooms = true;
    if again || mine {
        return Ok(());
    }
    w.emit(EventBody::RoomInvited { chat: stored.shown(), name, by: sender.account.to_string() })
}
