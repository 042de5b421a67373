//! What the slash commands about rooms do. Those that name no room are about the open one; where the verb of `rosa room` takes
//! a room and somebody, `#ROOM` may stand before the name.

use subrosa_client::{
    Request,
    api::{CreateRoom, Direction, Message, MessageKind, Role, RoomState},
};

use super::{Effect, Purpose, command};
use crate::app::{
    commands::{
        Command, Verb,
        flags::{self, Arguments, Flag, Wrong},
    },
    model::Model,
    text::cells,
    words,
};

const CREATE: &[Flag] = &[
    Flag::alone("--public"),
    Flag::alone("--large"),
    Flag::valued("--slug"),
    Flag::valued("--description"),
    Flag::valued("--topic"),
];
const UNDO: &[Flag] = &[Flag::alone("--undo")];
const NONE: &[Flag] = &[Flag::alone("--none")];

/// The flags of a command: those of its verb on the command line.
const fn flags(verb: Verb) -> &'static [Flag] {
    match verb {
        Verb::Create => CREATE,
        Verb::Topic => NONE,
        Verb::Mute | Verb::React | Verb::Pin => UNDO,
        _ => &[],
    }
}

/// What follows a command; a wrong flag is told.
fn arguments<'a>(model: &mut Model, command: &Command, text: &'a str) -> Option<Arguments<'a>> {
    let known = flags(command.verb);
    let said = match flags::read(text, known) {
        Ok(read) => return Some(read),
        Err(Wrong::NoValue(flag)) => format!("{flag} needs a value: a word, or \"several words\""),
        Err(Wrong::Value(flag)) => format!("{flag} takes no value"),
        Err(Wrong::Unknown { flag, meant }) => {
            let names: Vec<&str> = known.iter().map(|flag| flag.name).collect();
            let hint = match meant {
                Some(meant) => format!("did you mean {meant}?"),
                None if names.is_empty() => "it takes no flags;".to_owned(),
                None => format!("it takes {};", names.join(", ")),
            };
            format!("/{} knows no {}: {hint} what follows -- is no flag", command.name, cells::fit(flag, 20))
        }
    };
    model.complain(said);
    None
}

/// Runs a command. Tells whether it was understood.
pub(super) fn run(model: &mut Model, command: &'static Command, text: &str, fx: &mut Vec<Effect>) -> bool {
    let Some(given) = arguments(model, command, text) else { return false };
    let words: Vec<&str> = given.text.split_whitespace().collect();
    match command.verb {
        Verb::Create => create(model, command, &given, fx),
        Verb::Rooms => {
            let prefix = given.text.trim_start_matches('#').to_owned();
            fx.push(Effect::Call(Purpose::Rooms, Request::RoomList { prefix }));
            true
        }
        Verb::Join | Verb::Leave | Verb::Members | Verb::Show | Verb::Renew => {
            about_room(model, command, &words, fx)
        }
        Verb::Topic => topic(model, &given, fx),
        Verb::Rename => rename(model, command, &given, fx),
        _ => about_somebody(model, command, &given, &words, fx),
    }
}

/// What is done with a room as a whole: the named one, or the open one.
fn about_room(model: &mut Model, command: &'static Command, words: &[&str], fx: &mut Vec<Effect>) -> bool {
    let (room, open) = match words {
        [] => (here(model), true),
        [room] => (Some((*room).to_owned()), false),
        _ => return command::missing(model, command),
    };
    let Some(room) = room else {
        return if command.verb == Verb::Join { command::missing(model, command) } else { no_room(model) };
    };
    let state = model.desk().and_then(|desk| desk.chats.find(&room)?.room.as_ref()?.state);
    let (purpose, request) = match command.verb {
        Verb::Join if open && state == Some(RoomState::Joined) => return command::missing(model, command),
        Verb::Join => (Purpose::Entered, Request::RoomJoin { room }),
        Verb::Leave => {
            let invited = state == Some(RoomState::Invited);
            let told =
                if invited { "the invitation is declined".to_owned() } else { format!("you left {room}") };
            (Purpose::RoomTold(told), Request::RoomLeave { room })
        }
        Verb::Members => (Purpose::Members(room.clone()), Request::RoomMembers { room }),
        Verb::Show => (Purpose::RoomShown, Request::RoomShow { room }),
        _ => (Purpose::RoomTold(format!("{room} is made anew")), Request::RoomRenew { room }),
    };
    fx.push(Effect::Call(purpose, request));
    true
}

/// Sets the open room's topic, removes it, or tells it.
fn topic(model: &mut Model, given: &Arguments<'_>, fx: &mut Vec<Effect>) -> bool {
    let Some(room) = here(model) else { return no_room(model) };
    let remove = given.has("--none");
    if remove && !given.text.is_empty() {
        model.complain("/topic takes a text, or --none to remove it: not both");
        return false;
    }
    if !remove && given.text.is_empty() {
        let topic = model.desk().and_then(|desk| desk.room_here()).map(|room| cells::one_line(&room.topic));
        model.tell(match topic.filter(|topic| !topic.is_empty()) {
            Some(topic) => format!("topic: {topic}   (/topic TEXT sets another, /topic --none removes it)"),
            None => format!("{room} has no topic: /topic TEXT sets one"),
        });
        return true;
    }
    let told = if remove { "the topic is removed" } else { "the topic is set" };
    let request = Request::RoomTopic { room, topic: given.text.clone() };
    fx.push(Effect::Call(Purpose::RoomTold(told.to_owned()), request));
    true
}

fn rename(model: &mut Model, command: &'static Command, given: &Arguments<'_>, fx: &mut Vec<Effect>) -> bool {
    let Some(room) = here(model) else { return no_room(model) };
    if given.text.is_empty() {
        return command::missing(model, command);
    }
    let request = Request::RoomRename { room, name: given.text.clone() };
    fx.push(Effect::Call(Purpose::RoomTold("the room is renamed".to_owned()), request));
    true
}

/// What is done with somebody in a room: `[#ROOM] NAME`, and a role where one is given.
fn about_somebody(
    model: &mut Model,
    command: &'static Command,
    given: &Arguments<'_>,
    words: &[&str],
    fx: &mut Vec<Effect>,
) -> bool {
    let (room, words) = match words {
        [room, rest @ ..] if room.starts_with('#') => (Some((*room).to_owned()), rest),
        words => (here(model), words),
    };
    let Some(room) = room else { return no_room(model) };
    let (name, role) = match (command.verb, words) {
        (Verb::Mute | Verb::Unmute, []) => ("", None),
        (Verb::Role, [name, word]) => match role(word) {
            Some(role) => (*name, Some(role)),
            None => return command::missing(model, command),
        },
        (Verb::Role, _) => return command::missing(model, command),
        (_, [name]) => (*name, None),
        _ => return command::missing(model, command),
    };
    let name = name.trim_start_matches('@').to_owned();
    let (request, told) = match (command.verb, role) {
        (_, Some(role)) => {
            let told = format!("{name} is {} now", words::role_with_article(role));
            (Request::RoomRole { room, name, role }, told)
        }
        (Verb::Invite, _) => {
            let told = format!("{name} is invited");
            (Request::RoomInvite { room, name }, told)
        }
        (Verb::Kick, _) => {
            let told = format!("{name} is removed");
            (Request::RoomKick { room, name }, told)
        }
        (Verb::Ban, _) => {
            let told = format!("{name} is banned");
            (Request::RoomBan { room, name }, told)
        }
        (Verb::Unban, _) => {
            let told = format!("{name} is not banned any more");
            (Request::RoomUnban { room, name }, told)
        }
        _ => {
            let undo = command.verb == Verb::Unmute || given.has("--undo");
            let who = Some(name).filter(|name| !name.is_empty());
            let state = if undo { "not muted any more" } else { "muted" };
            let told = format!("{} is {state}", who.as_deref().unwrap_or(&room));
            (Request::RoomMute { room, name: who, undo }, told)
        }
    };
    fx.push(Effect::Call(Purpose::RoomTold(told), request));
    true
}

/// Does something with the last message of the open room: an own one, or of the others. Tells whether it was understood.
pub(super) fn touch(model: &mut Model, command: &'static Command, text: &str, fx: &mut Vec<Effect>) -> bool {
    if here(model).is_none() {
        model.complain("only in rooms, so far: not yet in chats with one person");
        return false;
    }
    let (words, undo) = if flags(command.verb).is_empty() {
        // What a message says from now on is a text, whatever stands in it.
        (text.trim().to_owned(), false)
    } else {
        let Some(given) = arguments(model, command, text) else { return false };
        (given.text.clone(), given.has("--undo"))
    };
    if words.is_empty() && matches!(command.verb, Verb::Edit | Verb::React) {
        return command::missing(model, command);
    }
    let me = model.desk().map(|desk| desk.name().to_owned()).unwrap_or_default();
    let signed = |message: &Message| {
        message.marks.reactions.iter().any(|one| one.sign.as_str() == words && one.by.contains(&me))
    };
    let wanted = |message: &Message| match (command.verb, undo) {
        (Verb::Edit | Verb::Delete, _) => message.direction == Direction::Out,
        (Verb::React, false) => message.direction == Direction::In,
        (Verb::React, true) => signed(message),
        (_, undo) => !undo || message.marks.pinned,
    };
    let messages = model.desk().and_then(|desk| desk.open.as_ref()).map(|open| open.timeline.messages());
    let last = messages
        .unwrap_or_default()
        .iter()
        .rev()
        .find(|message| wanted(message) && matches!(message.kind, MessageKind::Text { .. }));
    let Some(id) = last.map(|message| message.id.clone()) else {
        model.complain("there is no such message here");
        return false;
    };
    let (request, told) = match (command.verb, undo) {
        (Verb::Edit, _) => (Request::MessageEdit { id, text: words }, "the message is changed"),
        (Verb::Delete, _) => (Request::MessageDelete { id }, "the message is taken back"),
        (Verb::React, false) => (Request::MessageReact { id, sign: words, undo }, "the sign is there"),
        (Verb::React, true) => (Request::MessageReact { id, sign: words, undo }, "the sign is gone"),
        (_, false) => (Request::MessagePin { id, undo }, "the message is pinned"),
        (_, true) => (Request::MessagePin { id, undo }, "the message is not pinned any more"),
    };
    fx.push(Effect::Call(Purpose::RoomTold(told.to_owned()), request));
    true
}

/// The open room.
fn here(model: &Model) -> Option<String> {
    model.desk()?.here().filter(|name| name.starts_with('#')).map(str::to_owned)
}

fn no_room(model: &mut Model) -> bool {
    model.complain("this is no room: open one first, or /join ROOM");
    false
}

fn role(word: &str) -> Option<Role> {
    match word {
        "owner" => Some(Role::Owner),
        "moderator" => Some(Role::Moderator),
        "member" => Some(Role::Member),
        _ => None,
    }
}

/// `/create NAME [FLAGS]`, as `rosa room create`.
fn create(model: &mut Model, command: &'static Command, given: &Arguments<'_>, fx: &mut Vec<Effect>) -> bool {
    if given.text.is_empty() {
        return command::missing(model, command);
    }
    let value = |flag| given.value(flag).unwrap_or_default().to_owned();
    let create = CreateRoom {
        name: given.text.clone(),
        public: given.has("--public"),
        slug: given.value("--slug").map(str::to_owned),
        description: value("--description"),
        topic: value("--topic"),
        large: given.has("--large"),
    };
    fx.push(Effect::Call(Purpose::Entered, Request::RoomCreate(create)));
    true
}
