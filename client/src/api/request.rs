//! The engine's methods.

use serde::{Deserialize, Serialize};

use super::Role;

/// How far a message must have come before `message.send` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Durable in the local outbox.
    Queued,
    /// Durable on the relay, for every device of the recipient.
    #[default]
    Accepted,
    /// Stored by a device of the recipient.
    Delivered,
    /// Shown to the recipient.
    Read,
}

/// Parameters of `message.send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendMessage {
    /// Account names or addresses; one result each.
    pub to: Vec<String>,
    /// The text, at most 32 KiB of UTF-8.
    pub text: String,
    /// Id of the message this one answers.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// An idempotency key: a second send with the same key to the same recipient returns the first one's message.
    #[serde(default)]
    pub key: Option<String>,
    /// When to answer.
    #[serde(default)]
    pub wait: WaitFor,
    /// Milliseconds to wait at most; without it, 30 seconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// Parameters of `room.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRoom {
    /// What it is called.
    pub name: String,
    /// Whether everybody can find and join it; otherwise one joins by invitation.
    #[serde(default)]
    pub public: bool,
    /// Its name in the relay's directory, of a public room; without it, one is made from the name.
    #[serde(default)]
    pub slug: Option<String>,
    /// What the directory says of it, of a public room.
    #[serde(default)]
    pub description: String,
    /// What it is about.
    #[serde(default)]
    pub topic: String,
    /// Whether it is to hold more than 250 devices: without post-quantum keys then.
    #[serde(default)]
    pub large: bool,
}

/// A method of the engine. The name in `method` is the variant's `rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Request {
    /// Who this profile is. Reply: `Account`.
    #[serde(rename = "account.show")]
    AccountShow {},
    /// Connection, queues, prekeys. Reply: `Status`.
    #[serde(rename = "status.show")]
    StatusShow {},
    /// Sends a text. Reply: `Sent`. Partial failure is told in the results, not as an error.
    #[serde(rename = "message.send")]
    MessageSend(SendMessage),
    /// One message by id. Reply: `Message`.
    #[serde(rename = "message.show")]
    MessageShow {
        /// The message's id.
        id: String,
    },
    /// Changes the text of an own message in a room. Reply: `Message`.
    #[serde(rename = "message.edit")]
    MessageEdit {
        /// The message's id.
        id: String,
        /// What it says from now on.
        text: String,
    },
    /// Takes an own message in a room back; moderators, anybody's. Reply: `Message`.
    #[serde(rename = "message.delete")]
    MessageDelete {
        /// The message's id.
        id: String,
    },
    /// Puts a sign beside a message in a room, or takes it away again. Reply: `Message`.
    #[serde(rename = "message.react")]
    MessageReact {
        /// The message's id.
        id: String,
        /// The sign: at most 32 bytes, such as an emoji.
        sign: String,
        /// Whether it is taken away.
        #[serde(default)]
        undo: bool,
    },
    /// Pins a message to its room, for moderators. Reply: `Message`.
    #[serde(rename = "message.pin")]
    MessagePin {
        /// The message's id.
        id: String,
        /// Whether it is not pinned any more.
        #[serde(default)]
        undo: bool,
    },
    /// Tells the members of a room that are online that this account writes; call it with each key, what is too much is not
    /// sent. Reply: `Done`.
    #[serde(rename = "chat.typing")]
    ChatTyping {
        /// The room.
        chat: String,
        /// Whether it stopped.
        #[serde(default)]
        stopped: bool,
    },
    /// Full-text search, newest first. Reply: `Hits`.
    #[serde(rename = "message.search")]
    MessageSearch {
        /// Words; all must occur. Quotes and operators of the index have no meaning.
        query: String,
        /// At most this many, up to 1,000.
        limit: u32,
    },
    /// All chats, most recent first. Reply: `Chats`.
    #[serde(rename = "chat.list")]
    ChatList {},
    /// A part of a chat's history, ascending. Reply: `History`. With neither bound, the newest messages.
    #[serde(rename = "chat.history")]
    ChatHistory {
        /// The chat: an account name.
        chat: String,
        /// Only messages whose `order` is smaller.
        #[serde(default)]
        before: Option<i64>,
        /// Only messages whose `order` is greater (then the oldest of these come).
        #[serde(default)]
        after: Option<i64>,
        /// At most this many, up to 500.
        limit: u32,
    },
    /// Marks everything up to a message as read, and tells its sender where receipts are given. Reply: `Done`.
    #[serde(rename = "chat.read")]
    ChatRead {
        /// The chat.
        chat: String,
        /// `order` of the last message seen.
        up_to: i64,
    },
    /// Keeps the text somebody is writing; empty removes it. Reply: `Done`.
    #[serde(rename = "chat.draft")]
    ChatDraft {
        /// The chat.
        chat: String,
        /// The draft.
        text: String,
    },
    /// The people this profile knows. Reply: `Contacts`.
    #[serde(rename = "contact.list")]
    ContactList {},
    /// Makes sure an account exists and opens an (empty) chat with it. Reply: `Contact`.
    #[serde(rename = "contact.add")]
    ContactAdd {
        /// Name or address.
        name: String,
    },
    /// Accepts a stranger's request. Reply: `Contact`.
    #[serde(rename = "contact.accept")]
    ContactAccept {
        /// The account.
        name: String,
    },
    /// The safety number shared with somebody. Reply: `SafetyNumber`.
    #[serde(rename = "contact.safety_number")]
    ContactSafetyNumber {
        /// The account.
        name: String,
    },
    /// Marks somebody as verified, after the numbers were compared. Reply: `Contact`.
    #[serde(rename = "contact.verify")]
    ContactVerify {
        /// The account.
        name: String,
        /// The number that was compared (digits; spaces ignored). A different one than the current is refused.
        number: String,
    },
    /// Accepts a changed account key; held messages go out by themselves. Reply: `Contact`.
    #[serde(rename = "contact.trust")]
    ContactTrust {
        /// The account.
        name: String,
        /// Only if this is the new safety number.
        #[serde(default)]
        number: Option<String>,
    },
    /// Makes a room, with this account as its owner. Reply: `Room`.
    #[serde(rename = "room.create")]
    RoomCreate(CreateRoom),
    /// Public rooms of the relay. Reply: `Rooms`.
    #[serde(rename = "room.list")]
    RoomList {
        /// Only slugs that begin so.
        #[serde(default)]
        prefix: String,
    },
    /// A room that this device knows, or a public one. Reply: `Room`.
    #[serde(rename = "room.show")]
    RoomShow {
        /// Label, slug or id; `#` before it or not.
        room: String,
    },
    /// Joins a public room, or accepts an invitation. Reply: `Room`.
    #[serde(rename = "room.join")]
    RoomJoin {
        /// Label, slug or id.
        room: String,
    },
    /// Leaves a room, or declines an invitation. Reply: `Done`.
    #[serde(rename = "room.leave")]
    RoomLeave {
        /// Label, slug or id.
        room: String,
    },
    /// Adds an account to a room; it is asked first. Reply: `Room`.
    #[serde(rename = "room.invite")]
    RoomInvite {
        /// Label, slug or id.
        room: String,
        /// The account.
        name: String,
    },
    /// Removes a member. Reply: `Room`.
    #[serde(rename = "room.kick")]
    RoomKick {
        /// Label, slug or id.
        room: String,
        /// The account.
        name: String,
    },
    /// Bans an account, and removes it if it is a member. Reply: `Room`.
    #[serde(rename = "room.ban")]
    RoomBan {
        /// Label, slug or id.
        room: String,
        /// The account.
        name: String,
    },
    /// Lifts a ban. Reply: `Room`.
    #[serde(rename = "room.unban")]
    RoomUnban {
        /// Label, slug or id.
        room: String,
        /// The account.
        name: String,
    },
    /// Gives a member another role. Reply: `Room`.
    #[serde(rename = "room.role")]
    RoomRole {
        /// Label, slug or id.
        room: String,
        /// The account.
        name: String,
        /// Which.
        role: Role,
    },
    /// Keeps a member from writing, or lets it write again. Without a name: whether this device makes noise for the room.
    /// Reply: `Room`.
    #[serde(rename = "room.mute")]
    RoomMute {
        /// Label, slug or id.
        room: String,
        /// The account.
        #[serde(default)]
        name: Option<String>,
        /// Whether it is to be undone.
        #[serde(default)]
        undo: bool,
    },
    /// Sets the topic. Reply: `Room`.
    #[serde(rename = "room.topic")]
    RoomTopic {
        /// Label, slug or id.
        room: String,
        /// The topic, at most 512 bytes; empty for none.
        topic: String,
    },
    /// Renames a room. Its label and slug stay. Reply: `Room`.
    #[serde(rename = "room.rename")]
    RoomRename {
        /// Label, slug or id.
        room: String,
        /// The name.
        name: String,
    },
    /// Makes the group of a room anew, for owners: what a device does by itself when nobody can follow the room's log any
    /// more. Members whose devices have no keys for it at the relay are invited again. Reply: `Room`.
    #[serde(rename = "room.renew")]
    RoomRenew {
        /// Label, slug or id.
        room: String,
    },
    /// What proves that members of a room were shown different histories. Reply: `RoomEvidence`.
    #[serde(rename = "room.evidence")]
    RoomEvidence {
        /// Label, slug or id.
        room: String,
    },
    /// A room's members. Reply: `Members`.
    #[serde(rename = "room.members")]
    RoomMembers {
        /// Label, slug or id.
        room: String,
    },
    /// A part of a room's history, as `chat.history`. Reply: `History`.
    #[serde(rename = "room.history")]
    RoomHistory {
        /// Label, slug or id.
        room: String,
        /// Only messages whose `order` is smaller.
        #[serde(default)]
        before: Option<i64>,
        /// At most this many, up to 500.
        limit: u32,
    },
    /// This account's devices. Reply: `Devices`.
    #[serde(rename = "device.list")]
    DeviceList {},
    /// Removes another device of this account from the list. Reply: `Done`.
    #[serde(rename = "device.remove")]
    DeviceRemove {
        /// Its number.
        device: u32,
    },
    /// Stored events. Reply: `Events`.
    #[serde(rename = "events.fetch")]
    EventsFetch {
        /// Only events with a greater `seq`; without it, those after the last acknowledged one.
        #[serde(default)]
        since: Option<u64>,
        /// At most this many, up to 1,000.
        max: u32,
        /// Event names, `*` at the end matches any rest; empty means all.
        #[serde(default)]
        filter: Vec<String>,
    },
    /// Events up to `seq` need not be shown again. Reply: `Done`.
    #[serde(rename = "events.ack")]
    EventsAck {
        /// The last event that was dealt with.
        seq: u64,
    },
    /// Answers when the mailbox was emptied after connecting, or fails when the relay cannot be reached. Reply: `Done`.
    #[serde(rename = "sync.wait")]
    SyncWait {
        /// Milliseconds to wait at most.
        timeout_ms: u64,
    },
    /// Checks the store, its settings, permissions and the account's state. Reply: `Check`.
    #[serde(rename = "profile.check")]
    ProfileCheck {},
    /// Connects anew at once. Reply: `Done`.
    #[serde(rename = "connection.reconnect")]
    ConnectionReconnect {},
    /// Removes this device from the account's list and its keys from this profile; messages stay. Reply: `Done`.
    /// Refused while rooms would lose their only owner with it, unless `force` is set.
    #[serde(rename = "account.logout")]
    AccountLogout {
        /// Also when rooms lose their only owner.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// Ends the process that owns the profile, if it is a daemon. Reply: `Done`.
    #[serde(rename = "system.shutdown")]
    SystemShutdown {},
}
