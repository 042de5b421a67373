//! The composer.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{put, theme::Theme};
use crate::app::{
    layout::{composer_text, prompt},
    model::Desk,
    text::cells,
};

pub(super) fn draw(desk: &Desk, area: Rect, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let laid = composer_text(desk, area.width);
    let prompt = prompt(desk);
    let indent = u16::try_from(cells::width(&prompt)).unwrap_or(0);
    let rows = usize::from(area.height);
    // The cursor's line is always among the shown ones.
    let skip = (laid.row + 1).saturating_sub(rows);
    let text = Rect::new(area.x + indent, area.y, area.width.saturating_sub(indent), area.height);
    for (row, line) in (0..area.height).zip(laid.lines.iter().skip(skip)) {
        put(buffer, text, row, line, theme.text);
    }
    put(buffer, area, 0, if skip == 0 { &prompt } else { "^" }, theme.own);
    let row = u16::try_from(laid.row - skip).ok()?;
    let column = u16::try_from(laid.column).ok()?;
    (row < area.height).then(|| {
        let x = (text.x + column).min(area.right().saturating_sub(1));
        Position::new(x, area.y + row)
    })
}
