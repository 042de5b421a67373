//! Getting into rooms, always by a person's own act: a public one by a commit of this device, a private one by the Welcome
//! that an invitation names (R30). Own further devices follow by themselves.

use std::collections::BTreeSet;

use subrosa_protocol::{
    ErrorCode, RoomId, SafeText, Username, codec,
    content::RoomInvitation,
    frames::{ObjectHash, Request, Response, RoomAccept, RoomInfo, RoomName, RoomShow, Standing},
};
use subrosa_rooms::{Room, RoomError};

use super::{
    super::{Core, Effect, Fault, Turn, retry_after, work::Work},
    RoomAsked,
    act::{Act, jitter},
    lines,
    mls::{accounts, fault, lists},
};
use crate::{
    api::{ApiError, EventBody, Kind, MessageKind, RoomState, Visibility},
    limits::{DEFAULT_WAIT_MS, JOIN_WAITS_GROW},
    net::refused,
    store::StoredRoom,
};

/// How often the relay is asked again that says that this device is in a room, of which there is nothing here.
const LOST_TRIES: u32 = 3;

/// A room that somebody enters.
#[derive(Debug)]
pub(super) struct Entering {
    /// Names it among the others.
    number: u64,
    name: RoomName,
    /// The room, once it is known.
    pub(super) room: Option<RoomId>,
    /// Who is answered.
    pub(super) token: Option<u64>,
    pub(super) deadline: u64,
    /// The invitation, of a room that is entered by one.
    invitation: Option<RoomInvitation>,
    info: Option<Box<RoomInfo>>,
    step: Step,
    tries: u32,
    not_before: u64,
    /// Why it was not possible the last time: what its person is told when time is up.
    held_up: Option<ApiError>,
    /// Where the room was when the last join was too late: a join of the same epoch is again.
    lost_at: Option<(u32, u64)>,
    /// The accounts of which the relay gave no list were looked up.
    looked_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The relay is to be asked about it.
    Ask,
    Asked,
    /// Welcome or GroupInfo, and device lists of members, are needed.
    Collect,
    /// The relay decides.
    Decided,
}

impl Entering {
    /// When it is given up, unless the relay has decided.
    pub(super) fn deadline(&self) -> Option<u64> {
        (self.step != Step::Decided).then_some(self.deadline)
    }

    /// The connection is gone: it begins anew with the next one.
    pub(super) fn begin_anew(&mut self) {
        if self.step != Step::Decided {
            (self.step, self.info) = (Step::Ask, None);
        }
    }

    fn object(&self) -> Option<ObjectHash> {
        match (&self.invitation, &self.info) {
            (Some(invitation), _) => Some(invitation.welcome),
            (None, Some(info)) => info.group_info.map(|object| object.hash),
            (None, None) => None,
        }
    }
}

/// What is done after the relay told about a room.
enum Next {
    /// In, with this invitation, or by one's own commit.
    With(Option<RoomInvitation>),
    /// It may be possible in a while.
    Later(ApiError),
    /// The invitation is over.
    Over,
    /// It is over.
    Ended(Result<(), ApiError>),
}

/// What became of an attempt.
enum Tried {
    Needs(BTreeSet<Username>),
    /// The commit is stored, and is handed over.
    Commit,
    /// In, by a Welcome.
    Welcomed,
    /// A device of this account is in: it left and is not taken out yet, or it lets this one in.
    Member,
}

impl Core {
    /// Begins to enter a room.
    pub(super) fn enter(
        &mut self,
        turn: &Turn<'_>,
        token: Option<u64>,
        name: RoomName,
        room: Option<RoomId>,
        invitation: Option<RoomInvitation>,
    ) {
        if room.is_some()
            && token.is_none()
            && self.rooms.entering.iter().any(|entering| entering.room == room)
        {
            return;
        }
        self.rooms.entered = self.rooms.entered.wrapping_add(1);
        self.rooms.entering.push(Entering {
            number: self.rooms.entered,
            name,
            room,
            token,
            deadline: turn.now.saturating_add(DEFAULT_WAIT_MS),
            invitation,
            info: None,
            step: Step::Ask,
            tries: 0,
            not_before: 0,
            held_up: None,
            lost_at: None,
            looked_up: false,
        });
    }

    /// Goes on with what can go on.
    pub(super) fn pump_entering(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if std::mem::take(&mut self.dirty.rooms) {
            self.follow_own_devices(turn)?;
        }
        let numbers: Vec<u64> = self.rooms.entering.iter().map(|entering| entering.number).collect();
        for number in numbers {
            match self.step_entering(turn, number) {
                Ok(()) => {}
                Err(Fault::Refused(error)) => self.entering_ended(turn, number, Err(error)),
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// What another device of this account entered, this one enters too.
    fn follow_own_devices(&mut self, turn: &Turn<'_>) -> Result<(), Fault> {
        for stored in self.store.read(|tx| tx.rooms())? {
            if stored.state == RoomState::Invited && stored.invited_by.as_ref() == Some(&self.me.account) {
                let invitation = invitation_of(&stored);
                self.enter(turn, None, RoomName::Id(stored.id), Some(stored.id), invitation);
            }
        }
        Ok(())
    }

    fn entering(&mut self, number: u64) -> Option<&mut Entering> {
        self.rooms.entering.iter_mut().find(|entering| entering.number == number)
    }

    fn step_entering(&mut self, turn: &mut Turn<'_>, number: u64) -> Result<(), Fault> {
        let Some(entering) = self.entering(number) else { return Ok(()) };
        if entering.not_before > turn.now {
            let at = entering.not_before;
            self.rooms.again(at);
            return Ok(());
        }
        match entering.step {
            Step::Ask => {
                entering.step = Step::Asked;
                let show = RoomShow { room: entering.name.clone() };
                self.ask_room(turn, RoomAsked::Enter { token: number }, &Request::RoomShow(show))
            }
            Step::Collect => self.collect(turn, number),
            Step::Asked | Step::Decided => Ok(()),
        }
    }

    pub(super) fn on_enter_shown(
        &mut self,
        turn: &mut Turn<'_>,
        number: u64,
        response: Response,
    ) -> Result<(), Fault> {
        let Some(entering) = self.entering(number) else { return Ok(()) };
        let invited = entering.invitation.is_some();
        let by_person = entering.token.is_some();
        let info = match response {
            Response::RoomInfo(info) => info,
            Response::Error(frame) if frame.code == ErrorCode::RateLimited => {
                let wait = retry_after(frame.retry_after_ms, 4);
                return self.enter_after(turn, number, wait, refused(&frame));
            }
            Response::Error(frame) => {
                let room = entering.room.filter(|_| invited && super::deny::puts_out(frame.code));
                let over = room.map(|room| self.invitation_over(turn, room)).transpose()?.flatten();
                let banned = frame.code == ErrorCode::Banned;
                let error = over.filter(|_| !banned).unwrap_or_else(|| refused(&frame));
                self.entering_ended(turn, number, Err(error));
                return Ok(());
            }
            _ => return Err(Fault::Relay("another answer to a question about a room than there is")),
        };
        let stored = self.store.read(|tx| tx.room(info.room))?;
        let state = stored.as_ref().map(|stored| stored.state);
        let newest = stored.as_ref().and_then(invitation_of);
        let Some(entering) = self.entering(number) else { return Ok(()) };
        entering.room = Some(info.room);
        let listed = info.listing.is_some();
        let next = match (info.standing, state) {
            // By another way meanwhile, such as an invitation of an own device.
            (_, Some(RoomState::Joined)) => Next::Ended(Ok(())),
            (_, Some(RoomState::Joining)) => Next::Later(no_time()),
            (Standing::Banned, _) => Next::Ended(Err(ApiError::new(
                Kind::Refused,
                "you are banned from this room",
            )
            .hint("only its moderators can change that"))),
            (Standing::Joined, _) => {
                let error =
                    ApiError::new(Kind::Refused, "this device is in the room already, and has lost it here")
                        .hint("leave it first: rosa room leave ROOM");
                if entering.tries >= LOST_TRIES { Next::Ended(Err(error)) } else { Next::Later(error) }
            }
            (Standing::Invited, Some(RoomState::Invited)) if !invited => Next::With(newest),
            // It lies in the mailbox, or is on its way there.
            (Standing::Invited, _) if !invited => Next::Later(
                ApiError::new(
                    Kind::Refused,
                    "you are invited to this room, and the invitation is not here: it has not come yet, or was one too many",
                )
                .hint("try again; or ask a member for another one"),
            ),
            // Nobody needs one for a public room.
            (Standing::Removed | Standing::Stranger, _) if invited && listed && by_person => Next::With(None),
            (Standing::Removed | Standing::Stranger, _) if invited => Next::Over,
            // Who left is not taken out yet, or the relay is behind.
            _ if !invited && entering.lost_at == Some((info.generation, info.epoch)) => {
                Next::Later(no_time())
            }
            _ => Next::With(entering.invitation.take()),
        };
        match next {
            Next::Over => {
                let over = self.invitation_over(turn, info.room)?;
                self.entering_ended(turn, number, Err(over.unwrap_or_else(no_room)));
            }
            Next::Later(error) => return self.enter_later(turn, number, error),
            Next::Ended(result) => self.entering_ended(turn, number, result),
            Next::With(None) if !listed => self.entering_ended(turn, number, Err(no_room())),
            Next::With(invitation) => {
                entering.invitation = invitation;
                entering.info = Some(Box::new(info));
                entering.step = Step::Collect;
            }
        }
        Ok(())
    }

    /// The invitation that somebody accepts is over: what its person is told.
    fn invitation_over(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<Option<ApiError>, Fault> {
        self.transact(turn, |w| {
            let Some(stored) = w.tx.room(room)? else { return Ok(None) };
            super::answer::end(w, room, (stored.generation, stored.epoch))?;
            Ok(Some(super::answer::is_over(&stored)))
        })
    }

    /// What stands in the way may pass: it is begun anew a little later, until there is no time left.
    fn enter_later(&mut self, turn: &mut Turn<'_>, number: u64, error: ApiError) -> Result<(), Fault> {
        self.enter_after(turn, number, 0, error)
    }

    /// The same, but not before so many milliseconds have passed.
    fn enter_after(
        &mut self,
        turn: &mut Turn<'_>,
        number: u64,
        least_ms: u64,
        error: ApiError,
    ) -> Result<(), Fault> {
        let jitter = jitter(turn);
        let Some(entering) = self.entering(number) else { return Ok(()) };
        (entering.step, entering.info) = (Step::Ask, None);
        entering.tries = entering.tries.saturating_add(1);
        entering.held_up = Some(error);
        // Somebody who leaves is taken out within seconds; nobody comes in before.
        let wait = jitter.saturating_mul(entering.tries.min(JOIN_WAITS_GROW).into());
        let not_before = turn.now.saturating_add(least_ms).saturating_add(wait);
        entering.not_before = not_before;
        self.rooms.again(not_before);
        Ok(())
    }

    /// The same for whoever enters a room.
    pub(super) fn all_enter_later(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        error: &ApiError,
    ) -> Result<(), Fault> {
        let here = |entering: &&Entering| entering.room == Some(room);
        let numbers: Vec<u64> =
            self.rooms.entering.iter().filter(here).map(|entering| entering.number).collect();
        for number in numbers {
            self.enter_later(turn, number, error.clone())?;
        }
        Ok(())
    }

    fn collect(&mut self, turn: &mut Turn<'_>, number: u64) -> Result<(), Fault> {
        let Some(entering) = self.entering(number) else { return Ok(()) };
        let (Some(room), Some(info)) = (entering.room, entering.info.clone()) else { return Ok(()) };
        let invitation = entering.invitation.clone();
        if invitation.is_some() {
            // Another invitation may have come meanwhile: the one before is void then.
            let stored = self.store.read(|tx| tx.room(room))?;
            let newest = stored.as_ref().and_then(invitation_of);
            let by_me = stored.is_some_and(|stored| stored.invited_by.as_ref() == Some(&self.me.account));
            let Some(entering) = self.entering(number) else { return Ok(()) };
            if newest.is_some() && newest != invitation {
                if entering.token.is_none() && !by_me {
                    // Somebody else's is for the person to accept.
                    self.entering_ended(turn, number, Ok(()));
                    return Ok(());
                }
                (entering.invitation, entering.info, entering.step) = (newest, None, Step::Ask);
                return self.step_entering(turn, number);
            }
        }
        let Some(entering) = self.entering(number) else { return Ok(()) };
        let Some(object) = entering.object() else { return Err(no_room().into()) };
        if !self.rooms.live(room).needs.is_empty() {
            return Ok(());
        }
        let Some(bytes) = self.rooms.objects.get(&object).cloned() else {
            return self.get_object(turn, room, object);
        };
        let fresh = self.rooms.live(room).fresh.clone();
        match self.store.read(|tx| tx.room(room))?.map(|stored| stored.state) {
            Some(RoomState::Joined) => {
                self.entering_ended(turn, number, Ok(()));
                return Ok(());
            }
            Some(RoomState::Joining) => return self.enter_later(turn, number, no_time()),
            _ => {}
        }
        let tried = self.transact(turn, |w| match &invitation {
            Some(invitation) => welcomed(w, &info, invitation, &bytes, &fresh),
            None => join(w, &info, &bytes, &fresh),
        })?;
        match tried {
            Tried::Member => {
                self.rooms.objects.remove(&object);
                let error = ApiError::new(Kind::Refused, "a device of yours is in the room still")
                    .hint("try again in a while: a member has to take out who left");
                self.enter_later(turn, number, error)
            }
            Tried::Needs(needs) => {
                let missing: BTreeSet<Username> = needs.difference(&fresh).cloned().collect();
                if missing.is_empty() {
                    return self.enter_without_lists(turn, number, room, needs);
                }
                self.rooms.live(room).needs.extend(missing);
                self.pump_room_lists(turn)
            }
            Tried::Commit => {
                self.rooms.objects.remove(&object);
                if let Some(entering) = self.entering(number) {
                    entering.step = Step::Decided;
                }
                self.pump_commits(turn)
            }
            Tried::Welcomed => {
                self.rooms.objects.remove(&object);
                if let Some(entering) = self.entering(number) {
                    entering.step = Step::Decided;
                }
                self.accept_at_relay(turn, room)
            }
        }
    }

    /// The relay has no list of these accounts for this room: they have left it, and are not taken out yet. They are looked up, once.
    fn enter_without_lists(
        &mut self,
        turn: &mut Turn<'_>,
        number: u64,
        room: RoomId,
        accounts: BTreeSet<Username>,
    ) -> Result<(), Fault> {
        self.rooms.live(room).fresh.retain(|account| !accounts.contains(account));
        if let Some(entering) = self.entering(number)
            && !std::mem::replace(&mut entering.looked_up, true)
        {
            self.lookups.want(accounts, [].into());
        }
        self.enter_later(turn, number, no_time())
    }

    /// This device processed the Welcome: the relay delivers the log from now on.
    pub(super) fn accept_at_relay(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let state_generation = self.store.read(|tx| tx.generation())?;
        let accept = RoomAccept { room, state_generation };
        self.ask_room(turn, RoomAsked::Accept(room), &Request::RoomAccept(accept))
    }

    pub(super) fn on_accepted(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: &Response,
    ) -> Result<(), Fault> {
        if let Response::Error(frame) = response {
            self.entering_failed(turn, room, &refused(frame));
        } else {
            self.transact(turn, |w| match w.tx.room(room)? {
                Some(stored) if stored.accepting => {
                    Ok(w.tx.put_room(&StoredRoom { accepting: false, ..stored })?)
                }
                _ => Ok(()),
            })?;
        }
        self.rooms.live(room).behind = true;
        self.entered(turn, room)?;
        // The key that lay with the relay is replaced (R34).
        self.want(turn, room, Act::Renew, None)
    }

    /// This device is in a room: who entered it is answered.
    pub(super) fn entered(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let decided = |entering: &&Entering| entering.room == Some(room) && entering.step == Step::Decided;
        let Some(number) = self.rooms.entering.iter().find(decided).map(|entering| entering.number) else {
            return Ok(());
        };
        let reply = self.room_reply(room).map_err(ApiError::from);
        self.entering_ended(turn, number, reply.map(|_| ()));
        self.add_own_devices(turn, room)
    }

    /// Own devices that were signed out are taken out of a room, if that was not done then.
    pub(super) fn take_out_own_devices(&mut self, turn: &Turn<'_>, room: RoomId) -> Result<(), Fault> {
        if self.store.read(|tx| super::silent::own_device_gone(tx, &self.me.account, room))? {
            self.want(turn, room, Act::Settle, None)?;
        }
        Ok(())
    }

    /// Own devices that are not in a room are added to it.
    pub(super) fn add_own_devices(&mut self, turn: &Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let own = self.store.read(|tx| tx.device_list(&self.me.account))?;
        if own.is_some_and(|own| own.list.devices.len() > 1) {
            let me = self.me.account.clone();
            self.want(turn, room, Act::Invite(me), None)?;
        }
        Ok(())
    }

    fn entering_ended(&mut self, turn: &mut Turn<'_>, number: u64, result: Result<(), ApiError>) {
        let Some(at) = self.rooms.entering.iter().position(|entering| entering.number == number) else {
            return;
        };
        let entering = self.rooms.entering.remove(at);
        let Some(token) = entering.token else { return };
        let result = match (result, entering.room) {
            (Ok(()), Some(room)) => self.room_reply(room).map_err(ApiError::from),
            (Ok(()), None) => Err(no_room()),
            (Err(error), _) => Err(error),
        };
        turn.out.push(Effect::Reply { token, result });
    }

    /// Whoever enters this room does not.
    pub(super) fn entering_failed(&mut self, turn: &mut Turn<'_>, room: RoomId, error: &ApiError) {
        let numbers: Vec<u64> = self
            .rooms
            .entering
            .iter()
            .filter(|entering| entering.room == Some(room))
            .map(|entering| entering.number)
            .collect();
        for number in numbers {
            self.entering_ended(turn, number, Err(error.clone()));
        }
    }

    pub(super) fn expire_entering(&mut self, turn: &mut Turn<'_>) {
        let late = |entering: &&Entering| entering.deadline <= turn.now && entering.step != Step::Decided;
        let numbers: Vec<u64> =
            self.rooms.entering.iter().filter(late).map(|entering| entering.number).collect();
        for number in numbers {
            let held_up = self.entering(number).and_then(|entering| entering.held_up.take());
            let error = if let Some(error) = held_up.filter(|_| self.link.is_up()) {
                error
            } else if self.link.is_up() {
                ApiError::new(Kind::Timeout, "the relay did not answer in time").hint("try again")
            } else {
                ApiError::new(Kind::Unreachable, "the relay cannot be reached")
                    .hint("try again when connected")
            };
            self.entering_ended(turn, number, Err(error));
        }
    }

    /// Another commit was faster than the join: once more, with the room as it is now.
    pub(super) fn join_lost(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        at: Option<(u32, u64)>,
        error: &ApiError,
    ) -> Result<(), Fault> {
        for entering in self.rooms.entering.iter_mut().filter(|entering| entering.room == Some(room)) {
            entering.lost_at = at;
        }
        self.transact(turn, |w| super::change::void(w, room))?;
        self.rooms.wanted.retain(|wanted| !(wanted.room == room && wanted.act == Act::Join));
        self.all_enter_later(turn, room, error)
    }
}

/// Why nobody came in before time was up.
pub(super) fn no_time() -> ApiError {
    ApiError::new(
        Kind::Refused,
        "the room changes too fast to come in, or nobody is there to take out who left",
    )
    .hint("try again")
}

fn no_room() -> ApiError {
    ApiError::new(Kind::NotFound, "there is no such public room").hint("rosa room list")
}

/// The invitation of a room that waits for an answer.
pub(super) fn invitation_of(stored: &StoredRoom) -> Option<RoomInvitation> {
    codec::decode(stored.invitation.as_ref()?).ok()
}

/// The commit that brings this device into a public room.
fn join(
    w: &mut Work<'_>,
    info: &RoomInfo,
    group_info: &[u8],
    fresh: &BTreeSet<Username>,
) -> Result<Tried, Fault> {
    let known = w.tx.room(info.room)?;
    super::leave::forget_group(w, info.room)?;
    let (leaf, tx) = (w.leaf()?, w.tx);
    let directory = lists(tx, w.me, fresh);
    let id = *info.room.as_bytes();
    let joined =
        Room::join_external(tx, &mut w.rng, leaf, group_info, id, info.generation, &directory, w.now);
    let (group, made) = match joined {
        Ok(joined) => joined,
        Err(RoomError::NeedLists(needs)) => return Ok(Tried::Needs(accounts(needs))),
        Err(RoomError::Member) => return Ok(Tried::Member),
        Err(error) => return Err(fault(error)),
    };
    let listing = info.listing.as_ref().ok_or_else(no_room)?;
    let before = match known {
        Some(before) => before,
        None => StoredRoom::new(info.room, w.tx.free_label(listing.slug.as_str())?, Visibility::Public),
    };
    let mut stored = StoredRoom {
        state: RoomState::Joining,
        visibility: Visibility::Public,
        slug: Some(listing.slug.to_string()),
        description: SafeText::single_line(&listing.description),
        invited_by: None,
        invitation: None,
        refused: None,
        denied: false,
        accepting: false,
        leaving: false,
        ..before
    };
    lines::refresh(w, &mut stored, &group);
    w.tx.put_room(&stored)?;
    w.tx.forget_room_chains(info.room)?;
    super::change::keep(w, &stored, &group, &Act::Join, made)?;
    w.loaded.keep(group);
    Ok(Tried::Commit)
}

/// Into a room by the Welcome of an invitation.
fn welcomed(
    w: &mut Work<'_>,
    info: &RoomInfo,
    invitation: &RoomInvitation,
    welcome: &[u8],
    fresh: &BTreeSet<Username>,
) -> Result<Tried, Fault> {
    // One that the relay had denied: the person comes in anew.
    super::leave::forget_group(w, invitation.room)?;
    let (leaf, tx) = (w.leaf()?, w.tx);
    let directory = lists(tx, w.me, fresh);
    let id = *invitation.room.as_bytes();
    let joined = Room::join(tx, &mut w.rng, leaf, welcome, id, invitation.generation, &directory);
    let joined = match joined {
        Ok(joined) => joined,
        Err(RoomError::NeedLists(needs)) => return Ok(Tried::Needs(accounts(needs))),
        Err(error) => return Err(fault(error)),
    };
    let Some(mut stored) = w.tx.room(invitation.room)? else { return Err(Fault::Internal("invitation")) };
    super::answer::accepted(w, &stored, invitation)?;
    stored.state = RoomState::Joined;
    stored.cursor = info.cursor;
    (stored.invitation, stored.refused, stored.denied) = (None, None, false);
    (stored.accepting, stored.leaving) = (true, false);
    stored.invited_by = None;
    if let Some(listing) = &info.listing {
        stored.slug = Some(listing.slug.to_string());
        stored.description = SafeText::single_line(&listing.description);
    }
    // The key that an owner gave to this device while it was asked.
    let policy_key = joined.room.policy().owner_key;
    if stored.owner_secret.is_none() && stored.next_secret.is_some() {
        super::renew::key_replaced(&mut stored, &policy_key);
    }
    lines::refresh(w, &mut stored, &joined.room);
    w.loaded.keep(joined.room);
    w.tx.put_room(&stored)?;
    w.tx.forget_room_chains(invitation.room)?;
    let me = w.me.account.clone();
    w.room_notice(invitation.room, &me, MessageKind::MemberJoined {})?;
    w.emit(EventBody::RoomJoined { chat: stored.shown() })?;
    Ok(Tried::Welcomed)
}
