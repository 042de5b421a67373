//! Opening, scrolling, loading and reading a chat.

use subrosa_client::{Request, api::Direction};

use super::{Effect, Purpose, Want, members, save_draft, set_draft, touch};
use crate::app::{
    layout::{self, MEMBERS_FROM, SIDEBAR_FROM},
    model::{Conversation, Model, Overlay, PAGE, Position, Size, Timeline},
    view::{block::Context, theme::Theme, timeline},
};

/// Unread messages up to which the newest page is loaded; more are loaded from the first unread one on.
const UNREAD_IN_PAGE: u64 = 60;
/// Messages between the screen and the end of the window under which the next page is loaded.
const MARGIN: usize = 20;

/// Opens a chat at its newest or first unread messages.
pub(super) fn open(model: &mut Model, name: &str, fx: &mut Vec<Effect>) {
    leave_openings(model);
    if model.desk().and_then(|desk| desk.here()) == Some(name) {
        close_over(model);
        return;
    }
    let unread = model.desk().and_then(|desk| desk.chats.find(name)).map_or(0, |chat| chat.unread);
    enter(model, name, fx);
    load(model, if unread > UNREAD_IN_PAGE { Want::Unread } else { Want::Newest }, fx);
    members::ask(model, fx);
}

/// Opens a chat, if need be, at a message.
pub(super) fn jump(model: &mut Model, name: &str, order: i64, select: bool, fx: &mut Vec<Effect>) {
    leave_openings(model);
    if model.desk().and_then(|desk| desk.here()) != Some(name) {
        enter(model, name, fx);
        load(model, Want::Around { order, select }, fx);
        return members::ask(model, fx);
    }
    let known = model
        .desk()
        .and_then(|desk| desk.open.as_ref())
        .is_some_and(|open| open.timeline.find(order).is_some());
    if !known {
        return load(model, Want::Around { order, select }, fx);
    }
    if select && let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) {
        open.selected = Some(order);
        return reveal(model, order);
    }
    place(model, |context, height| timeline::around(context, height, order));
}

/// Opens a chat that was waited for. What has been typed meanwhile is for it, and no draft of the chat before.
pub(super) fn open_awaited(model: &mut Model, name: &str, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let (typed, pasted) = (desk.composer.draft().to_owned(), desk.composer.pasted);
    desk.composer.unaim();
    desk.composer.editor.forget();
    desk.composer.changed();
    open(model, name, fx);
    if !typed.is_empty() {
        set_draft(model, &typed, pasted);
    }
}

fn leave_openings(model: &mut Model) {
    if let Some(desk) = model.desk_mut() {
        desk.openings.leave();
    }
}

/// Makes a chat the open one; its messages are to be loaded.
fn enter(model: &mut Model, name: &str, fx: &mut Vec<Effect>) {
    save_draft(model, fx);
    touch::leave(model);
    let Size { width, .. } = model.size;
    let Some(desk) = model.desk_mut() else { return };
    let mut open = Conversation::new(name);
    let chat = desk.chats.find(name);
    open.new_after = chat.filter(|chat| chat.unread > 0).map(|chat| chat.read_up_to);
    let draft = chat.map(|chat| chat.draft.clone()).unwrap_or_default();
    // What was typed before the first chat was there is meant for it.
    let typed = if desk.open.is_none() { desk.composer.editor.text().to_owned() } else { String::new() };
    desk.composer.open(if typed.is_empty() { &draft } else { &typed });
    desk.open = Some(open);
    if width < SIDEBAR_FROM {
        desk.sidebar = None;
    }
    if width < MEMBERS_FROM {
        desk.members = None;
    }
}

fn close_over(model: &mut Model) {
    let narrow = model.size.width < SIDEBAR_FROM;
    if let Some(desk) = model.desk_mut() {
        desk.overlay = None;
        if narrow {
            desk.sidebar = None;
        }
    }
}

/// Asks for a part of the open chat's history.
pub(super) fn load(model: &mut Model, want: Want, fx: &mut Vec<Effect>) {
    let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) else { return };
    if want == Want::Tail {
        if !open.tail.ask() {
            return;
        }
    } else {
        if !matches!(want, Want::Before | Want::After) {
            open.generation = open.generation.wrapping_add(1);
        }
        open.timeline.loading = true;
    }
    let first = open.timeline.first().map(|message| message.order);
    let last = open.timeline.last().map(|message| message.order);
    let (before, after) = match want {
        Want::Newest | Want::Tail => (None, None),
        Want::Unread => (None, open.new_after),
        Want::Oldest => (None, Some(0)),
        Want::Before => (first, None),
        Want::After => (None, last),
        Want::Around { order, .. } => (Some(order.saturating_add(1)), None),
    };
    let purpose = Purpose::History { chat: open.chat.clone(), want, generation: open.generation };
    let request = Request::ChatHistory { chat: open.chat.clone(), before, after, limit: PAGE };
    fx.push(Effect::Call(purpose, request));
}

/// Goes to the newest message.
pub(super) fn to_newest(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) else { return };
    open.timeline.position = Position::Bottom;
    if open.timeline.more_after {
        load(model, Want::Newest, fx);
    }
}

/// Goes to the oldest message.
pub(super) fn to_oldest(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) else { return };
    if open.timeline.more_before {
        load(model, Want::Oldest, fx);
    } else if let Some(first) = open.timeline.first().map(|message| message.order) {
        place(model, |context, height| timeline::revealing(context, height, first));
    }
}

/// Scrolls by lines; down is positive.
pub(super) fn scroll(model: &mut Model, by: isize) {
    place(model, |context, height| timeline::scrolled(context, height, by));
}

/// Scrolls by a screen, keeping two lines.
pub(super) fn scroll_page(model: &mut Model, down: bool) {
    let height = model.desk().map_or(1, |desk| layout::areas(model, desk).timeline.height);
    let by = isize::try_from(height.saturating_sub(2).max(1)).unwrap_or(1);
    scroll(model, if down { by } else { -by });
}

/// Scrolls as little as brings a message onto the screen.
pub(super) fn reveal(model: &mut Model, order: i64) {
    place(model, |context, height| timeline::revealing(context, height, order));
}

/// Sets the position of the view to one computed from what is drawn.
pub(super) fn place(model: &mut Model, to: impl FnOnce(&Context<'_>, usize) -> Position) {
    let theme = Theme::new(false);
    let Some((desk, open)) = model.desk().and_then(|desk| Some((desk, desk.open.as_ref()?))) else { return };
    let area = layout::areas(model, desk).timeline;
    let context = Context::new(model, &theme, open, usize::from(area.width));
    let position = to(&context, usize::from(area.height));
    if let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) {
        open.timeline.position = position;
    }
}

pub(super) fn resize(model: &mut Model, width: u16, height: u16) {
    model.size = Size { width, height };
    let Some(desk) = model.desk_mut() else { return };
    if let Some(open) = &desk.open {
        open.laid.forget();
    }
    if width < SIDEBAR_FROM {
        desk.sidebar = None;
    }
    if width < MEMBERS_FROM {
        desk.members = None;
    }
}

pub(super) fn focus(model: &mut Model, focused: bool) {
    model.focused = focused;
}

/// What follows of any change: pages near the edge of the window are loaded, what is seen is read.
pub(super) fn settle(model: &mut Model, fx: &mut Vec<Effect>) {
    let theme = Theme::new(false);
    let Some((desk, open)) = model.desk().and_then(|desk| Some((desk, desk.open.as_ref()?))) else { return };
    let area = layout::areas(model, desk).timeline;
    let context = Context::new(model, &theme, open, usize::from(area.width));
    let lines = timeline::visible(&context, usize::from(area.height));
    let edges = lines.first().zip(lines.last()).map(|(top, bottom)| (top.order, bottom.order));
    let want = edges.and_then(|(top, bottom)| wanted(&open.timeline, top, bottom));
    if let Some(want) = want {
        load(model, want, fx);
    }
    read(model, fx);
}

fn wanted(timeline: &Timeline, top: i64, bottom: i64) -> Option<Want> {
    if timeline.loading {
        None
    } else if timeline.more_before && timeline.place(top) < MARGIN {
        Some(Want::Before)
    } else if timeline.more_after && timeline.place(bottom) + MARGIN >= timeline.messages().len() {
        Some(Want::After)
    } else {
        None
    }
}

/// What is seen is read: with the focus, and at the bottom.
fn read(model: &mut Model, fx: &mut Vec<Effect>) {
    let focused = model.focused;
    let Some(desk) = model.desk_mut().filter(|desk| !matches!(desk.overlay, Some(Overlay::Page(..)))) else {
        return;
    };
    let Some(open) = desk.open.as_mut().filter(|open| open.timeline.follows()) else { return };
    open.timeline.new_below = 0;
    let Some(last) = open.timeline.last().map(|message| message.order) else { return };
    let known = desk.chats.find(&open.chat).map_or(i64::MIN, |chat| chat.read_up_to);
    let from = known.max(open.read_told);
    let unseen = open.timeline.messages().iter().rev().take_while(|message| message.order > from);
    let any = unseen.into_iter().any(|message| message.direction == Direction::In);
    if focused && any {
        open.read_told = last;
        let chat = open.chat.clone();
        desk.chats.read(&chat, last);
        fx.push(Effect::Call(Purpose::Quiet, Request::ChatRead { chat, up_to: last }));
    }
}
