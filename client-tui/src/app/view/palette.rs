//! The palette.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{boxed, put, theme::Theme};
use crate::app::{
    layout::over,
    model::{Model, Palette, Target},
    text::{cells, editor::Editor, wrap::lay_out},
};

/// Columns of the palette.
const COLUMNS: u16 = 60;
/// Rows of the palette.
const ROWS: u16 = 16;

pub(super) fn draw(model: &Model, palette: &Palette, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let area = boxed(buffer, over(model.size, COLUMNS, ROWS), "Chats, people, commands", theme);
    let cursor = field(&palette.editor, area, theme, buffer);
    let width = usize::from(area.width);
    let rows = usize::from(area.height.saturating_sub(1)).max(1);
    let skip = (palette.at + 1).saturating_sub(rows);
    let items = palette.matching.iter().enumerate().skip(skip).take(rows);
    for (row, (at, place)) in (1..area.height).zip(items) {
        let Some(item) = palette.all.get(*place) else { continue };
        let sign = if at == palette.at { '>' } else { ' ' };
        let name = match item.target {
            Target::Chat => item.name.clone(),
            Target::Command => format!("/{}", item.name),
        };
        let line = format!("{sign} {}  {}", cells::pad(&name, 14.min(width)), item.detail);
        let style = if at == palette.at { theme.chosen } else { theme.text };
        put(buffer, area, row, &cells::pad(&cells::flat(&line), width), style);
    }
    if palette.matching.is_empty() {
        put(buffer, area, 1, "  nothing by that name", theme.dim);
    }
    cursor
}

/// A field of one line at the top of an area, with its cursor.
pub(super) fn field(editor: &Editor, area: Rect, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let room = usize::from(area.width.saturating_sub(2)).max(2);
    let text = cells::flat(editor.text());
    let laid = lay_out(&text, editor.cursor(), room);
    put(buffer, area, 0, ">", theme.own);
    let line = laid.lines.get(laid.row).map(String::as_str).unwrap_or_default();
    buffer.set_stringn(area.x + 2, area.y, line, room, theme.text);
    let column = u16::try_from(laid.column).ok()?;
    Some(Position::new((area.x + 2 + column).min(area.right().saturating_sub(1)), area.y))
}
