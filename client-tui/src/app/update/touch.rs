//! Doing something with a message that is there already: changing it, taking it back, a sign beside it, pinning it. The
//! engine does it in rooms alone, so far.

use subrosa_client::{
    Request,
    api::{Direction, Message, MessageKind, Role},
};

use super::{Effect, Purpose};
use crate::app::{
    keymap::Action,
    model::{Aim, Answer, Choice, Model, Overlay, Question},
    text::cells,
    words,
};

/// Cells of a message that are shown beside what is done with it.
const PREVIEW: usize = 40;
/// The signs that are offered.
const SIGNS: [&str; 5] = ["+1", "-1", "👍", "🎉", "👀"];

/// What may be done with a message in the open chat, and why not.
fn refusal(model: &Model, message: &Message, action: Action) -> Option<&'static str> {
    let desk = model.desk()?;
    if !desk.open.as_ref().is_some_and(|open| open.is_room()) {
        return Some("only in rooms, so far: not yet in chats with one person");
    }
    let own = message.direction == Direction::Out;
    let moderates = desk.room_here().is_some_and(|room| room.role >= Some(Role::Moderator));
    match (action, &message.kind) {
        (_, MessageKind::Deleted { .. }) => Some("it was taken back"),
        (_, kind) if !matches!(kind, MessageKind::Text { .. }) => Some("only with what somebody wrote"),
        (Action::Change, _) if !own => Some("only its writer can change a message"),
        (Action::TakeBack, _) if !own && !moderates => {
            Some("you have no right to take back what others wrote: only moderators have")
        }
        (Action::Pin, _) if !moderates => {
            Some("you have no right to pin messages here: only moderators have")
        }
        _ => None,
    }
}

/// A key on the selected message. Tells whether the person is done with it.
pub(super) fn selected(model: &mut Model, order: i64, action: Action, fx: &mut Vec<Effect>) -> bool {
    let open = model.desk().and_then(|desk| desk.open.as_ref());
    let Some(message) = open.and_then(|open| open.timeline.find(order)).cloned() else { return false };
    if let Some(why) = refusal(model, &message, action) {
        model.complain(why);
        return false;
    }
    let preview = preview(&message);
    let id = message.id.clone();
    match action {
        Action::Change => {
            aim(model, Aim::Change, id, preview, &words::body(&message));
            true
        }
        Action::Pin => {
            let undo = message.marks.pinned;
            let told = if undo { "the message is not pinned any more" } else { "the message is pinned" };
            fx.push(Effect::Call(Purpose::RoomTold(told.to_owned()), Request::MessagePin { id, undo }));
            true
        }
        Action::TakeBack => {
            let lines = vec![preview, "It goes from the screens of all members.".to_owned()];
            let choices = vec![choice('y', "take it back".to_owned(), Answer::TakeBack(id))];
            ask(model, "Take it back, for everybody?", lines, choices);
            false
        }
        _ => {
            signs(model, &message, preview);
            false
        }
    }
}

/// Offers signs; those that this account put there already, to be taken away.
fn signs(model: &mut Model, message: &Message, preview: String) {
    let me = model.desk().map(|desk| desk.name().to_owned()).unwrap_or_default();
    let own = message.marks.reactions.iter().filter(|sign| sign.by.contains(&me));
    let own: Vec<String> = own.map(|one| cells::one_line(&one.sign)).collect();
    let mut offered: Vec<(String, bool)> = own.iter().map(|sign| (sign.clone(), true)).collect();
    let free = SIGNS.iter().filter(|sign| !own.iter().any(|one| one == *sign));
    offered.extend(free.map(|sign| ((*sign).to_owned(), false)));
    let id = message.id.clone();
    let numbered = ('1'..='9').zip(offered);
    let mut choices: Vec<Choice> = numbered
        .map(|(key, (sign, undo))| {
            let label = if undo { format!("take away {sign}") } else { sign.clone() };
            choice(key, label, Answer::Sign { id: id.clone(), sign, undo })
        })
        .collect();
    let other = Answer::OtherSign { id, preview: preview.clone() };
    choices.push(choice('o', "another one".to_owned(), other));
    ask(model, "A sign beside it", vec![preview], choices);
}

fn choice(key: char, label: String, answer: Answer) -> Choice {
    Choice { key, label, answer }
}

fn ask(model: &mut Model, title: &str, lines: Vec<String>, choices: Vec<Choice>) {
    if let Some(desk) = model.desk_mut() {
        desk.overlay = Some(Overlay::Question(Question { title: title.to_owned(), lines, choices }));
    }
}

fn preview(message: &Message) -> String {
    format!("{}: {}", words::author(message), cells::fit(&cells::one_line(&words::body(message)), PREVIEW))
}

/// A question about a message was answered: nothing is selected any more.
pub(super) fn answered(model: &mut Model, answer: Answer, fx: &mut Vec<Effect>) {
    if let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) {
        open.selected = None;
    }
    match answer {
        Answer::TakeBack(id) => {
            let told = Purpose::RoomTold("the message is taken back".to_owned());
            fx.push(Effect::Call(told, Request::MessageDelete { id }));
        }
        Answer::Sign { id, sign, undo } => {
            let told = if undo { "the sign is gone" } else { "the sign is there" };
            fx.push(Effect::Call(
                Purpose::RoomTold(told.to_owned()),
                Request::MessageReact { id, sign, undo },
            ));
        }
        Answer::OtherSign { id, preview } => aim(model, Aim::Sign, id, preview, ""),
        _ => {}
    }
}

/// The line is about a message from now on.
fn aim(model: &mut Model, aim: Aim, id: String, preview: String, text: &str) {
    if let Some(desk) = model.desk_mut() {
        desk.composer.aim(aim, id, preview, text);
    }
}

/// The line is a draft again. Tells whether it was about a message.
pub(super) fn leave(model: &mut Model) -> bool {
    model.desk_mut().is_some_and(|desk| desk.composer.unaim().is_some())
}

/// Enter on a line that is about a message.
pub(super) fn carry_out(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let text = desk.composer.editor.text().to_owned();
    if text.trim().is_empty() {
        let aim = desk.composer.aimed.as_ref().map(|aimed| aimed.aim);
        return model.complain(match aim {
            Some(Aim::Change) => "a message cannot be empty: `d` on the selected message takes it back",
            _ => "type a sign, such as an emoji",
        });
    }
    let Some(aimed) = desk.composer.unaim() else { return };
    let chat = desk.here().unwrap_or_default().to_owned();
    let id = aimed.id.clone();
    let request = match aimed.aim {
        Aim::Change => Request::MessageEdit { id, text: text.trim_end().to_owned() },
        Aim::Sign => Request::MessageReact { id, sign: text.trim().to_owned(), undo: false },
    };
    let (aim, id, preview) = (aimed.aim, aimed.id, aimed.preview);
    fx.push(Effect::Call(Purpose::Touched { chat, aim, id, preview, text }, request));
}

/// What could not be done comes back into the line, if nothing else was begun there; else `Up` brings it.
pub(super) fn give_back(model: &mut Model, chat: &str, aim: Aim, id: String, preview: String, text: &str) {
    let Some(desk) = model.desk_mut() else { return };
    let free = desk.composer.aimed.is_none() && desk.here() == Some(chat);
    if free {
        desk.composer.aim(aim, id, preview, text);
    } else {
        desk.composer.remember(chat, text);
    }
}
