//! The socket as its users meet it: raw lines, and [`Attached`].

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

use super::{
    Attached, Serving, bind,
    fake::{Fake, event},
    limits::{CONNECTIONS, REQUEST_LINE_BYTES},
    serve,
};
use crate::api::{Handle, Kind, Reply, Request, StreamItem};

struct Owner {
    fake: Arc<Fake>,
    serving: Serving,
    path: PathBuf,
    _home: tempfile::TempDir,
}

fn owner() -> Owner {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("p.sock");
    let fake = Arc::new(Fake::default());
    let serving = serve(bind(&path).unwrap(), Arc::clone(&fake) as Arc<dyn Handle>);
    Owner { fake, serving, path, _home: home }
}

struct Raw(BufReader<UnixStream>);

impl Raw {
    async fn open(owner: &Owner) -> Self {
        Self(BufReader::new(UnixStream::connect(&owner.path).await.unwrap()))
    }

    async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// `None` when the owner closed.
    async fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(Duration::from_secs(10), self.0.read_line(&mut line)).await.expect("no answer");
        (read.unwrap_or(0) > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    async fn ask(&mut self, line: &str) -> Value {
        self.write(&format!("{line}\n")).await;
        self.read().await.unwrap()
    }
}

const SHOW: &str = r#"{"jsonrpc":"2.0","id":"a","method":"message.show","params":{"id":"X"}}"#;
const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe"}"#;

#[tokio::test]
async fn a_call_is_answered_with_its_id() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    let answer = raw.ask(SHOW).await;
    assert_eq!(answer["id"], "a");
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["result"]["message"]["text"], "hi");
    let answer = raw.ask(r#"{"jsonrpc":"2.0","id":2,"method":"message.show","params":{"id":"none"}}"#).await;
    assert_eq!(answer["error"]["code"], 7);
    assert_eq!(answer["error"]["data"]["kind"], "not_found");
    assert_eq!(answer["error"]["data"]["hint"], "look again");
}

#[tokio::test]
async fn malformed_lines_are_refused_and_the_connection_lives_on() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    for line in ["{", "null", "\"x\"", "[]", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", "[[[[["] {
        let answer = raw.ask(line).await;
        assert_eq!(answer["error"]["code"], 2, "{line}");
        assert_eq!(answer["error"]["data"]["kind"], "usage", "{line}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(raw.ask(&deep).await["error"]["code"], 2);
    assert_eq!(raw.ask(SHOW).await["id"], "a");
}

#[tokio::test]
async fn r50_an_oversized_line_is_refused() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    let padding = " ".repeat(REQUEST_LINE_BYTES - SHOW.len());
    assert_eq!(raw.ask(&format!("{SHOW}{padding}")).await["id"], "a");

    let (read, mut write) = tokio::io::split(UnixStream::connect(&owner.path).await.unwrap());
    let writer = tokio::spawn(async move {
        // One past the limit, without an end.
        let _ = write.write_all(&vec![b'x'; REQUEST_LINE_BYTES + 1]).await;
        write
    });
    let mut all = String::new();
    timeout(Duration::from_secs(10), BufReader::new(read).read_line(&mut all)).await.unwrap().unwrap();
    let answer: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(answer["error"]["code"], 2);
    drop(writer.await.unwrap());
    assert_eq!(owner.fake.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_not_utf_8_is_refused() {
    let owner = owner();
    let mut stream = UnixStream::connect(&owner.path).await.unwrap();
    stream.write_all(b"{\"\xff\"}\n").await.unwrap();
    let mut all = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut all)).await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&all).unwrap()["error"]["code"], 2);
}

#[tokio::test]
async fn a_batch_is_answered_in_one_line_and_notifications_not_at_all() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    let answer = raw
        .ask(
            r#"[{"jsonrpc":"2.0","id":1,"method":"message.show","params":{"id":"X"}},
                {"jsonrpc":"2.0","method":"chat.list"}, 7,
                {"jsonrpc":"2.0","id":2,"method":"message.show","params":{"id":"none"}}]"#
                .replace('\n', " ")
                .as_str(),
        )
        .await;
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0]["result"]["message"]["id"], "X");
    assert_eq!(answers[1]["error"]["code"], 2);
    assert_eq!(answers[2]["error"]["code"], 7);
    raw.write("{\"jsonrpc\":\"2.0\",\"method\":\"chat.list\"}\n").await;
    assert_eq!(raw.ask(SHOW).await["id"], "a");
    assert_eq!(owner.fake.calls.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn calls_do_not_wait_for_each_other() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    raw.write("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"sync.wait\",\"params\":{\"timeout_ms\":300}}\n")
        .await;
    assert_eq!(raw.ask(SHOW).await["id"], "a");
    assert_eq!(raw.read().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn a_client_that_stops_writing_still_gets_its_answers() {
    let owner = owner();
    let mut stream = UnixStream::connect(&owner.path).await.unwrap();
    let slow = r#"{"jsonrpc":"2.0","id":1,"method":"sync.wait","params":{"timeout_ms":100}}"#;
    stream.write_all(format!("{SHOW}\n{slow}\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut all)).await.unwrap().unwrap();
    assert_eq!(all.lines().count(), 2);
}

#[tokio::test]
async fn subscribers_get_events_and_filters_hold() {
    let owner = owner();
    let (mut all, mut some) = (Raw::open(&owner).await, Raw::open(&owner).await);
    assert_eq!(all.ask(SUBSCRIBE).await["result"], json!({}));
    let filter = SUBSCRIBE.replace('}', r#","params":{"filter":["contact.*"]}}"#);
    assert_eq!(some.ask(&filter).await["result"], json!({}));
    owner.fake.tell(&event(1, "one\u{9b}"));
    let told = all.read().await.unwrap();
    assert_eq!(told["method"], "event");
    assert_eq!(told["params"]["seq"], 1);
    assert_eq!(told["params"]["event"], "message.received");
    assert_eq!(told["params"]["data"]["text"], "one");
    assert_eq!(some.ask(SHOW).await["id"], "a");
}

#[tokio::test]
async fn a_stalled_subscriber_gets_a_gap_and_holds_nobody_up() {
    const MANY: u64 = 3_000;
    let owner = owner();
    let mut stalled = Raw::open(&owner).await;
    stalled.ask(SUBSCRIBE).await;
    let mut awake = Raw::open(&owner).await;
    awake.ask(SUBSCRIBE).await;
    let big = "x".repeat(2_000);
    let began = Instant::now();
    for seq in 1..=MANY {
        owner.fake.tell(&event(seq, &big));
        assert_eq!(awake.read().await.unwrap()["params"]["seq"], seq);
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    // Now it reads: events in order, one gap or more, and all of it together without a hole.
    let fake = Arc::clone(&owner.fake);
    let goes_on = tokio::spawn(async move {
        for seq in MANY + 1.. {
            fake.tell(&event(seq, "more"));
            sleep(Duration::from_millis(2)).await;
        }
    });
    let (mut expected, mut gaps) = (1, 0);
    while expected <= MANY {
        let told = stalled.read().await.unwrap();
        let event = &told["params"];
        if event["event"] == "system.gap" {
            assert_eq!(event["seq"], Value::Null);
            assert_eq!(event["account"], "alice@r.example");
            assert_eq!(event["data"]["from"], expected);
            expected = event["data"]["to"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(event["seq"], expected);
            expected += 1;
        }
    }
    goes_on.abort();
    assert!(gaps >= 1, "it was never too slow");
}

#[tokio::test]
async fn a_dead_subscriber_is_forgotten() {
    let owner = owner();
    let mut raw = Raw::open(&owner).await;
    raw.ask(SUBSCRIBE).await;
    assert_eq!(owner.fake.subscribers(), 1);
    drop(raw);
    let began = Instant::now();
    while owner.fake.subscribers() > 0 {
        assert!(began.elapsed() < Duration::from_secs(5), "still there");
        sleep(Duration::from_millis(5)).await;
    }
    let mut raw = Raw::open(&owner).await;
    assert_eq!(raw.ask(SHOW).await["id"], "a");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let owner = owner();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::open(&owner).await;
        raw.ask(SHOW).await;
        open.push(raw);
    }
    let mut late = Raw::open(&owner).await;
    assert_eq!(late.read().await.unwrap()["error"]["code"], 10);
    assert!(late.read().await.is_none());
    assert_eq!(open[0].ask(SHOW).await["id"], "a");
}

#[tokio::test]
async fn attached_is_a_handle() {
    let owner = owner();
    let attached = Attached::connect(&owner.path).await.unwrap().unwrap();
    assert_eq!(attached.owner(), Some(std::process::id()));
    let reply = attached.call(Request::MessageShow { id: "X".into() }).await.unwrap();
    assert!(matches!(reply, Reply::Message { message, .. } if message.id == "X"));
    let error = attached.call(Request::MessageShow { id: "none".into() }).await.unwrap_err();
    assert_eq!((error.kind, error.hint.unwrap().as_str()), (Kind::NotFound, "look again"));
    let mut stream = attached.subscribe().await.unwrap();
    owner.fake.tell(&event(5, "hi"));
    assert_eq!(stream.next().await, StreamItem::Event(Box::new(event(5, "hi"))));
    // A call that was given up does not confuse the next one.
    let slow = attached.call(Request::SyncWait { timeout_ms: 50 });
    assert!(timeout(Duration::from_millis(5), slow).await.is_err());
    sleep(Duration::from_millis(80)).await;
    assert_eq!(attached.call(Request::SyncWait { timeout_ms: 0 }).await.unwrap(), Reply::Done {});
}

#[tokio::test]
async fn attaching_is_fast() {
    let owner = owner();
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let attached = Attached::connect(&owner.path).await.unwrap().unwrap();
        attached.call(Request::MessageShow { id: "X".into() }).await.unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    assert!(times[25] < Duration::from_millis(20), "{:?}", times[25]);
}

#[tokio::test]
async fn nobody_there_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("p.sock");
    assert!(Attached::connect(&path).await.unwrap().is_none());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(Attached::connect(&path).await.unwrap().is_none());
}

#[tokio::test]
async fn an_owner_that_ends_answers_what_is_under_way_and_ends_streams() {
    let owner = owner();
    let attached = Attached::connect(&owner.path).await.unwrap().unwrap();
    let mut stream = attached.subscribe().await.unwrap();
    let call = attached.call(Request::SyncWait { timeout_ms: 200 });
    let ending = async {
        sleep(Duration::from_millis(50)).await;
        owner.serving.drain(Duration::from_secs(5)).await;
        assert!(!owner.path.exists());
        owner.fake.tell(&event(9, "last words"));
        owner.fake.end();
        owner.serving.finish(Duration::from_secs(5)).await;
    };
    let (reply, ()) = tokio::join!(call, ending);
    assert_eq!(reply.unwrap(), Reply::Done {});
    assert_eq!(stream.next().await, StreamItem::Event(Box::new(event(9, "last words"))));
    assert_eq!(stream.next().await, StreamItem::End);
    let error = attached.call(Request::ChatList {}).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotReady);
}
