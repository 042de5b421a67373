//! Somebody with an account, made with the real crypto. All have one passphrase record: stretching a passphrase is the
//! client's work, and is not what is measured here.

use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};
use subrosa_crypto::{
    account::AccountSecret, device::DeviceSecrets, opaque_client::RegistrationFlow, prekeys::generate_prekey,
};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EnvelopeId, Username,
    frames::{
        Authenticate, EnvelopeSend, OutgoingEnvelope, PreAuthRequest, Prekeys, RegisterFinish, RegisterStart,
        Request, Response, SignedList,
    },
};
use subrosa_verify::{
    auth::{AuthTranscript, RegistrationTranscript},
    device_list::{DeviceList, SignedDeviceList},
    opaque::RelayOpaque,
    prekey::PrekeyKind,
};

use crate::client::{Client, rng};

/// An account with one device.
pub struct Person {
    /// The account.
    pub name: Username,
    account: AccountSecret,
    device: DeviceSecrets,
    list: SignedDeviceList,
}

/// What every registration repeats.
pub struct Passphrase {
    request: Vec<u8>,
    record: Vec<u8>,
}

impl Passphrase {
    /// Stretches one.
    pub fn new() -> Self {
        let relay = RelayOpaque::generate(&mut rng());
        let (flow, request) = RegistrationFlow::start(b"everybody's passphrase", &mut rng()).unwrap();
        let response = relay.registration_response("anybody", &request).unwrap();
        let record = flow.finish("anybody", &response, &mut rng()).unwrap();
        Self { request, record }
    }
}

impl Default for Passphrase {
    fn default() -> Self {
        Self::new()
    }
}

/// The only device.
fn device() -> DeviceId {
    DeviceId::new(1).unwrap()
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

impl Person {
    /// With keys of its own.
    pub fn new(name: &str) -> Self {
        let (account, _) = AccountSecret::generate(&mut rng());
        let device = DeviceSecrets::generate(&mut rng());
        let list = DeviceList {
            account: name.to_owned(),
            account_key: account.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![device.entry(1, now())],
        };
        let list = account.sign_device_list(&list).unwrap();
        Self { name: Username::new(name).unwrap(), account, device, list }
    }

    /// Registers over a connection that has said hello; several may, one after the other.
    pub async fn register(&self, client: &mut Client, passphrase: &Passphrase) {
        let start = RegisterStart {
            account: self.name.clone(),
            invite: None,
            opaque: BoundedBytes::new(passphrase.request.clone()).unwrap(),
        };
        match client.pre(PreAuthRequest::RegisterStart(start)).await {
            Response::RegisterChallenge(_) => {}
            other => panic!("{other:?}"),
        }
        let transcript = RegistrationTranscript {
            exporter: client.exporter,
            nonce: client.nonce,
            account: self.name.as_str(),
            device_list_sha256: Sha256::digest(&self.list.bytes).into(),
        };
        let finish = RegisterFinish {
            opaque: BoundedBytes::new(passphrase.record.clone()).unwrap(),
            display_name: BoundedStr::new(self.name.as_str()).unwrap(),
            device_list: SignedList {
                bytes: BoundedBytes::new(self.list.bytes.clone()).unwrap(),
                signature: ByteArray::new(self.list.signature),
            },
            proof: ByteArray::new(self.account.sign_registration(&transcript)),
            prekeys: Prekeys {
                signed: self.prekey(PrekeyKind::SignedEc),
                last_resort: self.prekey(PrekeyKind::LastResortKem),
            },
        };
        match client.pre(PreAuthRequest::RegisterFinish(finish)).await {
            Response::Done(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn prekey<const N: usize>(&self, kind: PrekeyKind) -> ByteArray<N> {
        let (_, public) = generate_prekey(kind, 1, &self.device, self.name.as_str(), 1, now(), &mut rng());
        let bytes: [u8; N] = public.to_bytes().try_into().unwrap();
        ByteArray::new(bytes)
    }

    /// The proof of the device on a connection.
    pub fn proof(&self, client: &Client) -> Authenticate {
        let transcript = AuthTranscript {
            exporter: client.exporter,
            nonce: client.nonce,
            account: self.name.as_str(),
            device_id: 1,
        };
        Authenticate {
            account: self.name.clone(),
            device: device(),
            signature: ByteArray::new(self.device.sign_auth(&transcript)),
        }
    }

    /// An envelope for this person. `stamp` stands in its first eight bytes; the rest is noise to the relay.
    pub fn envelope(&self, number: u64, stamp: u64, size: usize) -> Request {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        id[8..].copy_from_slice(&number.to_le_bytes());
        let mut sealed = vec![0x5a; size.max(8)];
        sealed[..8].copy_from_slice(&stamp.to_le_bytes());
        let envelope =
            OutgoingEnvelope { id: EnvelopeId::from_bytes(id), sealed: BoundedBytes::new(sealed).unwrap() };
        Request::EnvelopeSend(EnvelopeSend {
            to: self.name.clone(),
            device: device(),
            list_version: 1,
            generation: 1,
            envelopes: BoundedVec::new(vec![envelope]).ok().unwrap(),
        })
    }
}
