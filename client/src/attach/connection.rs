//! One connection at the owner. Everything it holds is bounded: a reader who stalls makes its own event stream lag (the
//! engine then tells it of a gap) and its own calls wait, and nobody else's.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::{
    filter::matches,
    fit::fit,
    limits::{IN_FLIGHT, OUT_QUEUE, REQUEST_LINE_BYTES},
    line::to_line,
    rpc::{self, Call, Incoming, What},
    server::{Phase, Shared, reached},
};
use crate::api::{
    ApiError, Event, EventBody, EventStream, Handle, Kind, Reply, Request, StreamItem, time::Timestamp,
};

/// How long a closing connection may take to read what was written to it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A task that ends with its owner.
struct Owned(JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn run(stream: UnixStream, shared: Arc<Shared>) {
    let (read, write) = stream.into_split();
    let (out, queue) = mpsc::channel(OUT_QUEUE);
    let mut writer = Owned(tokio::spawn(write_lines(queue, write)));
    let mut connection = Connection { shared, out, calls: JoinSet::new(), events: None };
    let ended =
        connection.read(FramedRead::new(read, LinesCodec::new_with_max_length(REQUEST_LINE_BYTES))).await;
    if ended != Ended::Unwritable {
        connection.finish(ended).await;
        drop(connection);
        let _ = timeout(LAST_WORDS, &mut writer.0).await;
    }
}

struct Connection {
    shared: Arc<Shared>,
    out: mpsc::Sender<String>,
    calls: JoinSet<()>,
    events: Option<Owned>,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The client writes no more, or wrote what cannot be read on from.
    Input,
    /// The owner ends.
    Draining,
    /// Nothing can be written any more.
    Unwritable,
}

impl Connection {
    async fn read(&mut self, mut lines: FramedRead<tokio::net::unix::OwnedReadHalf, LinesCodec>) -> Ended {
        let mut phase = self.shared.phase.clone();
        loop {
            tokio::select! {
                () = reached(&mut phase, Phase::Draining) => return Ended::Draining,
                () = self.out.closed() => return Ended::Unwritable,
                Some(_) = self.calls.join_next(), if !self.calls.is_empty() => {}
                () = ended(&mut self.events) => return Ended::Draining,
                line = lines.next(), if self.calls.len() < IN_FLIGHT => match line {
                    Some(Ok(line)) if line.trim().is_empty() => {}
                    Some(Ok(line)) => self.line(&line).await,
                    Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                        let error = ApiError::new(
                            Kind::Usage,
                            format!("a line of more than {REQUEST_LINE_BYTES} bytes; the connection is closed"),
                        );
                        say(&self.out, &rpc::response(Value::Null, Err(error))).await;
                        return Ended::Input;
                    }
                    Some(Err(LinesCodecError::Io(error))) if error.kind() == std::io::ErrorKind::InvalidData => {
                        let error = ApiError::new(Kind::Usage, "not UTF-8; the connection is closed");
                        say(&self.out, &rpc::response(Value::Null, Err(error))).await;
                        return Ended::Input;
                    }
                    Some(Err(_)) | None => return Ended::Input,
                },
            }
        }
    }

    /// Answers what is under way; events flow on while the owner drains.
    async fn finish(&mut self, ended: Ended) {
        while self.calls.join_next().await.is_some() {}
        if ended == Ended::Draining
            && let Some(events) = &mut self.events
        {
            let mut phase = self.shared.phase.clone();
            tokio::select! {
                () = reached(&mut phase, Phase::Closing) => {
                    // The engine has ended by now: what it said last is in the stream.
                    let _ = timeout(LAST_WORDS, &mut events.0).await;
                }
                _ = &mut events.0 => {}
            }
        }
        self.events = None;
    }

    async fn line(&mut self, line: &str) {
        match rpc::parse(line) {
            Err(error) => say(&self.out, &rpc::response(Value::Null, Err(error))).await,
            Ok(Incoming::Call(call)) => {
                let call = self.prepare(call).await;
                let (shared, out) = (Arc::clone(&self.shared), self.out.clone());
                self.calls.spawn(async move {
                    if let Some(response) = call.carry_out(&shared).await {
                        say(&out, &response).await;
                    }
                });
            }
            Ok(Incoming::Batch(batch)) => {
                let mut calls = Vec::with_capacity(batch.len());
                for call in batch {
                    calls.push(self.prepare(call).await);
                }
                let (shared, out) = (Arc::clone(&self.shared), self.out.clone());
                self.calls.spawn(async move {
                    let responses: Vec<Value> =
                        join_all(calls.into_iter().map(|call| call.carry_out(&shared)))
                            .await
                            .into_iter()
                            .flatten()
                            .collect();
                    if !responses.is_empty() {
                        say(&out, &Value::Array(responses)).await;
                    }
                });
            }
        }
    }

    /// Subscribing happens while the line is read, so that events after its answer are not missed.
    async fn prepare(&mut self, call: Call) -> Prepared {
        let what = match call.what {
            Err(error) => Ready::Now(Err(error)),
            Ok(What::Request(request)) => Ready::Ask(request),
            Ok(What::Subscribe { filter }) => Ready::Now(self.subscribe(filter).await),
        };
        Prepared { id: call.id, what }
    }

    async fn subscribe(&mut self, filter: Vec<String>) -> Result<Reply, ApiError> {
        let stream = self.shared.handle.subscribe().await?;
        let (handle, out) = (Arc::clone(&self.shared.handle), self.out.clone());
        self.events = Some(Owned(tokio::spawn(forward(stream, handle, filter, out))));
        Ok(Reply::Done {})
    }
}

/// Ends when the task has; without one, never.
async fn ended(task: &mut Option<Owned>) {
    match task {
        Some(running) => {
            let _ = (&mut running.0).await;
            *task = None;
        }
        None => std::future::pending().await,
    }
}

// It lives from where it is made to where it is used: boxing it would cost more than it saves.
#[allow(clippy::large_enum_variant)]
enum Ready {
    Now(Result<Reply, ApiError>),
    Ask(Box<Request>),
}

struct Prepared {
    id: Option<Value>,
    what: Ready,
}

impl Prepared {
    async fn carry_out(self, shared: &Shared) -> Option<Value> {
        let _counted = shared.calls.acquire().await.ok()?;
        let outcome = match self.what {
            Ready::Now(outcome) => outcome,
            Ready::Ask(request) => {
                shared.handle.call((*request).clone()).await.map(|reply| fit(&request, reply))
            }
        };
        self.id.map(|id| rpc::response(id, outcome))
    }
}

async fn say(out: &mpsc::Sender<String>, value: &Value) {
    if let Ok(line) = to_line(value) {
        let _ = out.send(line).await;
    }
}

/// Passes events on as fast as the reader takes them. While it does not, the engine's bounded stream fills and the engine
/// puts a gap into it.
async fn forward(
    mut stream: EventStream,
    handle: Arc<dyn Handle>,
    filter: Vec<String>,
    out: mpsc::Sender<String>,
) {
    loop {
        let event = match stream.next().await {
            StreamItem::Event(event) if matches(&filter, event.body.kind().name()) => event,
            StreamItem::Event(_) => continue,
            StreamItem::Gap { from, to } => Box::new(gap(&*handle, from, to).await),
            StreamItem::End => return,
        };
        let Ok(line) = to_line(&rpc::notification(&event)) else { continue };
        if out.send(line).await.is_err() {
            return;
        }
    }
}

async fn gap(handle: &dyn Handle, from: u64, to: u64) -> Event {
    let account = match handle.call(Request::AccountShow {}).await {
        Ok(Reply::Account(account)) => account.address,
        _ => String::new(),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ts = Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    Event { v: 1, seq: None, ts, account, body: EventBody::SystemGap { from, to } }
}

async fn write_lines(mut queue: mpsc::Receiver<String>, mut write: OwnedWriteHalf) {
    while let Some(mut line) = queue.recv().await {
        line.push('\n');
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}
