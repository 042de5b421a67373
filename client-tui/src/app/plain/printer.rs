//! What is new in the model, as lines.

use std::collections::{HashMap, VecDeque};

use subrosa_client::api::{Chat, ConnectionState, Direction, Message, MessageState};
use subrosa_protocol::SafeText;

use crate::app::{
    layout,
    model::{Desk, Model, Overlay, Page, is_request},
    text::{cells, time},
    view, words,
};

/// Messages that are told when a chat is opened.
const OPENING: usize = 10;
/// What continues a message.
const INDENT: &str = "    ";
/// Texts typed here that are remembered until they come back as messages.
const TYPED: usize = 100;
/// Hits of a search that are told.
const HITS: usize = 20;

/// Knows what was told.
#[derive(Debug, Default)]
pub struct Printer {
    chat: Option<String>,
    /// `order` of the last message told of the open chat.
    told: Option<i64>,
    /// States of own messages as they were told, by id.
    states: HashMap<String, MessageState>,
    day: Option<jiff::civil::Date>,
    unread: HashMap<String, u64>,
    over: Option<String>,
    connection: Option<&'static str>,
    /// Chats and texts of what was typed here and has not come back as a message yet.
    typed: VecDeque<(String, String)>,
    banner: String,
}

impl Printer {
    /// The lines that are new since the last call. Takes the notice out of the model: it is told once.
    pub fn lines(&mut self, model: &mut Model) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(desk) = model.desk() {
            self.connection(desk, &mut lines);
            self.conversation(model, desk, &mut lines);
            self.others(desk, &mut lines);
            self.over(model, desk, &mut lines);
        }
        if let Some(notice) = model.notice.take() {
            // There are no such keys here.
            let text = notice.text.replace(", Ctrl-P finds one", "").replace("F1 helps", "? helps");
            lines.push(format!("* {}", cells::flat(&text)));
        }
        lines
    }

    /// A text was typed here and goes out: it stands on the screen already.
    pub fn typed(&mut self, chat: &str, text: &str) {
        if self.typed.len() == TYPED {
            self.typed.pop_front();
        }
        self.typed.push_back((chat.to_owned(), SafeText::multi_line(text).as_str().to_owned()));
    }

    fn was_typed(&mut self, message: &Message) -> bool {
        let body = words::body(message);
        let found = self.typed.iter().position(|(chat, text)| *chat == message.chat && *text == body);
        found.and_then(|at| self.typed.remove(at)).is_some()
    }

    fn connection(&mut self, desk: &Desk, lines: &mut Vec<String>) {
        if desk.status.is_none() {
            return;
        }
        let word = match &desk.connection {
            ConnectionState::Connecting {} => "connecting",
            ConnectionState::Up { .. } => "connected",
            ConnectionState::Down { .. } => "offline; messages are queued and go out later",
            ConnectionState::Blocked { .. } => "blocked",
        };
        if self.connection != Some(word) {
            self.connection = Some(word);
            lines.push(format!("* {word}"));
        }
    }

    fn conversation(&mut self, model: &Model, desk: &Desk, lines: &mut Vec<String>) {
        let Some(open) = desk.open.as_ref() else { return };
        let opening = self.chat.as_ref() != Some(&open.chat);
        // A chat is told when its messages are there, the newest of them, and own ones with them.
        if opening && open.timeline.loading {
            return;
        }
        let messages = open.timeline.messages();
        if opening {
            let seal = layout::seal_text(desk);
            lines.push(format!("* chat with {}{}{seal}", open.chat, if seal.is_empty() { "" } else { ": " }));
            self.chat = Some(open.chat.clone());
            self.states.clear();
            self.day = None;
            let from = messages.len().saturating_sub(OPENING);
            self.told =
                Some(from.checked_sub(1).and_then(|at| messages.get(at)).map_or(i64::MIN, |m| m.order));
        }
        let banner = layout::banner_text(desk);
        if self.banner != banner {
            if !banner.is_empty() {
                lines.push(banner.replace("Enter accepts;", "/accept accepts;"));
            }
            self.banner = banner;
        }
        let told = self.told.unwrap_or(i64::MIN);
        let this_device = desk.status.as_ref().map(|status| status.device);
        for message in messages {
            if message.order > told {
                self.told = Some(message.order);
                // What was typed here stands on the screen already; what `rosa send` wrote does not.
                let typed_here = message.direction == Direction::Out
                    && Some(message.device) == this_device
                    && self.was_typed(message);
                // One that stands somewhere else now was told where it stood.
                let moved = !opening && self.states.contains_key(&message.id);
                if opening || !typed_here && !moved {
                    self.message(model, message, lines);
                }
            }
            if opening && message.order <= told {
                // Older than what is told: only a change from now on is news.
                self.states.insert(message.id.clone(), message.state);
                continue;
            }
            self.state(message, lines);
        }
    }

    fn message(&mut self, model: &Model, message: &Message, lines: &mut Vec<String>) {
        let day = time::day(message.sent_at, &model.zone);
        if self.day != Some(day) {
            self.day = Some(day);
            lines.push(format!("-- {}", time::date(message.sent_at, model.now, &model.zone)));
        }
        let clock = time::clock(message.sent_at, &model.zone);
        if let Some(notice) = words::notice(message) {
            lines.push(format!("{clock} * {notice}"));
            return;
        }
        let quoted = message.reply_to.as_ref().map(|id| {
            let quoted =
                model.desk().and_then(|desk| desk.open.as_ref()).and_then(|open| open.timeline.by_id(id));
            quoted.map_or_else(
                || " (answers an earlier message)".to_owned(),
                |quoted| {
                    let text = cells::fit(&cells::one_line(&words::body(quoted)), 40);
                    format!(" (answers {}: {text})", words::author(quoted))
                },
            )
        });
        let body = words::body(message);
        let mut parts = body.split('\n').map(|part| part.replace('\t', INDENT));
        let first = parts.next().unwrap_or_default();
        lines.push(format!("{clock} {}{}: {first}", words::author(message), quoted.unwrap_or_default()));
        lines.extend(parts.map(|part| format!("{INDENT}{part}")));
    }

    /// An own message that is held or was given up is told; progress is not.
    fn state(&mut self, message: &Message, lines: &mut Vec<String>) {
        if message.direction != Direction::Out {
            return;
        }
        let before = self.states.insert(message.id.clone(), message.state);
        if before != Some(message.state)
            && matches!(message.state, MessageState::Held | MessageState::Failed)
            && let Some(reason) = words::reason(message)
        {
            let text = cells::fit(&cells::one_line(&words::body(message)), 40);
            lines.push(format!("! \"{text}\" {reason}"));
        }
    }

    /// What is unread in other chats, and who asks to write.
    fn others(&mut self, desk: &Desk, lines: &mut Vec<String>) {
        for Chat { chat, unread, .. } in desk.chats.all() {
            let before = self.unread.insert(chat.clone(), *unread).unwrap_or(0);
            if *unread > before && desk.here() != Some(chat) {
                let request = desk.chats.find(chat).is_some_and(is_request);
                lines.push(if request {
                    format!("* {chat} wants to write to you. /msg {chat} shows it, /accept {chat} accepts")
                } else {
                    format!("* {chat}: {unread} unread. /msg {chat} shows them")
                });
            }
        }
    }

    /// Pages, questions and search results, once each.
    fn over(&mut self, model: &Model, desk: &Desk, lines: &mut Vec<String>) {
        let told: Option<(String, Vec<String>)> = match &desk.overlay {
            None | Some(Overlay::Palette(_)) => None,
            Some(Overlay::Page(page, _)) => {
                let waits = *page == Page::Status && desk.status.is_none();
                let title = format!("* {}", page.title());
                let body = [title].into_iter().chain(view::page_text(model, desk, page)).collect();
                (!waits).then(|| (format!("{page:?}"), body))
            }
            Some(Overlay::Question(question)) => {
                let mut body = vec![format!("* {}", question.title)];
                body.extend(question.lines.iter().map(|line| cells::flat(line)));
                body.extend(
                    question.choices.iter().map(|choice| format!("{}: {}", choice.key, choice.label)),
                );
                body.push("empty line: leave everything as it is".to_owned());
                Some((format!("{question:?}"), body))
            }
            Some(Overlay::Search(search)) => {
                let words = search.editor.text().trim();
                (search.answered == words).then(|| {
                    let mut body = vec![format!("* {} found for \"{words}\"", search.found.len())];
                    body.extend(search.found.iter().take(HITS).map(|hit| {
                        let date = time::date(hit.sent_at, model.now, &model.zone);
                        let clock = time::clock(hit.sent_at, &model.zone);
                        let text = cells::one_line(&words::body(hit));
                        format!("{date} {clock} {} {}: {text}", hit.chat, words::author(hit))
                    }));
                    (words.to_owned(), body)
                })
            }
        };
        match told {
            Some((key, body)) if self.over.as_ref() != Some(&key) => {
                self.over = Some(key);
                lines.extend(body);
            }
            Some(_) => {}
            None => self.over = None,
        }
    }
}
