//! Somebody with an account: keys, lists, prekeys and proofs, made with ed25519-dalek and opaque-ke alone.

use std::sync::OnceLock;

use ed25519_dalek::{Signer, SigningKey};
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse,
};
use rand_core::UnwrapErr;
use sha2::{Digest, Sha256};
use subrosa_protocol::{DeviceId, Username, frames::*};
use subrosa_verify::{
    auth::{AuthTranscript, RegistrationTranscript},
    device_list::{DeviceEntry, DeviceList},
    keys::{Signature, signed_bytes},
    labels,
    opaque::{OpaqueRng, RelayOpaque, Suite, identifiers, login_context},
    prekey::{Prekey, PrekeyKind},
};

use super::client::IntoBounded;

pub struct Person {
    pub name: Username,
    pub display_name: String,
    pub account_key: SigningKey,
    pub list: DeviceList,
    pub devices: Vec<Device>,
    /// The OPAQUE record to register with; one that belongs to no passphrase unless set.
    pub record: Vec<u8>,
    pub one_time_count: u32,
}

#[derive(Clone)]
pub struct Device {
    pub number: u32,
    pub signing: SigningKey,
    identity: [u8; 32],
    sealing: [u8; 32],
}

impl Device {
    pub fn new(number: u32) -> Self {
        Self { number, signing: signing_key(), identity: x25519(), sealing: x25519() }
    }

    pub fn id(number: u32) -> DeviceId {
        DeviceId::new(number).unwrap()
    }

    pub fn entry(&self) -> DeviceEntry {
        DeviceEntry {
            device_id: self.number,
            identity_key: self.identity,
            sealing_key: self.sealing,
            signing_key: self.signing.verifying_key().to_bytes(),
            added_at: 1,
        }
    }
}

impl Person {
    /// With device 1 and few one-time prekeys.
    pub fn new(name: &str) -> Self {
        let account_key = signing_key();
        let device = Device::new(1);
        let list = DeviceList {
            account: name.to_owned(),
            account_key: account_key.verifying_key().to_bytes(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![device.entry()],
        };
        Self {
            name: Username::new(name).unwrap(),
            display_name: format!("{name}'s display name"),
            account_key,
            list,
            devices: vec![device],
            record: some_record().clone(),
            one_time_count: 3,
        }
    }

    /// Registered on the relay.
    pub async fn registered(relay: &subrosa_server::Relay, name: &str) -> Self {
        let person = Self::new(name);
        person.register_on(relay).await;
        person
    }

    pub async fn register_on(&self, relay: &subrosa_server::Relay) {
        let mut client = super::Client::connect(relay).await;
        let answer = client.register(self, None).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
    }

    /// Registered on the relay with a passphrase that works.
    pub async fn with_passphrase(relay: &subrosa_server::Relay, name: &str, passphrase: &[u8]) -> Self {
        let mut person = Self::new(name);
        let mut client = super::Client::connect(relay).await;
        let (state, request) = registration_request(passphrase);
        let start =
            RegisterStart { account: person.name.clone(), invite: None, opaque: request.try_into_bounded() };
        let Response::RegisterChallenge(challenge) = client.pre(PreAuthRequest::RegisterStart(start)).await
        else {
            panic!("refused")
        };
        person.record = record(state, name, passphrase, &challenge.opaque);
        let finish = person.register_finish(&client.exporter, &client.nonce);
        let answer = client.pre(PreAuthRequest::RegisterFinish(finish)).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
        person
    }

    pub fn device(&self, number: u32) -> &Device {
        self.devices.iter().find(|device| device.number == number).unwrap()
    }

    pub fn ec_ids(&self) -> Vec<u32> {
        (1..=self.one_time_count).collect()
    }

    pub fn kem_ids(&self) -> Vec<u32> {
        (1..=self.one_time_count).collect()
    }

    // --- lists ------------------------------------------------------------------------------------------------------

    pub fn sign(&self, list: &DeviceList) -> SignedList {
        let bytes = list.to_bytes();
        let signature = sign(&self.account_key, labels::SIGN_DEVICE_LIST, &bytes);
        SignedList { bytes: bytes.try_into_bounded(), signature: signature.0.into() }
    }

    pub fn signed_list(&self) -> SignedList {
        self.sign(&self.list)
    }

    /// The next list: without `remove`, with `add`.
    pub fn next_list(&self, remove: &[u32], add: Option<&Device>) -> DeviceList {
        let mut list = self.list.clone();
        list.version += 1;
        list.prev_hash = self.list.hash();
        list.devices.retain(|entry| !remove.contains(&entry.device_id));
        if let Some(device) = add {
            list.devices.push(device.entry());
            list.next_device_id = list.next_device_id.max(device.number + 1);
        }
        list
    }

    // --- prekeys --------------------------------------------------------------------------------------------------------

    pub fn prekey(&self, device: u32, kind: PrekeyKind, key_id: u32) -> Vec<u8> {
        self.prekey_by(&self.device(device).signing, device, kind, key_id)
    }

    pub fn prekey_by(&self, signing: &SigningKey, device: u32, kind: PrekeyKind, key_id: u32) -> Vec<u8> {
        let created_at = super::now();
        // A key from its number: the same number gives the same key. ML-KEM: small coefficients, and a seed.
        let seed: [u8; 32] = Sha256::digest([&key_id.to_le_bytes()[..], &[kind as u8]].concat()).into();
        let key = if kind.is_kem() {
            let mut key = vec![0; kind.key_bytes() - 32];
            key.extend_from_slice(&seed);
            key
        } else {
            let mut key = seed;
            key[31] &= 0x3f;
            key.to_vec()
        };
        let day = created_at - created_at % 86_400_000;
        let mut prekey = Prekey {
            kind,
            key_id,
            created_at: day,
            expires_at: day + kind.lifetime_ms(),
            key,
            signature: Signature([0; 64]),
        };
        let (label, message) = prekey.signed_message(self.name.as_str(), device);
        prekey.signature = sign(signing, label, &message);
        prekey.to_bytes()
    }

    pub fn ec(&self, device: u32, key_id: u32) -> PrekeyBytes {
        array(self.prekey(device, PrekeyKind::OneTimeEc, key_id))
    }

    pub fn kem(&self, device: u32, key_id: u32) -> KemPrekeyBytes {
        array(self.prekey(device, PrekeyKind::OneTimeKem, key_id))
    }

    pub fn prekeys(&self, device: u32) -> Prekeys {
        Prekeys {
            signed: array(self.prekey(device, PrekeyKind::SignedEc, 1)),
            last_resort: array(self.prekey(device, PrekeyKind::LastResortKem, 1)),
        }
    }

    // --- proofs and OPAQUE -------------------------------------------------------------------------------------------------

    pub fn auth_signature(&self, device: u32, exporter: &[u8; 32], nonce: &[u8; 32]) -> [u8; 64] {
        let transcript = AuthTranscript {
            exporter: *exporter,
            nonce: *nonce,
            account: self.name.as_str(),
            device_id: device,
        };
        sign(&self.device(device).signing, labels::SIGN_AUTH, &transcript.to_bytes()).0
    }

    pub fn authenticate(&self, device: u32, exporter: &[u8; 32], nonce: &[u8; 32]) -> Authenticate {
        Authenticate {
            account: self.name.clone(),
            device: Device::id(device),
            signature: self.auth_signature(device, exporter, nonce).into(),
        }
    }

    pub fn opaque_request(&self) -> Vec<u8> {
        registration_request(b"unused").1
    }

    pub fn register_finish(&self, exporter: &[u8; 32], nonce: &[u8; 32]) -> RegisterFinish {
        let device_list = self.signed_list();
        let transcript = RegistrationTranscript {
            exporter: *exporter,
            nonce: *nonce,
            account: self.name.as_str(),
            device_list_sha256: Sha256::digest(&*device_list.bytes).into(),
        };
        RegisterFinish {
            opaque: self.record.clone().try_into_bounded(),
            display_name: subrosa_protocol::BoundedStr::new(self.display_name.clone()).unwrap(),
            device_list,
            proof: sign(&self.account_key, labels::SIGN_REGISTRATION, &transcript.to_bytes()).0.into(),
            prekeys: self.prekeys(1),
        }
    }
}

pub fn sign(key: &SigningKey, label: labels::Label, message: &[u8]) -> Signature {
    Signature(key.sign(&signed_bytes(label, message)).to_bytes())
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&super::random())
}

fn x25519() -> [u8; 32] {
    let mut key: [u8; 32] = super::random();
    key[31] &= 0x3f;
    key
}

pub fn array<const N: usize, B: From<[u8; N]>>(bytes: Vec<u8>) -> B {
    let bytes: [u8; N] = bytes.try_into().unwrap();
    bytes.into()
}

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

pub fn registration_request(passphrase: &[u8]) -> (ClientRegistration<Suite>, Vec<u8>) {
    let started = ClientRegistration::<Suite>::start(&mut OpaqueRng(&mut rng()), passphrase).unwrap();
    (started.state, started.message.serialize().to_vec())
}

pub fn record(state: ClientRegistration<Suite>, name: &str, passphrase: &[u8], response: &[u8]) -> Vec<u8> {
    let response = RegistrationResponse::deserialize(response).unwrap();
    let parameters = ClientRegistrationFinishParameters::new(identifiers(name), None);
    let finished = state.finish(&mut OpaqueRng(&mut rng()), passphrase, response, parameters).unwrap();
    finished.message.serialize().to_vec()
}

pub fn ke1(passphrase: &[u8]) -> (ClientLogin<Suite>, Vec<u8>) {
    let started = ClientLogin::<Suite>::start(&mut OpaqueRng(&mut rng()), passphrase).unwrap();
    (started.state, started.message.serialize().to_vec())
}

/// KE3; `None` when the passphrase is wrong.
pub fn ke3(
    state: ClientLogin<Suite>,
    name: &str,
    passphrase: &[u8],
    ke2: &[u8],
    exporter: &[u8; 32],
) -> Option<Vec<u8>> {
    let ke2 = CredentialResponse::deserialize(ke2).unwrap();
    let context = login_context(exporter);
    let parameters = ClientLoginFinishParameters::new(Some(&context), identifiers(name), None);
    let finished = state.finish(&mut OpaqueRng(&mut rng()), passphrase, ke2, parameters).ok()?;
    Some(finished.message.serialize().to_vec())
}

/// A well-formed record, made once: stretching a passphrase takes its time.
fn some_record() -> &'static Vec<u8> {
    static RECORD: OnceLock<Vec<u8>> = OnceLock::new();
    RECORD.get_or_init(|| {
        let relay = RelayOpaque::generate(&mut rng());
        let (state, request) = registration_request(b"nobody's");
        let response = relay.registration_response("nobody", &request).unwrap();
        record(state, "nobody", b"nobody's", &response)
    })
}
