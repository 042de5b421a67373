//! A client for crash tests: the real engine on a real profile, which sends numbered messages to a peer and notes in a
//! ledger what it was about to ask and what it was told to be accepted. It is made to be killed at any moment.
//!
//! `ledger-client run STORE KEY PEER LEDGER LIMIT` sends until the ledger has LIMIT numbers, then goes on receiving until
//! it is killed. `ledger-client dump STORE KEY PEER` waits for the mailbox to be empty and prints what is displayed. KEY is
//! the store's own, in hexadecimal; whoever starts it sees to it that nobody else has the store open.
//!
//! With `SUBROSA_WEAK_STORE=1` the store syncs at checkpoints only: the control run of the power-cut test, which must lose
//! data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::json;
use subrosa_client::{
    Engine, Handle, Reply, Request,
    api::{ApiError, EventBody, Message, MessageKind, MessageState, SendMessage, StreamItem, WaitFor},
    store::Store,
};
use subrosa_tests::ledger::Ledger;

/// Messages that were asked and are not accepted yet, at most.
const OUTSTANDING: usize = 40;

/// How long nothing may happen before that is told.
const QUIET: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let key = data_encoding::HEXLOWER.decode(args[2].as_bytes()).unwrap().try_into().unwrap();
    let store = Store::open_at(Path::new(&args[1]), &key).unwrap();
    if std::env::var_os("SUBROSA_WEAK_STORE").is_some_and(|set| set == "1") {
        store.sync_at_checkpoints_only().unwrap();
    }
    let engine = Engine::start(store, subrosa_client::engine::EngineOptions::default()).unwrap();
    match args[0].as_str() {
        "run" => run(&engine, &args[3], Path::new(&args[4]), args[5].parse().unwrap()).await,
        "dump" => dump(&engine, &args[3]).await,
        other => panic!("unknown mode {other}"),
    }
    engine.shutdown().await;
}

async fn run(engine: &dyn Handle, peer: &str, ledger_path: &Path, limit: u64) {
    let entries = Ledger::read(ledger_path);
    let mut ledger = Ledger::append_to(ledger_path);
    let mut events = engine.subscribe().await.unwrap();
    let mut outstanding: BTreeMap<String, u64> = BTreeMap::new();
    // What an earlier life asked and was not told about: the same key names the same message.
    for number in entries.asked.difference(&entries.accepted) {
        ask(engine, peer, *number, &mut ledger, &mut outstanding).await;
    }
    let mut next = entries.asked.last().copied().unwrap_or(0) + 1;
    loop {
        while outstanding.len() < OUTSTANDING && next <= limit {
            ledger.note("asked", next);
            ask(engine, peer, next, &mut ledger, &mut outstanding).await;
            next += 1;
        }
        let Ok(item) = tokio::time::timeout(QUIET, events.next()).await else {
            tell_what_waits(engine, &outstanding).await;
            continue;
        };
        match item {
            StreamItem::Event(event) => {
                // A receipt may come before the answer to a send that was repeated after a kill: then *delivered* is the
                // first that is told.
                if let EventBody::MessageAccepted { message }
                | EventBody::MessageDelivered { message }
                | EventBody::MessageRead { message } = &event.body
                    && let Some(number) = outstanding.remove(&message.id)
                {
                    ledger.note("accepted", number);
                } else if let EventBody::MessageReceived { message } = event.body
                    && let Ok(number) = message.text.parse()
                {
                    ledger.note("displayed", number);
                }
            }
            // Events were left out: ask for the state of what is outstanding.
            StreamItem::Gap { .. } => {
                for number in std::mem::take(&mut outstanding).into_values() {
                    ask(engine, peer, number, &mut ledger, &mut outstanding).await;
                }
            }
            StreamItem::End => panic!("the engine ended"),
        }
    }
}

/// Says on standard error why nothing happens, for whoever reads a failed test.
async fn tell_what_waits(engine: &dyn Handle, outstanding: &BTreeMap<String, u64>) {
    if outstanding.is_empty() {
        return;
    }
    eprintln!("nothing happened for {QUIET:?}: {:?}", engine.call(Request::StatusShow {}).await);
    for id in outstanding.keys().take(3) {
        eprintln!("waiting: {:?}", show(engine, id).await);
    }
}

async fn ask(
    engine: &dyn Handle,
    peer: &str,
    number: u64,
    ledger: &mut Ledger,
    outstanding: &mut BTreeMap<String, u64>,
) {
    let send = SendMessage {
        to: vec![peer.to_owned()],
        text: number.to_string(),
        reply_to: None,
        key: Some(format!("ledger-{number}")),
        wait: WaitFor::Queued,
        timeout_ms: Some(60_000),
    };
    let Reply::Sent { results } = engine.call(Request::MessageSend(send)).await.unwrap() else {
        panic!("no results")
    };
    let id = results[0].id.clone().unwrap_or_else(|| panic!("not queued: {:?}", results[0].error));
    ledger.note("queued", number);
    outstanding.insert(id.clone(), number);
    // It may have been accepted in an earlier life, or before the answer came.
    let message = show(engine, &id).await.unwrap();
    if matches!(message.state, MessageState::Accepted | MessageState::Delivered | MessageState::Read)
        && outstanding.remove(&id).is_some()
    {
        ledger.note("accepted", number);
    }
}

async fn show(engine: &dyn Handle, id: &str) -> Result<Message, ApiError> {
    match engine.call(Request::MessageShow { id: id.to_owned() }).await? {
        Reply::Message { message, .. } => Ok(message),
        other => panic!("{other:?}"),
    }
}

async fn dump(engine: &dyn Handle, peer: &str) {
    // Quiet twice: what was in flight when the peer's outbox emptied has arrived.
    for _ in 0..2 {
        engine.call(Request::SyncWait { timeout_ms: 30_000 }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (mut displayed, mut missing, mut unreadable, mut queued, mut after) = (Vec::new(), 0, 0, 0, None);
    loop {
        let history = Request::ChatHistory {
            chat: peer.to_owned(),
            before: None,
            after: after.or(Some(i64::MIN)),
            limit: 500,
        };
        let Reply::History(page) = engine.call(history).await.unwrap() else { panic!("no history") };
        for message in &page.messages {
            after = Some(message.order);
            match &message.kind {
                MessageKind::Text { text } if message.from == peer => {
                    displayed.push(text.parse::<u64>().ok())
                }
                MessageKind::Text { .. }
                    if matches!(message.state, MessageState::Held | MessageState::Queued) =>
                {
                    queued += 1
                }
                MessageKind::Missing { count } => missing += count,
                MessageKind::Undecryptable {} => unreadable += 1,
                _ => {}
            }
        }
        if !page.more_after {
            break;
        }
    }
    let (mut told, mut since) = (Vec::new(), 0);
    loop {
        let fetch =
            Request::EventsFetch { since: Some(since), max: 1_000, filter: vec!["message.received".into()] };
        let Reply::Events(page) = engine.call(fetch).await.unwrap() else { panic!("no events") };
        for event in &page.events {
            since = event.seq.unwrap();
            if let EventBody::MessageReceived { message } = &event.body {
                told.push(message.text.parse::<u64>().ok());
            }
        }
        if !page.more {
            break;
        }
    }
    let status = match engine.call(Request::StatusShow {}).await.unwrap() {
        Reply::Status(status) => status,
        other => panic!("{other:?}"),
    };
    let check = match engine.call(Request::ProfileCheck {}).await.unwrap() {
        Reply::Check(check) => check,
        other => panic!("{other:?}"),
    };
    println!(
        "{}",
        json!({"displayed": displayed, "told": told, "missing": missing, "unreadable": unreadable, "queued": queued,
               "discarded": status.discarded, "check": check.ok, "checked": check.items})
    );
}
