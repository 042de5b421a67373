//! What happens by the clock, and when the machine wants to be woken.

use super::{Core, Fault, Turn, gaps, outbox};
use crate::limits::{GIVE_UP_AFTER_MS, UPKEEP_EVERY_MS};

/// Times of things that come back.
#[derive(Default)]
pub(super) struct Upkeep {
    /// When to clear away next.
    clear_at: u64,
    /// When to look after prekeys next.
    pub(super) prekeys_at: u64,
    /// No refill before this time.
    pub(super) refill_after: u64,
    /// An upload of prekeys is under way.
    pub(super) uploading: bool,
    /// When the next receipt is due.
    pub(super) receipt_at: Option<u64>,
}

impl Upkeep {
    pub(super) fn on_down(&mut self) {
        self.uploading = false;
        self.prekeys_at = 0;
    }
}

impl Core {
    pub(super) fn pump_upkeep(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.upkeep.clear_at > turn.now {
            return Ok(());
        }
        self.upkeep.clear_at = turn.now.saturating_add(UPKEEP_EVERY_MS);
        let caught_up = self.rooms.is_synced();
        let due = self.transact(turn, |w| {
            w.tx.expire(w.now)?;
            let mut due = Vec::new();
            if w.me.refusal().is_none() {
                gaps::ask_for_everything(w)?;
                due = super::rooms::upkeep(w, caught_up)?;
            }
            outbox::give_up(w, w.now.saturating_sub(GIVE_UP_AFTER_MS))?;
            Ok(due)
        })?;
        self.renew_leaves(turn, due)
    }

    /// The earliest of everything that waits for a time.
    pub(super) fn plan_wake(&mut self) {
        // A relay may also leave a proof unanswered: that is asked before the connection counts as up.
        let always = [
            Some(self.upkeep.clear_at),
            self.upkeep.receipt_at,
            self.waits.next_deadline(),
            self.link.next_deadline(),
            self.rooms.next_deadline(),
        ];
        let connected = [
            self.link.outbox_at,
            self.mailbox.next_wake(),
            self.lookups.next_wake(),
            self.claims.next_wake(),
            self.rooms.next_wake(),
            (!self.upkeep.uploading).then_some(self.upkeep.prekeys_at),
        ];
        let up = self.link.is_up();
        let connected = connected.into_iter().filter(|_| up);
        for at in always.into_iter().chain(connected).flatten() {
            self.wake(at);
        }
    }
}
