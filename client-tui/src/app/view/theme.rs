//! Styles. Every meaning also has a text form, so that nothing is lost without colours.

use ratatui::style::{Color, Modifier, Style};

/// Styles by meaning.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Ordinary text.
    pub text: Style,
    /// What matters less: times, quotes, rules.
    pub dim: Style,
    /// What matters more.
    pub strong: Style,
    /// This account's name.
    pub own: Style,
    /// The other side's name.
    pub other: Style,
    /// Verified, connected.
    pub good: Style,
    /// Changed keys, failures.
    pub bad: Style,
    /// Unread, held, requests.
    pub warn: Style,
    /// What is chosen.
    pub chosen: Style,
    /// A mention of somebody.
    pub mention: Style,
    /// A mention of this account.
    pub mine: Style,
}

impl Theme {
    /// Colours, or attributes alone.
    #[must_use]
    pub const fn new(color: bool) -> Self {
        let plain = Style::new();
        if color {
            Self {
                text: plain,
                dim: plain.fg(Color::DarkGray),
                strong: plain.add_modifier(Modifier::BOLD),
                own: plain.fg(Color::Cyan),
                other: plain.fg(Color::Green),
                good: plain.fg(Color::Green),
                bad: plain.fg(Color::Red).add_modifier(Modifier::BOLD),
                warn: plain.fg(Color::Yellow),
                chosen: plain.add_modifier(Modifier::REVERSED),
                mention: plain.fg(Color::Magenta),
                mine: plain.fg(Color::Yellow).add_modifier(Modifier::BOLD).add_modifier(Modifier::REVERSED),
            }
        } else {
            Self {
                text: plain,
                dim: plain.add_modifier(Modifier::DIM),
                strong: plain.add_modifier(Modifier::BOLD),
                own: plain,
                other: plain.add_modifier(Modifier::BOLD),
                good: plain,
                bad: plain.add_modifier(Modifier::BOLD),
                warn: plain.add_modifier(Modifier::BOLD),
                chosen: plain.add_modifier(Modifier::REVERSED),
                mention: plain.add_modifier(Modifier::BOLD),
                mine: plain.add_modifier(Modifier::BOLD).add_modifier(Modifier::REVERSED),
            }
        }
    }
}
