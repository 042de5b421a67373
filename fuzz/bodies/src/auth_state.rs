//! `auth_state`: a connection of a real relay, over a pipe in memory, with any sequence of frames.
//!
//! Input: steps of one byte and what they need: a hello, the right proof, nearly right proofs (altered, of another
//! connection, another account, another device, another label), requests of every state, frames of any kind, raw bytes.
//!
//! - `Authenticated` is said exactly when a right proof was sent in the right state, and at most once a connection.
//! - Until then every request of an authenticated device is refused, and nothing is pushed but the end.
//! - Every request that can be read is answered once, under its id.
//! - No connection ends by a panic (R9); the third wrong proof ends it (R8).

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, FrameDecoder, RawFrame, Username,
    frames::{
        Authenticate, ClientFirst, ClientHello, CloseReason, DeviceListFetch, Empty, FromRelay, LoginFinish,
        LoginStart, MailboxAck, MailboxFetch, PreAuthRequest, PrekeyClaim, Push, Reauthenticate,
        RegisterStart, RelayFirst, Request, Response, SignedList,
    },
};
use subrosa_server::{
    Config, Limits, Network, Registration, Relay,
    store::{
        self, ListVersion, NewDevice, NewPrekey, NewPrekeys, Registered, SqliteStore, Store,
        sqlite::SqliteOptions,
    },
};
use subrosa_verify::{
    auth::{AuthTranscript, RegistrationTranscript},
    device_list::DeviceList,
    prekey::PrekeyKind,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Runtime,
    time::timeout,
};

use crate::{
    party::{DEVICE, Device, devices},
    rng::SeededRng,
    script::Script,
};

const MAX_STEPS: usize = 40;
/// Room for everything a script can cause in one direction.
const PIPE: usize = 1 << 20;
/// What a relay may take for an answer, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);
const FAILED_PROOFS: u32 = 3;

/// A relay with the two accounts, for all inputs of a process.
struct Stage {
    runtime: Runtime,
    relay: Relay,
    connections: u64,
    /// A proof that was right on an earlier connection.
    used_proof: Option<Authenticate>,
    _dir: tempfile::TempDir,
}

/// Starts the relay.
pub fn prepare() {
    stage();
}

/// One input.
pub fn run(data: &[u8]) {
    let mut stage = stage().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Stage { runtime, relay, connections, used_proof, .. } = &mut *stage;
    *connections += 1;
    let number = *connections;
    runtime.block_on(async {
        let mut connection = Connection::open(relay, number, used_proof.clone());
        connection.play(&mut Script::new(data)).await;
        connection.end().await;
        if connection.proof_worked {
            used_proof.clone_from(&connection.proof);
        }
        assert!(
            relay.metrics().contains("\nrosad_panics_total 0\n"),
            "R9: a connection of the relay panicked"
        );
    });
}

fn stage() -> &'static Mutex<Stage> {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    STAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let relay = runtime.block_on(relay(dir.path()));
        Mutex::new(Stage { runtime, relay, connections: 0, used_proof: None, _dir: dir })
    })
}

async fn relay(dir: &std::path::Path) -> Relay {
    let store =
        SqliteStore::open(&dir.join("accounts.db"), SqliteOptions { readers: 1, ..Default::default() });
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let config = Config {
        registration: Registration::Open,
        limits: Limits { lift_rates: true, unauthenticated_timeout_s: 3600, ..Limits::default() },
        ..Config::loopback(dir.join("data"))
    };
    let relay = Relay::start_with(config, Arc::clone(&store)).await.unwrap();
    for device in devices() {
        assert_eq!(store.register(registration(device)).await.unwrap(), Registered::Done);
    }
    relay
}

fn registration(device: &Device) -> store::Registration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u64::try_from(since.as_millis()).unwrap();
    let list = DeviceList {
        account: device.account.into(),
        account_key: device.account_secret.public(),
        version: 1,
        prev_hash: [0; 32],
        next_device_id: DEVICE + 1,
        devices: vec![device.secrets.entry(DEVICE, now)],
    };
    let signed = device.account_secret.sign_device_list(&list).unwrap();
    let bytes = |kind| device.prekey(kind, 1).to_bytes();
    let ec = |kind| NewPrekey { key_id: 1, bytes: ByteArray::new(bytes(kind).try_into().unwrap()) };
    let kem = |kind| NewPrekey { key_id: 1, bytes: ByteArray::new(bytes(kind).try_into().unwrap()) };
    store::Registration {
        account: Username::new(device.account).unwrap(),
        display_name: BoundedStr::new(device.account).unwrap(),
        account_key: device.account_secret.public(),
        opaque_record: vec![1; 192],
        list: ListVersion {
            version: 1,
            devices: vec![device_id(DEVICE)],
            signed: SignedList {
                bytes: BoundedBytes::new(signed.bytes).unwrap(),
                signature: ByteArray::new(signed.signature),
            },
        },
        device: NewDevice {
            device: device_id(DEVICE),
            signing_key: device.secrets.verifying_key().0,
            prekeys: NewPrekeys {
                signed: ec(PrekeyKind::SignedEc),
                last_resort: kem(PrekeyKind::LastResortKem),
                one_time: vec![ec(PrekeyKind::OneTimeEc)],
                kem: vec![kem(PrekeyKind::OneTimeKem)],
            },
        },
        invite: None,
        now,
    }
}

fn device_id(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}

/// What the relay must think of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Unauthenticated,
    Authenticated,
    /// The relay has ended it.
    Ended,
    /// Raw bytes were sent; what the relay reads on is anybody's guess, but it is not a right proof.
    Unknown,
}

struct Connection {
    pipe: DuplexStream,
    input: BytesMut,
    exporter: [u8; 32],
    nonce: [u8; 32],
    state: State,
    next_id: u32,
    failed_proofs: u32,
    /// The right proof, once the nonce is known.
    proof: Option<Authenticate>,
    proof_worked: bool,
    /// One of an earlier connection.
    used_proof: Option<Authenticate>,
}

impl Connection {
    fn open(relay: &Relay, number: u64, used_proof: Option<Authenticate>) -> Self {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let mut exporter = [0; 32];
        let mut rng = SeededRng::new(number);
        exporter.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.number().to_le_bytes()));
        let (reader, writer) = tokio::io::split(theirs);
        assert!(relay.attach(reader, writer, exporter, Network::local(number)).is_ok(), "turned away");
        Self {
            pipe: ours,
            input: BytesMut::new(),
            exporter,
            nonce: [0; 32],
            state: State::Fresh,
            next_id: 1,
            failed_proofs: 0,
            proof: None,
            proof_worked: false,
            used_proof,
        }
    }

    async fn play(&mut self, script: &mut Script<'_>) {
        for _ in 0..MAX_STEPS {
            if matches!(self.state, State::Ended | State::Unknown) {
                break;
            }
            let Some(step) = script.next_byte() else { break };
            match step % 16 {
                0 | 1 => self.hello(script).await,
                2 | 3 => {
                    let proof = self.proof(0, self.exporter, self.nonce, DEVICE);
                    self.prove(proof).await;
                }
                4..8 => {
                    let proof = self.wrong_proof(script);
                    self.prove(proof).await;
                }
                8 | 9 => {
                    let request = request(script).to_raw(self.id()).unwrap();
                    self.ask(&request).await;
                }
                10 | 11 => {
                    let request = pre_auth_request(script).to_raw(self.id()).unwrap();
                    self.ask(&request).await;
                }
                12 | 13 => {
                    let kinds = PreAuthRequest::KINDS.iter().chain(Request::KINDS).chain(Response::KINDS);
                    let kinds: Vec<u16> = kinds.map(|(kind, _)| *kind).chain([1, 2, 0x7fff]).collect();
                    let kind = kinds[script.below(kinds.len())];
                    let len = usize::from(script.byte());
                    let body = script.take(len).to_vec().into();
                    let frame = RawFrame { kind, flags: script.byte() & 1, id: self.id(), body };
                    self.ask(&frame).await;
                }
                _ => {
                    let len = usize::from(script.byte());
                    let bytes = script.take(len);
                    if !bytes.is_empty() {
                        let _ = self.pipe.write_all(bytes).await;
                        self.state = State::Unknown;
                    }
                }
            }
        }
    }

    async fn hello(&mut self, script: &mut Script<'_>) {
        let versions = script.byte();
        let (min_version, max_version) = match versions % 4 {
            0..3 => (1, 1 + u16::from(versions >> 4)),
            _ => (2, 9),
        };
        let hello =
            ClientFirst::Hello(ClientHello { min_version, max_version, features: script.byte().into() });
        let id = self.id();
        let frame = hello.to_raw(id).unwrap();
        if self.state != State::Fresh {
            return self.ask(&frame).await;
        }
        self.write(&frame).await;
        let answer = self.frame().await.expect("a hello is answered");
        match RelayFirst::from_raw(&answer).unwrap() {
            RelayFirst::Hello(hello) => {
                assert!(min_version == 1 && hello.version == 1);
                self.nonce = hello.nonce;
                self.proof = Some(self.proof(0, self.exporter, self.nonce, DEVICE));
                self.state = State::Unauthenticated;
            }
            RelayFirst::Error(_) => {
                assert_eq!(min_version, 2);
                self.state = State::Ended;
            }
        }
    }

    /// A proof by device 1 of an account.
    fn proof(&self, who: usize, exporter: [u8; 32], nonce: [u8; 32], device_id: u32) -> Authenticate {
        let device = &devices()[who];
        let transcript = AuthTranscript { exporter, nonce, account: device.account, device_id };
        Authenticate {
            account: Username::new(device.account).unwrap(),
            device: DeviceId::new(device_id).unwrap(),
            signature: ByteArray::new(device.secrets.sign_auth(&transcript)),
        }
    }

    /// A proof that differs from every right one.
    fn wrong_proof(&self, script: &mut Script<'_>) -> Authenticate {
        let right = self.proof(0, self.exporter, self.nonce, DEVICE);
        let mut other = [0; 32];
        other.copy_from_slice(&[script.byte(); 32]);
        match script.byte() % 9 {
            0 => self.proof(0, self.exporter, other, DEVICE),
            1 => self.proof(0, other, self.nonce, DEVICE),
            2 => self.proof(0, self.exporter, self.nonce, DEVICE + 1 + u32::from(script.byte())),
            3 => Authenticate { account: Username::new(devices()[1].account).unwrap(), ..right },
            4 => Authenticate { account: Username::new("nobody").unwrap(), ..right },
            5 => Authenticate { device: device_id(DEVICE + 1), ..right },
            6 => self
                .used_proof
                .clone()
                .unwrap_or(Authenticate { signature: ByteArray::new([0; 64]), ..right }),
            7 => {
                // The account key's signature over the same connection, for another purpose.
                let transcript = RegistrationTranscript {
                    exporter: self.exporter,
                    nonce: self.nonce,
                    account: devices()[0].account,
                    device_list_sha256: other,
                };
                let signature = devices()[0].account_secret.sign_registration(&transcript);
                Authenticate { signature: ByteArray::new(signature), ..right }
            }
            _ => {
                let mut signature = *right.signature;
                signature[script.below(64)] ^= script.byte().max(1);
                Authenticate { signature: ByteArray::new(signature), ..right }
            }
        }
    }

    /// Sends a proof and judges the answer.
    async fn prove(&mut self, proof: Authenticate) {
        let right = self.proof.as_ref() == Some(&proof);
        let frame = PreAuthRequest::Authenticate(proof).to_raw(self.id()).unwrap();
        if self.state == State::Unauthenticated && right {
            self.write(&frame).await;
            let answer = self.answer(frame.id).await.expect("a right proof is answered");
            assert!(matches!(answer, Response::Authenticated(_)), "a right proof is refused: {answer:?}");
            self.state = State::Authenticated;
            self.proof_worked = true;
            return;
        }
        let unauthenticated = self.state == State::Unauthenticated;
        self.ask(&frame).await;
        if unauthenticated {
            self.failed_proofs += 1;
            if self.failed_proofs >= FAILED_PROOFS {
                assert_eq!(
                    self.heard().await,
                    Some(closing(CloseReason::Abuse)),
                    "R8: the third wrong proof"
                );
                self.state = State::Ended;
            }
        }
    }

    /// Sends a frame that is no right proof, and judges what comes.
    async fn ask(&mut self, frame: &RawFrame) {
        self.write(frame).await;
        match self.state {
            State::Fresh => {
                let answer = self.frame().await.expect("an answer");
                let refused = matches!(RelayFirst::from_raw(&answer), Ok(RelayFirst::Error(_)));
                if refused {
                    self.state = State::Ended;
                } else {
                    // A frame of any kind that happens to be a hello.
                    assert_eq!(frame.kind, 1, "only a hello goes on");
                    self.state = State::Unknown;
                }
            }
            State::Unauthenticated | State::Authenticated => {
                let known = |kinds: &[(u16, &str)]| kinds.iter().any(|(kind, _)| *kind == frame.kind);
                let before = known(PreAuthRequest::KINDS);
                let after = known(Request::KINDS);
                // An unknown kind that may be skipped is.
                let hello = frame.kind == 1 && self.state == State::Authenticated;
                if !before && !after && !hello && frame.is_optional() {
                    return;
                }
                let answer = self.answer(frame.id).await.expect("a request is answered");
                assert!(!matches!(answer, Response::Authenticated(_)), "authenticated without a right proof");
                let allowed = if self.state == State::Authenticated { after } else { before };
                assert!(allowed || matches!(answer, Response::Error(_)), "{answer:?} in {:?}", self.state);
            }
            State::Ended | State::Unknown => {}
        }
    }

    /// Ends this side and reads what is left to read.
    async fn end(&mut self) {
        let _ = self.pipe.shutdown().await;
        while let Some(frame) = self.frame().await {
            let authenticated =
                matches!(FromRelay::from_raw(&frame), Ok(FromRelay::Response(_, Response::Authenticated(_))));
            assert!(!authenticated, "authenticated by raw bytes");
            if let (false, Ok(FromRelay::Push(push))) = (self.proof_worked, FromRelay::from_raw(&frame)) {
                assert!(matches!(push, Push::Closing(_)), "{push:?} is pushed to nobody");
            }
        }
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    async fn write(&mut self, frame: &RawFrame) {
        let mut out = BytesMut::new();
        frame.write_to(&mut out).unwrap();
        let _ = self.pipe.write_all(&out).await;
    }

    async fn answer(&mut self, id: u32) -> Option<Response> {
        loop {
            match self.heard().await? {
                FromRelay::Response(of, response) => {
                    assert_eq!(of, id, "an answer to another request");
                    return Some(response);
                }
                FromRelay::Push(_) if self.proof_worked => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn heard(&mut self) -> Option<FromRelay> {
        self.frame().await.map(|frame| FromRelay::from_raw(&frame).unwrap())
    }

    async fn frame(&mut self) -> Option<RawFrame> {
        let reading = async {
            loop {
                if let Some(frame) = FrameDecoder::authenticated().next_frame(&mut self.input).unwrap() {
                    return Some(frame);
                }
                if !matches!(self.pipe.read_buf(&mut self.input).await, Ok(1..)) {
                    return None;
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("the relay neither answers nor ends")
    }
}

fn closing(reason: CloseReason) -> FromRelay {
    FromRelay::Push(Push::Closing(subrosa_protocol::frames::Closing { reason }))
}

/// A request of an authenticated device that changes little.
fn request(script: &mut Script<'_>) -> Request {
    let account = Username::new(devices()[script.below(2)].account).unwrap();
    match script.byte() % 6 {
        0 => Request::PrekeyStatus(Empty {}),
        1 => Request::MailboxFetch(MailboxFetch { after: script.byte().into(), max: script.u16() }),
        2 => Request::DeviceListFetch(DeviceListFetch { account, since: script.byte().into() }),
        3 => {
            let devices = BoundedVec::new(vec![device_id(1 + u32::from(script.byte()))]).unwrap();
            Request::PrekeyClaim(PrekeyClaim { account, devices })
        }
        4 => Request::Reauthenticate(Reauthenticate { signature: ByteArray::new([script.byte(); 64]) }),
        _ => Request::MailboxAck(MailboxAck { up_to: script.byte().into(), generation: 0 }),
    }
}

fn pre_auth_request(script: &mut Script<'_>) -> PreAuthRequest {
    let account = Username::new(devices()[script.below(2)].account).unwrap();
    let opaque = |script: &mut Script<'_>| {
        let len = usize::from(script.byte());
        BoundedBytes::new(script.take(len).to_vec()).unwrap()
    };
    match script.byte() % 3 {
        0 => PreAuthRequest::RegisterStart(RegisterStart { account, invite: None, opaque: opaque(script) }),
        1 => PreAuthRequest::LoginStart(LoginStart { account, opaque: opaque(script) }),
        _ => PreAuthRequest::LoginFinish(LoginFinish { opaque: opaque(script), renew: None }),
    }
}
