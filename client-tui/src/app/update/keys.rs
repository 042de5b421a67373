//! Where a key goes.

use super::{Effect, lock, page, palette, quit, search, select, write};
use crate::app::{
    keymap::{Action, Chord, Place, find},
    model::{Model, Overlay, Page, Screen},
    session::ExitReason,
};

/// Milliseconds within which a second Ctrl-C quits.
const TWICE: u64 = 2_000;

pub(super) fn press(model: &mut Model, chord: Chord, fx: &mut Vec<Effect>) {
    model.notice = None;
    let place = model.place();
    if place == Place::Question && chord.typed().is_some_and(|c| page::answer(model, c, fx)) {
        return;
    }
    let empty = model.desk().is_none_or(|desk| desk.composer.editor.is_empty());
    let action = find(place, chord, empty);
    if action != Some(Action::Interrupt) {
        model.interrupted = None;
    }
    match action {
        Some(Action::Redraw) => fx.push(Effect::Redraw),
        Some(Action::Suspend) => fx.push(Effect::Suspend),
        Some(Action::LockNow) => lock::lock(model, fx),
        Some(Action::Interrupt) => interrupt(model, fx),
        Some(Action::Help) => help(model, place),
        action => match place {
            Place::Lock => lock::key(model, action, chord, fx),
            Place::Write => write::key(model, action, chord, fx),
            Place::Select => select::key(model, action, fx),
            Place::Search => search::key(model, action, chord, fx),
            Place::Hits => search::hits_key(model, action, chord, fx),
            Place::Palette => palette::key(model, action, chord, fx),
            Place::Page => page::key(model, action),
            Place::Question => {
                if action == Some(Action::Close) {
                    page::leave(model);
                }
            }
        },
    }
}

fn help(model: &mut Model, place: Place) {
    match &mut model.screen {
        Screen::Locked(_) => model.lock_help = !model.lock_help,
        Screen::Open(_) if place == Place::Question => {
            model.tell("answer with one of the keys shown, or Esc")
        }
        Screen::Open(desk) => desk.overlay = Some(Overlay::Page(Page::Help(place), 0)),
    }
}

/// Ctrl-C: clears or leaves, and the second time within two seconds quits.
fn interrupt(model: &mut Model, fx: &mut Vec<Effect>) {
    let now = model.now;
    let twice = model.interrupted.is_some_and(|at| now.0.saturating_sub(at.0) < TWICE);
    model.interrupted = Some(now);
    match &mut model.screen {
        Screen::Locked(_) if model.lock_help => model.lock_help = false,
        Screen::Locked(locked) => {
            if locked.typed() > 0 {
                drop(locked.take());
            } else {
                fx.push(Effect::Quit(ExitReason::Quit));
            }
        }
        Screen::Open(_) if twice => quit(model, ExitReason::Quit, fx),
        Screen::Open(desk) => {
            let mut said = "Ctrl-C again quits";
            if desk.overlay.is_some() {
                desk.overlay = None;
            } else if desk.open.as_ref().is_some_and(|open| open.selected.is_some()) || desk.hits.is_some() {
                desk.hits = None;
                if let Some(open) = &mut desk.open {
                    open.selected = None;
                }
            } else if desk.composer.unaim().is_some() {
                said = "left as it was; Ctrl-C again quits";
            } else if !desk.composer.editor.is_empty() {
                let draft = desk.composer.editor.take();
                let chat = desk.here().unwrap_or_default().to_owned();
                desk.composer.remember(&chat, &draft);
                said = "draft cleared, Up brings it back; Ctrl-C again quits";
                super::draft_changed(model);
            }
            model.tell(said);
        }
    }
}
