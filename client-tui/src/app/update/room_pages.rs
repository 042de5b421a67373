//! What is told of rooms on a page: one room, the list of them, their members.

use subrosa_client::api::{ListedRoom, Member, Room, RoomState};

use crate::{
    app::{
        model::{Model, Overlay, Page},
        text::cells,
        words,
    },
    cli::format,
};

/// Shows what is known of a room.
pub(super) fn show(model: &mut Model, room: &Room) {
    let lines = format::room::details(room).into_iter();
    let lines = lines.map(|(key, text)| (key.to_owned(), cells::one_line(&text))).collect();
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Page(Page::Room(room.chat.clone(), lines), 0));
    }
}

/// Shows the rooms of this profile, and the public ones of the relay that it is not in.
pub(super) fn show_rooms(model: &mut Model, listed: &[ListedRoom]) {
    let Some(desk) = model.desk() else { return };
    let heading = |text: &str| (text.to_owned(), String::new());
    let mut lines = vec![heading("Your rooms")];
    lines.extend(desk.chats.all().iter().filter_map(|chat| {
        let room = chat.room.as_ref()?;
        let mut parts = Vec::new();
        match room.state {
            _ if room.denied => parts.push("the relay says that you are not in it".to_owned()),
            Some(RoomState::Joined) | None => parts.push(words::members(room.members)),
            Some(state) => parts.push(format::room::state(state).to_owned()),
        }
        parts.extend((chat.unread > 0).then(|| format!("{} unread", chat.unread)));
        parts.extend((room.mentions > 0).then(|| format!("{} for you", room.mentions)));
        parts.extend(room.muted.then(|| "muted".to_owned()));
        parts.extend((!room.topic.is_empty()).then(|| cells::one_line(&room.topic)));
        Some((chat.chat.clone(), parts.join(", ")))
    }));
    if lines.len() == 1 {
        lines.push((String::new(), "none: /create NAME makes one".to_owned()));
    }
    lines.push(heading("Public rooms of the relay: /join SLUG, without #"));
    let before = lines.len();
    let others = listed.iter().filter(|room| room.state != Some(RoomState::Joined));
    lines.extend(others.map(|room| {
        let text = [&room.name, &room.description].map(|text| cells::one_line(text));
        let said: Vec<&str> = text.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        (room.slug.clone(), format!("{}, {}", words::members(room.members), said.join(": ")))
    }));
    if lines.len() == before {
        lines.push((String::new(), "no others".to_owned()));
    }
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Page(Page::Rooms(lines), 0));
    }
}

/// Shows who is in a room.
pub(super) fn show_members(model: &mut Model, room: String, members: &[Member]) {
    let lines = members.iter().map(|member| {
        let muted = if member.muted { ", muted" } else { "" };
        let trust = words::trust(member.trust);
        let role = if member.invited { "invited, has not accepted" } else { format::room::role(member.role) };
        (member.name.clone(), format!("{role}{muted}, {trust}"))
    });
    let page = Page::Members(room, lines.collect());
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Page(page, 0));
    }
}
