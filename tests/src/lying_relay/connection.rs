//! One connection (docs/PROTOCOL.md, 1.4): *fresh*, *unauthenticated*, *authenticated*.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};
use subrosa_protocol::{
    BoundedBytes, ErrorCode, FrameDecoder, RawFrame,
    frames::{
        Authenticate, Authenticated, ClientFirst, DeviceAdd, ErrorFrame, KemPrekeyBytes, LoginChallenge,
        LoginFinish, LoginGranted, LoginStart, PreAuthRequest, PrekeyBytes, Prekeys, RegisterChallenge,
        RegisterFinish, RegisterStart, RegistrationPolicy, RelayFirst, RelayHello, Request, Response,
    },
    version::{EXPORTER_LABEL, FEATURES, negotiate},
};
use subrosa_verify::{
    auth::{AuthTranscript, RegistrationTranscript, verify_auth, verify_registration},
    device_list::DeviceList,
    keys::VerifyingKey,
    opaque::LoginState,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Place, Say, State, now, random, rng,
    state::{Device, done, error, signed, wire},
};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Serves one connection until it ends.
pub(super) async fn serve(incoming: Incoming, state: Arc<Mutex<State>>) {
    let Ok(connection) = incoming.await else { return };
    let Ok((send, receive)) = connection.accept_bi().await else { return };
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, EXPORTER_LABEL, &[]).unwrap();
    let (out, said) = unbounded_channel();
    let writer = tokio::spawn(write(connection.clone(), send, said));
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut served = Served { id, state, out, exporter, nonce: random(), phase: Phase::Fresh };
    served.read(receive).await;
    served.lock().connected.remove(&id);
    drop(served);
    let _ = writer.await;
}

async fn write(connection: Connection, mut send: SendStream, mut said: UnboundedReceiver<Say>) {
    while let Some(say) = said.recv().await {
        let written = match say {
            Say::Bytes(bytes) => send.write_all(&bytes).await,
            Say::Slowly(bytes, pause) => slowly(&mut send, &bytes, pause).await,
            Say::Close(code, reason) => {
                connection.close(VarInt::from_u32(code), &reason);
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
    let _ = send.finish();
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.closed()).await;
}

async fn slowly(send: &mut SendStream, bytes: &[u8], pause: Duration) -> Result<(), quinn::WriteError> {
    for byte in bytes {
        tokio::time::sleep(pause).await;
        send.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// What was handed over before it is used.
#[derive(Default)]
struct Staged {
    one_time: Vec<PrekeyBytes>,
    kem: Vec<KemPrekeyBytes>,
}

/// How far a registration or a login is.
enum Attempt {
    None,
    Registering(String),
    LoggingIn(String, Box<LoginState>),
    Granted(String),
}

enum Phase {
    Fresh,
    Unauthenticated(Attempt, Staged),
    Authenticated(Place),
}

struct Served {
    id: u64,
    state: Arc<Mutex<State>>,
    out: UnboundedSender<Say>,
    exporter: [u8; 32],
    nonce: [u8; 32],
    phase: Phase,
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn read(&mut self, mut receive: RecvStream) {
        let mut buffer = BytesMut::new();
        loop {
            let decoder = match self.phase {
                Phase::Authenticated(_) => FrameDecoder::authenticated(),
                _ => FrameDecoder::unauthenticated(),
            };
            match decoder.next_frame(&mut buffer) {
                Ok(Some(frame)) => self.on_frame(&frame),
                Ok(None) => match receive.read_chunk(1 << 16, true).await {
                    Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
                    _ => return,
                },
                Err(wrong) => {
                    let frame = ErrorFrame::new(ErrorCode::BadRequest, &wrong.to_string());
                    self.say(vec![Say::answer(0, &Response::Error(frame)), Say::Close(1, Vec::new())]);
                    return;
                }
            }
        }
    }

    fn say(&self, said: Vec<Say>) {
        for say in said {
            // The writer may have ended with its connection.
            let _ = self.out.send(say);
        }
    }

    fn on_frame(&mut self, frame: &RawFrame) {
        let said = match &self.phase {
            Phase::Fresh => self.on_hello(frame),
            Phase::Unauthenticated(..) => self.on_early(frame),
            Phase::Authenticated(place) => {
                let place = place.clone();
                self.on_request(&place, frame)
            }
        };
        self.say(said);
    }

    fn on_hello(&mut self, frame: &RawFrame) -> Vec<Say> {
        let Ok(ClientFirst::Hello(hello)) = ClientFirst::from_raw(frame) else {
            return vec![Say::answer(0, &error(ErrorCode::BadRequest)), Say::Close(1, Vec::new())];
        };
        let Ok(version) = negotiate(hello.min_version, hello.max_version) else {
            let frame = ErrorFrame::new(ErrorCode::UnsupportedVersion, "");
            let refusal = RelayFirst::Error(frame).to_raw(0).unwrap();
            return vec![Say::frame(&refusal), Say::Close(1, Vec::new())];
        };
        self.phase = Phase::Unauthenticated(Attempt::None, Staged::default());
        let hello = RelayHello {
            version,
            features: hello.features & FEATURES,
            nonce: self.nonce,
            registration: RegistrationPolicy::Open,
        };
        let mut state = self.lock();
        state.hellos += 1;
        state.connected.insert(self.id, (None, self.out.clone()));
        match state.lies.hello.as_mut() {
            Some(lie) => lie(hello),
            None => vec![Say::hello(hello)],
        }
    }

    fn on_early(&mut self, frame: &RawFrame) -> Vec<Say> {
        let Ok(request) = PreAuthRequest::from_raw(frame) else {
            return vec![Say::answer(frame.id, &error(ErrorCode::BadRequest))];
        };
        let response = self.early(&request);
        let mut state = self.lock();
        *state.asked.entry(request.name()).or_default() += 1;
        match state.lies.before.take() {
            Some(mut lie) => {
                let said = lie(&mut state, frame.id, &request, response);
                state.lies.before.get_or_insert(lie);
                said
            }
            None => vec![Say::answer(frame.id, &response)],
        }
    }

    fn on_request(&self, place: &Place, frame: &RawFrame) -> Vec<Say> {
        let Ok(request) = Request::from_raw(frame) else {
            return vec![Say::answer(frame.id, &error(ErrorCode::UnknownFrame))];
        };
        let mut state = self.lock();
        *state.asked.entry(request.name()).or_default() += 1;
        if let Some(said) = state.lies.instead.as_mut().and_then(|lie| lie(place, frame.id, &request)) {
            return said;
        }
        let response = state.request(place, &request);
        match state.lies.request.take() {
            Some(mut lie) => {
                let said = lie(&mut state, place, frame.id, &request, response);
                state.lies.request.get_or_insert(lie);
                said
            }
            None => vec![Say::answer(frame.id, &response)],
        }
    }

    fn early(&mut self, request: &PreAuthRequest) -> Response {
        match request {
            PreAuthRequest::Authenticate(proof) => self.authenticate(proof),
            PreAuthRequest::RegisterStart(start) => self.register_start(start),
            PreAuthRequest::StagePrekeys(more) => {
                if let Phase::Unauthenticated(_, staged) = &mut self.phase {
                    staged.one_time.extend(more.one_time.iter());
                    staged.kem.extend(more.kem.iter());
                }
                done()
            }
            PreAuthRequest::RegisterFinish(finish) => self.register_finish(finish),
            PreAuthRequest::LoginStart(start) => self.login_start(start),
            PreAuthRequest::LoginFinish(finish) => self.login_finish(finish),
            PreAuthRequest::DeviceAdd(add) => self.device_add(add),
        }
    }

    fn authenticate(&mut self, proof: &Authenticate) -> Response {
        let place = (proof.account.to_string(), proof.device.get());
        let mut state = self.lock();
        let list = state.newest(&place.0);
        let entry = list.as_ref().and_then(|list| Some((list.version, list.device(place.1)?)));
        let transcript = AuthTranscript {
            exporter: self.exporter,
            nonce: self.nonce,
            account: &place.0,
            device_id: place.1,
        };
        let Some((version, entry)) = entry else { return error(ErrorCode::AuthenticationFailed) };
        if verify_auth(&entry.verifying_key(), &transcript, &proof.signature).is_err() {
            return error(ErrorCode::AuthenticationFailed);
        }
        state.connected.insert(self.id, (Some(place.clone()), self.out.clone()));
        let device = state.devices.entry(place.clone()).or_default();
        let answer = Authenticated {
            generation: device.generation,
            list_version: version,
            next_seq: device.last_seq + 1,
            prekeys: device.counts(),
            proof_lifetime_s: 900,
            relay_time: now(),
        };
        drop(state);
        self.phase = Phase::Authenticated(place);
        Response::Authenticated(answer)
    }

    fn register_start(&mut self, start: &RegisterStart) -> Response {
        let name = start.account.to_string();
        let mut state = self.lock();
        if state.accounts.contains_key(&name) {
            return error(ErrorCode::NameTaken);
        }
        let Ok(answer) = state.opaque().registration_response(&name, &start.opaque) else {
            return error(ErrorCode::BadRequest);
        };
        drop(state);
        self.attempt(Attempt::Registering(name));
        Response::RegisterChallenge(RegisterChallenge { opaque: BoundedBytes::new(answer).unwrap() })
    }

    fn register_finish(&mut self, finish: &RegisterFinish) -> Response {
        let (Attempt::Registering(name), staged) = self.take_attempt() else {
            return error(ErrorCode::BadRequest);
        };
        let list = signed(&finish.device_list);
        let Ok(parsed) = list.verify(&name) else { return error(ErrorCode::InvalidSignature) };
        let transcript = RegistrationTranscript {
            exporter: self.exporter,
            nonce: self.nonce,
            account: &name,
            device_list_sha256: Sha256::digest(&list.bytes).into(),
        };
        let key = VerifyingKey(parsed.account_key);
        let proved = verify_registration(&key, &transcript, &finish.proof).is_ok();
        let mut state = self.lock();
        let record = finish.opaque.to_vec();
        if !proved
            || parsed.version != 1
            || parsed.devices.len() != 1
            || state.opaque().check_record(&record).is_err()
        {
            return error(ErrorCode::InvalidSignature);
        }
        let account = state.accounts.entry(name.clone()).or_default();
        account.lists.push(list);
        account.display_name = finish.display_name.to_string();
        account.record = Some(record);
        state.devices.insert((name, parsed.devices[0].device_id), device(&finish.prekeys, staged));
        done()
    }

    fn login_start(&mut self, start: &LoginStart) -> Response {
        let name = start.account.to_string();
        let exporter = self.exporter;
        let mut state = self.lock();
        let record = state.accounts.get(&name).and_then(|account| account.record.clone());
        let opaque = state.opaque();
        let began = opaque.login_start(&name, record.as_deref(), &start.opaque, &exporter, &mut rng());
        let Ok((login, answer)) = began else { return error(ErrorCode::BadRequest) };
        drop(state);
        self.attempt(Attempt::LoggingIn(name, Box::new(login)));
        Response::LoginChallenge(LoginChallenge { opaque: BoundedBytes::new(answer).unwrap() })
    }

    fn login_finish(&mut self, finish: &LoginFinish) -> Response {
        let (Attempt::LoggingIn(name, login), _) = self.take_attempt() else {
            return error(ErrorCode::BadRequest);
        };
        if login.finish(&finish.opaque).is_err() {
            return error(ErrorCode::LoginFailed);
        }
        let newest = self.lock().accounts[&name].lists.last().map(wire).unwrap();
        self.attempt(Attempt::Granted(name));
        Response::LoginGranted(LoginGranted { device_list: newest })
    }

    fn device_add(&mut self, add: &DeviceAdd) -> Response {
        let (Attempt::Granted(name), staged) = self.take_attempt() else {
            return error(ErrorCode::BadRequest);
        };
        let list = signed(&add.device_list);
        let mut state = self.lock();
        let follows =
            |known: DeviceList| list.verify(&name).is_ok_and(|next| next.check_follows(&known).is_ok());
        if !state.newest(&name).is_some_and(follows) {
            return error(ErrorCode::Conflict);
        }
        state.publish(&name, list);
        state.devices.insert((name, add.device.get()), device(&add.prekeys, staged));
        done()
    }

    fn attempt(&mut self, now: Attempt) {
        if let Phase::Unauthenticated(attempt, _) = &mut self.phase {
            *attempt = now;
        }
    }

    fn take_attempt(&mut self) -> (Attempt, Staged) {
        match &mut self.phase {
            Phase::Unauthenticated(attempt, staged) => {
                (std::mem::replace(attempt, Attempt::None), std::mem::take(staged))
            }
            _ => (Attempt::None, Staged::default()),
        }
    }
}

fn device(prekeys: &Prekeys, staged: Staged) -> Device {
    Device {
        signed: Some(prekeys.signed),
        last_resort: Some(prekeys.last_resort),
        one_time: staged.one_time.into(),
        kem: staged.kem.into(),
        ..Device::default()
    }
}

/// Fixed bytes of a prekey.
pub(super) fn fixed<const N: usize>(bytes: Vec<u8>) -> ByteArray<N> {
    ByteArray::new(bytes.try_into().unwrap())
}
