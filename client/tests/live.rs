//! The whole client against the real relay, over QUIC on loopback: join, talk, log in on a further device.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use subrosa_client::{
    Engine, Handle,
    api::{
        ConnectionState, EventBody, MessageKind, MessageState, Reply, Request, SendMessage, StreamItem,
        WaitFor,
    },
    engine::EngineOptions,
    join::{JoinParams, LoginParams, join, login},
    profile::ProfilePaths,
};
use subrosa_protocol::{JoinLink, RelayAddress, Username};
use subrosa_server::{Config, Registration, Relay};
use zeroize::Zeroizing;

const PASSPHRASE: &str = "a long enough passphrase";

struct Person {
    engine: Engine,
    words: String,
}

async fn relay(folder: &std::path::Path) -> Relay {
    let config = Config { registration: Registration::Open, ..Config::loopback(folder.join("relay")) };
    Relay::start(config).await.unwrap()
}

fn paths(folder: &std::path::Path, name: &str) -> ProfilePaths {
    let dir = folder.join(name);
    ProfilePaths::resolve(Some(dir.to_str().unwrap())).unwrap()
}

async fn person(folder: &std::path::Path, address: &RelayAddress, name: &str) -> Person {
    let params = JoinParams {
        link: JoinLink { relay: address.clone(), invite: None },
        name: Username::new(name).unwrap(),
        display_name: name.to_uppercase(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
    };
    let joined = join(paths(folder, name), params).await.unwrap();
    let engine = Engine::start(joined.store, EngineOptions::default()).unwrap();
    Person { engine, words: joined.words.to_string() }
}

impl Person {
    async fn ask(&self, request: Request) -> Reply {
        tokio::time::timeout(Duration::from_secs(60), self.engine.call(request)).await.unwrap().unwrap()
    }

    async fn send(&self, to: &str, text: &str, wait: WaitFor) -> MessageState {
        let send = SendMessage {
            to: vec![to.into()],
            text: text.into(),
            reply_to: None,
            key: None,
            wait,
            timeout_ms: Some(30_000),
        };
        match self.ask(Request::MessageSend(send)).await {
            Reply::Sent { results } => {
                assert_eq!(results[0].error, None);
                results[0].state
            }
            other => panic!("{other:?}"),
        }
    }

    async fn texts(&self, chat: &str) -> Vec<String> {
        let request = Request::ChatHistory { chat: chat.into(), before: None, after: None, limit: 500 };
        let Reply::History(page) = self.ask(request).await else { panic!() };
        let text = |kind| match kind {
            MessageKind::Text { text } => Some(text.to_string()),
            _ => None,
        };
        page.messages.into_iter().filter_map(|line| text(line.kind)).collect()
    }

    async fn wait_for_text(&self, chat: &str, text: &str) {
        for _ in 0..1_800 {
            if self.texts(chat).await.iter().any(|line| line == text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{text} never came: {:?}", self.texts(chat).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_join_and_talk_and_one_logs_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay(folder.path()).await;
    let address = relay.address();
    let alice = person(folder.path(), &address, "alice").await;
    let bob = person(folder.path(), &address, "bob").await;
    let mut events = bob.engine.subscribe().await.unwrap();

    assert_eq!(alice.send("bob", "hello", WaitFor::Accepted).await, MessageState::Accepted);
    bob.wait_for_text("alice", "hello").await;
    let received = async {
        loop {
            if let StreamItem::Event(event) = events.next().await
                && let EventBody::MessageReceived { message } = event.body
            {
                return message.text.to_string();
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), received).await.unwrap(), "hello");
    assert_eq!(bob.send("alice", "hello back", WaitFor::Delivered).await, MessageState::Delivered);
    assert_eq!(alice.send("bob", "and again", WaitFor::Delivered).await, MessageState::Delivered);
    let Reply::Status(status) = alice.ask(Request::StatusShow {}).await else { panic!() };
    assert!(matches!(status.connection, ConnectionState::Up { .. }));
    assert_eq!((status.queued, status.discarded), (0, 0));

    let params = LoginParams {
        relay: address.clone(),
        name: Username::new("alice").unwrap(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
        words: Zeroizing::new(alice.words.clone()),
    };
    let second = login(paths(folder.path(), "alice2"), params).await.unwrap();
    let second = Person {
        engine: Engine::start(second.store, EngineOptions::default()).unwrap(),
        words: String::new(),
    };
    alice.send("bob", "from the first device", WaitFor::Delivered).await;
    second.wait_for_text("bob", "from the first device").await;
    second.send("bob", "from the second device", WaitFor::Delivered).await;
    bob.wait_for_text("alice", "from the second device").await;
    alice.wait_for_text("bob", "from the second device").await;

    // The profile is free after a shutdown, and everything is still there.
    alice.engine.shutdown().await;
    let locked = subrosa_client::profile::Locked::acquire(paths(folder.path(), "alice")).unwrap();
    let store =
        tokio::task::spawn_blocking(move || locked.open(PASSPHRASE.as_bytes())).await.unwrap().unwrap();
    let again =
        Person { engine: Engine::start(store, EngineOptions::default()).unwrap(), words: String::new() };
    assert_eq!(again.texts("bob").await.len(), 5);
    bob.send("alice", "welcome back", WaitFor::Delivered).await;
    again.wait_for_text("bob", "welcome back").await;
    // Whoever only looks in still gives receipts before leaving.
    bob.engine.shutdown().await;
    let state = again.send("bob", "look in", WaitFor::Accepted).await;
    assert_eq!(state, MessageState::Accepted);
    let locked = subrosa_client::profile::Locked::acquire(paths(folder.path(), "bob")).unwrap();
    let store =
        tokio::task::spawn_blocking(move || locked.open(PASSPHRASE.as_bytes())).await.unwrap().unwrap();
    let bob =
        Person { engine: Engine::start(store, EngineOptions::default()).unwrap(), words: String::new() };
    bob.ask(Request::SyncWait { timeout_ms: 20_000 }).await;
    assert_eq!(bob.texts("alice").await.last().unwrap(), "look in");
    bob.engine.finish().await;
    let mut last = None;
    for _ in 0..100 {
        let request = Request::ChatHistory { chat: "bob".into(), before: None, after: None, limit: 500 };
        let Reply::History(page) = again.ask(request).await else { panic!() };
        last = page.messages.last().map(|line| line.state);
        if last == Some(MessageState::Delivered) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last, Some(MessageState::Delivered));
    for person in [again, second] {
        person.engine.shutdown().await;
    }
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_while_the_relay_is_away_goes_out_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    // None of the ports that the system gives to sockets of clients, so that it stays free while the relay is away.
    let is_free = |port: &u16| std::net::UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let from = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], (from..32_000).find(is_free).unwrap()));
    let config = || Config {
        listen,
        registration: Registration::Open,
        ..Config::loopback(folder.path().join("relay"))
    };
    let first = Relay::start(config()).await.unwrap();
    let address = first.address();
    let alice = person(folder.path(), &address, "alice").await;
    let bob = person(folder.path(), &address, "bob").await;
    alice.send("bob", "hello", WaitFor::Accepted).await;
    bob.wait_for_text("alice", "hello").await;
    first.shutdown().await;

    assert_eq!(bob.send("alice", "while you were away", WaitFor::Queued).await, MessageState::Queued);
    let second = Relay::start(config()).await.unwrap();
    alice.wait_for_text("bob", "while you were away").await;
    let unreachable = bob.engine.call(Request::SyncWait { timeout_ms: 20_000 }).await;
    assert!(unreachable.is_ok(), "{unreachable:?}");
    second.shutdown().await;
    let unreachable = bob.engine.call(Request::SyncWait { timeout_ms: 20_000 }).await;
    assert_eq!(unreachable.unwrap_err().kind, subrosa_client::api::Kind::Unreachable);
    for person in [alice, bob] {
        person.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_proof_is_given_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut config =
        Config { registration: Registration::Open, ..Config::loopback(folder.path().join("relay")) };
    config.limits.proof_lifetime_s = 1;
    let relay = Relay::start(config).await.unwrap();
    let alice = person(folder.path(), &relay.address(), "alice").await;
    alice.ask(Request::SyncWait { timeout_ms: 20_000 }).await;
    let mut events = alice.engine.subscribe().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    while let Some(item) = events.try_next() {
        if let StreamItem::Event(event) = item {
            assert!(!matches!(event.body, EventBody::ConnectionDown { .. }), "{event:?}");
        }
    }
    alice.ask(Request::SyncWait { timeout_ms: 1_000 }).await;
    alice.engine.shutdown().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_another_key_is_never_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay(folder.path()).await;
    let mut address = relay.address();
    address.fingerprint.as_mut().unwrap().0[0] ^= 1;
    let params = JoinParams {
        link: JoinLink { relay: address, invite: None },
        name: Username::new("alice").unwrap(),
        display_name: String::new(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
    };
    let error = join(paths(folder.path(), "alice"), params).await.err().unwrap();
    assert_eq!(error.kind, subrosa_client::api::Kind::Identity);
    relay.shutdown().await;
}
