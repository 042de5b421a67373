//! A room whose log nobody can follow any more: the relay took a commit that members must refuse. An owner makes its group
//! anew under the room's owner key, and the others follow (R31).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use subrosa_crypto::verify::{
    keys::Signature,
    room::{Reboot as SignedReboot, RoomDevice as Leaf, reboot_state},
};
use subrosa_protocol::{
    BoundedVec, DeviceId, EntryId, Payload, RoomId, SafeText, Username, codec,
    content::{Content, RoomDeclined, RoomOwnerKey},
    frames::{KeyPackageClaim, ListingChange, Reboot, RebootNotice, Request, RoomDevice, RoomEntry},
};
use subrosa_rooms::{OwnerKey, Plan, Refusal, Role as PolicyRole, Room, RoomError, key_packages};
use zeroize::Zeroizing;

use super::{
    super::{Core, Fault, Turn, receive::Sender, work::Work},
    RoomAsked,
    act::Act,
    change::Made,
    entry::{Missing, Taken, stand_still},
    lines,
    mls::{accounts, fault, lists, wire_device},
};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, Role, RoomState},
    limits::{
        CLAIMS_AT_ONCE, FOLLOW_AFTER_MS, FOLLOW_SOON_WITHIN_MS, FOLLOW_WITHIN_MS, LOST_TOLD,
        RENEW_AFTER_REPORT_EVERY_MS, RENEW_WITHIN_MS, SETTLE_WITHIN_MS, SILENT_OUT_WITHIN_MS,
    },
    store::{Counter, HeldFor, NewPending, PendingCommit, StoredRoom},
};

/// An own renewal as it is stored beside what goes with it.
#[derive(Serialize, Deserialize)]
pub(super) struct Renewal {
    /// SHA-256 of the new group's first commit, which goes nowhere.
    pub(super) hash: ByteArray<32>,
    pub(super) request: Reboot,
    /// Accounts that had to be left out: they are invited again.
    pub(super) left_out: Vec<Username>,
}

impl Renewal {
    pub(super) fn of(commit: &PendingCommit) -> Result<Self, Fault> {
        codec::decode(&commit.bytes).map_err(|_| Fault::Internal("renewal"))
    }
}

/// Whether a pending commit is a renewal.
pub(super) fn is_renewal(commit: &PendingCommit) -> bool {
    Act::from_bytes(&commit.act) == Some(Act::Renewal)
}

impl Core {
    /// A room stands still here, or a member says so: after a random while this device renews it, if it can and nobody else
    /// has. For reports alone, not again and again.
    pub(super) fn plan_renewal(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let stored = self.store.read(|tx| tx.room(room))?;
        let Some(stored) = stored.filter(|stored| stored.state == RoomState::Joined) else { return Ok(()) };
        if stored.role != Some(Role::Owner) || stored.owner_secret.is_none() {
            return Ok(());
        }
        let wait = u64::from(turn.rng.next_u32() % RENEW_WITHIN_MS);
        let now = turn.now;
        let live = self.rooms.live(room);
        let often = live.renewed_at.is_some_and(|at| at.saturating_add(RENEW_AFTER_REPORT_EVERY_MS) > now);
        if stored.refused.is_some() || !often {
            live.renew_at.get_or_insert(now.saturating_add(wait));
        }
        Ok(())
    }

    pub(super) fn pump_renewals(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        for (room, act) in std::mem::take(&mut self.rooms.follows) {
            match act {
                Act::Silent => self.want_after(turn, (room, act), 0, SILENT_OUT_WITHIN_MS)?,
                Act::OwnerKey(_) => self.want_after(turn, (room, act), 0, SETTLE_WITHIN_MS)?,
                Act::Follow(account) => {
                    let soon = self.transact(turn, |w| super::follow::is_alone(w, room, &account))?;
                    let (after, within) =
                        if soon { (0, FOLLOW_SOON_WITHIN_MS) } else { (FOLLOW_AFTER_MS, FOLLOW_WITHIN_MS) };
                    self.want_after(turn, (room, Act::Follow(account)), after, within)?;
                }
                _ => self.want(turn, room, act, None)?,
            }
        }
        for room in std::mem::take(&mut self.rooms.reported) {
            self.plan_renewal(turn, room)?;
        }
        let due: Vec<RoomId> = self
            .rooms
            .live
            .iter()
            .filter(|(_, live)| live.renew_at.is_some_and(|at| at <= turn.now))
            .map(|(room, _)| *room)
            .collect();
        for room in due {
            let now = turn.now;
            let live = self.rooms.live(room);
            (live.renew_at, live.renewed_at) = (None, Some(now));
            self.want(turn, room, Act::Renewal, None)?;
        }
        Ok(())
    }

    /// Whether everything is there to renew a room: the KeyPackages of its members, as far as they have any. What is
    /// missing is asked for.
    pub(super) fn is_renewable(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<bool, Fault> {
        let (members, suite) = self.transact(turn, |w| {
            let group = w.group_of(room)?;
            let found = (group.members(), group.suite());
            w.loaded.keep(group);
            Ok(found)
        })?;
        let me = Leaf::new(self.me.account.as_str(), self.me.device.get());
        let mut missing = BTreeMap::<Username, Vec<DeviceId>>::new();
        for place in members.iter().filter(|member| **member != me).filter_map(wire_device) {
            if !self.rooms.packages.contains_key(&place) {
                missing.entry(place.account).or_default().push(place.device);
            }
        }
        let complete = missing.is_empty();
        for (account, devices) in missing {
            if self.rooms.claiming.len() >= CLAIMS_AT_ONCE || !self.rooms.claiming.insert(account.clone()) {
                continue;
            }
            let asked = RoomAsked::Packages { account: account.clone(), devices: devices.clone() };
            let devices = BoundedVec::new(devices).map_err(|_| Fault::Internal("devices"))?;
            let claim = KeyPackageClaim { account, devices, suite: suite.code() };
            self.ask_room(turn, asked, &Request::KeyPackageClaim(claim))?;
        }
        Ok(complete)
    }

    /// Hands an own renewal over.
    pub(super) fn hand_over_renewal(
        &mut self,
        turn: &mut Turn<'_>,
        commit: &PendingCommit,
        state_generation: u64,
    ) -> Result<(), Fault> {
        let Renewal { request, .. } = Renewal::of(commit)?;
        for object in [&commit.group_info, &commit.welcome].into_iter().flatten() {
            self.put_object(turn, object)?;
        }
        let request = Request::RoomReboot(Reboot { state_generation, ..request });
        self.ask_room(turn, RoomAsked::Commit(commit.room), &request)
    }
}

/// The room's next group, of the members whose KeyPackages are there.
pub(super) fn make(
    w: &mut Work<'_>,
    room: RoomId,
    fresh: &BTreeSet<Username>,
    packages: &BTreeMap<RoomDevice, Vec<u8>>,
) -> Result<Made, Fault> {
    let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
    let stored = stored.ok_or_else(super::mls::not_in)?;
    let Some(secret) = &stored.owner_secret else {
        return Err(ApiError::new(Kind::Refused, "this device does not have the room's owner key")
            .hint("another device of an owner has it")
            .into());
    };
    let key = OwnerKey::from_bytes(secret);
    let group = w.group_of(room)?;
    let (leaf, tx, me) = (w.leaf()?, w.tx, w.me);
    let directory = lists(tx, me, fresh);
    let mut members = Vec::new();
    for member in group.members() {
        let package = wire_device(&member).and_then(|place| packages.get(&place));
        let Some(package) = package.filter(|package| !package.is_empty()) else { continue };
        match key_packages::check(package, &member, group.suite(), &directory, w.now) {
            Ok(invitee) => members.push(invitee),
            Err(error) => tracing::warn!(%error, "a KeyPackage is refused"),
        }
    }
    let before: BTreeSet<String> = group.members().into_iter().map(|member| member.account).collect();
    let banned = group.policy().banned.clone();
    let (group, made) = match group.reboot(tx, &mut w.rng, leaf, &key, members, &directory, w.now) {
        Ok(made) => made,
        Err(RoomError::NeedLists(needs)) => return Ok(Made::Needs(accounts(needs))),
        Err(error) => return Err(fault(error)),
    };
    w.loaded.keep(group);
    let wrong = || Fault::Internal("renewal");
    let roster = made.roster.iter().map(wire_device).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    let banned = banned.into_iter().map(|name| Username::new(name).ok()).collect::<Option<Vec<_>>>();
    let hash = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| super::objects::hash(bytes));
    let entry = EntryId::from_bytes(w.random());
    let request = Reboot {
        room,
        id: entry,
        generation: made.reboot.from,
        new_generation: made.reboot.to,
        epoch: made.reboot.epoch,
        roster: BoundedVec::new(roster).map_err(|_| wrong())?,
        banned: BoundedVec::new(banned.ok_or_else(wrong)?).map_err(|_| wrong())?,
        listing: ListingChange::Keep,
        welcome: hash(&made.welcome),
        group_info: hash(&made.group_info),
        signature: ByteArray::new(made.signature.0),
        state_generation: 0,
    };
    let there: BTreeSet<&str> = made.roster.iter().map(|device| device.account.as_str()).collect();
    let left_out = before.into_iter().filter(|name| !there.contains(name.as_str()));
    let left_out = left_out.filter_map(|name| Username::new(name).ok()).collect();
    let renewal = Renewal { hash: ByteArray::new(made.hash), request, left_out };
    w.tx.put_pending_commit(&PendingCommit {
        room,
        entry,
        generation: made.reboot.from,
        epoch: stored.epoch,
        after: stored.cursor,
        delta: Vec::new(),
        bytes: codec::encode(&renewal).map_err(|_| wrong())?,
        welcome: made.welcome,
        group_info: made.group_info,
        invitations: Vec::new(),
        act: Act::Renewal.to_bytes(),
        attempts: 0,
        next_try: 0,
    })?;
    Ok(Made::Done)
}

/// A room goes on in its next generation.
pub(super) fn renewed(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    group: Room,
    by: &Username,
) -> Result<(), Fault> {
    stored.refused = None;
    lines::refresh(w, stored, &group);
    w.loaded.keep(group);
    w.room_notice(stored.id, by, MessageKind::RoomRenewed {})?;
    w.emit(EventBody::RoomRekeyed { chat: stored.shown() })
}

/// An owner's renewal stands in the log: this device follows, if it is in the new group and all is as it should be.
pub(super) fn follow(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    entry: &RoomEntry,
    notice: &RebootNotice,
    welcome: Option<&[u8]>,
    fresh: &BTreeSet<Username>,
    taken: &mut Taken,
) -> Result<Option<Missing>, Fault> {
    if entry.generation != stored.generation {
        // Of a generation that was left behind long ago.
        return Ok(None);
    }
    if let Some(own) = w.tx.pending_commit(stored.id)? {
        if own.entry == entry.id {
            super::entry::merge_own(w, stored, &own, (entry.seq, entry.accepted_at))?;
            (taken.merged, taken.renewed) = (true, true);
            return Ok(None);
        }
        super::change::void(w, stored.id)?;
        taken.lost = true;
    }
    let Some(welcome) = welcome else {
        // The owner is alone in it.
        return left_out(w, stored, taken);
    };
    let signed = SignedReboot {
        room: *stored.id.as_bytes(),
        from: entry.generation,
        to: notice.generation,
        epoch: notice.epoch,
        state: notice.state_hash,
        welcome: notice.welcome.map(|object| object.hash.0),
        group_info: notice.group_info.map(|hash| hash.0),
    };
    let signature = Signature(notice.signature.into_array());
    let (leaf, tx, me) = (w.leaf()?, w.tx, w.me);
    let directory = lists(tx, me, fresh);
    let joined = match w.group(stored.id)? {
        Some(group) => group.follow_reboot(tx, &mut w.rng, leaf, &signed, &signature, welcome, &directory),
        // This device had begun one itself, and another owner was faster: the old group is gone.
        None => {
            let key = stored.owner_secret.as_ref().map(|secret| OwnerKey::from_bytes(secret).public());
            let good = key.is_some_and(|key| signed.verify(&key, &signature).is_ok());
            let same = Some(super::objects::hash(welcome)) == notice.welcome.map(|object| object.hash);
            if good && same {
                let id = *stored.id.as_bytes();
                Room::join(tx, &mut w.rng, leaf, welcome, id, notice.generation, &directory).and_then(
                    |joined| {
                        let policy = joined.room.policy();
                        let members = joined.room.members().into_iter().collect();
                        let fits = policy.role(&joined.inviter.account) == PolicyRole::Owner
                            && reboot_state(&members, &policy.banned) == notice.state_hash;
                        if fits { Ok(joined) } else { Err(RoomError::Refused(Refusal::Delta)) }
                    },
                )
            } else {
                Err(RoomError::Refused(Refusal::Delta))
            }
        }
    };
    match joined {
        Ok(joined) => {
            let by = Username::new(joined.inviter.account).map_err(|_| Fault::Internal("owner"))?;
            renewed(w, stored, joined.room, &by)?;
            taken.renewed = true;
            Ok(None)
        }
        Err(RoomError::NeedLists(needs)) => Ok(Some(Missing::Lists(accounts(needs)))),
        Err(RoomError::Refused(Refusal::NotForMe)) => left_out(w, stored, taken),
        Err(RoomError::Refused(refusal)) => {
            // Nothing is to be followed that the owners did not sign.
            stored.refused = None;
            let why = format!("a renewal of the room: {refusal}");
            stand_still(w, stored, SafeText::single_line(&why))?;
            Ok(None)
        }
        Err(error) => Err(fault(error)),
    }
}

/// The room goes on without this device: a member has to invite its account again.
fn left_out(w: &mut Work<'_>, stored: &StoredRoom, taken: &mut Taken) -> Result<Option<Missing>, Fault> {
    super::leave::out(w, stored.id, None)?;
    taken.out = true;
    Ok(None)
}

/// Somebody is to be an owner no more: the room gets another owner key, which they do not have. Whether it does.
/// It does in any case when `anew` says so.
pub(super) fn replace_key(
    w: &mut Work<'_>,
    group: &Room,
    stored: &mut StoredRoom,
    plan: &mut Plan,
    anew: bool,
) -> bool {
    let before = group.policy();
    let Some((policy, secret)) = plan.policy.as_mut().zip(stored.owner_secret.as_ref()) else { return false };
    let me = w.me.account.as_str();
    if before.owners.contains(me) && !policy.owners.contains(me) {
        // Who gives up the role would know the new key too: an owner's device that stays makes it.
        return false;
    }
    let old = OwnerKey::from_bytes(secret);
    if !anew && before.owners.is_subset(&policy.owners) || old.public() != before.owner_key {
        return false;
    }
    let new = OwnerKey::generate(&mut w.rng);
    policy.owner_key = new.public();
    plan.owner_key = Some(old.hand_over(&group.id(), group.generation(), group.epoch(), &new));
    stored.next_secret = Some(new.to_bytes());
    true
}

/// A commit brought another owner key: from now on the one holds that was kept for it, if it is that one. Whether this device
/// has it.
pub(super) fn key_replaced(stored: &mut StoredRoom, public: &[u8; 32]) -> bool {
    let next = stored.next_secret.take();
    let next = next.filter(|secret| OwnerKey::from_bytes(secret).public() == *public);
    let there = next.is_some();
    stored.owner_secret = next;
    there
}

/// Gives the room's owner key to all devices of an account, as soon as there are sessions with them.
pub(super) fn give_key(w: &mut Work<'_>, stored: &StoredRoom, account: &Username) -> Result<(), Fault> {
    let Some(secret) = &stored.owner_secret else { return Ok(()) };
    let content = Content::RoomOwnerKey(RoomOwnerKey { room: stored.id, secret: ByteArray::new(**secret) });
    tell(w, account, content)
}

/// Queues a content for all devices of an account.
pub(super) fn tell(w: &mut Work<'_>, account: &Username, content: Content) -> Result<(), Fault> {
    if w.is_me(account) && !w.has_other_devices()? {
        return Ok(());
    }
    let content = Payload { gossip: None, content }.encode().map_err(|_| Fault::Internal("payload"))?;
    let content = Zeroizing::new(content);
    let message = w.random_message_id();
    w.tx.push_pending(&NewPending {
        account,
        device: None,
        content: &content,
        chat: account,
        message,
        reason: HeldFor::DeviceList,
        queued_at: w.now,
    })?;
    w.done.drains.insert(account.clone());
    w.done.pending = true;
    Ok(())
}

/// Whether an account has a device in a room that this one is in.
pub(in crate::core) fn shares(w: &mut Work<'_>, account: &Username, room: RoomId) -> Result<bool, Fault> {
    let joined = w.tx.room(room)?.is_some_and(|stored| stored.state == RoomState::Joined);
    let Some(group) = (if joined { w.group(room)? } else { None }) else { return Ok(false) };
    let there = !group.devices_of(account.as_str()).is_empty();
    w.loaded.keep(group);
    Ok(there)
}

/// This device is cut off from a room: its leaf is of no use to anybody. Who may take it out is told, and can add it again; so are
/// own other devices.
pub(super) fn tell_that_lost(w: &mut Work<'_>, stored: &StoredRoom) -> Result<(), Fault> {
    let Some(group) = w.group(stored.id)? else { return Ok(()) };
    let policy = group.policy();
    let who = policy.owners.iter().chain(&policy.moderators).take(LOST_TOLD);
    let mut who: BTreeSet<Username> = who.filter_map(|name| Username::new(name.clone()).ok()).collect();
    w.loaded.keep(group);
    who.insert(w.me.account.clone());
    for account in who {
        let lost = RoomDeclined { room: stored.id, generation: stored.generation, account: false };
        tell(w, &account, Content::RoomDeclined(lost))?;
    }
    Ok(())
}

/// Somebody who was invited does not come, or a device was cut off: the leaves go out of the group, if this account may do that.
pub(in crate::core) fn declined(
    w: &mut Work<'_>,
    sender: &Sender,
    declined: &RoomDeclined,
) -> Result<(), Fault> {
    if declined.account && w.is_me(&sender.account) && super::answer::declined_elsewhere(w, declined.room)? {
        return Ok(());
    }
    let stored = w.tx.room(declined.room)?.filter(|stored| stored.generation == declined.generation);
    if stored.is_some() && shares(w, &sender.account, declined.room)? {
        let (account, mine) = (sender.account.clone(), w.is_me(&sender.account));
        let act = if declined.account && !mine {
            Act::Declined(account)
        } else {
            Act::Lost(account, sender.device.get())
        };
        w.done.follows.push((declined.room, act));
        if mine {
            // It comes in again with the next commit.
            w.done.follows.push((declined.room, Act::Invite(w.me.account.clone())));
        }
    }
    Ok(())
}

/// An owner gave this device the room's owner key. It is kept only when it is the one that all members know.
pub(in crate::core) fn owner_key(
    w: &mut Work<'_>,
    sender: &Sender,
    given: &RoomOwnerKey,
) -> Result<(), Fault> {
    let Some(mut stored) = w.tx.room(given.room)? else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    };
    let secret = Zeroizing::new(given.secret.into_array());
    let (fits, later) = match w.group(stored.id)? {
        Some(group) => {
            let policy = group.policy();
            let owner = policy.role(sender.account.as_str()) == PolicyRole::Owner;
            let fits = OwnerKey::from_bytes(&secret).public() == policy.owner_key;
            w.loaded.keep(group);
            (owner && fits, owner && !fits)
        }
        // Another own device is ahead of this one; or an owner gives the key to a device that is asked yet, which looks when it is in
        // whether it fits. What does not fit is of no use, and does no harm.
        None if stored.state == RoomState::Invited => {
            let mine = w.is_me(&sender.account);
            (mine, !mine)
        }
        None => (false, false),
    };
    if later {
        // The commit that brings it may still be on its way.
        stored.next_secret = Some(secret);
    } else if fits {
        stored.owner_secret = Some(secret);
    } else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    }
    Ok(w.tx.put_room(&stored)?)
}
