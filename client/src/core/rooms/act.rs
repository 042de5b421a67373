//! Changes of rooms that somebody wants: one after the other in each room, each tried again when another change wins.

use serde::{Deserialize, Serialize};
use subrosa_protocol::{RoomId, SafeText, Username};

use super::super::{Core, Effect, Fault, Turn};
use crate::{
    api::{ApiError, Kind, Role},
    limits::{ACT_JITTER_MAX_MS, ACT_JITTER_MIN_MS, ACT_TRIES, DEFAULT_WAIT_MS, LONGEST_WAIT_MS, ROOM_ACTS},
};

/// A change of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) enum Act {
    /// This device comes in by itself.
    Join,
    /// All devices of an account.
    Invite(Username),
    /// Devices of members follow their accounts' lists: those of this account come in, those that are gone go, and who
    /// left is taken out.
    Settle,
    /// The own leaf gets new keys.
    Renew,
    /// The whole group is made anew: nobody can follow its log any more.
    Renewal,
    /// An account that was invited does not come.
    Declined(Username),
    /// This account leaves: its other devices are taken out first, since each leaf can only ask for its own removal.
    Leave,
    /// An owner left and knows this owner key: the room gets another one.
    OwnerKey([u8; 32]),
    /// Devices of which nothing was heard for long go.
    Silent,
    /// The devices of a member are others, or are trusted again: those that are listed come in, the others go.
    Follow(Username),
    /// A device of a member was cut off from the log.
    Lost(Username, u32),
    Kick(Username),
    Ban(Username),
    Unban(Username),
    Role(Username, Role),
    Mute(Username),
    Unmute(Username),
    Topic(SafeText),
    Rename(SafeText),
}

impl Act {
    /// The account that it adds.
    pub(super) const fn adds(&self) -> Option<&Username> {
        match self {
            Self::Invite(account) | Self::Follow(account) => Some(account),
            _ => None,
        }
    }

    /// As it is stored beside the pending commit.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// A change that somebody waits for, or that this device makes by itself.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) room: RoomId,
    pub(super) act: Act,
    /// Who is answered.
    pub(super) token: Option<u64>,
    pub(super) deadline: u64,
    /// How often another change won.
    pub(super) tries: u32,
    /// Not before this time, ms since 1970.
    pub(super) not_before: u64,
    /// Its commit is made, and the relay decides.
    pub(super) made: bool,
}

/// The random wait before another try, ms: whoever met somebody does not meet them at once again.
pub(super) fn jitter(turn: &mut Turn<'_>) -> u64 {
    let span = ACT_JITTER_MAX_MS - ACT_JITTER_MIN_MS;
    (turn.rng.next_u32() % span).saturating_add(ACT_JITTER_MIN_MS).into()
}

impl Core {
    /// A person wants a change. The answer comes when the relay has taken it.
    pub(super) fn want(
        &mut self,
        turn: &Turn<'_>,
        room: RoomId,
        act: Act,
        token: Option<u64>,
    ) -> Result<(), Fault> {
        if self.rooms.wanted.len() >= ROOM_ACTS {
            return Err(ApiError::new(Kind::RateLimited, "too many changes of rooms wait")
                .hint("try again")
                .into());
        }
        let same = |wanted: &Wanted| wanted.room == room && wanted.act == act && !wanted.made;
        if token.is_none() && self.rooms.wanted.iter().any(same) {
            return Ok(());
        }
        let patience = if token.is_some() { DEFAULT_WAIT_MS } else { LONGEST_WAIT_MS };
        let deadline = turn.now.saturating_add(patience);
        self.rooms.wanted.push(Wanted { room, act, token, deadline, tries: 0, not_before: 0, made: false });
        Ok(())
    }

    /// A change that any of several devices can make: after a random while this one does, if none of the others has.
    pub(super) fn want_after(
        &mut self,
        turn: &mut Turn<'_>,
        (room, act): (RoomId, Act),
        after_ms: u64,
        within_ms: u32,
    ) -> Result<(), Fault> {
        let wait = after_ms.saturating_add(u64::from(turn.rng.next_u32() % within_ms));
        let not_before = turn.now.saturating_add(wait);
        let count = self.rooms.wanted.len();
        self.want(turn, room, act, None)?;
        if self.rooms.wanted.len() > count
            && let Some(wanted) = self.rooms.wanted.last_mut()
        {
            wanted.not_before = not_before;
            self.rooms.again(not_before);
        }
        Ok(())
    }

    /// Who waited for too long is told. What was not begun does not happen any more.
    pub(super) fn expire_acts(&mut self, turn: &mut Turn<'_>) {
        let up = self.link.is_up();
        let mut given_up = Vec::new();
        for wanted in &mut self.rooms.wanted {
            if wanted.deadline <= turn.now
                && let Some(token) = wanted.token.take()
            {
                let error = match (up, wanted.made) {
                    (_, true) => ApiError::new(
                        Kind::Timeout,
                        "the relay has not answered in time: it may have been done",
                    )
                    .hint("it is not tried again; look at the room when connected"),
                    (true, false) => {
                        ApiError::new(Kind::Timeout, "it could not be done in time").hint("try again")
                    }
                    (false, false) => {
                        ApiError::new(Kind::Unreachable, "nothing was done: the relay cannot be reached")
                            .hint("it is not tried again by itself: ask again when connected")
                    }
                };
                if wanted.made && wanted.act != Act::Renewal {
                    given_up.push(wanted.room);
                }
                turn.out.push(Effect::Reply { token, result: Err(error) });
            }
        }
        for room in given_up {
            self.rooms.given_up.entry(room).or_default();
        }
        self.rooms
            .wanted
            .retain(|wanted| wanted.made || wanted.token.is_some() || wanted.deadline > turn.now);
        self.expire_entering(turn);
    }

    /// These changes do not happen.
    pub(super) fn fail_acts(
        &mut self,
        turn: &mut Turn<'_>,
        which: impl Fn(&Wanted) -> bool,
        error: &ApiError,
    ) {
        let (gone, left) =
            std::mem::take(&mut self.rooms.wanted).into_iter().partition(|wanted| which(wanted));
        self.rooms.wanted = left;
        let gone: Vec<Wanted> = gone;
        for token in gone.into_iter().filter_map(|wanted| wanted.token) {
            turn.out.push(Effect::Reply { token, result: Err(error.clone()) });
        }
    }

    /// The commit of a room's change was merged.
    pub(super) fn act_done(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let Some(at) = self.rooms.wanted.iter().position(|wanted| wanted.room == room && wanted.made) else {
            return Ok(());
        };
        let Wanted { act, token, deadline, .. } = self.rooms.wanted.remove(at);
        self.missed(turn, room, &act)?;
        let Some(token) = token else { return Ok(()) };
        if act == Act::Leave {
            return self.only_this_device(turn, room, (token, deadline));
        }
        let result = self.room_reply(room).map_err(ApiError::from);
        turn.out.push(Effect::Reply { token, result });
        Ok(())
    }

    /// Another change won the epoch: again, a little later, up to five times.
    pub(super) fn act_lost(&mut self, turn: &mut Turn<'_>, room: RoomId) {
        let not_before = turn.now.saturating_add(jitter(turn));
        let mut given_up = false;
        // A renewal that was not the first is not needed any more.
        let faster = ApiError::new(Kind::Refused, "another owner was faster: the room is renewed already");
        self.fail_acts(
            turn,
            |wanted| wanted.room == room && wanted.made && wanted.act == Act::Renewal,
            &faster,
        );
        if self.rooms.given_up.remove(&room).is_some() {
            // Its person was told: it is not made anew.
            let over = ApiError::new(Kind::Refused, "another change was faster, and time was up");
            self.fail_acts(turn, |wanted| wanted.room == room && wanted.made, &over);
        }
        for wanted in self.rooms.wanted.iter_mut().filter(|wanted| wanted.room == room && wanted.made) {
            wanted.made = false;
            wanted.tries = wanted.tries.saturating_add(1);
            wanted.not_before = not_before;
            // Whoever leaves does, however often others are faster.
            given_up |= wanted.tries > ACT_TRIES && wanted.act != Act::Leave;
        }
        self.rooms.again(not_before);
        if given_up {
            let error =
                ApiError::new(Kind::Refused, "others changed the room again and again at the same time")
                    .hint("try again");
            let too_often = |wanted: &Wanted| wanted.tries > ACT_TRIES && wanted.act != Act::Leave;
            self.fail_acts(turn, |wanted| wanted.room == room && too_often(wanted), &error);
        }
    }
}
