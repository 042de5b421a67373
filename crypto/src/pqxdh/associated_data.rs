use sha2::{Digest, Sha256};
use subrosa_verify::labels;

use super::initial::InitialParams;
use super::party::{EC_PREFIX, KEM_PREFIX, PeerDevice};
use crate::kdf;

/// The suite: X25519, ML-KEM-768, HKDF-SHA-256, HMAC-SHA-256, ChaCha20-Poly1305.
const SUITE: u16 = 0x0001;

/// The associated data of PQXDH (section 3.3): what both sides must have seen alike.
///
/// `suite u16 | initiator | responder | EncodeEC(base_key) 33 | created_at u64 | signed_prekey_id u32 |
/// EncodeEC(signed prekey) 33 | one-time flag u8 [| one_time_id u32 | EncodeEC(one-time prekey) 33] |
/// KEM prekey type u8 | kem_id u32 | EncodeKEM(KEM prekey) 1185 | SHA-256(EncodeKEM(KEM prekey)) 32 |
/// SHA-256(kem_ciphertext) 32`, a device being `account str8 | account_key 32 | device_id u32 | EncodeEC(identity) 33`.
#[derive(Clone, PartialEq, Eq)]
pub struct AssociatedData(Vec<u8>);

/// Who opened the session and who answers.
pub(super) struct Roles<'a> {
    pub(super) initiator: PeerDevice<'a>,
    pub(super) responder: PeerDevice<'a>,
}

/// The responder's public prekeys that were used.
pub(super) struct AgreedKeys<'a> {
    pub(super) signed: &'a [u8; 32],
    pub(super) one_time: Option<&'a [u8; 32]>,
    pub(super) kem: &'a [u8],
}

impl AssociatedData {
    pub(super) fn new(roles: &Roles<'_>, params: &InitialParams, keys: &AgreedKeys<'_>) -> Self {
        let mut out = Vec::with_capacity(1_700);
        out.extend_from_slice(&SUITE.to_le_bytes());
        roles.initiator.encode(&mut out);
        roles.responder.encode(&mut out);
        put_ec(&mut out, &params.base_key);
        out.extend_from_slice(&params.created_at.to_le_bytes());
        out.extend_from_slice(&params.signed_prekey_id.to_le_bytes());
        put_ec(&mut out, keys.signed);
        out.push(keys.one_time.is_some().into());
        if let Some(one_time) = keys.one_time {
            out.extend_from_slice(&params.one_time_id.unwrap_or(0).to_le_bytes());
            put_ec(&mut out, one_time);
        }
        out.push(params.kem_kind() as u8);
        out.extend_from_slice(&params.kem_id.to_le_bytes());
        out.push(KEM_PREFIX);
        out.extend_from_slice(keys.kem);
        out.extend_from_slice(&Sha256::new().chain_update([KEM_PREFIX]).chain_update(keys.kem).finalize());
        out.extend_from_slice(&Sha256::digest(params.kem_ciphertext.as_slice()));
        Self(out)
    }

    /// The bytes above.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hash that stands for all of it in every message of the session and in its root key.
    pub fn transcript(&self) -> [u8; 32] {
        kdf::hash(labels::HASH_PQXDH_TRANSCRIPT, &self.0)
    }
}

fn put_ec(out: &mut Vec<u8>, key: &[u8; 32]) {
    out.push(EC_PREFIX);
    out.extend_from_slice(key);
}
