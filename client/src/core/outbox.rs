//! Sealed envelopes on their way to the relay: one request in flight a device, different devices side by side, the same
//! bytes at every try (R21).

use std::collections::BTreeSet;

use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, ErrorCode, MessageId, Username,
    frames::{EnvelopeSend, ErrorFrame, OutgoingEnvelope, Request, Response, StaleDeviceList},
    limits::{ENVELOPES_PER_SEND, FRAME_MAX},
};

use super::{Asked, Core, Fault, Turn, retry_after, rooms, work::Work};
use crate::{
    api::{ApiError, Kind, MessageState},
    limits::INVITED_LOOK_MS,
    net::refused,
    store::OutboxRow,
};

/// Bytes of a frame that are not ciphertext: header, names, numbers; and of each envelope: id and length.
const FRAME_OVERHEAD: usize = 128;
const ENVELOPE_OVERHEAD: usize = 24;

impl Core {
    /// Sends what waits, to every device for which nothing is in flight. When some of it has to wait, the wake-up is set.
    pub(super) fn pump_outbox(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let (targets, generation, invited) = self.store.read(|tx| {
            let targets = tx.outbox_targets()?;
            // Mostly there is nothing, and nobody asks who is invited.
            let invited =
                if targets.is_empty() { BTreeSet::new() } else { rooms::places_invited(tx, turn.now)? };
            Ok::<_, Fault>((targets, tx.generation()?, invited))
        })?;
        for target in targets {
            let place = (target.account, target.device);
            if self.link.sending.is_busy(&place) {
                continue;
            }
            if invited.contains(&place) {
                // It goes on when the commit is answered, or is found to wait for long.
                self.link.wake_outbox(turn.now.saturating_add(INVITED_LOOK_MS));
                continue;
            }
            if target.next_try > turn.now {
                self.link.wake_outbox(target.next_try);
                continue;
            }
            let Some(room) = self.link.sending.room() else {
                // The next answer makes room, and comes here again.
                break;
            };
            let room = room.min(FRAME_MAX - FRAME_OVERHEAD - ENVELOPES_PER_SEND * ENVELOPE_OVERHEAD);
            let (account, device) = place;
            let mut head =
                self.store.read(|tx| tx.outbox_head(&account, device, ENVELOPES_PER_SEND, room))?;
            // After an envelope that could not be sent, it is tried alone.
            if head.first().is_some_and(|row| row.attempts > 0 && row.attempts % 2 == 0) {
                head.truncate(1);
            }
            self.send_envelopes(turn, account, device, generation, head)?;
        }
        Ok(())
    }

    fn send_envelopes(
        &mut self,
        turn: &mut Turn<'_>,
        account: Username,
        device: DeviceId,
        generation: u64,
        rows: Vec<OutboxRow>,
    ) -> Result<(), Fault> {
        let known = self.store.read(|tx| tx.device_list(&account))?;
        let (Some(known), false) = (known, rows.is_empty()) else { return Ok(()) };
        let list_version = known.list.version;
        let ids = rows.iter().map(|row| row.id).collect();
        let bytes = rows.iter().map(|row| row.sealed.len()).sum();
        let envelopes = rows
            .into_iter()
            .map(|row| {
                Some(OutgoingEnvelope { id: row.envelope, sealed: BoundedBytes::new(row.sealed).ok()? })
            })
            .collect::<Option<Vec<_>>>()
            .and_then(|envelopes| BoundedVec::new(envelopes).ok())
            .ok_or(Fault::Internal("envelopes"))?;
        let request = Request::EnvelopeSend(EnvelopeSend {
            to: account.clone(),
            device,
            list_version,
            generation,
            envelopes,
        });
        self.link.sending.begin((account.clone(), device), bytes, turn.now);
        self.ask(turn, Asked::Send { account, device, rows: ids }, &request)
    }

    /// The relay answered.
    pub(super) fn on_sent(
        &mut self,
        turn: &mut Turn<'_>,
        account: Username,
        device: DeviceId,
        rows: &[i64],
        response: Response,
    ) -> Result<(), Fault> {
        self.link.sending.end(&(account.clone(), device), turn.now);
        self.dirty.outbox = true;
        match response {
            Response::EnvelopeAccepted(_) => self.transact(turn, |w| accepted(w, rows)),
            Response::StaleDeviceList(stale) => self.on_stale(turn, &account, rows, &stale),
            Response::Error(frame) => self.on_send_refused(turn, &account, rows, &frame),
            _ => Err(Fault::Relay("another answer to a send than there is")),
        }
    }

    /// The list this was sent by is old: the newer one decides which devices the messages go to.
    fn on_stale(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        rows: &[i64],
        stale: &StaleDeviceList,
    ) -> Result<(), Fault> {
        self.transact(turn, |w| {
            let known = w.tx.device_list(account)?.map_or(0, |known| known.list.version);
            let first = match rows.first() {
                Some(id) => w.tx.outbox_row(*id)?,
                None => None,
            };
            let attempts = first.map_or(0, |row| row.attempts);
            // While the newer list is on its way the same envelopes are not sent again; a relay that calls every list old
            // is asked less and less often, and the person told.
            w.tx.retry_outbox(rows, w.now.saturating_add(retry_after(None, attempts)))?;
            if attempts > 0 && !w.is_me(account) {
                let why = format!("the relay says again and again that {account}'s devices changed");
                for id in rows {
                    if let Some(row) = w.tx.outbox_row(*id)? {
                        w.hold_line(row.message, MessageState::Queued, Some(&why))?;
                    }
                }
            }
            if stale.version > known {
                w.done.want_lists.insert(account.clone());
            } else {
                // The relay's list is not newer, and yet it says so: its whole chain must show why.
                w.done.want_chains.insert(account.clone());
            }
            Ok(())
        })
    }

    fn on_send_refused(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        rows: &[i64],
        frame: &ErrorFrame,
    ) -> Result<(), Fault> {
        let error = refused(frame);
        let hopeless = matches!(
            frame.code,
            ErrorCode::BadRequest | ErrorCode::TooLarge | ErrorCode::UnknownFrame | ErrorCode::Refused
        );
        self.transact(turn, |w| {
            let first = match rows.first() {
                Some(id) => w.tx.outbox_row(*id)?,
                None => None,
            };
            let attempts = first.as_ref().map_or(0, |row| row.attempts);
            if hopeless && let ([only], Some(row)) = (rows, first) {
                w.tx.remove_outbox(&[*only])?;
                if !w.is_me(account) {
                    w.fail_line(row.message, &error)?;
                }
                return Ok(());
            }
            // Refused together: each alone next time, which an even number of attempts says.
            let attempts = if hopeless { attempts | 1 } else { attempts };
            w.tx.retry_outbox(rows, w.now.saturating_add(retry_after(frame.retry_after_ms, attempts)))?;
            if frame.code == ErrorCode::NotFound {
                w.done.want_chains.insert(account.clone());
            }
            if matches!(frame.code, ErrorCode::MailboxFull | ErrorCode::StorageFull | ErrorCode::NotFound) {
                for id in rows {
                    if let Some(row) = w.tx.outbox_row(*id)?.filter(|_| !w.is_me(account)) {
                        w.hold_line(row.message, MessageState::Queued, Some(&error.message))?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// The relay has these envelopes, durably.
fn accepted(w: &mut Work<'_>, rows: &[i64]) -> Result<(), Fault> {
    let mut messages = Vec::new();
    for id in rows {
        messages.extend(w.tx.outbox_row(*id)?.map(|row| (row.account, row.message)));
    }
    w.tx.remove_outbox(rows)?;
    messages.dedup();
    for (account, message) in messages {
        settle(w, &account, message)?;
    }
    Ok(())
}

/// A line is accepted once the relay has it for every device of its recipient.
pub(super) fn settle(w: &mut Work<'_>, account: &Username, message: MessageId) -> Result<(), Fault> {
    if w.is_me(account) || w.tx.outstanding(message, account)? > 0 {
        return Ok(());
    }
    w.advance_line(message, MessageState::Accepted)
}

/// What the relay or the recipient never took is given up after 30 days (R44).
pub(super) fn give_up(w: &mut Work<'_>, before: u64) -> Result<(), Fault> {
    let error = ApiError::new(Kind::Refused, "given up: not taken for 30 days").hint("send it again");
    let envelopes = w.tx.outbox_before(before, 1_000)?;
    for row in envelopes {
        w.tx.remove_outbox(&[row.id])?;
        if !w.is_me(&row.account) {
            w.fail_line(row.message, &error)?;
        }
    }
    for pending in w.tx.pending_before(before, 1_000)? {
        w.tx.remove_pending(pending.id)?;
        if !w.is_me(&pending.account) {
            w.fail_line(pending.message, &error)?;
        }
    }
    Ok(())
}
