//! A client that speaks frames and treats sealed bytes as opaque. Reading and writing are two halves, so that a task can
//! own each.

use std::net::SocketAddr;

use bytes::BytesMut;
use getrandom::SysRng;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rand_core::UnwrapErr;
use subrosa_protocol::{
    FrameDecoder, RawFrame,
    frames::{
        Authenticated, ClientFirst, ClientHello, FromRelay, MailboxFetch, PreAuthRequest, RelayFirst,
        Request, Response,
    },
    version::EXPORTER_LABEL,
};

use crate::person::Person;

/// The system's randomness.
pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A connection to a relay.
pub struct Client {
    /// The QUIC connection.
    pub connection: Connection,
    /// The TLS exporter value.
    pub exporter: [u8; 32],
    /// The relay's nonce.
    pub nonce: [u8; 32],
    /// Frames to the relay.
    pub writer: Writer,
    /// Frames from the relay.
    pub reader: Reader,
}

/// Frames to the relay.
pub struct Writer {
    stream: SendStream,
    buffer: BytesMut,
    next_id: u32,
}

/// Frames from the relay.
pub struct Reader {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Writer {
    /// Sends a request.
    pub async fn send(&mut self, request: &Request) -> u32 {
        self.next_id += 1;
        let id = self.next_id;
        self.frame(&request.to_raw(id).unwrap()).await;
        id
    }

    async fn frame(&mut self, frame: &RawFrame) {
        frame.write_to(&mut self.buffer).unwrap();
        self.stream.write_all(&self.buffer).await.unwrap();
        self.buffer.clear();
    }
}

impl Reader {
    /// The next thing the relay says.
    pub async fn next(&mut self) -> FromRelay {
        FromRelay::from_raw(&self.frame().await).unwrap()
    }

    async fn frame(&mut self) -> RawFrame {
        loop {
            if let Some(frame) = FrameDecoder::authenticated().next_frame(&mut self.buffer).unwrap() {
                return frame;
            }
            let chunk = self.stream.read_chunk(64 * 1024, true).await.unwrap();
            self.buffer.extend_from_slice(&chunk.expect("the relay ended the stream").bytes);
        }
    }
}

impl Client {
    /// Connects and says hello.
    pub async fn connect(endpoint: &Endpoint, to: SocketAddr) -> Self {
        let connection = endpoint.connect(to, "relay").unwrap().await.unwrap();
        let mut exporter = [0; 32];
        connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").unwrap();
        let (stream, recv) = connection.open_bi().await.unwrap();
        let writer = Writer { stream, buffer: BytesMut::new(), next_id: 0 };
        let reader = Reader { stream: recv, buffer: BytesMut::new() };
        let mut client = Self { connection, exporter, nonce: [0; 32], writer, reader };
        let hello = ClientFirst::Hello(ClientHello { min_version: 1, max_version: 1, features: 0 });
        client.writer.frame(&hello.to_raw(0).unwrap()).await;
        match RelayFirst::from_raw(&client.reader.frame().await).unwrap() {
            RelayFirst::Hello(hello) => client.nonce = hello.nonce,
            RelayFirst::Error(error) => panic!("{error:?}"),
        }
        client
    }

    /// Connects and authenticates.
    pub async fn of(endpoint: &Endpoint, to: SocketAddr, person: &Person) -> (Self, Authenticated) {
        let mut client = Self::connect(endpoint, to).await;
        let proof = person.proof(&client);
        match client.pre(PreAuthRequest::Authenticate(proof)).await {
            Response::Authenticated(answer) => (client, answer),
            other => panic!("{other:?}"),
        }
    }

    /// Asks before authentication and awaits the answer.
    pub async fn pre(&mut self, request: PreAuthRequest) -> Response {
        self.writer.next_id += 1;
        let id = self.writer.next_id;
        self.writer.frame(&request.to_raw(id).unwrap()).await;
        self.answer(id).await
    }

    /// Asks and awaits the answer; pushes are passed over.
    pub async fn ask(&mut self, request: &Request) -> Response {
        let id = self.writer.send(request).await;
        self.answer(id).await
    }

    /// Fetches a page of the mailbox: what a client does first.
    pub async fn sync(&mut self) {
        let fetch = Request::MailboxFetch(MailboxFetch { after: 0, max: 48 });
        match self.ask(&fetch).await {
            Response::MailboxPage(_) => {}
            other => panic!("{other:?}"),
        }
    }

    async fn answer(&mut self, id: u32) -> Response {
        loop {
            match self.reader.next().await {
                FromRelay::Response(of, response) if of == id => return response,
                FromRelay::Response(..) => panic!("another answer than the awaited one"),
                FromRelay::Push(_) | FromRelay::Skipped(_) => {}
            }
        }
    }
}
