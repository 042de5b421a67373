//! The other side of the socket: a [`Handle`] whose engine runs in another process.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::codec::{FramedRead, LinesCodec};

use super::{
    limits::{CONNECT_WITHIN, OUT_QUEUE, REPLY_LINE_BYTES, REQUEST_LINE_BYTES, STREAM_QUEUE},
    line::to_line,
    rpc::{self, Said},
    server::is_ours,
};
use crate::api::{
    ApiError, Call, EventBody, EventStream, Handle, Kind, Reply, Request, StreamItem, Subscribe,
};

type Outcome = Result<Reply, ApiError>;
type Lines = FramedRead<OwnedReadHalf, LinesCodec>;

/// A connection to the process that owns the profile.
#[derive(Debug)]
pub struct Attached {
    path: PathBuf,
    owner: Option<u32>,
    out: mpsc::Sender<String>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    tasks: [JoinHandle<()>; 2],
}

impl Attached {
    /// Attaches to the owner of a profile; `None` when nobody serves this socket.
    ///
    /// # Errors
    /// [`Kind::NotReady`] when somebody else's process serves it, or the owner does not take connections.
    pub async fn connect(path: &Path) -> Result<Option<Self>, ApiError> {
        let Some(stream) = open(path).await? else { return Ok(None) };
        let owner = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok());
        let (read, write) = stream.into_split();
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let waiting = Arc::new(Waiting::default());
        let tasks = [
            tokio::spawn(write_lines(queue, write)),
            tokio::spawn(read_answers(lines(read), Arc::clone(&waiting))),
        ];
        Ok(Some(Self { path: path.to_path_buf(), owner, out, waiting, next: AtomicU64::new(1), tasks }))
    }

    /// The owner's process id, where the system tells it.
    #[must_use]
    pub const fn owner(&self) -> Option<u32> {
        self.owner
    }

    /// Whether the owner says anything within this time. One whose engine is busy does, one that hangs does not; one that
    /// ended meanwhile is not silent either: its connections end.
    pub async fn answers(&self, within: Duration) -> bool {
        timeout(within, hear_anything(&self.path)).await.is_ok()
    }

    async fn ask(&self, request: Request) -> Outcome {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = to_line(&rpc::request(id, &request)?)
            .map_err(|_| ApiError::internal("a request without JSON"))?;
        if line.len() > REQUEST_LINE_BYTES {
            return Err(ApiError::new(Kind::Usage, "the request is too long for the profile's socket"));
        }
        let answer = self.waiting.add(id).ok_or_else(gone)?;
        if self.out.send(line).await.is_err() {
            return Err(gone());
        }
        answer.outcome().await
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Handle for Attached {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(self.ask(request))
    }

    /// Opens a connection of its own, so that a slow reader of events holds up no call.
    fn subscribe(&self) -> Subscribe<'_> {
        Box::pin(subscribe(&self.path))
    }
}

async fn open(path: &Path) -> Result<Option<UnixStream>, ApiError> {
    let stream = match timeout(CONNECT_WITHIN, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            return Ok(None);
        }
        Ok(Err(error)) => {
            return Err(ApiError::new(
                Kind::NotReady,
                format!("the profile's socket {}: {error}", path.display()),
            ));
        }
        Err(_) => {
            return Err(ApiError::new(Kind::NotReady, "the process that owns the profile does not answer")
                .hint("`rosa status` names it; end it if it hangs"));
        }
    };
    if !stream.peer_cred().is_ok_and(|peer| is_ours(peer.uid())) {
        return Err(ApiError::new(Kind::NotReady, format!("{} belongs to another user", path.display())));
    }
    Ok(Some(stream))
}

/// Ends with the first word of the owner. A connection of its own does not wait behind calls that are under way; an owner
/// that has no room for it says so, which is an answer.
async fn hear_anything(path: &Path) {
    let stream = match open(path).await {
        Ok(Some(stream)) => stream,
        Ok(None) => return,
        // As long as it takes no connection it has said nothing.
        Err(_) => return std::future::pending().await,
    };
    let (read, mut write) = stream.into_split();
    let Ok(line) = to_line(&rpc::nothing(1)) else { return };
    // It may have been turned away already; then the answer is there to be read.
    let _ = write.write_all(format!("{line}\n").as_bytes()).await;
    let _ = lines(read).next().await;
}

fn lines(read: OwnedReadHalf) -> Lines {
    FramedRead::new(read, LinesCodec::new_with_max_length(REPLY_LINE_BYTES))
}

fn gone() -> ApiError {
    ApiError::new(Kind::NotReady, "the process that owns the profile has ended")
        .hint("run it again; what was queued stays queued, and with --key nothing is sent twice")
}

/// Who waits for which answer; `None` once the connection is over.
#[derive(Debug)]
struct Waiting(Mutex<Option<HashMap<u64, oneshot::Sender<Outcome>>>>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }
}

impl Waiting {
    fn add(self: &Arc<Self>, id: u64) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.insert(id, sender);
        Some(Answer { id, receiver, waiting: Arc::clone(self) })
    }

    fn take(&self, id: u64) -> Option<oneshot::Sender<Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.remove(&id)
    }

    fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// An answer somebody waits for. Dropping it forgets the call.
struct Answer {
    id: u64,
    receiver: oneshot::Receiver<Outcome>,
    waiting: Arc<Waiting>,
}

impl Answer {
    async fn outcome(mut self) -> Outcome {
        (&mut self.receiver).await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.waiting.take(self.id);
    }
}

async fn read_answers(mut lines: Lines, waiting: Arc<Waiting>) {
    while let Some(Ok(line)) = lines.next().await {
        match rpc::hear(&line) {
            Ok(Said::Answer { id: Some(id), outcome }) => {
                if let Some(sender) = waiting.take(id) {
                    let _ = sender.send(outcome);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
    waiting.end();
}

async fn write_lines(mut queue: mpsc::Receiver<String>, mut write: OwnedWriteHalf) {
    while let Some(mut line) = queue.recv().await {
        line.push('\n');
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn subscribe(path: &Path) -> Result<EventStream, ApiError> {
    let stream = open(path).await?.ok_or_else(gone)?;
    let (read, mut write) = stream.into_split();
    let line = to_line(&rpc::subscribe(1)).map_err(|_| ApiError::internal("a request without JSON"))?;
    write.write_all(format!("{line}\n").as_bytes()).await.map_err(|_| gone())?;
    let mut lines = lines(read);
    let (sender, receiver) = mpsc::channel(STREAM_QUEUE);
    loop {
        let Some(Ok(line)) = lines.next().await else { return Err(gone()) };
        match rpc::hear(&line)? {
            Said::Answer { outcome, .. } => {
                outcome?;
                break;
            }
            Said::Event(_) | Said::Unknown => {}
        }
    }
    tokio::spawn(pump(lines, write, sender));
    Ok(EventStream::new(receiver))
}

/// Reads on only as fast as the local reader takes events: what waits, waits in the socket and then in the owner's bounded
/// stream. The writing half is kept, because the owner takes its end for the end of the subscription.
async fn pump(mut lines: Lines, write: OwnedWriteHalf, sender: mpsc::Sender<StreamItem>) {
    loop {
        let line = tokio::select! {
            () = sender.closed() => break,
            line = lines.next() => line,
        };
        let Some(Ok(line)) = line else { break };
        let Ok(Said::Event(event)) = rpc::hear(&line) else { continue };
        let item = match event.body {
            EventBody::SystemGap { from, to } if event.seq.is_none() => StreamItem::Gap { from, to },
            _ => StreamItem::Event(event),
        };
        if sender.send(item).await.is_err() {
            break;
        }
    }
    let _ = sender.try_send(StreamItem::End);
    drop(write);
}
