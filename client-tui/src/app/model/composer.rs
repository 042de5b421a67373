//! The composer: the draft, what it answers, what was written before, and a completion in progress.

use std::collections::HashMap;

use crate::app::{commands::complete::Completion, text::editor::Editor};

/// Inputs remembered a chat.
pub const HISTORY_MAX: usize = 100;
/// Chats whose inputs are remembered.
const HISTORY_CHATS: usize = 50;

/// The message a draft answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// Its id.
    pub id: String,
    /// Whose it is and how it begins.
    pub preview: String,
}

/// What Enter does with the line, where it is no new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The line is the message's text from then on.
    Change,
    /// The line is put beside the message as a sign.
    Sign,
}

/// A line that is about an existing message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aimed {
    /// What it does.
    pub aim: Aim,
    /// The message's id.
    pub id: String,
    /// Whose it is and how it begins.
    pub preview: String,
    /// The draft that waits meanwhile.
    draft: String,
    /// Whether its beginning was pasted.
    pasted: bool,
}

/// A completion that further Tabs step through.
#[derive(Debug, Clone)]
pub struct Completing {
    /// The candidates.
    pub completion: Completion,
    /// Which one stands in the line.
    pub at: usize,
}

/// The composer.
#[derive(Debug, Default)]
pub struct Composer {
    /// The draft.
    pub editor: Editor,
    /// The message it answers.
    pub reply_to: Option<ReplyTo>,
    /// The message that the line is about.
    pub aimed: Option<Aimed>,
    /// A completion in progress.
    pub completing: Option<Completing>,
    /// Whether the draft's beginning was pasted: it then never runs as a command.
    pub pasted: bool,
    /// The draft as the store has it.
    pub saved: String,
    history: HashMap<String, Vec<String>>,
    /// How far back `Up` went, and the draft it left.
    browsing: Option<(usize, String)>,
}

impl Composer {
    /// Takes up a chat's draft.
    pub fn open(&mut self, draft: &str) {
        self.editor.forget();
        if !draft.is_empty() {
            self.editor.set(draft);
        }
        self.saved = draft.to_owned();
        self.reply_to = None;
        self.aimed = None;
        self.completing = None;
        self.browsing = None;
        // A draft that begins with a slash was left unsent; nobody knows how it came there.
        self.pasted = draft.starts_with('/');
    }

    /// The line is about a message from now on, and begins with `text`; the draft waits.
    pub fn aim(&mut self, aim: Aim, id: String, preview: String, text: &str) {
        self.unaim();
        let draft = self.editor.take();
        self.aimed = Some(Aimed { aim, id, preview, draft, pasted: self.pasted });
        if !text.is_empty() {
            self.editor.set(text);
        }
        self.browsing = None;
        self.completing = None;
    }

    /// The line is a draft again: the one that waited. Tells what it was about.
    pub fn unaim(&mut self) -> Option<Aimed> {
        let aimed = self.aimed.take()?;
        self.editor.forget();
        if !aimed.draft.is_empty() {
            self.editor.set(&aimed.draft);
        }
        self.pasted = aimed.pasted;
        self.browsing = None;
        self.completing = None;
        Some(aimed)
    }

    /// What is to become a message, if it is ever sent: what the store keeps.
    #[must_use]
    pub fn draft(&self) -> &str {
        self.aimed.as_ref().map_or(self.editor.text(), |aimed| &aimed.draft)
    }

    /// The input of a chat that was remembered last.
    #[must_use]
    pub fn last(&self, chat: &str) -> Option<&str> {
        self.history.get(chat)?.last().map(String::as_str)
    }

    /// The draft changed: what depended on the old one is over.
    pub fn changed(&mut self) {
        self.completing = None;
        if self.editor.is_empty() {
            self.pasted = false;
            self.browsing = None;
        }
    }

    /// Remembers an input of a chat.
    pub fn remember(&mut self, chat: &str, input: &str) {
        self.browsing = None;
        if input.trim().is_empty() {
            return;
        }
        if self.history.len() >= HISTORY_CHATS && !self.history.contains_key(chat) {
            self.history.clear();
        }
        let inputs = self.history.entry(chat.to_owned()).or_default();
        inputs.retain(|known| known != input);
        inputs.push(input.to_owned());
        if inputs.len() > HISTORY_MAX {
            inputs.remove(0);
        }
    }

    /// Begins a chat's history with what was sent before, oldest first, unless there is one.
    pub fn seed(&mut self, chat: &str, sent: impl Iterator<Item = String>) {
        if !self.history.contains_key(chat) {
            for input in sent {
                self.remember(chat, &input);
            }
        }
    }

    /// Puts older (or newer) input into the line. Tells whether there was any.
    pub fn browse(&mut self, chat: &str, older: bool) -> bool {
        let empty = Vec::new();
        let inputs = self.history.get(chat).unwrap_or(&empty);
        let (back, draft) = match &self.browsing {
            Some((back, draft)) => (*back, draft.clone()),
            None => (0, self.editor.text().to_owned()),
        };
        let back = if older { back + 1 } else { back.saturating_sub(1) };
        if back > inputs.len() || (self.browsing.is_none() && !older) {
            return false;
        }
        if back == 0 {
            self.editor.set(&draft);
            self.browsing = None;
        } else if let Some(input) = inputs.len().checked_sub(back).and_then(|at| inputs.get(at)) {
            let input = input.clone();
            self.editor.set(&input);
            self.browsing = Some((back, draft));
        }
        self.completing = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_a_chats_own_and_brings_the_draft_back() {
        let mut composer = Composer::default();
        composer.remember("bob", "one");
        composer.remember("bob", "two");
        composer.editor.insert("draft");
        assert!(!composer.browse("carol", true));
        assert!(composer.browse("bob", true));
        assert_eq!(composer.editor.text(), "two");
        assert!(composer.browse("bob", true));
        assert!(!composer.browse("bob", true));
        assert_eq!(composer.editor.text(), "one");
        composer.browse("bob", false);
        composer.browse("bob", false);
        assert_eq!(composer.editor.text(), "draft");
        assert!(!composer.browse("bob", false));
    }

    #[test]
    fn history_is_bounded() {
        let mut composer = Composer::default();
        for n in 0..2 * HISTORY_MAX {
            composer.remember("bob", &n.to_string());
        }
        assert_eq!(composer.history["bob"].len(), HISTORY_MAX);
        for n in 0..2 * HISTORY_CHATS {
            composer.remember(&n.to_string(), "x");
        }
        assert!(composer.history.len() <= HISTORY_CHATS);
    }
}
