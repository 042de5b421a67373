//! A key with its modifiers, as a terminal tells it and as people write it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chord {
    /// The key.
    pub code: KeyCode,
    /// Ctrl, Alt and Shift. Of characters, Shift is in the character.
    pub modifiers: KeyModifiers,
}

impl From<KeyEvent> for Chord {
    fn from(event: KeyEvent) -> Self {
        let mut modifiers =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let mut code = event.code;
        if let KeyCode::Char(c) = code {
            if modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
                code = KeyCode::Char(c.to_ascii_lowercase());
            }
            modifiers.remove(KeyModifiers::SHIFT);
        }
        if code == KeyCode::BackTab {
            modifiers.remove(KeyModifiers::SHIFT);
        }
        Self { code, modifiers }
    }
}

impl Chord {
    /// A key without modifiers.
    #[must_use]
    pub const fn plain(code: KeyCode) -> Self {
        Self { code, modifiers: KeyModifiers::NONE }
    }

    /// The character that was typed, if this is one.
    #[must_use]
    pub const fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }

    /// Reads what people write: `Ctrl-P`, `Alt-Enter`, `PgUp`, `?`, `Alt-1`.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        let (mut rest, mut modifiers) = (label, KeyModifiers::NONE);
        loop {
            let (modifier, tail) = match rest.split_once('-') {
                Some(("Ctrl", tail)) if !tail.is_empty() => (KeyModifiers::CONTROL, tail),
                Some(("Alt", tail)) if !tail.is_empty() => (KeyModifiers::ALT, tail),
                Some(("Shift", tail)) if !tail.is_empty() => (KeyModifiers::SHIFT, tail),
                _ => break,
            };
            modifiers |= modifier;
            rest = tail;
        }
        let code = match rest {
            "Enter" => KeyCode::Enter,
            "Esc" => KeyCode::Esc,
            "Tab" => KeyCode::Tab,
            "Shift-Tab" | "BackTab" => KeyCode::BackTab,
            "Backspace" => KeyCode::Backspace,
            "Delete" => KeyCode::Delete,
            "Up" => KeyCode::Up,
            "Down" => KeyCode::Down,
            "Left" => KeyCode::Left,
            "Right" => KeyCode::Right,
            "PgUp" => KeyCode::PageUp,
            "PgDn" => KeyCode::PageDown,
            "Home" => KeyCode::Home,
            "End" => KeyCode::End,
            _ => match rest.strip_prefix('F').and_then(|number| number.parse().ok()) {
                Some(number) => KeyCode::F(number),
                None => {
                    let mut chars = rest.chars();
                    let (Some(c), None) = (chars.next(), chars.next()) else { return None };
                    KeyCode::Char(if modifiers.is_empty() { c } else { c.to_ascii_lowercase() })
                }
            },
        };
        if code == KeyCode::Tab && modifiers.contains(KeyModifiers::SHIFT) {
            modifiers.remove(KeyModifiers::SHIFT);
            return Some(Self { code: KeyCode::BackTab, modifiers });
        }
        Some(Self { code, modifiers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_events_meet() {
        let event = |code, modifiers| Chord::from(KeyEvent::new(code, modifiers));
        assert_eq!(Chord::parse("Ctrl-P"), Some(event(KeyCode::Char('p'), KeyModifiers::CONTROL)));
        assert_eq!(
            Chord::parse("Alt-L"),
            Some(event(KeyCode::Char('L'), KeyModifiers::ALT | KeyModifiers::SHIFT))
        );
        assert_eq!(Chord::parse("G"), Some(event(KeyCode::Char('G'), KeyModifiers::SHIFT)));
        assert_eq!(Chord::parse("Shift-Tab"), Some(event(KeyCode::BackTab, KeyModifiers::SHIFT)));
        assert_eq!(Chord::parse("Shift-Up"), Some(event(KeyCode::Up, KeyModifiers::SHIFT)));
        assert_eq!(Chord::parse("F1"), Some(Chord::plain(KeyCode::F(1))));
        assert_eq!(Chord::parse("F"), Some(Chord::plain(KeyCode::Char('F'))));
        assert_eq!(Chord::parse("Nonsense"), None);
        assert_eq!(Chord::parse("Ctrl-_").unwrap().code, KeyCode::Char('_'));
    }
}
