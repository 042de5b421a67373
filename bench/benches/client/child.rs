//! The programs that are measured, each a process of its own so that its CPU time is its own: the relay, and a person's
//! engine that does what it is told line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use subrosa_client::{
    Engine, Handle,
    api::{CreateRoom, EventBody, Request, SendMessage, StreamItem, WaitFor},
    engine::EngineOptions,
    join::{JoinParams, join},
    profile::{Locked, ProfilePaths},
    store::Store,
};
use subrosa_protocol::{DeviceId, JoinLink, Username};
use subrosa_server::{Config, Registration, Relay};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::usage::Usage;

/// The passphrase of everybody.
pub(crate) const PASSPHRASE: &str = "a long enough passphrase";

/// A running child. Dropping it ends it.
pub(crate) struct Measured {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) ready: String,
}

impl Measured {
    /// The relay, its data below `dir`; `ready` is its address.
    pub(crate) fn relay(dir: &Path) -> Self {
        Self::start(&["relay", dir.to_str().unwrap()])
    }

    /// A person with a new account.
    pub(crate) fn person(name: &str, relay: &str, dir: &Path) -> Self {
        Self::start(&["person", name, relay, dir.join(name).to_str().unwrap()])
    }

    fn start(args: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.arg("child").args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ready = line(&mut stdout);
        Self { child, stdin, stdout, ready }
    }

    /// Tells it to do something and waits until that is done. The numbers it answers.
    pub(crate) fn tell(&mut self, what: &str) -> Vec<u64> {
        self.begin(what);
        self.end()
    }

    /// Tells it to do something.
    pub(crate) fn begin(&mut self, what: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{what}").unwrap();
    }

    /// Waits until that is done.
    pub(crate) fn end(&mut self) -> Vec<u64> {
        let answer = line(&mut self.stdout);
        let numbers = answer.strip_prefix("done").unwrap_or_else(|| panic!("{answer}"));
        numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "a child ended");
    line.trim_end().to_owned()
}

/// The child's side.
pub(crate) fn main(args: &[&str]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match args {
        ["relay", dir] => runtime.block_on(relay(Path::new(dir))),
        ["person", name, relay, dir] => runtime.block_on(person(name, relay, dir)),
        other => panic!("{other:?}"),
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}").unwrap();
    out.flush().unwrap();
}

/// What the parent says; `None` at the end.
fn told() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.blocking_send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Every rate is lifted (R8): what is measured is the client.
async fn relay(dir: &Path) {
    let mut config = Config { registration: Registration::Open, ..Config::loopback(dir.join("relay")) };
    config.limits.lift_rates = true;
    config.limits.mailbox_envelopes = 1_000_000;
    config.limits.mailbox_bytes = 10_000_000_000;
    let relay = Relay::start(config).await.unwrap();
    say(relay.address());
    let mut told = told();
    while told.recv().await.is_some() {}
    relay.shutdown().await;
}

struct Person {
    paths: ProfilePaths,
    engine: Option<Engine>,
    seen: Arc<Seen>,
}

/// What the events told.
struct Seen {
    texts: AtomicU64,
    news: Notify,
    /// Microseconds from asked to displayed.
    latency: Mutex<Histogram<u64>>,
}

async fn person(name: &str, relay: &str, dir: &str) {
    let paths = ProfilePaths::resolve(Some(dir)).unwrap();
    let params = JoinParams {
        link: JoinLink { relay: relay.parse().unwrap(), invite: None },
        name: Username::new(name).unwrap(),
        display_name: String::new(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
    };
    let joined = join(paths.clone(), params).await.unwrap();
    let latency = Mutex::new(Histogram::new(3).unwrap());
    let seen = Arc::new(Seen { texts: AtomicU64::new(0), news: Notify::new(), latency });
    let mut person = Person { paths, engine: None, seen };
    person.start(joined.store).await;
    say("ready");
    let mut told = told();
    while let Some(line) = told.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers = person.obey(&words).await;
        say(format!("done {}", numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")));
    }
    person.stop().await;
}

impl Person {
    async fn start(&mut self, store: Store) {
        let engine = Engine::start(store, EngineOptions::default()).unwrap();
        let mut events = engine.subscribe().await.unwrap();
        let seen = Arc::clone(&self.seen);
        tokio::spawn(async move {
            loop {
                match events.next().await {
                    StreamItem::Event(event) => {
                        if let EventBody::MessageReceived { message } = event.body {
                            seen.text(&message.text);
                        }
                    }
                    StreamItem::Gap { .. } => panic!("the reader of events was too slow"),
                    StreamItem::End => return,
                }
            }
        });
        self.engine = Some(engine);
    }

    async fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.shutdown().await;
        }
    }

    async fn open(&self) -> Store {
        let paths = self.paths.clone();
        let open = move || Locked::acquire(paths).unwrap().open(PASSPHRASE.as_bytes()).unwrap();
        tokio::task::spawn_blocking(open).await.unwrap()
    }

    async fn obey(&mut self, words: &[&str]) -> Vec<u64> {
        match words {
            ["send", to, count, size, flight, wait] => {
                let number = |text: &str| text.parse::<u64>().unwrap();
                let wait = match *wait {
                    "queued" => WaitFor::Queued,
                    "accepted" => WaitFor::Accepted,
                    "delivered" => WaitFor::Delivered,
                    other => panic!("{other}"),
                };
                return self.send(to, number(count), number(size), number(flight), wait).await;
            }
            // Waits until so many texts were shown since the last time, tells when, and how long they took.
            ["shown", count] => {
                let count: u64 = count.parse().unwrap();
                while self.seen.texts.load(Ordering::SeqCst) < count {
                    self.seen.news.notified().await;
                }
                self.seen.texts.fetch_sub(count, Ordering::SeqCst);
                let mut latency = self.seen.latency.lock().unwrap();
                let told = vec![latency.value_at_quantile(0.5), latency.value_at_quantile(0.99)];
                latency.reset();
                return told;
            }
            ["sync"] => {
                self.call(Request::SyncWait { timeout_ms: 60_000 }).await;
            }
            ["room", "create", name] => {
                let (name, slug) = ((*name).to_owned(), Some((*name).to_owned()));
                let (description, topic) = (String::new(), String::new());
                let create = CreateRoom { name, slug, description, topic, public: true, large: false };
                self.call(Request::RoomCreate(create)).await;
            }
            ["room", "join", name] => {
                self.call(Request::SyncWait { timeout_ms: 60_000 }).await;
                self.call(Request::RoomJoin { room: (*name).to_owned() }).await;
            }
            ["stop"] => self.stop().await,
            ["start"] => {
                let store = self.open().await;
                self.start(store).await;
            }
            // The other side acknowledges everything without being there: a sender stops at 500 otherwise (R19).
            ["forgive", account] => {
                let mut store = self.open().await;
                let account = Username::new(*account).unwrap();
                let device = DeviceId::new(1).unwrap();
                store.transaction(|tx| tx.acknowledge_outgoing(&account, device, u64::MAX)).unwrap();
                self.start(store).await;
            }
            other => panic!("{other:?}"),
        }
        Vec::new()
    }

    async fn call(&self, request: Request) {
        self.engine.as_ref().unwrap().call(request).await.unwrap();
    }

    /// Wall time in µs, then the 50th and the 99th percentile of one message in µs.
    async fn send(&self, to: &str, count: u64, size: u64, flight: u64, wait: WaitFor) -> Vec<u64> {
        let engine = self.engine.as_ref().unwrap();
        let left = Arc::new(AtomicU64::new(count));
        let begun = Instant::now();
        let workers = (0..flight).map(|_| {
            let (engine, left, to) = (engine.clone(), Arc::clone(&left), to.to_owned());
            tokio::spawn(async move {
                let mut times = Histogram::<u64>::new(3).unwrap();
                while left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let mut text = format!("{} ", now_us());
                    while (text.len() as u64) < size {
                        text.push_str("word after word ");
                    }
                    let send = SendMessage {
                        to: vec![to.clone()],
                        text,
                        reply_to: None,
                        key: None,
                        wait,
                        timeout_ms: Some(60_000),
                    };
                    let asked = Instant::now();
                    match engine.call(Request::MessageSend(send)).await.unwrap() {
                        subrosa_client::Reply::Sent { results } => assert_eq!(results[0].error, None),
                        other => panic!("{other:?}"),
                    }
                    times.record(micros(asked.elapsed())).unwrap();
                }
                times
            })
        });
        let mut times = Histogram::<u64>::new(3).unwrap();
        for worker in workers.collect::<Vec<_>>() {
            times.add(worker.await.unwrap()).unwrap();
        }
        vec![micros(begun.elapsed()), times.value_at_quantile(0.5), times.value_at_quantile(0.99)]
    }
}

impl Seen {
    fn text(&self, text: &str) {
        if let Some(asked) = text.split(' ').next().and_then(|word| word.parse::<u64>().ok()) {
            self.latency.lock().unwrap().record(now_us().saturating_sub(asked)).unwrap();
        }
        self.texts.fetch_add(1, Ordering::SeqCst);
        self.news.notify_one();
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

/// The system's clock, which all processes share.
fn now_us() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}
