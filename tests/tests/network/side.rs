//! One engine, what it was asked and what it told. All of it is noted here, outside the stores.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use subrosa_client::{
    Engine, Handle, Reply, Request,
    api::{EventBody, MessageKind, SendMessage, StreamItem, WaitFor},
};
use tokio::sync::Notify;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A number that was asked to be sent.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    /// Under which id it is known; empty before the engine has told.
    pub(crate) id: String,
}

pub(crate) struct Side {
    pub(crate) name: &'static str,
    engine: Engine,
    seen: Arc<Seen>,
    asked: Mutex<Vec<Asked>>,
}

/// What an engine told.
#[derive(Default)]
struct Seen {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Default, Clone)]
pub(crate) struct Notes {
    /// Events, in their order.
    pub(crate) events: Vec<EventBody>,
    /// When the relay was said to have a message, by its id.
    pub(crate) accepted: BTreeMap<String, Instant>,
    /// The peer's numbers, in the order they were told, and when.
    pub(crate) displayed: Vec<(u64, Instant)>,
    /// When the connection came up.
    pub(crate) ups: Vec<Instant>,
    /// When it went down, and why.
    pub(crate) downs: Vec<(Instant, String)>,
}

/// What a store displays.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) numbers: Vec<u64>,
    pub(crate) missing: u64,
    pub(crate) unreadable: u64,
}

impl Side {
    pub(crate) async fn of(name: &'static str, engine: Engine) -> Self {
        let mut stream = engine.subscribe().await.unwrap();
        let seen = Arc::new(Seen::default());
        let noting = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                match stream.next().await {
                    StreamItem::Event(event) => noting.note(event.body),
                    StreamItem::Gap { from, to } => panic!("events {from} to {to} were left out"),
                    StreamItem::End => return,
                }
            }
        });
        Self { name, engine, seen, asked: Mutex::default() }
    }

    pub(crate) async fn ask(&self, request: Request) -> Reply {
        tokio::time::timeout(PATIENCE, self.engine.call(request)).await.unwrap().unwrap()
    }

    /// Sends a text; returns its id.
    pub(crate) async fn send(&self, to: &str, text: &str, wait: WaitFor) -> String {
        let send = SendMessage {
            to: vec![to.into()],
            text: text.into(),
            reply_to: None,
            key: None,
            wait,
            timeout_ms: Some(60_000),
        };
        let Reply::Sent { results } = self.ask(Request::MessageSend(send)).await else {
            panic!("no results")
        };
        assert_eq!(results[0].error, None, "{text} from {}", self.name);
        results[0].id.clone().unwrap()
    }

    /// Asks to send the next number.
    pub(crate) async fn send_next(&self, to: &str) {
        let place = self.asked.lock().unwrap().len();
        let number = place as u64 + 1;
        self.asked.lock().unwrap().push(Asked { number, at: Instant::now(), id: String::new() });
        let id = self.send(to, &number.to_string(), WaitFor::Queued).await;
        self.asked.lock().unwrap()[place].id = id;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn notes(&self) -> Notes {
        self.seen.notes.lock().unwrap().clone()
    }

    /// Waits until something is true of what was told.
    pub(crate) async fn wait(&self, what: &str, limit: Duration, mut is: impl FnMut(&Notes) -> bool) {
        let waiting = async {
            loop {
                let changed = self.seen.changed.notified();
                if is(&self.seen.notes.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(limit, waiting).await.is_err() {
            let status = self.engine.call(Request::StatusShow {}).await;
            let notes = self.notes();
            panic!(
                "{}: {what}: not within {limit:?}; asked {}, accepted {}, displayed {}; {status:?}; downs {:?}",
                self.name,
                self.asked().len(),
                notes.accepted.len(),
                notes.displayed.len(),
                notes.downs
            );
        }
    }

    /// Waits for an event.
    pub(crate) async fn until(&self, is: impl Fn(&EventBody) -> bool) {
        self.wait("an event", PATIENCE, |notes| notes.events.iter().any(&is)).await;
    }

    /// The peer's numbers as they are displayed.
    pub(crate) async fn history(&self, chat: &str) -> History {
        let (mut history, mut after) = (History::default(), i64::MIN);
        loop {
            let request =
                Request::ChatHistory { chat: chat.into(), before: None, after: Some(after), limit: 500 };
            let Reply::History(page) = self.ask(request).await else { panic!("no history") };
            for message in &page.messages {
                after = message.order;
                match &message.kind {
                    MessageKind::Text { text } if message.from == chat => {
                        history.numbers.extend(text.parse::<u64>().ok());
                    }
                    MessageKind::Missing { count } => history.missing += count,
                    MessageKind::Undecryptable {} => history.unreadable += 1,
                    _ => {}
                }
            }
            if !page.more_after {
                return history;
            }
        }
    }

    pub(crate) async fn shutdown(self) {
        self.engine.shutdown().await;
    }
}

impl Seen {
    fn note(&self, body: EventBody) {
        let now = Instant::now();
        let mut notes = self.notes.lock().unwrap();
        match &body {
            EventBody::MessageAccepted { message }
            | EventBody::MessageDelivered { message }
            | EventBody::MessageRead { message } => {
                notes.accepted.entry(message.id.clone()).or_insert(now);
            }
            EventBody::MessageReceived { message } => {
                if let Ok(number) = message.text.parse() {
                    notes.displayed.push((number, now));
                }
            }
            EventBody::ConnectionUp { .. } => notes.ups.push(now),
            EventBody::ConnectionDown { connection } => notes.downs.push((now, format!("{connection:?}"))),
            _ => {}
        }
        notes.events.push(body);
        drop(notes);
        self.changed.notify_waiters();
    }
}
