//! Acting on a selected message.

use subrosa_client::{
    Request,
    api::{Direction, MessageKind},
};

use super::{Effect, Purpose, conversation, touch};
use crate::app::{
    keymap::Action,
    layout,
    model::{Model, Overlay, Page, ReplyTo},
    text::cells,
    view::{block::Context, theme::Theme, timeline},
    words,
};

/// Characters of the answered message that are shown beside the answer.
const PREVIEW: usize = 40;

/// Selects the last message on the screen.
pub(super) fn begin(model: &mut Model) {
    let theme = Theme::new(false);
    let Some((desk, open)) = model.desk().and_then(|desk| Some((desk, desk.open.as_ref()?))) else { return };
    let area = layout::areas(model, desk).timeline;
    let hit = desk.hits.as_ref().and_then(|hits| hits.current()).filter(|hit| hit.chat == open.chat);
    let context = Context::new(model, &theme, open, usize::from(area.width));
    let last = timeline::visible(&context, usize::from(area.height)).last().map(|line| line.order);
    let order = hit.map(|hit| hit.order).filter(|order| open.timeline.find(*order).is_some()).or(last);
    if let Some(order) = order {
        select(model, order);
    } else {
        model.tell("there is no message to select");
    }
}

fn select(model: &mut Model, order: i64) {
    if let Some(desk) = model.desk_mut() {
        desk.hits = None;
        if let Some(open) = &mut desk.open {
            open.selected = Some(order);
        }
    }
    conversation::reveal(model, order);
}

pub(super) fn key(model: &mut Model, action: Option<Action>, fx: &mut Vec<Effect>) {
    let Some(open) = model.desk().and_then(|desk| desk.open.as_ref()) else { return };
    let Some(selected) = open.selected else { return };
    let place = open.timeline.place(selected);
    let order_at = |place: usize| open.timeline.messages().get(place).map(|message| message.order);
    match action {
        Some(Action::Down) => {
            if let Some(order) = order_at(place + 1) {
                select(model, order);
            }
        }
        Some(Action::Up) => {
            if let Some(order) = place.checked_sub(1).and_then(order_at) {
                select(model, order);
            }
        }
        Some(Action::PageUp) => step_page(model, false),
        Some(Action::PageDown) => step_page(model, true),
        Some(Action::Oldest) => end(model, true, fx),
        Some(Action::Newest) => end(model, false, fx),
        Some(Action::Reply) => {
            let answers = answer(model, selected);
            leave_when(model, answers);
        }
        Some(action @ (Action::Change | Action::TakeBack | Action::React | Action::Pin)) => {
            let done = touch::selected(model, selected, action, fx);
            leave_when(model, done);
        }
        Some(Action::Copy) => copy(model, selected, fx),
        Some(Action::Info) => {
            if let Some(desk) = model.desk_mut() {
                desk.overlay = Some(Overlay::Page(Page::Info(selected), 0));
            }
            let message = model.desk().and_then(|desk| desk.open.as_ref()?.timeline.find(selected));
            if let Some(id) = message.map(|message| message.id.clone()) {
                ask_holders(model, &id, fx);
            }
        }
        Some(Action::Quoted) => quoted(model, selected, fx),
        Some(Action::Close) => leave_when(model, true),
        _ => {}
    }
}

/// Asks which members have an own message of a room, while its details are shown.
pub(super) fn ask_holders(model: &Model, id: &str, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk() else { return };
    let Some(Overlay::Page(Page::Info(order), _)) = &desk.overlay else { return };
    let Some(open) = desk.open.as_ref().filter(|open| open.is_room()) else { return };
    let shown = open.timeline.find(*order).filter(|message| message.id == id);
    if shown.is_some_and(|message| message.direction == Direction::Out) {
        let id = id.to_owned();
        fx.push(Effect::Call(Purpose::Holders(id.clone()), Request::MessageShow { id }));
    }
}

/// Back to writing, when `done`.
fn leave_when(model: &mut Model, done: bool) {
    if let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()).filter(|_| done) {
        open.selected = None;
    }
}

fn step_page(model: &mut Model, down: bool) {
    conversation::scroll_page(model, down);
    let theme = Theme::new(false);
    let Some((desk, open)) = model.desk().and_then(|desk| Some((desk, desk.open.as_ref()?))) else { return };
    let area = layout::areas(model, desk).timeline;
    let context = Context::new(model, &theme, open, usize::from(area.width));
    let lines = timeline::visible(&context, usize::from(area.height));
    let edge = if down { lines.last() } else { lines.first() };
    if let Some(order) = edge.map(|line| line.order) {
        select(model, order);
    }
}

fn end(model: &mut Model, oldest: bool, fx: &mut Vec<Effect>) {
    if oldest {
        conversation::to_oldest(model, fx);
    } else {
        conversation::to_newest(model, fx);
    }
    let Some(open) = model.desk().and_then(|desk| desk.open.as_ref()) else { return };
    let at = if oldest { open.timeline.first() } else { open.timeline.last() };
    if let Some(order) = at.map(|message| message.order) {
        select(model, order);
    }
}

/// The draft answers a message from now on. Tells whether it is one that can be answered.
pub(super) fn answer(model: &mut Model, order: i64) -> bool {
    let message = model.desk().and_then(|desk| desk.open.as_ref()).and_then(|open| open.timeline.find(order));
    let Some(message) = message.filter(|message| matches!(message.kind, MessageKind::Text { .. })) else {
        model.complain("only what somebody wrote can be answered");
        return false;
    };
    let text = cells::fit(&cells::one_line(&words::body(message)), PREVIEW);
    let reply = ReplyTo { id: message.id.clone(), preview: format!("{}: {text}", words::author(message)) };
    if let Some(desk) = model.desk_mut() {
        desk.composer.reply_to = Some(reply);
    }
    true
}

fn copy(model: &mut Model, order: i64, fx: &mut Vec<Effect>) {
    let message = model.desk().and_then(|desk| desk.open.as_ref()).and_then(|open| open.timeline.find(order));
    if let Some(text) = message.map(words::body) {
        fx.push(Effect::Copy(text));
        model.tell("copied, where the terminal allows it (OSC 52)");
    }
}

fn quoted(model: &mut Model, order: i64, fx: &mut Vec<Effect>) {
    let Some(open) = model.desk().and_then(|desk| desk.open.as_ref()) else { return };
    let Some(id) = open.timeline.find(order).and_then(|message| message.reply_to.clone()) else {
        return model.tell("it answers no message");
    };
    match open.timeline.by_id(&id).map(|message| message.order) {
        Some(order) => select(model, order),
        None => fx.push(Effect::Call(Purpose::Quoted, Request::MessageShow { id })),
    }
}
