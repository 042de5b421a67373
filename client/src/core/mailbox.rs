//! The own mailbox: in the order of `seq`, pushes where they fit, pages otherwise; acknowledged after the commit (R21).

use subrosa_protocol::{
    SafeText,
    frames::{MailboxAck, MailboxEnvelope, MailboxFetch, Request, Response},
};

use super::{Asked, Core, Fault, Turn, receipts, receive};
use crate::{
    api::EventBody,
    limits::{MAILBOX_ACK_AT_ONCE, MAILBOX_ACK_DELAY_MS},
};

/// How far the mailbox is.
pub(super) struct Mailbox {
    /// The highest `seq` that was dealt with.
    cursor: u64,
    /// The highest `seq` that was acknowledged on this connection.
    acked: u64,
    /// A higher `seq` is known to exist, or may.
    behind: bool,
    fetching: bool,
    acking: bool,
    /// When the acknowledgement leaves.
    ack_at: Option<u64>,
    /// The mailbox was emptied since this connection came up.
    pub(super) synced: bool,
}

impl Mailbox {
    pub(super) const fn new(cursor: u64) -> Self {
        Self { cursor, acked: 0, behind: false, fetching: false, acking: false, ack_at: None, synced: false }
    }

    pub(super) const fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn on_up(&mut self, next_seq: u64) {
        self.behind = next_seq.saturating_sub(1) > self.cursor;
        self.ack_at = (self.cursor > 0).then_some(0);
    }

    pub(super) fn on_down(&mut self) {
        *self = Self::new(self.cursor);
    }

    pub(super) fn hint(&mut self) {
        self.behind = true;
    }

    /// Nothing is known to be waiting at the relay.
    pub(super) const fn is_empty(&self) -> bool {
        !self.behind && !self.fetching
    }

    /// Everything that was dealt with is acknowledged.
    pub(super) const fn is_acknowledged(&self) -> bool {
        self.ack_at.is_none() && !self.acking
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.ack_at.filter(|_| !self.acking)
    }
}

impl Core {
    pub(super) fn on_deliver(&mut self, turn: &mut Turn<'_>, envelope: MailboxEnvelope) -> Result<(), Fault> {
        if envelope.seq <= self.mailbox.cursor {
            return Ok(());
        }
        if self.mailbox.fetching || envelope.seq != self.mailbox.cursor.saturating_add(1) {
            self.mailbox.behind = true;
            return Ok(());
        }
        self.take(turn, &[envelope])
    }

    pub(super) fn on_page(&mut self, turn: &mut Turn<'_>, response: Response) -> Result<(), Fault> {
        self.mailbox.fetching = false;
        let Response::MailboxPage(page) = response else {
            // Refused for now: the next connection asks again.
            self.drop_connection(turn);
            return Ok(());
        };
        // A page that brings nothing new is the last one, whatever it says.
        let cursor = self.mailbox.cursor;
        self.mailbox.behind |= page.more && page.envelopes.iter().any(|envelope| envelope.seq > cursor);
        self.take(turn, &page.envelopes)
    }

    /// The relay counts from a lower number than it did: it was restored from an older copy, or lies. All that it has is
    /// fetched once more, since new envelopes may have numbers that were used before; what was dealt with is known by its
    /// id and by its session.
    pub(super) fn mailbox_went_back(&mut self, turn: &mut Turn<'_>, next_seq: u64) -> Result<(), Fault> {
        if next_seq.saturating_sub(1) >= self.mailbox.cursor {
            return Ok(());
        }
        self.transact(turn, |w| Ok(w.tx.forget_mailbox_cursor()?))?;
        self.mailbox = Mailbox::new(0);
        let text = "the relay counts this device's envelopes from a lower number than before: it was restored from an \
                    older copy, or it lies; everything that it has is read again, and nothing is shown twice";
        self.tell(turn, EventBody::ServerNotice { text: SafeText::single_line(text) });
        Ok(())
    }

    /// One transaction for all of them: read, stored, and the cursor with them.
    fn take(&mut self, turn: &mut Turn<'_>, envelopes: &[MailboxEnvelope]) -> Result<(), Fault> {
        let cursor = self.mailbox.cursor;
        let fresh: Vec<_> = envelopes.iter().filter(|envelope| envelope.seq > cursor).collect();
        let Some(last) = fresh.last().map(|envelope| envelope.seq) else { return Ok(()) };
        self.mailbox.cursor = self.transact(turn, |w| {
            for envelope in &fresh {
                receive::take(w, envelope)?;
            }
            receipts::acknowledge(w)?;
            Ok(w.tx.set_mailbox_cursor(last)?)
        })?;
        let due = self.mailbox.cursor.saturating_sub(self.mailbox.acked) >= MAILBOX_ACK_AT_ONCE;
        let at = if due { turn.now } else { turn.now.saturating_add(MAILBOX_ACK_DELAY_MS) };
        self.mailbox.ack_at = Some(self.mailbox.ack_at.map_or(at, |earlier| earlier.min(at)));
        Ok(())
    }

    pub(super) fn on_acked(&mut self, turn: &mut Turn<'_>, response: &Response) {
        self.mailbox.acking = false;
        if let Response::Error(_) = response {
            // What is not acknowledged comes again and is known then.
            self.drop_connection(turn);
        }
    }

    pub(super) fn pump_mailbox(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.mailbox.behind && !self.mailbox.fetching {
            self.mailbox.behind = false;
            self.mailbox.fetching = true;
            let max = u16::try_from(subrosa_protocol::limits::ENVELOPES_PER_PAGE).unwrap_or(1);
            let fetch = MailboxFetch { after: self.mailbox.cursor, max };
            self.ask(turn, Asked::Fetch, &Request::MailboxFetch(fetch))?;
        }
        if !self.mailbox.acking && self.mailbox.ack_at.is_some_and(|at| at <= turn.now) {
            self.mailbox.ack_at = None;
            self.mailbox.acking = true;
            self.mailbox.acked = self.mailbox.cursor;
            let generation = self.store.read(|tx| tx.generation())?;
            let ack = MailboxAck { up_to: self.mailbox.cursor, generation };
            self.ask(turn, Asked::Ack, &Request::MailboxAck(ack))?;
        }
        let quiet = self.mailbox.is_empty() && self.rooms.is_synced();
        if !self.mailbox.synced && quiet && !self.lookups.busy_for_sync(&self.me.account) {
            self.mailbox.synced = true;
            self.tell(turn, EventBody::SyncDone {});
        }
        Ok(())
    }
}
