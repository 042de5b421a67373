//! A session stream as frames. It knows nothing of what they say.
//!
//! Reading and writing make progress in one step ([`Channel::turn`]) that can be dropped at any time, so one task serves
//! a connection, and a client that does not read cannot stop the relay from noticing other things. Buffers are allocated
//! when they are needed and given back when they are empty.

use std::{
    io,
    pin::pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use subrosa_protocol::{
    FrameDecoder, FrameError, RawFrame,
    frame::time_earned,
    frames::{MailboxEnvelope, Push, Response},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

use crate::{
    limits::{BUFFER_FREE, OUTPUT_HIGH, READ_MAX, READ_MIN, TAKEN_MIN},
    memory::Share,
};

/// A buffer larger than this is given back when it is empty.
const KEEP: usize = 4 * READ_MIN;

/// Frames in, frames out.
pub(crate) struct Channel<R, W> {
    reader: R,
    writer: W,
    decoder: FrameDecoder,
    input: BytesMut,
    output: BytesMut,
    read_size: usize,
    /// The buffer was made for a large frame, and is not to be used again for small ones.
    swollen: bool,
    /// When the incomplete frame at the start of `input` began.
    half_since: Option<Instant>,
    /// Bytes were written and not flushed.
    dirty: bool,
    /// What covers a half-read frame and output beyond the little that every connection may have.
    room: Share,
    /// Since when output waits for the client to take some, and how much it has taken since.
    taking: Option<(Instant, usize)>,
}

/// What a [`Channel::turn`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Bytes went out.
    Wrote,
    /// Bytes came in.
    Read,
    /// Output has begun to wait for the client to take some: from now on its time runs, see [`Channel::slow_since`].
    Waits,
    /// The client has ended its side.
    Ended,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Channel<R, W> {
    /// For a client that has not authenticated.
    pub(crate) fn new(reader: R, writer: W, room: Share) -> Self {
        Self {
            reader,
            writer,
            decoder: FrameDecoder::unauthenticated(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            read_size: READ_MIN,
            swollen: false,
            half_since: None,
            dirty: false,
            room,
            taking: None,
        }
    }

    /// The client has authenticated: larger frames are read from now on (R3).
    pub(crate) fn raise_limits(&mut self) {
        self.decoder = FrameDecoder::authenticated();
    }

    /// The next whole frame that was read.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Result<Option<RawFrame>, FrameError> {
        let frame = self.decoder.next_frame(&mut self.input)?;
        self.swollen |= self.input.capacity() > 2 * READ_MAX;
        self.half_since = match (&frame, self.input.is_empty(), self.half_since) {
            (_, true, _) => None,
            (None, false, Some(since)) => Some(since),
            _ => Some(now),
        };
        Ok(frame)
    }

    /// When the incomplete frame that was read began, later by the time that what is here of it has earned: a large frame
    /// over a slow link has the time it needs, and no more.
    pub(crate) fn half_since(&self) -> Option<Instant> {
        self.half_since.map(|since| since + time_earned(self.input.len()))
    }

    /// Reading was put off: the time of an incomplete frame starts anew.
    pub(crate) fn excuse_half(&mut self, now: Instant) {
        if self.half_since.is_some() {
            self.half_since = Some(now);
        }
    }

    /// Takes room out of the relay's buffers for what is half read and not yet written, or gives back what is no longer
    /// needed. `false`: there is none left, and the connection must end.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        if self.output.is_empty() {
            self.taking = None;
        } else if self.taking.is_some_and(|(_, taken)| taken >= TAKEN_MIN) {
            self.taking = Some((now, 0));
        }
        let needed = self.needed();
        self.room.cover(needed)
    }

    /// Bytes of the half-read frame, when it is whole, and of output, beyond what is free.
    fn needed(&self) -> usize {
        self.half().saturating_add(self.output.len()).saturating_sub(BUFFER_FREE)
    }

    fn half(&self) -> usize {
        match (self.half_since, self.input.first_chunk()) {
            (Some(_), Some(prefix)) => usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// Room for an answer that is about to be queued.
    pub(crate) fn give_room(&mut self, share: Share) {
        self.room.absorb(share);
    }

    /// Whether a push of so many bytes has room.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        let needed = self.needed();
        self.output.len().saturating_add(bytes) <= BUFFER_FREE
            || self.room.cover(needed.saturating_add(bytes))
    }

    /// Since when the client has not taken as much output as it must, or has not sent the rest of a large frame.
    pub(crate) fn slow_since(&self) -> Option<Instant> {
        // When buffers are short, slow links are no excuse.
        let since = if self.is_short() { self.half_since } else { self.half_since() };
        let large = since.filter(|_| self.half() > BUFFER_FREE);
        self.taking.map(|(since, _)| since).into_iter().chain(large).min()
    }

    /// Whether the relay's buffers are short.
    pub(crate) fn is_short(&self) -> bool {
        self.room.is_short()
    }

    /// Queues an answer. One that fits no frame becomes an internal error, which does.
    pub(crate) fn respond(&mut self, id: u32, response: &Response) {
        if response.write_to(id, &mut self.output).is_err() {
            use subrosa_protocol::{ErrorCode, frames::ErrorFrame};
            let error =
                Response::Error(ErrorFrame::new(ErrorCode::Internal, "the answer does not fit a frame"));
            let _ = error.write_to(id, &mut self.output);
        }
    }

    /// Queues a push. One that fits no frame is left out: a push is a hint.
    pub(crate) fn push(&mut self, push: &Push) {
        let _ = push.write_to(0, &mut self.output);
    }

    /// Queues the push of an envelope.
    pub(crate) fn deliver(&mut self, envelope: &MailboxEnvelope) {
        let _ = Push::write_deliver(envelope, &mut self.output);
    }

    /// Queues a frame.
    pub(crate) fn send(&mut self, frame: &RawFrame) {
        let _ = frame.write_to(&mut self.output);
    }

    /// Queues frames in wire form.
    pub(crate) fn send_bytes(&mut self, frames: &Bytes) {
        self.output.extend_from_slice(frames);
    }

    /// Whether so much waits to be written that nothing further should be asked for.
    pub(crate) fn is_clogged(&self) -> bool {
        self.output.len() >= OUTPUT_HIGH
    }

    /// Whether everything queued was handed to the transport.
    pub(crate) fn is_drained(&self) -> bool {
        self.output.is_empty() && !self.dirty
    }

    /// Writes what waits, or reads when `may_read`, whichever is possible first. Dropping the future loses nothing.
    pub(crate) async fn turn(&mut self, may_read: bool) -> io::Result<Turn> {
        std::future::poll_fn(|cx| self.poll_turn(cx, may_read)).await
    }

    /// Writes everything that waits and ends the relay's side of the stream.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        while !self.is_drained() {
            self.turn(false).await?;
        }
        self.writer.shutdown().await
    }

    /// The writer, to be finished by the carrier.
    pub(crate) fn into_writer(self) -> W {
        self.writer
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, may_read: bool) -> Poll<io::Result<Turn>> {
        let written = match self.output.is_empty() {
            true => Poll::Pending,
            false => pin!(self.writer.write_buf(&mut self.output)).poll(cx),
        };
        if written.is_pending() && !self.output.is_empty() && self.taking.is_none() {
            self.taking = Some((Instant::now(), 0));
            // Said at once: whoever turns has set its timer before it could know.
            return Poll::Ready(Ok(Turn::Waits));
        }
        if let Poll::Ready(written) = written {
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some((_, taken)) = &mut self.taking {
                *taken = taken.saturating_add(written);
            }
            self.dirty = true;
            if self.output.is_empty() && self.output.capacity() > KEEP {
                self.output = BytesMut::new();
            }
            if self.output.is_empty()
                && let Poll::Ready(flushed) = pin!(self.writer.flush()).poll(cx)
            {
                flushed?;
                self.dirty = false;
            }
            return Poll::Ready(Ok(Turn::Wrote));
        }
        if self.dirty
            && self.output.is_empty()
            && let Poll::Ready(flushed) = pin!(self.writer.flush()).poll(cx)
        {
            flushed?;
            self.dirty = false;
            return Poll::Ready(Ok(Turn::Wrote));
        }
        if may_read {
            self.prepare_input();
            if let Poll::Ready(read) = pin!(self.reader.read_buf(&mut self.input)).poll(cx) {
                let read = read?;
                if read >= self.read_size {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                } else if read < READ_MIN {
                    self.read_size = READ_MIN;
                }
                return Poll::Ready(Ok(if read == 0 { Turn::Ended } else { Turn::Read }));
            }
        }
        Poll::Pending
    }

    /// Makes room to read: as much as the frame that has begun needs (the decoder has reserved it), or a little.
    fn prepare_input(&mut self) {
        if self.input.is_empty() && (self.swollen || self.input.capacity() > KEEP.max(2 * self.read_size)) {
            self.input = BytesMut::new();
            self.swollen = false;
        }
        if self.input.capacity() == self.input.len() || self.input.is_empty() {
            self.input.reserve(self.read_size);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use subrosa_protocol::{frames::Empty, limits::FRAME_MAX};

    use super::*;
    use crate::memory::Budget;

    fn frame(len: usize) -> RawFrame {
        RawFrame { kind: 0x30, flags: 0, id: 1, body: vec![7; len].into() }
    }

    #[tokio::test]
    async fn what_is_queued_goes_out_in_one_write_and_buffers_are_given_back() {
        let (mut client, relay) = tokio::io::duplex(1 << 20);
        let (reader, writer) = tokio::io::split(relay);
        let mut channel = Channel::new(reader, writer, Budget::new(1 << 20).share());
        for id in 0..100 {
            channel.respond(id, &Response::Done(Empty {}));
        }
        channel.send(&frame(60_000));
        assert_eq!(channel.turn(true).await.unwrap(), Turn::Wrote);
        assert!(channel.output.is_empty() && channel.output.capacity() <= KEEP);
        let mut got = vec![0; 100 * 11 + 60_011];
        client.read_exact(&mut got).await.unwrap();
    }

    #[tokio::test]
    async fn large_frames_arrive_whole_and_the_room_for_them_is_given_back() {
        let (mut client, relay) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(relay);
        let mut channel = Channel::new(reader, writer, Budget::new(1 << 20).share());
        channel.raise_limits();
        let mut bytes = BytesMut::new();
        frame(FRAME_MAX - 7).write_to(&mut bytes).unwrap();
        tokio::spawn(async move { client.write_all(&bytes).await.map(|()| client) });
        let now = Instant::now();
        let got = loop {
            if let Some(frame) = channel.next_frame(now).unwrap() {
                break frame;
            }
            channel.turn(true).await.unwrap();
        };
        assert_eq!(got, frame(FRAME_MAX - 7));
        assert_eq!(channel.half_since(), None);
        drop(got);
        channel.prepare_input();
        assert!(channel.input.capacity() <= 2 * READ_MAX);
    }

    #[tokio::test]
    async fn r6_a_half_frame_is_noticed_from_its_first_byte() {
        let (mut client, relay) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(relay);
        let mut channel = Channel::new(reader, writer, Budget::new(1 << 20).share());
        client.write_all(&[20, 0]).await.unwrap();
        channel.turn(true).await.unwrap();
        let first = Instant::now();
        assert!(channel.next_frame(first).unwrap().is_none());
        client.write_all(&[0, 0, 1]).await.unwrap();
        channel.turn(true).await.unwrap();
        assert!(channel.next_frame(Instant::now()).unwrap().is_none());
        assert_eq!(channel.half_since(), Some(first));
    }

    #[tokio::test]
    async fn r6_a_large_frame_over_a_slow_link_has_a_second_more_for_each_2_kib() {
        let (mut client, relay) = tokio::io::duplex(1 << 17);
        let (reader, writer) = tokio::io::split(relay);
        let mut channel = Channel::new(reader, writer, Budget::new(1 << 20).share());
        channel.raise_limits();
        client.write_all(&60_000u32.to_le_bytes()).await.unwrap();
        channel.turn(true).await.unwrap();
        let first = Instant::now();
        assert!(channel.next_frame(first).unwrap().is_none());
        assert_eq!(channel.half_since(), Some(first));
        client.write_all(&vec![7; 40_960]).await.unwrap();
        while channel.input.len() < 40_964 {
            channel.turn(true).await.unwrap();
            assert!(channel.next_frame(Instant::now()).unwrap().is_none());
        }
        assert_eq!(channel.half_since(), Some(first + Duration::from_secs(20)));
    }

    #[tokio::test]
    async fn large_frames_and_output_come_out_of_the_relays_buffers() {
        let (mut client, relay) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(relay);
        let budget = Budget::new(100_000);
        let mut other = budget.share();
        let mut channel = Channel::new(reader, writer, budget.share());
        channel.raise_limits();
        client.write_all(&60_000u32.to_le_bytes()).await.unwrap();
        channel.turn(true).await.unwrap();
        let now = Instant::now();
        assert!(channel.next_frame(now).unwrap().is_none());
        assert!(channel.settle(now) && !other.cover(60_000), "the frame's room is taken");
        assert!(!channel.has_room(60_000) && channel.has_room(20_000));
        channel.send(&frame(30_000));
        assert!(channel.settle(now) && channel.taking.is_none());
        assert_eq!(channel.slow_since(), channel.half_since(), "a large frame is half there");
        // The other side does not read: 4 KiB fit its pipe.
        let turn = |channel: &mut Channel<_, _>| channel.turn(false).now_or_never().map(Result::unwrap);
        assert_eq!(turn(&mut channel), Some(Turn::Wrote));
        assert_eq!(
            turn(&mut channel),
            Some(Turn::Waits),
            "whoever sets timers hears that the client's time runs"
        );
        assert_eq!(turn(&mut channel), None);
        assert!(channel.taking.is_some());
        channel.send(&frame(65_000));
        assert!(!channel.settle(now), "one past the bound");
        drop(channel);
        assert!(other.cover(100_000), "everything is given back");
    }

    #[tokio::test]
    async fn r3_a_claimed_4_gib_allocates_little() {
        let (mut client, relay) = tokio::io::duplex(4096);
        let (reader, writer) = tokio::io::split(relay);
        let mut channel = Channel::new(reader, writer, Budget::new(1 << 20).share());
        client.write_all(&[0xff; 4]).await.unwrap();
        channel.turn(true).await.unwrap();
        assert!(channel.next_frame(Instant::now()).is_err());
        assert!(channel.input.capacity() <= 8 * 1024);
    }
}
