//! Search: what is being typed, and what was found.

use subrosa_client::api::Message;

use crate::app::text::editor::Editor;

/// Typing what to search for, with what it finds.
#[derive(Debug, Default)]
pub struct SearchBox {
    /// The words.
    pub editor: Editor,
    /// What they find, newest first.
    pub found: Vec<Message>,
    /// The chosen one.
    pub at: usize,
    /// The words `found` belongs to.
    pub answered: String,
}

/// Stepping through what was found.
#[derive(Debug)]
pub struct Hits {
    /// The words.
    pub words: String,
    /// What they found, newest first.
    pub found: Vec<Message>,
    /// Where the person is.
    pub at: usize,
}

impl Hits {
    /// The message the person is at.
    #[must_use]
    pub fn current(&self) -> Option<&Message> {
        self.found.get(self.at)
    }
}
