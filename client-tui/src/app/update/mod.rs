//! What happens when something happens: [`update`] changes the model and returns what is to be done outside. It reads no
//! clock, writes no byte and waits for nothing.
//!
//! | file | what it decides |
//! |---|---|
//! | `keys` | where a key goes |
//! | `write`, `select`, `search`, `palette`, `page`, `lock` | what it does there |
//! | `submit`, `command`, `room` | what a line of input does |
//! | `touch` | what is done with a message that is there already |
//! | `conversation` | opening, scrolling, loading and reading a chat |
//! | `members`, `typing` | who is in the open room, and telling them that this person writes |
//! | `events`, `replies` | what the engine told |

mod command;
mod conversation;
mod events;
mod keys;
mod lock;
mod members;
mod notify;
mod page;
mod palette;
mod replies;
mod room;
mod room_pages;
mod search;
mod select;
mod submit;
mod touch;
mod typing;
mod write;

use crossterm::event::{KeyEvent, KeyEventKind};
use subrosa_client::{ApiError, Event, Reply, Request, api::time::Timestamp};
use zeroize::Zeroizing;

use super::{
    model::{Aim, Model, Refresh, Screen},
    session::ExitReason,
    text::time,
};

/// Milliseconds after the last change until a draft is written to the store.
const DRAFT_DELAY: u64 = 2_000;

/// Something that happened.
// One at a time is dealt with: a box for each reply would cost more than the room.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Msg {
    /// A key.
    Key(KeyEvent),
    /// A bracketed paste.
    Paste(String),
    /// A line of the line mode.
    Line(String),
    /// Several lines that came at once in the line mode: a paste.
    Lines(String),
    /// The wheel: lines down, or up when negative.
    Wheel(isize),
    /// A click.
    Click {
        /// Column.
        column: u16,
        /// Row.
        row: u16,
    },
    /// The terminal's size.
    Resize(u16, u16),
    /// The terminal got or lost the focus.
    Focus(bool),
    /// Time passed.
    Tick,
    /// The profile was opened, or why not.
    Unlocked(Result<(), ApiError>),
    /// The engine's event.
    Event(Box<Event>),
    /// Events were left out: all is asked for anew.
    Gap,
    /// The engine has ended.
    Ended,
    /// The engine's answer.
    Reply(Purpose, Result<Reply, ApiError>),
    /// The external editor's text; `None` when it failed, with why.
    Edited(Result<String, String>),
    /// The process was continued, or the terminal drew over the screen.
    Resumed,
    /// A signal, or the end of the input.
    Terminate,
}

/// Which part of a history is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The newest.
    Newest,
    /// From the first unread one on.
    Unread,
    /// The oldest.
    Oldest,
    /// Older ones than there are.
    Before,
    /// Newer ones than there are.
    After,
    /// Those around a message.
    Around {
        /// The message.
        order: i64,
        /// Whether it is selected then.
        select: bool,
    },
    /// The newest as they are now.
    Tail,
}

/// What a call to the engine was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Who this is.
    Account,
    /// The chat list.
    Chats,
    /// The people.
    People,
    /// The status line.
    Status,
    /// A part of a chat's history.
    History {
        /// The chat.
        chat: String,
        /// Which part.
        want: Want,
        /// Answers to questions of an older window are not looked at.
        generation: u32,
    },
    /// A message that was sent.
    Sent {
        /// Where.
        chat: String,
        /// The text, to give it back when it could not be sent.
        text: String,
    },
    /// A draft, a read mark: nothing follows.
    Quiet,
    /// Something to tell when it is done.
    Told(&'static str),
    /// A search.
    Search(String),
    /// A quoted message that is not in the window.
    Quoted,
    /// Somebody was added, by this name; their chat is opened, and what waits for it sent.
    Added(String),
    /// A room was made or joined: it is opened.
    Entered,
    /// A room changed; what to say.
    RoomTold(String),
    /// What is known of a room, to read.
    RoomShown,
    /// The members of a room, to read.
    Members(String),
    /// The members of the open room, for the pane and for completion.
    Roster(String),
    /// The relay's public rooms.
    Rooms,
    /// Who has the message whose details are shown.
    Holders(String),
    /// A message that somebody changed, as it is now.
    Renewed,
    /// A message is changed, or gets a sign.
    Touched {
        /// The room.
        chat: String,
        /// What was to be done.
        aim: Aim,
        /// The message.
        id: String,
        /// Whose it is and how it begins.
        preview: String,
        /// The line, to give it back when it could not be done.
        text: String,
    },
    /// Somebody was accepted.
    Accepted,
    /// Somebody was verified.
    Verified,
    /// Somebody's changed key was accepted.
    Trusted,
    /// The number to compare.
    Compare,
    /// The number of a changed key, to accept it.
    Accept,
}

/// A passphrase on its way.
pub struct Secret(pub Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Something to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Ask the engine; the answer comes as [`Msg::Reply`].
    Call(Purpose, Request),
    /// Open the profile; the answer comes as [`Msg::Unlocked`].
    Unlock(Secret),
    /// Close the profile and forget it.
    Lock,
    /// End.
    Quit(ExitReason),
    /// Put a text into the clipboard (OSC 52).
    Copy(String),
    /// Ring, and notify with this text.
    Notify(String),
    /// Open an external editor on this text; the answer comes as [`Msg::Edited`].
    Edit(String),
    /// Stop the process until it is continued.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

/// Takes something that happened into the model. Returns what is to be done, in order.
pub fn update(model: &mut Model, now: Timestamp, msg: Msg) -> Vec<Effect> {
    // A clock that was set back must not keep the profile open for longer.
    if now < model.now {
        model.last_input = model.last_input.min(now);
    }
    model.now = now;
    let mut effects = Vec::new();
    let fx = &mut effects;
    match msg {
        Msg::Key(key) if key.kind == KeyEventKind::Release => return effects,
        Msg::Key(key) => {
            model.last_input = now;
            keys::press(model, key.into(), fx);
        }
        Msg::Paste(text) => {
            model.last_input = now;
            write::paste(model, &text);
        }
        Msg::Line(line) => {
            model.last_input = now;
            submit::line(model, &line, fx);
        }
        Msg::Lines(text) => {
            model.last_input = now;
            submit::pasted_lines(model, &text);
        }
        Msg::Wheel(lines) => {
            model.last_input = now;
            conversation::scroll(model, lines);
        }
        Msg::Click { column, row } => {
            model.last_input = now;
            write::click(model, column, row, fx);
        }
        Msg::Resize(width, height) => conversation::resize(model, width, height),
        Msg::Focus(focused) => conversation::focus(model, focused),
        Msg::Tick => tick(model, fx),
        Msg::Unlocked(result) => lock::unlocked(model, result, fx),
        Msg::Event(event) => events::event(model, *event, fx),
        Msg::Gap => events::reload(model, fx),
        Msg::Ended => lock::ended(model, fx),
        Msg::Reply(purpose, result) => replies::reply(model, purpose, result, fx),
        Msg::Edited(result) => write::edited(model, result),
        Msg::Resumed => fx.push(Effect::Redraw),
        Msg::Terminate => quit(model, ExitReason::Terminated, fx),
    }
    conversation::settle(model, fx);
    typing::settle(model, fx);
    effects
}

/// When [`Msg::Tick`] is due.
#[must_use]
pub fn next_tick(model: &Model) -> Timestamp {
    let mut next = time::next_minute(model.now);
    match &model.screen {
        Screen::Open(desk) => {
            next = desk.draft_due.map_or(next, |due| next.min(due));
            next = idle_deadline(model).map_or(next, |due| next.min(due));
        }
        Screen::Locked(locked) => next = locked.wait_until.map_or(next, |due| next.min(due)),
    }
    next.max(Timestamp(model.now.0 + 1))
}

/// When an idle profile is locked (R49).
fn idle_deadline(model: &Model) -> Option<Timestamp> {
    let idle = u64::try_from(model.settings.idle_lock()?.as_millis()).ok()?;
    Some(Timestamp(model.last_input.0.saturating_add(idle)))
}

fn tick(model: &mut Model, fx: &mut Vec<Effect>) {
    let now = model.now;
    match &mut model.screen {
        Screen::Locked(locked) => {
            if locked.wait_until.is_some_and(|until| now >= until) {
                locked.wait_until = None;
            }
        }
        Screen::Open(desk) => {
            if desk.draft_due.is_some_and(|due| now >= due) {
                save_draft(model, fx);
            } else if now.0 % time::MINUTE < 1_000 && desk.status_refresh == Refresh::Idle {
                ask_status(model, fx);
            }
            if idle_deadline(model).is_some_and(|deadline| now >= deadline) {
                lock::lock(model, fx);
            }
        }
    }
}

/// Writes the draft to the store, if it changed.
fn save_draft(model: &mut Model, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    desk.draft_due = None;
    let Some(chat) = desk.here().map(str::to_owned) else { return };
    let text = desk.composer.draft().to_owned();
    if text != desk.composer.saved {
        desk.composer.saved.clone_from(&text);
        if let Some(known) = desk.chats.find_mut(&chat) {
            known.draft.clone_from(&text);
        }
        fx.push(Effect::Call(Purpose::Quiet, Request::ChatDraft { chat, text }));
    }
}

/// The draft changed: it is written to the store a little later.
fn draft_changed(model: &mut Model) {
    let due = Timestamp(model.now.0.saturating_add(DRAFT_DELAY));
    if let Some(desk) = model.desk_mut() {
        desk.composer.changed();
        desk.draft_due.get_or_insert(due);
    }
}

/// Puts a text into the composer. One that is `pasted` never runs as a command.
fn set_draft(model: &mut Model, text: &str, pasted: bool) {
    if let Some(desk) = model.desk_mut() {
        desk.composer.editor.set(text);
        desk.composer.pasted = pasted;
        draft_changed(model);
    }
}

fn quit(model: &mut Model, reason: ExitReason, fx: &mut Vec<Effect>) {
    save_draft(model, fx);
    fx.push(Effect::Quit(reason));
}

fn ask_chats(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.desk_mut().is_some_and(|desk| desk.chats_refresh.ask()) {
        fx.push(Effect::Call(Purpose::Chats, Request::ChatList {}));
    }
}

fn ask_people(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.desk_mut().is_some_and(|desk| desk.people_refresh.ask()) {
        fx.push(Effect::Call(Purpose::People, Request::ContactList {}));
    }
}

fn ask_status(model: &mut Model, fx: &mut Vec<Effect>) {
    if model.desk_mut().is_some_and(|desk| desk.status_refresh.ask()) {
        fx.push(Effect::Call(Purpose::Status, Request::StatusShow {}));
    }
}
