//! Search: the words, and what they find.

use ratatui::{buffer::Buffer, layout::Position};

use super::{boxed, palette::field, put, theme::Theme};
use crate::app::{
    keymap::{Place, hint_line},
    layout::over,
    model::{Model, SearchBox},
    text::{cells, time},
    words,
};

/// Columns of the search.
const COLUMNS: u16 = 90;
/// Rows of the search.
const ROWS: u16 = 20;

pub(super) fn draw(
    model: &Model,
    search: &SearchBox,
    theme: &Theme,
    buffer: &mut Buffer,
) -> Option<Position> {
    let area = boxed(buffer, over(model.size, COLUMNS, ROWS), "Search all messages", theme);
    let cursor = field(&search.editor, area, theme, buffer);
    let width = usize::from(area.width);
    let rows = usize::from(area.height.saturating_sub(2)).max(1);
    let skip = (search.at + 1).saturating_sub(rows);
    for (row, (at, hit)) in (1..area.height).zip(search.found.iter().enumerate().skip(skip).take(rows)) {
        let sign = if at == search.at { '>' } else { ' ' };
        let date = time::date(hit.sent_at, model.now, &model.zone);
        let chat = cells::fit(&hit.chat, 12);
        let line =
            format!("{sign} {date}  {chat}  {}: {}", words::author(hit), cells::one_line(&words::body(hit)));
        let style = if at == search.at { theme.chosen } else { theme.text };
        put(buffer, area, row, &cells::pad(&line, width), style);
    }
    let words = search.editor.text().trim();
    if search.found.is_empty() && !words.is_empty() && search.answered == words {
        put(buffer, area, 1, "  nothing found", theme.dim);
    }
    if area.height > 2 {
        put(buffer, area, area.height - 1, &cells::fit(&hint_line(Place::Search), width), theme.dim);
    }
    cursor
}
