//! Keys, pastes and clicks while the cursor is in the composer.

use super::{
    Effect, conversation, draft_changed, members, palette, search, select, set_draft, submit, touch,
};
use subrosa_client::api::Role;

use crate::app::{
    commands::complete::{Names, complete},
    keymap::{Action, Chord},
    layout,
    model::{Answer, Choice, Completing, Desk, Model, Overlay, Question},
    text::{cells, editor::Edit},
    view,
};

/// Lines of a paste above which it is asked about.
const PASTE_LINES: usize = 5;

pub(super) fn key(model: &mut Model, action: Option<Action>, chord: Chord, fx: &mut Vec<Effect>) {
    match action {
        None => {
            if let Some(c) = chord.typed() {
                insert(model, c);
            }
        }
        Some(Action::Enter) => submit::draft(model, fx),
        Some(Action::Edit(edit)) => self::edit(model, edit),
        Some(Action::Complete) => step_completion(model, true),
        Some(Action::CompleteBack) => step_completion(model, false),
        Some(Action::Up) => up_or_down(model, false),
        Some(Action::Down) => up_or_down(model, true),
        Some(Action::Home) => {
            if !with_editor(model, Edit::LineStart) {
                conversation::to_oldest(model, fx);
            }
        }
        Some(Action::End) => {
            if !with_editor(model, Edit::LineEnd) {
                conversation::to_newest(model, fx);
            }
        }
        Some(Action::PageUp) => conversation::scroll_page(model, false),
        Some(Action::PageDown) => conversation::scroll_page(model, true),
        Some(Action::Palette) => palette::open(model),
        Some(Action::Search) => search::open(model, "", fx),
        Some(Action::Select) => select::begin(model),
        Some(Action::Sidebar) => {
            if let Some(desk) = model.desk() {
                let shown = layout::sidebar_shown(model.size, desk);
                if let Some(desk) = model.desk_mut() {
                    desk.sidebar = Some(!shown);
                }
            }
        }
        Some(Action::Members) => members::toggle(model),
        Some(Action::Chat(number)) => {
            let name = model.desk().and_then(|desk| desk.chats.at(number - 1)).map(|chat| chat.chat.clone());
            go(model, name, fx);
        }
        Some(Action::NextUnread) => {
            let name = model
                .desk()
                .and_then(|desk| desk.chats.next_unread(desk.here()))
                .map(|chat| chat.chat.clone());
            if name.is_none() {
                model.tell("nothing unread elsewhere");
            }
            go(model, name, fx);
        }
        Some(Action::PreviousChat) => step_chat(model, -1, fx),
        Some(Action::NextChat) => step_chat(model, 1, fx),
        Some(Action::External) => {
            if let Some(desk) = model.desk() {
                fx.push(Effect::Edit(desk.composer.editor.text().to_owned()));
            }
        }
        Some(Action::Close) => close(model),
        Some(_) => {}
    }
}

fn close(model: &mut Model) {
    let width = model.size.width;
    if let Some(desk) = model.desk_mut() {
        if desk.composer.completing.take().is_some() {
            return;
        }
        if width < layout::SIDEBAR_FROM {
            desk.sidebar = None;
        }
        if width < layout::MEMBERS_FROM {
            desk.members = None;
        }
        if touch::leave(model) {
            return model.tell("left as it was");
        }
    }
    if let Some(desk) = model.desk_mut() {
        desk.composer.reply_to = None;
    }
}

fn go(model: &mut Model, name: Option<String>, fx: &mut Vec<Effect>) {
    if let Some(name) = name {
        conversation::open(model, &name, fx);
    }
}

fn step_chat(model: &mut Model, by: isize, fx: &mut Vec<Effect>) {
    let name = model.desk().and_then(|desk| desk.chats.step(desk.here(), by)).map(|chat| chat.chat.clone());
    go(model, name, fx);
}

pub(super) fn insert(model: &mut Model, c: char) {
    if let Some(desk) = model.desk_mut() {
        let fitted = desk.composer.editor.insert(c.encode_utf8(&mut [0; 4]));
        draft_changed(model);
        if !fitted {
            model.complain("a message has at most 32 KiB");
        }
    }
}

fn edit(model: &mut Model, edit: Edit) {
    if with_editor(model, edit) {
        draft_changed(model);
    }
}

fn with_editor(model: &mut Model, edit: Edit) -> bool {
    model.desk_mut().is_some_and(|desk| desk.composer.editor.edit(edit))
}

fn up_or_down(model: &mut Model, down: bool) {
    let Some(desk) = model.desk_mut() else { return };
    let chat = desk.here().unwrap_or_default().to_owned();
    let moved = desk.composer.editor.line_up_or_down(down) || desk.composer.browse(&chat, !down);
    if moved {
        draft_changed(model);
    }
}

/// The names that can be completed in the open chat: in a room its members are meant where somebody is mentioned.
fn names(desk: &Desk) -> Names {
    let people = desk.chats.names(&desk.people);
    let rooms = desk.chats.rooms().map(str::to_owned).collect();
    let Some(open) = desk.open.as_ref().filter(|open| open.is_room()) else {
        return Names { mentions: people.clone(), members: people.clone(), people, rooms };
    };
    let mut members: Vec<String> = open
        .roster
        .all()
        .iter()
        .map(|member| member.name.clone())
        .filter(|name| name != desk.name())
        .collect();
    members.sort();
    let mut mentions = members.clone();
    // Everybody is called by moderators alone.
    let moderates = desk.room_here().is_some_and(|room| room.role >= Some(Role::Moderator));
    mentions.extend(moderates.then(|| "room".to_owned()));
    Names { mentions, members, people, rooms }
}

/// Tab: the longest common beginning, then candidate after candidate.
fn step_completion(model: &mut Model, forward: bool) {
    let Some(desk) = model.desk_mut() else { return };
    let names = names(desk);
    let composer = &mut desk.composer;
    if let Some(mut completing) = composer.completing.take() {
        let count = completing.completion.candidates.len().max(1);
        let step = if forward { 1 } else { count - 1 };
        completing.at = (completing.at + step) % count;
        if let Some(candidate) = completing.completion.candidates.get(completing.at) {
            composer.editor.replace_before(completing.completion.replaces, candidate);
            completing.completion.replaces = candidate.len();
        }
        composer.completing = Some(completing);
        return;
    }
    let mut completion = complete(composer.editor.before(), &names);
    let Some(first) = completion.candidates.first().cloned() else { return };
    composer.editor.replace_before(completion.replaces, &first);
    let only = completion.candidates.len() == 1;
    draft_changed(model);
    if let Some(desk) = model.desk_mut().filter(|_| !only) {
        completion.replaces = first.len();
        desk.composer.completing = Some(Completing { completion, at: 0 });
    }
}

/// A bracketed paste: text, never a command; more than five lines ask.
pub(super) fn paste(model: &mut Model, text: &str) {
    model.notice = None;
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match model.desk_mut().map(|desk| &mut desk.overlay) {
        Some(None) => {}
        Some(Some(Overlay::Palette(palette))) => {
            palette.editor.insert(&cells::one_line(text));
            return palette::rank(palette);
        }
        Some(Some(Overlay::Search(search))) => {
            search.editor.insert(&cells::one_line(text));
            return;
        }
        Some(Some(_)) => return,
        None => {
            if let crate::app::model::Screen::Locked(locked) = &mut model.screen
                && !locked.opening
            {
                text.chars().for_each(|c| locked.push(c));
            }
            return;
        }
    }
    let lines = text.lines().count();
    if lines > PASTE_LINES {
        let preview =
            text.lines().take(3).map(|line| format!("  {}", cells::fit(&cells::one_line(line), 60)));
        let mut said = vec![format!("{lines} lines, beginning with:")];
        said.extend(preview);
        let answer = Answer::Paste(text.to_owned());
        let choices = vec![Choice { key: 'y', label: "paste them".to_owned(), answer }];
        if let Some(desk) = model.desk_mut() {
            desk.overlay =
                Some(Overlay::Question(Question { title: "Paste?".to_owned(), lines: said, choices }));
        }
        return;
    }
    insert_pasted(model, text);
}

/// Inserts a pasted text. What begins with it never runs as a command.
pub(super) fn insert_pasted(model: &mut Model, text: &str) {
    let Some(desk) = model.desk_mut() else { return };
    if let Some(open) = &mut desk.open {
        open.selected = None;
    }
    desk.hits = None;
    let at_start = desk.composer.editor.before().trim().is_empty();
    let fitted = desk.composer.editor.insert(text);
    draft_changed(model);
    if let Some(desk) = model.desk_mut() {
        desk.composer.pasted |= at_start && !desk.composer.editor.is_empty();
    }
    if !fitted {
        model.complain("a message has at most 32 KiB; the end of the paste was left out");
    }
}

/// What came back from the external editor is the draft now; like a paste, it never runs as a command.
pub(super) fn edited(model: &mut Model, result: Result<String, String>) {
    match result {
        Ok(text) => {
            let text = text.trim_end();
            set_draft(model, text, text.starts_with('/'));
        }
        Err(why) => model.complain(why),
    }
}

/// A click on the chat list opens the chat.
pub(super) fn click(model: &mut Model, column: u16, row: u16, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk().filter(|desk| desk.overlay.is_none()) else { return };
    let Some(area) = layout::areas(model, desk).sidebar else { return };
    let inside = column < area.right() && row < area.bottom();
    let name = if inside { view::chat_at(desk, area, row).map(str::to_owned) } else { None };
    go(model, name, fx);
}
