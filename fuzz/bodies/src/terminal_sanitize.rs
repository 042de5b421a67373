//! `terminal_sanitize`: text of others on its way to a terminal.
//!
//! Input: the text; what is not UTF-8 becomes replacement characters, as everywhere where bytes become text.
//!
//! - Only allowed characters are left, by a second list of what is not (R48).
//! - Cleaning what is clean changes nothing; what is sanitised is never longer; reading it back from JSON neither.
//! - A cluster has at most 16 code points and a mark, a line no newline, a name 64 clusters, 256 bytes and no white space
//!   at its ends (R39).
//! - Its width on a screen is bounded by its characters.

use subrosa_protocol::{SafeText, limits};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Nothing to prepare.
pub fn prepare() {}

/// One input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (body, line, name) =
        (SafeText::multi_line(&text), SafeText::single_line(&text), SafeText::name(&text));
    for safe in [&body, &line, &name] {
        harmless(safe);
        assert!(safe.chars().count() <= text.chars().count(), "cleaning made it longer");
        assert_eq!(&SafeText::multi_line(safe), safe, "cleaning is stable");
        let json = serde_json::to_string(safe).unwrap();
        let read: SafeText = serde_json::from_str(&json).unwrap();
        assert_eq!(&read, safe);
    }
    assert_eq!(SafeText::single_line(&line), line);
    assert_eq!(SafeText::name(&name), name, "a name is stable");
    for safe in [&line, &name] {
        assert!(!safe.contains(['\n', '\t']));
    }
    assert!(name.graphemes(true).count() <= limits::DISPLAY_NAME_GRAPHEMES);
    assert!(name.len() <= limits::DISPLAY_NAME_BYTES);
    assert_eq!(name.trim(), &*name);
    if let Ok(plain) = std::str::from_utf8(data)
        && plain.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'))
    {
        assert_eq!(&*body, plain, "plain ASCII stays as it is");
    }
}

fn harmless(safe: &SafeText) {
    for c in safe.chars() {
        let code = u32::from(c);
        let dangerous = (c.is_control() && c != '\n' && c != '\t')
            || (0x200b..=0x200c).contains(&code)
            || (0x200e..=0x200f).contains(&code)
            || (0x2028..=0x202e).contains(&code)
            || (0x2060..=0x206f).contains(&code)
            || (0xe0000..=0xe0fff).contains(&code)
            || (0xfff9..=0xfffb).contains(&code)
            || matches!(code, 0xad | 0x61c | 0x180e | 0xfeff);
        assert!(!dangerous, "U+{code:04X} is left");
    }
    let mut before = None;
    for grapheme in safe.graphemes(true) {
        let points = grapheme.chars().count();
        assert!(points <= limits::CODE_POINTS_PER_GRAPHEME + 1, "a cluster of {points} code points");
        assert!(grapheme.width() <= 2 * points, "{} cells for {points} code points", grapheme.width());
        // A joiner stays within an emoji only: never first, and never after a letter.
        assert!(!grapheme.starts_with('\u{200d}'), "a joiner after {before:?}");
        if grapheme.contains('\u{200d}') {
            assert!(!grapheme.starts_with(|c: char| c.is_alphanumeric() && u32::from(c) < 0x2000));
        }
        before = grapheme.chars().last();
    }
    assert!(!safe.ends_with('\u{200d}'));
}
