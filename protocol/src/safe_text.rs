//! Text of others, made harmless for a terminal (R48): one sanitiser for message bodies, names, file names, error texts
//! and whatever else came from outside.
//!
//! Dropped: C0 controls except newline and tab, DEL, C1 controls, bidirectional embeddings, overrides and isolates,
//! zero-width and directional marks (a zero-width joiner stays inside an emoji), line and paragraph separators,
//! Hangul fillers, interlinear and other invisible format characters, tags U+E0000 to U+E007F. A grapheme cluster of more than 16 code
//! points is cut and marked.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::limits::{
    CODE_POINTS_PER_GRAPHEME, COMBINING_MARKS_IN_NAMES, DISPLAY_NAME_BYTES, DISPLAY_NAME_GRAPHEMES,
};

/// Shown where a grapheme cluster was cut.
const CUT: char = '\u{fffd}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Text without a character that could steer a terminal, hide, or reorder what stands around it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// Sanitises text of several lines, such as a message body. Newlines and tabs stay.
    #[must_use]
    pub fn multi_line(text: &str) -> Self {
        Self(sanitise(text, true, CODE_POINTS_PER_GRAPHEME))
    }

    /// Sanitises text that must stay on its line, such as an error of a relay. Newlines and tabs become spaces.
    #[must_use]
    pub fn single_line(text: &str) -> Self {
        Self(sanitise(text, false, CODE_POINTS_PER_GRAPHEME))
    }

    /// Sanitises a display name: one line, trimmed, inner white space single, at most 64 grapheme clusters and 256 bytes,
    /// at most 8 combining marks on a base (R39). May be empty.
    #[must_use]
    pub fn name(text: &str) -> Self {
        let clean = sanitise(text, false, COMBINING_MARKS_IN_NAMES + 1);
        let mut name = String::new();
        for (count, grapheme) in
            clean.split_whitespace().collect::<Vec<_>>().join(" ").graphemes(true).enumerate()
        {
            if count >= DISPLAY_NAME_GRAPHEMES || name.len() + grapheme.len() > DISPLAY_NAME_BYTES {
                break;
            }
            name.push_str(grapheme);
        }
        Self(name.trim_end().to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for SafeText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Reading it back from a store or a socket sanitises again, so that no path leads around.
impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::multi_line(&text))
    }
}

fn sanitise(text: &str, keep_lines: bool, max_code_points: usize) -> String {
    // Nearly all text is, and it is sanitised again each time it is read: what follows takes thirty times as long.
    if text.chars().all(|c| is_plain(c) || (keep_lines && matches!(c, '\n' | '\t'))) {
        return text.to_owned();
    }
    sanitise_clusters(text, keep_lines, max_code_points)
}

/// Characters that stay and are grapheme clusters of their own whatever stands beside them, as long as that is one of these:
/// Latin, Greek, Cyrillic and Armenian letters with their punctuation, and Chinese characters.
const fn is_plain(c: char) -> bool {
    matches!(c,
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{ac}' | '\u{ae}'..='\u{2ff}'
        | '\u{370}'..='\u{482}' | '\u{48a}'..='\u{590}' | '\u{4e00}'..='\u{9fff}')
}

fn sanitise_clusters(text: &str, keep_lines: bool, max_code_points: usize) -> String {
    let kept: String = text
        .chars()
        .filter_map(|c| match c {
            '\n' | '\t' if keep_lines => Some(c),
            '\n' | '\t' => Some(' '),
            _ if is_dropped(c) => None,
            _ => Some(c),
        })
        .collect();
    let mut out = String::with_capacity(kept.len());
    for grapheme in kept.graphemes(true) {
        let emoji = grapheme.chars().next().is_some_and(is_pictographic);
        let mut count = 0usize;
        for c in grapheme.chars() {
            if c == ZERO_WIDTH_JOINER && !emoji {
                continue;
            }
            if count == max_code_points {
                out.push(CUT);
                break;
            }
            out.push(c);
            count += 1;
        }
    }
    // A joiner at the end would tie what follows the text to it.
    while out.ends_with(ZERO_WIDTH_JOINER) {
        out.pop();
    }
    out
}

const fn is_dropped(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}'
        | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Blocks in which emoji that take part in joined sequences begin.
const fn is_pictographic(c: char) -> bool {
    matches!(c, '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}'
        | '\u{2460}'..='\u{24ff}' | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r48_plain_text_is_what_the_long_way_makes_of_it() {
        let plain: Vec<char> = ('\0'..=char::MAX).filter(|c| is_plain(*c)).collect();
        assert_eq!(plain.len(), 95 + 13 + 594 + 275 + 263 + 20_992);
        // Each letter, and some of the Chinese characters, beside itself and beside each kind of neighbour.
        for c in plain.into_iter().filter(|c| *c < '\u{4e00}' || u32::from(*c) % 61 == 0) {
            for text in [format!("{c}{c}"), format!("a{c}a"), format!("\u{e9}{c}\u{436}{c}\u{4e2d}")] {
                assert_eq!(sanitise_clusters(&text, true, 1), text);
                assert_eq!(text.graphemes(true).count(), text.chars().count());
            }
            assert_eq!(sanitise_clusters(&format!("{c}\n{c}\t{c}"), true, 1), format!("{c}\n{c}\t{c}"));
        }
    }

    #[test]
    fn r48_escape_sequences_lose_their_power() {
        assert_eq!(&*SafeText::multi_line("a\x1b[31mb\u{9b}2Jc\x07\x7f\r\n\td"), "a[31mb2Jc\n\td");
        assert_eq!(&*SafeText::single_line("a\nb\tc"), "a b c");
        assert_eq!(&*SafeText::multi_line("\u{1b}]8;;http://evil\u{1b}\\x"), "]8;;http://evil\\x");
    }

    #[test]
    fn r48_bidi_zero_width_and_tags_are_dropped() {
        for c in [
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{200b}',
            '\u{3164}',
            '\u{200f}',
            '\u{feff}',
            '\u{e0041}',
            '\u{2028}',
        ] {
            assert_eq!(&*SafeText::multi_line(&format!("a{c}b")), "ab", "{:x}", u32::from(c));
        }
        assert_eq!(&*SafeText::multi_line("a\u{200d}b"), "ab");
        let family = "👨\u{200d}👩\u{200d}👧";
        assert_eq!(&*SafeText::multi_line(family), family);
        assert_eq!(&*SafeText::multi_line("👨\u{200d}"), "👨");
        assert_eq!(&*SafeText::multi_line("مرحبا שלום"), "مرحبا שלום");
    }

    #[test]
    fn r48_towers_of_marks_are_cut_and_marked() {
        let tower = format!("e{}", "\u{301}".repeat(400));
        let cut = SafeText::multi_line(&tower);
        assert_eq!(cut.chars().count(), CODE_POINTS_PER_GRAPHEME + 1);
        assert!(cut.ends_with(CUT));
        assert_eq!(&*SafeText::multi_line("e\u{301}"), "e\u{301}");
    }

    #[test]
    fn r39_names_are_short_and_on_one_line() {
        assert_eq!(&*SafeText::name("  Al\u{202e}ice \n  B  "), "Alice B");
        assert_eq!(SafeText::name(&"ä".repeat(500)).graphemes(true).count(), DISPLAY_NAME_GRAPHEMES);
        assert!(SafeText::name(&"👨\u{200d}👩\u{200d}👧".repeat(500)).len() <= DISPLAY_NAME_BYTES);
        let marks = SafeText::name(&format!("e{}", "\u{301}".repeat(20)));
        assert_eq!(marks.chars().filter(|c| *c == '\u{301}').count(), COMBINING_MARKS_IN_NAMES);
    }

    proptest! {
        #[test]
        fn r48_nothing_dangerous_survives_and_cleaning_is_stable(text in "\\PC{0,40}|.{0,40}|[\\x00-\\u{9f}\\u{2000}-\\u{20ff}e\\u{301}👩]{0,60}") {
            for safe in [SafeText::multi_line(&text), SafeText::single_line(&text), SafeText::name(&text)] {
                prop_assert!(safe.chars().all(|c| matches!(c, '\n' | '\t') || !is_dropped(c)));
                prop_assert!(!safe.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
                let again = SafeText::multi_line(&safe);
                prop_assert_eq!(again.as_str(), safe.as_str());
            }
        }
    }
}
