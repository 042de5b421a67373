//! A client that speaks frames, over anything.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::BytesMut;
use subrosa_protocol::{ErrorCode, FrameDecoder, RawFrame, frames::*};
use subrosa_server::{Network, Relay};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::person::{Device, Person};

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Client {
    pub exporter: [u8; 32],
    pub nonce: [u8; 32],
    pub policy: RegistrationPolicy,
    /// Pushes that came while something else was awaited.
    pub pushes: VecDeque<Push>,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    input: BytesMut,
    next_id: u32,
    /// Whatever must live as long as the connection.
    pub held: Option<Box<dyn std::any::Any + Send>>,
}

impl Client {
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        exporter: [u8; 32],
    ) -> Self {
        Self {
            exporter,
            nonce: [0; 32],
            policy: RegistrationPolicy::Closed,
            pushes: VecDeque::new(),
            reader: Box::new(reader),
            writer: Box::new(writer),
            input: BytesMut::new(),
            next_id: 1,
            held: None,
        }
    }

    /// A connection in memory, from a network of its own, without hellos.
    pub fn raw(relay: &Relay) -> Self {
        static NETWORKS: AtomicU64 = AtomicU64::new(1 << 32);
        Self::raw_from(relay, NETWORKS.fetch_add(1, Ordering::Relaxed)).unwrap()
    }

    /// A connection in memory from a network, without hellos; `None` when the relay turns it away.
    pub fn raw_from(relay: &Relay, network: u64) -> Option<Self> {
        let (ours, theirs) = tokio::io::duplex(256 * 1024);
        let exporter = super::random();
        let (reader, writer) = tokio::io::split(theirs);
        relay.attach(reader, writer, exporter, Network::local(network)).ok()?;
        let (reader, writer) = tokio::io::split(ours);
        Some(Self::new(reader, writer, exporter))
    }

    /// A connection in memory that has said hello.
    pub async fn connect(relay: &Relay) -> Self {
        let mut client = Self::raw(relay);
        client.hello().await;
        client
    }

    pub async fn connect_from(relay: &Relay, network: u64) -> Self {
        let mut client = Self::raw_from(relay, network).expect("turned away");
        client.hello().await;
        client
    }

    /// A connection of a device.
    pub async fn of(relay: &Relay, person: &Person, device: u32) -> Self {
        let mut client = Self::connect(relay).await;
        client.authenticate(person, device).await;
        client
    }

    pub async fn hello(&mut self) {
        let hello = ClientFirst::Hello(ClientHello { min_version: 1, max_version: 1, features: 0 });
        self.write(&hello.to_raw(0).unwrap()).await;
        match RelayFirst::from_raw(&self.frame().await.expect("no hello")).unwrap() {
            RelayFirst::Hello(hello) => {
                assert_eq!(hello.version, 1);
                self.nonce = hello.nonce;
                self.policy = hello.registration;
            }
            RelayFirst::Error(error) => panic!("{error:?}"),
        }
    }

    pub async fn authenticate(&mut self, person: &Person, device: u32) -> Authenticated {
        let proof = person.authenticate(device, &self.exporter, &self.nonce);
        match self.pre(PreAuthRequest::Authenticate(proof)).await {
            Response::Authenticated(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    // --- requests -----------------------------------------------------------------------------------------------

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

    /// The answer to a request; pushes are kept.
    pub async fn answer(&mut self, id: u32) -> Response {
        loop {
            match self.heard().await.expect("the connection ended") {
                FromRelay::Response(of, response) if of == id => return response,
                FromRelay::Push(push) => self.pushes.push_back(push),
                other => panic!("expected an answer to {id}, got {other:?}"),
            }
        }
    }

    /// Asks, and expects to be refused.
    pub async fn refused(&mut self, request: Request) -> ErrorFrame {
        refusal(self.ask(request).await)
    }

    pub async fn pre_refused(&mut self, request: PreAuthRequest) -> ErrorFrame {
        refusal(self.pre(request).await)
    }

    // --- pushes and the end ---------------------------------------------------------------------------------------

    /// The next push.
    pub async fn push(&mut self) -> Push {
        if let Some(push) = self.pushes.pop_front() {
            return push;
        }
        match self.heard().await.expect("the connection ended") {
            FromRelay::Push(push) => push,
            other => panic!("expected a push, got {other:?}"),
        }
    }

    /// Whether nothing comes for a while.
    pub async fn is_quiet(&mut self) -> bool {
        self.pushes.is_empty() && timeout(Duration::from_millis(300), self.heard()).await.is_err()
    }

    /// Reads to the end: the reason given, if any. Answers and other pushes are passed over.
    pub async fn closing(&mut self) -> Option<CloseReason> {
        let mut reason = None;
        let kept = std::mem::take(&mut self.pushes);
        for push in kept {
            if let Push::Closing(closing) = push {
                reason = Some(closing.reason);
            }
        }
        while let Some(heard) = self.heard().await {
            if let FromRelay::Push(Push::Closing(closing)) = heard {
                reason = Some(closing.reason);
            }
        }
        reason
    }

    // --- frames and bytes -------------------------------------------------------------------------------------------

    pub fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The next thing the relay says; `None` at the end.
    pub async fn heard(&mut self) -> Option<FromRelay> {
        self.frame().await.map(|frame| FromRelay::from_raw(&frame).unwrap())
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<RawFrame> {
        timeout(PATIENCE, async {
            loop {
                if let Some(frame) = FrameDecoder::authenticated().next_frame(&mut self.input).unwrap() {
                    return Some(frame);
                }
                match self.reader.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("the relay says nothing")
    }

    pub async fn write(&mut self, frame: &RawFrame) {
        let mut out = BytesMut::new();
        frame.write_to(&mut out).unwrap();
        self.bytes(&out).await;
    }

    /// Writes bytes; a connection that has ended is not an error here.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
        let _ = self.writer.flush().await;
    }

    /// Ends the client's side.
    pub async fn shut(&mut self) {
        let _ = self.writer.shutdown().await;
    }

    // --- whole steps ---------------------------------------------------------------------------------------------------

    /// Registers a person; the answer to the last step.
    pub async fn register(&mut self, person: &Person, invite: Option<[u8; 16]>) -> Response {
        let start = RegisterStart {
            account: person.name.clone(),
            invite: invite.map(Into::into),
            opaque: person.opaque_request().try_into_bounded(),
        };
        match self.pre(PreAuthRequest::RegisterStart(start)).await {
            Response::RegisterChallenge(_) => {}
            other => return other,
        }
        self.stage(person, 1, person.ec_ids(), person.kem_ids()).await;
        let finish = person.register_finish(&self.exporter, &self.nonce);
        self.pre(PreAuthRequest::RegisterFinish(finish)).await
    }

    /// Stages one-time prekeys of a device.
    pub async fn stage(&mut self, person: &Person, device: u32, ec: Vec<u32>, kem: Vec<u32>) {
        for ids in ec.chunks(60) {
            let one_time = BoundedFrom::bounded(ids.iter().map(|id| person.ec(device, *id)).collect());
            let staged = StagePrekeys { one_time, kem: Default::default() };
            assert!(matches!(self.pre(PreAuthRequest::StagePrekeys(staged)).await, Response::Done(_)));
        }
        for ids in kem.chunks(6) {
            let kem = BoundedFrom::bounded(ids.iter().map(|id| person.kem(device, *id)).collect());
            let staged = StagePrekeys { one_time: Default::default(), kem };
            assert!(matches!(self.pre(PreAuthRequest::StagePrekeys(staged)).await, Response::Done(_)));
        }
    }

    /// Sends envelopes.
    pub async fn send_envelopes(&mut self, to: &Person, device: u32, ids: &[u128]) -> Response {
        let send = envelopes(to, device, ids);
        self.ask(send).await
    }

    pub async fn fetch(&mut self, after: u64) -> MailboxPage {
        match self.ask(Request::MailboxFetch(MailboxFetch { after, max: 48 })).await {
            Response::MailboxPage(page) => page,
            other => panic!("{other:?}"),
        }
    }

    pub async fn acknowledge(&mut self, up_to: u64) {
        let ack = Request::MailboxAck(MailboxAck { up_to, generation: 0 });
        assert!(matches!(self.ask(ack).await, Response::Done(_)));
    }
}

/// An `EnvelopeSend` of small envelopes whose ciphertexts are their ids.
pub fn envelopes(to: &Person, device: u32, ids: &[u128]) -> Request {
    let envelopes = ids
        .iter()
        .map(|id| OutgoingEnvelope {
            id: subrosa_protocol::EnvelopeId::from_bytes(id.to_le_bytes()),
            sealed: subrosa_protocol::BoundedBytes::new(id.to_le_bytes().repeat(8)).unwrap(),
        })
        .collect();
    Request::EnvelopeSend(EnvelopeSend {
        to: to.name.clone(),
        device: Device::id(device),
        list_version: to.list.version,
        generation: 1,
        envelopes: BoundedFrom::bounded(envelopes),
    })
}

pub fn refusal(response: Response) -> ErrorFrame {
    match response {
        Response::Error(error) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub fn code(response: Response) -> ErrorCode {
    refusal(response).code
}

/// From a list to a bounded one.
pub trait BoundedFrom<T> {
    fn bounded(items: Vec<T>) -> Self;
}

impl<T, const MAX: usize> BoundedFrom<T> for subrosa_protocol::BoundedVec<T, MAX> {
    fn bounded(items: Vec<T>) -> Self {
        Self::new(items).ok().unwrap()
    }
}

/// From bytes to bounded ones.
pub trait IntoBounded {
    fn try_into_bounded<const MAX: usize>(self) -> subrosa_protocol::BoundedBytes<MAX>;
}

impl IntoBounded for Vec<u8> {
    fn try_into_bounded<const MAX: usize>(self) -> subrosa_protocol::BoundedBytes<MAX> {
        subrosa_protocol::BoundedBytes::new(self).unwrap()
    }
}
