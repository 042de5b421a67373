//! Several inputs at once: what they change becomes durable in one commit, and nothing of it is told before (R21).
//!
//! Each input keeps transactions of its own within it: what fails of one leaves the others alone. When the commit fails,
//! all of it has left no trace, and the machine starts over: everybody who waits is told, the connection is made anew, and
//! what was not acknowledged comes again.

use rand_core::CryptoRng;

use super::{Core, Effect, Fault, Input, Turn, mailbox::Mailbox, upkeep::Upkeep};
use crate::api::{ApiError, Request};

impl Input {
    /// Whether this may be dealt with in one commit with others: what comes from the relay, and texts to be sent. There are
    /// many of them; everything else is rare and keeps a commit of its own.
    #[must_use]
    pub const fn may_share(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Request { request: Request::MessageSend(_), .. })
    }
}

impl Core {
    /// Deals with several inputs at `now` (ms since 1970), in their order and in one commit where [`Input::may_share`]. The
    /// effects are to be carried out in their order; everything they tell of is durable. `inputs` ends when it is time to
    /// carry them out.
    pub fn handle_all(
        &mut self,
        inputs: impl IntoIterator<Item = Input>,
        now: u64,
        rng: &mut dyn CryptoRng,
    ) -> Vec<Effect> {
        let mut inputs = inputs.into_iter().peekable();
        let mut out = Vec::new();
        while let Some(first) = inputs.next() {
            let shares = |input: &Input| input.may_share();
            let effects = match inputs.next_if(|second| first.may_share() && shares(second)) {
                None => self.handle(first, now, rng),
                Some(second) => {
                    let more = std::iter::from_fn(|| inputs.next_if(shares));
                    self.handle_group([first, second].into_iter().chain(more), now, rng)
                }
            };
            out.extend(effects);
        }
        out
    }

    fn handle_group(
        &mut self,
        inputs: impl Iterator<Item = Input>,
        now: u64,
        rng: &mut dyn CryptoRng,
    ) -> Vec<Effect> {
        let mut turn = Turn { now, rng, out: Vec::new() };
        let cursor = self.mailbox.cursor();
        // Without a group each has a commit of its own, or fails alone.
        let grouped = self.store.begin_group();
        if let Err(error) = &grouped {
            tracing::warn!(%error, "changes cannot be grouped");
        }
        for input in inputs {
            if let Err(fault) = self.step(&mut turn, input) {
                self.failed(&mut turn, fault);
            }
        }
        if let Err(fault) = self.pump(&mut turn) {
            self.failed(&mut turn, fault);
        }
        if grouped.is_ok()
            && let Err(error) = self.store.commit_group()
        {
            self.start_over(&mut turn, cursor, error.into());
        }
        self.look_whether_it_is_over(&mut turn);
        turn.out
    }

    /// Nothing that was dealt with since the mailbox stood at `cursor` was kept.
    fn start_over(&mut self, turn: &mut Turn<'_>, cursor: u64, fault: Fault) {
        let told = ApiError::from(fault);
        let mut out = std::mem::take(&mut turn.out);
        out.retain_mut(|effect| match effect {
            // It may tell of what was not kept.
            Effect::Reply { result, .. } => {
                *result = Err(told.clone());
                true
            }
            Effect::Event(event) => event.seq.is_none(),
            Effect::Send(_) => false,
            Effect::Drop | Effect::Reconnect | Effect::Block | Effect::Shutdown => true,
        });
        turn.out = out;
        self.forget_connection(turn);
        self.mailbox = Mailbox::new(cursor);
        self.upkeep = Upkeep::default();
        self.loaded.clear();
        self.dirty = super::Dirty { outbox: true, pending: true, lines: true, rooms: true };
        self.waits.fail_all(turn, &told);
        self.failed(turn, Fault::from(told));
        self.plan_wake();
    }
}
