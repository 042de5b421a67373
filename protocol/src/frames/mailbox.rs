//! Envelopes: sending, fetching and acknowledging them.

use serde::{Deserialize, Serialize};

use crate::{
    BoundedBytes, BoundedVec, DeviceId, EnvelopeId, Username,
    limits::{DEVICES_PER_ACCOUNT, ENVELOPES_PER_PAGE, ENVELOPES_PER_SEND, SEALED_BYTES},
};

/// A sealed ciphertext for one device.
pub type Sealed = BoundedBytes<SEALED_BYTES>;

/// One envelope on its way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingEnvelope {
    /// Random, chosen by the sender; the same one is accepted once however often it is sent.
    pub id: EnvelopeId,
    /// The ciphertext.
    pub sealed: Sealed,
}

/// Envelopes for one device, in order. The relay accepts all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeSend {
    /// Recipient account.
    pub to: Username,
    /// Recipient device.
    pub device: DeviceId,
    /// The version of the recipient's device list that the sender has; an older one than the relay's is refused with
    /// `StaleDeviceList`.
    pub list_version: u64,
    /// The sending device's state generation (R23).
    pub generation: u64,
    /// The envelopes; together they fit a frame.
    pub envelopes: BoundedVec<OutgoingEnvelope, ENVELOPES_PER_SEND>,
}

/// All envelopes of the request are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeAccepted {
    /// The relay's clock, milliseconds since 1970.
    pub accepted_at: u64,
}

/// The sender's device list is old; nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleDeviceList {
    /// The current version.
    pub version: u64,
    /// Devices of the current list that the sender's version does not have.
    pub missing: BoundedVec<DeviceId, DEVICES_PER_ACCOUNT>,
    /// Devices of the sender's version that are gone.
    pub extra: BoundedVec<DeviceId, DEVICES_PER_ACCOUNT>,
}

/// One envelope on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxEnvelope {
    /// Place in this device's mailbox: 1, 2, 3 and so on without gaps at acceptance.
    pub seq: u64,
    /// The sender's id for it.
    pub id: EnvelopeId,
    /// The relay's clock when it was accepted, milliseconds since 1970.
    pub accepted_at: u64,
    /// The ciphertext.
    pub sealed: Sealed,
}

/// Asks for envelopes of the own mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxFetch {
    /// Only those with a greater `seq`.
    pub after: u64,
    /// At most this many; the relay may return fewer.
    pub max: u16,
}

/// Envelopes, ascending by `seq`, as many as fit a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxPage {
    /// The envelopes.
    pub envelopes: BoundedVec<MailboxEnvelope, ENVELOPES_PER_PAGE>,
    /// Whether more are waiting.
    pub more: bool,
}

/// Everything up to `up_to` is stored by this device; the relay deletes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxAck {
    /// Highest `seq` stored.
    pub up_to: u64,
    /// The device's state generation (R23).
    pub generation: u64,
}
