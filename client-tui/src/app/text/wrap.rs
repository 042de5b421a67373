//! Wrapping by cell width. Each line that comes out fits, whatever went in: wide characters, towers of marks, tabs.

use unicode_segmentation::UnicodeSegmentation as _;

use super::cells::{clusters, width_of};

/// Columns a tab advances to a multiple of.
const TAB: usize = 4;

/// Breaks a text into lines: the first at most `first` cells wide, the others `rest`. Breaks at white space where there
/// is some. An empty text is one empty line.
#[must_use]
pub fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = Line::new(if lines.is_empty() { first } else { rest });
        for grapheme in clusters(paragraph) {
            if grapheme == "\t" {
                for _ in 0..TAB - line.cells % TAB {
                    line.push(" ", 1, rest, &mut lines);
                }
            } else {
                let cells = width_of(grapheme);
                if cells > 0 {
                    line.push(grapheme, cells, rest, &mut lines);
                }
            }
        }
        lines.push(line.text);
    }
    lines
}

/// A line being filled.
struct Line {
    text: String,
    cells: usize,
    room: usize,
    /// Bytes up to and including the last space at which the line can be broken.
    space: usize,
}

impl Line {
    fn new(room: usize) -> Self {
        Self { text: String::new(), cells: 0, room: room.max(1), space: 0 }
    }

    fn push(&mut self, grapheme: &str, cells: usize, rest: usize, lines: &mut Vec<String>) {
        if cells > self.room {
            // A cluster wider than the whole line cannot be shown.
            return self.push("?", 1, rest, lines);
        }
        if self.cells + cells > self.room && grapheme == " " {
            // The space that would begin a line is what the line before is broken at.
            let full = std::mem::replace(self, Self::new(rest));
            lines.push(full.text);
            return;
        }
        if self.cells + cells > self.room {
            let tail = self.text.split_off(if self.space > 0 { self.space } else { self.text.len() });
            let full = std::mem::replace(self, Self::new(rest));
            lines.push(full.text.trim_end_matches(' ').to_owned());
            for part in clusters(&tail) {
                self.push(part, width_of(part), rest, lines);
            }
            return self.push(grapheme, cells, rest, lines);
        }
        self.text.push_str(grapheme);
        self.cells += cells;
        if grapheme == " " && !self.text.trim().is_empty() {
            self.space = self.text.len();
        }
    }
}

/// A text as it stands in an editor: broken only where the width ends, with the place of the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// The lines.
    pub lines: Vec<String>,
    /// The line the cursor is in.
    pub row: usize,
    /// The column the cursor is in.
    pub column: usize,
}

/// Lays out the text of an editor whose cursor is at byte `cursor`, `width` cells wide. A cursor behind a full line stands
/// at the start of the next.
#[must_use]
pub fn lay_out(text: &str, cursor: usize, width: usize) -> Laid {
    let width = width.max(2);
    let mut laid = Laid { lines: vec![String::new()], row: 0, column: 0 };
    let (mut cells, mut place) = (0, None);
    for (at, grapheme) in text.grapheme_indices(true) {
        let (shown, wide) = match grapheme {
            "\t" => (" ", 1),
            "\n" => ("", 0),
            // A cluster wider than the whole line cannot be shown.
            other if width_of(other) > width => ("?", 1),
            other => (other, width_of(other)),
        };
        if cells + wide > width || (cells == width && grapheme != "\n") {
            laid.lines.push(String::new());
            cells = 0;
        }
        if at >= cursor && place.is_none() {
            place = Some((laid.lines.len() - 1, cells));
        }
        if grapheme == "\n" {
            laid.lines.push(String::new());
            cells = 0;
        } else if let Some(line) = laid.lines.last_mut() {
            line.push_str(shown);
            cells += wide;
        }
    }
    if place.is_none() && cells >= width {
        laid.lines.push(String::new());
        cells = 0;
    }
    (laid.row, laid.column) = place.unwrap_or((laid.lines.len() - 1, cells));
    laid
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::app::text::cells::width;

    #[test]
    fn breaks_at_spaces_and_inside_long_words() {
        assert_eq!(wrap("the quick brown fox", 9, 9), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij", 4, 3), ["abcd", "efg", "hij"]);
        assert_eq!(wrap("a\n\nb", 5, 5), ["a", "", "b"]);
        assert_eq!(wrap("  code", 9, 9), ["  code"]);
        assert_eq!(wrap("a\tb", 9, 9), ["a   b"]);
        assert_eq!(wrap("", 5, 5), [""]);
        assert_eq!(wrap("日本語", 5, 5), ["日本", "語"]);
        assert_eq!(wrap("日", 1, 1), ["?"]);
    }

    #[test]
    fn the_cursor_is_where_the_next_character_goes() {
        let laid = lay_out("abcd", 4, 4);
        assert_eq!((laid.lines.len(), laid.row, laid.column), (2, 1, 0));
        let laid = lay_out("ab\ncd", 3, 10);
        assert_eq!((laid.row, laid.column), (1, 0));
        let laid = lay_out("日本", 3, 10);
        assert_eq!((laid.row, laid.column), (0, 2));
        let laid = lay_out("abcd\nx", 4, 4);
        assert_eq!((laid.lines, laid.row, laid.column), (vec!["abcd".into(), "x".into()], 0, 4));
    }

    proptest! {
        #[test]
        fn r48_no_line_is_wider_than_it_may_be(
            text in "[a-z 日\u{301}👩\u{200d}\u{5d0}\n\t]{0,60}", first in 1usize..12, rest in 1usize..12
        ) {
            for (at, line) in wrap(&text, first, rest).iter().enumerate() {
                prop_assert!(width(line) <= if at == 0 { first } else { rest }, "{line:?}");
            }
            for line in lay_out(&text, text.len(), first).lines {
                prop_assert!(width(&line) <= first.max(2));
            }
        }
    }
}
