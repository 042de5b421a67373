//! The lock screen: drawn before anything is opened, and with nothing of the profile but its name.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{put, theme::Theme};
use crate::app::{
    keymap::{Place, hint_line},
    model::{Locked, Model},
    text::{cells, wrap::wrap},
};

/// Dots shown at most, however long the passphrase is.
const DOTS_MAX: usize = 24;

pub(super) fn draw(model: &Model, locked: &Locked, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let area = buffer.area;
    let width = area.width.saturating_sub(2).min(50);
    let inside = Rect::new((area.width - width) / 2, 0, width, area.height.saturating_sub(1));
    let top = (area.height / 2).saturating_sub(2);
    put(buffer, inside, top, "rosa", theme.strong);
    let profile = cells::fit(&format!("profile {} is locked", model.profile), usize::from(width));
    put(buffer, inside, top + 1, &profile, theme.dim);

    let label = "passphrase: ";
    let room = usize::from(width).saturating_sub(label.len() + 1);
    let dots = locked.typed().min(DOTS_MAX).min(room);
    let (field, cursor) = if locked.opening {
        ("opening...".to_owned(), None)
    } else {
        let column = u16::try_from(label.len() + dots).unwrap_or(0);
        (format!("{label}{}", "•".repeat(dots)), Some(Position::new(inside.x + column, top + 2)))
    };
    put(buffer, inside, top + 2, &field, theme.text);
    if let Some(message) = &locked.message {
        let lines = wrap(message, usize::from(width), usize::from(width));
        for (row, line) in (top + 3..inside.height).zip(lines) {
            put(buffer, inside, row, &line, theme.bad);
        }
    }
    let hint = cells::fit(&hint_line(Place::Lock), usize::from(area.width));
    put(buffer, area, area.height - 1, &hint, theme.dim);
    cursor.filter(|at| at.y < area.height && at.x < area.width)
}
