//! The ledger: what was asked, what was accepted, what was displayed, outside of every store; and what must hold at every
//! step.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use subrosa_client::{api::EventBody, store::Counter};
use subrosa_protocol::{DeviceId, EnvelopeId, RawFrame, Username, frames::Request};

use crate::{
    device::{Device, Fate},
    world::Counts,
};

/// What the person who asked was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the program ended before.
    Unknown,
    Queued,
    /// That it is not sent.
    Refused,
}

pub struct Text {
    /// The device.
    pub from: usize,
    /// The account.
    pub to: usize,
    pub outcome: Outcome,
    /// In which event.
    pub asked_at: u32,
    /// The other own devices that the writing one knew of.
    pub known: Vec<usize>,
    /// It was asked for once more, with the same key.
    pub asked_again: bool,
    /// It went with a store in whose place an old copy came.
    pub lost: bool,
}

#[derive(Default)]
pub struct Ledger {
    pub seed: u64,
    /// Texts of the world that this one was copied from: they are no part of it.
    pub before: bool,
    pub texts: Vec<Text>,
    /// Hashes of the envelopes that were sent.
    pub sent: HashMap<EnvelopeId, u64>,
}

/// The number of the text `t123`.
pub fn number(text: &str) -> Option<usize> {
    text.strip_prefix('t')?.parse().ok()
}

impl Ledger {
    /// The text of this number, and the key it is asked for with.
    pub fn words(&self, number: usize) -> (String, String) {
        if self.before {
            (format!("before{number}"), format!("b{number}"))
        } else {
            (format!("t{number}"), format!("k{number}"))
        }
    }

    pub fn ask(&mut self, from: usize, to: usize, asked_at: u32, known: Vec<usize>) -> usize {
        self.texts.push(Text {
            from,
            to,
            outcome: Outcome::Unknown,
            asked_at,
            known,
            asked_again: false,
            lost: false,
        });
        self.texts.len() - 1
    }

    pub fn answered(&mut self, text: usize, outcome: Outcome) {
        let text = &mut self.texts[text];
        // A refusal of the second try says nothing about the first.
        if !(text.asked_again && outcome == Outcome::Refused) {
            text.outcome = outcome;
        }
    }

    /// A store was replaced by a copy that is older than these texts.
    pub fn lost_with(&mut self, at: usize, first: usize) {
        for (number, text) in self.texts.iter_mut().enumerate().filter(|(_, text)| text.from == at) {
            // What was asked for once more may have been queued only then.
            text.lost |= number >= first || text.asked_again;
        }
    }

    /// Something was told live.
    pub fn told(&mut self, device: &mut Device, body: &EventBody, lossy: bool, counts: &mut Counts) {
        if crate::rooms::told(device, body) {
            return;
        }
        match body {
            EventBody::MessageReceived { message } | EventBody::MessageQueued { message } => {
                device.last_order = device.last_order.max(message.order);
                let Some(text) = number(&message.text) else { return };
                counts.displayed += 1;
                let wrote = message.from == device.place.0 && message.device == device.place.1;
                let may_not = device.fate == Fate::Quarantined || device.must_be_quarantined;
                // What a person writes before the copy noticed is refused or waits for good.
                if may_not && !wrote {
                    panic!("R23: {} is an old copy and shows t{text}", device.name());
                }
                if !device.shown.insert(text) {
                    panic!("I2: {} displays t{text} twice", device.name());
                }
            }
            EventBody::MessageAccepted { .. } => counts.accepted += 1,
            EventBody::MessageMissing { from, device: sender, count, .. } => {
                counts.gaps += 1;
                if !lossy && !may_miss(device) {
                    panic!("I1: {} misses {count} of {from}{sender} though nothing was lost", device.name());
                }
                let seen = device.missing.entry((from.clone(), *sender)).or_default();
                *seen = (seen.1, *count);
            }
            EventBody::MessageUndecryptable { failure } => {
                counts.undecryptable += 1;
                if !lossy && !may_miss(device) {
                    panic!(
                        "I1: {} cannot read an envelope though nothing was lost: {failure:?}",
                        device.name()
                    );
                }
            }
            EventBody::ContactRequested { name } => {
                device.requested_by.insert(name.clone());
            }
            EventBody::IdentityChanged { change } => {
                panic!("step: {} thinks that a key changed: {change:?}", device.name());
            }
            EventBody::MessageFailed { failure } => {
                panic!("I1: {} gives a message up: {failure:?}", device.name());
            }
            _ => {}
        }
    }

    /// What a device sends to the relay is durable, and the same at every try (R21).
    pub fn check_sent(&mut self, device: &Device, frame: &RawFrame, event: u32) {
        let Ok(request) = Request::from_raw(frame) else { return };
        match request {
            Request::MailboxAck(ack) => {
                let cursor = device.store().read(|tx| tx.mailbox_cursor()).unwrap();
                if ack.up_to > cursor {
                    panic!("R21: {} acknowledges {} and has {cursor}", device.name(), ack.up_to);
                }
            }
            Request::EnvelopeSend(send) => {
                for envelope in send.envelopes.iter() {
                    let mut hasher = DefaultHasher::new();
                    envelope.sealed[..].hash(&mut hasher);
                    let hash = hasher.finish();
                    if *self.sent.entry(envelope.id).or_insert(hash) != hash {
                        panic!("R21: {} sends other bytes at the second try", device.name());
                    }
                }
                // Reading the outbox back costs more than the rest of the step: now and then.
                if event.is_multiple_of(4) {
                    let ids = outbox(device, &send.to, send.device);
                    if send.envelopes.iter().any(|envelope| !ids.contains(&envelope.id)) {
                        panic!("R21: {} sends what it did not commit", device.name());
                    }
                }
            }
            _ => {}
        }
    }

    /// What was acknowledged is in the store that a program starts with.
    pub fn check_acknowledged(&self, device: &Device) {
        let cursor = device.store().read(|tx| tx.mailbox_cursor()).unwrap();
        if device.acked > cursor {
            panic!("R21: {} acknowledged {} and has {cursor}", device.name(), device.acked);
        }
    }
}

/// Whether something may be missing here that nobody lost on the way: it went with a store in whose place an old copy came,
/// or a stranger wrote more than a request may have, which is dropped, and asked for once the stranger is accepted.
pub fn may_miss(device: &Device) -> bool {
    device.is_copy || device.store().read(|tx| tx.counted(Counter::DiscardedRequest)).unwrap() > 0
}

fn outbox(device: &Device, account: &Username, to: DeviceId) -> Vec<EnvelopeId> {
    let rows = device.store().read(|tx| tx.outbox_head(account, to, usize::MAX, usize::MAX)).unwrap();
    rows.into_iter().map(|row| row.envelope).collect()
}
