//! Rooms and members.

use subrosa_client::api::{ListedRoom, Member, Role, Room, RoomEvidence, RoomState, SeenCommit, Visibility};

use super::table::{pairs, short, table};
use crate::app::words;

/// Characters of a description in a list.
const PREVIEW: usize = 60;
/// Of a room that the relay denies.
const DENIED: &str = "joined, but the relay says that you are not";

/// Where this device stands in a room.
#[must_use]
pub const fn state(state: RoomState) -> &'static str {
    match state {
        RoomState::Invited => "invited",
        RoomState::Joining => "joining",
        RoomState::Joined => "joined",
        RoomState::Left => "left",
        RoomState::Removed => "removed",
        RoomState::CutOff => "cut off",
    }
}

/// What somebody may do.
#[must_use]
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Moderator => "moderator",
        Role::Owner => "owner",
    }
}

/// Where this device stands in a room that it knows, and what of that matters.
fn standing(room: &Room) -> &'static str {
    if room.denied { DENIED } else { room.state.map_or("not in it", state) }
}

/// Everything about one room.
#[must_use]
pub fn room(room: &Room) -> String {
    pairs(&details(room))
}

/// The same, line by line: what it is called, and how it is.
#[must_use]
pub fn details(room: &Room) -> Vec<(&'static str, String)> {
    let visibility = match room.visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    };
    let mut lines = vec![
        ("room", room.chat.clone()),
        ("name", room.name.to_string()),
        ("visibility", visibility.to_owned()),
        ("you", standing(room).to_owned()),
        ("id", room.id.clone()),
    ];
    if room.members > 0 {
        lines.push(("members", room.members.to_string()));
    }
    lines.extend(room.role.map(|found| ("role", role(found).to_owned())));
    lines.extend(room.slug.iter().map(|slug| ("slug", slug.clone())));
    let texts = [("topic", &room.topic), ("about", &room.description)];
    lines.extend(
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, text.to_string())),
    );
    lines.extend(room.invited_by.iter().map(|by| ("invited by", by.clone())));
    if !room.suite.is_empty() {
        lines.push(("suite", room.suite.clone()));
        lines.push(("epoch", room.epoch.to_string()));
    }
    lines
}

/// Proof of different histories: two lines a piece.
#[must_use]
pub fn evidence(all: &[RoomEvidence]) -> String {
    let line = |found: &RoomEvidence| {
        let what = match &found.theirs {
            Some(told) => format!(
                "{}/{} told another head than this device has\n  ours {}, theirs {}",
                told.by,
                told.device,
                found.our_head.as_deref().unwrap_or_default(),
                told.head
            ),
            None => {
                let hash = |commit: &Option<SeenCommit>| commit.as_ref().map(|commit| commit.hash.clone());
                format!(
                    "the relay gave two changes\n  {} and {}",
                    hash(&found.our_commit).unwrap_or_default(),
                    hash(&found.their_commit).unwrap_or_default()
                )
            }
        };
        format!("epoch {}: {what}", found.epoch)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A line a room of this profile: label, name, where this device stands, role, topic.
#[must_use]
pub fn known(rooms: &[Room]) -> String {
    let row = |room: &Room| {
        vec![
            room.chat.clone(),
            room.name.to_string(),
            standing(room).to_owned(),
            room.role.map_or("", role).to_owned(),
            short(&room.topic, PREVIEW),
        ]
    };
    table(&rooms.iter().map(row).collect::<Vec<_>>())
}

/// A line a public room: slug, which is what it is joined by; name, members, where this device stands and what it calls the
/// room, description.
#[must_use]
pub fn rooms(rooms: &[ListedRoom]) -> String {
    let row = |room: &ListedRoom| {
        let here = room.state.map(|here| match &room.chat {
            Some(chat) => format!("{}: {chat}", state(here)),
            None => state(here).to_owned(),
        });
        vec![
            room.slug.clone(),
            room.name.to_string(),
            words::members(room.members),
            here.unwrap_or_default(),
            short(&room.description, PREVIEW),
        ]
    };
    table(&rooms.iter().map(row).collect::<Vec<_>>())
}

/// A line a member: name, role (or that it was invited and has not accepted), devices, whether muted.
#[must_use]
pub fn members(members: &[Member]) -> String {
    let row = |member: &Member| {
        let devices = member.devices.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let muted = if member.muted { "muted" } else { "" };
        let role = if member.invited { "invited" } else { role(member.role) };
        vec![
            member.name.clone(),
            role.to_owned(),
            format!("devices {devices}"),
            super::words::trust(member.trust).to_owned(),
            muted.to_owned(),
        ]
    };
    table(&members.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use subrosa_client::api::Trust;
    use subrosa_protocol::SafeText;

    use super::*;

    fn public(state: Option<RoomState>) -> Room {
        Room {
            chat: "#rust-2".into(),
            id: "1".repeat(26),
            name: SafeText::name("Rust"),
            topic: SafeText::default(),
            description: SafeText::default(),
            slug: Some("rust".into()),
            visibility: Visibility::Public,
            state,
            role: None,
            members: 0,
            suite: String::new(),
            epoch: 7,
            invited_by: None,
            muted: false,
            denied: false,
            mentions: 0,
        }
    }

    #[test]
    fn the_relays_rooms_are_listed_by_what_joins_them_and_with_what_they_are_called_here() {
        let listed = |slug: &str, members, state, chat: Option<&str>| ListedRoom {
            slug: slug.into(),
            name: SafeText::name("Name"),
            description: SafeText::single_line("about it"),
            id: "1".repeat(26),
            members,
            state,
            chat: chat.map(str::to_owned),
        };
        let text = rooms(&[
            listed("rust", 12, Some(RoomState::Joined), Some("#rust-2")),
            listed("go", 1, None, None),
            listed("ada", 2, Some(RoomState::Removed), Some("#ada")),
        ]);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "rust Name 12 members joined: #rust-2 about it",
                "go Name 1 member about it",
                "ada Name 2 members removed: #ada about it"
            ]
        );
    }

    #[test]
    fn a_room_tells_only_what_is_known_of_it() {
        let text = room(&public(Some(RoomState::Removed)));
        assert!(text.contains("removed") && text.contains("#rust-2"), "{text}");
        assert!(!text.contains("members") && !text.contains("suite"), "{text}");
        let json = serde_json::to_value(public(None)).unwrap();
        assert!(json.get("suite").is_none(), "{json}");
        // Joined by what is known here, but the relay says otherwise: it is shown as it is, in the list too.
        let denied = Room { denied: true, ..public(Some(RoomState::Joined)) };
        for text in [room(&denied), known(std::slice::from_ref(&denied))] {
            assert!(text.contains("joined, but the relay says that you are not"), "{text}");
        }
    }

    #[test]
    fn who_has_not_accepted_is_no_member_yet() {
        let member = |name: &str, invited| Member {
            name: name.into(),
            role: Role::Member,
            devices: vec![1],
            muted: false,
            trust: Trust::Unverified,
            invited,
        };
        let text = members(&[member("bob", false), member("carol", true)]);
        let roles: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(roles, ["member", "invited"]);
    }
}
