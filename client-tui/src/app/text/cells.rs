//! Widths in terminal cells, by grapheme cluster.

use ratatui::buffer::CellWidth as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// Shown where text was cut.
const ELLIPSIS: &str = "…";

/// The grapheme clusters of a text. Between two ASCII characters there is always an end of one: where there is nothing else,
/// no table of Unicode is asked, and every key draws thousands of them.
pub fn clusters(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let plain = |at: usize| bytes.get(at).is_none_or(|byte| byte.is_ascii() && *byte != b'\r');
        let first = if plain(0) && plain(1) { rest.get(..1)? } else { rest.graphemes(true).next()? };
        rest = rest.get(first.len()..)?;
        Some(first)
    })
}

/// Cells one grapheme cluster takes: 0 for a control character, which is never drawn.
#[must_use]
pub fn width_of(grapheme: &str) -> usize {
    if let [byte] = grapheme.as_bytes() {
        return usize::from(!byte.is_ascii_control());
    }
    if grapheme.contains(char::is_control) { 0 } else { usize::from(grapheme.cell_width()) }
}

/// Cells a text takes on one line.
#[must_use]
pub fn width(text: &str) -> usize {
    clusters(text).map(width_of).sum()
}

/// The text cut to at most `max` cells, with an ellipsis where something was left out.
#[must_use]
pub fn fit(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(1);
    let (mut out, mut used) = (String::new(), 0);
    for grapheme in clusters(text) {
        let cells = width_of(grapheme);
        if used + cells > room {
            break;
        }
        used += cells;
        out.push_str(grapheme);
    }
    if max > 0 {
        out.push_str(ELLIPSIS);
    }
    out
}

/// The text cut or filled with spaces to exactly `cells`.
#[must_use]
pub fn pad(text: &str, cells: usize) -> String {
    let mut out = fit(text, cells);
    let used = width(&out);
    out.extend(std::iter::repeat_n(' ', cells.saturating_sub(used)));
    out
}

/// The first line of a text, white space single, for previews.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text on one line: line breaks and tabs become spaces, other white space stays as it is.
#[must_use]
pub fn flat(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn clusters_are_those_of_unicode(text in "([a-z 日\u{301}👩\u{200d}\u{1f1e9}\u{1f1ea}\u{0}\r\n\t]|.){0,40}") {
            prop_assert_eq!(
                clusters(&text).collect::<Vec<_>>(),
                text.graphemes(true).collect::<Vec<_>>()
            );
            let slow = |grapheme: &str| {
                if grapheme.contains(char::is_control) { 0 } else { usize::from(grapheme.cell_width()) }
            };
            for cluster in clusters(&text) {
                prop_assert_eq!(width_of(cluster), slow(cluster));
            }
        }
    }

    #[test]
    fn widths_count_cells_not_code_points() {
        assert_eq!(width("abc"), 3);
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(width("👨\u{200d}👩\u{200d}👧"), 2);
        assert_eq!(width("\u{1b}"), 0);
    }

    #[test]
    fn cutting_keeps_wide_characters_whole() {
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本", 4), "日本");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(pad("日", 4), "日  ");
        assert_eq!(pad("abcdef", 3), "ab…");
    }
}
