//! What the slash commands do.

use subrosa_client::{
    Request,
    api::{Direction, MessageKind},
};

use super::{Effect, Purpose, ask_status, conversation, lock, quit, room, search, select, submit};
use crate::app::{
    commands::{self, Command, Verb, parse::name_and_rest},
    model::{Model, Overlay, Page},
    session::ExitReason,
};

/// Runs a command. Tells whether it was understood, so that the composer can be emptied.
pub(super) fn run(
    model: &mut Model,
    command: &'static Command,
    arguments: &str,
    fx: &mut Vec<Effect>,
) -> bool {
    let (name, rest) = name_and_rest(arguments);
    match command.verb {
        Verb::Msg | Verb::Add if name.is_empty() => missing(model, command),
        Verb::Msg => message(model, name, rest, fx),
        Verb::Add => add(model, name, "", fx),
        Verb::Accept | Verb::Verify | Verb::Trust => about_somebody(model, command, name, fx),
        Verb::Reply => reply(model, arguments, fx),
        Verb::Create
        | Verb::Rooms
        | Verb::Join
        | Verb::Leave
        | Verb::Invite
        | Verb::Kick
        | Verb::Ban
        | Verb::Unban
        | Verb::Role
        | Verb::Topic
        | Verb::Rename
        | Verb::Mute
        | Verb::Unmute
        | Verb::Renew
        | Verb::Members
        | Verb::Show => room::run(model, command, arguments, fx),
        Verb::Edit | Verb::Delete | Verb::React | Verb::Pin => room::touch(model, command, arguments, fx),
        Verb::Search => {
            clear_line(model);
            search::open(model, arguments, fx);
            true
        }
        Verb::Status => {
            page(model, Page::Status);
            ask_status(model, fx);
            true
        }
        Verb::Keys => page(model, Page::Keys),
        Verb::Help => help(model, arguments),
        Verb::Reconnect => {
            fx.push(Effect::Call(Purpose::Told("connecting anew"), Request::ConnectionReconnect {}));
            true
        }
        Verb::Lock => {
            clear_line(model);
            lock::lock(model, fx);
            true
        }
        Verb::Quit => {
            clear_line(model);
            quit(model, ExitReason::Quit, fx);
            true
        }
    }
}

/// The command line itself is not a draft worth keeping.
fn clear_line(model: &mut Model) {
    if let Some(desk) = model.desk_mut().filter(|desk| desk.composer.editor.text().starts_with('/')) {
        desk.composer.editor.forget();
        desk.composer.changed();
    }
}

pub(super) fn missing(model: &mut Model, command: &Command) -> bool {
    model.complain(format!("{}: {}", command.usage(), command.help));
    false
}

fn message(model: &mut Model, name: &str, text: &str, fx: &mut Vec<Effect>) -> bool {
    let known = model.desk().is_some_and(|desk| desk.chats.find(name).is_some());
    if !known && name.starts_with('#') {
        let slug = name.trim_start_matches('#');
        model.complain(format!("you are in no room {name}: /join {slug} joins the public one of that name"));
        return false;
    }
    if !known {
        return add(model, name, text, fx);
    }
    clear_line(model);
    conversation::open(model, name, fx);
    if !text.is_empty() {
        submit::send(model, text, fx);
    }
    true
}

/// Asks the relay who that is. What is written until it answers is for them.
fn add(model: &mut Model, name: &str, text: &str, fx: &mut Vec<Effect>) -> bool {
    let text = Some(text).filter(|text| !text.is_empty());
    if model.desk_mut().is_some_and(|desk| desk.openings.begin(name, text)) {
        let request = Request::ContactAdd { name: name.to_owned() };
        fx.push(Effect::Call(Purpose::Added(name.to_owned()), request));
    }
    true
}

fn about_somebody(model: &mut Model, command: &Command, name: &str, fx: &mut Vec<Effect>) -> bool {
    let here = model.desk().and_then(|desk| desk.here()).map(str::to_owned);
    let Some(name) = Some(name.to_owned()).filter(|name| !name.is_empty()).or(here) else {
        return missing(model, command);
    };
    if name.starts_with('#') {
        if command.verb == Verb::Accept {
            fx.push(Effect::Call(Purpose::Entered, Request::RoomJoin { room: name }));
            return true;
        }
        model.complain("that is for people; this is a room");
        return false;
    }
    fx.push(match command.verb {
        Verb::Accept => Effect::Call(Purpose::Accepted, Request::ContactAccept { name }),
        Verb::Trust => Effect::Call(Purpose::Accept, Request::ContactSafetyNumber { name }),
        _ => Effect::Call(Purpose::Compare, Request::ContactSafetyNumber { name }),
    });
    true
}

/// Answers the last text of the other side.
fn reply(model: &mut Model, text: &str, fx: &mut Vec<Effect>) -> bool {
    let messages = model.desk().and_then(|desk| desk.open.as_ref()).map(|open| open.timeline.messages());
    let last = messages.unwrap_or_default().iter().rev().find(|message| {
        message.direction == Direction::In && matches!(message.kind, MessageKind::Text { .. })
    });
    let Some(order) = last.map(|message| message.order) else {
        model.complain("there is nothing to answer here");
        return false;
    };
    select::answer(model, order);
    if !text.is_empty() {
        return submit::send(model, text, fx);
    }
    true
}

fn page(model: &mut Model, page: Page) -> bool {
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Page(page, 0));
    }
    true
}

fn help(model: &mut Model, name: &str) -> bool {
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return page(model, Page::Help(crate::app::keymap::Place::Write));
    }
    match commands::find(name) {
        Some(command) => page(model, Page::Command(command.name)),
        None => {
            model.complain(format!("there is no command /{name}"));
            false
        }
    }
}
