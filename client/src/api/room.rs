//! Rooms as front ends see them.

use serde::{Deserialize, Serialize};
use subrosa_protocol::SafeText;

use super::Trust;

/// Who can find and join a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// In the relay's directory: everybody may join.
    Public,
    /// Nobody but its members knows what it is called; one joins by invitation.
    Private,
}

/// What somebody may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Write; invite, where the room allows it.
    Member,
    /// Also remove, ban and mute members, and set the topic.
    Moderator,
    /// Everything.
    Owner,
}

/// Where this device stands in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomState {
    /// Somebody invited this account; it has not answered.
    Invited,
    /// The person asked to join; the relay has not taken it yet.
    Joining,
    /// A member.
    Joined,
    /// Left by the person's own act.
    Left,
    /// Removed by somebody else.
    Removed,
    /// The relay has not kept all that was said while this device was away: somebody must add it again, or, in a public
    /// room, its person joins again.
    CutOff,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// What people type: `#ops`. Stays as it is for the life of the room in this profile. Of a room that this profile does not
    /// know, the slug.
    pub chat: String,
    /// 26 characters.
    pub id: String,
    /// What it is called.
    pub name: SafeText,
    /// What it is about; may be empty.
    pub topic: SafeText,
    /// What the relay's directory says of it; empty for private rooms.
    pub description: SafeText,
    /// Its name in the relay's directory; `null` for private rooms.
    pub slug: Option<String>,
    /// Who can find and join it.
    pub visibility: Visibility,
    /// Where this device stands; `null` when it was never in it.
    pub state: Option<RoomState>,
    /// What this account may do; `null` while it is no member.
    pub role: Option<Role>,
    /// Accounts that are members; 0 while it is not known: of a private room, when this account is not in it.
    pub members: u32,
    /// The MLS cipher suite; not there while it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub suite: String,
    /// The MLS epoch.
    pub epoch: u64,
    /// Who invited this account, while it has not answered.
    pub invited_by: Option<String>,
    /// Whether its messages make no noise here.
    pub muted: bool,
    /// Whether the relay says that this device is not in it, though nobody took it out: nothing is sent there before the
    /// relay answers for it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
    /// Unread messages that mention this account.
    pub mentions: u64,
}

/// A member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The account.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Their devices in the room.
    pub devices: Vec<u32>,
    /// Whether moderators keep them from writing.
    pub muted: bool,
    /// How sure we are of their key.
    pub trust: Trust,
    /// Whether they were invited and have not come yet, as far as this device has seen it.
    #[serde(default)]
    pub invited: bool,
}

/// A public room in the relay's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRoom {
    /// Its unique name: `rosa room join SLUG`.
    pub slug: String,
    /// What it is called.
    pub name: SafeText,
    /// What its owners say of it.
    pub description: SafeText,
    /// Its id.
    pub id: String,
    /// Accounts in it.
    pub members: u32,
    /// Where this device stands; `null` when it was never in it.
    pub state: Option<RoomState>,
    /// What this profile calls it (`#rust`); `null` when it does not know it.
    #[serde(default)]
    pub chat: Option<String>,
}
