//! What the engine's methods return.

use serde::{Deserialize, Serialize};
use subrosa_protocol::SafeText;

use super::{ApiError, Event, ListedRoom, Member, Role, Room, RoomEvidence, time::Timestamp};

/// The result of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    /// Of `message.send`.
    Sent {
        /// One a recipient, in the order of the request.
        results: Vec<SendResult>,
    },
    /// Of `message.show` and the `message.*` methods that change one.
    Message {
        /// The message.
        message: Message,
        /// Members that have an own message in a room, by name; of those who tell.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        delivered_to: Vec<String>,
        /// Those of them that have seen it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        read_by: Vec<String>,
    },
    /// Of `message.search`.
    Hits {
        /// Newest first.
        hits: Vec<SearchHit>,
    },
    /// Of `chat.list`.
    Chats {
        /// Most recent first.
        chats: Vec<Chat>,
    },
    /// Of `chat.history`.
    History(HistoryPage),
    /// Of `contact.list`.
    Contacts {
        /// By name.
        contacts: Vec<Contact>,
    },
    /// Of the `contact.*` methods that change one.
    Contact {
        /// The contact as it is now.
        contact: Contact,
    },
    /// Of `room.show` and the `room.*` methods that change one.
    Room {
        /// The room as it is now.
        room: Box<Room>,
    },
    /// Of `room.evidence`.
    RoomEvidence {
        /// Oldest first.
        evidence: Vec<RoomEvidence>,
    },
    /// Of `room.list`.
    Rooms {
        /// By slug.
        rooms: Vec<ListedRoom>,
    },
    /// Of `room.members`.
    Members {
        /// Owners first, then moderators, then members; by name.
        members: Vec<Member>,
    },
    /// Of `contact.safety_number`.
    SafetyNumber(SafetyNumberInfo),
    /// Of `device.list`.
    Devices {
        /// By number.
        devices: Vec<Device>,
    },
    /// Of `events.fetch`.
    Events(EventPage),
    /// Of `profile.check`.
    Check(CheckReport),
    /// Of `status.show`.
    Status(Box<Status>),
    /// Of `account.show`.
    Account(AccountInfo),
    /// Of everything that only succeeds.
    Done {},
}

/// Who a profile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// `alice@relay.example`.
    pub address: String,
    /// `alice`.
    pub name: String,
    /// What others see.
    pub display_name: SafeText,
    /// This device's number.
    pub device: u32,
    /// The relay's address with its fingerprint.
    pub relay: String,
    /// The account key, hexadecimal.
    pub account_key: String,
}

/// How the connection to the relay is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ConnectionState {
    /// Being made.
    Connecting {},
    /// Up and authenticated.
    Up {
        /// `quic`.
        transport: String,
        /// Round trip, milliseconds.
        rtt_ms: u32,
    },
    /// Down; tried again by itself.
    Down {
        /// Why, for people.
        reason: SafeText,
        /// Milliseconds until the next try.
        retry_in_ms: u64,
    },
    /// Down for good until a person acts (the relay's key is another, this device was removed, the profile is a copy).
    Blocked {
        /// Why and what to do.
        error: ApiError,
    },
}

/// Connection, queues, prekeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `alice@relay.example`.
    pub account: String,
    /// This device's number.
    pub device: u32,
    /// The relay's address.
    pub relay: String,
    /// The connection.
    pub connection: ConnectionState,
    /// Messages not yet accepted by the relay, held ones among them.
    pub queued: u64,
    /// Messages held until somebody's key is trusted or a request accepted.
    pub held: u64,
    /// Unread messages.
    pub unread: u64,
    /// One-time prekeys left on the relay, X25519 and ML-KEM; `null` when not known yet.
    pub prekeys: Option<(u32, u32)>,
    /// The last event's `seq`.
    pub seq: u64,
    /// Envelopes that could not be used, in this profile's life: discarded by the binding check, undecryptable, duplicate.
    pub discarded: u64,
    /// The profile's folder.
    pub profile: String,
    /// Process id of the owner.
    pub pid: u32,
    /// The program's version.
    pub version: String,
}

/// What became of a send to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendResult {
    /// The recipient as it was given.
    pub to: String,
    /// The message's id, once there is one.
    pub id: Option<String>,
    /// How far it came.
    pub state: MessageState,
    /// Why it is not further.
    pub error: Option<ApiError>,
}

/// Where a message is. Received ones are `received`, or `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Held: the recipient's key changed, or the recipient has not accepted a request yet.
    Held,
    /// In the local outbox.
    Queued,
    /// Durable on the relay.
    Accepted,
    /// Stored by a device of the recipient.
    Delivered,
    /// Shown to the recipient; or, of a received message, to the reader here.
    Read,
    /// Given up: refused or expired.
    Failed,
    /// Received and not yet read here.
    Received,
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Written here or on another device of this account.
    Out,
    /// Written by somebody else.
    In,
    /// A line of the program itself.
    Notice,
}

/// What a line in a chat is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MessageKind {
    /// A text.
    Text {
        /// The text.
        text: SafeText,
    },
    /// Messages of somebody that never came.
    Missing {
        /// How many are still missing; 0 when all came late.
        count: u64,
    },
    /// An envelope of somebody that could not be read; it was asked for again.
    Undecryptable {},
    /// A message of a kind this version does not know.
    NewerVersion {},
    /// Somebody's account key changed; sending to them is stopped.
    IdentityChanged {},
    /// Somebody's changed key was trusted.
    IdentityTrusted {},
    /// Somebody was verified.
    IdentityVerified {},
    /// Somebody has a new device.
    DeviceAdded {
        /// Its number.
        device: u32,
    },
    /// Somebody's device is gone.
    DeviceRemoved {
        /// Its number.
        device: u32,
    },
    /// Somebody's device lists contradict each other: the relay, or somebody, lies. Sending to them is stopped.
    ListForked {},
    /// Somebody made the room.
    RoomCreated {},
    /// Somebody invited an account: it is a member once it accepts.
    MemberInvited {
        /// Whom.
        name: String,
    },
    /// Somebody came in.
    MemberJoined {},
    /// Somebody left.
    MemberLeft {},
    /// Somebody removed a member.
    MemberRemoved {
        /// Whom.
        name: String,
    },
    /// Somebody who was invited does not come: told to who invited them.
    MemberDeclined {},
    /// Somebody who was invited and had not come yet is invited no more: they declined, or the invitation was taken back.
    InvitationEnded {
        /// Whose.
        name: String,
    },
    /// Somebody banned an account.
    MemberBanned {
        /// Whom.
        name: String,
    },
    /// Somebody lifted a ban.
    MemberUnbanned {
        /// Whose.
        name: String,
    },
    /// Somebody keeps a member from writing.
    MemberMuted {
        /// Whom.
        name: String,
    },
    /// Somebody lets a member write again.
    MemberUnmuted {
        /// Whom.
        name: String,
    },
    /// Somebody gave a member another role.
    RoleChanged {
        /// Whom.
        name: String,
        /// Which.
        role: Role,
    },
    /// Somebody set the topic.
    TopicChanged {
        /// The topic; empty when there is none any more.
        topic: SafeText,
    },
    /// Somebody renamed the room.
    RoomRenamed {
        /// The new name.
        name: SafeText,
    },
    /// Something else of the room's rules changed.
    RoomChanged {},
    /// A change of the room was refused: whoever made it had no right to, or the relay lies. Nothing of the room can be
    /// read before an owner makes its group anew.
    CommitRefused {
        /// Why.
        why: SafeText,
    },
    /// A text that was taken back.
    Deleted {
        /// By whom: its writer, or a moderator; `null` where that was not kept.
        #[serde(default)]
        by: Option<String>,
    },
    /// An owner made the room's group anew.
    RoomRenewed {},
    /// The relay has not kept all that was said while this device was away.
    RoomCutOff {},
    /// The relay says that this device is not in the room, though nobody took it out.
    RoomDenied {},
    /// The relay answers for the room again.
    RoomAnswered {},
    /// Nothing was heard of a member's device for 45 days: told to owners and moderators.
    MemberSilent {
        /// Whose.
        name: String,
        /// Its number.
        device: u32,
    },
    /// Nothing was heard of a member's device for 90 days: this owner's device took it out.
    SilentRemoved {
        /// Whose.
        name: String,
        /// Its number.
        device: u32,
    },
}

/// One line of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// 26 characters; of notices too.
    pub id: String,
    /// The chat it is in.
    pub chat: String,
    /// Place in the chat: ascending, unique in the profile.
    pub order: i64,
    /// Whose it is.
    pub direction: Direction,
    /// The account that wrote it; of a notice, the one it is about.
    pub from: String,
    /// The device that wrote it.
    pub device: u32,
    /// What it says.
    #[serde(flatten)]
    pub kind: MessageKind,
    /// The message it answers.
    pub reply_to: Option<String>,
    /// The writer's clock.
    pub sent_at: Timestamp,
    /// When it was stored here.
    pub stored_at: Timestamp,
    /// How far it is.
    pub state: MessageState,
    /// Why it is held or failed.
    pub reason: Option<SafeText>,
    /// Whether its writer was verified when it came.
    pub verified: bool,
    /// What was done with it since. Each part is there only when there is something to say.
    #[serde(flatten)]
    pub marks: Marks,
}

/// What was done with a message since it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// Whether its writer changed the text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Whether it is pinned to its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The signs beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<SignOf>,
    /// Of an own message in a room: how many members have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipts: Option<RoomReceipts>,
    /// Of somebody's message in a room: whether it mentions this account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention: bool,
}

/// A sign beside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOf {
    /// The sign.
    pub sign: SafeText,
    /// Whose, by name.
    pub by: Vec<String>,
}

/// How many members of a room have a message. Only contacts tell, and only in rooms of at most 50 members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomReceipts {
    /// Members beside this account, now.
    pub of: u32,
    /// Members whose device has stored it.
    pub delivered: u32,
    /// Members who have seen it.
    pub read: u32,
}

/// A chat in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// The account, or a room's label: `#ops`.
    pub chat: String,
    /// The other side of a chat with a person; `null` for a room.
    pub contact: Option<Contact>,
    /// The room; not there for a chat with a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
    /// Unread messages.
    pub unread: u64,
    /// `order` of the last message read.
    pub read_up_to: i64,
    /// The newest line.
    pub last: Option<Message>,
    /// The text being written.
    pub draft: String,
}

/// A part of a chat's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Ascending by `order`.
    pub messages: Vec<Message>,
    /// Whether there are older ones before the first.
    pub more_before: bool,
    /// Whether there are newer ones after the last.
    pub more_after: bool,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactState {
    /// Added here, nothing exchanged yet.
    Added,
    /// Wrote to us and waits to be accepted.
    RequestReceived,
    /// We wrote to them and they have not accepted yet.
    RequestSent,
    /// Both may write.
    Accepted,
}

/// How sure we are of somebody's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The key first seen, never compared.
    Unverified,
    /// Safety numbers were compared.
    Verified,
    /// The key changed; sending is stopped.
    Changed,
    /// Device lists contradict each other; sending is stopped.
    Forked,
}

/// Somebody this profile knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The account.
    pub name: String,
    /// What they call themselves; may be empty.
    pub display_name: SafeText,
    /// Where they stand.
    pub state: ContactState,
    /// How sure we are of their key.
    pub trust: Trust,
    /// Their devices.
    pub devices: Vec<u32>,
}

/// The number two people compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyNumberInfo {
    /// The account.
    pub name: String,
    /// 12 groups of 5 digits.
    pub number: String,
    /// The number before the key changed, while the change is not settled.
    pub previous: Option<String>,
    /// How sure we are.
    pub trust: Trust,
}

/// A device of this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its number.
    pub device: u32,
    /// When it was added, by the clock of the device that added it.
    pub added_at: Timestamp,
    /// Whether it is this one.
    pub this: bool,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchHit {
    /// The message.
    pub message: Message,
}

/// Stored events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// Ascending by `seq`.
    pub events: Vec<Event>,
    /// Whether there are more.
    pub more: bool,
    /// Events between these, both included, are no longer stored.
    pub gap: Option<(u64, u64)>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    /// What was checked.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: SafeText,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Whether all is well.
    pub ok: bool,
    /// Each thing checked.
    pub items: Vec<CheckItem>,
}
