//! The status line: account, connection, where something is unread, what is queued, the place, the clock.

use ratatui::{buffer::Buffer, layout::Rect};
use subrosa_client::api::ConnectionState;

use super::theme::Theme;
use crate::app::{
    keymap::Place,
    model::{Desk, Model, is_request},
    text::{cells, time},
    words,
};

pub(super) fn draw(model: &Model, desk: &Desk, area: Rect, theme: &Theme, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let width = usize::from(area.width);
    let right = right(model, width);
    let room = width.saturating_sub(cells::width(&right) + 1);
    let mut left = String::from(" ");
    let place = match model.place() {
        Place::Select => "[select]",
        Place::Hits => "[search]",
        _ => "",
    };
    let account = if width < 60 { desk.name() } else { &desk.account };
    // What matters most comes first, for where the line is cut.
    for part in
        [place.to_owned(), account.to_owned(), words::connection(&desk.connection), act(desk), queued(desk)]
    {
        if !part.is_empty() {
            let space = if left.len() > 1 { "  " } else { "" };
            left = format!("{left}{space}{part}");
        }
    }
    let style = match desk.connection {
        ConnectionState::Up { .. } => theme.dim,
        ConnectionState::Blocked { .. } => theme.bad,
        _ => theme.warn,
    };
    buffer.set_stringn(area.x, area.y, cells::fit(&left, room), room, style);
    let at = area.right().saturating_sub(u16::try_from(cells::width(&right)).unwrap_or(0));
    buffer.set_stringn(at, area.y, &right, width, theme.dim);
}

fn right(model: &Model, width: usize) -> String {
    let clock = time::clock(model.now, &model.zone);
    if width < 60 { format!("{clock} ") } else { format!("{clock}  ?help ") }
}

/// Where something is unread: `act bob 2,dave?,#ops 5@1`; behind the `@`, how many of them mention this account.
fn act(desk: &Desk) -> String {
    let chats = desk.chats.all().iter().filter(|chat| Some(chat.chat.as_str()) != desk.here());
    let names: Vec<String> = chats
        .filter_map(|chat| match (is_request(chat), chat.unread) {
            (true, _) => Some(format!("{}?", chat.chat)),
            (false, 0) => None,
            (false, unread) => Some(match chat.room.as_ref().map_or(0, |room| room.mentions) {
                0 => format!("{} {unread}", chat.chat),
                mentions => format!("{} {unread}@{mentions}", chat.chat),
            }),
        })
        .collect();
    if names.is_empty() { String::new() } else { format!("act {}", names.join(",")) }
}

fn queued(desk: &Desk) -> String {
    match &desk.status {
        Some(status) if status.queued > 0 => format!("queued {}", status.queued),
        _ => String::new(),
    }
}
