//! What the terminal tells, as messages.

use crossterm::event::{Event, EventStream, MouseButton, MouseEventKind};
use futures_util::{Stream, StreamExt as _, stream};

use crate::app::update::Msg;

/// Lines the wheel scrolls.
const WHEEL: isize = 3;

/// The terminal's events. Ends with [`Msg::Terminate`] when the terminal is gone.
pub fn events() -> impl Stream<Item = Msg> + Send {
    let events = EventStream::new().map(|event| event.map_or(Some(Msg::Terminate), message));
    events.filter_map(std::future::ready).chain(stream::once(std::future::ready(Msg::Terminate)))
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resize(width, height)),
        Event::FocusGained => Some(Msg::Focus(true)),
        Event::FocusLost => Some(Msg::Focus(false)),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Some(Msg::Wheel(-WHEEL)),
            MouseEventKind::ScrollDown => Some(Msg::Wheel(WHEEL)),
            MouseEventKind::Down(MouseButton::Left) => {
                Some(Msg::Click { column: mouse.column, row: mouse.row })
            }
            _ => None,
        },
    }
}
