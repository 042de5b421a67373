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
        answer(&mut self.reader, id).await
    }

    /// Asks several things at once; answers come in their order. `frames` make the request frames from their ids.
    ///
    /// # Errors
    /// As of [`Dialogue::ask`]; each answer has [`ANSWER_TIMEOUT`].
    pub async fn ask_all(
        &mut self,
        frames: impl IntoIterator<Item = impl FnOnce(u32) -> Result<RawFrame, subrosa_protocol::FrameError>>,
    ) -> Result<Vec<Response>, NetError> {
        let first = self.id.wrapping_add(1);
        for frame in frames {
            self.id = self.id.wrapping_add(1);
            self.writer.push(&frame(self.id)?)?;
        }
        let ids = first..self.id.wrapping_add(1);
        let (writer, reader) = (&mut self.writer, &mut self.reader);
        let write = async { writer.flush().await };
        let read = async {
            let mut answers = Vec::new();
            for id in ids {
                answers.push(answer(reader, id).await?);
            }
            Ok(answers)
        };
        tokio::pin!(read);
        // What the relay says matters also while it does not take more.
        tokio::select! {
            biased;
            answers = &mut read => return answers,
            written = write => written?,
        }
        read.await
    }

    /// Ends the connection in order.
    pub async fn finish(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.writer.finish()).await;
    }
}

/// The answer to one question, waited for at most [`ANSWER_TIMEOUT`].
async fn answer<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>, id: u32) -> Result<Response, NetError> {
    let response = tokio::time::timeout(ANSWER_TIMEOUT, response(reader, id));
    match response.await.map_err(|_| NetError::Timeout)?? {
        Response::Error(frame) => Err(NetError::Refused(frame)),
        response => Ok(response),
    }
}

async fn response<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>, id: u32) -> Result<Response, NetError> {
    loop {
        match FromRelay::from_raw(&reader.next().await?)? {
            FromRelay::Response(answered, response) if answered == id => return Ok(response),
            FromRelay::Response(..) | FromRelay::Push(_) | FromRelay::Skipped(_) => {}
        }
    }
}
