//! What a key can do.

use crate::app::text::editor::Edit;

/// What a key does. What it means in detail depends on the place; the update decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Opens the help page of the place.
    Help,
    /// Draws everything anew.
    Redraw,
    /// Locks.
    LockNow,
    /// Stops the process until the shell continues it.
    Suspend,
    /// Clears, leaves, and the second time within two seconds quits.
    Interrupt,
    /// Leaves the place.
    Close,
    /// Takes what is chosen: sends, opens, jumps, accepts.
    Enter,
    /// Edits the line.
    Edit(Edit),
    /// Completes the word; again: the next candidate.
    Complete,
    /// Completes with the candidate before.
    CompleteBack,
    /// Opens the draft in an external editor.
    External,
    /// The line above, or older input.
    Up,
    /// The line below, or newer input.
    Down,
    /// One page towards older messages.
    PageUp,
    /// One page towards newer messages.
    PageDown,
    /// The start of the line, or the oldest message.
    Home,
    /// The end of the line, or the newest message.
    End,
    /// The oldest message.
    Oldest,
    /// The newest message.
    Newest,
    /// The palette.
    Palette,
    /// Search.
    Search,
    /// Shows or hides the chat list.
    Sidebar,
    /// Shows or hides the members of the open room.
    Members,
    /// The chat of this number, from 1.
    Chat(usize),
    /// The next chat with unread messages.
    NextUnread,
    /// The chat above.
    PreviousChat,
    /// The chat below.
    NextChat,
    /// Selects a message.
    Select,
    /// Answers the selected message.
    Reply,
    /// Changes the selected message.
    Change,
    /// Takes the selected message back, for everybody.
    TakeBack,
    /// Puts a sign beside the selected message.
    React,
    /// Pins the selected message, or takes the pin away.
    Pin,
    /// Copies the selected message.
    Copy,
    /// Details of the selected message.
    Info,
    /// Jumps to the message the selected one answers.
    Quoted,
    /// The next older hit.
    NextHit,
    /// The next newer hit.
    PreviousHit,
}

impl Action {
    /// Whether the engine offers it in rooms alone, so far.
    #[must_use]
    pub const fn only_in_rooms(self) -> bool {
        matches!(self, Self::Change | Self::TakeBack | Self::React | Self::Pin | Self::Members)
    }
}
