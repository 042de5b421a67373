//! One message as lines: what stands before it (a date, the `new` line), who wrote it when, what, and how far it is.

use std::cell::Cell;

use jiff::tz::TimeZone;
use ratatui::{
    style::Style,
    text::{Line, Span},
};
use subrosa_client::api::{Direction, Message, MessageKind, MessageState, Role, time::Timestamp};

use super::theme::Theme;
use crate::app::{
    model::{Conversation, Desk, Model},
    text::{
        cells,
        mention::{self, Marker},
        time,
        wrap::wrap,
    },
    words,
};

/// Below this width continued lines are not indented to the text.
const NARROW: usize = 50;
/// Columns of a name at most.
const NAME_MAX: usize = 12;
/// Columns of a name in a room whose members are not known.
const NAME_IN_ROOMS: usize = 8;
/// Columns at the right that only delivery marks are drawn in.
const MARK: usize = 3;
/// Columns at the left for the marker of what is selected.
const GUTTER: usize = 1;

/// What blocks are drawn with.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Styles.
    pub theme: &'a Theme,
    /// The zone of the times.
    pub zone: &'a TimeZone,
    /// Now, for dates of another year.
    pub now: Timestamp,
    /// The chat.
    pub open: &'a Conversation,
    /// `order` of the message that is pointed at.
    pub pointed: Option<i64>,
    /// Columns.
    pub width: usize,
    /// This account, in rooms: its mentions stand out.
    me: &'a str,
    /// Blocks built so far: what a drawing costs.
    built: Cell<usize>,
}

impl<'a> Context<'a> {
    /// The context of the open chat.
    #[must_use]
    pub fn new(model: &'a Model, theme: &'a Theme, open: &'a Conversation, width: usize) -> Self {
        let hit = model.desk().and_then(|desk| desk.hits.as_ref()).and_then(|hits| hits.current());
        let pointed = open.selected.or(hit.filter(|hit| hit.chat == open.chat).map(|hit| hit.order));
        let me = model.desk().map_or("", Desk::name);
        let built = Cell::new(0);
        Self { theme, zone: &model.zone, now: model.now, open, pointed, width: width.max(8), me, built }
    }

    /// How many messages were laid out with this context: bounded by the screen, however long the history is.
    #[must_use]
    pub fn built(&self) -> usize {
        self.built.get()
    }

    /// The lines of the message at a place of the window.
    #[must_use]
    pub fn block(&self, place: usize) -> Vec<Line<'static>> {
        let messages = self.open.timeline.messages();
        let Some(message) = messages.get(place) else { return Vec::new() };
        self.built.set(self.built.get() + 1);
        let mut lines = self.heads(place);
        match &message.kind {
            MessageKind::Text { text } => self.text(message, text.as_str(), &mut lines),
            kind => {
                let style = if words::alarms(kind) { self.theme.bad } else { self.theme.dim };
                self.notice(message, style, &mut lines);
            }
        }
        lines
    }

    /// What stands before a message: the date, where it is another than before, and the `new` line.
    #[must_use]
    pub fn heads(&self, place: usize) -> Vec<Line<'static>> {
        let messages = self.open.timeline.messages();
        let Some(message) = messages.get(place) else { return Vec::new() };
        let before = place.checked_sub(1).and_then(|at| messages.get(at));
        let mut lines = Vec::new();
        let day = |message: &Message| time::day(message.sent_at, self.zone);
        if before.is_none_or(|before| day(before) != day(message)) {
            let date = time::date(message.sent_at, self.now, self.zone);
            lines.push(self.rule(&date, 2, self.theme.dim));
        }
        let is_new = |message: &Message| self.open.new_after.is_some_and(|after| message.order > after);
        if is_new(message) && before.is_none_or(|before| !is_new(before)) {
            lines.push(self.rule("new", usize::MAX, self.theme.warn));
        }
        lines
    }

    /// A rule across with a word in it, `at` columns from the left or in the middle.
    fn rule(&self, word: &str, at: usize, style: Style) -> Line<'static> {
        let room = self.width.saturating_sub(cells::width(word) + 2);
        let left = at.min(room / 2);
        let text = format!("{} {word} {}", "─".repeat(left), "─".repeat(room.saturating_sub(left)));
        Line::styled(cells::fit(&text, self.width), style)
    }

    fn text(&self, message: &Message, text: &str, lines: &mut Vec<Line<'static>>) {
        let author = words::author(message);
        let narrow = self.width < NARROW;
        let names = if narrow {
            cells::width(author).min(NAME_MAX)
        } else {
            let longest = match self.open.roster.longest() {
                0 if self.open.is_room() => NAME_IN_ROOMS,
                0 => cells::width(&self.open.chat),
                known => known,
            };
            longest.clamp(3, NAME_MAX)
        };
        let clock = time::clock(message.sent_at, self.zone);
        let lead = GUTTER + clock.len() + 1 + names + 1;
        let indent = if narrow { GUTTER + 2 } else { lead };
        let first = self.width.saturating_sub(lead + MARK).max(1);
        let rest = self.width.saturating_sub(indent + MARK).max(1);

        if let Some(quoted) = &message.reply_to {
            let quote = self.quote(quoted);
            let room = self.width.saturating_sub(indent + MARK);
            lines.push(Line::styled(
                format!("{}{}", " ".repeat(indent), cells::fit(&quote, room)),
                self.theme.dim,
            ));
        }
        let pointed = self.pointed == Some(message.order);
        let own = message.direction == Direction::Out;
        let (mark, mark_style) = self.mark(message);
        let wrapped = self.open.laid.wrapped(message.order, text, first, rest);
        let mut mentions = self.mentions(message, text);
        let gutter = match (pointed, message.marks.mention) {
            (true, _) => Span::styled(">", self.theme.strong),
            (false, true) => Span::styled("@", self.theme.mine),
            (false, false) => Span::raw(" "),
        };
        let last = wrapped.len().saturating_sub(1);
        for (at, part) in wrapped.iter().enumerate() {
            let (mut spans, room) = if at == 0 {
                let time_style = if pointed { self.theme.chosen } else { self.theme.dim };
                let name_style = if own { self.theme.own } else { self.theme.other };
                let lead = vec![
                    gutter.clone(),
                    Span::styled(clock.clone(), time_style),
                    Span::raw(" "),
                    Span::styled(cells::pad(author, names), name_style),
                    Span::raw(" "),
                ];
                (lead, first)
            } else {
                (vec![Span::raw(" ".repeat(indent))], rest)
            };
            match &mut mentions {
                Some(mentions) => {
                    spans.extend(mentions.line(part).into_iter().map(|(piece, style)| {
                        Span::styled(piece.to_owned(), style.unwrap_or(self.theme.text))
                    }))
                }
                None => spans.push(Span::raw(part.clone())),
            }
            if at == last && !mark.is_empty() {
                spans.push(Span::raw(" ".repeat(room.saturating_sub(cells::width(part)))));
                spans.push(Span::styled(format!("{mark:>MARK$}"), mark_style));
            }
            lines.push(Line::from(spans));
        }
        if let Some(marks) = words::marks(&message.marks) {
            for part in wrap(&marks, rest, rest) {
                lines.push(Line::styled(format!("{}{part}", " ".repeat(indent)), self.theme.dim));
            }
        }
        if let Some(reason) = words::reason(message) {
            let style = if message.state == MessageState::Failed { self.theme.bad } else { self.theme.warn };
            for part in wrap(&reason, rest, rest) {
                lines.push(Line::styled(format!("{}{part}", " ".repeat(indent)), style));
            }
        }
    }

    /// Where members are mentioned in a text of a room; `None` where nobody is, and in chats with one person.
    fn mentions(&self, message: &Message, text: &str) -> Option<Marker<Style>> {
        if !self.open.is_room() || !text.contains('@') {
            return None;
        }
        let Theme { mention, mine, .. } = *self.theme;
        let roster = &self.open.roster;
        Some(Marker::new(text, |word| {
            let name = mention::account(word)?;
            if name == self.me {
                return Some(mine);
            }
            if roster.find(&name).is_some() {
                return Some(mention);
            }
            // Of everybody, where a moderator wrote it.
            let moderates = roster.find(&message.from).is_some_and(|who| who.role >= Role::Moderator);
            (word == "room" && moderates).then_some(if message.marks.mention { mine } else { mention })
        }))
    }

    fn mark(&self, message: &Message) -> (&'static str, Style) {
        let style = match message.state {
            MessageState::Failed => self.theme.bad,
            MessageState::Held | MessageState::Queued => self.theme.warn,
            _ => self.theme.dim,
        };
        (words::mark(message), style)
    }

    fn quote(&self, id: &str) -> String {
        match self.open.timeline.by_id(id) {
            Some(quoted) => format!("> {}: {}", words::author(quoted), cells::one_line(&words::body(quoted))),
            None => "> an earlier message".to_owned(),
        }
    }

    fn notice(&self, message: &Message, style: Style, lines: &mut Vec<Line<'static>>) {
        let text = format!("-- {} --", words::body(message));
        let pointed = self.pointed == Some(message.order);
        let clock = time::clock(message.stored_at, self.zone);
        let indent = if self.width < NARROW { GUTTER + 2 } else { GUTTER + clock.len() + 1 };
        let lead = GUTTER + clock.len() + 1;
        let room = self.width.saturating_sub(1);
        for (at, part) in
            wrap(&text, room.saturating_sub(lead), room.saturating_sub(indent)).into_iter().enumerate()
        {
            if at == 0 {
                lines.push(Line::from(vec![
                    Span::styled(if pointed { ">" } else { " " }, self.theme.strong),
                    Span::styled(clock.clone(), if pointed { self.theme.chosen } else { self.theme.dim }),
                    Span::raw(" "),
                    Span::styled(part, style),
                ]));
            } else {
                lines.push(Line::from(vec![Span::raw(" ".repeat(indent)), Span::styled(part, style)]));
            }
        }
    }
}
