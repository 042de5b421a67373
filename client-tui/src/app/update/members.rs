//! The members of the open room: asked for when it is opened, and again whenever something about them changed.

use subrosa_client::{ApiError, Request, api::Member};

use super::{Effect, Purpose};
use crate::app::{layout, model::Model, words};

/// Asks for the members of the open room, where this account is one. Does nothing in chats with one person.
pub(super) fn ask(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let inside = desk.inside_room();
    let Some(open) = desk.open.as_mut().filter(|open| open.is_room()) else { return };
    if !inside {
        open.roster.replace(Vec::new());
        open.roster.refused = Some("not in it".to_owned());
    } else if open.roster.refresh.ask() {
        let room = open.chat.clone();
        fx.push(Effect::Call(Purpose::Roster(room.clone()), Request::RoomMembers { room }));
    }
}

/// Something of a room changed.
pub(super) fn changed(model: &mut Model, chat: &str, fx: &mut Vec<Effect>) {
    if model.desk().and_then(|desk| desk.here()) == Some(chat) {
        ask(model, fx);
    }
}

/// Something of an account changed: its key, its devices.
pub(super) fn account_changed(model: &mut Model, name: &str, fx: &mut Vec<Effect>) {
    let open = model.desk().and_then(|desk| desk.open.as_ref());
    if open.is_some_and(|open| open.roster.find(name).is_some()) {
        ask(model, fx);
    }
}

/// The engine told, or refused to.
pub(super) fn told(
    model: &mut Model,
    chat: &str,
    result: Result<Vec<Member>, &ApiError>,
    fx: &mut Vec<Effect>,
) {
    let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()).filter(|open| open.chat == chat)
    else {
        return;
    };
    let again = open.roster.refresh.answered();
    match result {
        Ok(members) => open.roster.replace(members),
        Err(error) => {
            open.roster.replace(Vec::new());
            open.roster.refused = Some(words::refusal(error));
        }
    }
    if again {
        ask(model, fx);
    }
}

/// F8: shows or hides them.
pub(super) fn toggle(model: &mut Model) {
    let size = model.size;
    let in_room = model.desk().and_then(|desk| desk.open.as_ref()).is_some_and(|open| open.is_room());
    if !in_room {
        return model.tell("only rooms have members");
    }
    if let Some(desk) = model.desk_mut() {
        desk.members = Some(!layout::members_shown(size, desk));
    }
}
