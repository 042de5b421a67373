//! A question over the conversation.

use ratatui::buffer::Buffer;

use super::{boxed, put, theme::Theme};
use crate::app::{
    layout::over,
    model::{Model, Question},
    text::wrap::wrap,
};

/// Columns of a question.
const COLUMNS: u16 = 64;

pub(super) fn draw(model: &Model, question: &Question, theme: &Theme, buffer: &mut Buffer) {
    let columns = COLUMNS.min(model.size.width);
    let inside = usize::from(columns.saturating_sub(4)).max(1);
    let mut lines: Vec<String> = question.lines.iter().flat_map(|line| wrap(line, inside, inside)).collect();
    let choices: Vec<String> = question
        .choices
        .iter()
        .map(|choice| format!("{}  {}", choice.key, choice.label))
        .chain(["Esc  back".to_owned()])
        .flat_map(|choice| wrap(&choice, inside, inside))
        .collect();
    // On a small screen the ways to answer matter more than all that is said.
    let room = usize::from(model.size.height.saturating_sub(2));
    let spare = room.saturating_sub(choices.len());
    lines.truncate(spare);
    if lines.len() < spare {
        lines.push(String::new());
    }
    let rows = u16::try_from(lines.len() + choices.len() + 2).unwrap_or(u16::MAX);
    let mut area = boxed(buffer, over(model.size, columns, rows), &question.title, theme);
    area.x += 1;
    area.width = area.width.saturating_sub(2);
    let said = lines.len();
    for (row, (at, line)) in (0..area.height).zip(lines.iter().chain(&choices).enumerate()) {
        put(buffer, area, row, line, if at < said { theme.text } else { theme.strong });
    }
}
