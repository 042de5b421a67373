//! (b) Real padded messages through the real client: engines with encrypted stores, in this process.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use subrosa_bench::{
    echo::histogram,
    report::{Row, Table},
};
use subrosa_client::{
    Engine, Handle, Reply, Request,
    api::{EventBody, EventStream, SendMessage, StreamItem, WaitFor},
    engine::EngineOptions,
    join::{JoinParams, join},
    profile::ProfilePaths,
};
use subrosa_protocol::Username;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::bed::{Bed, Relay};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Pairs of people, each with an engine
    #[arg(long, default_value_t = 4)]
    pairs: usize,
    /// Messages under way in each pair
    #[arg(long, default_value_t = 8)]
    window: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { pairs: 4, window: 8 }
    }
}

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let Options { pairs, window } = *options;
    let mut table = Table::new(format!(
        "(b) real padded messages, {pairs} pairs of real clients, {window} under way in each"
    ));
    let relay = bed.relay();
    // Real clients block in their stores: they have threads of their own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (times, cpu, time) = runtime.block_on(async {
        let mut tasks: JoinSet<Histogram<u64>> = JoinSet::new();
        let until = std::sync::Arc::new(std::sync::Mutex::new(None::<(Instant, Instant)>));
        for number in 0..pairs {
            let one = person(&relay, &format!("writer{number}")).await;
            let other = person(&relay, &format!("reader{number}")).await;
            let peer = format!("reader{number}");
            friends(&one, &other, &format!("writer{number}"), &peer).await;
            let until = std::sync::Arc::clone(&until);
            let heard = other.subscribe().await.unwrap();
            tasks.spawn(async move {
                let times = chat(&one, heard, &peer, window, &until).await;
                one.shutdown().await;
                other.shutdown().await;
                times
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = relay.process.cpu();
        let began = Instant::now();
        *until.lock().unwrap() = Some((began, began + bed.time));
        tokio::time::sleep(bed.time).await;
        let (cpu, time) = (relay.process.cpu().since(before), began.elapsed());
        let mut times = histogram();
        for of in tasks.join_all().await {
            times.add(of).unwrap();
        }
        (times, cpu, time)
    });
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    table.row(Row::new(
        "server CPU for 1,000 messages of 1 to 40 characters, with receipts",
        format!(
            "{:.1} ms ({:.0}/s, p50 {:.1} ms, p99 {:.1} ms to the reader's event)",
            cpu.per_thousand(times.len()),
            times.len() as f64 / time.as_secs_f64(),
            at(0.5),
            at(0.99),
        ),
    ));
    table.note("A message here is two envelopes: the text, and the receipt that comes back.");
    relay.process.terminate();
    table
}

async fn person(relay: &Relay, name: &str) -> Engine {
    let home = format!("{}/{name}/", relay.folder.path().display());
    let address = relay.process.ready["address"].as_str().unwrap();
    let params = JoinParams {
        link: address.parse().unwrap(),
        name: Username::new(name).unwrap(),
        display_name: name.to_owned(),
        passphrase: Zeroizing::new("a passphrase of the load generator".to_owned()),
    };
    let joined = join(ProfilePaths::resolve(Some(&home)).unwrap(), params).await.unwrap();
    Engine::start(joined.store, EngineOptions::default()).unwrap()
}

/// A first message, accepted: from then on both may write as they like.
async fn friends(one: &Engine, other: &Engine, name: &str, peer: &str) {
    let mut heard = other.subscribe().await.unwrap();
    send(one, peer, "hello").await;
    event(&mut heard, |body| {
        matches!(body, EventBody::MessageReceived { .. } | EventBody::ContactRequested { .. })
    })
    .await;
    other.call(Request::ContactAccept { name: name.to_owned() }).await.unwrap();
    let mut heard = one.subscribe().await.unwrap();
    send(other, name, "hello yourself").await;
    event(&mut heard, |body| matches!(body, EventBody::MessageReceived { .. })).await;
}

async fn send(engine: &Engine, to: &str, text: &str) {
    let send = SendMessage {
        to: vec![to.to_owned()],
        text: text.to_owned(),
        reply_to: None,
        key: None,
        wait: WaitFor::Queued,
        timeout_ms: Some(60_000),
    };
    match engine.call(Request::MessageSend(send)).await.unwrap() {
        Reply::Sent { results } => assert!(results[0].error.is_none(), "{:?}", results[0].error),
        other => panic!("{other:?}"),
    }
}

async fn event(events: &mut EventStream, wanted: impl Fn(&EventBody) -> bool) {
    loop {
        match tokio::time::timeout(Duration::from_secs(30), events.next()).await.expect("nothing comes") {
            StreamItem::Event(event) if wanted(&event.body) => return,
            StreamItem::End => panic!("the engine ended"),
            StreamItem::Event(_) | StreamItem::Gap { .. } => {}
        }
    }
}

/// Keeps `window` messages under way; the times from a send to the reader's event, of the measured interval.
async fn chat(
    one: &Engine,
    mut heard: EventStream,
    peer: &str,
    window: usize,
    interval: &std::sync::Mutex<Option<(Instant, Instant)>>,
) -> Histogram<u64> {
    let mut times = histogram();
    let mut sent = std::collections::VecDeque::new();
    let mut number = 0;
    loop {
        let interval = *interval.lock().unwrap();
        if interval.is_some_and(|(_, end)| end <= Instant::now()) {
            return times;
        }
        while sent.len() < window {
            sent.push_back(Instant::now());
            send(one, peer, &"message ".repeat(1 + number % 5)).await;
            number += 1;
        }
        event(&mut heard, |body| matches!(body, EventBody::MessageReceived { .. })).await;
        let at = sent.pop_front().unwrap();
        if interval.is_some_and(|(begin, _)| begin <= at) {
            times.saturating_record(u64::try_from(at.elapsed().as_micros()).unwrap().max(1));
        }
    }
}
