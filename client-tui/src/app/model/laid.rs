//! Texts of the open chat as they were wrapped last: a scroll wraps only what is new on the screen.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::WINDOW_MAX;
use crate::app::text::wrap::wrap;

/// Messages that are remembered: at most as many as the window has. When there are more, all are forgotten.
pub const LAID_MAX: usize = WINDOW_MAX;

/// Wrapped texts, by the message's `order`.
#[derive(Debug, Default)]
pub struct Laid {
    texts: RefCell<HashMap<i64, Text>>,
}

/// A text as it was wrapped.
#[derive(Debug)]
struct Text {
    /// Which text it was: an edit is another.
    revision: u64,
    /// Columns of its first line, and of the others.
    widths: (usize, usize),
    lines: Arc<[String]>,
}

impl Laid {
    /// The lines of a message's text: the first at most `first` cells wide, the others `rest`.
    #[must_use]
    pub fn wrapped(&self, order: i64, text: &str, first: usize, rest: usize) -> Arc<[String]> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (revision, widths) = (hasher.finish(), (first, rest));
        let mut texts = self.texts.borrow_mut();
        if let Some(known) =
            texts.get(&order).filter(|known| known.revision == revision && known.widths == widths)
        {
            return known.lines.clone();
        }
        if texts.len() >= LAID_MAX && !texts.contains_key(&order) {
            texts.clear();
        }
        let lines: Arc<[String]> = wrap(text, first, rest).into();
        texts.insert(order, Text { revision, widths, lines: lines.clone() });
        lines
    }

    /// Forgets everything: the width is another one.
    pub fn forget(&self) {
        self.texts.borrow_mut().clear();
    }

    /// How many messages are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.borrow().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_would_be_wrapped_anew() {
        let laid = Laid::default();
        let lines = laid.wrapped(1, "one two three", 7, 5);
        assert_eq!(*lines, ["one two", "three"]);
        assert!(Arc::ptr_eq(&lines, &laid.wrapped(1, "one two three", 7, 5)), "not wrapped again");
        // Another width, another text, another message.
        assert_eq!(*laid.wrapped(1, "one two three", 3, 5), ["one", "two", "three"]);
        assert_eq!(*laid.wrapped(1, "changed", 7, 5), ["changed"]);
        assert_eq!(*laid.wrapped(2, "other", 7, 5), ["other"]);
        assert_eq!(laid.len(), 2);
        laid.forget();
        assert!(laid.is_empty());
    }

    #[test]
    fn r8_no_more_is_remembered_than_fits() {
        let laid = Laid::default();
        let most = (0..i64::try_from(LAID_MAX).unwrap() + 1).map(|order| {
            let _ = laid.wrapped(order, "text", 9, 9);
            laid.len()
        });
        assert_eq!(most.max(), Some(LAID_MAX));
        assert_eq!(laid.len(), 1);
    }
}
