//! Envelopes: append, fetch, acknowledge.

use std::sync::Arc;

use subrosa_protocol::{
    DeviceId, Username,
    frames::{MailboxEnvelope, OutgoingEnvelope, StaleDeviceList},
};

use super::Timestamp;

/// Envelopes for one device, accepted all or none, in this order.
///
/// An envelope whose id this device's mailbox has accepted before (the last 20,000 of them, at most 60 days) is
/// accepted again and not stored again, also when the first one was fetched and deleted since.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Recipient account.
    pub to: Username,
    /// Recipient device.
    pub device: DeviceId,
    /// The version of the recipient's device list that the sender has.
    pub list_version: u64,
    /// The envelopes.
    pub envelopes: Vec<OutgoingEnvelope>,
    /// The sending device: must exist, and its generation is raised. That is durable a few seconds later, not before the
    /// answer: written beside the envelopes it would tell who sent them.
    pub sender: Sender,
    /// The relay's clock.
    pub now: Timestamp,
}

/// The device that sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// Its state generation (R23).
    pub generation: u64,
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// All envelopes are durable.
    Accepted {
        /// When they were accepted; for a pure repetition, when they were first.
        accepted_at: Timestamp,
        /// Those that were not accepted before, with their places: what to push to the device.
        fresh: Vec<Arc<MailboxEnvelope>>,
    },
    /// The sender's list is not the current one. Nothing was accepted.
    Stale(StaleDeviceList),
    /// No such account, or its current list has no such device.
    NotFound,
    /// The mailbox would hold more than it may (R44: 10,000 envelopes, 64 MiB). Nothing was accepted.
    Full,
    /// The sending device has been removed. Nothing was accepted; its connection should have ended.
    SenderGone,
}

/// Part of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Ascending by `seq`.
    pub envelopes: Vec<MailboxEnvelope>,
    /// Whether more are waiting after these.
    pub more: bool,
}

/// An acknowledgement was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Envelopes deleted.
    pub deleted: u64,
    /// The highest generation of the device.
    pub generation: u64,
}
