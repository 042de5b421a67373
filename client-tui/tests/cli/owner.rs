//! A process that owns a profile: this one. It holds the lock, serves the socket, and answers what a test wants.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};

use subrosa_client::{
    ApiError, Event, Handle, Reply, Request,
    api::{
        AccountInfo, Call, Chat, CheckItem, CheckReport, ConnectionState, Contact, ContactState, Device,
        Direction, EventBody, EventPage, EventStream, HistoryPage, Kind, Message, MessageEvent, MessageKind,
        MessageState, SafetyNumberInfo, SearchHit, SendResult, Status, StreamItem, Subscribe, Trust,
        time::Timestamp,
    },
    attach::{self, Serving},
    profile::{Locked, ProfilePaths},
};
use subrosa_protocol::SafeText;
use tokio::{runtime::Runtime, sync::mpsc};

use crate::run::rosa;

/// What steers a terminal, as a hostile relay, contact or file would send it.
pub(crate) const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}evil\u{7f}";
pub(crate) const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAC";
const THEN: Timestamp = Timestamp(1_763_701_588_113);

pub(crate) struct Owner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) paths: ProfilePaths,
    serving: Option<Serving>,
    lock: Option<Locked>,
    runtime: Runtime,
    home: tempfile::TempDir,
}

impl Owner {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let paths = ProfilePaths::resolve(home.path().join("profile").to_str()).unwrap();
        let lock = Locked::acquire(paths.clone()).unwrap();
        std::fs::write(&paths.vault, "not a vault").unwrap();
        set_mode(&paths.vault, 0o600);
        let engine = Arc::new(Engine::default());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let serving = runtime.block_on(async {
            attach::serve(attach::bind(&paths.socket).unwrap(), Arc::clone(&engine) as Arc<dyn Handle>)
        });
        Self { engine, paths, serving: Some(serving), lock: Some(lock), runtime, home }
    }

    pub(crate) fn profile(&self) -> &str {
        self.paths.dir.to_str().unwrap()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_path_buf()
    }

    /// `rosa` on this profile.
    pub(crate) fn rosa(&self, args: &[&str]) -> Command {
        let mut command = rosa(self.home.path(), args);
        command.args(["--profile", self.profile()]);
        command
    }

    /// The socket goes, the lock stays: an owner that hangs or is just starting.
    pub(crate) fn stop_serving(&mut self) {
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(serving.finish(std::time::Duration::from_secs(1)));
    }

    /// As `kill -9` ends it: the connections are cut in the middle of whatever is under way, and the lock is free.
    pub(crate) fn vanish(&mut self) {
        self.engine.subscribers.lock().unwrap().clear();
        // It cuts all connections; the listener goes with them.
        drop(self.serving.take());
        while self.paths.socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        self.lock = None;
    }

    /// Another owner of the same profile, with the same store.
    pub(crate) fn come_back(&mut self) {
        self.lock = Some(Locked::acquire(self.paths.clone()).unwrap());
        let engine = Arc::clone(&self.engine) as Arc<dyn Handle>;
        let socket = &self.paths.socket;
        self.serving =
            Some(self.runtime.block_on(async { attach::serve(attach::bind(socket).unwrap(), engine) }));
    }

    /// The lock goes too: the owner has ended.
    pub(crate) fn end(&mut self) {
        self.engine.subscribers.lock().unwrap().clear();
        self.stop_serving();
        self.lock = None;
    }
}

pub(crate) fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Answers from data; what is sent is kept.
#[derive(Default)]
pub(crate) struct Engine {
    pub(crate) requests: Mutex<Vec<Request>>,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) acknowledged: Mutex<u64>,
    /// What the next send answers, a recipient each.
    pub(crate) outcomes: Mutex<Vec<(MessageState, Option<ApiError>)>>,
    /// What everything else answers, when it is to fail.
    pub(crate) failure: Mutex<Option<ApiError>>,
    pub(crate) trust: Mutex<Option<Trust>>,
    /// So many fetches and acknowledgements are answered before one is not.
    pub(crate) stalls_after: Mutex<Option<usize>>,
    subscribers: Mutex<Vec<mpsc::Sender<StreamItem>>>,
}

impl Engine {
    /// Something happens.
    pub(crate) fn tell(&self, text: &str) {
        let mut events = self.events.lock().unwrap();
        let event = event(events.len() as u64 + 1, text);
        events.push(event.clone());
        for subscriber in self.subscribers.lock().unwrap().iter() {
            let _ = subscriber.try_send(StreamItem::Event(Box::new(event.clone())));
        }
    }

    pub(crate) fn listeners(&self) -> usize {
        self.subscribers.lock().unwrap().iter().filter(|one| !one.is_closed()).count()
    }

    /// Whether this request gets no answer: the one at which the owner is to end.
    fn stalls(&self, request: &Request) -> bool {
        let mut left = self.stalls_after.lock().unwrap();
        if !matches!(request, Request::EventsFetch { .. } | Request::EventsAck { .. }) {
            return false;
        }
        match left.as_mut() {
            Some(0) => true,
            Some(more) => {
                *more -= 1;
                false
            }
            None => false,
        }
    }

    fn fetch(&self, since: Option<u64>, max: u32, filter: &[String]) -> EventPage {
        let since = since.unwrap_or(*self.acknowledged.lock().unwrap());
        let all: Vec<Event> = self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter(|event| {
                event.seq.unwrap() > since && attach::filter::matches(filter, event.body.kind().name())
            })
            .cloned()
            .collect();
        let max = max as usize;
        EventPage { more: all.len() > max, events: all.into_iter().take(max).collect(), gap: None }
    }

    fn answer(&self, request: Request) -> Result<Reply, ApiError> {
        self.requests.lock().unwrap().push(request.clone());
        if let Some(error) = self.failure.lock().unwrap().clone() {
            return Err(error);
        }
        Ok(match request {
            Request::AccountShow {} => Reply::Account(account()),
            Request::StatusShow {} => Reply::Status(Box::new(status())),
            Request::MessageSend(send) => {
                let outcomes = self.outcomes.lock().unwrap();
                let result = |(index, to): (usize, String)| {
                    let (state, error) =
                        outcomes.get(index).cloned().unwrap_or((MessageState::Accepted, None));
                    SendResult { to, id: Some(ID.into()), state, error }
                };
                Reply::Sent { results: send.to.into_iter().enumerate().map(result).collect() }
            }
            Request::MessageShow { .. } => {
                let message = message(1, Direction::In, "hi\nthere");
                Reply::Message { message, delivered_to: Vec::new(), read_by: Vec::new() }
            }
            Request::MessageSearch { .. } => {
                Reply::Hits { hits: vec![SearchHit { message: message(1, Direction::In, "hi") }] }
            }
            Request::ChatList {} => Reply::Chats { chats: chats() },
            Request::ChatHistory { .. } => Reply::History(HistoryPage {
                messages: vec![
                    message(1, Direction::In, "hi"),
                    message(2, Direction::Out, "hello\nyou"),
                    Message { kind: MessageKind::Missing { count: 2 }, ..message(3, Direction::Notice, "") },
                ],
                more_before: false,
                more_after: false,
            }),
            Request::ContactList {} => {
                Reply::Contacts { contacts: chats().into_iter().filter_map(|chat| chat.contact).collect() }
            }
            Request::ContactAdd { name }
            | Request::ContactAccept { name }
            | Request::ContactVerify { name, .. }
            | Request::ContactTrust { name, .. } => {
                Reply::Contact { contact: contact(&name, ContactState::Accepted, Trust::Verified) }
            }
            Request::ContactSafetyNumber { name } => Reply::SafetyNumber(SafetyNumberInfo {
                name,
                number: (0..12).map(|group| format!("{:05}", group * 1_111)).collect::<Vec<_>>().join(" "),
                previous: None,
                trust: self.trust.lock().unwrap().unwrap_or(Trust::Unverified),
            }),
            Request::DeviceList {} => Reply::Devices {
                devices: vec![
                    Device { device: 1, added_at: THEN, this: true },
                    Device { device: 2, added_at: THEN, this: false },
                ],
            },
            Request::EventsFetch { since, max, filter } => Reply::Events(self.fetch(since, max, &filter)),
            Request::EventsAck { seq } => {
                *self.acknowledged.lock().unwrap() = seq;
                Reply::Done {}
            }
            Request::ProfileCheck {} => Reply::Check(CheckReport {
                ok: true,
                items: vec![CheckItem {
                    name: "store".into(),
                    ok: true,
                    detail: SafeText::single_line("intact"),
                }],
            }),
            _ => Reply::Done {},
        })
    }
}

impl Handle for Engine {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(async move {
            if self.stalls(&request) {
                self.requests.lock().unwrap().push(request);
                return std::future::pending().await;
            }
            self.answer(request)
        })
    }

    fn subscribe(&self) -> Subscribe<'_> {
        let (sender, receiver) = mpsc::channel(1_024);
        self.subscribers.lock().unwrap().push(sender);
        Box::pin(std::future::ready(Ok(EventStream::new(receiver))))
    }
}

pub(crate) fn error(kind: Kind) -> ApiError {
    ApiError::new(kind, format!("what happened and why {HOSTILE}")).hint("what to do next")
}

fn account() -> AccountInfo {
    AccountInfo {
        address: "alice@r.example".into(),
        name: "alice".into(),
        display_name: SafeText::name("Alice A."),
        device: 1,
        relay: "rosa://r.example:4433/abc".into(),
        account_key: "00ff".into(),
    }
}

fn status() -> Status {
    Status {
        account: "alice@r.example".into(),
        device: 1,
        relay: "rosa://r.example:4433/abc".into(),
        connection: ConnectionState::Up { transport: "quic".into(), rtt_ms: 23 },
        queued: 3,
        held: 1,
        unread: 2,
        prekeys: Some((97, 98)),
        seq: 41,
        discarded: 0,
        profile: "/home/alice/.local/share/rosa/default".into(),
        pid: 4_711,
        version: "0.1.0".into(),
    }
}

fn contact(name: &str, state: ContactState, trust: Trust) -> Contact {
    Contact { name: name.into(), display_name: SafeText::name("Бob 字"), state, trust, devices: vec![1, 2] }
}

fn chats() -> Vec<Chat> {
    let chat = |name: &str, state, trust, unread, text: &str| Chat {
        chat: name.into(),
        contact: Some(contact(name, state, trust)),
        room: None,
        unread,
        read_up_to: 0,
        last: Some(Message { chat: name.into(), ..message(1, Direction::In, text) }),
        draft: HOSTILE.into(),
    };
    vec![
        chat("bob", ContactState::Accepted, Trust::Verified, 2, "hi\nthere"),
        chat("dave", ContactState::RequestReceived, Trust::Unverified, 1, &"long ".repeat(40)),
        chat("mallory", ContactState::Accepted, Trust::Changed, 0, HOSTILE),
    ]
}

fn message(order: i64, direction: Direction, text: &str) -> Message {
    let out = direction == Direction::Out;
    Message {
        id: ID.into(),
        chat: "bob".into(),
        order,
        direction,
        from: if out { "alice" } else { "bob" }.into(),
        device: 1,
        kind: MessageKind::Text { text: SafeText::multi_line(text) },
        reply_to: None,
        sent_at: THEN,
        stored_at: THEN,
        state: if out { MessageState::Delivered } else { MessageState::Received },
        reason: None,
        verified: true,
        marks: Default::default(),
    }
}

fn event(seq: u64, text: &str) -> Event {
    let message = MessageEvent {
        id: ID.into(),
        chat: "bob".into(),
        from: "bob".into(),
        device: 2,
        text: SafeText::multi_line(text),
        reply_to: None,
        expires_at: None,
        verified: true,
        replay: false,
        files: Vec::new(),
        sent_at: THEN,
        order: i64::try_from(seq).unwrap(),
        mention: false,
    };
    let body = EventBody::MessageReceived { message };
    Event { v: 1, seq: Some(seq), ts: THEN, account: "alice@r.example".into(), body }
}
