//! What happened: one JSON object a line, the same for `recv`, for the socket and for triggers (docs/SCRIPTING.md).

use serde::{Deserialize, Serialize};
use subrosa_protocol::SafeText;

use super::{ApiError, ConnectionState, RoomReceipts, time::Timestamp};

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Version of the event format: 1.
    pub v: u32,
    /// Place in the profile's event log: ascending, without gaps. `null` for those that are not stored.
    pub seq: Option<u64>,
    /// When.
    pub ts: Timestamp,
    /// `alice@relay.example`.
    pub account: String,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

impl Event {
    /// About how many bytes it takes while it waits for a reader.
    #[must_use]
    pub fn weight(&self) -> usize {
        const BESIDES_TEXT: usize = 256;
        let text = match &self.body {
            EventBody::MessageReceived { message }
            | EventBody::MessageQueued { message }
            | EventBody::MessageEdited { message } => message.text.as_str().len(),
            EventBody::ServerNotice { text } => text.as_str().len(),
            _ => 0,
        };
        BESIDES_TEXT + text
    }
}

/// A message that came or was sent from another device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEvent {
    /// The message's id.
    pub id: String,
    /// The chat.
    pub chat: String,
    /// Who wrote it.
    pub from: String,
    /// On which device.
    pub device: u32,
    /// What.
    pub text: SafeText,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// When it disappears.
    pub expires_at: Option<Timestamp>,
    /// Whether its writer is verified.
    pub verified: bool,
    /// Whether this event is told again.
    pub replay: bool,
    /// Attachments.
    pub files: Vec<String>,
    /// The writer's clock.
    pub sent_at: Timestamp,
    /// The message's place in its chat.
    pub order: i64,
    /// Whether it mentions this account, in a room; not there otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention: bool,
}

/// A change of a message's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipted {
    /// The message's id.
    pub id: String,
    /// The chat.
    pub chat: String,
    /// In a room, which member has it; not there otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// In a room, how many members have it; not there otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<RoomReceipts>,
}

/// What somebody did with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The message's id.
    pub id: String,
    /// The chat.
    pub chat: String,
    /// Who wrote the message.
    pub author: String,
    /// Who did it.
    pub by: String,
}

/// Why a message failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureReason {
    /// The message's id; of an envelope that cannot be read, the envelope's.
    pub id: String,
    /// The chat; `null` when even the sender is not known.
    pub chat: Option<String>,
    /// Why.
    pub error: Option<ApiError>,
}

/// A changed account key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// Whose.
    pub name: String,
    /// The safety number before.
    pub old_number: Option<String>,
    /// The safety number now.
    pub new_number: Option<String>,
    /// Messages held.
    pub held: u64,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($($data:tt)*) = $name:literal,)+) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "event", content = "data")]
        pub enum EventBody {
            $($(#[$doc])* #[serde(rename = $name)] $variant { $($data)* },)+
        }

        /// The name of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[$doc])* $variant,)+ }

        impl EventKind {
            /// Every event of this version.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in `event`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }

        impl EventBody {
            /// Which event it is.
            #[must_use]
            pub const fn kind(&self) -> EventKind {
                match self { $(Self::$variant { .. } => EventKind::$variant,)+ }
            }
        }
    };
}

events! {
    /// The engine runs.
    SystemReady(#[doc = "The program's version."] version: String,) = "system.ready",
    /// Events were left out for a slow reader, or are no longer stored.
    SystemGap(#[doc = "First `seq` left out."] from: u64, #[doc = "Last `seq` left out."] to: u64,) = "system.gap",
    /// The engine stops.
    SystemShutdown() = "system.shutdown",
    /// The connection came up.
    ConnectionUp(#[doc = "How it is."] connection: ConnectionState,) = "connection.up",
    /// The connection went down.
    ConnectionDown(#[doc = "How it is."] connection: ConnectionState,) = "connection.down",
    /// The mailbox was emptied.
    SyncDone() = "sync.done",
    /// A message came.
    MessageReceived(#[doc = "The message."] #[serde(flatten)] message: MessageEvent,) = "message.received",
    /// A message is in the outbox; written here, or on another device of this account.
    MessageQueued(#[doc = "The message."] #[serde(flatten)] message: MessageEvent,) = "message.queued",
    /// The relay has a message.
    MessageAccepted(#[doc = "Which."] #[serde(flatten)] message: Receipted,) = "message.accepted",
    /// An own message in a room has another place among the others: where the room's log has it.
    MessageMoved(
        #[doc = "Which."] id: String,
        #[doc = "The chat."] chat: String,
        #[doc = "Its place now."] order: i64,
    ) = "message.moved",
    /// A device of the recipient has a message.
    MessageDelivered(#[doc = "Which."] #[serde(flatten)] message: Receipted,) = "message.delivered",
    /// The recipient saw a message.
    MessageRead(#[doc = "Which."] #[serde(flatten)] message: Receipted,) = "message.read",
    /// A message was given up.
    MessageFailed(#[doc = "Which and why."] #[serde(flatten)] failure: FailureReason,) = "message.failed",
    /// An envelope could not be read, or messages are missing.
    MessageUndecryptable(#[doc = "Which and why."] #[serde(flatten)] failure: FailureReason,) = "message.undecryptable",
    /// Messages of a sender never came (`count` more than before), or came late.
    MessageMissing(
        #[doc = "The chat."] chat: String,
        #[doc = "Whose."] from: String,
        #[doc = "The device."] device: u32,
        #[doc = "How many are missing now."] count: u64,
    ) = "message.missing",
    /// A text was changed by its writer.
    MessageEdited(#[doc = "The message as it is now."] #[serde(flatten)] message: MessageEvent,) = "message.edited",
    /// A text was taken back, by its writer or by a moderator.
    MessageDeleted(#[doc = "Which, and by whom."] #[serde(flatten)] touched: Touched,) = "message.deleted",
    /// A message was pinned to its room.
    MessagePinned(#[doc = "Which, and by whom."] #[serde(flatten)] touched: Touched,) = "message.pinned",
    /// A message is not pinned any more.
    MessageUnpinned(#[doc = "Which, and by whom."] #[serde(flatten)] touched: Touched,) = "message.unpinned",
    /// Somebody put a sign beside a message.
    ReactionAdded(
        #[doc = "Which message, and by whom."] #[serde(flatten)] touched: Touched,
        #[doc = "The sign."] sign: SafeText,
    ) = "reaction.added",
    /// Somebody took a sign away again.
    ReactionRemoved(
        #[doc = "Which message, and by whom."] #[serde(flatten)] touched: Touched,
        #[doc = "The sign."] sign: SafeText,
    ) = "reaction.removed",
    /// Somebody writes. Not stored.
    TypingStarted(#[doc = "The chat."] chat: String, #[doc = "Who."] from: String,) = "typing.started",
    /// Somebody stopped writing. Not stored.
    TypingStopped(#[doc = "The chat."] chat: String, #[doc = "Who."] from: String,) = "typing.stopped",
    /// A stranger wrote.
    ContactRequested(#[doc = "Who."] name: String,) = "contact.requested",
    /// Somebody is a contact now.
    ContactAdded(#[doc = "Who."] name: String,) = "contact.added",
    /// Somebody's account key changed; sending to them is stopped.
    IdentityChanged(#[doc = "What changed."] #[serde(flatten)] change: KeyChange,) = "identity.changed",
    /// Somebody was verified, or a changed key trusted.
    IdentityVerified(
        #[doc = "Who."] name: String,
        #[doc = "Whether numbers were compared; otherwise the key was only trusted."] compared: bool,
    ) = "identity.verified",
    /// Somebody invited this account to a room.
    RoomInvited(
        #[doc = "The room."] chat: String,
        #[doc = "What it is called."] name: SafeText,
        #[doc = "Who."] by: String,
    ) = "room.invited",
    /// An invitation is over: it was taken back, or the room is gone.
    RoomInvitationEnded(#[doc = "The room."] chat: String,) = "room.invitation_ended",
    /// This account is a member of a room.
    RoomJoined(#[doc = "The room."] chat: String,) = "room.joined",
    /// This account is no member of a room any more.
    RoomLeft(
        #[doc = "The room."] chat: String,
        #[doc = "Who removed it; `null` when it left by itself."] by: Option<String>,
    ) = "room.left",
    /// Somebody came into a room.
    RoomMemberAdded(
        #[doc = "The room."] chat: String,
        #[doc = "Who."] name: String,
        #[doc = "Who added them; themselves when they joined."] by: String,
    ) = "room.member_added",
    /// Somebody is no member of a room any more.
    RoomMemberRemoved(
        #[doc = "The room."] chat: String,
        #[doc = "Who."] name: String,
        #[doc = "Who removed them; themselves when they left."] by: String,
    ) = "room.member_removed",
    /// Name, topic, roles, bans or other rules of a room changed.
    RoomChanged(#[doc = "The room."] chat: String, #[doc = "Who changed it."] by: String,) = "room.changed",
    /// A change of a room was refused.
    RoomRefused(
        #[doc = "The room."] chat: String,
        #[doc = "Whose change; `null` when that is not known."] by: Option<String>,
        #[doc = "Why."] why: SafeText,
    ) = "room.refused",
    /// An owner made a room's group anew.
    RoomRekeyed(#[doc = "The room."] chat: String,) = "room.rekeyed",
    /// The relay has not kept all that was said in a room while this device was away.
    RoomCutOff(#[doc = "The room."] chat: String,) = "room.cut_off",
    /// The relay says that this device is not in a room, though nobody took it out: it stays in, and sends nothing there.
    RoomDenied(#[doc = "The room."] chat: String,) = "room.denied",
    /// The relay answers for a room again that it had denied.
    RoomAnswered(#[doc = "The room."] chat: String,) = "room.answered",
    /// Nothing was heard of a member's device for 45 days; after 90 an owner's device takes it out. Told to owners and
    /// moderators.
    RoomMemberSilent(
        #[doc = "The room."] chat: String,
        #[doc = "Whose."] name: String,
        #[doc = "The device."] device: u32,
        #[doc = "For how many days."] days: u64,
        #[doc = "Whether this device has taken it out."] removed: bool,
    ) = "room.member_silent",
    /// There is proof that members of a room were shown different histories: `rosa room evidence ROOM`.
    RoomForked(
        #[doc = "The room."] chat: String,
        #[doc = "Who told of the other history; `null` when the relay showed both to this device."] by: Option<String>,
        #[doc = "The epoch."] epoch: u64,
    ) = "room.forked",
    /// A device was added to an account's list.
    DeviceLinked(#[doc = "Whose."] name: String, #[doc = "Its number."] device: u32,) = "device.linked",
    /// A device was removed from an account's list.
    DeviceRemoved(#[doc = "Whose."] name: String, #[doc = "Its number."] device: u32,) = "device.removed",
    /// This profile cannot do its work (its disk is full, for one), or can again.
    ProfileFault(#[doc = "Why, and what to do; `null` once it is over."] error: Option<ApiError>,) = "profile.fault",
    /// The relay has something to say to the person, or does what no relay does.
    ServerNotice(#[doc = "What."] text: SafeText,) = "server.notice",
}
