//! Own commits: made and stored in one transaction with everything that goes with them, handed over with the same bytes at
//! every try, merged when the log holds them, made anew when another one won (R31, R32).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, EntryId, EnvelopeId, ErrorCode, MessageId, RoomId, Username, codec,
    frames::{
        CommitBody, Invitation, Invitations, Request, Response, RoomAccepted, RoomCommit, RoomDelta,
        RoomUnreachable,
    },
    limits::{INVITATIONS_INLINE, ROOM_COMMIT_INLINE},
};
use subrosa_rooms::{
    Act as Right, Face, OwnCommit, Plan, Policy, Refusal, Role as PolicyRole, Room, RoomDevice, RoomError,
    Visibility,
};

use super::{
    super::{Core, Fault, Turn, retry_after, work::Work},
    RoomAsked,
    act::{Act, Wanted},
    invite,
    mls::{accounts, fault, refused, to_wire},
};
use crate::{
    api::{ApiError, Kind, Role, RoomState},
    limits::{
        ACT_WITHOUT_LIST_MS, GIVEN_UP_WITHIN_MS, INVITED_WAIT_MS, OBJECTS_ON_THE_WAY,
        ROOM_DENIED_ASK_EVERY_MS,
    },
    net::refused as relay_refused,
    store::{NewOutbox, PendingCommit, StoredRoom, Tx},
};

/// An invitation beside a pending commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Invited {
    pub(super) account: Username,
    pub(super) device: DeviceId,
    pub(super) id: EnvelopeId,
    pub(super) sealed: Vec<u8>,
    pub(super) message: MessageId,
    pub(super) counter: u64,
}

/// What became of the attempt to make a commit.
pub(super) enum Made {
    /// It is stored and may be handed over.
    Done,
    /// There is nothing to change any more.
    Nothing,
    /// These device lists are needed first.
    Needs(BTreeSet<Username>),
    /// Something else has to come first; it was asked for.
    Later,
    /// It may be possible in a while: a new own device has no KeyPackages at the relay yet, or the relay gives none before.
    PutOff(Username),
}

/// A commit whose person was told that it may have been done. It is, if it is in the log after the next connection; otherwise it is
/// void: it is done no later than that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// What came into the log meanwhile is not known.
    #[default]
    Unknown,
    /// All of the log is known: what the relay still does of the connection before comes in by this time.
    Until(u64),
    /// And the log was asked for once more.
    Asked,
}

impl Core {
    /// Makes the commits that can be made.
    pub(super) fn pump_acts(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut busy = BTreeSet::new();
        let mut at = 0;
        // What a device changes by itself gives way to what a person waits for.
        let asked = |wanted: &&Wanted| wanted.token.is_some() && wanted.not_before <= turn.now;
        let people: BTreeSet<RoomId> =
            self.rooms.wanted.iter().filter(asked).map(|wanted| wanted.room).collect();
        while let Some(wanted) = self.rooms.wanted.get(at) {
            let (room, act) = (wanted.room, wanted.act.clone());
            let not_before = wanted.not_before;
            let waits = not_before > turn.now;
            if wanted.token.is_none() && !wanted.made && people.contains(&room) {
                at += 1;
                continue;
            }
            // What nobody waits for holds up nobody's change meanwhile.
            let first = if waits && wanted.token.is_none() { false } else { busy.insert(room) };
            if waits {
                self.rooms.again(not_before);
            } else if first && !wanted.made && self.is_quiet(room)? {
                match self.make(turn, room, &act) {
                    Ok(Made::Done) => {
                        self.rooms.given_up.remove(&room);
                        if let Some(wanted) = self.rooms.wanted.get_mut(at) {
                            wanted.made = true;
                        }
                    }
                    Ok(Made::Nothing) => {
                        if let Some(wanted) = self.rooms.wanted.get_mut(at) {
                            wanted.made = true;
                        }
                        self.act_done(turn, room)?;
                        busy.remove(&room);
                        continue;
                    }
                    Ok(Made::Needs(needs)) => {
                        let live = self.rooms.live(room);
                        let missing: BTreeSet<Username> = needs.difference(&live.fresh).cloned().collect();
                        if missing.is_empty() {
                            // The relay has none of them now.
                            live.fresh.retain(|account| !needs.contains(account));
                            let not_before = turn.now.saturating_add(ACT_WITHOUT_LIST_MS);
                            self.rooms.again(not_before);
                            if let Some(wanted) = self.rooms.wanted.get_mut(at) {
                                wanted.not_before = not_before;
                            }
                        } else {
                            live.needs.extend(missing);
                        }
                    }
                    Ok(Made::Later) => {}
                    Ok(Made::PutOff(account)) => {
                        let not_before = self.put_off_claims(turn, &account);
                        self.rooms.again(not_before);
                        let Some(wanted) = self.rooms.wanted.get_mut(at) else { continue };
                        wanted.not_before = not_before;
                        if wanted.token.is_none() {
                            busy.remove(&room);
                        } else if wanted.deadline <= not_before {
                            let error = self.why_put_off(&account);
                            self.drop_act(turn, at, error);
                            busy.remove(&room);
                            continue;
                        }
                    }
                    Err(Fault::Refused(error)) => {
                        self.drop_act(turn, at, error);
                        busy.remove(&room);
                        continue;
                    }
                    Err(other) => return Err(other),
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// A change does not happen: whoever waits for it is told why.
    fn drop_act(&mut self, turn: &mut Turn<'_>, at: usize, error: ApiError) {
        if let Some(token) = self.rooms.wanted.remove(at).token {
            turn.out.push(super::super::Effect::Reply { token, result: Err(error) });
        }
    }

    /// Whether a commit may be made in a room now: all that is known of its log was dealt with, and none is on its way.
    fn is_quiet(&mut self, room: RoomId) -> Result<bool, Fault> {
        // What came while this device was away is read first: with a change go keys of past epochs that are a day old.
        let known = self.rooms.heads_known;
        let live = self.rooms.live(room);
        let up_to_date = known && !live.behind && !live.syncing && live.needs.is_empty();
        Ok(up_to_date
            && self.store.read(|tx| {
                let denied = tx.room(room)?.is_some_and(|stored| stored.denied || stored.leaving);
                Ok::<_, Fault>(!denied && tx.pending_commit(room)?.is_none())
            })?)
    }

    fn make(&mut self, turn: &mut Turn<'_>, room: RoomId, act: &Act) -> Result<Made, Fault> {
        if let Some(account) = act.adds() {
            if self.is_put_off(account, turn.now) {
                return Ok(Made::PutOff(account.clone()));
            }
            if !self.is_invitable(turn, room, account)? {
                return Ok(Made::Later);
            }
        }
        if let Act::Ban(account) = act
            && !self.is_known(turn, room, account)?
        {
            return Ok(Made::Later);
        }
        if *act == Act::Renewal && !self.is_renewable(turn, room)? {
            return Ok(Made::Later);
        }
        let fresh = self.rooms.live(room).fresh.clone();
        let packages = std::mem::take(&mut self.rooms.packages);
        let made = self.transact(turn, |w| match act {
            Act::Renewal => super::renew::make(w, room, &fresh, &packages),
            _ => make(w, room, act, &fresh, &packages),
        });
        self.rooms.packages = packages;
        if matches!((&made, act), (Ok(Made::Done), Act::Renewal)) {
            self.rooms.packages.clear();
        }
        if let Some(account) = act.adds() {
            // Who has none now may have some when it is asked for again.
            let (done, failed) = (matches!(made, Ok(Made::Done)), made.is_err());
            self.rooms.packages.retain(|device, package| {
                device.account != *account || !(done || failed && package.is_empty())
            });
        }
        made
    }

    /// Whether there is such an account: it is in the room, or its device list is known. Otherwise it is looked up.
    fn is_known(&mut self, turn: &mut Turn<'_>, room: RoomId, account: &Username) -> Result<bool, Fault> {
        let known = self.transact(turn, |w| {
            let group = w.group_of(room)?;
            let there = !group.devices_of(account.as_str()).is_empty();
            w.loaded.keep(group);
            Ok(there || w.list(account)?.is_some())
        })?;
        if !known {
            self.lookups.want([account.clone()].into(), [].into());
        }
        Ok(known)
    }

    /// Hands over the commits that are not on their way.
    pub(super) fn pump_commits(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        for (room, next_try) in self.store.read(|tx| tx.pending_commits())? {
            if self.rooms.live(room).committing {
                continue;
            }
            if self.rooms.given_up.contains_key(&room) {
                self.settle_given_up(turn, room)?;
                continue;
            }
            if next_try > turn.now {
                self.rooms.again(next_try);
                continue;
            }
            let (commit, generation) =
                self.store.read(|tx| Ok::<_, Fault>((tx.pending_commit(room)?, tx.generation()?)))?;
            let Some(commit) = commit else { continue };
            let objects = objects_of(&commit);
            let under_way = self.rooms.live.values().filter(|live| live.committing);
            let under_way: usize = under_way.map(|live| live.objects).sum();
            if objects > 0 && under_way > 0 && under_way.saturating_add(objects) > OBJECTS_ON_THE_WAY {
                // Its turn comes with the answer to one that is under way.
                continue;
            }
            self.adopt_act(turn, &commit);
            self.rooms.live(room).objects = objects;
            self.rooms.live(room).committing = true;
            self.hand_over(turn, &commit, generation)?;
        }
        Ok(())
    }

    /// A commit that was given up: in the log, or void.
    fn settle_given_up(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let Some(given_up) = self.rooms.given_up.get(&room).copied() else { return Ok(()) };
        let known = self.rooms.heads_known;
        let live = self.rooms.live(room);
        if !known || live.behind || live.syncing || !live.needs.is_empty() || live.object.is_some() {
            return Ok(());
        }
        let next = match given_up {
            GivenUp::Unknown => GivenUp::Until(turn.now.saturating_add(GIVEN_UP_WITHIN_MS)),
            GivenUp::Until(at) if at > turn.now => given_up,
            GivenUp::Until(_) => {
                live.behind = true;
                GivenUp::Asked
            }
            GivenUp::Asked => {
                self.rooms.given_up.remove(&room);
                let joins =
                    self.store.read(|tx| tx.room(room))?.is_some_and(|room| room.state == RoomState::Joining);
                if joins {
                    // A join has no log before it: the relay says whether it has it.
                    return Ok(());
                }
                self.transact(turn, |w| void(w, room))?;
                let error = ApiError::new(Kind::Refused, "it was given up when the connection broke");
                self.fail_acts(turn, |wanted| wanted.room == room && wanted.made, &error);
                return Ok(());
            }
        };
        if let GivenUp::Until(at) = next {
            self.rooms.again(at);
        }
        self.rooms.given_up.insert(room, next);
        Ok(())
    }

    /// After a restart nobody waits for a stored commit; it is followed all the same.
    fn adopt_act(&mut self, turn: &Turn<'_>, commit: &PendingCommit) {
        if self.rooms.wanted.iter().any(|wanted| wanted.room == commit.room && wanted.made) {
            return;
        }
        let Some(act) = Act::from_bytes(&commit.act) else { return };
        self.rooms.wanted.insert(
            0,
            Wanted {
                room: commit.room,
                act,
                token: None,
                deadline: turn.now.saturating_add(crate::limits::LONGEST_WAIT_MS),
                tries: 0,
                not_before: 0,
                made: true,
            },
        );
    }

    fn hand_over(
        &mut self,
        turn: &mut Turn<'_>,
        commit: &PendingCommit,
        state_generation: u64,
    ) -> Result<(), Fault> {
        if super::renew::is_renewal(commit) {
            return self.hand_over_renewal(turn, commit, state_generation);
        }
        let damaged = |_| Fault::Internal("pending commit");
        let delta: RoomDelta = codec::decode(&commit.delta).map_err(damaged)?;
        let invited: Vec<Invited> = invite::read(&commit.invitations)?;
        let group_info = commit.group_info.as_ref().map(|bytes| self.put_object(turn, bytes)).transpose()?;
        let welcome = commit.welcome.as_ref().map(|bytes| self.put_object(turn, bytes)).transpose()?;
        let body = if commit.bytes.len() <= ROOM_COMMIT_INLINE {
            let bytes = BoundedBytes::new(commit.bytes.clone()).map_err(|_| Fault::Internal("commit"))?;
            CommitBody::Inline(bytes)
        } else {
            CommitBody::Object(self.put_object(turn, &commit.bytes)?)
        };
        let mut all = Vec::with_capacity(invited.len());
        for invited in invited {
            all.push(Invitation {
                account: invited.account,
                device: invited.device,
                id: invited.id,
                sealed: BoundedBytes::new(invited.sealed).map_err(|_| Fault::Internal("invitation"))?,
            });
        }
        let bytes: usize = all.iter().map(|invitation| invitation.sealed.len()).sum();
        let fits = bytes <= 64 * 1024 - ROOM_COMMIT_INLINE.min(commit.bytes.len());
        let invitations = if all.len() <= INVITATIONS_INLINE && fits {
            Invitations::Inline(BoundedVec::new(all).map_err(|_| Fault::Internal("invitations"))?)
        } else {
            let mut object = Vec::new();
            for invitation in &all {
                invitation.write_to(&mut object).map_err(damaged)?;
            }
            Invitations::Object(self.put_object(turn, &object)?)
        };
        let request = Request::RoomCommit(RoomCommit {
            room: commit.room,
            id: commit.entry,
            generation: commit.generation,
            epoch: commit.epoch,
            after: commit.after,
            commit: body,
            delta,
            group_info,
            welcome,
            invitations,
            state_generation,
        });
        self.ask_room(turn, RoomAsked::Commit(commit.room), &request)
    }

    /// The relay answered a commit.
    pub(super) fn on_committed(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: Response,
    ) -> Result<(), Fault> {
        self.rooms.live(room).committing = false;
        match response {
            Response::RoomAccepted(accepted) => self.commit_accepted(turn, room, accepted),
            Response::EpochPassed(passed) => self.on_commit_passed(turn, room, passed),
            Response::RoomUnreachable(unreachable) => self.on_unreachable(turn, room, &unreachable),
            Response::Error(frame) => match frame.code {
                ErrorCode::RateLimited
                | ErrorCode::StorageFull
                | ErrorCode::Internal
                | ErrorCode::ShuttingDown
                | ErrorCode::NoSuchObject => self.transact(turn, |w| {
                    let attempts = w.tx.pending_commit(room)?.map_or(0, |commit| commit.attempts);
                    let at = w.now.saturating_add(retry_after(frame.retry_after_ms, attempts));
                    Ok(w.tx.retry_pending_commit(room, at)?)
                }),
                code if super::deny::puts_out(code) && self.is_renewing(room)? => {
                    // The group before it is gone: the relay's word alone must not end the room here.
                    self.rooms.live(room).behind = true;
                    self.rooms.heads_asked = false;
                    let at = turn.now.saturating_add(ROOM_DENIED_ASK_EVERY_MS);
                    self.transact(turn, |w| Ok(w.tx.retry_pending_commit(room, at)?))
                }
                _ => self.commit_refused(turn, room, &relay_refused(&frame)),
            },
            _ => Err(Fault::Relay("another answer to a commit than there is")),
        }
    }

    /// Whether the pending commit of a room is a renewal.
    fn is_renewing(&self, room: RoomId) -> Result<bool, Fault> {
        let own = self.store.read(|tx| tx.pending_commit(room))?;
        Ok(own.is_some_and(|own| super::renew::is_renewal(&own)))
    }

    /// It stands in the log. It is merged in its turn; of a join there is no log before it.
    fn commit_accepted(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        RoomAccepted { seq, accepted_at }: RoomAccepted,
    ) -> Result<(), Fault> {
        let merged = self.transact(turn, |w| {
            let Some(commit) = w.tx.pending_commit(room)? else { return Ok(false) };
            let Some(mut stored) = w.tx.room(room)? else { return Ok(false) };
            let joins = stored.state == RoomState::Joining;
            if !joins && stored.cursor.saturating_add(1) != seq {
                return Ok(false);
            }
            super::entry::merge_own(w, &mut stored, &commit, (seq, accepted_at))?;
            stored.cursor = seq;
            w.tx.put_room(&stored)?;
            Ok(true)
        })?;
        if merged {
            self.after_merge(turn, room)?;
        }
        // Either the entry itself is to come, or what came after it.
        self.rooms.live(room).behind = true;
        Ok(())
    }

    /// An own commit was merged: whoever wanted it is told.
    pub(super) fn after_merge(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        self.rooms.live(room).fresh.clear();
        self.rooms.given_up.remove(&room);
        self.act_done(turn, room)?;
        self.entered(turn, room)
    }

    fn on_commit_passed(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        passed: subrosa_protocol::frames::EpochPassed,
    ) -> Result<(), Fault> {
        let joining =
            self.store.read(|tx| tx.room(room))?.is_some_and(|room| room.state == RoomState::Joining);
        let before = self.store.read(|tx| tx.pending_commit(room))?;
        if joining {
            let at = before.map(|commit| (commit.generation, commit.epoch));
            return self.join_lost(turn, room, at, &super::enter::no_time());
        }
        if let Some(commit) = &before
            && (super::renew::is_renewal(commit)
                || (passed.generation, passed.epoch) == (commit.generation, commit.epoch))
        {
            // Another owner was faster; or somebody left meanwhile, whom the commit has to take out.
            self.transact(turn, |w| void(w, room))?;
            self.act_lost(turn, room);
            self.take_page(turn, room, &passed.entries, passed.more)?;
            self.rooms.live(room).behind |= passed.more || passed.entries.is_empty();
            return Ok(());
        }
        let stands_still = passed.entries.is_empty() && !passed.more;
        if let Some(commit) = before
            && stands_still
            && (passed.generation, passed.epoch) > (commit.generation, commit.epoch)
        {
            // The relay is ahead by a commit that had to be refused.
            let error = ApiError::new(Kind::Refused, "the room stands still: a change of it was refused")
                .hint("an owner has to renew it");
            return self.commit_refused(turn, room, &error);
        }
        self.take_page(turn, room, &passed.entries, passed.more)?;
        // The winner voids the own commit when it is processed. A relay that shows none is asked for the log.
        self.rooms.live(room).behind |= passed.more || passed.entries.is_empty();
        let at = turn.now.saturating_add(u64::from(crate::limits::ACT_JITTER_MAX_MS));
        self.transact(turn, |w| Ok(w.tx.retry_pending_commit(room, at)?))?;
        self.rooms.again(at);
        Ok(())
    }

    /// Some of the devices cannot be added: their list may be another by now.
    fn on_unreachable(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        unreachable: &RoomUnreachable,
    ) -> Result<(), Fault> {
        let missing: BTreeSet<_> = unreachable.missing.iter().map(|device| device.account.clone()).collect();
        let who = unreachable.missing.iter().chain(unreachable.full.iter()).next();
        let who = who.map_or_else(String::new, |device| device.account.to_string());
        self.transact(turn, |w| void(w, room))?;
        if !unreachable.full.is_empty() {
            let error = ApiError::new(Kind::Refused, format!("{who} has no room for another invitation"))
                .hint("try again later");
            self.fail_acts(turn, |wanted| wanted.room == room && wanted.made, &error);
            return Ok(());
        }
        self.lookups.want(missing, [].into());
        self.act_lost(turn, room);
        Ok(())
    }

    /// The relay refuses a commit for good.
    fn commit_refused(&mut self, turn: &mut Turn<'_>, room: RoomId, error: &ApiError) -> Result<(), Fault> {
        if self.store.read(|tx| tx.room(room))?.is_some_and(|room| room.state == RoomState::Joining) {
            // An own device came in meanwhile, or the room is gone: whoever asks again learns it.
            return self.join_lost(turn, room, None, error);
        }
        self.transact(turn, |w| void(w, room))?;
        self.fail_acts(turn, |wanted| wanted.room == room && wanted.made, error);
        self.entering_failed(turn, room, error);
        // Why may be seen in the log.
        self.rooms.live(room).behind = true;
        self.rooms.heads_asked = false;
        Ok(())
    }
}

/// How many objects go to the relay before a commit: GroupInfo, Welcome, the commit itself when it is large.
const fn objects_of(commit: &PendingCommit) -> usize {
    commit.group_info.is_some() as usize
        + commit.welcome.is_some() as usize
        + (commit.bytes.len() > ROOM_COMMIT_INLINE) as usize
}

/// The pending commit of a room is void: its group is as it was before, and invitations that were encrypted for it go out
/// by themselves, so that no counter of their chains is missing.
pub(super) fn void(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    let Some(commit) = drop_pending(w, room)? else { return Ok(()) };
    if let Some(group) = w.group(room)?
        && group.pending().is_some()
    {
        match group.clear_pending(w.tx, &mut w.rng, w.now).map_err(fault)? {
            Some(group) => w.loaded.keep(group),
            // The group before a renewal is gone: the room goes on with the one that another owner made.
            None if super::renew::is_renewal(&commit) => {}
            None => forget_joining(w, room)?,
        }
    }
    Ok(())
}

/// Whatever becomes of the pending commit of a room, it is answered: what waits for that goes on.
pub(super) fn answered(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    w.done.outbox = true;
    w.tx.remove_pending_commit(room)?;
    Ok(())
}

/// The pending commit of a room, which came to nothing: its invitations go out by themselves.
pub(super) fn drop_pending(w: &mut Work<'_>, room: RoomId) -> Result<Option<PendingCommit>, Fault> {
    let Some(commit) = w.tx.pending_commit(room)? else { return Ok(None) };
    answered(w, room)?;
    send_alone(w, &commit)?;
    Ok(Some(commit))
}

fn forget_joining(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    if let Some(mut stored) = w.tx.room(room)? {
        // An invitation may have come meanwhile.
        let invited = stored.invitation.is_some();
        stored.state = if invited { RoomState::Invited } else { RoomState::Left };
        w.done.rooms |= invited;
        w.tx.put_room(&stored)?;
    }
    Ok(())
}

/// Invitations of a commit that came to nothing: before whatever was encrypted for those devices after them.
pub(super) fn send_alone(w: &mut Work<'_>, commit: &PendingCommit) -> Result<(), Fault> {
    for invited in invite::read(&commit.invitations)? {
        // Nobody reads what is for a device that was signed out since, and its chain is over.
        let known = w.list(&invited.account)?;
        if known.is_none_or(|known| known.list.device(invited.device.get()).is_none()) {
            continue;
        }
        w.tx.push_outbox(&NewOutbox {
            account: &invited.account,
            device: invited.device,
            envelope: invited.id,
            sealed: &invited.sealed,
            message: invited.message,
            counter: invited.counter,
            queued_at: w.now,
        })?;
        w.tx.requeue_outbox_behind(&invited.account, invited.device, invited.counter)?;
    }
    Ok(())
}

/// The devices for which an invitation is on its way beside a commit: what is encrypted for them after it waits for its answer, or
/// would be read before it. Not for one that is to be handed over much later only.
pub(in crate::core) fn places_invited(
    tx: &Tx<'_>,
    now: u64,
) -> Result<BTreeSet<(Username, DeviceId)>, Fault> {
    let mut places = BTreeSet::new();
    for invitations in tx.pending_invitations(now.saturating_add(INVITED_WAIT_MS))? {
        places.extend(invite::read(&invitations)?.into_iter().map(|one| (one.account, one.device)));
    }
    Ok(places)
}

fn make(
    w: &mut Work<'_>,
    room: RoomId,
    act: &Act,
    fresh: &BTreeSet<Username>,
    packages: &std::collections::BTreeMap<subrosa_protocol::frames::RoomDevice, Vec<u8>>,
) -> Result<Made, Fault> {
    let stored = w.tx.room(room)?.filter(|stored| stored.state == RoomState::Joined);
    let mut stored = stored.ok_or_else(super::mls::not_in)?;
    let mut group = w.group_of(room)?;
    if let Act::Follow(account) = act
        && super::follow::needs_list(w, &group, account, fresh)?
    {
        w.loaded.keep(group);
        return Ok(Made::Needs([account.clone()].into()));
    }
    let Some(mut plan) = plan(w, &group, &stored, act, fresh, packages)? else {
        let waits = act
            .adds()
            .filter(|account| w.is_me(account) && invite::is_incomplete(w, &group, account).unwrap_or(false));
        w.loaded.keep(group);
        return Ok(waits.map_or(Made::Nothing, |account| Made::PutOff(account.clone())));
    };
    group.drop_roles(&mut plan);
    if super::renew::replace_key(w, &group, &mut stored, &mut plan, matches!(act, Act::OwnerKey(_))) {
        w.tx.put_room(&stored)?;
    }
    let leaf = w.leaf()?;
    let (tx, me) = (w.tx, w.me);
    let lists = super::mls::lists(tx, me, fresh);
    let made = match group.commit(tx, &mut w.rng, leaf, plan, &lists, w.now) {
        Ok(made) => made,
        Err(RoomError::NeedLists(needs)) => return Ok(Made::Needs(accounts(needs))),
        Err(error) => return Err(fault(error)),
    };
    keep(w, &stored, &group, act, made)?;
    w.loaded.keep(group);
    Ok(Made::Done)
}

/// Stores an own commit with all that goes with it.
pub(super) fn keep(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    group: &Room,
    act: &Act,
    made: OwnCommit,
) -> Result<(), Fault> {
    let delta = codec::encode(&to_wire(&made.delta)?).map_err(|_| Fault::Internal("delta"))?;
    let welcome = made.welcome.as_ref().map(|bytes| super::objects::hash(bytes));
    let invitations = invite::seal_all(w, stored, group, &made, welcome)?;
    let entry = EntryId::from_bytes(w.random());
    w.tx.put_pending_commit(&PendingCommit {
        room: stored.id,
        entry,
        generation: made.generation,
        epoch: made.epoch,
        after: if stored.state == RoomState::Joined { stored.cursor } else { 0 },
        delta,
        bytes: made.commit,
        welcome: made.welcome,
        group_info: made.group_info,
        invitations,
        act: act.to_bytes(),
        attempts: 0,
        next_try: 0,
    })?;
    Ok(())
}

/// What a change does to the room as it is now; `None` when it is so already.
fn plan(
    w: &mut Work<'_>,
    group: &Room,
    stored: &StoredRoom,
    act: &Act,
    fresh: &BTreeSet<Username>,
    packages: &std::collections::BTreeMap<subrosa_protocol::frames::RoomDevice, Vec<u8>>,
) -> Result<Option<Plan>, Fault> {
    let policy = group.policy();
    let member = |account: &Username| -> Result<(), Fault> {
        if group.devices_of(account.as_str()).is_empty() {
            Err(no_member(account, stored).into())
        } else {
            Ok(())
        }
    };
    let may = |account: &Username, act: Right| {
        let may = policy.may_moderate(w.me.account.as_str(), account.as_str());
        if may { Ok(()) } else { Err(Fault::from(refused(&Refusal::NoRight(act)))) }
    };
    let changed = |change: &dyn Fn(&mut Policy)| {
        let plan = group.plan_policy(|policy| change(policy));
        plan.policy.as_ref().is_some_and(|new| new != policy).then_some(plan)
    };
    Ok(match act {
        Act::Join | Act::Renewal => None,
        Act::Lost(account, device) => {
            let may = w.is_me(account) || policy.may_moderate(w.me.account.as_str(), account.as_str());
            let leaf = RoomDevice::new(account.as_str(), *device);
            let there = may && group.devices_of(account.as_str()).contains(&leaf);
            there.then(|| Plan { remove: [leaf].into(), ..Plan::default() })
        }
        Act::Declined(account) => {
            let may = policy.may_moderate(w.me.account.as_str(), account.as_str());
            (may && !group.devices_of(account.as_str()).is_empty()).then(|| group.plan_kick(account.as_str()))
        }
        Act::Invite(account) => invite::plan(w, group, stored, account, fresh, packages)?,
        Act::OwnerKey(known) => {
            let owner = policy.role(w.me.account.as_str()) == PolicyRole::Owner;
            let new = || Plan { policy: Some(policy.clone()), ..Plan::default() };
            (owner && policy.owner_key == *known).then(new)
        }
        Act::Leave => {
            super::leave::may_leave(w, group, stored)?;
            let remove = super::leave::before_leaving(w, group, stored)?;
            let gives_up = super::leave::gives_up(w, group, stored)?;
            let policy = gives_up.then(|| {
                let mut policy = policy.clone();
                policy.set_role(w.me.account.as_str(), PolicyRole::Member);
                policy
            });
            (gives_up || !remove.is_empty()).then(|| Plan { remove, policy, ..Plan::default() })
        }
        Act::Settle => settle(w, group, fresh)?,
        Act::Silent => super::silent::plan(w, group, stored)?,
        Act::Follow(account) => super::follow::plan(w, group, stored, account, fresh, packages)?,
        Act::Renew => group.update_due(w.now).map(|_| Plan { renew: true, ..Plan::default() }),
        Act::Kick(account) => {
            member(account)?;
            may(account, Right::Kick)?;
            Some(group.plan_kick(account.as_str()))
        }
        Act::Ban(account) => {
            may(account, Right::Ban)?;
            (!policy.banned.contains(account.as_str())).then(|| group.plan_ban(account.as_str()))
        }
        Act::Unban(account) => {
            if !policy.banned.contains(account.as_str()) {
                let error =
                    ApiError::new(Kind::NotFound, format!("{account} is not banned from {}", stored.shown()));
                return Err(error.into());
            }
            changed(&|policy| {
                policy.banned.remove(account.as_str());
            })
        }
        Act::Role(account, role) => {
            member(account)?;
            if policy.role(w.me.account.as_str()) != PolicyRole::Owner {
                return Err(refused(&Refusal::NoRight(Right::Roles)).into());
            }
            changed(&|policy| policy.set_role(account.as_str(), policy_role(*role)))
        }
        Act::Mute(account) => {
            member(account)?;
            may(account, Right::Mute)?;
            changed(&|policy| {
                policy.muted.insert(account.to_string());
            })
        }
        Act::Unmute(account) => changed(&|policy| {
            policy.muted.remove(account.as_str());
        }),
        Act::Topic(topic) => changed(&|policy| policy.topic = topic.to_string()),
        Act::Rename(name) => changed(&|policy| policy.name = name.to_string()).map(|mut plan| {
            if policy.visibility == Visibility::Public {
                plan.face = Some(Face {
                    slug: stored.slug.clone().unwrap_or_default(),
                    name: name.to_string(),
                    description: stored.description.to_string(),
                });
            }
            plan
        }),
    })
}

/// Takes out who left, and devices that are not in their accounts' lists any more.
fn settle(w: &Work<'_>, group: &Room, fresh: &BTreeSet<Username>) -> Result<Option<Plan>, Fault> {
    let lists = super::mls::lists(w.tx, w.me, fresh);
    let mut remove: BTreeSet<_> = group.dropped_members(&lists).into_iter().collect();
    // Who has only other devices now stays, with the role: those come in first (`follow`).
    let accounts: BTreeSet<String> = remove.iter().map(|device| device.account.clone()).collect();
    for account in accounts {
        let all_go = group.devices_of(&account).is_subset(&remove);
        if all_go
            && let Ok(name) = Username::new(account.clone())
            && w.list(&name)?.is_some_and(|list| !list.list.devices.is_empty())
        {
            remove.retain(|device| device.account != account);
        }
    }
    Ok((group.has_leavers() || !remove.is_empty()).then(|| Plan { remove, ..Plan::default() }))
}

fn no_member(account: &Username, stored: &StoredRoom) -> ApiError {
    ApiError::new(Kind::NotFound, format!("{account} is not in {}", stored.shown()))
        .hint(format!("rosa room members '{}'", stored.shown()))
}

pub(super) const fn policy_role(role: Role) -> PolicyRole {
    match role {
        Role::Member => PolicyRole::Member,
        Role::Moderator => PolicyRole::Moderator,
        Role::Owner => PolicyRole::Owner,
    }
}

pub(super) const fn shown_role(role: PolicyRole) -> Role {
    match role {
        PolicyRole::Member => Role::Member,
        PolicyRole::Moderator => Role::Moderator,
        PolicyRole::Owner => Role::Owner,
    }
}
