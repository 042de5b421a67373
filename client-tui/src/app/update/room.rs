//! What the slash commands about rooms do. Those that name no room are about the open one.

use subrosa_client::{
    Request,
    api::{CreateRoom, Direction, ListedRoom, Member, MessageKind, Role, Room, RoomState},
};

use super::{Effect, Purpose, command};
use crate::{
    app::{
        commands::{Command, Verb, parse::name_and_rest},
        model::{Model, Overlay, Page},
        text::cells,
        words,
    },
    cli::format,
};

/// Runs a command. Tells whether it was understood.
pub(super) fn run(
    model: &mut Model,
    command: &'static Command,
    arguments: &str,
    fx: &mut Vec<Effect>,
) -> bool {
    let arguments = arguments.trim();
    match command.verb {
        Verb::Create => return create(model, command, arguments, fx),
        Verb::Rooms => {
            let prefix = arguments.trim_start_matches('#').to_owned();
            fx.push(Effect::Call(Purpose::Rooms, Request::RoomList { prefix }));
            return true;
        }
        Verb::Show if !arguments.is_empty() => {
            fx.push(Effect::Call(Purpose::RoomShown, Request::RoomShow { room: arguments.to_owned() }));
            return true;
        }
        Verb::Join if arguments.is_empty() => return command::missing(model, command),
        Verb::Join => {
            fx.push(Effect::Call(Purpose::Entered, Request::RoomJoin { room: arguments.to_owned() }));
            return true;
        }
        _ => {}
    }
    let named = matches!(command.verb, Verb::Leave | Verb::Members) && !arguments.is_empty();
    let room = if named { Some(arguments.to_owned()) } else { here(model) };
    let Some(room) = room else {
        model.complain("this is no room: open one first, or /join ROOM");
        return false;
    };
    let (name, rest) = name_and_rest(arguments);
    let name = name.to_owned();
    let (request, told) = match command.verb {
        Verb::Leave => {
            let told = format!("you left {room}");
            (Request::RoomLeave { room }, told)
        }
        Verb::Members => {
            fx.push(Effect::Call(Purpose::Members(room.clone()), Request::RoomMembers { room }));
            return true;
        }
        Verb::Show => {
            fx.push(Effect::Call(Purpose::RoomShown, Request::RoomShow { room }));
            return true;
        }
        Verb::Topic => {
            (Request::RoomTopic { room, topic: arguments.to_owned() }, "the topic is set".to_owned())
        }
        Verb::Mute | Verb::Unmute => {
            let undo = command.verb == Verb::Unmute;
            let who = Some(name).filter(|name| !name.is_empty());
            let state = if undo { "not muted any more" } else { "muted" };
            let told = format!("{} is {state}", who.as_deref().unwrap_or(&room));
            (Request::RoomMute { room, name: who, undo }, told)
        }
        _ if name.is_empty() => return command::missing(model, command),
        Verb::Rename => {
            (Request::RoomRename { room, name: arguments.to_owned() }, "the room is renamed".to_owned())
        }
        Verb::Invite => {
            let told = format!("{name} is invited");
            (Request::RoomInvite { room, name }, told)
        }
        Verb::Kick => {
            let told = format!("{name} is removed");
            (Request::RoomKick { room, name }, told)
        }
        Verb::Ban => {
            let told = format!("{name} is banned");
            (Request::RoomBan { room, name }, told)
        }
        Verb::Unban => {
            let told = format!("{name} is not banned any more");
            (Request::RoomUnban { room, name }, told)
        }
        _ => {
            let Some(role) = role(rest) else { return command::missing(model, command) };
            let told = format!("{name} is {} now", words::role_with_article(role));
            (Request::RoomRole { room, name, role }, told)
        }
    };
    fx.push(Effect::Call(Purpose::RoomTold(told), request));
    true
}

/// Does something with the last message of the open room: an own one, or of the others. Tells whether it was understood.
pub(super) fn touch(
    model: &mut Model,
    command: &'static Command,
    arguments: &str,
    fx: &mut Vec<Effect>,
) -> bool {
    if here(model).is_none() {
        model.complain("only in rooms, so far: not yet in chats with one person");
        return false;
    }
    let words = arguments.trim();
    if words.is_empty() && matches!(command.verb, Verb::Edit | Verb::React) {
        return command::missing(model, command);
    }
    let wanted = |direction: Direction| match command.verb {
        Verb::Edit | Verb::Delete => direction == Direction::Out,
        Verb::React => direction == Direction::In,
        _ => true,
    };
    let messages = model.desk().and_then(|desk| desk.open.as_ref()).map(|open| open.timeline.messages());
    let last = messages
        .unwrap_or_default()
        .iter()
        .rev()
        .find(|message| wanted(message.direction) && matches!(message.kind, MessageKind::Text { .. }));
    let Some(id) = last.map(|message| message.id.clone()) else {
        model.complain("there is no such message here");
        return false;
    };
    let (request, told) = match command.verb {
        Verb::Edit => (Request::MessageEdit { id, text: words.to_owned() }, "the message is changed"),
        Verb::Delete => (Request::MessageDelete { id }, "the message is taken back"),
        Verb::React => {
            (Request::MessageReact { id, sign: words.to_owned(), undo: false }, "the sign is there")
        }
        _ => (Request::MessagePin { id, undo: false }, "the message is pinned"),
    };
    fx.push(Effect::Call(Purpose::RoomTold(told.to_owned()), request));
    true
}

/// The open room.
fn here(model: &Model) -> Option<String> {
    model.desk()?.here().filter(|name| name.starts_with('#')).map(str::to_owned)
}

fn role(word: &str) -> Option<Role> {
    match word {
        "owner" => Some(Role::Owner),
        "moderator" => Some(Role::Moderator),
        "member" => Some(Role::Member),
        _ => None,
    }
}

/// `/create [--public] [--large] [--slug S] [--description "…"] [--topic "…"] NAME`, as `rosa room create`. What follows the
/// flags is the name as it is.
fn create(model: &mut Model, command: &'static Command, arguments: &str, fx: &mut Vec<Effect>) -> bool {
    let mut create = CreateRoom {
        name: String::new(),
        public: false,
        slug: None,
        description: String::new(),
        topic: String::new(),
        large: false,
    };
    let mut rest = arguments;
    while rest.starts_with("--") {
        let (flag, after) = word(rest);
        let (value, behind) = value(after);
        rest = match flag {
            "--public" => {
                create.public = true;
                after
            }
            "--large" => {
                create.large = true;
                after
            }
            "--slug" | "--description" | "--topic" if value.is_empty() => {
                model.complain(format!("{flag} needs a value: a word, or \"several words\""));
                return false;
            }
            "--slug" => {
                create.slug = Some(value.to_owned());
                behind
            }
            "--description" => {
                create.description = value.to_owned();
                behind
            }
            "--topic" => {
                create.topic = value.to_owned();
                behind
            }
            _ => {
                model.complain(format!("/create knows no {}: {}", cells::fit(flag, 20), command.help));
                return false;
            }
        };
    }
    if rest.is_empty() {
        return command::missing(model, command);
    }
    rest.clone_into(&mut create.name);
    fx.push(Effect::Call(Purpose::Entered, Request::RoomCreate(create)));
    true
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// A word, or what stands between quotation marks; and what follows it.
fn value(text: &str) -> (&str, &str) {
    match text.strip_prefix('"').and_then(|text| text.split_once('"')) {
        Some((value, rest)) => (value, rest.trim_start()),
        None => word(text),
    }
}

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
