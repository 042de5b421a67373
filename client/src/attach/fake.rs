//! A [`Handle`] for tests: answers from a script, and fans events out over bounded queues with gaps as the engine does.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use subrosa_protocol::SafeText;
use tokio::sync::mpsc;

use crate::api::{
    AccountInfo, ApiError, Call, Direction, Event, EventBody, EventStream, Handle, Kind, Marks, Message,
    MessageEvent, MessageKind, MessageState, Reply, Request, StreamItem, Subscribe, time::Timestamp,
};

/// Events a subscriber may lag behind.
const LAG: usize = 16;

struct Subscriber {
    sender: mpsc::Sender<StreamItem>,
    missed: Option<(u64, u64)>,
}

#[derive(Default)]
pub(super) struct Fake {
    subscribers: Mutex<Vec<Subscriber>>,
    pub(super) calls: AtomicUsize,
}

impl Fake {
    /// Tells everybody, and waits for nobody.
    pub(super) fn tell(&self, event: &Event) {
        let seq = event.seq.unwrap();
        self.subscribers.lock().unwrap().retain_mut(|subscriber| {
            if let Some((from, _)) = subscriber.missed {
                let gap = StreamItem::Gap { from, to: seq - 1 };
                if subscriber.sender.try_send(gap).is_ok() {
                    subscriber.missed = None;
                }
            }
            let item = StreamItem::Event(Box::new(event.clone()));
            if subscriber.missed.is_some() || subscriber.sender.try_send(item).is_err() {
                subscriber.missed = Some((subscriber.missed.map_or(seq, |(from, _)| from), seq));
            }
            !subscriber.sender.is_closed()
        });
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.lock().unwrap().iter().filter(|one| !one.sender.is_closed()).count()
    }

    pub(super) fn end(&self) {
        self.subscribers.lock().unwrap().clear();
    }

    async fn answer(&self, request: Request) -> Result<Reply, ApiError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request {
            Request::AccountShow {} => Ok(Reply::Account(AccountInfo {
                address: "alice@r.example".into(),
                name: "alice".into(),
                display_name: SafeText::default(),
                device: 1,
                relay: "rosa://r.example:4433".into(),
                account_key: "00".into(),
            })),
            Request::MessageShow { id } if id == "none" => {
                Err(ApiError::new(Kind::NotFound, "no such message").hint("look again"))
            }
            Request::MessageShow { id } => {
                let message = Message { id, ..message(1, "hi") };
                Ok(Reply::Message { message, delivered_to: Vec::new(), read_by: Vec::new() })
            }
            Request::SyncWait { timeout_ms } => {
                tokio::time::sleep(Duration::from_millis(timeout_ms)).await;
                Ok(Reply::Done {})
            }
            _ => Ok(Reply::Done {}),
        }
    }
}

impl Handle for Fake {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(self.answer(request))
    }

    fn subscribe(&self) -> Subscribe<'_> {
        let (sender, receiver) = mpsc::channel(LAG);
        self.subscribers.lock().unwrap().push(Subscriber { sender, missed: None });
        Box::pin(std::future::ready(Ok(EventStream::new(receiver))))
    }
}

pub(super) fn message(order: i64, text: &str) -> Message {
    Message {
        id: "01".into(),
        chat: "bob".into(),
        order,
        direction: Direction::In,
        from: "bob".into(),
        device: 1,
        kind: MessageKind::Text { text: SafeText::multi_line(text) },
        reply_to: None,
        sent_at: Timestamp(1),
        stored_at: Timestamp(2),
        state: MessageState::Received,
        reason: None,
        verified: false,
        marks: Marks::default(),
    }
}

pub(super) fn event(seq: u64, text: &str) -> Event {
    let message = MessageEvent {
        mention: false,
        id: "01".into(),
        chat: "bob".into(),
        from: "bob".into(),
        device: 1,
        text: SafeText::multi_line(text),
        reply_to: None,
        expires_at: None,
        verified: false,
        replay: false,
        files: Vec::new(),
        sent_at: Timestamp(1),
        order: i64::try_from(seq).unwrap(),
    };
    let body = EventBody::MessageReceived { message };
    Event { v: 1, seq: Some(seq), ts: Timestamp(3), account: "alice@r.example".into(), body }
}
