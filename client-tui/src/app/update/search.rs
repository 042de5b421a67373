//! Searching, and stepping through what was found.

use subrosa_client::Request;

use super::{Effect, Purpose, conversation, select, write};
use crate::app::{
    keymap::{Action, Chord},
    model::{Hits, Model, Overlay, SearchBox},
};

/// Hits asked for.
const HITS: u32 = 200;

/// Opens the search, with words or with those of the last one.
pub(super) fn open(model: &mut Model, words: &str, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let words = if words.is_empty() {
        desk.hits.take().map(|hits| hits.words).unwrap_or_default()
    } else {
        words.to_owned()
    };
    let mut search = SearchBox::default();
    search.editor.set(&words);
    desk.overlay = Some(Overlay::Search(search));
    ask(model, fx);
}

/// Asks for what is typed.
fn ask(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(Overlay::Search(search)) = model.desk_mut().and_then(|desk| desk.overlay.as_mut()) else {
        return;
    };
    let words = search.editor.text().trim().to_owned();
    if words.is_empty() {
        search.found.clear();
        search.answered.clear();
    } else if words != search.answered {
        fx.push(Effect::Call(
            Purpose::Search(words.clone()),
            Request::MessageSearch { query: words, limit: HITS },
        ));
    }
}

pub(super) fn key(model: &mut Model, action: Option<Action>, chord: Chord, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let Some(Overlay::Search(search)) = &mut desk.overlay else { return };
    match action {
        Some(Action::Close) => desk.overlay = None,
        Some(Action::Up) => search.at = search.at.saturating_sub(1),
        Some(Action::Down) => search.at = (search.at + 1).min(search.found.len().saturating_sub(1)),
        Some(Action::Enter) => {
            if search.found.is_empty() {
                return;
            }
            let found = std::mem::take(&mut search.found);
            desk.hits = Some(Hits { words: search.answered.clone(), found, at: search.at });
            desk.overlay = None;
            go(model, fx);
        }
        Some(Action::Edit(edit)) => {
            search.editor.edit(edit);
            ask(model, fx);
        }
        Some(_) => {}
        None => {
            if let Some(c) = chord.typed() {
                search.editor.insert(c.encode_utf8(&mut [0; 4]));
                ask(model, fx);
            }
        }
    }
}

pub(super) fn hits_key(model: &mut Model, action: Option<Action>, chord: Chord, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    let Some(hits) = &mut desk.hits else { return };
    match action {
        Some(Action::NextHit) if hits.at + 1 < hits.found.len() => {
            hits.at += 1;
            go(model, fx);
        }
        Some(Action::NextHit) => model.tell("that was the oldest hit"),
        Some(Action::PreviousHit) if hits.at > 0 => {
            hits.at -= 1;
            go(model, fx);
        }
        Some(Action::PreviousHit) => model.tell("that was the newest hit"),
        Some(Action::Select) => select::begin(model),
        Some(Action::Search) => open(model, "", fx),
        Some(Action::PageUp) => conversation::scroll_page(model, false),
        Some(Action::PageDown) => conversation::scroll_page(model, true),
        Some(Action::Newest) => conversation::to_newest(model, fx),
        Some(_) => desk.hits = None,
        None => {
            desk.hits = None;
            if let Some(c) = chord.typed() {
                write::insert(model, c);
            }
        }
    }
}

/// Shows the current hit.
fn go(model: &mut Model, fx: &mut Vec<Effect>) {
    let hit = model.desk().and_then(|desk| desk.hits.as_ref()).and_then(|hits| hits.current());
    if let Some((chat, order)) = hit.map(|hit| (hit.chat.clone(), hit.order)) {
        conversation::jump(model, &chat, order, false, fx);
    }
}
