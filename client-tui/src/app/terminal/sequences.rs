//! Every escape sequence the application writes, besides the painter's cursor movements and colours.

/// Begins a synchronised update.
pub const SYNC_BEGIN: &[u8] = b"\x1b[?2026h";
/// Ends a synchronised update.
pub const SYNC_END: &[u8] = b"\x1b[?2026l";
/// Shows the cursor.
pub const CURSOR_SHOW: &[u8] = b"\x1b[?25h";
/// Hides the cursor.
pub const CURSOR_HIDE: &[u8] = b"\x1b[?25l";

/// Alternate screen; the title is kept and becomes `rosa`, which tells nothing; bracketed paste; focus reports; keys that
/// tell Shift-Enter from Enter, where the terminal can.
pub const ENTER: &[u8] = b"\x1b[?1049h\x1b[22;0t\x1b]2;rosa\x07\x1b[?2004h\x1b[?1004h\x1b[>1u";
/// Undoes [`ENTER`] and [`MOUSE_ON`], whatever state things are in.
pub const LEAVE: &[u8] =
    b"\x1b[?2026l\x1b[m\x1b[<u\x1b[?1006l\x1b[?1000l\x1b[?1004l\x1b[?2004l\x1b[?25h\x1b[23;0t\x1b[?1049l";
/// Mouse reports.
pub const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";

/// Bytes of a text that are put into the clipboard at most: terminals cut longer ones.
const COPY_MAX: usize = 64 * 1024;

/// Puts a text into the clipboard (OSC 52).
#[must_use]
pub fn copy(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let text = bytes.get(..COPY_MAX).unwrap_or(bytes);
    format!("\x1b]52;c;{}\x07", data_encoding::BASE64.encode(text)).into_bytes()
}

/// Rings, and notifies (OSC 9).
#[must_use]
pub fn notify(text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\x07\x1b]9;{text}\x07").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r48_a_notification_cannot_end_itself() {
        assert_eq!(notify("rosa: a\u{7}b\u{1b}\\c\u{9c}"), b"\x07\x1b]9;rosa: ab\\c\x07");
    }

    #[test]
    fn the_clipboard_gets_base_64() {
        assert_eq!(copy("hi\x1b"), b"\x1b]52;c;aGkb\x07");
        assert!(copy(&"x".repeat(10 * COPY_MAX)).len() < 2 * COPY_MAX);
    }
}
