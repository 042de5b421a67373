//! Requests that are answered later: when a message came as far as was asked for, when an account was looked up, when the
//! mailbox was emptied; or when time ran out.

use subrosa_protocol::Username;

use super::{Core, Effect, Fault, Turn};
use crate::{
    api::{ApiError, ConnectionState, Kind, Message, MessageState, Reply, SendResult, WaitFor},
    chat::ChatId,
    limits::{LONGEST_WAIT_MS, WAITING_REQUESTS},
    store::Tx,
};

/// What to do when something was asked of a relay that cannot be reached.
pub(super) const NOT_DONE: &str =
    "connecting is tried again by itself; what was asked for is not done: ask again then";

fn not_reached() -> ApiError {
    ApiError::new(Kind::Unreachable, "the relay cannot be reached").hint(NOT_DONE)
}

/// One recipient of a send.
pub(super) enum Slot {
    /// Nothing more will happen that is waited for.
    Settled(SendResult),
    Open {
        /// The recipient as it was given.
        to: String,
        /// The line.
        order: i64,
    },
}

struct Send {
    token: u64,
    slots: Vec<Slot>,
    want: WaitFor,
    deadline: u64,
}

/// What to answer once an account was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Add,
    SafetyNumber,
}

struct Lookup {
    token: u64,
    account: Username,
    then: Then,
    deadline: u64,
}

/// Requests that are not answered yet.
#[derive(Default)]
pub(super) struct Waits {
    sends: Vec<Send>,
    lookups: Vec<Lookup>,
    /// Lookups that came to an end.
    ended: Vec<(Lookup, Result<(), ApiError>)>,
    /// Token and deadline of those who wait for an empty mailbox.
    syncs: Vec<(u64, u64)>,
    /// Who logs out.
    pub(super) logging_out: Option<u64>,
    /// Why lines were given up, until who waits for them is told.
    pub(super) failed: Vec<(i64, ApiError)>,
}

impl Waits {
    fn is_full(&self) -> bool {
        self.sends.len() + self.lookups.len() + self.syncs.len() >= WAITING_REQUESTS
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        let sends = self.sends.iter().map(|send| send.deadline);
        let lookups = self.lookups.iter().map(|lookup| lookup.deadline);
        sends.chain(lookups).chain(self.syncs.iter().map(|(_, deadline)| *deadline)).min()
    }

    /// The lookup of an account came to an end.
    pub(super) fn looked_up(&mut self, account: &Username, result: Result<(), ApiError>) {
        let (ended, waiting) =
            std::mem::take(&mut self.lookups).into_iter().partition(|lookup| lookup.account == *account);
        self.lookups = waiting;
        let ended: Vec<Lookup> = ended;
        self.ended.extend(ended.into_iter().map(|lookup| (lookup, result.clone())));
    }

    /// What was done lately was not kept: whoever waits for whatever is told.
    pub(super) fn fail_all(&mut self, turn: &mut Turn<'_>, error: &ApiError) {
        self.fail_relay(turn, error);
        let ended = std::mem::take(&mut self.ended).into_iter().map(|(lookup, _)| lookup.token);
        let sends = std::mem::take(&mut self.sends).into_iter().map(|send| send.token);
        for token in ended.chain(sends).chain(self.logging_out.take()) {
            turn.out.push(Effect::Reply { token, result: Err(error.clone()) });
        }
        self.failed.clear();
    }

    /// The relay cannot be reached: who waits for it alone is told.
    pub(super) fn fail_relay(&mut self, turn: &mut Turn<'_>, error: &ApiError) {
        for (token, _) in std::mem::take(&mut self.syncs) {
            turn.out.push(Effect::Reply { token, result: Err(error.clone()) });
        }
        for lookup in std::mem::take(&mut self.lookups) {
            turn.out.push(Effect::Reply { token: lookup.token, result: Err(error.clone()) });
        }
    }
}

fn too_many() -> Fault {
    ApiError::new(Kind::RateLimited, "too many requests wait for something to happen")
        .hint("wait for some of them")
        .into()
}

impl Waits {
    /// Lines have other places now.
    pub(super) fn placed(&mut self, placed: &[(i64, i64)]) {
        if placed.is_empty() {
            return;
        }
        let slots = self.sends.iter_mut().flat_map(|send| &mut send.slots);
        let waiting = slots.filter_map(|slot| match slot {
            Slot::Open { order, .. } => Some(order),
            Slot::Settled(_) => None,
        });
        for order in waiting.chain(self.failed.iter_mut().map(|(order, _)| order)) {
            for (before, after) in placed {
                if order == before {
                    *order = *after;
                }
            }
        }
    }
}

impl Core {
    pub(super) fn wait_for_lines(
        &mut self,
        turn: &Turn<'_>,
        token: u64,
        slots: Vec<Slot>,
        want: WaitFor,
        wait_ms: u64,
    ) -> Result<(), Fault> {
        if self.waits.is_full() {
            return Err(too_many());
        }
        let deadline = turn.now.saturating_add(wait_ms.min(LONGEST_WAIT_MS));
        self.waits.sends.push(Send { token, slots, want, deadline });
        self.dirty.lines = true;
        Ok(())
    }

    pub(super) fn wait_for_lookup(
        &mut self,
        turn: &Turn<'_>,
        token: u64,
        account: Username,
        then: Then,
        wait_ms: u64,
    ) -> Result<(), Fault> {
        if self.waits.is_full() {
            return Err(too_many());
        }
        let deadline = turn.now.saturating_add(wait_ms);
        self.waits.lookups.push(Lookup { token, account, then, deadline });
        Ok(())
    }

    pub(super) fn wait_for_sync(&mut self, turn: &Turn<'_>, token: u64, wait_ms: u64) -> Result<(), Fault> {
        if self.waits.is_full() {
            return Err(too_many());
        }
        self.waits.syncs.push((token, turn.now.saturating_add(wait_ms.min(LONGEST_WAIT_MS))));
        Ok(())
    }

    /// Answers what can be answered.
    pub(super) fn pump_waits(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.answer_lookups(turn);
        self.answer_syncs(turn);
        let due = self.waits.next_deadline().is_some_and(|at| at <= turn.now);
        if std::mem::take(&mut self.dirty.lines) || due {
            self.answer_sends(turn)?;
        }
        self.waits.failed.clear();
        Ok(())
    }

    fn answer_lookups(&mut self, turn: &mut Turn<'_>) {
        for (lookup, result) in std::mem::take(&mut self.waits.ended) {
            let Lookup { token, account, then, .. } = lookup;
            let result = match result {
                Ok(()) => self.after_lookup(turn, &account, then).map_err(ApiError::from),
                Err(error) => Err(error),
            };
            turn.out.push(Effect::Reply { token, result });
        }
        let (late, waiting) = std::mem::take(&mut self.waits.lookups)
            .into_iter()
            .partition(|lookup| lookup.deadline <= turn.now);
        self.waits.lookups = waiting;
        let late: Vec<Lookup> = late;
        for lookup in late {
            let error = if self.link.is_up() {
                ApiError::new(Kind::Timeout, "the relay did not answer in time").hint("try again")
            } else {
                not_reached()
            };
            turn.out.push(Effect::Reply { token: lookup.token, result: Err(error) });
        }
    }

    fn answer_syncs(&mut self, turn: &mut Turn<'_>) {
        let synced = self.link.is_up()
            && self.mailbox.synced
            && self.mailbox.is_empty()
            && self.rooms.is_synced()
            && !self.lookups.busy_for_sync(&self.me.account);
        for (token, deadline) in std::mem::take(&mut self.waits.syncs) {
            let result = if synced {
                Ok(Reply::Done {})
            } else if deadline > turn.now {
                self.waits.syncs.push((token, deadline));
                continue;
            } else if self.link.is_up() {
                Err(ApiError::new(Kind::Timeout, "the mailbox was not emptied in time").hint("try again"))
            } else {
                Err(not_reached())
            };
            turn.out.push(Effect::Reply { token, result });
        }
    }

    /// The messages on their way to a chat that somebody waits for.
    pub(super) fn waited_for(&self, chat: &ChatId) -> Result<Vec<i64>, Fault> {
        let slots = self.waits.sends.iter().flat_map(|send| &send.slots);
        let orders = slots.filter_map(|slot| match slot {
            Slot::Open { order, .. } => Some(*order),
            Slot::Settled(_) => None,
        });
        self.store.read(|tx| {
            let mut found = Vec::new();
            for order in orders {
                if tx.chat_of(order)?.as_ref() == Some(chat) {
                    found.push(order);
                }
            }
            Ok(found)
        })
    }

    fn answer_sends(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let mut sends = std::mem::take(&mut self.waits.sends);
        let failed = &self.waits.failed;
        // Without a person's act the relay takes nothing: no use in waiting until time runs out.
        let blocked = match &self.link.shown {
            ConnectionState::Blocked { error } => Some(error.clone()),
            _ => None,
        };
        self.store.read(|tx| {
            for send in &mut sends {
                let late = send.deadline <= turn.now;
                for slot in &mut send.slots {
                    settle(tx, slot, send.want, blocked.as_ref(), late, failed)?;
                }
            }
            Ok::<_, Fault>(())
        })?;
        for send in sends {
            if send.slots.iter().all(|slot| matches!(slot, Slot::Settled(_))) {
                let results = send.slots.into_iter().filter_map(|slot| match slot {
                    Slot::Settled(result) => Some(result),
                    Slot::Open { .. } => None,
                });
                let reply = Reply::Sent { results: results.collect() };
                turn.out.push(Effect::Reply { token: send.token, result: Ok(reply) });
            } else {
                self.waits.sends.push(send);
            }
        }
        Ok(())
    }
}

fn settle(
    tx: &Tx<'_>,
    slot: &mut Slot,
    want: WaitFor,
    blocked: Option<&ApiError>,
    late: bool,
    failed: &[(i64, ApiError)],
) -> Result<(), Fault> {
    let Slot::Open { to, order } = slot else { return Ok(()) };
    // Most lines that are waited for have not come far enough yet: their text is not read for that.
    let state = tx.message_state(*order)?;
    let waits = state.is_some_and(|state| is_on_its_way(state) && !came_as_far_as(state, want));
    if waits && blocked.is_none() && !late {
        return Ok(());
    }
    let Some(line) = tx.message_at(*order)? else {
        let error = Some(ApiError::new(Kind::NotFound, "the message was deleted"));
        *slot = Slot::Settled(SendResult { to: to.clone(), id: None, state: MessageState::Failed, error });
        return Ok(());
    };
    let error = match line.state {
        MessageState::Failed => Some(why_failed(&line, failed)),
        MessageState::Held => why_held(tx, &line, want)?,
        state if came_as_far_as(state, want) => None,
        _ => match blocked {
            Some(why) => Some(why.clone()),
            None if late => Some(too_late(want, line.reason.as_deref())),
            None => return Ok(()),
        },
    };
    let error = error.map(|error| ApiError { id: Some(line.id.clone()), ..error });
    *slot = Slot::Settled(SendResult { to: to.clone(), id: Some(line.id), state: line.state, error });
    Ok(())
}

/// Time is up. `reason`: what stands below the line, such as what the relay answered when it was sent last.
fn too_late(want: WaitFor, reason: Option<&str>) -> ApiError {
    let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let text = match want {
        WaitFor::Queued | WaitFor::Accepted => {
            format!("the relay has not accepted it in time{why}; it stays queued and goes out by itself")
        }
        WaitFor::Delivered => format!("not delivered in time{why}; it is on its way all the same"),
        WaitFor::Read => "not read in time; it is on its way all the same".to_owned(),
    };
    ApiError::new(Kind::Timeout, text).hint("do not send it again")
}

const fn is_on_its_way(state: MessageState) -> bool {
    !matches!(state, MessageState::Held | MessageState::Failed)
}

const fn came_as_far_as(state: MessageState, want: WaitFor) -> bool {
    let come = match state {
        MessageState::Held | MessageState::Failed => return false,
        MessageState::Queued => 0,
        MessageState::Accepted => 1,
        MessageState::Delivered => 2,
        MessageState::Read | MessageState::Received => 3,
    };
    let wanted = match want {
        WaitFor::Queued => 0,
        WaitFor::Accepted => 1,
        WaitFor::Delivered => 2,
        WaitFor::Read => 3,
    };
    come >= wanted
}

fn why_failed(line: &Message, failed: &[(i64, ApiError)]) -> ApiError {
    match failed.iter().find(|(order, _)| *order == line.order) {
        Some((_, error)) => error.clone(),
        None => ApiError::new(Kind::Refused, line.reason.as_deref().unwrap_or("the message was given up")),
    }
}

/// Nothing to complain of when only queueing was asked for and the other side is yet to accept.
fn why_held(tx: &Tx<'_>, line: &Message, want: WaitFor) -> Result<Option<ApiError>, Fault> {
    let chat = &line.chat;
    let peer = match Username::new(chat.clone()) {
        Ok(account) => tx.peer(&account)?,
        Err(_) => None,
    };
    if peer.is_some_and(|peer| peer.is_stopped()) {
        let error = ApiError::new(Kind::Identity, format!("{chat}'s key changed; the message is held"));
        return Ok(Some(
            error
                .hint(format!("compare safety numbers, then: rosa trust {chat}; it goes out by itself then")),
        ));
    }
    let error = ApiError::new(
        Kind::Timeout,
        format!("held until {chat} accepts your request; it goes out by itself then"),
    );
    Ok((want != WaitFor::Queued).then(|| error.hint("do not send it again")))
}
