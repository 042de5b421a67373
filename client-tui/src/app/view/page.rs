//! Pages to read: help, keys, status, a message's details. The line mode prints the same lines.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{put, theme::Theme};
use subrosa_client::{
    api::{Direction, Message, MessageKind, MessageState, RoomReceipts},
    limits::RECEIPTS_IN_ROOMS_OF,
};

use crate::app::{
    commands::{self, COMMANDS},
    keymap::{Place, hint_line, valid},
    model::{Desk, Model, Page},
    text::{cells, time, wrap::wrap},
    words,
};

/// Columns of the keys in help pages.
const KEYS: usize = 26;

/// A line of a page: what it is about, and what there is to say; a heading has only the first.
type Entry = (String, String);

pub(super) fn draw(
    model: &Model,
    desk: &Desk,
    page: &Page,
    scroll: usize,
    theme: &Theme,
    buffer: &mut Buffer,
) {
    let lines = lines(model, Some(desk), page, buffer.area.width);
    draw_lines(&page.title(), &lines, scroll, theme, buffer);
}

pub(super) fn draw_lock_help(model: &Model, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let page = Page::Help(Place::Lock);
    let lines = lines(model, None, &page, buffer.area.width);
    draw_lines(&page.title(), &lines, 0, theme, buffer);
    None
}

fn draw_lines(title: &str, lines: &[String], scroll: usize, theme: &Theme, buffer: &mut Buffer) {
    let area = buffer.area;
    let width = usize::from(area.width);
    put(buffer, area, 0, &cells::fit(title, width), theme.strong);
    let inside = Rect::new(0, 1, area.width, area.height.saturating_sub(2));
    let rows = usize::from(inside.height);
    let scroll = scroll.min(lines.len().saturating_sub(rows));
    for (row, line) in (0..inside.height).zip(lines.iter().skip(scroll)) {
        let style = if line.starts_with(' ') || line.is_empty() { theme.text } else { theme.own };
        put(buffer, inside, row, line, style);
    }
    let more = if scroll + rows < lines.len() { "v more  " } else { "" };
    let hint = format!("{more}{}", hint_line(Place::Page));
    put(buffer, area, area.height - 1, &cells::fit(&hint, width), theme.dim);
}

/// A page's lines, wrapped to a width. Headings begin at the left, everything else is indented.
#[must_use]
pub fn lines(model: &Model, desk: Option<&Desk>, page: &Page, width: u16) -> Vec<String> {
    let width = usize::from(width).max(10);
    let entries = entries(model, desk, page);
    let widest = entries.iter().filter(|(_, text)| !text.is_empty()).map(|(key, _)| cells::width(key)).max();
    let keys = widest.unwrap_or(0).min(KEYS).min(width / 2);
    let mut lines = Vec::new();
    for (key, text) in entries {
        if text.is_empty() {
            if !lines.is_empty() && !key.is_empty() {
                lines.push(String::new());
            }
            lines.push(key);
            continue;
        }
        let room = width.saturating_sub(keys + 4).max(4);
        let mut parts = wrap(&text, room, room).into_iter();
        // A key that is wider than its column has a line of its own.
        let first = if cells::width(&key) > keys {
            lines.push(cells::fit(&format!("  {key}"), width));
            String::new()
        } else {
            key
        };
        let text = parts.next().unwrap_or_default();
        lines.push(format!("  {}  {text}", cells::pad(&first, keys)));
        lines.extend(parts.map(|part| format!("{}{part}", " ".repeat(keys + 4))));
    }
    lines
}

/// A page's lines for the line mode: one an entry.
#[must_use]
pub fn plain(model: &Model, desk: &Desk, page: &Page) -> Vec<String> {
    let entries = match page {
        Page::Help(Place::Write) => commands(true),
        Page::Keys => vec![heading("The line mode has no keys; /help lists the commands")],
        other => entries(model, Some(desk), other),
    };
    entries
        .into_iter()
        .map(|(key, text)| match (key.is_empty(), text.is_empty()) {
            (_, true) => format!("{key}:"),
            (true, false) => cells::flat(&text),
            (false, false) => format!("{key}: {}", cells::flat(&text)),
        })
        .collect()
}

fn entries(model: &Model, desk: Option<&Desk>, page: &Page) -> Vec<Entry> {
    match page {
        Page::Help(Place::Write) => {
            let mut entries = commands(false);
            entries.push(heading("Keys"));
            let empty = desk.is_none_or(|desk| desk.composer.editor.is_empty());
            entries.extend(keys(Place::Write, empty));
            entries.push(heading("Marks"));
            for (mark, meaning) in [
                ("..", "queued here"),
                ("o", "on the relay"),
                ("v", "delivered; in a room, to somebody: i on the message tells"),
                ("vv", "read; in a room, by somebody"),
                ("!", "not sent"),
                ("@", "at the left: it mentions you"),
                ("*2 @1 M", "in the list: unread, of these for you, muted"),
                ("ok !key", "of members: verified, key changed"),
            ] {
                entries.push((mark.to_owned(), meaning.to_owned()));
            }
            entries
        }
        Page::Help(place) => keys(*place, true).collect(),
        Page::Command(name) => match commands::find(name) {
            Some(command) => {
                let mut entries = vec![(command.usage(), command.help.to_owned())];
                if !command.aliases.is_empty() {
                    let names: Vec<String> = command.aliases.iter().map(|name| format!("/{name}")).collect();
                    entries.push(("also".to_owned(), names.join(" ")));
                }
                entries
            }
            None => Vec::new(),
        },
        Page::Keys => Place::ALL
            .iter()
            .flat_map(|place| [heading(place.title())].into_iter().chain(keys(*place, true)))
            .collect(),
        Page::Status => match desk.and_then(|desk| desk.status.as_ref()) {
            Some(status) => {
                words::status(status).into_iter().map(|(key, text)| (key.to_owned(), text)).collect()
            }
            None => vec![(String::new(), "asking...".to_owned())],
        },
        Page::Info(order) => info(model, desk, *order),
        Page::Room(_, lines) | Page::Members(_, lines) => lines.clone(),
        Page::Rooms(rooms) => rooms.clone(),
    }
}

/// The commands. The line mode has no keys to list.
fn commands(plain: bool) -> Vec<Entry> {
    let mut entries = vec![heading("Commands")];
    let listed = COMMANDS.iter().filter(|command| !plain || command.verb != commands::Verb::Keys);
    entries.extend(listed.map(|command| (command.usage(), command.help.to_owned())));
    entries.push(("//TEXT".to_owned(), "sends a text that begins with a slash".to_owned()));
    if plain {
        entries.push(("?".to_owned(), "alone on a line: this help".to_owned()));
    }
    entries
}

fn heading(text: &str) -> Entry {
    (text.to_owned(), String::new())
}

fn keys(place: Place, empty: bool) -> impl Iterator<Item = Entry> {
    valid(place, empty)
        // Alt-2 to Alt-9 are told with Alt-1.
        .filter(|binding| !matches!(binding.action, crate::app::keymap::Action::Chat(2..)))
        .map(|binding| (binding.keys.join(", "), binding.help.to_owned()))
}

/// Who has an own message, who has read it, and who has told neither; of a direct message, how it stands with its reader.
fn holders(desk: &Desk, message: &Message) -> Vec<Entry> {
    let entry = |key: &str, text: String| (key.to_owned(), text);
    let Some(open) = &desk.open else { return Vec::new() };
    if message.direction != Direction::Out || !matches!(message.kind, MessageKind::Text { .. }) {
        let told = open.is_room() && message.direction == Direction::In;
        return told.then(|| entry("who has it", "only its writer is told".to_owned())).into_iter().collect();
    }
    if !open.is_room() {
        let who = &open.chat;
        let text = match message.state {
            MessageState::Read => format!("{who} has read it"),
            MessageState::Delivered => format!("{who} has it, and has not told that it was read"),
            _ => format!("{who} has not told that it came"),
        };
        return vec![entry("who has it", text)];
    }
    let members = desk.room_here().map_or(0, |room| room.members);
    if members > RECEIPTS_IN_ROOMS_OF {
        let text = format!("nobody tells in rooms of more than {RECEIPTS_IN_ROOMS_OF} members");
        return vec![entry("who has it", text)];
    }
    let receipts = message.marks.receipts.unwrap_or(RoomReceipts {
        of: members.saturating_sub(1),
        delivered: 0,
        read: 0,
    });
    let told = match receipts {
        RoomReceipts { of, delivered: 0, .. } => format!("none of {of} has told that they have it"),
        receipts => words::receipts(&receipts),
    };
    let mut entries = vec![entry("members", told)];
    let Some(known) = open.holders.as_ref().filter(|known| known.id == message.id) else { return entries };
    let unread = known.delivered_to.iter().filter(|name| !known.read_by.contains(name));
    let silent = open.roster.all().iter().map(|member| &member.name);
    let silent = silent.filter(|name| *name != desk.name() && !known.delivered_to.contains(name));
    for (key, names) in [
        ("read by", known.read_by.clone()),
        ("has it", unread.cloned().collect()),
        ("not told", silent.cloned().collect()),
    ] {
        if !names.is_empty() {
            entries.push(entry(key, names.join(", ")));
        }
    }
    entries.push(entry("", "Only people who accepted each other tell.".to_owned()));
    entries
}

fn info(model: &Model, desk: Option<&Desk>, order: i64) -> Vec<Entry> {
    let Some(message) = desk.and_then(|desk| desk.open.as_ref()).and_then(|open| open.timeline.find(order))
    else {
        return Vec::new();
    };
    let entry = |key: &str, text: String| (key.to_owned(), text);
    let mut entries = vec![
        entry("from", format!("{}, device {}", message.from, message.device)),
        entry("state", words::state(message.state).to_owned()),
    ];
    if let Some(reason) = words::reason(message) {
        entries.push(entry("", reason));
    }
    // What is asked for most comes first: small screens show little.
    entries.extend(desk.into_iter().flat_map(|desk| holders(desk, message)));
    entries.push(entry("written", format!("{} (their clock)", time::exact(message.sent_at, &model.zone))));
    entries.push(entry("stored", time::exact(message.stored_at, &model.zone)));
    for one in &message.marks.reactions {
        entries.push(entry(&cells::one_line(&one.sign), one.by.join(", ")));
    }
    let verified = if message.verified { "yes, when it came" } else { "no" };
    entries.push(entry("verified", verified.to_owned()));
    if let Some(id) = &message.reply_to {
        entries.push(entry("answers", id.clone()));
    }
    entries.push(entry("id", message.id.clone()));
    entries.push(entry("text", words::body(message)));
    entries
}
