//! The line editor: readline's keys on text of several lines, by grapheme cluster, with undo.

use subrosa_protocol::{SafeText, limits::TEXT_BYTES};
use unicode_segmentation::UnicodeSegmentation as _;

/// Steps that can be undone.
const UNDO_STEPS: usize = 100;

/// An editing step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// One grapheme cluster to the left.
    Left,
    /// One grapheme cluster to the right.
    Right,
    /// To the start of the word.
    WordLeft,
    /// To the end of the word.
    WordRight,
    /// To the start of the line.
    LineStart,
    /// To the end of the line.
    LineEnd,
    /// Deletes to the left.
    Backspace,
    /// Deletes to the right.
    Delete,
    /// Deletes the word to the left, keeping it for [`Edit::Yank`].
    KillWordLeft,
    /// Deletes the word to the right, keeping it.
    KillWordRight,
    /// Deletes to the end of the line, keeping it.
    KillToEnd,
    /// Deletes to the start of the line, keeping it.
    KillToStart,
    /// Inserts what was deleted last by one of the kills.
    Yank,
    /// Exchanges the two clusters before the cursor.
    Transpose,
    /// A new line.
    NewLine,
    /// Takes back the last change.
    Undo,
}

/// A text with a cursor.
#[derive(Debug, Clone, Default)]
pub struct Editor {
    text: String,
    /// Byte of the text, at the start of a grapheme cluster.
    cursor: usize,
    killed: String,
    undo: Vec<(String, usize)>,
    /// Whether the last change inserted a character, so that a word is undone at once.
    typing: bool,
}

impl Editor {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte the cursor stands at.
    #[must_use]
    pub const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    #[must_use]
    pub fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// What stands behind the cursor.
    #[must_use]
    pub fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// Replaces the whole text; the cursor stands at its end. What was there can be undone.
    pub fn set(&mut self, text: &str) {
        self.remember();
        self.text = clean(text, TEXT_BYTES);
        self.cursor = self.text.len();
    }

    /// Takes the text out.
    pub fn take(&mut self) -> String {
        self.remember();
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Forgets text, kill ring and undo steps.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Inserts at the cursor what a person typed or pasted, without characters that steer a terminal, up to the longest
    /// message there is. Tells whether all of it fitted.
    pub fn insert(&mut self, text: &str) -> bool {
        let room = TEXT_BYTES.saturating_sub(self.text.len());
        let clean = clean(text, room);
        let single = text.chars().nth(1).is_none();
        if !(self.typing && single && !text.contains(char::is_whitespace)) {
            self.remember();
        }
        self.typing = single;
        let cursor = self.cursor + clean.len();
        self.text.insert_str(self.cursor, &clean);
        // A joiner or a mark may have joined what stands behind the cursor to what stands before it.
        self.cursor = self.boundary_at_or_after(cursor);
        clean.len() == text.len() || text.len() <= room
    }

    /// Replaces the `bytes` before the cursor.
    pub fn replace_before(&mut self, bytes: usize, with: &str) {
        self.remember();
        let start = self.cursor.saturating_sub(bytes);
        if self.text.is_char_boundary(start) {
            self.text.replace_range(start..self.cursor, with);
            self.cursor = start + with.len();
        }
    }

    /// Carries out one step. Tells whether it did anything.
    pub fn edit(&mut self, edit: Edit) -> bool {
        let before = (self.text.len(), self.cursor);
        match edit {
            Edit::Left => self.cursor = self.previous(),
            Edit::Right => self.cursor = self.next(),
            Edit::WordLeft => self.cursor = self.word_left(),
            Edit::WordRight => self.cursor = self.word_right(),
            Edit::LineStart => self.cursor = self.line_start(),
            Edit::LineEnd => self.cursor = self.line_end(),
            Edit::Backspace => self.remove(self.previous(), self.cursor, false),
            Edit::Delete => self.remove(self.cursor, self.next(), false),
            Edit::KillWordLeft => self.remove(self.word_left(), self.cursor, true),
            Edit::KillWordRight => self.remove(self.cursor, self.word_right(), true),
            Edit::KillToStart => self.remove(self.line_start(), self.cursor, true),
            Edit::KillToEnd => {
                let end = self.line_end();
                // At the end of a line, the line break goes.
                self.remove(self.cursor, if end == self.cursor { self.next() } else { end }, true);
            }
            Edit::Yank => {
                let killed = self.killed.clone();
                self.typing = false;
                self.insert(&killed);
            }
            Edit::Transpose => self.transpose(),
            Edit::NewLine => {
                self.typing = false;
                self.insert("\n");
            }
            Edit::Undo => {
                if let Some((text, cursor)) = self.undo.pop() {
                    self.text = text;
                    self.cursor = cursor;
                    self.typing = false;
                    return true;
                }
            }
        }
        before != (self.text.len(), self.cursor) || edit == Edit::Transpose
    }

    /// Moves to the line above or below. Tells whether there is one.
    pub fn line_up_or_down(&mut self, down: bool) -> bool {
        let start = self.line_start();
        let column = self.text.get(start..self.cursor).map_or(0, |line| line.graphemes(true).count());
        let target = if down {
            let end = self.line_end();
            if end == self.text.len() {
                return false;
            }
            end + 1
        } else {
            if start == 0 {
                return false;
            }
            self.text.get(..start - 1).and_then(|above| above.rfind('\n')).map_or(0, |at| at + 1)
        };
        let line = self.text.get(target..).and_then(|rest| rest.split('\n').next()).unwrap_or_default();
        let bytes: usize = line.graphemes(true).take(column).map(str::len).sum();
        self.cursor = target + bytes;
        true
    }

    fn remember(&mut self) {
        self.typing = false;
        if self.undo.last().is_none_or(|(text, _)| *text != self.text) {
            if self.undo.len() == UNDO_STEPS {
                self.undo.remove(0);
            }
            self.undo.push((self.text.clone(), self.cursor));
        }
    }

    fn remove(&mut self, from: usize, to: usize, keep: bool) {
        if from < to && self.text.get(from..to).is_some() {
            self.remember();
            let gone: String = self.text.drain(from..to).collect();
            self.cursor = from;
            if keep {
                self.killed = gone;
            }
        }
    }

    fn transpose(&mut self) {
        let last = if self.cursor == self.text.len() { self.previous() } else { self.cursor };
        let end = self
            .text
            .get(last..)
            .and_then(|rest| rest.graphemes(true).next())
            .map_or(last, |g| last + g.len());
        let first =
            self.text.get(..last).and_then(|head| head.grapheme_indices(true).next_back()).map(|(at, _)| at);
        let Some(first) = first else { return };
        let (Some(left), Some(right)) = (self.text.get(first..last), self.text.get(last..end)) else {
            return;
        };
        let swapped = format!("{right}{left}");
        self.remember();
        self.text.replace_range(first..end, &swapped);
        self.cursor = end;
    }

    fn previous(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn next(&self) -> usize {
        self.after().graphemes(true).next().map_or(self.cursor, |grapheme| self.cursor + grapheme.len())
    }

    fn boundary_at_or_after(&self, at: usize) -> usize {
        self.text
            .grapheme_indices(true)
            .map(|(start, _)| start)
            .find(|start| *start >= at)
            .unwrap_or(self.text.len())
    }

    fn word_left(&self) -> usize {
        let before = self.before();
        let words = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        words.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| {
            at + words.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        })
    }

    fn word_right(&self) -> usize {
        let after = self.after();
        let start = after.find(char::is_alphanumeric).unwrap_or(after.len());
        let word = after.get(start..).unwrap_or_default();
        self.cursor + start + word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len())
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.after().find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }
}

/// Text without steering characters, its line ends as one character, at most `room` bytes.
fn clean(text: &str, room: usize) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let safe = SafeText::multi_line(&lines);
    let mut end = safe.len().min(room);
    while !safe.is_char_boundary(end) {
        end -= 1;
    }
    safe.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn readline_keys_move_and_delete() {
        let mut editor = typed("one two three");
        editor.edit(Edit::KillWordLeft);
        assert_eq!(editor.text(), "one two ");
        editor.edit(Edit::WordLeft);
        editor.edit(Edit::Yank);
        assert_eq!(editor.text(), "one threetwo ");
        editor.edit(Edit::LineStart);
        editor.edit(Edit::KillWordRight);
        assert_eq!(editor.text(), " threetwo ");
        editor.edit(Edit::KillToEnd);
        assert!(editor.is_empty());
        editor.edit(Edit::Undo);
        assert_eq!(editor.text(), " threetwo ");
    }

    #[test]
    fn clusters_are_never_cut() {
        let mut editor = typed("a👨\u{200d}👩\u{200d}👧e\u{301}");
        editor.edit(Edit::Left);
        editor.edit(Edit::Backspace);
        assert_eq!(editor.text(), "ae\u{301}");
        editor.edit(Edit::Delete);
        assert_eq!(editor.text(), "a");
    }

    #[test]
    fn lines_are_walked() {
        let mut editor = typed("abc\ndefgh\ni");
        assert!(editor.line_up_or_down(false));
        assert_eq!(editor.before(), "abc\nd");
        assert!(editor.line_up_or_down(false));
        assert_eq!(editor.before(), "a");
        assert!(!editor.line_up_or_down(false));
        assert!(editor.line_up_or_down(true));
        assert_eq!(editor.before(), "abc\nd");
    }

    #[test]
    fn typing_a_word_is_one_step_and_transposing_swaps() {
        let mut editor = Editor::default();
        for c in ["a", "b", " ", "c", "d"] {
            editor.insert(c);
        }
        editor.edit(Edit::Transpose);
        assert_eq!(editor.text(), "ab dc");
        editor.edit(Edit::Undo);
        editor.edit(Edit::Undo);
        assert_eq!(editor.text(), "ab");
        editor.edit(Edit::Undo);
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn r48_what_is_typed_or_pasted_cannot_steer_the_terminal() {
        let mut editor = Editor::default();
        editor.insert("a\u{1b}[2Jb\r\nc\rd\u{9b}");
        assert_eq!(editor.text(), "a[2Jb\nc\nd");
    }

    #[test]
    fn a_text_never_outgrows_a_message() {
        let mut editor = typed(&"a".repeat(TEXT_BYTES - 1));
        assert!(!editor.insert("日本"));
        assert_eq!(editor.text().len(), TEXT_BYTES - 1);
        assert!(editor.insert("b"));
        assert_eq!(editor.text().len(), TEXT_BYTES);
    }
}
