//! One question after the other: what joining and logging in need.

use std::time::Duration;

use subrosa_protocol::{
    RawFrame,
    frames::{FromRelay, RelayHello, Response},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{FrameReader, FrameWriter, NetError, Wire};
use crate::limits::ANSWER_TIMEOUT;

/// A short connection on which every question waits for its answer.
pub struct Dialogue {
    reader: FrameReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: FrameWriter<Box<dyn AsyncWrite + Send + Unpin>>,
    /// The TLS exporter value of this connection.
    pub exporter: [u8; 32],
    /// The relay's hello.
    pub hello: RelayHello,
    id: u32,
}

impl Dialogue {
    /// On a connection whose hellos are exchanged.
    pub fn new<R, W>(wire: Wire<R, W>) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let Wire { reader, writer, exporter, hello, .. } = wire;
        Self { reader: reader.boxed(), writer: writer.boxed(), exporter, hello, id: 0 }
    }

    /// Asks; `frame` makes the request frame from its id.
    ///
    /// # Errors
    /// [`NetError::Refused`] for an error frame, [`NetError::Timeout`] after [`ANSWER_TIMEOUT`].
    pub async fn ask(
        &mut self,
        frame: impl FnOnce(u32) -> Result<RawFrame, subrosa_protocol::FrameError>,
    ) -> Result<Response, NetError> {
        self.id = self.id.wrapping_add(1);
        let id = self.id;
        self.writer.push(&frame(id)?)?;
        self.writer.flush().await?;
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.answer(id));
        match answer.await.map_err(|_| NetError::Timeout)?? {
            Response::Error(frame) => Err(NetError::Refused(frame)),
            response => Ok(response),
        }
    }

    /// Ends the connection in order.
    pub async fn finish(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.writer.finish()).await;
    }

    async fn answer(&mut self, id: u32) -> Result<Response, NetError> {
        loop {
            match FromRelay::from_raw(&self.reader.next().await?)? {
                FromRelay::Response(answered, response) if answered == id => return Ok(response),
                FromRelay::Response(..) | FromRelay::Push(_) | FromRelay::Skipped(_) => {}
            }
        }
    }
}
