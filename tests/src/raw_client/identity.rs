//! Somebody with keys, lists, prekeys and proofs.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rand_core::UnwrapErr;
use sha2::{Digest, Sha256};
use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    opaque_client::{LoginFlow, RegistrationFlow},
    prekeys::generate_prekey,
};
use subrosa_protocol::{BoundedBytes, BoundedStr, BoundedVec, DeviceId, Username, frames::*};
use subrosa_verify::{
    auth::{AuthTranscript, RegistrationTranscript},
    device_list::DeviceList,
    opaque::RelayOpaque,
    prekey::PrekeyKind,
};

use super::{Network, Session};

/// The operating system's randomness.
pub fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// An account with one device.
pub struct Identity {
    /// The account's name.
    pub name: Username,
    /// The account key.
    pub account_key: AccountSecret,
    /// The device's keys.
    pub device: DeviceSecrets,
    /// The device list, version 1.
    pub list: DeviceList,
    /// One-time prekeys of each kind that it registers with.
    pub one_time: u32,
    /// The OPAQUE record it registers with.
    pub record: Vec<u8>,
}

impl Identity {
    /// With no one-time prekeys, and a passphrase that nobody knows.
    pub fn new(name: &str) -> Self {
        let (account_key, _) = AccountSecret::generate(&mut rng());
        let device = DeviceSecrets::generate(&mut rng());
        let list = DeviceList {
            account: name.to_owned(),
            account_key: account_key.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![device.entry(1, now())],
        };
        let name = Username::new(name).unwrap();
        Self { name, account_key, device, list, one_time: 0, record: some_record().clone() }
    }

    /// With a name of its own in this process.
    pub fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::new(&format!("somebody{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Registered on an open relay, from a network of its own.
    pub async fn registered(self, to: std::net::SocketAddr) -> Self {
        let answer = Network::new(to).hello().await.register(&self, None).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
        self
    }

    /// Connected and authenticated from a network of its own.
    pub async fn session(&self, to: std::net::SocketAddr) -> Session {
        let mut session = Network::new(to).hello().await;
        session.authenticate(self).await;
        session
    }

    /// The proof of a device for a connection.
    pub fn authenticate(&self, exporter: &[u8; 32], nonce: &[u8; 32]) -> Authenticate {
        let transcript =
            AuthTranscript { exporter: *exporter, nonce: *nonce, account: self.name.as_str(), device_id: 1 };
        let signature = self.device.sign_auth(&transcript).into();
        Authenticate { account: self.name.clone(), device: DeviceId::new(1).unwrap(), signature }
    }

    /// The first step of registration.
    pub fn register_start(&self, invite: Option<[u8; 16]>) -> RegisterStart {
        let (_, request) = RegistrationFlow::start(b"unused", &mut rng()).unwrap();
        RegisterStart {
            account: self.name.clone(),
            invite: invite.map(Into::into),
            opaque: BoundedBytes::new(request).unwrap(),
        }
    }

    /// The one-time prekeys, in as many frames as they need.
    pub fn stage(&self) -> Vec<StagePrekeys> {
        let ids: Vec<u32> = (1..=self.one_time).collect();
        let ec =
            ids.chunks(60).map(|ids| StagePrekeys { one_time: self.ec(ids), kem: BoundedVec::default() });
        let kem =
            ids.chunks(6).map(|ids| StagePrekeys { one_time: BoundedVec::default(), kem: self.kem(ids) });
        ec.chain(kem).collect()
    }

    /// The last step of registration.
    pub fn register_finish(&self, exporter: &[u8; 32], nonce: &[u8; 32]) -> RegisterFinish {
        let signed = self.account_key.sign_device_list(&self.list).unwrap();
        let transcript = RegistrationTranscript {
            exporter: *exporter,
            nonce: *nonce,
            account: self.name.as_str(),
            device_list_sha256: Sha256::digest(&signed.bytes).into(),
        };
        RegisterFinish {
            opaque: BoundedBytes::new(self.record.clone()).unwrap(),
            display_name: BoundedStr::new(self.name.to_string()).unwrap(),
            proof: self.account_key.sign_registration(&transcript).into(),
            device_list: SignedList {
                bytes: BoundedBytes::new(signed.bytes).unwrap(),
                signature: signed.signature.into(),
            },
            prekeys: Prekeys {
                signed: self.prekey::<117>(PrekeyKind::SignedEc, 1).into(),
                last_resort: self.prekey::<1269>(PrekeyKind::LastResortKem, 1).into(),
            },
        }
    }

    /// One-time X25519 prekeys.
    pub fn ec<const MAX: usize>(&self, ids: &[u32]) -> BoundedVec<PrekeyBytes, MAX> {
        let prekeys = ids.iter().map(|id| self.prekey::<117>(PrekeyKind::OneTimeEc, *id).into());
        BoundedVec::new(prekeys.collect()).ok().unwrap()
    }

    /// One-time ML-KEM prekeys.
    pub fn kem<const MAX: usize>(&self, ids: &[u32]) -> BoundedVec<KemPrekeyBytes, MAX> {
        let prekeys = ids.iter().map(|id| self.prekey::<1269>(PrekeyKind::OneTimeKem, *id).into());
        BoundedVec::new(prekeys.collect()).ok().unwrap()
    }

    fn prekey<const LEN: usize>(&self, kind: PrekeyKind, id: u32) -> [u8; LEN] {
        let (_, prekey) = generate_prekey(kind, id, &self.device, self.name.as_str(), 1, now(), &mut rng());
        prekey.to_bytes().try_into().unwrap()
    }
}

/// Registers somebody with a passphrase that works.
pub async fn register_with_passphrase(session: &mut Session, who: &mut Identity, passphrase: &[u8]) {
    let (flow, request) = RegistrationFlow::start(passphrase, &mut rng()).unwrap();
    let start = RegisterStart { opaque: BoundedBytes::new(request).unwrap(), ..who.register_start(None) };
    let Response::RegisterChallenge(challenge) = session.pre(PreAuthRequest::RegisterStart(start)).await
    else {
        panic!("refused")
    };
    who.record = flow.finish(who.name.as_str(), &challenge.opaque, &mut rng()).unwrap();
    let finish = who.register_finish(&session.exporter, &session.nonce);
    let answer = session.pre(PreAuthRequest::RegisterFinish(finish)).await;
    assert!(matches!(answer, Response::Done(_)), "{answer:?}");
}

/// The first step of a login for a name, with any passphrase.
pub fn login_start(name: &Username, passphrase: &[u8]) -> (LoginFlow, PreAuthRequest) {
    let (flow, ke1) = LoginFlow::start(passphrase, &mut rng()).unwrap();
    let start = LoginStart { account: name.clone(), opaque: BoundedBytes::new(ke1).unwrap() };
    (flow, PreAuthRequest::LoginStart(start))
}

/// A well-formed record, made once: stretching a passphrase takes its time.
fn some_record() -> &'static Vec<u8> {
    static RECORD: OnceLock<Vec<u8>> = OnceLock::new();
    RECORD.get_or_init(|| {
        let relay = RelayOpaque::generate(&mut rng());
        let (flow, request) = RegistrationFlow::start(b"nobody's", &mut rng()).unwrap();
        let response = relay.registration_response("nobody", &request).unwrap();
        flow.finish("nobody", &response, &mut rng()).unwrap()
    })
}
