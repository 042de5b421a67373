//! The vectors that the Python implementation (`crypto/vectors/generate.py`) made: the Rust code must make the same
//! bytes from the same randomness, and read them (R61).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;

use data_encoding::HEXLOWER;
use ml_kem::DecapsulationKey768;
use ml_kem::kem::{Decapsulate, KeyExport};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;
use subrosa_crypto::device::DeviceSecrets;
use subrosa_crypto::pqxdh::{self, LocalDevice, PeerDevice, Responder};
use subrosa_crypto::prekeys::PrekeySecret;
use subrosa_crypto::session::{PrekeySource, SessionRecord};
use subrosa_crypto::verify::bundle::PrekeyBundle;
use subrosa_crypto::verify::keys::Signature;
use subrosa_crypto::verify::prekey::{Prekey, PrekeyKind};

/// Gives exactly these bytes.
struct Scripted(Vec<u8>);

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("randomness is drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("randomness is drawn as bytes")
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        assert!(dst.len() <= self.0.len(), "more randomness drawn than written down");
        dst.copy_from_slice(&self.0.drain(..dst.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

impl Drop for Scripted {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "less randomness drawn than written down");
    }
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    hex(value).try_into().unwrap()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn read(name: &str) -> Value {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

struct Device {
    account: String,
    account_key: [u8; 32],
    device_id: u32,
    secrets: DeviceSecrets,
}

impl Device {
    fn new(value: &Value) -> Self {
        let secrets = [hex(&value["identity"]), vec![1; 32], vec![2; 32]].concat();
        Self {
            account: value["account"].as_str().unwrap().to_owned(),
            account_key: key(&value["account_key"]),
            device_id: number(&value["device_id"]),
            secrets: DeviceSecrets::from_bytes(&secrets).unwrap(),
        }
    }

    fn local(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: &self.account,
            account_key: self.account_key,
            device_id: self.device_id,
            secrets: &self.secrets,
        }
    }

    fn peer(&self) -> PeerDevice<'_> {
        self.local().public()
    }
}

/// Bob's prekey secrets.
struct Prekeys {
    signed: PrekeySecret,
    one_time: Option<PrekeySecret>,
    kem: PrekeySecret,
}

impl Prekeys {
    fn new(case: &Value, seed: &[u8]) -> Self {
        let secret = |kind: PrekeyKind, id: &Value, secret: &[u8]| {
            let bytes = [
                &[1, kind as u8][..],
                &number(id).to_le_bytes(),
                &0u64.to_le_bytes(),
                &u64::MAX.to_le_bytes(),
                secret,
            ];
            PrekeySecret::from_bytes(&bytes.concat()).unwrap()
        };
        let ids = &case["ids"];
        let kem_kind = PrekeyKind::from_byte(number(&case["kem_type"]).try_into().unwrap()).unwrap();
        let one_time = &case["one_time_prekey"];
        Self {
            signed: secret(PrekeyKind::SignedEc, &ids["signed_prekey_id"], &hex(&case["signed_prekey"])),
            one_time: (!one_time.is_null())
                .then(|| secret(PrekeyKind::OneTimeEc, &ids["one_time_id"], &hex(one_time))),
            kem: secret(kem_kind, &ids["kem_id"], seed),
        }
    }

    fn bundle(&self) -> PrekeyBundle {
        let public = |secret: &PrekeySecret| Prekey {
            kind: secret.kind,
            key_id: secret.key_id,
            created_at: secret.created_at,
            expires_at: secret.expires_at,
            key: secret.public_key(),
            signature: Signature([0; 64]),
        };
        PrekeyBundle {
            signed: public(&self.signed),
            one_time: self.one_time.as_ref().map(public),
            kem: public(&self.kem),
        }
    }
}

impl PrekeySource for Prekeys {
    fn signed(&mut self, id: u32) -> Option<PrekeySecret> {
        Some(self.signed.clone()).filter(|secret| secret.key_id == id)
    }

    fn one_time(&mut self, id: u32) -> Option<PrekeySecret> {
        self.one_time.clone().filter(|secret| secret.key_id == id)
    }

    fn kem(&mut self, id: u32, last_resort: bool) -> Option<PrekeySecret> {
        let kind = if last_resort { PrekeyKind::LastResortKem } else { PrekeyKind::OneTimeKem };
        Some(self.kem.clone()).filter(|secret| secret.key_id == id && secret.kind == kind)
    }

    fn base_key_seen(&mut self, _: &str, _: u32, _: &[u8; 32]) -> bool {
        false
    }
}

/// The KEM key and ciphertext that the vectors use, which Python's ML-KEM checks as well.
#[test]
fn r61_ml_kem_768() {
    let kem = read("kem.json");
    let seed: [u8; 64] = hex(&kem["seed"]).try_into().unwrap();
    let secret = DecapsulationKey768::from_seed(seed.into());
    assert_eq!(secret.encapsulation_key().to_bytes().to_vec(), hex(&kem["public"]));
    let m: [u8; 32] = hex(&kem["m"]).try_into().unwrap();
    let (ciphertext, shared) = secret.encapsulation_key().encapsulate_deterministic(&m.into());
    assert_eq!(ciphertext.to_vec(), hex(&kem["ciphertext"]));
    assert_eq!(shared.to_vec(), hex(&kem["shared"]));
    assert_eq!(secret.decapsulate(&ciphertext), shared);
}

#[test]
fn r61_pqxdh_agrees_with_the_second_implementation() {
    let kem = read("kem.json");
    for case in read("session.json").as_array().unwrap() {
        let (alice, bob) = (Device::new(&case["alice"]), Device::new(&case["bob"]));
        let prekeys = Prekeys::new(case, &hex(&kem["seed"]));
        let random = hex(&case["initiate_random"])[..64].to_vec();
        let now = case["now"].as_u64().unwrap();
        let initiated =
            pqxdh::initiate(&alice.local(), &bob.peer(), &prekeys.bundle(), now, &mut Scripted(random))
                .unwrap();
        let responder =
            Responder { signed: &prekeys.signed, one_time: prekeys.one_time.as_ref(), kem: &prekeys.kem };
        let responded = pqxdh::respond(&bob.local(), &alice.peer(), &initiated.params, &responder).unwrap();
        for agreement in [initiated.agreement, responded] {
            assert_eq!(agreement.secret.as_bytes(), &key(&case["shared_secret"]));
            assert_eq!(agreement.associated.as_bytes(), hex(&case["associated_data"]));
            assert_eq!(agreement.associated.transcript(), key(&case["transcript"]));
        }
    }
}

#[test]
fn r61_sessions_agree_with_the_second_implementation() {
    let kem = read("kem.json");
    let mut messages = 0;
    for case in read("session.json").as_array().unwrap() {
        let (alice, bob) = (Device::new(&case["alice"]), Device::new(&case["bob"]));
        let mut prekeys = Prekeys::new(case, &hex(&kem["seed"]));
        let now = case["now"].as_u64().unwrap();
        let (mut at_alice, mut at_bob) = (SessionRecord::new(), SessionRecord::new());
        let mut random = Scripted(hex(&case["initiate_random"]));
        at_alice.initiate(&alice.local(), &bob.peer(), &prekeys.bundle(), now, &mut random).unwrap();

        for step in case["steps"].as_array().unwrap() {
            let (local, peer, record) = match step["side"].as_str().unwrap() {
                "alice" => (alice.local(), bob.peer(), &mut at_alice),
                _ => (bob.local(), alice.peer(), &mut at_bob),
            };
            let (message, plaintext) = (hex(&step["message"]), hex(&step["plaintext"]));
            let mut random = Scripted(hex(&step["random"]));
            if step["do"] == "send" {
                assert_eq!(record.encrypt(&local, &peer, &plaintext, now, &mut random).unwrap(), message);
            } else {
                let decrypted =
                    record.decrypt(&local, &peer, &message, &mut prekeys, now, &mut random).unwrap();
                assert_eq!(*decrypted.plaintext, plaintext);
            }
            if message[0] == 2 {
                assert_eq!(message[2..18], hex(&case["session_id"]));
            }
            messages += 1;
        }
    }
    assert!(messages > 50, "the file holds the conversations");
}
