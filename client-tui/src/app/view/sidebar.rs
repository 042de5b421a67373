//! The chat list.

use ratatui::{buffer::Buffer, layout::Rect};
use subrosa_client::api::Chat;

use super::{put, theme::Theme};
use crate::app::{
    model::{Desk, is_muted, is_request, is_stopped, mark},
    text::cells,
};

/// Columns under which a topic says nothing.
const TOPIC_MIN: usize = 5;

pub(super) fn draw(desk: &Desk, area: Rect, theme: &Theme, buffer: &mut Buffer) {
    let inner = Rect::new(area.x, area.y, area.width.saturating_sub(1), area.height);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
        buffer.set_stringn(inner.right(), y, "│", 1, theme.dim);
    }
    let count = desk.chats.all().len();
    put(buffer, inner, 0, &cells::fit(&format!("Chats ({count})"), usize::from(inner.width)), theme.strong);
    for (row, (chat, open)) in (1..area.height).zip(shown(desk, area.height)) {
        let style = if is_stopped(chat) {
            theme.bad
        } else if open {
            theme.strong
        } else if calls(chat) {
            theme.warn
        } else {
            theme.text
        };
        let width = usize::from(inner.width);
        put(buffer, inner, row, &line(chat, open, width), style);
        if let Some((at, topic)) = topic(chat, width) {
            let x = inner.x + u16::try_from(at).unwrap_or(inner.width);
            buffer.set_stringn(x, area.y + row, &topic, cells::width(&topic), theme.dim);
        }
    }
}

/// Whether something of a chat waits for the person.
fn calls(chat: &Chat) -> bool {
    let mentioned = chat.room.as_ref().is_some_and(|room| room.mentions > 0);
    is_request(chat) || mentioned || (chat.unread > 0 && !is_muted(chat))
}

/// What a room is about, and the column it begins at, where there is space behind the room's name.
fn topic(chat: &Chat, width: usize) -> Option<(usize, String)> {
    let room = chat.room.as_ref().filter(|room| !room.topic.is_empty() && !is_request(chat))?;
    let at = 2 + cells::width(&chat.chat) + 2;
    let mark = cells::width(&mark(chat));
    let space = width.checked_sub(at + mark + usize::from(mark > 0)).filter(|space| *space >= TOPIC_MIN)?;
    Some((at, cells::fit(&cells::one_line(&room.topic), space)))
}

/// The line of a chat: `> bob           *2`, `? dave (request)`.
fn line(chat: &Chat, open: bool, width: usize) -> String {
    let sign = if open {
        '>'
    } else if is_request(chat) {
        '?'
    } else {
        ' '
    };
    let mark = mark(chat);
    let name = if is_request(chat) { format!("{} (request)", chat.chat) } else { chat.chat.clone() };
    let room = width.saturating_sub(2 + cells::width(&mark) + usize::from(!mark.is_empty()));
    let space = if mark.is_empty() { "" } else { " " };
    format!("{sign} {}{space}{mark}", cells::pad(&name, room))
}

/// The chats that fit, so that the open one is among them.
fn shown(desk: &Desk, height: u16) -> impl Iterator<Item = (&Chat, bool)> {
    let rows = usize::from(height.saturating_sub(1)).max(1);
    let open = desk.here().and_then(|name| desk.chats.place(name));
    let skip = open.map_or(0, |at| (at + 1).saturating_sub(rows));
    let chats = desk.chats.all().iter().enumerate().skip(skip).take(rows);
    chats.map(move |(at, chat)| (chat, Some(at) == open))
}

/// The chat on a row of the chat list, for the mouse.
#[must_use]
pub fn chat_at(desk: &Desk, area: Rect, row: u16) -> Option<&str> {
    let at = usize::from(row.checked_sub(area.y + 1)?);
    shown(desk, area.height).nth(at).map(|(chat, _)| chat.chat.as_str())
}
