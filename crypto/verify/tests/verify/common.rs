//! Accounts and devices made from small numbers, and the vectors of the second implementation.

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;
use subrosa_verify::device_list::{DeviceEntry, DeviceList, SignedDeviceList};
use subrosa_verify::keys::{Signature, VerifyingKey, signed_bytes};
use subrosa_verify::labels::{self, Label};
use subrosa_verify::prekey::{KEM_KEY_BYTES, Prekey, PrekeyKind};

pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/objects.json")).unwrap()
}

pub(crate) fn golden(name: &str) -> Vec<u8> {
    HEXLOWER.decode(vectors()[name].as_str().unwrap().as_bytes()).unwrap()
}

pub(crate) fn golden_prekey(i: usize) -> Vec<u8> {
    HEXLOWER.decode(vectors()["prekeys"][i].as_str().unwrap().as_bytes()).unwrap()
}

pub(crate) fn secret(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub(crate) fn public(n: u8) -> VerifyingKey {
    VerifyingKey(secret(n).verifying_key().to_bytes())
}

pub(crate) fn sign(n: u8, label: Label, message: &[u8]) -> Signature {
    Signature(secret(n).sign(&signed_bytes(label, message)).to_bytes())
}

/// Device `id` with keys of its own; any 32 bytes that are canonical and not of low order will do as X25519 keys.
pub(crate) fn entry(id: u32) -> DeviceEntry {
    let n = u8::try_from(id).unwrap();
    DeviceEntry {
        device_id: id,
        identity_key: [0x20 + n; 32],
        sealing_key: [0x40 + n; 32],
        signing_key: public(n).0,
        added_at: 1_000 * u64::from(id),
    }
}

/// The account key of [`list`].
pub(crate) const ACCOUNT: u8 = 200;

pub(crate) fn list(ids: &[u32]) -> DeviceList {
    DeviceList {
        account: "alice".into(),
        account_key: public(ACCOUNT).0,
        version: 1,
        prev_hash: [0; 32],
        next_device_id: ids.last().unwrap_or(&0) + 1,
        devices: ids.iter().map(|id| entry(*id)).collect(),
    }
}

/// The version after `prev` with these devices.
pub(crate) fn next(prev: &DeviceList, ids: &[u32]) -> DeviceList {
    DeviceList {
        version: prev.version + 1,
        prev_hash: prev.hash(),
        next_device_id: prev.next_device_id.max(ids.last().unwrap_or(&0) + 1),
        ..list(ids)
    }
}

pub(crate) fn signed(list: &DeviceList) -> SignedDeviceList {
    let bytes = list.to_bytes();
    let signature = sign(ACCOUNT, labels::SIGN_DEVICE_LIST, &bytes).0;
    SignedDeviceList { bytes, signature }
}

/// A prekey of device 1 of alice, made at `created_at`, with the longest life its kind may have.
pub(crate) fn prekey(kind: PrekeyKind, created_at: u64) -> Prekey {
    let mut prekey = Prekey {
        kind,
        key_id: 7,
        created_at,
        expires_at: created_at + kind.lifetime_ms(),
        key: if kind.is_kem() { vec![3; KEM_KEY_BYTES] } else { vec![9; 32] },
        signature: Signature([0; 64]),
    };
    resign(&mut prekey);
    prekey
}

pub(crate) fn resign(prekey: &mut Prekey) {
    let (label, message) = prekey.signed_message("alice", 1);
    prekey.signature = sign(1, label, &message);
}
