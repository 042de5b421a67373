//! The lock screen, locking and opening.

use subrosa_client::{ApiError, Request, api::Kind};

use super::{Effect, Purpose, Secret, ask_chats, ask_people, ask_status, save_draft};
use crate::app::{
    keymap::{Action, Chord},
    model::{Desk, Locked, Model, Screen},
    text::editor::Edit,
    words,
};

pub(super) fn key(model: &mut Model, action: Option<Action>, chord: Chord, fx: &mut Vec<Effect>) {
    let now = model.now;
    let Screen::Locked(locked) = &mut model.screen else { return };
    if locked.opening {
        return;
    }
    match action {
        Some(Action::Enter) if locked.typed() == 0 => {}
        Some(Action::Enter) if !locked.takes(now) => {
            let seconds = locked.wait_until.map_or(0, |until| until.0.saturating_sub(now.0).div_ceil(1_000));
            locked.message = Some(format!("wait {seconds} s before the next try"));
        }
        Some(Action::Enter) => {
            let passphrase = locked.take();
            locked.opening = true;
            locked.message = None;
            fx.push(Effect::Unlock(Secret(passphrase)));
        }
        Some(Action::Edit(Edit::Backspace)) => locked.pop(),
        Some(Action::Edit(_)) => drop(locked.take()),
        _ => {
            if let Some(c) = chord.typed() {
                locked.message = None;
                locked.push(c);
            }
        }
    }
}

pub(super) fn unlocked(model: &mut Model, result: Result<(), ApiError>, fx: &mut Vec<Effect>) {
    let now = model.now;
    match result {
        Ok(()) => {
            model.screen = Screen::Open(Box::default());
            model.notice = None;
            model.lock_help = false;
            model.last_input = now;
            fx.push(Effect::Call(Purpose::Account, Request::AccountShow {}));
            ask_chats(model, fx);
            ask_people(model, fx);
            ask_status(model, fx);
        }
        Err(error) => {
            if let Screen::Locked(locked) = &mut model.screen {
                locked.opening = false;
                if error.kind == Kind::NotReady {
                    locked.wrong(now);
                }
                locked.message = Some(words::refusal(&error));
            }
        }
    }
}

/// Locks: what was on the desk is dropped, the engine closed (R49).
pub(super) fn lock(model: &mut Model, fx: &mut Vec<Effect>) {
    save_draft(model, fx);
    forget(model, Locked::default(), fx);
}

/// The engine has ended by itself.
pub(super) fn ended(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.desk().is_some() {
        forget(model, Locked::because("the process that kept this profile open has ended"), fx);
    }
}

fn forget(model: &mut Model, locked: Locked, fx: &mut Vec<Effect>) {
    if let Screen::Open(desk) = &model.screen {
        model.first_chat = Desk::here(desk).map(str::to_owned);
        model.screen = Screen::Locked(locked);
        model.notice = None;
        model.interrupted = None;
        fx.push(Effect::Lock);
    }
}
