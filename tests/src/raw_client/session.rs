//! Frames and bytes on a session stream, and how a connection ended.

use std::{collections::VecDeque, time::Duration};

use bytes::BytesMut;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, EnvelopeId, ErrorCode, FrameDecoder, RawFrame, Username, frames::*,
    version::EXPORTER_LABEL,
};
use tokio::time::timeout;

use super::Identity;

/// How long to wait for the relay to say or do something, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A session stream.
pub struct Session {
    /// The connection below.
    pub connection: Connection,
    /// The client's half of the stream.
    pub writer: SendStream,
    /// The relay's half of the stream.
    pub reader: RecvStream,
    /// The exporter value of the connection.
    pub exporter: [u8; 32],
    /// The relay's nonce, after the hellos.
    pub nonce: [u8; 32],
    /// Pushes that came while something else was awaited.
    pub pushes: VecDeque<Push>,
    input: BytesMut,
    next_id: u32,
}

/// How the relay ended a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The error code of the last error frame.
    pub error: Option<ErrorCode>,
    /// The reason of the `Closing`.
    pub reason: Option<CloseReason>,
    /// Frames that came before the end.
    pub frames: usize,
}

impl Session {
    /// Opens the stream; nothing is sent yet.
    pub async fn open(connection: Connection) -> Result<Self, ConnectionError> {
        let (writer, reader) = connection.open_bi().await?;
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").unwrap();
        Ok(Self {
            connection,
            writer,
            reader,
            exporter,
            nonce: [0; 32],
            pushes: VecDeque::new(),
            input: BytesMut::new(),
            next_id: 0,
        })
    }

    // --- the polite steps ---------------------------------------------------------------------------------------

    /// The hellos.
    pub async fn hello(&mut self) {
        let hello = ClientFirst::Hello(ClientHello { min_version: 1, max_version: 1, features: 0 });
        self.write(&hello.to_raw(0).unwrap()).await;
        let answer = self.frame().await.expect("a hello");
        match RelayFirst::from_raw(&answer).unwrap() {
            RelayFirst::Hello(hello) => self.nonce = hello.nonce,
            RelayFirst::Error(error) => panic!("{error:?}"),
        }
    }

    /// Proves a device.
    pub async fn authenticate(&mut self, who: &Identity) -> Authenticated {
        let proof = who.authenticate(&self.exporter, &self.nonce);
        match self.pre(PreAuthRequest::Authenticate(proof)).await {
            Response::Authenticated(answer) => answer,
            other => panic!("{} is not let in: {other:?}", who.name),
        }
    }

    /// Registers somebody; the answer to the last step that was made.
    pub async fn register(&mut self, who: &Identity, invite: Option<[u8; 16]>) -> Response {
        let started = self.pre(PreAuthRequest::RegisterStart(who.register_start(invite))).await;
        if !matches!(started, Response::RegisterChallenge(_)) {
            return started;
        }
        for frame in who.stage() {
            let staged = self.pre(PreAuthRequest::StagePrekeys(frame)).await;
            assert!(matches!(staged, Response::Done(_)), "{staged:?}");
        }
        let finish = who.register_finish(&self.exporter, &self.nonce);
        self.pre(PreAuthRequest::RegisterFinish(finish)).await
    }

    /// Sends a request of a client that has not authenticated and awaits its answer.
    pub async fn pre(&mut self, request: PreAuthRequest) -> Response {
        let id = self.id();
        self.write(&request.to_raw(id).unwrap()).await;
        self.answer(id).await
    }

    /// Sends a request and awaits its answer.
    pub async fn ask(&mut self, request: Request) -> Response {
        let id = self.send(request).await;
        self.answer(id).await
    }

    /// Sends a request and does not wait.
    pub async fn send(&mut self, request: Request) -> u32 {
        let id = self.id();
        self.write(&request.to_raw(id).unwrap()).await;
        id
    }

    /// The answer to a request; pushes are kept, other answers are passed over.
    pub async fn answer(&mut self, id: u32) -> Response {
        loop {
            match self.heard().await.expect("the connection ended before the answer") {
                FromRelay::Response(of, response) if of == id => return response,
                FromRelay::Push(push) => self.pushes.push_back(push),
                _ => {}
            }
        }
    }

    /// The answer to a request in its bytes.
    pub async fn raw_answer(&mut self, frame: &RawFrame) -> RawFrame {
        self.write(frame).await;
        loop {
            let answer = self.frame().await.expect("the connection ended before the answer");
            if answer.id == frame.id && answer.kind >= 0x8000 {
                return answer;
            }
        }
    }

    /// The next envelope that is pushed.
    pub async fn delivered(&mut self) -> MailboxEnvelope {
        loop {
            let push = match self.pushes.pop_front() {
                Some(push) => push,
                None => match self.heard().await.expect("the connection ended before a push") {
                    FromRelay::Push(push) => push,
                    _ => continue,
                },
            };
            if let Push::Deliver(envelope) = push {
                return envelope;
            }
        }
    }

    // --- frames and bytes ---------------------------------------------------------------------------------------

    /// A number for the next request.
    pub fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The next thing the relay says; `None` at the end.
    pub async fn heard(&mut self) -> Option<FromRelay> {
        self.frame().await.map(|frame| FromRelay::from_raw(&frame).expect("the relay speaks the protocol"))
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        timeout(PATIENCE, self.next_frame()).await.expect("the relay neither says anything nor closes")
    }

    async fn next_frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some(frame) = FrameDecoder::authenticated().next_frame(&mut self.input).unwrap() {
                return Some(frame);
            }
            match self.reader.read_chunk(64 * 1024, true).await {
                Ok(Some(chunk)) => self.input.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Writes a frame; a connection that has ended is not an error here.
    pub async fn write(&mut self, frame: &RawFrame) {
        let mut out = BytesMut::new();
        frame.write_to(&mut out).unwrap();
        self.bytes(&out).await;
    }

    /// Writes bytes; a connection that has ended is not an error here.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ =
            timeout(PATIENCE * 3, self.writer.write_all(bytes)).await.expect("the relay reads nothing more");
    }

    /// Writes as much as the relay takes within a time; the bytes it took.
    pub async fn bytes_within(&mut self, bytes: &[u8], limit: Duration) -> usize {
        let mut written = 0;
        let _ = timeout(limit, async {
            while let Ok(count @ 1..) = self.writer.write(&bytes[written..]).await {
                written += count;
            }
        })
        .await;
        written
    }

    /// Makes a hole of one byte in the stream: `holes` are those of this session's connection.
    pub async fn skip_byte(&mut self, holes: &super::Holes) {
        let (sent, spoilt) = (self.connection.stats().frame_tx.stream, holes.spoilt());
        holes.set(true);
        self.bytes(&[0]).await;
        let gone = async {
            while self.connection.stats().frame_tx.stream == sent || holes.spoilt() == spoilt {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the byte does not leave");
        holes.set(false);
    }

    /// Reads to the end, within `limit`; `None` when the relay did not end the session.
    pub async fn ending(&mut self, limit: Duration) -> Option<Ending> {
        let mut ending = Ending::default();
        timeout(limit, async {
            while let Some(frame) = self.next_frame().await {
                ending.frames += 1;
                match FromRelay::from_raw(&frame) {
                    Ok(FromRelay::Response(_, Response::Error(error))) => ending.error = Some(error.code),
                    Ok(FromRelay::Push(Push::Closing(closing))) => ending.reason = Some(closing.reason),
                    _ => {}
                }
            }
        })
        .await
        .ok()?;
        Some(ending)
    }

    /// What is in the mailbox after `after`, one page.
    pub async fn fetch(&mut self, after: u64) -> MailboxPage {
        match self.ask(Request::MailboxFetch(MailboxFetch { after, max: 48 })).await {
            Response::MailboxPage(page) => page,
            other => panic!("{other:?}"),
        }
    }
}

/// An `EnvelopeSend` of envelopes of `bytes` bytes to device 1 of somebody.
pub fn envelopes(to: &Username, list_version: u64, ids: &[u128], bytes: usize) -> Request {
    let envelopes = ids.iter().map(|id| OutgoingEnvelope {
        id: EnvelopeId::from_bytes(id.to_le_bytes()),
        sealed: BoundedBytes::new(vec![id.to_le_bytes()[0]; bytes]).unwrap(),
    });
    Request::EnvelopeSend(EnvelopeSend {
        to: to.clone(),
        device: DeviceId::new(1).unwrap(),
        list_version,
        generation: 0,
        envelopes: BoundedVec::new(envelopes.collect()).ok().unwrap(),
    })
}

/// The code of a refusal.
#[track_caller]
pub fn refused(response: &Response) -> &ErrorFrame {
    match response {
        Response::Error(error) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
