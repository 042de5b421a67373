//! The table of keys.

use super::{Action, Binding, Place, When};
use crate::app::text::editor::Edit;

macro_rules! bindings {
    ($($place:ident { $( $keys:expr $(, also $also:expr)? $(, if $when:ident)? => $action:expr, $help:literal $(, $hint:literal)?; )+ })+) => {
        /// Every binding.
        pub const BINDINGS: &[Binding] = &[$($(
            Binding {
                place: Place::$place,
                keys: &$keys,
                also: first!([$(&$also,)? &[]]),
                when: first!([$(When::$when,)? When::Always]),
                action: $action,
                help: $help,
                hint: first!([$($hint,)? ""]),
            },
        )+)+];
    };
}
macro_rules! first {
    ([$first:expr $(, $rest:expr)*]) => {
        $first
    };
}

bindings! {
    Write {
        ["Enter"] => Action::Enter, "send; on an empty line, accept a request";
        ["Alt-Enter", "Shift-Enter", "Ctrl-J"] => Action::Edit(Edit::NewLine), "new line";
        ["Up"] => Action::Up, "line above, or older input";
        ["Down"] => Action::Down, "line below, or newer input";
        ["Tab"] => Action::Complete, "complete a command or a name";
        ["Shift-Tab"] => Action::CompleteBack, "the completion before";
        ["Ctrl-P"] => Action::Palette, "palette: chats, people, commands", "palette";
        ["Ctrl-K"], if EmptyLine => Action::Palette, "palette";
        ["Ctrl-F"] => Action::Search, "search", "search";
        ["Shift-Up", "Alt-K"] => Action::Select, "select a message", "select";
        ["PgUp"] => Action::PageUp, "older messages";
        ["PgDn"] => Action::PageDown, "newer messages";
        ["Home"] => Action::Home, "start of the line; from there, oldest message";
        ["End"] => Action::End, "end of the line; from there, newest message";
        ["Alt-1"] => Action::Chat(1), "first chat; Alt-2 to Alt-9 the others";
        ["Alt-2"] => Action::Chat(2), "second chat";
        ["Alt-3"] => Action::Chat(3), "third chat";
        ["Alt-4"] => Action::Chat(4), "fourth chat";
        ["Alt-5"] => Action::Chat(5), "fifth chat";
        ["Alt-6"] => Action::Chat(6), "sixth chat";
        ["Alt-7"] => Action::Chat(7), "seventh chat";
        ["Alt-8"] => Action::Chat(8), "eighth chat";
        ["Alt-9"] => Action::Chat(9), "ninth chat";
        ["Alt-A"] => Action::NextUnread, "next chat with unread messages";
        ["Alt-Up"] => Action::PreviousChat, "chat above";
        ["Alt-Down"] => Action::NextChat, "chat below";
        ["Ctrl-B"] => Action::Sidebar, "show or hide the chat list";
        ["F8"] => Action::Members, "show or hide the members of a room";
        ["Ctrl-O"] => Action::External, "write in your editor";
        ["Ctrl-C"] => Action::Interrupt, "clear the draft (Up brings it back); twice: quit";
        ["Esc"] => Action::Close, "close the chat list or the members, forget a reply or a change";
        ["F1"] => Action::Help, "help", "help";
        ["?"], if EmptyLine => Action::Help, "help";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now", "lock";
        ["Ctrl-Z"] => Action::Suspend, "to the shell; fg comes back";
        ["Left"] => Action::Edit(Edit::Left), "left";
        ["Right"] => Action::Edit(Edit::Right), "right";
        ["Ctrl-A"] => Action::Edit(Edit::LineStart), "start of the line";
        ["Ctrl-E"] => Action::Edit(Edit::LineEnd), "end of the line";
        ["Alt-B", "Ctrl-Left"], also ["Alt-Left"] => Action::Edit(Edit::WordLeft), "word to the left";
        ["Alt-F", "Ctrl-Right"], also ["Alt-Right"] => Action::Edit(Edit::WordRight), "word to the right";
        ["Backspace"], also ["Ctrl-H", "Shift-Backspace"] => Action::Edit(Edit::Backspace), "delete to the left";
        ["Delete", "Ctrl-D"] => Action::Edit(Edit::Delete), "delete to the right";
        ["Ctrl-W"], also ["Alt-Backspace", "Ctrl-Backspace"] => Action::Edit(Edit::KillWordLeft), "delete the word to the left";
        ["Alt-D"] => Action::Edit(Edit::KillWordRight), "delete the word to the right";
        ["Ctrl-K"] => Action::Edit(Edit::KillToEnd), "delete to the end of the line";
        ["Ctrl-U"] => Action::Edit(Edit::KillToStart), "delete to the start of the line";
        ["Ctrl-Y"] => Action::Edit(Edit::Yank), "insert what was deleted";
        ["Ctrl-T"] => Action::Edit(Edit::Transpose), "exchange two characters";
        ["Ctrl-_"], also ["Ctrl-7", "Ctrl-/"] => Action::Edit(Edit::Undo), "undo";
    }
    Select {
        ["j", "Down"] => Action::Down, "newer message", "newer";
        ["k", "Up"], also ["Shift-Up", "Alt-K"] => Action::Up, "older message", "older";
        ["r"], also ["Enter"] => Action::Reply, "answer it", "reply";
        ["e"] => Action::Change, "change it; in rooms", "edit";
        ["d"] => Action::TakeBack, "take it back, for everybody; in rooms", "delete";
        ["+"] => Action::React, "put a sign beside it, or take yours away; in rooms", "react";
        ["p"] => Action::Pin, "pin it to the room, or take the pin away; for moderators", "pin";
        ["y"] => Action::Copy, "copy it (OSC 52)", "copy";
        ["i"] => Action::Info, "its details: who has it, who has read it", "info";
        ["Q"] => Action::Quoted, "to the message it answers", "quoted";
        ["g", "Home"] => Action::Oldest, "oldest message", "oldest";
        ["G", "End"] => Action::Newest, "newest message", "newest";
        ["PgUp"] => Action::PageUp, "a page older", "page up";
        ["PgDn"] => Action::PageDown, "a page newer", "page down";
        ["?", "F1"] => Action::Help, "help", "help";
        ["Esc"], also ["q"] => Action::Close, "back to writing", "write";
        ["Ctrl-C"] => Action::Interrupt, "back to writing", "back";
        ["Ctrl-L"] => Action::Redraw, "draw anew", "redraw";
        ["Alt-L"] => Action::LockNow, "lock now", "lock";
        ["Ctrl-Z"] => Action::Suspend, "to the shell", "shell";
    }
    Search {
        ["Enter"] => Action::Enter, "go to the chosen message", "go";
        ["Up"], also ["Ctrl-P"] => Action::Up, "newer hit", "newer";
        ["Down"], also ["Ctrl-N"] => Action::Down, "older hit", "older";
        ["Esc"] => Action::Close, "back to writing", "close";
        ["Ctrl-C"] => Action::Interrupt, "back to writing";
        ["F1"] => Action::Help, "help";
        ["Left"] => Action::Edit(Edit::Left), "left";
        ["Right"] => Action::Edit(Edit::Right), "right";
        ["Backspace"], also ["Ctrl-H"] => Action::Edit(Edit::Backspace), "delete to the left";
        ["Ctrl-W"], also ["Alt-Backspace"] => Action::Edit(Edit::KillWordLeft), "delete the word to the left";
        ["Ctrl-U"] => Action::Edit(Edit::KillToStart), "delete to the start of the line";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now";
    }
    Hits {
        ["n"] => Action::NextHit, "next (older) hit", "next";
        ["N"] => Action::PreviousHit, "previous (newer) hit", "previous";
        ["Enter"] => Action::Select, "select the message", "select";
        ["Ctrl-F"] => Action::Search, "search again", "search";
        ["PgUp"] => Action::PageUp, "older messages";
        ["PgDn"] => Action::PageDown, "newer messages";
        ["End"] => Action::Newest, "newest message", "newest";
        ["Esc"] => Action::Close, "back to writing; so does any other character", "write";
        ["Ctrl-C"] => Action::Interrupt, "back to writing";
        ["?", "F1"] => Action::Help, "help", "help";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now";
        ["Ctrl-Z"] => Action::Suspend, "to the shell";
    }
    Palette {
        ["Enter"] => Action::Enter, "open the chat, or begin the command", "open";
        ["Up"], also ["Ctrl-P"] => Action::Up, "up";
        ["Down"], also ["Ctrl-N", "Tab"] => Action::Down, "down";
        ["Esc"], also ["Ctrl-K"] => Action::Close, "close", "close";
        ["Ctrl-C"] => Action::Interrupt, "close";
        ["F1"] => Action::Help, "help";
        ["Left"] => Action::Edit(Edit::Left), "left";
        ["Right"] => Action::Edit(Edit::Right), "right";
        ["Backspace"], also ["Ctrl-H"] => Action::Edit(Edit::Backspace), "delete to the left";
        ["Ctrl-W"], also ["Alt-Backspace"] => Action::Edit(Edit::KillWordLeft), "delete the word to the left";
        ["Ctrl-U"] => Action::Edit(Edit::KillToStart), "delete to the start of the line";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now";
    }
    Page {
        ["Up", "k"] => Action::Up, "up";
        ["Down", "j"] => Action::Down, "down";
        ["PgUp"] => Action::PageUp, "a page up";
        ["PgDn"], also [" "] => Action::PageDown, "a page down", "scroll";
        ["Home", "g"] => Action::Oldest, "to the top";
        ["End", "G"] => Action::Newest, "to the bottom";
        ["Esc", "Enter"], also ["q"] => Action::Close, "close", "close";
        ["Ctrl-C"] => Action::Interrupt, "close";
        ["?", "F1"] => Action::Help, "help";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now";
        ["Ctrl-Z"] => Action::Suspend, "to the shell";
    }
    Question {
        ["Esc"] => Action::Close, "leave everything as it is", "back";
        ["Ctrl-C"] => Action::Interrupt, "leave everything as it is";
        ["F1"] => Action::Help, "help";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Alt-L"] => Action::LockNow, "lock now";
    }
    Lock {
        ["Enter"] => Action::Enter, "open the profile", "open";
        ["Backspace"], also ["Ctrl-H"] => Action::Edit(Edit::Backspace), "delete the last character";
        ["Ctrl-U"] => Action::Edit(Edit::KillToStart), "clear the passphrase", "clear";
        ["Ctrl-C"] => Action::Interrupt, "clear the passphrase; on an empty field, quit", "quit";
        ["F1"] => Action::Help, "help", "help";
        ["Ctrl-L"] => Action::Redraw, "draw anew";
        ["Ctrl-Z"] => Action::Suspend, "to the shell";
    }
}
