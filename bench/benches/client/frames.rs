//! Frames of the application in a large room: how long a key, a message or a change of the members takes from the update to
//! the last byte for the terminal. The engine's own time is not in it; its answers are, each a frame of its own, as in the
//! loop of the application.

use std::{
    io,
    time::{Duration, Instant},
};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hdrhistogram::Histogram;
use jiff::tz::TimeZone;
use rosa::app::{
    Settings,
    model::{Model, Size},
    terminal::Screen,
    update::{Effect, Msg, update},
};
use subrosa_client::{
    Event, Reply, Request,
    api::{
        AccountInfo, Chat, Direction, EventBody, HistoryPage, Marks, Member, Message, MessageEvent,
        MessageKind, MessageState, Role, Room, RoomState, Trust, Visibility, time::Timestamp,
    },
};
use subrosa_protocol::SafeText;

use crate::{size, table::Table};

/// 21 Nov 2025.
const NOW: u64 = 1_763_701_588_113;
const ROOM: &str = "#large";
/// What a frame may take, at the 99th percentile.
const GOAL: Duration = Duration::from_millis(8);

/// What is done to the application, at each step.
type Step<'a> = &'a dyn Fn(&mut Desk, u64);

pub(crate) fn run() {
    let members = size("SUBROSA_FRAMES_MEMBERS", 1_000);
    let messages = size("SUBROSA_FRAMES_MESSAGES", 10_000);
    let steps = size("SUBROSA_FRAMES_STEPS", 2_000);
    let columns = ["Frames: update and drawing", "frames", "p50 µs", "p99 µs", "max µs", "goal p99 8 ms"];
    let title = format!("A room of {members} members and {messages} messages");
    let mut table = Table::new(&title, &columns);
    for (width, height) in [(80, 24), (140, 40), (250, 70)] {
        let mut desk = Desk::open(members, messages, Size { width, height });
        let parts: [(&str, Step<'_>); 5] = [
            ("scrolling a page", &|desk, step| {
                // Up through the whole history, and down again.
                let pages = messages / u64::from(height) + 1;
                desk.key(if (step / pages).is_multiple_of(2) { KeyCode::PageUp } else { KeyCode::PageDown });
            }),
            ("scrolling by the wheel", &|desk, step| {
                desk.frame(Msg::Wheel(if step / 500 % 2 == 0 { -3 } else { 3 }));
            }),
            ("typing", &|desk, step| {
                let text = "a text with @m0001 and others, word after word ";
                let at = usize::try_from(step).unwrap() % text.len();
                desk.key(if step % 400 == 399 {
                    KeyCode::Enter
                } else {
                    KeyCode::Char(char::from(text.as_bytes()[at]))
                });
            }),
            ("a message comes", &|desk, step| desk.comes(step)),
            ("a member comes", &|desk, _| desk.member()),
        ];
        for (what, act) in parts {
            desk.key(KeyCode::End);
            desk.times.reset();
            let steps = if what == "a member comes" { steps.min(200) } else { steps };
            (0..steps).for_each(|step| act(&mut desk, step));
            let us = |quantile: f64| desk.times.value_at_quantile(quantile).div_ceil(1_000);
            let met = if Duration::from_micros(us(0.99)) < GOAL { "met" } else { "NOT met" };
            table.row(&[
                format!("{what}, {width} x {height}"),
                desk.times.len().to_string(),
                us(0.5).to_string(),
                us(0.99).to_string(),
                desk.times.max().div_ceil(1_000).to_string(),
                met.to_owned(),
            ]);
        }
    }
    table.print();
}

/// The application with an engine in memory.
struct Desk {
    model: Model,
    screen: Screen<io::Sink>,
    messages: Vec<Message>,
    members: Vec<Member>,
    now: u64,
    /// Nanoseconds of each frame.
    times: Histogram<u64>,
}

impl Desk {
    fn open(members: u64, messages: u64, size: Size) -> Self {
        let model = Model::new("bench", Settings::default(), size, TimeZone::UTC, Timestamp(NOW));
        let members = (0..members).map(|n| member(&format!("m{n:04}"), n)).collect::<Vec<_>>();
        let messages = (1..=i64::try_from(messages).unwrap()).map(message).collect();
        let times = Histogram::new(3).unwrap();
        let mut screen = Screen::detached(io::sink());
        screen.enter().unwrap();
        let mut desk = Self { model, screen, messages, members, now: NOW, times };
        desk.frame(Msg::Unlocked(Ok(())));
        assert_eq!(desk.model.desk().and_then(|desk| desk.here()), Some(ROOM));
        desk
    }

    fn key(&mut self, code: KeyCode) {
        self.frame(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    /// Takes a message in and draws; then the engine's answers, one by one.
    fn frame(&mut self, msg: Msg) {
        let mut waiting = vec![msg];
        while !waiting.is_empty() {
            let msg = waiting.remove(0);
            self.now += 20;
            let started = Instant::now();
            let effects = update(&mut self.model, Timestamp(self.now), msg);
            self.screen.draw(&self.model).unwrap();
            let took = u64::try_from(started.elapsed().as_nanos()).unwrap();
            self.times.record(took).unwrap();
            for effect in effects {
                if let Effect::Call(purpose, request) = effect
                    && let Some(reply) = self.answer(request)
                {
                    waiting.push(Msg::Reply(purpose, Ok(reply)));
                }
            }
        }
    }

    fn answer(&self, request: Request) -> Option<Reply> {
        Some(match request {
            Request::AccountShow {} => Reply::Account(AccountInfo {
                address: "m0000@bench.example".to_owned(),
                name: "m0000".to_owned(),
                display_name: SafeText::default(),
                device: 1,
                relay: String::new(),
                account_key: String::new(),
            }),
            Request::ChatList {} => Reply::Chats { chats: vec![self.chat()] },
            Request::ChatHistory { before, after, limit, .. } => self.history(before, after, limit as usize),
            Request::RoomMembers { .. } => Reply::Members { members: self.members.clone() },
            Request::ContactList {} => Reply::Contacts { contacts: Vec::new() },
            // The others change nothing on the screen.
            _ => return None,
        })
    }

    fn history(&self, before: Option<i64>, after: Option<i64>, limit: usize) -> Reply {
        let place = |order: i64| self.messages.partition_point(|message| message.order < order);
        let end = before.map_or(self.messages.len(), place);
        let start = after.map_or(0, |after| place(after + 1));
        let (start, end) = match after {
            Some(_) => (start, end.min(start + limit)),
            None => (end.saturating_sub(limit), end),
        };
        let messages = self.messages[start..end].to_vec();
        Reply::History(HistoryPage {
            messages,
            more_before: start > 0,
            more_after: end < self.messages.len(),
        })
    }

    fn chat(&self) -> Chat {
        let room = Room {
            chat: ROOM.to_owned(),
            id: "0".repeat(26),
            name: SafeText::name("Large"),
            topic: SafeText::single_line("what a large room is about"),
            description: SafeText::default(),
            slug: None,
            visibility: Visibility::Public,
            state: Some(RoomState::Joined),
            role: Some(Role::Owner),
            members: u32::try_from(self.members.len()).unwrap(),
            suite: String::new(),
            epoch: 1,
            invited_by: None,
            muted: false,
            denied: false,
            mentions: 0,
        };
        let last = self.messages.last().cloned();
        Chat {
            chat: ROOM.to_owned(),
            contact: None,
            room: Some(room),
            unread: 0,
            read_up_to: last.as_ref().map_or(0, |last| last.order),
            last,
            draft: String::new(),
        }
    }

    fn comes(&mut self, step: u64) {
        let new = message(self.messages.last().unwrap().order + 1);
        let MessageKind::Text { text } = &new.kind else { unreachable!("only texts are made") };
        let message = MessageEvent {
            id: new.id.clone(),
            chat: new.chat.clone(),
            from: new.from.clone(),
            device: 1,
            text: text.clone(),
            reply_to: None,
            expires_at: None,
            verified: false,
            replay: false,
            files: Vec::new(),
            sent_at: new.sent_at,
            order: new.order,
            mention: step.is_multiple_of(10),
        };
        self.messages.push(new);
        self.event(EventBody::MessageReceived { message });
    }

    fn member(&mut self) {
        let name = format!("n{:04}", self.members.len());
        self.members.push(member(&name, 9));
        self.event(EventBody::RoomMemberAdded { chat: ROOM.to_owned(), name: name.clone(), by: name });
    }

    fn event(&mut self, body: EventBody) {
        let account = "m0000@bench.example".to_owned();
        let event = Event { v: 1, seq: None, ts: Timestamp(self.now), account, body };
        self.frame(Msg::Event(Box::new(event)));
    }
}

fn member(name: &str, n: u64) -> Member {
    let role = match n {
        0..=2 => Role::Owner,
        3..=8 => Role::Moderator,
        _ => Role::Member,
    };
    let trust = if n.is_multiple_of(7) { Trust::Verified } else { Trust::Unverified };
    Member { name: name.to_owned(), role, devices: vec![1], muted: n % 50 == 49, trust, invited: n % 50 == 48 }
}

/// Texts of one to some hundred words; every third mentions somebody, and some thousands of characters are in a few.
fn message(order: i64) -> Message {
    let n = u64::try_from(order).unwrap();
    let mut text = format!("message {n} ");
    if n % 3 == 0 {
        text += &format!("@m{:04}, ", n * 31 % 1_000);
    }
    let words = if n % 500 == 0 { 3_000 } else { n * 7 % 40 };
    for word in 0..words {
        text += if word % 11 == 5 { "日本語 " } else { "word " };
    }
    let from = format!("m{:04}", n * 17 % 1_000);
    let own = from == "m0000";
    Message {
        id: format!("01JD{order:022}"),
        chat: ROOM.to_owned(),
        order,
        direction: if own { Direction::Out } else { Direction::In },
        from,
        device: 1,
        kind: MessageKind::Text { text: SafeText::multi_line(&text) },
        reply_to: (n % 20 == 19).then(|| format!("01JD{:022}", order - 3)),
        sent_at: Timestamp(NOW - 86_400_000 + n * 1_000),
        stored_at: Timestamp(NOW - 86_400_000 + n * 1_000),
        state: if own { MessageState::Delivered } else { MessageState::Read },
        reason: None,
        verified: false,
        marks: Marks::default(),
    }
}
