//! Windows that a connection earns (R5). Every connection begins with narrow ones, because a hostile one can make the relay
//! keep a whole window and more for as long as it likes: by a hole in its stream, or by not acknowledging. One that has
//! authenticated and has moved data gets wider ones, as long as the relay's budget has room; others go on with what they
//! have, which costs them speed on long paths and nothing else.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{Connection, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    limits::{
        MOVED_MIDDLE, MOVED_WIDE, RECEIVE_WINDOW, SEND_WINDOW, SHARE_MIDDLE, SHARE_WIDE, WINDOW_MIDDLE,
    },
    memory::Share,
};

/// What one connection has moved, and the windows it has for it.
pub(super) struct Flow {
    connection: Connection,
    moved: AtomicU64,
    /// `moved` at which the next wider windows are due. Nothing is due before authentication, nor after the last.
    due: AtomicU64,
    share: Mutex<Share>,
}

impl Flow {
    pub(super) fn new(connection: Connection, share: Share) -> Arc<Self> {
        Arc::new(Self {
            connection,
            moved: AtomicU64::new(0),
            due: AtomicU64::new(u64::MAX),
            share: Mutex::new(share),
        })
    }

    /// From now on wider windows can be earned.
    pub(super) fn authenticated(&self) {
        self.due.store(MOVED_MIDDLE, Ordering::Relaxed);
    }

    /// Bytes were read in order, or taken to be sent, which means that as many before them were acknowledged.
    fn moved(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let moved = self.moved.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if moved >= self.due.load(Ordering::Relaxed) {
            self.widen(moved);
        }
    }

    fn widen(&self, moved: u64) {
        let (share, next, receive, send) = if moved >= MOVED_WIDE {
            (SHARE_WIDE, u64::MAX, RECEIVE_WINDOW, SEND_WINDOW)
        } else {
            (SHARE_MIDDLE, MOVED_WIDE, WINDOW_MIDDLE, WINDOW_MIDDLE.into())
        };
        let covered = self.share.lock().unwrap_or_else(PoisonError::into_inner).cover(share);
        if covered {
            self.connection.set_receive_window(receive.into());
            self.connection.set_send_window(send);
        }
        // Without room it asks again after as much again.
        let due = if covered { next } else { moved.saturating_add(MOVED_WIDE) };
        self.due.store(due, Ordering::Relaxed);
    }
}

/// The client's half of a session stream.
pub(super) struct Reader {
    stream: RecvStream,
    flow: Arc<Flow>,
}

impl Reader {
    pub(super) const fn new(stream: RecvStream, flow: Arc<Flow>) -> Self {
        Self { stream, flow }
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(AsyncRead::poll_read(Pin::new(&mut self.stream), cx, buf))?;
        self.flow.moved(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

/// The relay's half of a session stream.
pub(super) struct Writer {
    stream: SendStream,
    flow: Arc<Flow>,
}

impl Writer {
    pub(super) const fn new(stream: SendStream, flow: Arc<Flow>) -> Self {
        Self { stream, flow }
    }

    pub(super) fn into_stream(self) -> SendStream {
        self.stream
    }
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, buf))?;
        self.flow.moved(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), cx)
    }
}
