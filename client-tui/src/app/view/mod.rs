//! The screen as a function of the model: [`draw`] fills a buffer and tells where the cursor stands. No state, no I/O.

pub mod block;
mod composer;
mod lock;
mod members;
mod page;
mod palette;
mod question;
mod rule;
mod search;
mod sidebar;
mod status;
pub mod theme;
pub mod timeline;
mod title;

pub use page::{lines as page_lines, plain as page_text};
pub use sidebar::chat_at;

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

use super::{
    layout,
    model::{Desk, Model, Overlay, Screen},
    text::cells,
};
use block::Context;
use theme::Theme;

/// Draws the model into an empty buffer of the terminal's size. Returns the cursor's place; without one it is hidden.
#[must_use]
pub fn draw(model: &Model, buffer: &mut Buffer) -> Option<Position> {
    let theme = Theme::new(model.settings.color);
    if buffer.area.width < 4 || buffer.area.height < 2 {
        return None;
    }
    match &model.screen {
        Screen::Locked(_) if model.lock_help => page::draw_lock_help(model, &theme, buffer),
        Screen::Locked(locked) => lock::draw(model, locked, &theme, buffer),
        Screen::Open(desk) => draw_desk(model, desk, &theme, buffer),
    }
}

fn draw_desk(model: &Model, desk: &Desk, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    if let Some(Overlay::Page(page, scroll)) = &desk.overlay {
        page::draw(model, desk, page, *scroll, theme, buffer);
        return None;
    }
    let areas = layout::areas(model, desk);
    title::draw(desk, &areas, theme, buffer);
    match &desk.open {
        Some(open) => {
            let context = Context::new(model, theme, open, usize::from(areas.timeline.width));
            timeline::draw(&context, areas.timeline, buffer);
        }
        None => title::welcome(desk, areas.timeline, theme, buffer),
    }
    rule::draw(model, desk, areas.rule, theme, buffer);
    let mut cursor = composer::draw(desk, areas.composer, theme, buffer);
    status::draw(model, desk, areas.status, theme, buffer);
    if let Some((area, open)) = areas.members.zip(desk.open.as_ref()) {
        members::draw(desk, open, area, theme, buffer);
    }
    if let Some(area) = areas.sidebar {
        sidebar::draw(desk, area, theme, buffer);
    }
    match &desk.overlay {
        Some(Overlay::Palette(palette)) => cursor = palette::draw(model, palette, theme, buffer),
        Some(Overlay::Search(search)) => cursor = search::draw(model, search, theme, buffer),
        Some(Overlay::Question(question)) => {
            question::draw(model, question, theme, buffer);
            cursor = None;
        }
        Some(Overlay::Page(..)) | None => {}
    }
    if desk.open.as_ref().is_some_and(|open| open.selected.is_some()) && desk.overlay.is_none() {
        cursor = None;
    }
    cursor
}

/// Writes a text on one row of an area, cut to it.
fn put(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    if row < area.height {
        buffer.set_stringn(area.x, area.y + row, text, usize::from(area.width), style);
    }
}

/// Empties an area that lies over something.
fn clear(buffer: &mut Buffer, area: Rect) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    // A wide character that is cut in two would shift the line.
    if area.left() > 0 {
        for y in area.top()..area.bottom() {
            if let Some(cell) = buffer.cell_mut((area.left() - 1, y))
                && cells::width(cell.symbol()) > 1
            {
                cell.set_symbol(" ");
            }
        }
    }
}

/// Empties an area and draws a frame with a title around it. Returns what is inside.
fn boxed(buffer: &mut Buffer, area: Rect, title: &str, theme: &Theme) -> Rect {
    clear(buffer, area);
    if area.width < 6 || area.height < 4 {
        return area;
    }
    let inner = usize::from(area.width - 2);
    let title = cells::fit(&format!(" {title} "), inner.saturating_sub(1));
    let rest = inner.saturating_sub(1 + cells::width(&title));
    put(buffer, area, 0, &format!("┌─{title}{}┐", "─".repeat(rest)), theme.dim);
    put(buffer, area, area.height - 1, &format!("└{}┘", "─".repeat(inner)), theme.dim);
    for row in 1..area.height - 1 {
        put(buffer, area, row, "│", theme.dim);
        buffer.set_stringn(area.right() - 1, area.y + row, "│", 1, theme.dim);
    }
    Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
}
