//! Golden bytes of every object that is signed, hashed, sealed or stored, made by a second implementation
//! (`vectors/objects.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::HEXLOWER;
use rand_core::Rng;
use serde_json::Value;
use subrosa_crypto::account::AccountSecret;
use subrosa_crypto::binding::{self, Conversation, Header, Recipient};
use subrosa_crypto::device::DeviceSecrets;
use subrosa_crypto::padding;
use subrosa_crypto::prekeys::generate_prekey;
use subrosa_crypto::safety_number::SafetyNumber;
use subrosa_crypto::sealed;
use subrosa_crypto::vault::{Vault, VaultParams};
use subrosa_crypto::verify::auth::{AuthTranscript, RegistrationTranscript};
use subrosa_crypto::verify::device_list::DeviceList;
use subrosa_crypto::verify::prekey::PrekeyKind;

#[path = "../src/test_rng.rs"]
mod test_rng;
use test_rng::TestRng;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/objects.json")).unwrap()
}

fn golden(name: &str) -> Vec<u8> {
    HEXLOWER.decode(vectors()[name].as_str().unwrap().as_bytes()).unwrap()
}

/// The account and the two devices that the vectors begin with, and the generator after them.
fn alice() -> (AccountSecret, DeviceSecrets, DeviceSecrets, TestRng) {
    let mut rng = TestRng::new(1);
    let (account, _) = AccountSecret::generate(&mut rng);
    let first = DeviceSecrets::generate(&mut rng);
    let second = DeviceSecrets::generate(&mut rng);
    (account, first, second, rng)
}

#[test]
fn account_and_device_keys() {
    let (account, device, ..) = alice();
    assert_eq!(account.to_bytes()[..], golden("account_entropy"));
    assert_eq!(account.public()[..], golden("account_key"));
    assert_eq!(device.to_bytes()[..], golden("device_secrets"));
}

#[test]
fn r28_device_lists_and_their_chain() {
    let (account, first, second, _) = alice();
    let list_1 = DeviceList {
        account: "alice".into(),
        account_key: account.public(),
        version: 1,
        prev_hash: [0; 32],
        next_device_id: 2,
        devices: vec![first.entry(1, 1000)],
    };
    let list_2 = DeviceList {
        version: 2,
        prev_hash: list_1.hash(),
        next_device_id: 3,
        devices: vec![first.entry(1, 1000), second.entry(2, 2000)],
        ..list_1.clone()
    };
    assert_eq!(list_1.hash()[..], golden("device_list_1_hash"));
    for (list, name) in [(list_1, "device_list_1"), (list_2, "device_list_2")] {
        let signed = account.sign_device_list(&list).unwrap();
        assert_eq!(signed.bytes, golden(name));
        assert_eq!(signed.signature[..], golden(&format!("{name}_signature")));
    }
}

#[test]
fn r12_prekeys_of_every_kind() {
    let (_, device, _, mut rng) = alice();
    let kinds =
        [PrekeyKind::SignedEc, PrekeyKind::OneTimeEc, PrekeyKind::LastResortKem, PrekeyKind::OneTimeKem];
    for (i, kind) in kinds.into_iter().enumerate() {
        let key_id = 11 + u32::try_from(i).unwrap();
        let (_, prekey) = generate_prekey(kind, key_id, &device, "alice", 1, 5000, &mut rng);
        assert_eq!(HEXLOWER.encode(&prekey.to_bytes()), vectors()["prekeys"][i], "{kind:?}");
    }
}

#[test]
fn proofs_of_devices_and_accounts() {
    let (account, device, ..) = alice();
    let (exporter, nonce) = ([0x0e; 32], [0x0f; 32]);
    let auth = AuthTranscript { exporter, nonce, account: "alice", device_id: 1 };
    assert_eq!(auth.to_bytes(), golden("auth_transcript"));
    assert_eq!(device.sign_auth(&auth)[..], golden("auth_signature"));

    let device_list_sha256 = golden("registration_transcript")[70..].try_into().unwrap();
    let registration = RegistrationTranscript { exporter, nonce, account: "alice", device_list_sha256 };
    assert_eq!(registration.to_bytes(), golden("registration_transcript"));
    assert_eq!(account.sign_registration(&registration)[..], golden("registration_signature"));
}

#[test]
fn r14_messages_and_r46_their_padding() {
    let pairwise = Header {
        sender_account: "alice".into(),
        sender_account_key: [0xa1; 32],
        sender_device: 1,
        recipient: Recipient::Device { account: "bob".into(), account_key: [0xb0; 32], device: 7 },
        conversation: Conversation::direct("bob", "alice"),
        message_id: [0x11; 16],
        counter: 2,
        prev_hash: [0x22; 32],
    };
    let in_room = Header {
        recipient: Recipient::Room { room: [0x77; 16], generation: 3, epoch: 5 },
        conversation: Conversation::Room([0x77; 16]),
        ..pairwise.clone()
    };
    let message = binding::encode(&pairwise, b"hi");
    assert_eq!(message, golden("binding_pairwise"));
    assert_eq!(binding::message_hash(&message)[..], golden("binding_pairwise_hash"));
    assert_eq!(padding::pad(message).unwrap(), golden("padded"));
    assert_eq!(binding::encode(&in_room, b""), golden("binding_room"));
}

#[test]
fn sealed_envelopes() {
    let bob = DeviceSecrets::generate(&mut TestRng::new(5));
    let key = bob.entry(7, 0).sealing_key;
    let sealed = sealed::seal(&key, "bob", 7, "alice", 1, b"hi", &mut TestRng::new(6)).unwrap();
    assert_eq!(sealed, golden("sealed"));
    let opened = sealed::open(&bob, "bob", 7, &sealed).unwrap();
    assert_eq!((opened.sender_account.as_str(), opened.sender_device), ("alice", 1));
    assert_eq!(opened.message, b"hi");
}

#[test]
fn safety_numbers() {
    let number = SafetyNumber::compute("alice@relay.example", &[1; 32], "bob@relay.example", &[2; 32]);
    assert_eq!(number.to_string(), vectors()["safety_number"]);
    assert_eq!(number.to_qr_bytes()[..], golden("safety_number_qr"));
}

#[test]
fn vaults() {
    let (vault, key) = Vault::create(b"correct horse", VaultParams::MINIMUM, &mut TestRng::new(1)).unwrap();
    assert_eq!(key.as_bytes()[..], golden("vault_key"));
    assert_eq!(vault.to_bytes(), golden("vault"));
}

#[test]
fn the_generator_of_these_tests_can_differ() {
    assert_ne!(TestRng::new(1).next_u64(), TestRng::new(2).next_u64());
}
