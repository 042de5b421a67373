//! A model on a stage: keys go in, the world answers at once, and the screen is looked at.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::{buffer::Buffer, layout::Rect};
use rosa::app::{
    Settings,
    keymap::Chord,
    model::{Desk, Model, Size},
    update::{Effect, Msg, update},
    view,
};
use subrosa_client::{Event, Request, api::time::Timestamp};

use crate::world::{NOW, World};

pub(crate) struct Stage {
    pub(crate) model: Model,
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// Effects other than calls, in order.
    pub(crate) effects: Vec<Effect>,
    /// Whether calls are answered; otherwise they wait in `waiting`.
    pub(crate) answers: bool,
    pub(crate) waiting: Vec<Effect>,
}

impl Stage {
    /// A locked application of a size.
    pub(crate) fn locked(world: World, width: u16, height: u16) -> Self {
        let settings = Settings { color: false, ..Settings::default() };
        let now = Timestamp(NOW);
        let model = Model::new("default", settings, Size { width, height }, TimeZone::UTC, now);
        Self { model, world, now, effects: Vec::new(), answers: true, waiting: Vec::new() }
    }

    /// An open application of a size.
    pub(crate) fn sized(world: World, width: u16, height: u16) -> Self {
        let mut stage = Self::locked(world, width, height);
        stage.send(Msg::Unlocked(Ok(())));
        stage
    }

    /// An open application of 80 columns and 24 rows.
    pub(crate) fn new(world: World) -> Self {
        Self::sized(world, 80, 24)
    }

    pub(crate) fn send(&mut self, msg: Msg) {
        let mut messages = vec![msg];
        while !messages.is_empty() {
            for effect in update(&mut self.model, self.now, messages.remove(0)) {
                match effect {
                    Effect::Call(purpose, request) if self.answers => {
                        let (to, mut events) = tokio::sync::mpsc::channel(64);
                        self.world.subscribers = vec![to];
                        let answer = self.world.answer(request);
                        while let Ok(subrosa_client::api::StreamItem::Event(event)) = events.try_recv() {
                            messages.push(Msg::Event(event));
                        }
                        messages.push(Msg::Reply(purpose, answer));
                    }
                    effect @ Effect::Call(..) => self.waiting.push(effect),
                    effect => self.effects.push(effect),
                }
            }
        }
    }

    /// Answers the calls that waited, in order.
    pub(crate) fn answer_waiting(&mut self) -> &mut Self {
        for effect in std::mem::take(&mut self.waiting) {
            let Effect::Call(purpose, request) = effect else { continue };
            let answer = self.world.answer(request);
            self.send(Msg::Reply(purpose, answer));
        }
        self
    }

    /// Presses a key by its label, as the keymap writes it.
    pub(crate) fn key(&mut self, label: &str) -> &mut Self {
        let chord = Chord::parse(label).unwrap_or_else(|| panic!("no key {label}"));
        self.send(Msg::Key(KeyEvent::new(chord.code, chord.modifiers)));
        self
    }

    /// Types a text, character by character.
    pub(crate) fn type_in(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.send(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
        }
        self
    }

    /// Types a text and presses Enter.
    pub(crate) fn enter(&mut self, text: &str) -> &mut Self {
        self.type_in(text).key("Enter")
    }

    pub(crate) fn event(&mut self, event: Event) -> &mut Self {
        self.send(Msg::Event(Box::new(event)));
        self
    }

    pub(crate) fn pass(&mut self, ms: u64) -> &mut Self {
        self.now = Timestamp(self.now.0 + ms);
        self
    }

    pub(crate) fn desk(&self) -> &Desk {
        self.model.desk().expect("the profile is open")
    }

    pub(crate) fn here(&self) -> &str {
        self.desk().here().unwrap_or_default()
    }

    pub(crate) fn draft(&self) -> &str {
        self.desk().composer.editor.text()
    }

    pub(crate) fn notice(&self) -> &str {
        self.model.notice.as_ref().map_or("", |notice| &notice.text)
    }

    pub(crate) fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, self.model.size.width, self.model.size.height));
        let _ = view::draw(&self.model, &mut buffer);
        buffer
    }

    /// The screen as text, and where the cursor stands.
    pub(crate) fn screen(&self) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, self.model.size.width, self.model.size.height));
        let cursor = view::draw(&self.model, &mut buffer);
        let mut text = String::new();
        for y in 0..buffer.area.height {
            let mut skip = 0;
            let mut line = String::new();
            for x in 0..buffer.area.width {
                let symbol = buffer.cell((x, y)).unwrap().symbol();
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                skip = rosa::app::text::cells::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let cursor = cursor.map_or_else(|| "hidden".to_owned(), |at| format!("{},{}", at.x, at.y));
        format!("{text}cursor {cursor}")
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.screen().contains(text)
    }

    /// The texts that were sent, with whom to.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        let sent = self.world.asked.iter().filter_map(|request| match request {
            Request::MessageSend(send) => Some((send.to[0].clone(), send.text.clone())),
            _ => None,
        });
        sent.collect()
    }
}

/// A terminal to look at.
pub(crate) fn terminal(width: u16, height: u16) -> vt100::Parser {
    vt100::Parser::new(height.try_into().unwrap(), width.try_into().unwrap(), 0)
}
