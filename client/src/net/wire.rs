//! Frames on a pair of byte streams.

use bytes::BytesMut;
use subrosa_protocol::{
    FrameDecoder, RawFrame,
    frame::time_earned,
    frames::{ClientFirst, ClientHello, RelayFirst, RelayHello},
    version::{FEATURES, MAX_VERSION, MIN_VERSION, negotiate},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Carrier, NetError};
use crate::limits::{HALF_FRAME, WRITE_BATCH_BYTES};

/// A connection on which hellos have been exchanged.
pub struct Wire<R, W> {
    /// What the relay says.
    pub reader: FrameReader<R>,
    /// What we say.
    pub writer: FrameWriter<W>,
    /// The TLS exporter value of this connection; proofs cover it.
    pub exporter: [u8; 32],
    /// The relay's hello.
    pub hello: RelayHello,
    /// What carries it.
    pub carrier: Box<dyn Carrier>,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Wire<R, W> {
    /// Exchanges hellos.
    ///
    /// # Errors
    /// [`NetError::Version`] without a version in common, [`NetError::Refused`] when the relay has no room,
    /// [`NetError::Protocol`] for anything else than a hello.
    pub async fn open(
        receive: R,
        send: W,
        exporter: [u8; 32],
        carrier: Box<dyn Carrier>,
    ) -> Result<Self, NetError> {
        let (mut reader, mut writer) = (FrameReader::new(receive), FrameWriter::new(send));
        let hello = ClientHello { min_version: MIN_VERSION, max_version: MAX_VERSION, features: FEATURES };
        writer.push(&ClientFirst::Hello(hello).to_raw(0)?)?;
        writer.flush().await?;
        let first = reader.next().await?;
        match RelayFirst::from_raw(&first)? {
            RelayFirst::Hello(hello) => {
                negotiate(hello.version, hello.version).map_err(|_| NetError::Version)?;
                Ok(Self { reader, writer, exporter, hello, carrier })
            }
            RelayFirst::Error(frame) if frame.code == subrosa_protocol::ErrorCode::UnsupportedVersion => {
                Err(NetError::Version)
            }
            RelayFirst::Error(frame) => Err(NetError::Refused(frame)),
        }
    }
}

/// Reads frames.
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    decoder: FrameDecoder,
    /// Since when a frame is there in part.
    begun: Option<Instant>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Of a byte stream.
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), decoder: FrameDecoder::authenticated(), begun: None }
    }

    /// The same, over a stream whose type does not matter any more.
    pub(super) fn boxed(self) -> FrameReader<Box<dyn AsyncRead + Send + Unpin>>
    where
        R: Send + 'static,
    {
        FrameReader {
            stream: Box::new(self.stream),
            buffer: self.buffer,
            decoder: self.decoder,
            begun: self.begun,
        }
    }

    /// The next frame. Cancel safe.
    ///
    /// # Errors
    /// [`NetError::Closed`] at the end of the stream, [`NetError::Protocol`] when it is not one of frames,
    /// [`NetError::Half`] when a frame was begun and is not there within [`HALF_FRAME`] (R6).
    pub async fn next(&mut self) -> Result<RawFrame, NetError> {
        loop {
            if let Some(frame) = self.decoder.next_frame(&mut self.buffer)? {
                self.begun = None;
                return Ok(frame);
            }
            let read = if self.buffer.is_empty() {
                self.stream.read_buf(&mut self.buffer).await
            } else {
                let begun = *self.begun.get_or_insert_with(Instant::now);
                let end = begun + HALF_FRAME + time_earned(self.buffer.len());
                let read = timeout_at(end, self.stream.read_buf(&mut self.buffer));
                read.await.map_err(|_| NetError::Half)?
            };
            match read {
                Ok(0) | Err(_) => return Err(NetError::Closed),
                Ok(_) => {}
            }
        }
    }
}

/// Collects frames and writes what is there in one go.
pub struct FrameWriter<W> {
    stream: W,
    buffer: BytesMut,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// To a byte stream.
    pub fn new(stream: W) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The same, over a stream whose type does not matter any more.
    pub(super) fn boxed(self) -> FrameWriter<Box<dyn AsyncWrite + Send + Unpin>>
    where
        W: Send + 'static,
    {
        FrameWriter { stream: Box::new(self.stream), buffer: self.buffer }
    }

    /// Adds a frame to what the next [`FrameWriter::flush`] writes.
    ///
    /// # Errors
    /// [`NetError::Protocol`] for a frame that is too large.
    pub fn push(&mut self, frame: &RawFrame) -> Result<(), NetError> {
        Ok(frame.write_to(&mut self.buffer)?)
    }

    /// Whether enough is waiting that it should be flushed before more is added.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= WRITE_BATCH_BYTES
    }

    /// Writes what is waiting.
    ///
    /// # Errors
    /// [`NetError::Closed`] when the stream has ended.
    pub async fn flush(&mut self) -> Result<(), NetError> {
        self.stream.write_all_buf(&mut self.buffer).await.map_err(|_| NetError::Closed)?;
        self.stream.flush().await.map_err(|_| NetError::Closed)
    }

    /// Writes what is waiting and ends the stream.
    pub async fn finish(&mut self) {
        if self.flush().await.is_ok() {
            // The other side may be gone already; there is nothing left to tell it.
            let _ = self.stream.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{
        ErrorCode,
        frames::{ErrorFrame, RegistrationPolicy},
    };

    use super::*;

    async fn open_against(answer: RelayFirst) -> Result<RelayHello, NetError> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let relay = async move {
            let (receive, send) = tokio::io::split(theirs);
            let (mut reader, mut writer) = (FrameReader::new(receive), FrameWriter::new(send));
            let ClientFirst::Hello(hello) = ClientFirst::from_raw(&reader.next().await.unwrap()).unwrap();
            assert_eq!((hello.min_version, hello.max_version), (MIN_VERSION, MAX_VERSION));
            writer.push(&answer.to_raw(0).unwrap()).unwrap();
            writer.flush().await.unwrap();
        };
        let (receive, send) = tokio::io::split(ours);
        let (opened, ()) = tokio::join!(Wire::open(receive, send, [7; 32], Box::new(())), relay);
        opened.map(|wire| wire.hello)
    }

    fn hello(version: u16) -> RelayFirst {
        RelayFirst::Hello(RelayHello {
            version,
            features: 0,
            nonce: [1; 32],
            registration: RegistrationPolicy::Open,
        })
    }

    #[tokio::test]
    async fn hellos_are_exchanged_and_r9_other_versions_refused() {
        assert_eq!(open_against(hello(1)).await.unwrap().nonce, [1; 32]);
        assert!(matches!(open_against(hello(9)).await, Err(NetError::Version)));
        let full = RelayFirst::Error(ErrorFrame::new(ErrorCode::TooManyConnections, ""));
        assert!(matches!(open_against(full).await, Err(NetError::Refused(_))));
    }
}
